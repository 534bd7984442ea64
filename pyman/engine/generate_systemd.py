"""`generate systemd`: the unit of systemd for one container, in the form that Podman had before Quadlet. CLI process."""

from __future__ import annotations

import os

from pyman.errors import StateError, UsageError
from pyman.systemd import words
from pyman.systemd.quadlet import commandline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pyman.engine.container import Container

POLICIES = ("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always")
_MOST_GRACE = 60  # seconds that a stop may take beyond its own time-out


class Made:
    """How a container was made: the options before the command, its own without those that the unit decides, IMAGE COMMAND..."""

    __slots__ = ("before", "options", "positionals", "sdnotify")

    def __init__(
        self, before: Sequence[str] = (), options: Sequence[str] = (), positionals: Sequence[str] = (), sdnotify: str = ""
    ) -> None:
        self.before = before
        self.options = options
        self.positionals = positionals
        self.sdnotify = sdnotify


def check(opts: dict[str, Any]) -> None:
    """UsageError for values that a unit cannot have."""
    policy = opts.get("restart_policy")
    if policy and policy not in POLICIES:
        raise UsageError(f"{policy} is not a valid restart policy", "it must be one of " + ", ".join(POLICIES))
    if opts.get("format") not in ("", None, "json"):
        raise UsageError(f"invalid value {opts['format']!r} for --format", "it must be json")
    for key in ("container_prefix", "separator"):
        if any(char in "/\n" or not char.isprintable() for char in opts[key]):
            raise UsageError(f"invalid value {opts[key]!r} for --{key.replace('_', '-')}", "it is part of a file's name")
    for key in ("env", "wants", "after", "requires"):
        for value in opts.get(key) or []:
            if key != "env" and not value.isprintable():
                raise UsageError(f"invalid value {value!r} for --{key}", "it must stay on its line")


def unit_name(container: Container, opts: dict[str, Any]) -> str:
    """The unit's name without .service; a template's ends in @."""
    name = container.name if opts.get("name") else container.id
    prefix = opts["container_prefix"]
    return (f"{prefix}{opts['separator']}{name}" if prefix else name) + ("@" if opts.get("template") else "")


def of_container(container: Container, opts: dict[str, Any], made: Made | None) -> str:
    """The unit's text. made: with --new. StateError, UsageError."""
    name = unit_name(container, opts)
    lines = [] if opts.get("no_header") else [f"# {name}.service", "# made by pyman generate systemd", ""]
    lines += ["[Unit]", f"Description=Container {words.plain(name)}.service" + (" for %I" if opts.get("template") else "")]
    lines += [
        "Documentation=man:pyman-generate-systemd(1)",
        "Wants=network-online.target",
        "After=network-online.target",
        "RequiresMountsFor=%t/pyman",
    ]
    lines += [f"{key.capitalize()}={' '.join(opts[key])}" for key in ("wants", "after", "requires") if opts.get(key)]
    tries = str(container.state.get("restart_policy") or "").partition(":")[2]
    lines += [f"StartLimitBurst={tries}"] if tries and not opts.get("restart_policy") else []
    # The name of the whole unit, by which auto-update restarts it.
    lines += ["", "[Service]", "Environment=PODMAN_SYSTEMD_UNIT=%n"]
    lines += ["Environment=" + words.quote(value.replace("%", "%%")) for value in opts.get("env") or []]
    lines += [f"Restart={opts.get('restart_policy') or _policy(container)}"]
    lines += [f"RestartSec={opts['restart_sec']}"] if opts.get("restart_sec") is not None else []
    lines += [f"TimeoutStartSec={opts['start_timeout']}"] if opts.get("start_timeout") is not None else []
    given, own = opts.get("stop_timeout"), container.config["options"].get("stop_timeout")
    timeout = int(given if given is not None else 10 if own is None else own)
    lines += [f"TimeoutStopSec={timeout + _MOST_GRACE}"]
    lines += _made_anew(container, opts, made, timeout) if made else _started(container, opts, timeout)
    lines += ["NotifyAccess=all", "", "[Install]", "WantedBy=default.target"]
    return "\n".join(lines) + "\n"


def _policy(container: Container) -> str:
    name = str(container.state.get("restart_policy") or "no").partition(":")[0]
    return {"always": "always", "unless-stopped": "always"}.get(name, "on-failure")


def _line(key: str, argv: list[str]) -> str:
    return f"{key}=" + words.join(argv)


def _started(container: Container, opts: dict[str, Any], timeout: int) -> list[str]:
    if opts.get("template"):
        raise UsageError("cannot make a template", "a container that exists is only one", "add --new")
    name = container.name if opts.get("name") else container.id
    stop = [commandline.program(), "stop", "-t", str(timeout), name]
    return [
        "Environment=PYMAN_SDNOTIFY=conmon",
        _line("ExecStart", [commandline.program(), "start", name]),
        _line("ExecStop", stop),
        _line("ExecStopPost", stop),
        "Type=notify",
    ]


def _made_anew(container: Container, opts: dict[str, Any], made: Made, timeout: int) -> list[str]:
    if not made.positionals:
        raise StateError(f"cannot make a unit of container {container.name}", "it is not known how it was made", "leave --new out")
    if container.config["options"].get("pod"):
        raise StateError(f"cannot make a unit of container {container.name}", "pods are not part of this release")
    program = [commandline.program(), *(words.plain(word) for word in made.before)]
    cidfile = "--cidfile=%t/%n.ctr-id"
    # A unit that is told nothing would never be ready.
    notify = "conmon" if made.sdnotify in ("", "ignore") else made.sdnotify
    name = words.plain(container.name) + ("-%i" if opts.get("template") else "")
    run = [*program, "run", cidfile, "--cgroups=no-conmon", "--rm", f"--sdnotify={notify}", "--replace", "-d", "--name", name]
    run += [words.plain(word) for word in (*made.options, *made.positionals)]
    return [
        _line("ExecStart", run),
        _line("ExecStop", [*program, "stop", "--ignore", "-t", str(timeout), cidfile]),
        _line("ExecStopPost", [*program, "rm", "-f", "--ignore", "-t", str(timeout), cidfile]),
        "Type=notify",
    ]


def save(name: str, text: str) -> str:
    """Write a unit into the working directory; its path. UsageError."""
    path = os.path.join(os.getcwd(), name + ".service")
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as err:
        raise UsageError(f"cannot write {path}", err.strerror or str(err)) from err
    return path
