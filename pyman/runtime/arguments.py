"""The options of `pyman-runtime` (runc's and crun's) and their parser. The runtime program."""

from __future__ import annotations

from pyman.digits import is_whole
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# option -> whether it takes a value; short names beside their long ones
GLOBAL = {
    "--root": True,
    "--log": True,
    "--log-format": True,
    "--log-level": True,
    "--debug": False,
    "--systemd-cgroup": False,
    "--rootless": True,
    "--cgroup-manager": True,
    "--version": False,
    "-v": False,
    "--help": False,
    "-h": False,
}
_CREATE = {
    "--bundle": True,
    "-b": True,
    "--config": True,
    "-f": True,
    "--console-socket": True,
    "--pid-file": True,
    "--pidfd-socket": True,
    "--preserve-fds": True,
    "--no-pivot": False,
    "--no-new-keyring": False,
    "--no-subreaper": False,
}
_CRIU = {
    "--image-path": True,
    "--work-path": True,
    "--tcp-established": False,
    "--ext-unix-sk": False,
    "--shell-job": False,
    "--file-locks": False,
    "--manage-cgroups-mode": True,
    "--empty-ns": True,
    "--auto-dedup": False,
    "--lazy-pages": False,
}
# Options of runc's and crun's that cannot mean anything here, with the reason.
_NO_REALTIME = "cgroup v2 does not divide realtime time"
_NO_RDT = "resource director groups (linux.intelRdt) are not supported"
REFUSED = {
    "--cpu-rt-period": _NO_REALTIME,
    "--cpu-rt-runtime": _NO_REALTIME,
    "--kernel-memory": "cgroup v2 counts the kernel's memory together with the container's: use --memory",
    "--kernel-memory-tcp": "cgroup v2 counts the buffers of sockets together with the container's memory: use --memory",
    "--l3-cache-schema": _NO_RDT,
    "--mem-bw-schema": _NO_RDT,
}
VERBS: dict[str, dict[str, bool]] = {
    "create": _CREATE,
    "run": {**_CREATE, "--detach": False, "-d": False, "--keep": False},
    "start": {},
    "state": {},
    "kill": {"--all": False, "-a": False, "--regex": False, "-r": False},
    "delete": {"--force": False, "-f": False, "--regex": False, "-r": False},
    "exec": {
        "--process": True,
        "-p": True,
        "--cwd": True,
        "--env": True,
        "-e": True,
        "--user": True,
        "-u": True,
        "--additional-gids": True,
        "-g": True,
        "--cap": True,
        "-c": True,
        "--tty": False,
        "-t": False,
        "--detach": False,
        "-d": False,
        "--pid-file": True,
        "--pidfd-socket": True,
        "--console-socket": True,
        "--preserve-fds": True,
        "--no-new-privs": False,
        "--apparmor": True,
        "--process-label": True,
        "--ignore-paused": False,
        "--cgroup": True,
    },
    "list": {"--format": True, "-f": True, "--quiet": False, "-q": False},
    "ps": {"--format": True, "-f": True},
    "pause": {},
    "resume": {},
    "update": {
        "--resources": True,
        "-r": True,
        "--blkio-weight": True,
        "--cpu-burst": True,
        "--cpu-idle": True,
        "--cpu-period": True,
        "--cpu-quota": True,
        "--cpu-share": True,
        "--cpu-shares": True,
        "--cpuset-cpus": True,
        "--cpuset-mems": True,
        "--memory": True,
        "--memory-reservation": True,
        "--memory-swap": True,
        "--pids-limit": True,
        **dict.fromkeys(REFUSED, True),
    },
    "events": {"--stats": False, "--interval": True},
    "checkpoint": {
        **_CRIU,
        "--parent-path": True,
        "--leave-running": False,
        "--tcp-skip-in-flight": False,
        "--link-remap": False,
        "--status-fd": True,
        "--page-server": True,
        "--pre-dump": False,
    },
    "restore": {
        **_CRIU,
        "--bundle": True,
        "-b": True,
        "--console-socket": True,
        "--detach": False,
        "-d": False,
        "--pid-file": True,
        "--no-subreaper": False,
        "--no-pivot": False,
        "--lsm-profile": True,
        "--lsm-mount-context": True,
    },
    "spec": {"--bundle": True, "-b": True, "--rootless": False},
    "features": {},
}
_LONG = {
    "-v": "--version",
    "-h": "--help",
    "-b": "--bundle",
    "-d": "--detach",
    "-e": "--env",
    "-u": "--user",
    "-t": "--tty",
    "-p": "--process",
    "-c": "--cap",
    "-g": "--additional-gids",
    "-a": "--all",
    "-q": "--quiet",
    "-r": "--resources",
}
_REPEATED = ("--env", "--cap", "--additional-gids")
# positionals a command takes, least and most; those of update may be followed by nothing
_MANY = 1 << 20
COUNTS = {
    "create": (1, 1),
    "run": (1, 1),
    "start": (1, 1),
    "state": (1, 1),
    "kill": (1, 2),
    "delete": (1, 1),
    "exec": (1, _MANY),
    "list": (0, 0),
    "ps": (1, _MANY),
    "pause": (1, 1),
    "resume": (1, 1),
    "update": (1, 1),
    "events": (1, 1),
    "checkpoint": (1, 1),
    "restore": (1, 1),
    "spec": (0, 0),
    "features": (0, 0),
}
POSITIONALS = {
    **dict.fromkeys(
        ("create", "run", "start", "state", "delete", "pause", "resume", "update", "events", "checkpoint", "restore"), "CONTAINER"
    ),
    "kill": "CONTAINER [SIGNAL]",
    "exec": "CONTAINER cmd [ARG ...] | --process FILE CONTAINER",
    "ps": "CONTAINER [PS-OPTION ...]",
}


