"""The container's init until it executes the user's program. Runs in the new namespaces; imports nothing after the clone.

After its namespaces are entered (stages userns, join, namespaces, loopback) it carries out the steps of runtime/plan.py, each in its
stage. Each failure is sent to the parent with its stage.
"""

from __future__ import annotations

import _socket
import fcntl
import os

from pyman.errors import PymanError, RuntimeFailure
from pyman.linux import libc, process, tty
from pyman.runtime import channel as channels
from pyman.runtime import mounts, plan, plan_program, program, rootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.runtime.channel import Channel
    from pyman.runtime.plan import Step


class Init(program.Program):
    """What init needs, gathered before the clone."""

    __slots__ = (
        "die_with_parent",
        "gate_fd",
        "held",
        "join",
        "joins_others",
        "late_cgroupns",
        "other_user",
        "outcome_fd",
        "preserve",
        "root",
        "slave",
        "spec",
        "stdio",
        "steps",
    )

    def __init__(
        self,
        spec: dict[str, Any],
        channel: Channel,
        stdio: tuple[int, int, int],
        join: list[int],
        other_user: bool,
        bpf: bytes,
        preserve: tuple[int, ...],
    ) -> None:
        super().__init__(spec["process"], channel, bpf)
        self.spec = spec
        self.stdio = stdio
        self.join = join
        self.other_user = other_user  # not the caller's: new, or joined
        self.preserve = preserve
        self.gate_fd = self.outcome_fd = -1  # see runtime/start.py
        self.steps: list[plan.Step] = []
        self.die_with_parent = False
        self.late_cgroupns = False  # it is in its own cgroup, and makes the namespace there
        self.held = False  # wait for "go" before the first step
        self.joins_others = False  # namespaces of another container
        self.root: rootfs.Root | None = None
        self.slave = -1  # of its terminal

    def main(self) -> int:
        """Body of the cloned process; returns only on failure, which the parent has been told."""
        return self._guarded(self._run)

    def _guarded(self, work: Callable[[], None]) -> int:
        try:
            work()
            return 0
        except PymanError as err:
            err.stage = err.stage or self.stage
            self._tell(err)
        except OSError as err:
            self._tell(channels.failure(self.stage, err))
        except Exception as err:  # the process edge: silence would look like a good exec to the parent
            self._tell(channels.failure(self.stage, OSError(22, f"invalid configuration: {type(err).__name__}: {err}")))
        return 1

    def _tell(self, err: PymanError) -> None:
        try:
            self.channel.send("error", error=err.to_record())
        except OSError:
            pass  # the parent has gone: nobody to tell

    def _run(self) -> None:
        self._enter_namespaces()
        self.carry_out(self.steps)

    def plan(self) -> None:
        """What is to be done. In the parent, before the clone: a spec that nobody can carry out starts nothing. RuntimeFailure."""
        program_steps = plan_program.program(self.process, bool(self.bpf), self.die_with_parent)
        rehearsed = plan_program.rehearsal(program_steps) if self.outcome_fd >= 0 else None
        self.steps = plan.container(self.spec, self.gate_fd >= 0, rehearsed) + program_steps

    def _enter_namespaces(self) -> None:
        self.stage = "userns"
        if self.held:
            message, _ = self.channel.expect("go", "userns")
            if self.extras is not None:
                self.extras.state["pid"] = message["pid"]
        program.set_oom_score(self.spec["process"])
        self.stage = "join"
        if self.joins_others:
            # Before another container's processes can see this one: its memory and descriptors must not be theirs to open.
            libc.prctl(libc.PR_SET_DUMPABLE, 0)
        for fd in self.join:
            try:
                libc.setns(fd)
            except OSError as err:
                what = f"cannot join the namespace {os.readlink(f'/proc/self/fd/{fd}')}"
                raise RuntimeFailure(what, err.strerror or str(err), stage="join", errno=err.errno or 0) from err
            os.close(fd)
        if self.other_user:
            try:
                if not self.spec["process"].get("keepGroups"):
                    os.setgroups([])
            except PermissionError:
                pass
            # A container may have no id 0; its first process has all capabilities all the same.
            linux = self.spec["linux"]
            if any(entry["containerID"] == 0 for entry in linux.get("gidMappings") or [{"containerID": 0}]):
                os.setresgid(0, 0, 0)
            if any(entry["containerID"] == 0 for entry in linux.get("uidMappings") or [{"containerID": 0}]):
                os.setresuid(0, 0, 0)
            if self.joins_others:
                libc.prctl(libc.PR_SET_DUMPABLE, 0)  # the change of ids may have set it
        if self.late_cgroupns:
            self.stage = "namespaces"
            libc.unshare(libc.CLONE_NEWCGROUP)
        if self.extras is not None:
            self.stage = "namespaces"
            self.extras.enter(self.joins_others)
        self.stage = "loopback"
        if any(ns["type"] == "network" and not ns.get("path") for ns in self.spec["linux"]["namespaces"]):
            _loopback_up()

    def do_session(self) -> None:
        """A session of its own."""
        os.setsid()

    def do_keyring(self) -> None:
        """A keyring of its own, unless the caller's was asked for."""
        if self.extras is None or not self.extras.no_new_keyring:
            libc.new_session_keyring()

    def do_hostname(self, name: str) -> None:
        """The host name of its uts namespace."""
        _socket.sethostname(name)

    def do_domainname(self, name: str) -> None:
        """Its NIS domain."""
        libc.setdomainname(name)

    def do_sources(self, items: list[dict[str, Any]]) -> None:
        """Copies of the sources that are to stay below the host's mounts, before its tree is cut off."""
        mounts.open_sources(items)

    def do_root(self, path: str) -> None:
        """The host's tree cut off, the root's directory a mount."""
        if self.extras is None:
            self.root = rootfs.Root(path)
        else:
            self.root = rootfs.Root(path, self.extras.propagation(), self.extras.root_tree)

    def do_mount(self, item: dict[str, Any]) -> None:
        """One mount."""
        mounts.make(self._top(), item)

    def do_readonly(self) -> None:
        """Those mounts that have others inside."""
        mounts.make_readonly(self._top())

    def do_bind_device(self, source: str, target: str) -> None:
        """A node of the host's."""
        rootfs.bind_device(self._top(), source, target)

    def do_device(self, device: dict[str, Any]) -> None:
        """One of the spec's."""
        rootfs.make_device(self._top(), device)

    def do_device_links(self) -> None:
        """/dev/stdin and its like."""
        rootfs.link_devices(self._top())

    def do_console(self, uid: int, size: dict[str, int]) -> None:
        """Allocate the pty in the container's own devpts, bind it at /dev/console, send its master to the parent."""
        if self.root is not None:
            master = self.root.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY, strict=True)
        else:
            master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        self.slave = tty.open_pty(master)
        os.fchown(self.slave, uid, -1)
        if size.get("height") and size.get("width"):
            tty.set_size(master, size["height"], size["width"])
        if self.root is not None:
            target = self.root.make_file("/dev/console")
            rootfs.attach(self.root, self.slave, target, "/dev/console")
            os.close(target)
        self.channel.send("console", master)
        os.close(master)

    def do_sysctls(self, values: dict[str, str]) -> None:
        """Those of its namespaces."""
        rootfs.write_sysctls(self._top(), values)

    def do_mask(self, masked: list[str], readonly: list[str]) -> None:
        """Paths hidden and made read-only."""
        rootfs.mask(self._top(), masked, readonly)

    def do_before_pivot(self) -> None:
        """Hooks."""
        if self.extras is not None:
            self.extras.before_pivot(self.root, self.channel)

    def do_pivot(self, readonly: bool) -> None:
        """The root becomes "/"."""
        if self.extras is None or not self.extras.pivot(self.root, readonly):
            rootfs.pivot(self._top(), readonly)

    def do_entered(self) -> None:
        """The root's own propagation."""
        if self.extras is not None:
            self.extras.entered()

    def do_personality(self, domain: str) -> None:
        """The execution domain (config-linux.md "Personality"). RuntimeFailure."""
        if domain not in ("LINUX", "LINUX32"):
            raise RuntimeFailure(f"cannot set the personality {domain!r}", "it must be LINUX or LINUX32", stage="personality")
        libc.personality(8 if domain == "LINUX32" else 0)

    def do_look_up(self) -> None:
        """Whether the program is there, as managers expect it to be known at the creation."""
        program.look_up(self.process)

    def do_rehearse(self, steps: list[Step]) -> None:
        """Try what follows the start in a child: its error is the creation's, as managers expect."""

        def body() -> None:
            if self.extras is not None:
                self.extras.rehearse()
            self.carry_out(steps)

        try:
            pid = process.fork(lambda: self._guarded(body), "pyman:[init]", (self.channel.fileno(),))
        except OSError:
            return  # it may have one process only: the start will tell
        if process.wait(pid):
            os._exit(1)  # the parent has been told

    def do_ready(self) -> None:
        """Tell the parent."""
        self.channel.send("ready")

    def do_wait(self) -> None:
        """For the start."""
        if self.gate_fd >= 0:
            os.read(self.gate_fd, 1)  # the creating program has gone; another one, `start`, writes here
            if self.outcome_fd >= 0:
                self.channel = channels.Pipe(self.outcome_fd)
        else:
            self.channel.expect("start", "start")

    def do_streams(self) -> None:
        """Its standard streams, or its terminal."""
        if self.slave >= 0:
            tty.make_controlling(self.slave)
        else:
            for number, fd in enumerate(self.stdio):
                os.dup2(fd, number)

    def do_close_at_exec(self) -> None:
        """All descriptors but those it was to keep."""
        program.close_at_exec(self.preserve)

    def do_before_program(self) -> None:
        """What only some containers ask for, with all privileges."""
        if self.extras is not None:
            self.extras.before_program()

    def _top(self) -> rootfs.Root:
        assert self.root is not None  # plan.container makes no such steps without a mount namespace
        return self.root


def _loopback_up() -> None:
    """SIOCSIFFLAGS IFF_UP on lo: a new network namespace has it down."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    fcntl.ioctl(sock.fileno(), 0x8914, b"lo".ljust(16, b"\0") + (1).to_bytes(2, "little") + b"\0" * 22)
    sock.close()
