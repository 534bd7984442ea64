"""OCI create: clone init into its namespaces and wait until its root is built. The caller becomes init's parent.

Called by process C (uid 0 with all capabilities in U1) or by the pyman-runtime program.
"""

from __future__ import annotations

import errno
import fcntl
import os

from pyman.errors import RuntimeFailure
from pyman.linux import libc, process, seccomp
from pyman.runtime import channel as channels
from pyman.runtime import start
from pyman.runtime.channel import Created
from pyman.runtime.init import Init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.extras import Extras

_FLAGS = {
    "mount": libc.CLONE_NEWNS,
    "pid": libc.CLONE_NEWPID,
    "network": libc.CLONE_NEWNET,
    "ipc": libc.CLONE_NEWIPC,
    "uts": libc.CLONE_NEWUTS,
    "cgroup": libc.CLONE_NEWCGROUP,
    "user": libc.CLONE_NEWUSER,
    "time": libc.CLONE_NEWTIME,
}
_NS_GET_NSTYPE = 0xB703  # the CLONE_NEW* flag of a namespace (Linux 4.11)


def syscall_filter(spec: dict[str, Any]) -> bytes:
    """The BPF program of linux.seccomp, empty without one. May be made ahead of `begin`. MissingProgram, RuntimeFailure."""
    description = spec["linux"].get("seccomp")
    return seccomp.program(description) if description else b""


def begin(
    spec: dict[str, Any],
    *,
    bundle: str,
    container_id: str,
    stdio: tuple[int, int, int],
    preserve: tuple[int, ...] = (),
    gate: str = "",
    netns_fd: int = -1,
    die_with_parent: bool = False,
    extras: Extras | None = None,
    bpf: bytes | None = None,
    cgroup: str = "",
) -> Created:
    """Clone init into the namespaces of `spec` (OCI runtime-spec, config.md "Linux Namespaces"); it starts to build its root.

    stdio: descriptors for its standard streams (unused with a terminal). preserve: further ones that it keeps, under their numbers.
    gate: path of a FIFO that init waits at instead of the caller's channel, when the caller ends before the start.
    die_with_parent: the kernel kills init when the caller (later the monitor) dies: nobody would learn how it ended.
    netns_fd: a fresh network namespace made ahead, used where `spec` asks for a new one; the descriptor stays open.
    extras: what only some specs ask for, see runtime/extras.py. bpf: what `syscall_filter` gave for this spec, if that was called before.
    cgroup: directory of the cgroup v2 that init is born in (Linux 5.7), or empty for the caller's.
    RuntimeFailure.
    """
    root = spec["root"]["path"]
    if not root.startswith("/"):
        spec["root"]["path"] = os.path.join(bundle, root)
    bpf = syscall_filter(spec) if bpf is None else bpf
    flags, pid_ns, user_ns, join, premade = _sort(spec["linux"]["namespaces"], netns_fd)
    joins_others = len(join) > int(premade) or user_ns >= 0
    if flags & libc.CLONE_NEWUSER and (joins_others or pid_ns >= 0 or os.geteuid() == 0):
        from pyman.runtime import id_maps  # such containers only

        # Made ahead: to have its ids mapped init would have to be open, to a container that sees the host's processes, too.
        user_ns = id_maps.namespace(spec["linux"].get("uidMappings") or [], spec["linux"].get("gidMappings") or [])
        flags, joins_others = flags & ~libc.CLONE_NEWUSER, True
    new_user = bool(flags & libc.CLONE_NEWUSER)
    ours, theirs = channels.pair()
    init = Init(spec, theirs, stdio, join, new_user or user_ns >= 0, bpf, preserve)
    init.die_with_parent = die_with_parent
    init.joins_others = joins_others
    init.held = new_user or joins_others or extras is not None
    more: tuple[int, ...] = ()
    if extras is not None:
        init.extras = extras
        flags &= ~extras.late_flags
        more = extras.parent_prepare()
    if gate:
        init.gate_fd, init.outcome_fd = start.open_ends(gate)
    init.plan()
    place = cgroup or (extras.cgroup if extras is not None else "")
    cgroup_fd = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if place else -1
    if cgroup and flags & libc.CLONE_NEWCGROUP:
        # A cgroup namespace begins where its maker is, which at the clone would still be the caller's group.
        init.late_cgroupns, flags = True, flags & ~libc.CLONE_NEWCGROUP
    if init.other_user:  # sources that the caller opened for it
        more += tuple(entry["tree_fd"] for entry in spec.get("mounts") or [] if "tree_fd" in entry)
    keep = (theirs.fileno(), *(fd for fd in (init.gate_fd, init.outcome_fd) if fd >= 0), *stdio, *join, *preserve, *more)
    try:
        pid, netns = _born(flags, init, keep, user_ns, pid_ns, cgroup_fd)
    finally:
        for fd in (cgroup_fd, user_ns, pid_ns):
            if fd >= 0:
                os.close(fd)
    theirs.close()
    created = Created(pid, ours, bool(spec["process"].get("terminal")))
    created.netns_fd = netns
    _set_up(created, init, flags)
    return created


