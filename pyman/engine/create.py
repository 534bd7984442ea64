"""Create a container: image found or pulled, name reserved, directory written; nothing runs yet. CLI process."""

from __future__ import annotations

import os
import time

from pyman import paths, stages
from pyman.config import containers as containers_conf
from pyman.engine import env, logopts, names, restart_policy
from pyman.engine.container import Container, make_directory
from pyman.errors import NoSuchImage, UsageError
from pyman.linux import process
from pyman.state import store
from pyman.storage import images, trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

STATE_VERSION = 1
# Options whose values engine/option_checks.py looks at.
CHECKED = frozenset(
    "add_host annotation arch attach authfile blkio_weight blkio_weight_device cap_add cap_drop cgroup_conf cgroupns cpu_period "
    "cpu_quota cpu_shares cpus cpuset_cpus cpuset_mems detach_keys device device_read_bps device_read_iops device_write_bps "
    "device_write_iops dns dns_option dns_search env_merge expose hostname hosts_file init ipc memory memory_reservation memory_swap "
    "oom_score_adj os personality pid pids_limit platform replace retry_delay security_opt shm_size sysctl tmpfs ulimit umask userns "
    "uts".split()
)
SIMPLE_NETWORKS = ("none", "host", "pasta", "slirp4netns", "private", "default", "")  # nothing to check in them


def create_container(
    opts: dict[str, Any], args: list[str], reporter: Any = None, *, owned: bool = False, warn: Callable[[str], None] | None = None
) -> Container:
    """Create a container from the options and positionals of run/create (IMAGE [COMMAND...]).

    owned: this process is going to start it; if it is killed before, a `--rm` container is garbage. warn: told what the user should know.
    Returns the new container, in state "created". NoSuchImage, NameInUse, UsageError, StorageError.
    """
    conf = containers_conf.load()
    _check_options(opts, conf)
    prepare_roots()
    image: dict[str, Any] | None = None
    if opts.get("rootfs"):
        rootfs, command = _plain_rootfs(args)
    else:
        rootfs, command = "", args[1:]
        image = find_image(args[0] if args else "", opts, conf, reporter)
    image_config = images.read_config(image) if image else {}
    if "PODMAN_SYSTEMD_UNIT" in os.environ:  # below a unit made for containers: auto-update restarts that
        opts["label"] = [*(opts.get("label") or []), "PODMAN_SYSTEMD_UNIT=" + os.environ["PODMAN_SYSTEMD_UNIT"]]
    _check_stop_signal(opts, image_config.get("config") or {})
    if image and warn:
        _warn_of_platform(image, opts, warn)
    if warn and (opts.get("publish") or opts.get("publish_all")):
        from pyman.engine import network_options  # with ports only

        network_options.warn_of_ports(opts, conf, warn)
    health = _health(opts, image_config.get("config") or {})
    if opts.get("sdnotify"):
        from pyman.engine import notify  # with the option only

        notify.check(opts, health)
    config = {
        "version": STATE_VERSION,
        "created": time.time(),
        "image": {"name": _image_name(image, args), "id": image["id"], "digest": image.get("digest", "")}
        if image
        else {"name": "", "id": "", "digest": ""},
        "layers": image["layers"] if image else [],
        "rootfs": rootfs,
        "rootfs_overlay": bool(rootfs) and args[0].endswith(":O"),
        "options": _frozen_options(opts, conf),
        "command": command,
        "image_config": image_config.get("config") or {},
        "stop_signal": opts.get("stop_signal") or _signal_of_systemd(opts, image_config.get("config") or {}, command),
        "stop_timeout": _stop_timeout(opts, conf),
        "create_command": ["pyman", *opts.get("_argv", [])],
    }
    sealed: dict[str, str] = {}
    if opts.get("secret"):
        from pyman.engine import secret_option

        config["secrets"], sealed = secret_option.take(opts["secret"])
    needed = _dependencies(opts)
    if needed:
        config["depends"] = needed
    names_of_volumes = _plan_volumes(config)
    if opts.get("replace") and opts.get("name"):
        _replace(opts["name"])
    more = {**names_of_volumes, "health": 1} if health else names_of_volumes
    container = _write(config, opts, owned, {**more, **_ports(opts, config["image_config"], conf)}, sealed)
    if warn and opts.get("restart") and not opts.get("quiet"):
        from pyman.engine import reboot  # with a policy only

        reboot.tell_once(opts["restart"], warn)
    if needed:
        from pyman.engine import dependencies

        dependencies.note(container, needed)
    if names_of_volumes:
        _make_volumes(container)
    return container


