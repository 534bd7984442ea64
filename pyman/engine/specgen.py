"""From options, image configuration and containers.toml to an OCI runtime spec (1.2). CLI process, pure.

What only the mounted root tells (user names, home, working directory) is filled in by engine/specgen_rootfs.py.
"""

from __future__ import annotations

import os

from pyman import exitcodes
from pyman.digits import is_whole
from pyman.engine import caps, env, mount_plan, namespaces, security, sysctls
from pyman.errors import MissingProgram, UsageError
from pyman.linux import libc
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.engine.mounts import Mount

_DEFAULT = 1 << 20  # of open files and processes
_INITS = ("/usr/libexec/podman/catatonit", "/usr/bin/catatonit", "/usr/bin/tini", "/usr/bin/dumb-init")


class SpecContext:
    """What the spec depends on besides options and image; `warnings` and the rest below it are results."""

    __slots__ = (
        "conf",
        "copy_up",
        "env",
        "gid_shift",
        "given_user",
        "hostname",
        "hostname_path",
        "hosts_path",
        "id",
        "idmap",
        "image_hosts",
        "joined",
        "joined_maps",
        "made",
        "name",
        "network_mode",
        "notice",
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
        self.joined_maps: tuple[list[dict[str, int]], list[dict[str, int]]] = [], []
        self.volumes: Callable[..., str] = lambda *_args, **_kw: ""
        self.id = self.name = self.hostname = self.rootfs = self.run_dir = self.network_mode = ""
        self.hosts_path = self.resolv_path = self.hostname_path = ""
        self.warnings: list[str] = []
        self.image_hosts: list[str] = []  # lines of the image's /etc/hosts, where it is the base of the container's
        self.uid_shift: list[tuple[int, int, int]] = []
        self.gid_shift: list[tuple[int, int, int]] = []
        self.copy_up: list[Mount] = []  # mounts whose sources are filled, owned or labelled first
        self.notice: Callable[[str], None] = lambda _text: None  # what takes long; C tells the CLI
        self.made: list[Mount] = []  # mounts whose sources C makes first
        self.user = self.workdir = ""
        self.given_user = False  # --user, rather than the image's or keep-id's


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
    ctx.given_user = bool(opts.get("user"))
    ctx.workdir = opts.get("workdir") or str(image.get("WorkingDir") or "") or "/"
    if not ctx.workdir.startswith("/"):
        why, hint = "it is not absolute", "begin it with /"
        raise UsageError(f"invalid working directory {ctx.workdir!r}", why, hint, exit_code=exitcodes.CANNOT_INVOKE)
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
            "user": {"uid": 0, "gid": 0, "umask": umask(opts, table)},
            "capabilities": caps.process_sets(bounding, True, added),
            "rlimits": rlimits(opts, table),
            "oomScoreAdj": _number(opts, "oom_score_adj"),
            "noNewPrivileges": False,
        },
        "root": {"path": ctx.rootfs, "readonly": readonly},
        "hostname": ctx.hostname if ns.own("uts") else "",
        "mounts": mount_plan.mounts(opts, image, ctx, ns, readonly),
        "annotations": dict(item.partition("=")[::2] for item in opts.get("annotation") or []),
        "linux": {
            "namespaces": ns.entries,
            **({"uidMappings": ns.uid_mappings, "gidMappings": ns.gid_mappings} if ns.uid_mappings else {}),
            "devices": _devices([*(table.get("devices") or []), *(opts.get("device") or [])]),
            "sysctl": sysctls.entries(list(table.get("default_sysctls") or []), list(opts.get("sysctl") or []), ns, ctx.network_mode),
            "resources": resources(opts),
            **({"personality": {"domain": personality(str(opts["personality"]))}} if opts.get("personality") else {}),
        },
    }
    _check_words([*spec["process"]["args"], *spec["process"]["env"]])
    if privileged:
        from pyman.engine import privileged as host

        spec["linux"]["devices"] += host.devices(spec["mounts"], spec["linux"]["devices"])
    security.apply(spec, opts, table, bounding, privileged)
    if opts.get("systemd") or spec["process"]["args"][0].endswith(("/init", "systemd")):
        from pyman.engine import systemd_mode  # systemd only

        if systemd_mode.wanted(opts, spec["process"]["args"]):
            systemd_mode.apply(spec, opts, ctx)
    _init_program(spec, opts, table)
    return spec


