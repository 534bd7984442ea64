"""Decide how a container starts: from its configuration, the user's and what there is to a plan (engine/plan.py). CLI process."""

from __future__ import annotations

import os

from pyman import paths
from pyman.config import containers as containers_conf
from pyman.engine import cgroups, specgen
from pyman.engine import plan as plans
from pyman.engine.container import Container, lookup
from pyman.errors import UsageError
from pyman.rootless import idmap as idmaps
from pyman.storage import driver as drivers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.joined_namespaces import Joined

FILES = ("hosts", "resolv.conf", "hostname", ".containerenv")  # made for each run, in its runtime directory
JOINABLE = ("ipc", "pid", "uts", "userns", "cgroupns")  # options that may name another container


def make(container: Container) -> plans.Plan:
    """Everything that can be decided outside the user namespace. The caller holds the lock. UsageError, StateError, ImageError, StorageError."""
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
    if plan.network_mode.startswith(("container:", "ns:")) or any(str(opts.get(key)).startswith("container:") for key in JOINABLE):
        from pyman.engine import joined_namespaces  # those of others only

        _join(plan, joined_namespaces.targets(opts, plan.network_mode, plan.idmap))
    published = plans.published(opts, config["image_config"])
    if published and plan.network_mode.split(":")[0] in plans.WITH_PORTS:
        from pyman.network import ports  # with ports only

        plan.ports = ports.parse_publish(published, conf["network"].get("default_host_ips"), container.state.get("ports"))
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
    plan.health = _has_health_check(opts, config["image_config"])
    plan.terminal = bool(opts.get("tty"))
    if plan.terminal:
        from pyman.linux import tty

        size = tty.console_size()  # the program has it from its first instruction on
        if size:
            plan.spec["process"]["consoleSize"] = size
    plan.interactive = bool(opts.get("interactive"))
    return plan


def _join(plan: plans.Plan, found: Joined) -> None:
    plan.joined, plan.userns_fd, plan.pins, plan.shm_owner = found.paths, found.userns_fd, found.pins, found.shm_owner
    plan.joined_maps = found.maps
    for option in found.hosts:
        plan.opts[option] = "host"
    if "network" in found.hosts:
        plan.network_mode = "host"
    if "ipc" in found.hosts:
        plan.shm_owner = -1


def _context(plan: plans.Plan) -> specgen.SpecContext:
    """What the spec is built from beside options and image."""
    container = plan.container
    ctx = specgen.SpecContext()
    ctx.id, ctx.name = container.id, container.name
    ctx.hostname = plans.hostname(container, plan.network_mode)
    ctx.rootfs, ctx.run_dir, ctx.conf, ctx.idmap = plan.rootfs, container.run_dir, plan.conf, plan.idmap
    ctx.env = dict(os.environ)
    ctx.network_mode, ctx.joined, ctx.joined_maps = plan.network_mode, plan.joined, plan.joined_maps
    ctx.hosts_path = os.path.join(container.run_dir, "hosts")
    ctx.resolv_path = os.path.join(container.run_dir, "resolv.conf")
    ctx.hostname_path = os.path.join(container.run_dir, "hostname")
    return ctx


def _plan_passed(plan: plans.Plan) -> None:
    """What goes from the caller and the store to the program, and from it to the log. UsageError, StorageError."""
    container, opts, config = plan.container, plan.opts, plan.container.config
    if opts.get("preserve_fds") or opts.get("preserve_fd"):
        from pyman.engine import descriptors

        plan.preserve = descriptors.preserved_fds(opts)
    if config.get("secrets"):
        from pyman.engine import secret_option

        plan.secrets, plan.secret_env = secret_option.values(container, "mount"), secret_option.environment(container)
        if plan.secret_env and not plan.own_runtime:
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


def _has_health_check(opts: dict[str, Any], image: dict[str, Any]) -> bool:
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
    for name in FILES:
        path = os.path.join(container.run_dir, name)
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except PermissionError:
            os.unlink(path)  # of the last run, whose root is not the caller
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        os.close(fd)
    if container.unsaved:
        container.save()
    try:
        os.unlink(container.exit_path)
    except FileNotFoundError:
        pass