def _check_options(opts: dict[str, Any], conf: dict[str, Any]) -> None:
    """What can be said of the options before there is an image. UsageError."""
    restart_policy.check(opts)
    logopts.check(opts, conf)
    if conf["containers"].get("log_driver") and not opts.get("log_driver"):
        opts["log_driver"] = conf["containers"]["log_driver"]  # its log stays where it is when the configuration changes
    given = getattr(opts, "given", CHECKED)
    if "publish" in given or ("network" in given and (len(opts["network"]) != 1 or opts["network"][0] not in SIMPLE_NETWORKS)):
        from pyman.engine import network_options  # others have nothing to check

        network_options.check(opts, conf)
    if CHECKED & given:
        from pyman.engine import option_checks  # most containers are made without any of them

        option_checks.check(opts, conf)
    if opts.get("name"):
        names.check(opts["name"])


def _ports(opts: dict[str, Any], image_config: dict[str, Any], conf: dict[str, Any]) -> dict[str, Any]:
    """The ports that the state is to have: published ones, with those of the host that were chosen, and exposed ones."""
    found: dict[str, Any] = {}
    if opts.get("publish") or opts.get("publish_all"):
        from pyman.engine import network_options  # with ports only

        found["ports"] = network_options.choose_ports(opts, image_config, conf)
    if opts.get("expose") or image_config.get("ExposedPorts"):
        from pyman.engine import exposed  # with such ports only

        found["exposed"] = exposed.names(image_config, opts)
    return found


def _dependencies(opts: dict[str, Any]) -> list[str]:
    """The ids of the containers whose namespaces it is to live in. NoSuchContainer."""
    if not any("container:" in str(opts.get(key) or "") for key in ("network", "ipc", "pid", "uts", "userns", "cgroupns")):
        return []
    from pyman.engine import dependencies  # with namespaces of other containers only

    return dependencies.resolve(dependencies.wanted(opts))


def _plan_volumes(config: dict[str, Any]) -> dict[str, Any]:
    """What the state notes of the container's mounts: its volumes by destination, and the paths of the host. UsageError."""
    options, image = config["options"], config["image_config"]
    if not any(options.get(key) for key in ("volume", "mount", "volumes_from_mounts")) and not image.get("Volumes"):
        return {}
    from pyman.engine import mount_plan  # with mounts only
    from pyman.engine.plan import VolumeStore

    chosen = VolumeStore({}, make=False)
    wanted = mount_plan.chosen(options, image, chosen)
    binds = {place: mount.entry["source"] for place, mount in wanted.items() if mount.entry["type"] == "bind" and not mount.volume}
    return {"anonymous_volumes": chosen.anonymous, "volume_at": chosen.used, "binds": binds}


def _make_volumes(container: Container) -> None:
    """The volumes exist from now on. The container is on disk already, so nobody takes them for unused."""
    from pyman.engine import volumes

    try:
        for name in dict.fromkeys(container.state["volume_at"].values()):
            volumes.ensure(name, anonymous=name in container.state["anonymous_volumes"])
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


def find_image(name: str, opts: dict[str, Any], conf: dict[str, Any], reporter: Any) -> dict[str, Any]:
    """The image record for `name`, pulled first as `--pull` asks. NoSuchImage, RegistryError, ImageError."""
    if not name:
        raise UsageError("no image given", "an image name, or --rootfs with a directory, is needed", "pyman run --help")
    policy = opts.get("pull") or conf["engine"].get("pull_policy") or "missing"
    policy = {"true": "always", "false": "never"}.get(policy, policy)
    if policy not in ("always", "missing", "never", "newer"):
        raise UsageError(f"invalid value {policy!r} for option --pull", "it must be one of always, missing, never, newer")
    transport = ":" in name and name.split(":", 1)[0] in ("oci", "oci-archive", "docker-archive", "dir", "docker")
    if not transport and policy in ("missing", "never"):
        try:
            record = images.load().resolve(name)
            if "list" in record:
                from pyman.engine import manifests  # with a list of images only

                return manifests.instance(record, platform(opts))
            if _platform_fits(record, opts):
                return record
        except NoSuchImage:
            if policy == "never":
                raise
        if policy == "never":
            raise NoSuchImage(
                f"no image {name} for the platform asked for",
                "the local image is for another platform, and --pull=never forbids to look further",
            )
    from pyman.image import pull  # the slow path: oras and requests

    wanted = platform(opts)
    delay = opts.get("retry_delay")
    if delay:
        from pyman.engine import health

        delay = health.duration("--retry-delay", delay) / 1e9
    return pull.pull(
        name,
        policy="always" if wanted and policy == "missing" else policy,  # what is here is for another platform
        platform=wanted,
        tls_verify=opts.get("tls_verify") if "tls_verify" in getattr(opts, "given", ()) else None,
        creds=opts.get("creds") or "",
        authfile=opts.get("authfile") or "",
        cert_dir=opts.get("cert_dir") or "",
        retry=opts.get("retry"),
        retry_delay=delay or None,
        reporter=reporter,
        conf=conf,
    )


