"""Namespaces made ahead of their use, while the command still loads its modules and plans. CLI process.

newuidmap, newgidmap and a new network namespace take about 5 ms, most of it waiting. A holder process makes the
namespaces on another core from the moment the command is known; `claim` gives their descriptors to the start. The holder
ends when its pipe closes: a command that fails, is killed, or never needs the namespaces leaves nothing behind.
"""

from __future__ import annotations

import os

from pyman import errors
from pyman.errors import PymanError, RootlessError
from pyman.linux import libc, process
from pyman.rootless import userns
from pyman.rootless.idmap import IdMap, load_idmap
from pyman.state import fastjson


class Holder:
    """The process under way, and once claimed the descriptors of its namespaces (-1: none)."""

    __slots__ = ("life_fd", "netns_fd", "pid", "result_fd", "userns_fd")

    def __init__(self, pid: int, result_fd: int, life_fd: int) -> None:
        self.pid = pid
        self.result_fd = result_fd
        self.life_fd = life_fd
        self.userns_fd = self.netns_fd = -1


_holder: Holder | None = None


def begin() -> None:
    """Start making a user namespace (or join a living container's) and a network namespace in it; waits for nothing."""
    global _holder
    if _holder is not None or userns.in_userns():
        return
    idmap = load_idmap()
    living = userns.living(idmap)
    result_r, result_w = os.pipe()
    life_r, life_w = os.pipe()
    mapper = os.environ.get("PYMAN_MAPPER_FD")
    keep = [result_w, life_r, living, int(mapper) if mapper else -1]
    pid = process.fork(lambda: _hold(idmap, living, result_w, life_r), "pyman:[ns]", tuple(fd for fd in keep if fd >= 0))
    for fd in (result_w, life_r, living):
        if fd >= 0:
            os.close(fd)
    _holder = Holder(pid, result_r, life_w)


def _hold(idmap: IdMap, living: int, result_fd: int, life_fd: int) -> int:
    """The holder's body. Lines on result_fd: an error record if there is no user namespace; last "net" or "no net"."""
    mapper = 0
    try:
        if living >= 0:
            libc.setns(living, libc.CLONE_NEWUSER)
        else:
            # Forked before: the maps are written from outside.
            ready_r, ready_w = os.pipe()
            keep = (ready_r, result_fd, *((int(os.environ["PYMAN_MAPPER_FD"]),) if os.environ.get("PYMAN_MAPPER_FD") else ()))
            me = os.getpid()
            mapper = process.fork(lambda: _map(me, idmap, ready_r, result_fd), "pyman:[map]", keep)
            os.close(ready_r)
            try:
                libc.unshare(libc.CLONE_NEWUSER)
            except OSError as err:
                os.close(ready_w)
                process.wait(mapper)
                raise userns.unshare_error(err.errno or 1) from err
            os.write(ready_w, b"u")
            os.close(ready_w)
        try:
            libc.unshare(libc.CLONE_NEWNET)
            outcome = b"net\n"
        except OSError:
            outcome = b"no net\n"  # the start tries again and says why, if it needs one at all
        if mapper:
            process.wait(mapper)
    except PymanError as err:
        outcome = _record(err) + b"no net\n"
    os.write(result_fd, outcome)
    os.close(result_fd)
    os.read(life_fd, 1)  # until the command closes it or ends
    return 0


def _map(pid: int, idmap: IdMap, ready_fd: int, result_fd: int) -> int:
    if os.read(ready_fd, 1) == b"u":
        try:
            userns.write_maps(pid, idmap)
        except PymanError as err:
            os.write(result_fd, _record(err))
    return 0


def _record(err: PymanError) -> bytes:
    return fastjson.dumps(err.to_record()).encode() + b"\n"


def claim() -> Holder | None:
    """Descriptors of the namespaces made ahead, kept until `release`; None if none were begun. RootlessError, MissingProgram."""
    holder = _holder
    if holder is None or holder.userns_fd >= 0:
        return holder
    data = b""
    while not data.endswith(b"net\n"):
        part = os.read(holder.result_fd, 4096)
        if not part:
            break
        data += part
    lines = data.split(b"\n")
    try:
        if lines[0].startswith(b"{"):
            raise errors.from_record(fastjson.loads(lines[0]))
        try:
            holder.userns_fd = os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            if lines[0] == b"net":
                holder.netns_fd = os.open(f"/proc/{holder.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as err:
            raise RootlessError("cannot prepare the user namespace", f"its holder ended: {err.strerror}", stage="userns") from err
    except PymanError:
        release()
        raise
    return holder


def release() -> None:
    """Let the holder end, and reap it; what was claimed stays alive only through others' descriptors and processes."""
    global _holder
    holder, _holder = _holder, None
    if holder is None:
        return
    for fd in (holder.life_fd, holder.result_fd, holder.userns_fd, holder.netns_fd):
        if fd >= 0:
            os.close(fd)
    process.wait(holder.pid)