def _check_words(words: list[str]) -> None:
    """UsageError for what execve(2) cannot be given; images may say anything."""
    text = "".join(words)
    why = "there is a NUL character in them" if "\0" in text else ""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        why = "there is half of a surrogate pair in them"
    if why:
        raise UsageError(
            "cannot use the container's command and environment",
            f"{why}, which no program can be given",
            "correct the image's Cmd, Entrypoint or Env, or the --env-file",
        )


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


def personality(text: str) -> str:
    """The domain --personality names. UsageError."""
    domain = text.upper().removeprefix("PER_")
    if domain not in ("LINUX", "LINUX32"):
        raise UsageError(f"invalid personality {text!r}", "it must be LINUX or LINUX32")
    return domain


def umask(opts: dict[str, Any], table: dict[str, Any]) -> int:
    """Of --umask or containers.toml. UsageError."""
    text = str(opts.get("umask") or table.get("umask") or "0022")
    value = int(text, 8) if text and not text.strip("01234567") else -1
    if not 0 <= value <= 0o777:
        raise UsageError(f"invalid umask {text!r}", "it is an octal number up to 0777")
    return value


def rlimits(opts: dict[str, Any], table: dict[str, Any]) -> list[dict[str, Any]]:
    """--ulimit NAME=SOFT[:HARD] or `host` (the caller's, which is inherited). Later ones win; -1 is the most the caller may have.

    Without `host` open files and processes get what Podman gives them: the caller's hard limit, 1048576 at most.
    """
    hard_limits = {"RLIMIT_NPROC": libc.getrlimit(6)[1], "RLIMIT_NOFILE": libc.getrlimit(7)[1]}
    result = {kind: _limit(kind, *[min(_DEFAULT, most % 2**64)] * 2) for kind, most in hard_limits.items()}
    for item in [*(table.get("default_ulimits") or []), *(opts.get("ulimit") or [])]:
        if item == "host":
            result = {}
            continue
        name, _, values = item.partition("=")
        soft, _, hard = values.partition(":")
        hard = hard or soft
        numbers = [-1 if text in ("-1", "unlimited") else int(text) if _is_number(text) else None for text in (soft, hard)]
        if None in numbers:
            raise UsageError(f"invalid ulimit {item!r}", "the form is NAME=SOFT[:HARD]", "for example: --ulimit nofile=1024:2048")
        if hard != "unlimited" and hard != "-1" and not 0 <= int(soft if _is_number(soft) else -1) <= int(hard):
            raise UsageError(f"invalid ulimit {item!r}", "the soft limit is above the hard one")
        kind = "RLIMIT_" + name.upper()
        if -1 in numbers:
            most = _most(kind)
            numbers = [most if number == -1 else number for number in numbers]
        result[kind] = _limit(kind, *numbers)
    return list(result.values())


def _is_number(text: str) -> bool:
    """Whether a limit fits into the 63 bits that Podman's have; `isdigit` alone takes superscripts."""
    return is_whole(text, 19) and int(text) < 1 << 63


def _limit(kind: str, soft: int | None, hard: int | None) -> dict[str, Any]:
    return {"type": kind, "soft": soft, "hard": hard}


def _most(kind: str) -> int:
    """The caller's hard limit, which nobody without privileges can exceed; -1: none."""
    import resource  # for -1 only

    number = getattr(resource, kind, None)
    return -1 if number is None else resource.getrlimit(number)[1]


def _devices(specs: list[str]) -> list[dict[str, Any]]:
    if not specs:
        return []
    from pyman.engine import devices  # with --device only

    return devices.entries(specs)


LIMITS = (
    *("memory", "memory_swap", "memory_reservation", "cpus", "cpu_shares", "cpu_quota", "cpu_period", "cpuset_cpus", "cpuset_mems"),
    *("pids_limit", "blkio_weight", "blkio_weight_device", "device_read_bps", "device_read_iops", "device_write_bps"),
    *("device_write_iops", "cgroup_conf"),
)


def resources(opts: dict[str, Any]) -> dict[str, Any]:
    """linux.resources. UsageError."""
    if not any(opts.get(key) for key in LIMITS):
        return {}
    from pyman.engine import limits  # with limits only

    return limits.resources(opts)


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
