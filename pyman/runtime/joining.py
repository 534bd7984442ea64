"""Init in namespaces of others: a process between it and the caller enters them first. The caller's child; such containers only.

Who enters a namespace, or mounts the file system that shows it (sysfs of a network, proc of a pid, mqueue of an ipc, cgroup2 of a cgroup
namespace), needs rights over the user namespace that owns it. The caller has them; the root of another user namespace has rights over what was
made in that one only. So what is joined is joined before init's user namespace, and these file systems come to init as descriptors.
"""

from __future__ import annotations

import fcntl
import os

from pyman.errors import PymanError, RuntimeFailure
from pyman.linux import fs, libc, passing, process
from pyman.runtime import channel as channels
from pyman.runtime import program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.init import Init

_GET_KIND = 0xB703  # ioctl NS_GET_NSTYPE (Linux 4.11)
_SHOWN_BY = {"proc": "pid", "sysfs": "network", "mqueue": "ipc", "cgroup": "cgroup"}
# MS_* -> MOUNT_ATTR_*; the first four have one bit in both.
_TIMES = ((libc.MS_NOATIME, 0x10), (libc.MS_STRICTATIME, 0x20), (libc.MS_NODIRATIME, 0x80))


def clone(flags: int, init: Init, keep: tuple[int, ...], user_ns: int, pid_ns: int, cgroup_fd: int) -> tuple[int, int]:
    """Clone init as the caller's child; (its pid, its new network namespace if `flags` asks for one, or -1). RuntimeFailure, OSError."""
    ours, theirs = channels.pair()

    def between() -> int:
        try:
            pid, netns = _between(flags, init, keep, user_ns, pid_ns, cgroup_fd)
            theirs.send("pid", netns, pid=pid)
        except PymanError as err:
            theirs.send("error", error=err.to_record())
        except OSError as err:
            theirs.send("refused", errno=err.errno, text=err.strerror or str(err))
        return 0

    others = tuple(fd for fd in (user_ns, pid_ns, cgroup_fd) if fd >= 0)
    helper = process.fork(between, "pyman:[join]", (*keep, *others, theirs.fileno()))
    theirs.close()
    try:
        message, netns = ours.receive()
    finally:
        ours.close()
        process.wait(helper)
    if message is None:
        raise OSError(1, "the process that joins others was killed")
    if message["kind"] == "refused":
        raise OSError(message["errno"], message["text"])
    return int(message["pid"]), netns


def _between(flags: int, init: Init, keep: tuple[int, ...], user_ns: int, pid_ns: int, cgroup_fd: int) -> tuple[int, int]:
    program.set_oom_score(init.spec["process"])  # now: its own procfs entry is about to be closed to it
    # Before processes of others can see this one, or init: their memory and descriptors must not be theirs to open.
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    mounts = [fd for fd in init.join if fcntl.ioctl(fd, _GET_KIND) & 0xFFFFFFFF == libc.CLONE_NEWNS]  # init goes there, at last
    wanted = [fd for fd in (*init.join, pid_ns) if fd >= 0 and fd not in mounts]
    left = [fd for fd in wanted if not _enter(fd, user_ns < 0)]
    made = _mount_ahead(init) if user_ns >= 0 else []
    if user_ns >= 0:
        # Its ids are init's to take: it is born with the caller's, to whom its control group belongs.
        libc.setns(user_ns, libc.CLONE_NEWUSER)
        libc.prctl(libc.PR_SET_DUMPABLE, 0)  # new rights may have set it
    for fd in left:  # the caller has no rights there, but in a user namespace of his own
        _enter(fd, True)
    netns = -1
    if flags & libc.CLONE_NEWNET:
        # Nobody may look into init's procfs entry, the caller neither: it gets the descriptor from here.
        libc.unshare(libc.CLONE_NEWNET)
        netns = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    init.join = mounts
    kept = (*(fd for fd in keep if fd not in wanted), *made)
    return process.clone(flags & ~libc.CLONE_NEWNET | libc.CLONE_PARENT, init.main, "pyman:[init]", kept, cgroup_fd), netns


def _enter(fd: int, last: bool) -> bool:
    """Enter a namespace; without the right to, False, or if this was the last try RuntimeFailure."""
    try:
        libc.setns(fd)
    except OSError as err:
        if err.errno == 1 and not last:
            return False
        what = f"cannot join the namespace {os.readlink(f'/proc/self/fd/{fd}')}"
        raise RuntimeFailure(what, err.strerror or str(err), stage="join", errno=err.errno or 0) from err
    return True


def _mount_ahead(init: Init) -> list[int]:
    """The file systems that show what was joined, into init's steps as descriptors; these."""
    joined = {entry["type"] for entry in init.spec["linux"]["namespaces"] if entry.get("path")}
    made = []
    for step in init.steps:
        if step[1] == "mount" and step[2].get("how") in ("new", "cgroup") and _SHOWN_BY.get(step[2]["type"]) in joined:
            item = step[2]
            try:
                item["made"] = _in_child(item) if item["type"] == "proc" else _file_system(item)
            except OSError:
                continue  # init tries it, and its error names the mount
            made.append(item["made"])
    return made


def _file_system(item: dict[str, Any]) -> int:
    words = [word for option in item["data"] for word in option.split(",")]
    settings = [(key, value if equals else None) for key, equals, value in (word.partition("=") for word in words)]
    kind = "cgroup2" if item["type"] == "cgroup" else item["type"]
    attributes = item["flags"] & 0xF
    for flag, attribute in _TIMES:
        attributes |= attribute if item["flags"] & flag else 0
    return fs.detached(kind, [("source", item["source"] or kind), *settings], attributes)


def _in_child(item: dict[str, Any]) -> int:
    """proc shows the namespace that its maker is in, and who enters a pid namespace is not in it: its next child is. OSError."""
    ours, theirs = channels.pair()

    def body() -> int:
        passing.send(theirs.sock, _file_system(item), b"made")
        return 0

    pid = process.clone(0, body, "pyman:[join]", (theirs.fileno(),))
    theirs.close()
    try:
        _, fd = passing.receive(ours.sock)
    finally:
        ours.close()
        process.wait(pid)
    if fd < 0:
        raise OSError(1, "no proc can be made")
    return fd
