"""Run a further process in a running container: join init's namespaces, then the same last steps as init."""

from __future__ import annotations

import os

from pyman.errors import PymanError, RuntimeFailure, StateError
from pyman.linux import fs, libc, process
from pyman.runtime import channel as channels
from pyman.runtime import plan_program
from pyman.runtime.channel import Created
from pyman.runtime.program import Program, close_at_exec, set_oom_score

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from pyman.runtime.channel import Channel
    from pyman.runtime.exec_extras import ExecExtras

_KINDS = {
    "user": libc.CLONE_NEWUSER,
    "cgroup": libc.CLONE_NEWCGROUP,
    "ipc": libc.CLONE_NEWIPC,
    "uts": libc.CLONE_NEWUTS,
    "net": libc.CLONE_NEWNET,
    "pid": libc.CLONE_NEWPID,
    "mnt": libc.CLONE_NEWNS,
}


class ExecInit(Program):
    """The process that becomes the command; see runtime/init.py for the protocol."""

    __slots__ = ("preserve", "stdio", "tty")

    def __init__(
        self, process_spec: dict[str, Any], channel: Channel, stdio: tuple[int, int, int], bpf: bytes, preserve: tuple[int, ...]
    ) -> None:
        super().__init__(process_spec, channel, bpf)
        self.stdio = stdio
        self.preserve = preserve
        self.tty: ModuleType | None = None  # linux/tty.py, with a terminal

    def main(self) -> int:
        """Body of the process inside the container; returns only on failure, which the caller has been told."""
        try:
            self._run()
        except PymanError as err:
            err.stage = err.stage or self.stage
            self.channel.send("error", error=err.to_record())
        except OSError as err:
            self.channel.send("error", error=channels.failure(self.stage, err).to_record())
        except Exception as err:  # the process edge: silence would look like a good exec to the parent
            self.channel.send("error", error=channels.failure(self.stage, OSError(22, f"{type(err).__name__}: {err}")).to_record())
        return 1

    def _run(self) -> None:
        os.setsid()
        if self.process.get("terminal"):
            self.stage = "console"
            master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW)
            if fs.magic(master) != fs.DEVPTS_SUPER_MAGIC:
                raise RuntimeFailure("cannot create a terminal", "the container's /dev/pts is not devpts", stage="console")
            assert self.tty is not None
            slave = self.tty.open_pty(master)
            size = self.process.get("consoleSize") or {}
            if size:
                self.tty.set_size(slave, size.get("height", 0), size.get("width", 0))
            os.fchown(slave, (self.process.get("user") or {}).get("uid", 0), -1)
            self.channel.send("console", master)
            os.close(master)
            self.tty.make_controlling(slave)
        else:
            for number, fd in enumerate(self.stdio):
                os.dup2(fd, number)
        close_at_exec(self.preserve)
        if self.extras is not None:
            self.stage = "process"
            self.extras.before_program()
        self.carry_out(plan_program.program(self.process, bool(self.bpf)))


def exec_process(
    init_pid: int,
    process_spec: dict[str, Any],
    *,
    stdio: tuple[int, int, int],
    preserve: tuple[int, ...] = (),
    seccomp_spec: dict[str, Any] | None = None,
    extras: ExecExtras | None = None,
    alone: bool = False,
) -> Created:
    """Start a process in the namespaces of `init_pid`. The caller is uid 0 of init's (outer) user namespace and its parent afterwards.

    extras: what only some processes ask for, see runtime/exec_extras.py. alone: the caller makes no process afterwards, so it may
    itself enter the user and pid namespace, for that one.
    StateError if init has ended; CommandNotFound (127), CannotInvoke (126), RuntimeFailure.
    """
    bpf = b""
    if seccomp_spec:
        from pyman.linux import seccomp

        bpf = seccomp.program(seccomp_spec)
    pidfd, flags = _target(init_pid)
    ours, theirs = channels.pair() if process_spec.get("terminal") else channels.pipe()
    init = ExecInit(process_spec, theirs, stdio, bpf, preserve)
    if process_spec.get("terminal"):
        from pyman.linux import tty

        init.tty = tty
    init.extras = extras
    more = extras.parent_prepare() if extras is not None else ()
    keep = (theirs.fileno(), *stdio, *preserve, *more)
    if alone and _is_plain(init, flags):
        pid = _join_alone(init, pidfd, flags, keep)
    else:
        pid = _join(init, pidfd, flags, keep)
    os.close(pidfd)
    theirs.close()
    if extras is not None:
        extras.parent_close()
        if not pid:
            ours.receive()  # raises what it reports
    if not pid:
        raise RuntimeFailure("cannot execute a command in the container", "joining its namespaces failed; did it just end?", stage="join")
    return _executed(Created(pid, ours, bool(process_spec.get("terminal"))))


