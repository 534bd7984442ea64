"""All mounts of a container: the standard ones, the generated files, the image's volumes, the user's. CLI process."""

from __future__ import annotations

from pyman.engine import mounts as volume_option
from pyman.engine.logopts import parse_size
from pyman.engine.mounts import Mount
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.specgen import SpecContext


def mounts(opts: dict[str, Any], image: dict[str, Any], ctx: SpecContext, ns: Any, readonly: bool) -> list[dict[str, Any]]:
    """The standard mounts, then the generated files, then the user's (sorted by depth), which replace ours."""
    table = ctx.conf["containers"]
    wanted = of_user(opts, ctx.volumes)
    of_others(opts, ctx.volumes, wanted)
    of_image(opts, image, ctx.volumes, ctx.warnings, wanted)
    _check_proc(wanted)
    base = _standard(opts, table, ns)
    if readonly and opts.get("read_only_tmpfs") is not False:
        for path in ("/run", "/tmp", "/var/tmp"):
            base.append({"destination": path, "type": "tmpfs", "source": "tmpfs", "options": ["rw", "nosuid", "nodev", "tmpcopyup"]})
    elif readonly:
        for entry in base:
            if entry["type"] == "tmpfs":  # /dev and /dev/shm
                entry["options"].append("ro")
    files = []
    if not (opts.get("no_hosts") or table.get("no_hosts")):
        files.append((ctx.hosts_path, "/etc/hosts"))
    if "none" not in (opts.get("dns") or table.get("dns_servers") or []):
        files.append((ctx.resolv_path, "/etc/resolv.conf"))
    if not opts.get("no_hostname"):
        files.append((ctx.hostname_path, "/etc/hostname"))
    if "/run" not in wanted and "/run/.containerenv" not in wanted:
        files.append((f"{ctx.run_dir}/.containerenv", "/run/.containerenv"))
    # They lie on the user's runtime directory, whose mount is nosuid, nodev; the flags are theirs already.
    flags = ["bind", "rprivate", "nosuid", "nodev", "noexec", *(["ro"] if readonly else [])]
    base += [{"destination": target, "type": "bind", "source": source, "options": flags} for source, target in files]
    for root in opts.get("chrootdirs") or []:
        for path in str(root).split(","):
            base += [
                {**entry, "destination": volume_option.clean_destination(path + entry["destination"], path)}
                for entry in base
                if entry["destination"] in ("/etc/hosts", "/etc/resolv.conf", "/etc/hostname")
            ]
    if opts.get("tz") or table.get("tz"):
        from pyman.engine import timezone

        base.append(timezone.mount(str(opts.get("tz") or table["tz"])))
    if opts.get("_secrets"):
        from pyman.engine import secret_option

        base += secret_option.entries(opts["_secrets"], ctx.run_dir, set(wanted), readonly)
    base = [entry for entry in base if entry["destination"] not in wanted]
    if "/dev" in wanted:  # the host's, say: then its pts and shm are meant too
        base = [entry for entry in base if not entry["destination"].startswith("/dev/")]
    ctx.copy_up = [item for item in wanted.values() if item.volume or item.chown or item.relabel]
    ctx.made = [item for item in wanted.values() if item.made]
    # What lies deeper comes later, whoever asked for it: a volume at /etc does not hide /etc/hosts.
    return sorted([*base, *(mount.entry for mount in wanted.values())], key=lambda entry: entry["destination"].count("/"))


def _check_proc(wanted: dict[str, Mount]) -> None:
    """The container's settings are made through its procfs, and checked there. UsageError for what would hide that."""
    for place, mount in wanted.items():
        if place in ("/proc", "/proc/sys") and not (mount.entry["type"] == "bind" and mount.entry["source"].startswith("/proc")):
            raise UsageError(f"cannot mount over {place}", "the container needs its own procfs there", "mount it at another place")


def of_user(opts: dict[str, Any], volumes: Any, look: bool = True) -> dict[str, Mount]:
    """What -v, --mount and --tmpfs ask for, by destination. UsageError for a place named twice.

    look: images must be there; without it they are not looked for.
    """
    found = [volume_option.parse_volume(spec, volumes) for spec in opts.get("volume") or []]
    if opts.get("mount"):
        from pyman.engine import mount_option
        from pyman.storage import images

        def layers_of(name: str) -> list[str]:
            return list(images.load().resolve(name)["layers"]) if look else []

        for spec in opts["mount"]:
            found += mount_option.parse_mount(spec, volumes, layers_of)
    found += [_parse_tmpfs(spec) for spec in opts.get("tmpfs") or []]
    _check_idmap(opts)
    wanted: dict[str, Mount] = {}
    for mount in found:
        destination = mount.entry["destination"]
        if destination in wanted and not mount.same_as(wanted[destination]):
            raise UsageError(f"cannot mount {destination} twice", "two options name the same place in the container")
        wanted[destination] = mount
    return wanted


