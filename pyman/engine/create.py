"""Create a container: image found or pulled, name reserved, directory written; nothing runs yet. CLI process."""

from __future__ import annotations

import os

from pyman import paths, stages
from pyman.config import containers as containers_conf
from pyman.engine import container_image, container_records, logopts, names, restart_policy
from pyman.engine.container import Container, containers_dir
from pyman.errors import StorageError, UsageError
from pyman.linux import process
from pyman.state import store
from pyman.state.lock import Lock
from pyman.storage import images, trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Options whose values engine/option_checks.py looks at.
CHECKED = frozenset(
    "add_host annotation arch attach authfile blkio_weight blkio_weight_device cap_add cap_drop cgroup_conf cgroupns cpu_period "
    "cpu_quota cpu_shares cpus cpuset_cpus cpuset_mems detach_keys device device_read_bps device_read_iops device_write_bps "
    "device_write_iops dns dns_option dns_search env_merge expose hostname hosts_file image_volume init ipc memory memory_reservation "
    "memory_swap oom_score_adj os personality pid pids_limit platform replace retry_delay security_opt shm_size sysctl timeout tmpfs tz uidmap gidmap "
    "ulimit umask userns uts".split()
)
GROUPED = frozenset(("cgroups", "cgroup_manager", "cgroup_parent", "limits"))
NETWORKED = frozenset(("publish", "ip", "ip6", "mac_address", "network_alias"))
SIMPLE_NETWORKS = ("none", "host", "pasta", "slirp4netns", "private", "default", "")  # nothing to check in them


def create_container(
    opts: dict[str, Any],
    args: list[str],
    reporter: Callable[[], Any] | None = None,
    *,
    owned: bool = False,
    warn: Callable[..., None] | None = None,
) -> Container:
    """Create a container from the options and positionals of run/create (IMAGE [COMMAND...]).

    reporter: makes what reports a pull, if there is one. owned: this process is going to start it; if it is killed before, a `--rm`
    container is garbage. warn: told what the user should know.
    Returns the new container, in state "created". NoSuchImage, NameInUse, UsageError, StorageError.
    """
    conf = containers_conf.load()
    check_options(opts, conf)
    prepare_roots()
    image, rootfs, command = None, "", args[1:]
    if opts.get("rootfs"):
        rootfs, command = container_image.plain_rootfs(args)
    else:
        image = container_image.find(args[0] if args else "", opts, conf, reporter)
    image_config: dict[str, Any] = (images.read_config(image).get("config") if image else None) or {}
    if "PODMAN_SYSTEMD_UNIT" in os.environ:  # below a unit made for containers: auto-update restarts that
        opts["label"] = [*(opts.get("label") or []), "PODMAN_SYSTEMD_UNIT=" + os.environ["PODMAN_SYSTEMD_UNIT"]]
    health = check_with_image(opts, image_config)
    if warn:
        _warn(image, opts, conf, warn)
    config = container_records.first_config(opts, conf, image_config, command)
    config["image"] = container_image.described(image, args[0]) if image else dict.fromkeys(("name", "id", "digest"), "")
    config.update(layers=image["layers"] if image else [], rootfs=rootfs, rootfs_overlay=bool(rootfs) and args[0].endswith(":O"))
    sealed: dict[str, str] = {}
    if opts.get("secret"):
        from pyman.engine import secret_option

        config["secrets"], sealed = secret_option.take(opts["secret"])
    if containers_conf.modules:
        config["modules"] = list(containers_conf.modules)  # a start reads the configuration again
    needed = _dependencies(opts)
    if needed:
        from pyman.engine import dependencies  # with other containers only

        config["depends"] = needed
        dependencies.pin(opts)
        dependencies.pin(config["options"])
    names_of_volumes = plan_volumes(config)
    if opts.get("replace") and opts.get("name"):
        _replace(opts["name"])
    more = {**names_of_volumes, "health": 1} if health else names_of_volumes
    container = _write(config, opts, owned, {**more, **_ports(opts, image_config, conf)}, sealed)
    if warn and opts.get("restart") and not opts.get("quiet"):
        from pyman.engine import reboot  # with a policy only

        reboot.tell(opts["restart"], warn)
    if needed:
        dependencies.note(container, needed)
    if names_of_volumes:
        _make_volumes(container)
    return container


