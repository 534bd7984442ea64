"""Start a container: what the CLI process does. The child C that does the rest is in engine/launch.py."""

from __future__ import annotations

import os

from pyman import errors, exitcodes, paths, stages
from pyman.config import containers as containers_conf
from pyman.engine import cgroups, launch, restart_policy, specgen
from pyman.engine import plan as plans
from pyman.engine.container import RUNNING, Container, lookup
from pyman.errors import PymanError, RuntimeFailure, StateError, UsageError
from pyman.linux import process
from pyman.network import ports as network_ports
from pyman.rootless import idmap as idmaps
from pyman.rootless import userns
from pyman.runtime import create as runtime_create
from pyman.state import fastjson
from pyman.storage import driver as drivers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

JOINABLE = ("ipc", "network", "pid", "uts", "userns", "cgroupns")
_NS_FILE = {"network": "net", "userns": "user", "cgroupns": "cgroup"}


def start_container(container: Container, *, attach_fd: int = -1, warn: Callable[[str], None] | None = None) -> bool:
    """Start a container; false if it already runs. `warn` is called with what the user should know.

    attach_fd: one end of a SOCK_SEQPACKET socketpair for the monitor's first client, or -1.
    Raises what the start failed with: CommandNotFound (127), CannotInvoke (126), RuntimeFailure, NetworkError, ...
    """
    with container:
        if container.state["status"] == "paused":
            raise StateError(f"cannot start container {container.name}", "it is paused", f"pyman unpause {container.name}")
        if container.state["status"] == "initialized":
            from pyman.engine import init  # after `init` only

            init.open_locked(container)
            return True
        if container.state["status"] in RUNNING:
            return False
        restart_policy.cancel(container)
        restart_policy.forget_wish(container)
        start_locked(container, attach_fd=attach_fd, warn=warn)
        return True


def start_locked(
    container: Container,
    *,
    attach_fd: int = -1,
    warn: Callable[[str], None] | None = None,
    restarts: int = 0,
    wait: int = 0,
    gate: str = "",
) -> None:
    """As start_container, for a caller that holds the lock of a container that does not run.

    restarts: how often its restart policy has started it since a user did; wait: milliseconds before the next time.
    gate: path of a FIFO that init is to wait at: the command begins later, see engine/init.py.
    """
    plan = _plan(container)
    plan.attach_fd = attach_fd
    if gate:
        _make_gate(plan, gate)
    plan.cleanup = _after_command(container)
    plan.restarts, plan.restart_wait = restarts, wait or restart_policy.FIRST_WAIT
    restart_policy.write_policy(container)
    stages.reach("start:planned")
    plan.notice = warn or plan.notice
    try:
        _launch(container, plan)
    except PymanError as err:
        _note_failure(container, err)
        raise
    finally:
        plan.close()
        for text in plan.warnings if warn else ():
            warn(text)  # type: ignore[misc]
    container._state = None  # C wrote it


def _make_gate(plan: plans.Plan, gate: str) -> None:
    """UsageError where the runtime cannot wait."""
    if not launch.own_runtime(plan):
        raise UsageError(
            f"cannot initialize container {plan.container.name}", "another OCI runtime would wait for its own start command", "pyman start"
        )
    try:
        os.unlink(gate)
    except FileNotFoundError:
        pass
    os.mkfifo(gate, 0o600)
    plan.gate = gate


def _note_failure(container: Container, err: PymanError) -> None:
    """Keep why a start failed, for `why`: with the container, and in the log of events for when it has been removed."""
    import time

    container._state = None
    record = {"what": err.what, "why": err.why, "hint": err.hint, "exit_code": err.exit_code, "time": time.time()}
    container.state["start_error"] = {key: text[:2048] if isinstance(text, str) else text for key, text in record.items()}
    try:
        container.save()
    except PymanError:
        pass  # a full disk: the error itself is what the user sees
    container.event("start-failed", Type="failure", Error=str(err)[:4096], Hint=err.hint[:1024], ContainerExitCode=err.exit_code)