def platform(opts: dict[str, Any]) -> str:
    """See platforms.wanted, which is loaded where something was asked for."""
    if not any(opts.get(key) for key in ("platform", "arch", "os", "variant")):
        return ""
    from pyman.engine import platforms

    return platforms.wanted(opts)


def _warn_of_platform(record: dict[str, Any], opts: dict[str, Any], warn: Callable[[str], None]) -> None:
    machine = os.uname().machine
    host = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    found = record.get("architecture") or host
    if platform(opts):
        from pyman.engine import platforms

        different = platforms.mismatch(record, platform(opts))
        if different:
            warn(different)
    elif found != host:
        warn(f"the image's platform ({record.get('os') or 'linux'}/{found}) is not that of this machine (linux/{host})")


def _check_stop_signal(opts: dict[str, Any], image_config: dict[str, Any]) -> None:
    """What would make the container hard to stop. UsageError."""
    given, image = opts.get("stop_signal"), image_config.get("StopSignal")
    if given or image:
        from pyman.engine import kill  # hardly any container has one of its own

        try:
            kill.parse_signal(str(given or image))
        except UsageError as err:
            raise err if given else UsageError("cannot use the image's StopSignal", str(err), "choose one: --stop-signal TERM") from None


def _signal_of_systemd(opts: dict[str, Any], image: dict[str, Any], command: list[str]) -> str:
    """The signal that stops a container of systemd's, where neither the user nor the image names one; empty for others."""
    words = [*command[:1], *(image.get("Entrypoint") or [])[:1], *(image.get("Cmd") or [])[:1], opts.get("entrypoint") or ""]
    if image.get("StopSignal") or not (opts.get("systemd") or any(str(word).endswith(("/init", "systemd")) for word in words)):
        return ""
    from pyman.engine import specgen, systemd_mode  # systemd only

    started = specgen.arguments({**opts, "_command": command, "_given": getattr(opts, "given", ())}, image)
    return systemd_mode.STOP_SIGNAL if systemd_mode.wanted(opts, started) else ""


def _platform_fits(record: dict[str, Any], opts: dict[str, Any]) -> bool:
    wanted = platform(opts).split("/") if platform(opts) else []
    have = [record.get("os", "linux"), record.get("architecture", ""), record.get("variant", "")]
    return all(a == b for a, b in zip(wanted, have))


def _image_name(image: dict[str, Any] | None, args: list[str]) -> str:
    if image is None:
        return ""
    known = image.get("names") or []
    given = args[0]
    for name in known:
        if name == given or name.endswith(("/" + given, "/" + given + ":latest")) or name == given + ":latest":
            return str(name)
    return str(known[0]) if known else given


def _plain_rootfs(args: list[str]) -> tuple[str, list[str]]:
    """--rootfs: the first positional is a directory. UsageError."""
    if not args:
        raise UsageError("no root file system given", "--rootfs needs the path of a directory")
    text, colon, option = args[0].rpartition(":")
    if not colon or "/" in option:
        text, option = args[0], ""
    if option not in ("", "O"):
        raise UsageError(f"cannot use root file system {args[0]}", f"the option {option} needs privileges or is unknown", "known is DIR:O")
    path = os.path.abspath(text)
    if not os.path.isdir(path):
        raise UsageError(f"cannot use root file system {text}", "no such directory", "give the path of an unpacked root file system")
    return path, args[1:]


def stored_options(opts: dict[str, Any]) -> dict[str, Any]:
    """What config.json keeps of the options: those with a value, and which of them were given."""
    kept = {key: value for key, value in opts.items() if value not in (False, "", None, []) and not key.startswith("_")}
    # An option given with an empty or false value (--entrypoint "", --sig-proxy=false) says something too.
    given = sorted(getattr(opts, "given", ()))
    kept.update({key: opts[key] for key in given if key in opts})
    kept["_given"] = given
    for secret in ("creds",):
        kept.pop(secret, None)
    return kept


