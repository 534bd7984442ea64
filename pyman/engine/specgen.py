"""From options, image configuration and containers.toml to an OCI runtime spec (1.2). CLI process, pure.

What only the mounted root tells (user names, home, working directory) is filled in by engine/specgen_rootfs.py.
"""

from __future__ import annotations

import os

from pyman.engine import caps, env, mounts, namespaces, security
from pyman.engine.logopts import parse_size
from pyman.errors import MissingProgram, UsageError
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_INITS = ("/usr/libexec/podman/catatonit", "/usr/bin/catatonit", "/usr/bin/tini", "/usr/bin/dumb-init")


class SpecContext:
    """What the spec depends on besides options and image; `warnings` and the rest below it are results."""

    __slots__ = (
        "conf",
        "copy_up",
        "cwd",
        "env",
        "gid_shift",
        "hostname",
        "hostname_path",
        "hosts_path",
        "id",
        "idmap",
        "joined",
        "name",
        "network_mode",
        "resolv_path",
        "rootfs",
        "run_dir",
        "uid_shift",
        "user",
        "volumes",
        "warnings",
        "workdir",
    )

    def __init__(self) -> None:
        self.conf: dict[str, Any] = {}
        self.idmap: Any = None
        self.env: dict[str, str] = {}
        self.joined: dict[str, str] = {}
        self.volumes: Callable[..., str] = lambda *_args, **_kw: ""
        self.id = self.name = self.hostname = self.rootfs = self.run_dir = self.cwd = self.network_mode = ""
        self.hosts_path = self.resolv_path = self.hostname_path = ""
        self.warnings: list[str] = []
        self.uid_shift: list[tuple[int, int, int]] = []
        self.gid_shift: list[tuple[int, int, int]] = []
        self.copy_up: list[mounts.Mount] = []
        self.user = self.workdir = ""


def build(opts: dict[str, Any], image_config: dict[str, Any] | None, ctx: SpecContext) -> dict[str, Any]:
    """The spec for a container. UsageError for option values that make no sense."""
    image = image_config or {}
    table = ctx.conf["containers"]
    privileged = bool(opts.get("privileged"))
    ns = namespaces.build(opts, ctx)
    added = list(opts.get("cap_add") or [])
    bounding = caps.bounding(added, list(opts.get("cap_drop") or []), privileged, list(table.get("default_capabilities") or []))
    # keep-id makes the container's user the caller, unless a user was asked for.
    ctx.user = opts.get("user") or (ns.default_user if ns.default_user else str(image.get("User") or ""))
    ctx.workdir = opts.get("workdir") or str(image.get("WorkingDir") or "") or "/"
    if not ctx.workdir.startswith("/"):
        raise UsageError(f"invalid working directory {ctx.workdir!r}", "it is not absolute", "begin it with /")
    readonly = bool(
        opts.get("read_only")
        if opts.get("read_only") is not None and "read_only" in (opts.get("_given") or [])
        else table.get("read_only") or opts.get("read_only")
    )
    spec: dict[str, Any] = {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": bool(opts.get("tty")),
            "args": arguments(opts, image),
            "env": env.build(opts, list(image.get("Env") or []), ctx.env, ctx.conf, ctx.hostname, ctx.warnings),
            "cwd": ctx.workdir,
            "user": {"uid": 0, "gid": 0, "umask": _umask(opts, table)},
            "capabilities": caps.process_sets(bounding, True, added),
            "rlimits": _rlimits(opts, table),
            "oomScoreAdj": _number(opts, "oom_score_adj"),
            "noNewPrivileges": False,
        },
        "root": {"path": ctx.rootfs, "readonly": readonly},
        "hostname": ctx.hostname if ns.own("uts") else "",
        "mounts": _mounts(opts, image, ctx, ns, readonly),
        "annotations": dict(item.partition("=")[::2] for item in opts.get("annotation") or []),
        "linux": {
            "namespaces": ns.entries,
            **({"uidMappings": ns.uid_mappings, "gidMappings": ns.gid_mappings} if ns.uid_mappings else {}),
            "devices": _devices([*(table.get("devices") or []), *(opts.get("device") or [])]),
            "sysctl": _sysctls(list(table.get("default_sysctls") or []), list(opts.get("sysctl") or []), ns, ctx),
            "resources": _resources(opts),
        },
    }
    security.apply(spec, opts, table, bounding, privileged)
    _init_program(spec, opts, table)
    return spec


def arguments(opts: dict[str, Any], image: dict[str, Any]) -> list[str]:
    """The command line: --entrypoint or the image's, then the command given or the image's. UsageError if there is none."""
    command = list(opts.get("_command") or [])
    given = "entrypoint" in (opts.get("_given") or []) or bool(opts.get("entrypoint"))
    if given:
        text = str(opts.get("entrypoint") or "")
        if text.startswith("["):
            try:
                entrypoint = [str(part) for part in fastjson.loads(text)]
            except ValueError as err:
                raise UsageError(f"invalid entrypoint {text!r}", str(err), 'a list is written ["program","argument"]') from err
        else:
            entrypoint = [text] if text else []
    else:
        entrypoint = [str(part) for part in image.get("Entrypoint") or []]
        command = command or [str(part) for part in image.get("Cmd") or []]
    if not entrypoint + command:
        raise UsageError(
            "no command to run", "neither the image nor the command line names one", "write it after the image: pyman run IMAGE COMMAND"
        )
    return entrypoint + command