def parse(argv: list[str], known: dict[str, bool]) -> tuple[dict[str, Any], list[str]]:
    """Options up to the first positional, by long name without dashes and with underscores, and the rest. UsageError."""
    found: dict[str, Any] = {}
    at = 0
    while at < len(argv) and argv[at].startswith("-") and argv[at] != "-":
        name, equals, value = argv[at].partition("=")
        at += 1
        if name == "--":
            break
        if name.startswith("-") and not name.startswith("--") and len(name) > 2 and name[:2] in known:
            name, value, equals = name[:2], name[2:] + equals + value, "="  # -eA=B
        if name not in known and "-" + name in known:
            name = "-" + name  # Go's flag package takes one dash for two
        if name not in known and name not in ("--help", "-h"):
            raise UsageError(f"unknown option {name}", near(name, known) or "pyman-runtime does not have it")
        if name in REFUSED:
            raise UsageError(f"cannot use {name}", REFUSED[name])
        takes_value = known.get(name, False)
        if takes_value and not equals:
            if at >= len(argv):
                raise UsageError(f"option {name} needs a value", "none was given")
            value, at = argv[at], at + 1
        if not takes_value and equals and value not in ("true", "false"):
            raise UsageError(f"option {name} takes no value", f"{value!r} was given")
        name = short_names(known).get(name, name)
        key = name.lstrip("-").replace("-", "_")
        if name in _REPEATED:
            found.setdefault(key, []).append(value)
        else:
            found[key] = value if takes_value else value != "false"
    return found, argv[at:]


def short_names(known: dict[str, bool]) -> dict[str, str]:
    """Which long option of a command each letter stands for."""
    force = "--format" if "--format" in known else "--force" if "--force" in known else "--config"
    return {**_LONG, "-f": force, **({"-r": "--regex"} if "--regex" in known else {})}


def near(word: str, known: Iterable[str]) -> str:
    """What a mistyped word may have meant, as a sentence; empty if it is like none."""
    import difflib  # for mistakes only

    found = difflib.get_close_matches(word, [name for name in known if name[:2] == "--" or name[:1] != "-"], 1)
    return f"did you mean {found[0]}?" if found else ""


def number(opts: dict[str, Any], key: str, default: int = 0) -> int:
    """A whole number of the options. UsageError."""
    text = opts.get(key)
    if text is None:
        return default
    if not _is_number(str(text).removeprefix("-")):
        raise UsageError(f"invalid --{key.replace('_', '-')} {text!r}", "it must be a whole number of 64 bits at most")
    return int(text)


def _is_number(text: str) -> bool:
    """Digits of the plain kind, which 64 bits hold with a sign; `isdigit` alone takes superscripts."""
    return is_whole(text, 19) and int(text) < 1 << 63


def size(text: str, option: str) -> int:
    """Bytes, with the suffixes b k m g t (powers of 1024); -1 for no limit. UsageError."""
    body = text.strip().lower()
    factor = 1
    if body[-1:] == "b":
        body = body[:-1]
    if body[-1:] in "kmgt" and body:
        factor = 1024 ** ("kmgt".index(body[-1]) + 1)
        body = body[:-1]
    if body == "-1":
        return -1
    if not _is_number(body) or int(body) * factor >= 1 << 63:
        raise UsageError(f"invalid {option} {text!r}", "it must be a size such as 512m")
    return int(body) * factor
