"""Run a further command in a running container. CLI process: it joins the container's user namespace itself."""

from __future__ import annotations

import os

from pyman import exitcodes, stages
from pyman.engine import caps, cgroups, exec_sessions, spec_record, users
from pyman.engine import env as environment
from pyman.engine.container import Container
from pyman.errors import CannotInvoke, PymanError, StateError
from pyman.rootless import idmap, userns
from pyman.runtime import exec as runtime_exec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class ExecPipes:
    """A started exec: its process (0 once it was waited for) and the caller's ends of its stdio (-1 where there is none).

    watcher, pidfd: the channel to the parent of the process where that is not the caller (see exec_terminal.py), and the process, or -1.
    lost: that parent was killed, and nobody knows how the process has ended.
    """

    __slots__ = ("console", "id", "lost", "pid", "pidfd", "stderr", "stdin", "stdout", "watcher")

    def __init__(self) -> None:
        self.id = os.urandom(32).hex()
        self.pid = 0
        self.stdin = self.stdout = self.stderr = self.console = self.pidfd = -1
        self.watcher: Any = None
        self.lost = False


def exec_container(container: Container, command: list[str], opts: dict[str, Any], watched: bool = False) -> ExecPipes:
    """Start `command` in a running container. StateError, CommandNotFound (127), CannotInvoke (126), RuntimeFailure, UsageError.

    watched: this process becomes the one that awaits the command's end and records it. Afterwards this process is uid 0 of the container's user namespace (its own namespaces otherwise unchanged).
    """
    try:
        return _begin(container, command, opts, watched)
    except PymanError as err:
        from pyman.engine import lost_root  # after a failure only

        if container.state["status"] == "running" and lost_root.found(container):
            raise lost_root.error(container, "execute a command in", CannotInvoke) from err
        raise


def _begin(container: Container, command: list[str], opts: dict[str, Any], watched: bool) -> ExecPipes:
    container._state = None
    container.sync()
    container.require_running("execute a command in")
    state = container.state
    if state["status"] == "initialized":
        raise StateError(
            f"cannot execute a command in container {container.name}", "it is not started yet", f"pyman start {container.name}"
        )
    if state["status"] == "paused":
        raise StateError(f"cannot execute a command in container {container.name}", "it is paused", f"pyman unpause {container.name}")
    spec = read_spec(container)
    if container.config.get("secrets"):
        from pyman.engine import secret_option  # --secret only

        spec["process"] = secret_option.with_secrets(spec["process"], secret_option.environment(container))
    process = process_spec(spec, command, opts)
    seccomp = None if opts.get("privileged") else spec.get("linux", {}).get("seccomp")
    _join_userns(container)
    stages.reach("exec:joined")
    _resolve_user(process, container, opts)
    preserve: tuple[int, ...] = ()
    if opts.get("preserve_fds") or opts.get("preserve_fd"):
        from pyman.engine import descriptors

        preserve = descriptors.preserved_fds(opts)
    pipes, stdio = _stdio(opts)
    group = _group(container, process)
    begun = exec_sessions.begin(container, pipes.id, process, opts, watched) if not opts.get("no_session") else (-1, {})
    try:
        created = runtime_exec.exec_process(state["pid"], process, stdio=stdio, preserve=preserve, seccomp_spec=seccomp, extras=group)
    except PymanError as err:
        exec_sessions.forget(container, pipes.id)
        if err.stage == "workdir" and err.errno == 2:
            err.exit_code = exitcodes.NOT_FOUND  # as Podman with crun
        elif err.exit_code == exitcodes.PYMAN_FAILED:
            spec_record.check(container)  # perhaps it failed at what it does not say
        raise
    for fd in set(stdio):
        os.close(fd)
    pipes.pid = created.pid
    pipes.console = created.console
    stages.reach("exec:started")
    exec_sessions.note(begun, created.pid)
    container.event("exec", ExecID=pipes.id)
    return pipes


def _group(container: Container, process: dict[str, Any]) -> Any:
    """What brings the process into the container's control group, so that its limits hold and `stats` counts it; None without one.

    Where the kernel forbids it (the command was called from another login session) the process stays outside, as it was before.
    """
    directory = str(container.state.get("cgroup") or "")
    if not directory or not os.path.exists(directory):
        return None
    from pyman.runtime import exec_extras  # only where there is a group

    extras = exec_extras.ExecExtras(process, {}, {}, directory, container.state["pid"])
    extras.limited = False
    if "/user@" in directory and not cgroups.own():
        from pyman.runtime import scopes

        extras.attach = scopes.mover(directory)
    return extras


def read_spec(container: Container) -> dict[str, Any]:
    """The OCI spec the running container was started with. StateError if it is gone, StorageError if it is damaged."""
    spec = spec_record.read(container)
    if spec is None:
        container.config  # noqa: B018  # a restart makes nothing again where this is gone, too
        what = f"cannot execute a command in container {container.name}"
        raise StateError(what, "its spec.json is missing", f"pyman restart {container.name} makes it again")
    return spec


def process_spec(spec: dict[str, Any], command: list[str], opts: dict[str, Any]) -> dict[str, Any]:
    """The OCI process object: the container's own, changed by the options of exec."""
    process = dict(spec["process"])
    process["args"] = command
    process["env"] = environment.merge(list(process.get("env") or []), opts, terminal=bool(opts.get("tty")), host=dict(os.environ))
    process["terminal"] = bool(opts.get("tty"))
    process.pop("consoleSize", None)
    if opts.get("tty"):
        from pyman.linux import tty

        process["consoleSize"] = tty.console_size() or {}
    if opts.get("workdir"):
        process["cwd"] = opts["workdir"]
    if opts.get("privileged"):
        names = list(caps.ALL)
        process["capabilities"] = {"bounding": names, "effective": names, "permitted": names}
    return process


def _join_userns(container: Container) -> None:
    if userns.in_userns():
        return
    state = container.state
    fd = userns.userns_of(state["monitor_pid"], state["monitor_start"])
    if fd < 0:
        fd = userns.userns_of(state["pid"], state["pid_start"])
    if fd < 0:
        raise StateError(f"cannot execute a command in container {container.name}", "it ended just now")
    userns.join(fd)
    os.close(fd)


def _resolve_user(process: dict[str, Any], container: Container, opts: dict[str, Any]) -> None:
    """--user NAME[:GROUP] by the container's own /etc/passwd, opened inside its root."""
    if not opts.get("user"):
        return
    root_fd = os.open(f"/proc/{container.state['pid']}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        user = users.resolve(str(opts["user"]), root_fd)
    finally:
        os.close(root_fd)
    if idmap.load_idmap().single:
        user["additionalGids"] = []  # no group can be set in such a user namespace
    if "umask" in process["user"]:
        user["umask"] = process["user"]["umask"]
    process["user"] = user
    if not any(entry.startswith("HOME=") for entry in opts.get("env") or []):
        process["env"] = [*(entry for entry in process["env"] if not entry.startswith("HOME=")), f"HOME={user['home'] or '/'}"]


def _stdio(opts: dict[str, Any]) -> tuple[ExecPipes, tuple[int, int, int]]:
    pipes = ExecPipes()
    if opts.get("tty") or opts.get("detach"):
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        return pipes, (null, null, null)
    if opts.get("interactive"):
        stdin, pipes.stdin = os.pipe()
    else:
        stdin = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    pipes.stdout, stdout = os.pipe()
    pipes.stderr, stderr = os.pipe()
    for fd in (stdout, stderr):
        os.fchmod(fd, 0o666)
    return pipes, (stdin, stdout, stderr)