def _after_command(container: Container) -> list[str]:
    """What the monitor executes after the end, with --rm or --restart as its last argument."""
    import sys

    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return [sys.executable, "-SI", os.path.join(package, "__main__.py"), "container", "cleanup", container.id]


def _plan(container: Container) -> plans.Plan:
    """Everything that can be decided outside the user namespace, without touching the kernel."""
    config = container.config
    conf = containers_conf.load(config.get("modules"))
    opts = dict(config["options"])
    opts["_command"] = config["command"]
    opts["_secrets"] = config.get("secrets")
    plan = plans.Plan()
    plan.container = container
    plan.conf = conf
    plan.opts = opts
    plan.idmap = idmaps.load_idmap()
    if plan.idmap.single:
        _note_single_id(plan)
    plan.network_mode = plans.network_mode(opts, conf)
    # The host's own / is shown at a place below, or mounts would cover what the container is still to be given of /dev.
    plan.rootfs = "" if config.get("rootfs_overlay") or config["rootfs"] == "/" else config["rootfs"]
    plan.rootfs = plan.rootfs or os.path.join(container.dir, "merged")
    _make_dirs(container)
    plan.joined, plan.userns_fd, plan.pins = _join_targets(opts, plan.network_mode)
    plan.ports = (
        network_ports.parse_publish(
            plans.published(opts, config["image_config"]), conf["network"].get("default_host_ips"), container.state.get("ports")
        )
        if plan.network_mode.split(":")[0] in plans.WITH_PORTS
        else []
    )
    if plan.network_mode.startswith("container:"):
        plan.neighbour = lookup(plan.network_mode[10:]).run_dir
    if plan.network_mode == "bridge":
        from pyman.engine import bridges  # bridge networks only

        bridges.plan(plan, container)
    ctx = plan.ctx = _context(plan)
    ctx.volumes = plan.volumes = plans.VolumeStore(container.state)
    cgroups.check(opts, conf)
    plan.spec = specgen.build(opts, config["image_config"] or None, ctx)
    if config["rootfs"] == "/":  # where only root could make the file
        plan.spec["mounts"] = [entry for entry in plan.spec["mounts"] if entry["destination"] != "/run/.containerenv"]
    if plan.userns_fd < 0 and plan.volumes.mounted:
        from pyman.engine import volume_mounts  # volumes that are file systems of their own only

        plan.userns_fd = volume_mounts.userns_of_users(plan.volumes.mounted, container.id)
        plan.pins += [plan.userns_fd] if plan.userns_fd >= 0 else []
    plan.driver = drivers.choose_driver(conf) if not config["rootfs"] or config.get("rootfs_overlay") or ctx.made else None
    _plan_passed(plan)
    cgroups.discard(container)  # left where the last monitor was killed
    plan.health = has_health_check(opts, config["image_config"])
    plan.terminal = bool(opts.get("tty"))
    if plan.terminal:
        from pyman.linux import tty

        size = tty.console_size()  # the program has it from its first instruction on
        if size:
            plan.spec["process"]["consoleSize"] = size
    plan.interactive = bool(opts.get("interactive"))
    return plan


def _context(plan: plans.Plan) -> specgen.SpecContext:
    """What the spec is built from beside options and image."""
    container = plan.container
    ctx = specgen.SpecContext()
    ctx.id, ctx.name = container.id, container.name
    ctx.hostname = plan.opts.get("hostname") or (os.uname().nodename if plan.network_mode == "host" else container.id[:12])
    ctx.rootfs, ctx.run_dir, ctx.conf, ctx.idmap = plan.rootfs, container.run_dir, plan.conf, plan.idmap
    ctx.env = dict(os.environ)
    ctx.network_mode, ctx.joined = plan.network_mode, plan.joined
    ctx.hosts_path = os.path.join(container.run_dir, "hosts")
    ctx.resolv_path = os.path.join(container.run_dir, "resolv.conf")
    ctx.hostname_path = os.path.join(container.run_dir, "hostname")
    return ctx


