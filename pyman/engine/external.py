"""Another OCI runtime (--runtime crun, runc, or a path) instead of ours: the same border, by its command line. Runs in C.

C is a child subreaper, so the runtime's orphaned init becomes its child, exactly as with our own runtime.
"""

from __future__ import annotations

import os

from pyman.digits import is_whole
from pyman.engine import cgroups
from pyman.errors import CannotInvoke, CommandNotFound, MissingProgram, PymanError, RuntimeFailure, UsageError
from pyman.linux import libc, process
from pyman.state import fastjson, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_SEARCH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")


def find(name: str, conf: dict[str, Any]) -> str:
    """The program of a runtime: a path, or a name looked up in containers.toml's runtimes and the usual places."""
    if "/" in name:
        candidates = [name]
    else:
        configured = (conf["engine"].get("runtimes") or {}).get(name) or []
        candidates = [*configured, *(f"{directory}/{name}" for directory in _SEARCH)]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return str(candidate)
    if "/" in name and os.path.exists(name):
        raise MissingProgram(f"cannot use the OCI runtime {name}", "it is no program that you may execute", f"look at it: ls -l {name}")
    raise MissingProgram(
        f"cannot find the OCI runtime {name}",
        "no such program",
        f"install it (as root: apt-get install {name}), or give its path with --runtime",
    )


class Runtime:
    """A container created by an external runtime; has the attributes of runtime.channel.Created."""

    __slots__ = ("channel", "command", "console", "id", "name", "netns_fd", "pid", "start_time")

    def __init__(self, container_id: str, name: str, conf: dict[str, Any], bundle: str) -> None:
        program = find(name, conf)
        self.id = container_id
        self.name = os.path.basename(program)
        self.channel = self.console = self.netns_fd = -1
        self.pid = self.start_time = 0
        extra = ["--cgroup-manager=disabled"] if self.name == "crun" else []
        self.command = [program, "--root", os.path.join(bundle, "oci"), *extra]

    def create(self, spec: dict[str, Any], bundle: str, stdio: tuple[int, int, int], cgroup: str, preserve: tuple[int, ...] = ()) -> None:
        """`RUNTIME create`; afterwards init waits for `start`, in the directory `cgroup` if there is one. RuntimeFailure with the
        runtime's own text.

        preserve: descriptors the container gets, from 3 on without a gap.
        """
        if preserve != tuple(range(3, 3 + len(preserve))):
            raise UsageError(
                "cannot preserve file descriptors",
                f"runtime {self.name} passes descriptors from 3 on without a gap",
                "use --preserve-fds",
            )
        # Limits come through our own driver; what the runtime does about cgroups on its own is taken away again.
        namespaces = [_reachable(entry) for entry in spec["linux"]["namespaces"]]
        spec = {**spec, "linux": {**spec["linux"], "resources": {}, "namespaces": namespaces}}
        flow = _flow(spec["mounts"])
        if flow:
            spec["linux"]["rootfsPropagation"] = flow
        # Without privileges no runtime makes device nodes: they are bound, and only some runtimes do that by themselves.
        spec["mounts"] = [_plain(entry) for entry in spec["mounts"]] + [_bound(device) for device in spec["linux"].pop("devices", [])]
        own = cgroups.own()
        # Below the group it was given, below the caller's own (runc 1.1.5), or beside that (runc 1.1.15).
        around = (cgroup, own, os.path.dirname(own))
        places = [os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for path in around if path]
        # Older runtimes refuse a version they do not know; nothing newer than 1.0.2 is used in what they read.
        _show_unified_hierarchy()
        store.write_text(os.path.join(bundle, "config.json"), fastjson.dumps({**spec, "ociVersion": "1.0.2"}))
        pid_file = os.path.join(bundle, "init.pid")
        argv = [*self.command, "create", "--bundle", bundle, "--pid-file", pid_file]
        if preserve:
            argv += ["--preserve-fds", str(len(preserve))]
        receiver: Any = None
        path = ""
        if spec["process"].get("terminal"):
            receiver, path = _console_socket(bundle)
            argv += ["--console-socket", path]
        if os.path.isdir(os.path.join(self.command[2], self.id)):
            try:
                self._run([*self.command, "delete", "--force", self.id], "delete", None)  # what its last run has left
            except PymanError:
                pass  # create says what is in the way
        personality = (spec["linux"].get("personality") or {}).get("domain")
        try:
            if personality == "LINUX32":
                libc.personality(8)  # what is executed inherits it; old versions of runc do not know the key
            self._run([*argv, self.id], "create", stdio, preserve)
            if receiver is not None:
                self.console = _receive_console(receiver)
            self.pid = self._created(pid_file)
            self.start_time = process.start_time(self.pid)
            if cgroup:
                from pyman.runtime import cgroup as driver

                driver.join(f"/proc/self/fd/{places[0]}", self.pid)
        finally:
            if personality == "LINUX32":
                libc.personality(0)
            if path:
                os.unlink(path)
            for fd in places:
                for name in (self.id, f"pyman-{self.id}"):
                    try:
                        os.rmdir(name, dir_fd=fd)
                    except OSError:
                        pass  # none was made, or it is the container's
                os.close(fd)

    def _created(self, pid_file: str) -> int:
        """The process that `create` left, by its pid file. RuntimeFailure: 0, which kill(2) would take for our own group, or no number at all."""
        text = store.read_text(pid_file) or ""
        if not is_whole(text.strip()) or int(text) < 2:
            raise RuntimeFailure(
                f"cannot start container {self.id[:12]}",
                f"the runtime {self.command[0]} ended well, but its pid file has no process: {text[:40]!r}",
                "look whether it is an OCI runtime",
            )
        return int(text)

    def start(self) -> None:
        """`RUNTIME start`."""
        self._run([*self.command, "start", self.id], "start", None)

    def _run(self, argv: list[str], verb: str, stdio: tuple[int, int, int] | None, preserve: tuple[int, ...] = ()) -> None:
        """Run the runtime; its messages are collected through --log (its stderr is the container's)."""
        log = os.path.join(os.path.dirname(self.command[2]), "runtime.log")
        full = [argv[0], "--log", log, *argv[1:]]
        actions: list[tuple[int, int, int]] = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(stdio or ())]
        actions += [(os.POSIX_SPAWN_DUP2, fd, fd) for fd in preserve]  # the same number: it is no longer close-on-exec
        # PATH and the runtime directory only: the caller's environment is no business of the runtime.
        env = {"PATH": ":".join(_SEARCH), "XDG_RUNTIME_DIR": os.path.dirname(self.command[2])}
        pid = os.posix_spawn(full[0], full, env, file_actions=actions)
        code = process.wait(pid)
        if code == 0:
            return
        text = (store.read_text(log) or "").strip().split("\n")[-1]
        what = f"cannot {verb} container {self.id[:12]} with runtime {self.name}"
        lowered = text.lower()
        # Another program's text is all there is to tell these apart, as everywhere at the OCI border.
        program = "exec" in lowered or "cannot run" in lowered
        if ("no such file" in lowered and program) or "not found in $path" in lowered:
            raise CommandNotFound(what, text)
        if ("permission denied" in lowered or "not permitted" in lowered) and program:
            raise CannotInvoke(what, text)
        raise RuntimeFailure(what, text or f"exit code {code}", f"run {self.name} --version to see whether it works")