def check_options(opts: dict[str, Any], conf: dict[str, Any]) -> None:
    """What can be said of the options before there is an image. UsageError."""
    restart_policy.check(opts)
    logopts.check(opts, conf)
    if conf["containers"].get("log_driver") and not opts.get("log_driver"):
        opts["log_driver"] = conf["containers"]["log_driver"]  # its log stays where it is when the configuration changes
    given = getattr(opts, "given", CHECKED)
    if GROUPED & given:
        from pyman.engine import cgroups  # the start needs it anyway

        cgroups.check(opts, conf)
    if NETWORKED & given or ("network" in given and (len(opts["network"]) != 1 or opts["network"][0] not in SIMPLE_NETWORKS)):
        from pyman.engine import network_options  # others have nothing to check

        network_options.check(opts, conf)
    if CHECKED & given:
        from pyman.engine import option_checks  # most containers are made without any of them

        option_checks.check(opts, conf)
    if opts.get("name"):
        opts["name"] = opts["name"].removeprefix("/")  # Docker's names begin so
        names.check(opts["name"])


def check_with_image(opts: dict[str, Any], image_config: dict[str, Any]) -> bool:
    """What the options and the image's configuration say together; whether there is a health check. UsageError, ImageError."""
    given, image = opts.get("stop_signal"), image_config.get("StopSignal")
    if given or image:
        from pyman.engine import kill  # hardly any container has one of its own

        try:
            kill.parse_signal(str(given or image))
        except UsageError as err:
            raise err if given else UsageError("cannot use the image's StopSignal", str(err), "choose one: --stop-signal TERM") from None
    health = False
    if image_config.get("Healthcheck") or any(key.startswith("health_") for key in getattr(opts, "given", ())):
        from pyman.engine import health as checks  # with one of its options, or an image that has one

        health = checks.check(opts, image_config)
    if opts.get("sdnotify"):
        from pyman.engine import notify  # with the option only

        notify.check(opts, health)
    return health


def _warn(image: dict[str, Any] | None, opts: dict[str, Any], conf: dict[str, Any], warn: Callable[[str], None]) -> None:
    """What the user should know of image and ports before the container is made."""
    if image:
        container_image.warn_of_platform(image, opts, warn)
    if opts.get("publish") or opts.get("publish_all"):
        from pyman.engine import network_options  # with ports only

        network_options.warn_of_ports(opts, conf, warn)


def _ports(opts: dict[str, Any], image_config: dict[str, Any], conf: dict[str, Any]) -> dict[str, Any]:
    """What the state is to have of ports (published ones, with those of the host that were chosen, and exposed ones) and of networks."""
    found: dict[str, Any] = {}
    if opts.get("network") and opts["network"][0] not in SIMPLE_NETWORKS:
        from pyman.engine import network_options  # the check has needed it

        found["networks"] = network_options.names(opts, conf)
    if opts.get("publish") or opts.get("publish_all"):
        from pyman.engine import network_options  # with ports only

        found["ports"] = network_options.choose_ports(opts, image_config, conf)
    if opts.get("expose") or image_config.get("ExposedPorts"):
        from pyman.engine import exposed  # with such ports only

        found["exposed"] = exposed.names(image_config, opts)
    return found


def _dependencies(opts: dict[str, Any]) -> list[str]:
    """The ids of the containers whose namespaces it is to live in, or that --requires names. NoSuchContainer."""
    if not opts.get("requires") and not any(
        "container:" in str(opts.get(key) or "") for key in ("network", "ipc", "pid", "uts", "userns", "cgroupns")
    ):
        return []
    from pyman.engine import dependencies  # with other containers only

    return dependencies.resolve(dependencies.wanted(opts))