def _plan_passed(plan: plans.Plan) -> None:
    """What goes from the caller and the store to the program, and from it to the journal. UsageError."""
    container, opts, config = plan.container, plan.opts, plan.container.config
    if opts.get("preserve_fds") or opts.get("preserve_fd"):
        from pyman.engine import descriptors

        plan.preserve = descriptors.preserved_fds(opts)
    if config.get("secrets"):
        from pyman.engine import secret_option

        plan.secrets, plan.secret_env = secret_option.values(container, "mount"), secret_option.environment(container)
        if plan.secret_env and not launch.own_runtime(plan):
            raise UsageError(
                f"cannot start container {container.name}",
                "a secret variable would be written into the configuration of another OCI runtime, in plain",
                "use --secret NAME (type=mount), or pyman's own runtime",
            )
    if "NOTIFY_SOCKET" in os.environ or "LISTEN_FDS" in os.environ:
        from pyman.engine import notify  # below a service manager only

        notify.prepare(plan, os.environ)
    if (opts.get("log_driver") or plan.conf["containers"].get("log_driver")) == "journald":
        from pyman.engine import journal  # this driver only

        plan.journal = journal.fields(container, opts)


def has_health_check(opts: dict[str, Any], image: dict[str, Any]) -> bool:
    """Whether the container's health is checked. UsageError, ImageError."""
    if not (opts.get("health_cmd") or image.get("Healthcheck")):
        return False
    from pyman.engine import health  # with a check only

    return health.active(health.of(opts, image)[0])