def _reachable(namespace: dict[str, Any]) -> dict[str, Any]:
    """A namespace to join, by a path that another program can open: our descriptors are not its own, and nobody may look into C."""
    path = str(namespace.get("path") or "")
    if not path.startswith("/proc/self/fd/"):
        return namespace
    wanted = os.stat(path).st_ino
    file = {"network": "net", "mount": "mnt"}.get(namespace["type"], namespace["type"])
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{pid}/ns/{file}").st_ino == wanted:
                return {**namespace, "path": f"/proc/{pid}/ns/{file}"}
        except OSError:
            continue
    raise RuntimeFailure(f"cannot join the {namespace['type']} namespace", "its last process ended just now")


def _flow(mounts: list[dict[str, Any]]) -> str:
    """How the root must be cut off from the host's tree, for mounts that are to stay below it; empty: as the runtime does by itself."""
    found = {option.removeprefix("r") for mount in mounts for option in mount.get("options") or []}
    return next((f"r{wanted}" for wanted in ("shared", "slave") if wanted in found), "")


def _bound(device: dict[str, Any]) -> dict[str, Any]:
    return {"destination": device["path"], "type": "bind", "source": device["source"], "options": ["bind", "nosuid", "noexec", "rprivate"]}


def _plain(mount: dict[str, Any]) -> dict[str, Any]:
    """A mount as other runtimes understand it.

    Only ours copies content up into a file system that is no tmpfs, and crun 1.8 takes every source with `rro` for a directory.
    """
    options = mount.get("options") or []
    if mount.get("type") != "tmpfs":
        options = [option for option in options if option != "tmpcopyup"]
    if mount.get("type") == "bind" and not os.path.isdir(mount["source"]):
        options = [option for option in options if option != "rro"]
    return {**mount, "options": options}


def _show_unified_hierarchy() -> None:
    """On hosts with a hybrid cgroup hierarchy crun gives up; in C's own mount namespace it gets to see cgroup v2 alone."""
    if os.path.exists("/sys/fs/cgroup/cgroup.controllers") or not os.path.isdir("/sys/fs/cgroup"):
        return
    try:
        libc.unshare(libc.CLONE_NEWCGROUP)
        libc.mount("cgroup2", "/sys/fs/cgroup", "cgroup2", libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC)
    except OSError:
        pass  # no cgroup v2 at all: the runtime says what it thinks of that


def _console_socket(bundle: str) -> tuple[Any, str]:
    import _socket

    # Not in the bundle: the path of a socket has 108 bytes at most.
    path = os.path.join(os.path.dirname(os.path.dirname(bundle)), f"console-{os.path.basename(bundle)[:12]}")
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    sock.bind(path)
    sock.listen(1)
    return sock, path


def _receive_console(sock: Any) -> int:
    """The pty master sent with SCM_RIGHTS over the console socket."""
    import _socket

    from pyman.linux import passing

    fd, _ = sock._accept()
    connection = _socket.socket(fileno=fd)
    _, terminal = passing.receive(connection)
    connection.close()
    sock.close()
    if terminal >= 0:
        return terminal
    raise RuntimeFailure("cannot get the container's terminal", "the runtime sent no descriptor over the console socket")
