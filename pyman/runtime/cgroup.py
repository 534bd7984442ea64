"""The cgroup v2 of a container, by files: join, freeze, kill, remove it; runtime/cgroup_place.py makes it. The runtime program, process C.

A user owns only what was delegated to him (cgroups(7) "Cgroup delegation"), and a cgroup with processes in it cannot give
controllers to its children. So the container's cgroup is made where the spec says if that is allowed, else below the
nearest ancestor of the caller's own cgroup that can do what is asked for. On hosts without cgroup v2 or without
delegation there is no cgroup, which is fine unless limits are asked for.
"""

from __future__ import annotations

import errno
import os
import time

from pyman.errors import RuntimeFailure
from pyman.linux import fs

CGROUP2_SUPER_MAGIC = 0x63677270
_MARK = "user.pyman-runtime"
_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")  # alone, and beside the old controllers (hybrid)
_GONE = (errno.ENOENT, errno.ENODEV)  # how a cgroup answers that was removed: before its file is opened, and after
_ENDED = "it has ended meanwhile"


def hierarchy() -> str:
    """Where cgroup v2 is mounted; "" if it is not."""
    for path in _MOUNTS:
        try:
            fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if fs.magic(fd) == CGROUP2_SUPER_MAGIC:
                return path
        finally:
            os.close(fd)
    return ""


def may_be(directory: str) -> bool:
    """Whether a record may say this: none, or one below a hierarchy; what lies elsewhere must never be taken for one."""
    return not directory or (directory.startswith(_MOUNTS[0] + "/") and ".." not in directory.split("/"))


def path_of(pid: int | str = "self") -> str:
    """The cgroup of a process as its directory below the hierarchy; "" without cgroup v2 or process."""
    top = hierarchy()
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            lines = file.read().split("\n")
    except OSError:
        return ""
    for line in lines:
        # Outside our cgroup namespace the kernel answers with "/..": not a place we can name.
        if top and line.startswith("0::/") and not line.startswith("0::/.."):
            return (top + line[3:]).rstrip("/")
    return ""


def read(directory: str, name: str) -> str:
    """One file of a cgroup, empty if it is not there."""
    try:
        with open(os.path.join(directory, name)) as file:
            return file.read()
    except OSError:
        return ""


def write(directory: str, name: str, value: str) -> None:
    """Write one file of a cgroup. OSError."""
    fd = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)


def processes(directory: str) -> list[int]:
    """The processes of a cgroup and of those below it."""
    found = []
    for top, _, _ in os.walk(directory):
        found += [int(line) for line in read(top, "cgroup.procs").split()]
    return sorted(set(found))


def join(directory: str, pid: int) -> None:
    """Move a process into the cgroup. RuntimeFailure."""
    try:
        write(directory, "cgroup.procs", str(pid))
    except OSError as err:
        why = err.strerror or str(err)
        if err.errno == errno.EBUSY:
            why = "it gives controllers to its children, so it takes no processes (no internal process rule)"
        raise RuntimeFailure(f"cannot enter the cgroup {directory}", why, stage="cgroup", errno=err.errno or 0) from err


def freeze(directory: str, frozen: bool, timeout: float = 30.0) -> None:
    """Freeze or thaw, and wait (at most `timeout` seconds) until it has happened. RuntimeFailure, as `ended` tells where nothing is left to freeze."""
    if not directory:
        raise RuntimeFailure("cannot pause the container", "it has no cgroup, which is what pausing needs", stage="cgroup")
    what = f"cannot {'freeze' if frozen else 'thaw'} {directory}"
    try:
        write(directory, "cgroup.freeze", str(int(frozen)))
    except OSError as err:
        gone = err.errno in _GONE
        raise RuntimeFailure(what, _ENDED if gone else err.strerror or str(err), stage="cgroup", errno=errno.ENOENT if gone else 0) from err
    end = time.monotonic() + timeout
    while True:
        now = events(directory)
        # Removed between two looks, or without a process: what freezes has ended, and "frozen" says nothing or that of nobody.
        if "frozen" not in now or (frozen and now.get("populated") == 0):
            raise RuntimeFailure(what, _ENDED, stage="cgroup", errno=errno.ENOENT)
        if now["frozen"] == int(frozen):
            return
        if time.monotonic() > end:
            raise RuntimeFailure(what, f"not done after {timeout:.0f} s", stage="cgroup")
        time.sleep(0.002)


def ended(err: RuntimeFailure) -> bool:
    """Whether `freeze` failed because the last process has gone, and perhaps the cgroup with it."""
    return err.errno == errno.ENOENT


def is_frozen(directory: str) -> bool:
    """Whether it is frozen by itself (not by an ancestor)."""
    return bool(directory) and read(directory, "cgroup.freeze").strip() == "1"


def events(directory: str, name: str = "cgroup.events") -> dict[str, int]:
    """A flat keyed file, such as cgroup.events or memory.events."""
    return {key: int(value) for key, _, value in (line.partition(" ") for line in read(directory, name).split("\n")) if value.isdigit()}


def kill(directory: str, signal: int) -> None:
    """Send a signal to every process; SIGKILL at once for all (cgroup.kill, Linux 5.14), frozen ones too."""
    if signal == 9:
        try:
            write(directory, "cgroup.kill", "1")
            return
        except OSError:
            pass
    for pid in processes(directory):
        try:
            os.kill(pid, signal)
        except ProcessLookupError:
            continue


def mark(directory: str) -> None:
    """Note on a cgroup above a container's own that a runtime made it, where the kernel can (5.7); see `forget_parents`."""
    try:
        os.setxattr(directory, _MARK, b"1")
    except OSError:
        pass


def forget_parents(directory: str) -> None:
    """Remove the cgroups above one that is gone, as far as a runtime made them and nothing else is in them."""
    above = os.path.dirname(directory)
    try:
        while os.getxattr(above, _MARK):
            os.rmdir(above)
            above = os.path.dirname(above)
    except OSError:
        pass  # somebody else's, in use, or gone


def delete(directory: str, timeout: float = 30.0) -> None:
    """Remove the cgroup and those made below it; its last processes get `timeout` seconds to go. RuntimeFailure."""
    end = time.monotonic() + timeout
    for top, _, _ in os.walk(directory, topdown=False):
        while True:
            try:
                os.rmdir(top)
                break
            except FileNotFoundError:
                break
            except OSError as err:
                if err.errno != errno.EBUSY or time.monotonic() > end:
                    raise RuntimeFailure(f"cannot remove the cgroup {top}", err.strerror or str(err), stage="cgroup") from err
                time.sleep(0.005)