def _note_single_id(plan: plans.Plan) -> None:
    """Say once per store that containers have one id only."""
    mark = os.path.join(paths.graphroot(), "single-id")
    if not os.path.exists(mark):
        os.close(os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        from pyman.rootless import subids  # once per store

        plan.warnings.append(f"you have no subordinate ids, so containers have one user and one group only; {subids.mend()}")


def _make_dirs(container: Container) -> None:
    path = os.path.join(paths.runroot(), "containers")
    if not os.path.isdir(path):
        paths.ensure_private(paths.runroot())  # after a reboot this may be the first command, with any umask
        os.makedirs(path, 0o700, exist_ok=True)
    for directory in (container.run_dir, *(os.path.join(container.dir, d) for d in ("upper", "work", "merged"))):
        try:
            os.mkdir(directory, 0o755 if directory.endswith("upper") else 0o700)
        except FileExistsError:
            pass
    for path in ("hosts", "resolv.conf", "hostname", ".containerenv"):
        with open(os.path.join(container.run_dir, path), "w"):
            pass
    try:
        os.unlink(container.exit_path)
    except FileNotFoundError:
        pass


def _join_targets(opts: dict[str, Any], net_mode: str) -> tuple[dict[str, str], int, list[int]]:
    """For every `container:ID` mode the namespace's path; the user namespace to join; descriptors that pin both."""
    joined: dict[str, str] = {}
    pins: list[int] = []
    userns_fd = -1
    for option in JOINABLE:
        value = net_mode if option == "network" else opts.get(option) or ""
        if option == "network" and value.startswith("ns:"):
            from pyman.engine import network_path  # with this mode only

            fd, owner = network_path.open_namespace(value[3:])
            pins += [fd, owner]
            userns_fd = _same_userns(userns_fd, owner)
            joined[option] = f"/proc/self/fd/{fd}"
        if not value.startswith("container:"):
            continue
        target = lookup(value.split(":", 1)[1])
        target.sync()
        if target.state["status"] not in RUNNING:
            raise StateError(
                f"cannot join the {option} namespace of container {target.name}",
                f"it is not running (state: {target.state['status']})",
                f"pyman start {target.name}",
            )
        pid, started = target.state["pid"], target.state["pid_start"]
        # A descriptor keeps the namespace alive and right even if the target ends meanwhile.
        fd = os.open(f"/proc/{pid}/ns/{_NS_FILE.get(option, option)}", os.O_RDONLY | os.O_CLOEXEC)
        pins.append(fd)
        owner = userns.userns_of(target.state["monitor_pid"], target.state["monitor_start"])
        if not process.alive(pid, started) or owner < 0:
            raise StateError(f"cannot join the {option} namespace of container {target.name}", "it ended just now")
        pins.append(owner)
        userns_fd = _same_userns(userns_fd, owner)
        if option == "userns" and os.fstat(fd).st_ino == os.fstat(owner).st_ino:
            continue  # it has none of its own: both live in U1
        joined[option] = f"/proc/self/fd/{fd}"
    return joined, userns_fd, pins


def _same_userns(one: int, other: int) -> int:
    """The second of two user namespaces, if the first (-1: none) is the same. StateError."""
    if one >= 0 and os.fstat(one).st_ino != os.fstat(other).st_ino:
        raise StateError(
            "cannot join namespaces of these containers together",
            "they live in different user namespaces",
            "restart them one after the other, so that they share one",
        )
    return other


def _launch(container: Container, plan: plans.Plan) -> None:
    """Fork C, wait for its report, raise its error."""
    report_r, report_w = os.pipe()
    plan.report_fd = report_w
    attacher = 0
    try:
        if launch.own_runtime(plan):
            plan.bpf = runtime_create.syscall_filter(plan.spec)  # while the namespaces are being made
        userns_fd, netns_fd = userns.claim()
        if plan.userns_fd < 0:
            # (Joining another container's namespaces needs its user namespace, and so a network namespace in that.)
            plan.userns_fd, plan.netns_fd = userns_fd, netns_fd
        if plan.network_mode == "bridge":
            from pyman.engine import bridges

            attacher = bridges.claim(plan, container)
        passed = (report_w, plan.attach_fd, plan.netns_fd, plan.channel_fd, plan.life_fd, container.lock_fd, plan.notify_fd)
        keep = tuple(fd for fd in (*passed, plan.notify_listen, *plan.pins, *plan.preserve) if fd >= 0)
        pid = userns.fork_in_userns(lambda: launch.run(plan), "pyman:[start]", keep, plan.userns_fd)
    finally:
        for fd in (report_w, plan.channel_fd):
            if fd >= 0:
                os.close(fd)
        userns.release()
    outcome = _outcome(report_r, plan.warnings, plan.notice)
    if attacher:
        os.waitpid(attacher, 0)
    if "started" in outcome:
        return
    _, status = os.waitpid(pid, 0)
    _cleanup_failed(container)
    if plan.attachments:
        bridges.give_back(plan, container)
    if "error" in outcome:
        error = errors.from_record(outcome["error"])
        if error.stage == "workdir":
            error.exit_code = exitcodes.CANNOT_INVOKE
        if error.stage.startswith("port "):
            from pyman.engine import port_conflict

            port_conflict.name_holder(error, container.id)
        raise error
    raise RuntimeFailure(
        f"cannot start container {container.name}",
        f"the starting process ended without a report (status {status})",
        "run it again with --log-level=debug",
    )


def _outcome(report_r: int, warnings: list[str], notice: Callable[[str], None]) -> dict[str, Any]:
    """C's report: {"started": ...} or {"error": ...}; empty if it was killed. Its warnings are added to `warnings`.

    What takes long is told to `notice` at once.
    """
    data = b""
    outcome: dict[str, Any] = {}
    try:
        # Until the good news, not until the end of file: that comes half a millisecond later, when C has become the monitor.
        while "started" not in outcome:
            more = os.read(report_r, 65536)
            if not more:
                break
            *lines, data = (data + more).split(b"\n")
            for line in lines:
                record = fastjson.loads(line)
                if "notice" in record:
                    notice(record["notice"])
                elif "warning" in record:
                    warnings.append(record["warning"])
                else:
                    outcome = record
    finally:
        os.close(report_r)
    return outcome


def _cleanup_failed(container: Container) -> None:
    """A start that failed leaves the container as it was; mounts and helpers went with C's namespaces."""
    for entry in ("attach", "config.json"):
        try:
            os.unlink(os.path.join(container.run_dir, entry))
        except OSError:
            pass
