"""`generate systemd`: the unit of systemd for one container, in the form that Podman had before Quadlet. CLI process."""

from __future__ import annotations

import os

from pyman.errors import StateError, UsageError
from pyman.systemd import words
from pyman.systemd.quadlet import commandline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container

POLICIES = ("no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always")
_MOST_GRACE = 60  # seconds that a stop may take beyond its own time-out


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
            if not value.isprintable() or (key == "env" and "=" not in value):
                raise UsageError(f"invalid value {value!r} for --{key}", "it must stay on its line" + (", as NAME=VALUE" * (key == "env")))


def unit_name(container: Container, opts: dict[str, Any]) -> str:
    """The unit's name without .service; a template's ends in @."""
    name = container.name if opts.get("name") else container.id
    prefix = opts["container_prefix"]
    return (f"{prefix}{opts['separator']}{name}" if prefix else name) + ("@" if opts.get("template") else "")


def of_container(container: Container, opts: dict[str, Any], command: tuple[list[str], list[str]] | None) -> str:
    """The unit's text. command: with --new the (options, positionals) that the container was made with. StateError, UsageError."""
    name = unit_name(container, opts)
    lines = [] if opts.get("no_header") else [f"# {name}.service", "# made by pyman generate systemd", ""]
    lines += ["[Unit]", f"Description=Container {words.plain(name)}.service" + (" for %I" if opts.get("template") else "")]
    lines += ["Documentation=man:pyman-generate-systemd(1)", "Wants=network-online.target", "After=network-online.target"]
    lines += [f"{key.capitalize()}={' '.join(opts[key])}" for key in ("wants", "after", "requires") if opts.get(key)]
    # The name of the whole unit, by which auto-update restarts it.
    lines += ["", "[Service]", "Environment=PODMAN_SYSTEMD_UNIT=%n"]
    lines += ["Environment=" + words.quote(value.replace("%", "%%")) for value in opts.get("env") or []]
    lines += [f"Restart={opts.get('restart_policy') or _policy(container)}"]
    lines += [f"RestartSec={opts['restart_sec']}"] if opts.get("restart_sec") is not None else []
    lines += [f"TimeoutStartSec={opts['start_timeout']}"] if opts.get("start_timeout") is not None else []
    given, own = opts.get("stop_timeout"), container.config["options"].get("stop_timeout")
    timeout = int(given if given is not None else 10 if own is None else own)
    lines += [f"TimeoutStopSec={timeout + _MOST_GRACE}"]
    lines += _made_anew(container, opts, command, timeout) if command else _started(container, opts, timeout)
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


def _made_anew(container: Container, opts: dict[str, Any], command: tuple[list[str], list[str]], timeout: int) -> list[str]:
    """command: the options without those that the unit decides (see cli/commands/generate_systemd.py), and IMAGE COMMAND..."""
    options, positionals = command
    if not positionals:
        raise StateError(f"cannot make a unit of container {container.name}", "it is not known how it was made", "leave --new out")
    if container.config["options"].get("pod"):
        raise StateError(f"cannot make a unit of container {container.name}", "pods are not part of this release")
    cidfile = "--cidfile=%t/%n.ctr-id"
    notify = [] if any(word.startswith("--sdnotify") for word in options) else ["--sdnotify=conmon"]
    name = words.plain(container.name) + ("-%i" if opts.get("template") else "")
    run = [commandline.program(), "run", cidfile, "--cgroups=no-conmon", "--rm", *notify, "--replace", "-d", "--name", name]
    run += [words.plain(word) for word in (*options, *positionals)]
    return [
        _line("ExecStart", run),
        _line("ExecStop", [commandline.program(), "stop", "--ignore", "-t", str(timeout), cidfile]),
        _line("ExecStopPost", [commandline.program(), "rm", "-f", "--ignore", "-t", str(timeout), cidfile]),
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