def plan_volumes(config: dict[str, Any]) -> dict[str, Any]:
    """What the state notes of the container's mounts: its volumes by destination, and the paths of the host. UsageError."""
    options, image = config["options"], config["image_config"]
    if not any(options.get(key) for key in ("volume", "mount", "volumes_from_mounts")) and not image.get("Volumes"):
        return {}
    from pyman.engine import mount_plan  # with mounts only
    from pyman.engine.plan import VolumeStore

    chosen = VolumeStore({}, make=False)
    wanted = mount_plan.chosen(options, image, chosen)
    binds = {place: mount.entry["source"] for place, mount in wanted.items() if mount.entry["type"] == "bind" and not mount.volume}
    made_with = {"volume_options": chosen.options} if chosen.options else {}
    return {"anonymous_volumes": chosen.anonymous, "volume_at": chosen.used, "binds": binds, **made_with}


def _make_volumes(container: Container) -> None:
    """The volumes exist from now on. The container is on disk already, so nobody takes them for unused."""
    from pyman.engine import volumes

    try:
        for name in dict.fromkeys(container.state["volume_at"].values()):
            opts = (container.state.get("volume_options") or {}).get(name)
            volumes.ensure(name, anonymous=name in container.state["anonymous_volumes"], opts=opts)
            stages.reach("create:volume")
    except BaseException:
        from pyman.engine import remove

        remove.remove_container(container, volumes=True)
        raise


def prepare_roots() -> None:
    """Make graphroot and runroot, refusing directories others can write to. StorageError."""
    paths.ensure_private(paths.graphroot())
    paths.ensure_private(paths.runroot())
    for part in ("containers", "names", "tmp"):
        path = os.path.join(paths.graphroot(), part)
        if not os.path.isdir(path):
            os.makedirs(path, 0o700, exist_ok=True)
    trash.sweep_trash()


def _replace(name: str) -> None:
    from pyman.engine import container, remove
    from pyman.errors import NoSuchContainer

    try:
        remove.remove_container(container.lookup(name), force=True)
    except NoSuchContainer:
        pass


def make_directory(path: str) -> Lock:
    """Make a container's directory, and lock it. StorageError.

    Between the two it looks like what a killed command has left: a listing may take it away, and then it is made once more.
    """
    lock = Lock(path)
    while True:
        try:
            os.makedirs(path, 0o700)
        except OSError as err:
            raise StorageError(f"cannot create a container below {containers_dir()}", err.strerror or str(err)) from err
        try:
            lock.acquire()
            if os.path.samestat(os.fstat(lock.fd), os.stat(path)):
                return lock
        except FileNotFoundError:
            pass
        lock.release()


def _write(config: dict[str, Any], opts: dict[str, Any], owned: bool, mounts: dict[str, Any], sealed: dict[str, str]) -> Container:
    """Make the directory, reserve the name, write state and then config, which makes the container exist.

    mounts: more of the state; sealed: the values of its secrets.
    """
    container_id = names.random_id()
    container = Container(container_id)
    lock = make_directory(container.dir)
    stages.reach("create:directory")
    name = ""
    try:
        name = opts.get("name") or ""
        if name:
            try:
                names.reserve(name, container_id)
            except BaseException:
                name = ""  # it belongs to another container
                raise
        else:
            name = names.reserve_random(container_id)
        stages.reach("create:name")
        config.update(id=container_id, name=name)
        # `run --rm` needs no fsync: after a power loss the container is unwanted anyway.
        durable = not opts.get("rm")
        state = {**container_records.first_state(config, opts), **mounts}
        if owned:
            state.update(owner_pid=os.getpid(), owner_start=process.start_time(os.getpid()))
        store.write_json(os.path.join(container.dir, "state.json"), state)
        stages.reach("create:state")
        if sealed:
            store.write_json(os.path.join(container.dir, "secrets.json"), sealed, sync=durable)
        store.write_json(os.path.join(container.dir, "config.json"), config, sync=durable)
        stages.reach("create:config")
        container._state, container._config = state, config
        container.event("create")
        return container
    except BaseException:
        if name:
            names.release(name, container_id)
        trash.discard(container.dir)
        raise
    finally:
        lock.release()