def _set_up(created: Created, init: Init, flags: int) -> None:
    """The caller's part while init waits: copies of descriptors closed, ids mapped, init let go. RuntimeFailure."""
    for fd in (init.gate_fd, init.outcome_fd, *init.join):
        if fd >= 0:
            os.close(fd)
    if init.extras is not None:
        init.extras.parent_close()
    if flags & libc.CLONE_NEWNET and created.netns_fd < 0:
        # While init is held it is dumpable: later nobody may look into its /proc entry.
        created.netns_fd = os.open(f"/proc/{created.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    if flags & libc.CLONE_NEWUSER:
        from pyman.runtime import id_maps  # containers with a user namespace of their own only

        id_maps.write(created.pid, init.spec["linux"])
    created.extras = init.extras
    _let_go(created, init)


def _born(flags: int, init: Init, keep: tuple[int, ...], user_ns: int, pid_ns: int, cgroup_fd: int) -> tuple[int, int]:
    """Init's pid; its new network namespace, or -1. RuntimeFailure."""
    try:
        try:
            found = _clone(flags, init, keep, user_ns, pid_ns, cgroup_fd)
            if init.extras is not None:
                init.extras.born_in_cgroup = cgroup_fd >= 0
            return found
        except OSError:
            if cgroup_fd < 0 or init.extras is None:
                raise
            return _clone(flags, init, keep, user_ns, pid_ns, -1)  # Linux before 5.7: it is moved there
    except OSError as err:
        raise _refused(err) from err


def _let_go(created: Created, init: Init) -> None:
    """Do what init waits for, and tell it."""
    if init.extras is not None:
        try:
            init.extras.parent_cloned(created.pid)
        except BaseException:
            os.kill(created.pid, 9)
            process.wait(created.pid)
            raise
        created.channel.tell("go", "namespaces", pid=created.pid)
    elif init.held:
        created.channel.tell("go", "namespaces")


def _sort(namespaces: list[dict[str, Any]], netns_fd: int) -> tuple[int, int, int, list[int], bool]:
    """(clone flags, pid namespace to join, user namespace to join, others to join, whether the network namespace made ahead is used)."""
    flags, pid_ns, user_ns, premade = 0, -1, -1, False
    join: list[int] = []
    for namespace in namespaces:
        kind, path = namespace["type"], namespace.get("path")
        if kind not in _FLAGS:
            raise RuntimeFailure(f"cannot create namespace {kind!r}", "unknown type", stage="namespaces")
        if not path:
            if kind == "network" and netns_fd >= 0:
                premade = True
                join.append(os.dup(netns_fd))
            else:
                flags |= _FLAGS[kind]
            continue
        fd = _open_namespace(kind, path)
        if kind == "pid":
            pid_ns = fd
        elif kind == "user":
            user_ns = fd  # before the clone: it shall own the namespaces made there
        else:
            join.append(fd)
    return flags, pid_ns, user_ns, join, premade


def _open_namespace(kind: str, path: str) -> int:
    """Descriptor of the namespace at `path`. RuntimeFailure if there is none of this kind."""
    what, fd = f"cannot join the {kind} namespace {path}", -1
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # what is a FIFO there must not make us wait
        found = fcntl.ioctl(fd, _NS_GET_NSTYPE) & 0xFFFFFFFF
        if found == _FLAGS[kind]:
            return fd
        why, number = f"it is a {next((name for name in _FLAGS if _FLAGS[name] == found), 'different')} namespace", errno.EINVAL
    except OSError as err:
        why, number = "it is no namespace" if err.errno == errno.ENOTTY else err.strerror or str(err), err.errno or 0
    if fd >= 0:
        os.close(fd)
    raise RuntimeFailure(what, why, stage="namespaces", errno=number)


def _refused(err: OSError) -> RuntimeFailure:
    return RuntimeFailure(
        "cannot create the container's namespaces",
        err.strerror or str(err),
        "pyman doctor tries each of them",
        stage="namespaces",
        errno=err.errno or 0,
    )


def _clone(flags: int, init: Init, keep: tuple[int, ...], user_ns: int, pid_ns: int, cgroup_fd: int) -> tuple[int, int]:
    if user_ns < 0 and pid_ns < 0:
        return process.clone(flags, init.main, "pyman:[init]", keep, cgroup_fd), -1
    from pyman.runtime import joining  # such containers only

    return joining.clone(flags, init, keep, user_ns, pid_ns, cgroup_fd)


def wait_created(created: Created) -> None:
    """Wait until init has built and entered its root. Raises the error init reports, with its stage."""
    if created.terminal:
        _, created.console = created.channel.expect("console", "console")
    if created.extras is not None:
        created.extras.parent_assist(created.channel)
    created.channel.expect("ready", "ready")
