"""HOME for a process whose environment has none: from the container's own /etc/passwd, as runc and crun do. The runtime program."""

from __future__ import annotations

import os

from pyman.linux import fs, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LIMIT = 1 << 20  # bytes of /etc/passwd that are looked at


def add(process: dict[str, Any], root_fd: int) -> None:
    """Complete process.env of a process in the root `root_fd`, a descriptor of its top directory."""
    env = process.get("env") or []
    if not any(entry.startswith("HOME=") for entry in env):
        process["env"] = [*env, "HOME=" + _lookup(root_fd, (process.get("user") or {}).get("uid", 0))]


def add_running(process: dict[str, Any], pid: int) -> None:
    """The same for a process to be executed in the container of init `pid`."""
    try:
        root_fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        add(process, root_fd)
    finally:
        os.close(root_fd)


def _lookup(root_fd: int, uid: int) -> str:
    try:
        node = libc.openat2(root_fd, "etc/passwd", os.O_PATH)
    except OSError:
        return "/"
    try:
        if os.fstat(node).st_mode & 0o170000 != 0o100000:  # to open a FIFO would wait, to open a device could do anything
            return "/"
        file = os.open(f"/proc/self/fd/{node}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if fs.magic(file) == fs.PROC_SUPER_MAGIC:  # a link to what the kernel says about this very process
                return "/"
            text = os.read(file, _LIMIT).decode("utf-8", "replace")
        finally:
            os.close(file)
    except OSError:
        return "/"
    finally:
        os.close(node)
    for line in text.split("\n"):
        fields = line.split(":")
        if len(fields) >= 6 and fields[2] == str(uid) and fields[5].startswith("/") and "\0" not in fields[5]:
            return fields[5]
    return "/"