def _number(opts: dict[str, Any], key: str) -> int | None:
    value = opts.get(key)
    return int(value) if value not in (None, "", []) and key in (opts.get("_given") or [key]) else None


def _umask(opts: dict[str, Any], table: dict[str, Any]) -> int:
    text = str(opts.get("umask") or table.get("umask") or "0022")
    try:
        value = int(text, 8)
    except ValueError:
        value = -1
    if not 0 <= value <= 0o777:
        raise UsageError(f"invalid umask {text!r}", "it is an octal number up to 0777")
    return value


def _rlimits(opts: dict[str, Any], table: dict[str, Any]) -> list[dict[str, Any]]:
    """--ulimit NAME=SOFT[:HARD] or `host` (the caller's, which is inherited). Later ones win."""
    result: dict[str, dict[str, Any]] = {}
    for item in [*(table.get("default_ulimits") or []), *(opts.get("ulimit") or [])]:
        if item == "host":
            result = {}
            continue
        name, _, values = item.partition("=")
        soft, _, hard = values.partition(":")
        hard = hard or soft
        numbers = [-1 if text in ("-1", "unlimited") else int(text) if text.isdigit() else None for text in (soft, hard)]
        if None in numbers:
            raise UsageError(f"invalid ulimit {item!r}", "the form is NAME=SOFT[:HARD]", "for example: --ulimit nofile=1024:2048")
        kind = "RLIMIT_" + name.upper()
        result[kind] = {"type": kind, "soft": numbers[0], "hard": numbers[1]}
    return list(result.values())


def _devices(specs: list[str]) -> list[dict[str, Any]]:
    """--device HOST[:CONTAINER[:PERMISSIONS]]; bound from the host, so its own permissions count."""
    result = []
    for spec in specs:
        parts = spec.split(":")
        if "=" in spec and not spec.startswith("/"):
            raise UsageError(f"cannot add device {spec!r}", "CDI devices are not part of this release", "give the device's path")
        source = parts[0]
        target = parts[1] if len(parts) > 1 and parts[1].startswith("/") else source
        if not os.path.exists(source):
            raise UsageError(f"cannot add device {source}", "no such device on the host")
        nodes = [os.path.join(source, name) for name in sorted(os.listdir(source))] if os.path.isdir(source) else [source]
        for node in nodes:
            result.append({"source": node, "path": mounts.clean_destination(target + node[len(source) :], spec)})
    return result


def _sysctls(defaults: list[str], items: list[str], ns: Any, ctx: SpecContext) -> dict[str, str]:
    """--sysctl over the defaults; a default for a namespace the container shares is left out, an option is an error."""
    result = {}
    for item in [*(item for item in defaults if ns.own("network" if item.startswith("net.") else "ipc")), *items]:
        key, separator, value = item.partition("=")
        if not separator:
            raise UsageError(f"invalid sysctl {item!r}", "the form is NAME=VALUE")
        if key.startswith("net."):
            if not ns.own("network"):
                raise UsageError(
                    f"cannot set sysctl {key}",
                    f"the container shares its network namespace (--network {ctx.network_mode})",
                    "set it on the host",
                )
        elif key.startswith(("fs.mqueue.", "kernel.msg", "kernel.sem", "kernel.shm")):
            if not ns.own("ipc"):
                raise UsageError(f"cannot set sysctl {key}", "the container shares its IPC namespace", "leave --ipc private")
        else:
            raise UsageError(
                f"cannot set sysctl {key}",
                "it belongs to the whole machine, not to a namespace",
                "only net.*, fs.mqueue.* and kernel.{msg,sem,shm}* can be set for a container",
            )
        result[key] = value
    return result


_LIMITS = {
    "memory": "memory",
    "memory_swap": "memory",
    "memory_reservation": "memory",
    "cpus": "cpu",
    "cpu_shares": "cpu",
    "cpu_quota": "cpu",
    "cpu_period": "cpu",
    "cpuset_cpus": "cpuset",
    "cpuset_mems": "cpuset",
}


def _resources(opts: dict[str, Any]) -> dict[str, Any]:
    """Limits need a delegated cgroup, which comes with a later release: refused rather than ignored."""
    for key, controller in _LIMITS.items():
        if opts.get(key) not in (None, "", 0):
            raise UsageError(
                f"cannot set --{key.replace('_', '-')}",
                f"this release does not set limits of the cgroup controller {controller}",
                "use --ulimit for limits of single processes",
            )
    return {}