def _frozen_options(opts: dict[str, Any], conf: dict[str, Any]) -> dict[str, Any]:
    """The options as every later start is to see them: nothing of this call's directory and environment is looked up again."""
    kept = stored_options(opts)
    if kept.get("volumes_from"):
        from pyman.engine import volumes_from

        kept["volumes_from_mounts"] = volumes_from.records(kept["volumes_from"])
    kept["volume"] = [
        os.path.abspath(spec.split(":")[0]) + spec[len(spec.split(":")[0]) :] if spec.startswith(".") else spec
        for spec in kept.get("volume") or []
    ]
    if str(kept.get("health_log_destination") or "local") not in ("local", "events_logger"):
        kept["health_log_destination"] = os.path.abspath(kept["health_log_destination"])
    kept["mount"] = [_absolute_mount(spec) for spec in kept.get("mount") or []]
    table = conf["containers"]
    if table["volumes"] or table["mounts"]:
        from pyman.engine import mount_plan

        mount_plan.add_defaults(kept, table)
    if kept.get("env") or kept.get("env_file"):
        kept["env"] = env.frozen(kept, dict(os.environ))
        kept.pop("env_file", None)
    if kept.get("env_host"):
        kept["host_env"] = dict(os.environ)
    return kept


def _absolute_mount(spec: str) -> str:
    """A bind mount's relative source made absolute."""
    items = spec.split(",")
    if not any(item in ("type=bind", "type=glob") for item in items):
        return spec
    for index, item in enumerate(items):
        key, _, value = item.partition("=")
        if key in ("src", "source") and not value.startswith("/"):
            items[index] = f"{key}={os.path.abspath(value)}"
    return ",".join(items)


def _stop_timeout(opts: dict[str, Any], conf: dict[str, Any]) -> int:
    value = opts.get("stop_timeout")
    if value in (None, ""):
        value = conf["engine"].get("stop_timeout", 10)
    return int(value) if value is not None else 10


def _replace(name: str) -> None:
    from pyman.engine import container, remove
    from pyman.errors import NoSuchContainer

    try:
        remove.remove_container(container.lookup(name), force=True)
    except NoSuchContainer:
        pass


def _health(opts: dict[str, Any], image_config: dict[str, Any]) -> bool:
    """Whether the container has a health check. UsageError, ImageError."""
    if not image_config.get("Healthcheck") and not any(key.startswith("health_") for key in getattr(opts, "given", ())):
        return False
    from pyman.engine import health  # with one of its options, or an image that has one

    return health.check(opts, image_config)


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
        state = {**new_state(config, opts), **mounts}
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


def new_state(config: dict[str, Any], opts: dict[str, Any]) -> dict[str, Any]:
    """The first state: everything `ps` shows, so that it reads one small file per container."""
    image_config = config["image_config"]
    return {
        "id": config["id"],
        "name": config["name"],
        "image": config["image"]["name"] or config["rootfs"],
        "image_id": config["image"]["id"],
        "command": config["command"] or [str(a) for a in image_config.get("Cmd") or image_config.get("Entrypoint") or []],
        "created": config["created"],
        "labels": labels(opts, image_config),
        "ports": [],
        "mounts": [],
        "networks": [],
        "network_mode": (opts.get("network") or [""])[0] if isinstance(opts.get("network"), list) else opts.get("network") or "",
        "status": "created",
        "auto_remove": bool(opts.get("rm")),
        "pid": 0,
        "pid_start": 0,
        "monitor_pid": 0,
        "monitor_start": 0,
        "boot_id": "",
        "started": 0.0,
        "finished": 0.0,
        "exit_code": 0,
        "oom_killed": False,
        "restarts": 0,
        "restart_policy": _policy(opts),
        "driver": "",
    }


def _policy(opts: dict[str, Any]) -> str:
    name, most = restart_policy.parse(str(opts.get("restart") or ""))
    return f"{name}:{most}" if most else name


def labels(opts: dict[str, Any], image_config: dict[str, Any]) -> dict[str, str]:
    """Image labels, then --label-file, then --label. UsageError for an unreadable file."""
    result = {str(k): str(v) for k, v in (image_config.get("Labels") or {}).items()}
    lines: list[str] = []
    for path in opts.get("label_file") or []:
        try:
            with open(path, encoding="utf-8") as file:
                lines += [line.strip() for line in file if line.strip() and not line.startswith("#")]
        except (OSError, UnicodeDecodeError) as err:
            raise UsageError(f"cannot read label file {path}", getattr(err, "strerror", "") or "it is not UTF-8 text") from err
    for item in [*lines, *(opts.get("label") or [])]:
        key, _, value = item.partition("=")
        if not key:
            raise UsageError(f"invalid label {item!r}", "a label is KEY or KEY=VALUE")
        result[key] = value
    return result
