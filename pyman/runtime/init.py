"""The container's init until it executes the user's program. Runs in the new namespaces; imports nothing after the clone.

Stages, in order: userns, join, hostname, loopback, mounts, devices, console, mask, sysctl, pivot, (ready, start),
workdir, user, exec. Each failure is sent to the parent with its stage.
"""

from __future__ import annotations

import _socket
import fcntl
import os

from pyman.errors import PymanError, RuntimeFailure
from pyman.linux import libc, tty
from pyman.runtime import channel as channels
from pyman.runtime import program, rootfs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.channel import Channel
    from pyman.runtime.extras import Extras


class Init:
    """What init needs, gathered before the clone."""

    __slots__ = (
        "bpf",
        "channel",
        "die_with_parent",
        "extras",
        "gate_fd",
        "held",
        "join",
        "joins_others",
        "late_cgroupns",
        "new_user",
        "preserve",
        "spec",
        "stage",
        "stdio",
    )

    def __init__(
        self,
        spec: dict[str, Any],
        channel: Channel,
        stdio: tuple[int, int, int],
        join: list[int],
        new_user: bool,
        bpf: bytes,
        preserve: tuple[int, ...],
    ) -> None:
        self.spec = spec
        self.channel = channel
        self.stdio = stdio
        self.join = join
        self.new_user = new_user
        self.bpf = bpf
        self.preserve = preserve
        self.gate_fd = -1
        self.die_with_parent = False
        self.late_cgroupns = False  # it is in its own cgroup, and makes the namespace there
        self.extras: Extras | None = None  # what only some specs ask for
        self.held = False  # wait for "go" before the first step
        self.joins_others = False  # namespaces of another container
        self.stage = "start"

    def main(self) -> int:
        """Body of the cloned process; returns only on failure, which the parent has been told."""
        try:
            self._run()
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
        spec, process = self.spec, self.spec["process"]
        linux = spec.get("linux") or {}
        self._enter_namespaces()
        os.setsid()
        if self.extras is None or not self.extras.no_new_keyring:
            libc.new_session_keyring()
        self.stage = "hostname"
        if spec.get("hostname"):
            _socket.sethostname(spec["hostname"])
        if spec.get("domainname"):
            libc.setdomainname(spec["domainname"])
        root = None
        if self._has("mount"):
            root = self._build_root(spec, linux)
        slave = self._console(root, process) if process.get("terminal") else -1
        if root is not None:
            self.stage = "sysctl"
            rootfs.write_sysctls(root, linux.get("sysctl") or {})
            self.stage = "mask"
            rootfs.mask(root, linux.get("maskedPaths") or [], linux.get("readonlyPaths") or [])
            self._enter_root(root, bool(spec["root"].get("readonly")))
        program.set_personality(linux)
        self._finish(process, slave)

    def _enter_root(self, root: rootfs.Root, readonly: bool) -> None:
        if self.extras is not None:
            self.stage = "hooks"
            self.extras.before_pivot(root, self.channel)
        self.stage = "pivot"
        if self.extras is None or not self.extras.pivot(root, readonly):
            rootfs.pivot(root, readonly)
        if self.extras is not None:
            self.extras.entered()

    def _has(self, kind: str) -> bool:
        return any(ns["type"] == kind for ns in self.spec["linux"]["namespaces"])

    def _created(self, kind: str) -> bool:
        return any(ns["type"] == kind and not ns.get("path") for ns in self.spec["linux"]["namespaces"])

    def _enter_namespaces(self) -> None:
        self.stage = "userns"
        if self.held:
            message, _ = self.channel.expect("go", "userns")
            if self.extras is not None:
                self.extras.state["pid"] = message["pid"]
        program.set_oom_score(self.spec["process"])
        self.stage = "join"
        if self.joins_others and not self.new_user:
            # Before another container's processes can see this one: its memory and descriptors must not be theirs to open.
            libc.prctl(libc.PR_SET_DUMPABLE, 0)
        for fd in self.join:
            try:
                libc.setns(fd)
            except OSError as err:
                what = f"cannot join the namespace {os.readlink(f'/proc/self/fd/{fd}')}"
                raise RuntimeFailure(what, err.strerror or str(err), stage="join", errno=err.errno or 0) from err
            os.close(fd)
        if self.new_user:
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
        if self.late_cgroupns:
            self.stage = "namespaces"
            libc.unshare(libc.CLONE_NEWCGROUP)
        if self.extras is not None:
            self.stage = "namespaces"
            self.extras.enter(self.joins_others)
        self.stage = "loopback"
        if self._created("network"):
            _loopback_up()

    def _build_root(self, spec: dict[str, Any], linux: dict[str, Any]) -> rootfs.Root:
        self.stage = "root"
        if self.extras is None:
            root = rootfs.Root(spec["root"]["path"])
        else:
            root = rootfs.Root(spec["root"]["path"], self.extras.propagation(), self.extras.root_tree)
        self.stage = "mounts"
        rootfs.mount_all(root, spec.get("mounts") or [])
        self.stage = "devices"
        if any(mount["destination"] == "/dev" and mount.get("type") == "tmpfs" for mount in spec.get("mounts") or []):
            rootfs.make_devices(root, linux.get("devices") or [])
        return root

    def _console(self, root: rootfs.Root | None, process: dict[str, Any]) -> int:
        """Allocate the pty in the container's own devpts, bind it at /dev/console, send its master to the parent."""
        self.stage = "console"
        if root is not None:
            master = root.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY, strict=True)
        else:
            master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        slave = tty.open_pty(master)
        user = process.get("user") or {}
        os.fchown(slave, user.get("uid", 0), -1)
        size = process.get("consoleSize") or {}
        if size.get("height") and size.get("width"):
            tty.set_size(master, size["height"], size["width"])
        if root is not None:
            target = root.make_file("/dev/console")
            rootfs.attach(root, slave, target, "/dev/console")
            os.close(target)
        self.channel.send("console", master)
        os.close(master)
        return slave

    def _finish(self, process: dict[str, Any], slave: int) -> None:
        if self.gate_fd >= 0:
            # Nobody will listen at the start: what can be known about the program is said now, as managers expect it.
            self.stage = "exec"
            look_up(process)
            self._take_streams(slave)  # the creator's own must not be kept open until the start
        self.stage = "ready"
        self.channel.send("ready")
        self.stage = "start"
        if self.gate_fd >= 0:
            os.read(self.gate_fd, 1)  # the creating program has gone; another one, `start`, writes here
        else:
            self.channel.expect("start", "start")
            self._take_streams(slave)
        program.close_at_exec(self.preserve)
        if self.extras is not None:
            self.stage = "hooks"
            self.extras.before_program()
        program.run_program(self, process)

    def _take_streams(self, slave: int) -> None:
        if slave >= 0:
            tty.make_controlling(slave)
        else:
            for number, fd in enumerate(self.stdio):
                os.dup2(fd, number)


def look_up(process: dict[str, Any]) -> None:
    """Whether the program is there. CommandNotFound (127), CannotInvoke (126)."""
    try:
        program.enter_directory(process.get("cwd") or "/")
    except PymanError:
        return  # its user may enter it, or the mount comes later
    program.find_program(process["args"], program.environment(process))
    os.chdir("/")


def _loopback_up() -> None:
    """SIOCSIFFLAGS IFF_UP on lo: a new network namespace has it down."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    fcntl.ioctl(sock.fileno(), 0x8914, b"lo".ljust(16, b"\0") + (1).to_bytes(2, "little") + b"\0" * 22)
    sock.close()