def _mounts(opts: dict[str, Any], image: dict[str, Any], ctx: SpecContext, ns: Any, readonly: bool) -> list[dict[str, Any]]:
    """The standard mounts, then the generated files, then the user's (sorted by depth), which replace ours."""
    table = ctx.conf["containers"]
    wanted: dict[str, mounts.Mount] = {}
    for item in [
        *(mounts.parse_volume(v, ctx.volumes) for v in opts.get("volume") or []),
        *(mounts.parse_mount(m, ctx.volumes) for m in opts.get("mount") or []),
    ]:
        destination = item.entry["destination"]
        if destination in wanted:
            raise UsageError(f"cannot mount {destination} twice", "two options name the same place in the container")
        wanted[destination] = item
    for spec in opts.get("tmpfs") or []:
        entry = mounts.parse_tmpfs(spec)
        if entry["destination"] in wanted:
            raise UsageError(f"cannot mount {entry['destination']} twice", "two options name the same place in the container")
        wanted[entry["destination"]] = mounts.Mount(entry)
    _image_volumes(opts, image, ctx, wanted)
    base = _standard(opts, table, ns)
    if readonly and opts.get("read_only_tmpfs") is not False:
        for path in ("/run", "/tmp", "/var/tmp"):
            base.append({"destination": path, "type": "tmpfs", "source": "tmpfs", "options": ["rw", "nosuid", "nodev", "tmpcopyup"]})
    files = []
    if not (opts.get("no_hosts") or table.get("no_hosts") or opts.get("hosts_file") == "none"):
        files.append((ctx.hosts_path, "/etc/hosts"))
    if "none" not in (opts.get("dns") or []):
        files.append((ctx.resolv_path, "/etc/resolv.conf"))
    if not opts.get("no_hostname") and ns.own("uts"):
        files.append((ctx.hostname_path, "/etc/hostname"))
    # They lie on the user's runtime directory, whose mount is nosuid, nodev; the flags are theirs already.
    base += [
        {"destination": target, "type": "bind", "source": source, "options": ["bind", "rprivate", "nosuid", "nodev", "noexec"]}
        for source, target in files
    ]
    base = [entry for entry in base if entry["destination"] not in wanted]
    ctx.copy_up = [item for item in wanted.values() if item.copy_up or item.chown]
    return base + [wanted[key].entry for key in sorted(wanted, key=lambda path: path.count("/"))]


def _image_volumes(opts: dict[str, Any], image: dict[str, Any], ctx: SpecContext, wanted: dict[str, mounts.Mount]) -> None:
    mode = str(opts.get("image_volume") or "anonymous")
    if mode not in ("bind", "anonymous", "tmpfs", "ignore"):
        raise UsageError(f"invalid value {mode!r} for --image-volume", "it must be anonymous, tmpfs or ignore")
    for path in image.get("Volumes") or {} if mode != "ignore" else ():
        try:
            destination = mounts.clean_destination(str(path), str(path))
        except UsageError as err:
            ctx.warnings.append(f"the image's volume {path!r} is ignored: {err.why}")
            continue
        if destination in wanted or destination in ("/proc", "/sys", "/dev"):
            continue
        if mode == "tmpfs":
            wanted[destination] = mounts.Mount(mounts.parse_tmpfs(destination))
        else:
            wanted[destination] = mounts.Mount(
                mounts.bind(ctx.volumes("", destination, anonymous=True), destination, []), "anonymous", copy_up=True
            )


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
    if ns.own("ipc"):
        result.append({"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]})
        result.append(
            {
                "destination": "/dev/shm",
                "type": "tmpfs",
                "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", f"size={size}"],
            }
        )
    else:
        result.append(
            {
                "destination": "/dev/shm",
                "type": "bind",
                "source": ns.shm_source,
                "options": ["rbind", "nosuid", "noexec", "nodev", "rprivate"],
            }
        )
    if ns.own("network") and ns.sysfs_allowed:
        result.append({"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]})
    else:
        # sysfs belongs to a network namespace: of a foreign one only the host's mount can be shown.
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


def _init_program(spec: dict[str, Any], opts: dict[str, Any], table: dict[str, Any]) -> None:
    """--init: catatonit (or tini) becomes pid 1 and reaps zombies."""
    if not (opts.get("init") or table.get("init")):
        return
    path = opts.get("init_path") or table.get("init_path") or next((candidate for candidate in _INITS if os.access(candidate, os.X_OK)), "")
    if not path or not os.access(path, os.X_OK):
        raise MissingProgram(
            "cannot use --init", f"no init program found{': ' + path if path else ''}", "as root: apt-get install catatonit"
        )
    spec["mounts"].append(
        {"destination": "/run/podman-init", "type": "bind", "source": path, "options": ["bind", "ro", "rprivate", "nosuid", "nodev"]}
    )
    spec["process"]["args"] = ["/run/podman-init", "--", *spec["process"]["args"]]