def _target(init_pid: int) -> tuple[int, int]:
    """(pidfd of init, the namespaces of its that are not ours). StateError if it has ended."""
    try:
        pidfd = libc.pidfd_open(init_pid)
        flags = 0
        for kind, flag in _KINDS.items():
            # Joining a namespace one already is in is refused for user namespaces, and useless for the others.
            if os.stat(f"/proc/{init_pid}/ns/{kind}").st_ino != os.stat(f"/proc/self/ns/{kind}").st_ino:
                flags |= flag
    except (ProcessLookupError, FileNotFoundError):  # the second: it is dead, but processes of its namespace still end
        raise StateError("cannot execute a command in the container", "it has ended") from None
    return pidfd, flags


def _join(init: ExecInit, pidfd: int, flags: int, keep: tuple[int, ...]) -> int:
    """Clone the process inside the namespaces, from one that joins them; its pid, 0 if that failed."""
    read_end, write_end = os.pipe()

    def joiner() -> int:
        set_oom_score(init.process)
        if not _before_join(init):
            return 1
        # Before the container's processes can see this one: its memory and descriptors must not be theirs to open.
        libc.prctl(libc.PR_SET_DUMPABLE, 0)
        libc.setns(pidfd, flags)
        _become_root(flags)
        pid = process.clone(libc.CLONE_PARENT, init.main, "pyman:[exec]", keep)
        os.write(write_end, b"%d" % pid)
        return 0

    helper = _born_in_cgroup(joiner, "pyman:[join]", (*keep, pidfd, write_end), init.extras)
    os.close(write_end)
    text = os.read(read_end, 32)
    os.close(read_end)
    process.wait(helper)
    return int(text or b"0")


def _before_join(init: ExecInit) -> bool:
    """What is to be done with the host still in reach; false if it failed, which the caller has been told."""
    if init.extras is not None:
        try:
            init.extras.before_join()
        except PymanError as err:
            init.channel.send("error", error=err.to_record())
            return False
    return True


def _become_root(flags: int) -> None:
    """Root of the user namespace, if one was joined; still not dumpable."""
    if flags & libc.CLONE_NEWUSER:
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        libc.prctl(libc.PR_SET_DUMPABLE, 0)  # the change of ids may have set it


def _is_plain(init: ExecInit, flags: int) -> bool:
    """Whether all that is to be done before the namespaces are joined can be done by the process itself, already in its pid namespace.

    Only where the container has a user namespace of its own: its processes have no rights over the one in which this program was
    executed, so none of them, whatever its capabilities, can trace a process that is not dumpable and still sees the host's files.
    """
    if not flags & libc.CLONE_NEWUSER:
        return False
    if os.geteuid() == 0:
        return False  # root would lose its rights outside, which it may need for what follows
    return init.process.get("oomScoreAdj") is None and (init.extras is None or init.extras.is_plain())


def _join_alone(init: ExecInit, pidfd: int, flags: int, keep: tuple[int, ...]) -> int:
    """As _join, without the process between: to fork an interpreter costs more than all else that exec asks of the kernel."""
    outer = flags & (libc.CLONE_NEWUSER | libc.CLONE_NEWPID)

    def body() -> int:
        if not _before_join(init):
            return 1
        if flags != outer:
            init.stage = "join"
            try:
                libc.setns(pidfd, flags & ~outer)
            except OSError as err:
                init.channel.send("error", error=channels.failure("join", err).to_record())
                return 1
        _become_root(flags)
        return init.main()

    # The child is born where the container's processes see it, and this one is in their user namespace from now on: the memory
    # and descriptors of both must not be theirs to open.
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    try:
        if outer:
            libc.setns(pidfd, outer)
        return _born_in_cgroup(body, "pyman:[exec]", (*keep, pidfd), init.extras)
    except OSError:
        return 0


def _executed(created: Created) -> Created:
    """Wait until the process executes its program; its error is raised here."""
    try:
        if created.terminal:
            _, created.console = created.channel.expect("console", "console")
        message, _ = created.channel.receive()
    except PymanError:
        process.wait(created.pid)
        raise
    if message is not None:
        raise RuntimeFailure("cannot execute a command in the container", f"unexpected message {message['kind']}", stage="exec")
    created.channel.close()
    return created


def _born_in_cgroup(body: Callable[[], int], name: str, keep: tuple[int, ...], extras: ExecExtras | None) -> int:
    """Clone a process, in the container's cgroup where the kernel can do that (clone3, Linux 5.7). Its pid."""
    if extras is not None and extras.may_be_born_in_cgroup():
        try:
            fd = os.open(extras.cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                extras.born_in_cgroup = True
                return process.clone(0, body, name, keep, fd)
            finally:
                os.close(fd)
        except OSError:
            extras.born_in_cgroup = False  # it moves there by itself, which says what is wrong
    return process.clone(0, body, name, keep)