def _check_idmap(opts: dict[str, Any]) -> None:
    """Between the container and its files nothing needs to be mapped (idmap) unless it has ids of its own. UsageError for that."""
    own = any(opts.get(option) for option in ("uidmap", "gidmap", "subuidname", "subgidname"))
    if str(opts.get("userns") or "host") == "host" and not own:
        return
    for spec in [*(opts.get("volume") or []), *(opts.get("mount") or [])]:
        if "idmap" in (word.partition("=")[0] for part in spec.split(":") for word in part.split(",")):
            raise UsageError(f"cannot mount {spec!r} into a user namespace of its own", volume_option.NO_IDMAP, "use U instead")


def add_defaults(opts: dict[str, Any], table: dict[str, Any]) -> None:
    """Add the volumes and mounts of containers.toml to --volume and --mount, unless their place is taken. UsageError."""
    from pyman.engine.plan import VolumeStore

    taken = set(of_user(opts, VolumeStore({}, make=False)))
    for option, key in (("volume", "volumes"), ("mount", "mounts")):
        for spec in table[key]:
            if not set(of_user({option: [spec]}, VolumeStore({}, make=False))) & taken:
                opts[option] = [*(opts.get(option) or []), spec]


def of_others(opts: dict[str, Any], volumes: Any, wanted: dict[str, Mount]) -> None:
    """Add what --volumes-from has resolved at create; what the user mounts there wins."""
    for record in opts.get("volumes_from_mounts") or []:
        destination = record["entry"]["destination"]
        if destination in wanted:
            continue
        if record["volume"]:
            volumes(record["volume"], destination)
        wanted[destination] = Mount(
            record["entry"], record["volume"], record.get("copy_up", False), made=record["made"], relabel=record.get("relabel", "")
        )


def chosen(opts: dict[str, Any], image: dict[str, Any], volumes: Any, look: bool = True) -> dict[str, Mount]:
    """All mounts that options and image ask for, by destination; `look` as in `of_user`. UsageError."""
    wanted = of_user(opts, volumes, look)
    of_others(opts, volumes, wanted)
    of_image(opts, image, volumes, [], wanted)
    return wanted


def _parse_tmpfs(spec: str) -> Mount:
    from pyman.engine import mount_option  # --tmpfs only

    return mount_option.parse_tmpfs(spec)


def of_image(opts: dict[str, Any], image: dict[str, Any], volumes: Any, warnings: list[str], wanted: dict[str, Mount]) -> None:
    """Add the image's volumes to `wanted`, as --image-volume says; what the user mounts there wins. UsageError."""
    mode = str(opts.get("image_volume") or "anonymous")
    if mode not in ("bind", "anonymous", "tmpfs", "ignore"):
        raise UsageError(f"invalid value {mode!r} for --image-volume", "it must be anonymous, tmpfs or ignore")
    for path in image.get("Volumes") or {} if mode != "ignore" else ():
        try:
            destination = volume_option.clean_destination(str(path), str(path))
        except UsageError as err:
            warnings.append(f"the image's volume {path!r} is ignored: {err.why}")
            continue
        if destination in wanted or destination in ("/proc", "/sys", "/dev"):
            continue
        if mode == "tmpfs":
            wanted[destination] = _parse_tmpfs(destination)
        else:
            wanted[destination] = volume_option.anonymous(destination, volumes)


def _standard(opts: dict[str, Any], table: dict[str, Any], ns: Any) -> list[dict[str, Any]]:
    size = parse_size(str(opts.get("shm_size") or table.get("shm_size") or "64m"), "--shm-size")
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]
    result: list[dict[str, Any]] = [{"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}]
    if not ns.own("pid") and ns.shares_host_pid:
        result = [
            {"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind", "nosuid", "noexec", "nodev", "rprivate"]}
        ]
    result += [
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": pts},
    ]
    if not ns.hosts("ipc"):
        result.append({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]})
    if ns.own("ipc"):
        if opts.get("ipc") != "none":
            options = ["nosuid", "noexec", "nodev", "mode=1777", f"size={size}"]
            result.append({"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": options})
    elif opts.get("ipc") != "none":
        result.append(
            {
                "destination": "/dev/shm",
                "type": "bind",
                "source": ns.shm_source,
                "options": ["rbind", "nosuid", "noexec", "nodev", "rprivate"],
            }
        )
    if not ns.hosts("network"):
        result.append({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]})
    else:
        # sysfs belongs to a network namespace: of the host's only the host's mount can be shown.
        result.append(
            {
                "destination": "/sys",
                "type": "bind",
                "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro", "rro", "rprivate"],
            }
        )
    result.append({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "ro"]})
    return result
