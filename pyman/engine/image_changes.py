"""--change of commit and import: instructions of a Containerfile that change an image's configuration. Pure."""

from __future__ import annotations

from pyman.digits import is_whole
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

INSTRUCTIONS = ("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR")
_LARGEST = 1 << 20  # bytes of a configuration
_HEALTH = {
    "interval": "Interval",
    "timeout": "Timeout",
    "start-period": "StartPeriod",
    "start-interval": "StartInterval",
    "retries": "Retries",
}


def apply(config: dict[str, Any], changes: list[str]) -> None:
    """Change `config` (the part `config` of an OCI configuration) in place. UsageError names the instruction that is wrong.

    As in a Containerfile, a new ENTRYPOINT takes the old command away, unless a CMD was given before it. A CMD without an argument is a
    shell that waits for one, and an empty change none, as with Podman.
    """
    commanded = False
    for change in filter(str.strip, changes):
        word, separator, rest = change.strip().partition("=")
        if not separator or " " in word or "\t" in word:
            word, _, rest = change.strip().partition(" ")
        word = word.upper()
        if word not in INSTRUCTIONS:
            raise UsageError(f"cannot apply the change {change!r}", f"{word} is none of {', '.join(INSTRUCTIONS)}")
        rest = rest.strip()
        if not rest and word not in ("ENTRYPOINT", "CMD"):
            raise UsageError(f"cannot apply the change {change!r}", "the instruction has no argument")
        commanded = commanded or word == "CMD"
        if not rest:
            config.update({"Cmd": ["/bin/sh", "-c"]} if word == "CMD" else {"Entrypoint": None})
            continue
        if word == "ENTRYPOINT" and not commanded:
            config["Cmd"] = None
        _APPLY[word](config, rest, change)


def _split(text: str, change: str) -> list[str]:
    import shlex

    try:
        return shlex.split(text)
    except ValueError as err:
        raise UsageError(f"cannot apply the change {change!r}", str(err)) from err


def _array(text: str, change: str) -> list[str] | None:
    """A JSON list of strings; None if the text is none."""
    from pyman.state import fastjson

    if not text.startswith("["):
        return None
    try:
        value = fastjson.loads(text)
    except ValueError:
        return None  # a shell's test command begins so too
    if not all(isinstance(item, str) for item in value):
        raise UsageError(f"cannot apply the change {change!r}", "its list holds something other than texts")
    return list(value)


def _command(key: str) -> Any:
    def action(config: dict[str, Any], text: str, change: str) -> None:
        words = _array(text, change)
        config[key] = ["/bin/sh", "-c", text] if words is None else words

    return action


def _pairs(text: str, change: str) -> dict[str, str]:
    """NAME=VALUE ..., or the old form NAME VALUE."""
    words = _split(text, change)
    if "=" not in words[0]:
        name, _, value = text.partition(" ")
        if not value.strip():
            raise UsageError(f"cannot apply the change {change!r}", f"{name} has no value", f"{name}= sets an empty one")
        return {name: value.strip()}
    found = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name:
            raise UsageError(f"cannot apply the change {change!r}", f"{word!r} is not NAME=VALUE")
        found[name] = value
    return found


def _env(config: dict[str, Any], text: str, change: str) -> None:
    config["Env"] = merged_env(list(config.get("Env") or []), _pairs(text, change))


def merged_env(entries: list[str], new: dict[str, str]) -> list[str]:
    """NAME=VALUE entries with new values; those that are there keep their place."""
    known = {entry.partition("=")[0]: entry.partition("=")[2] for entry in entries}
    known.update(new)
    return [f"{name}={value}" for name, value in known.items()]


def _label(config: dict[str, Any], text: str, change: str) -> None:
    config["Labels"] = {**(config.get("Labels") or {}), **_pairs(text, change)}


def _expose(config: dict[str, Any], text: str, change: str) -> None:
    ports = dict(config.get("ExposedPorts") or {})
    for word in text.split():
        number, _, protocol = word.partition("/")
        good = all(is_whole(part, 5) and 0 < int(part) < 65536 for part in number.split("-", 1))
        if not good or protocol not in ("", "tcp", "udp", "sctp"):
            raise UsageError(f"cannot apply the change {change!r}", f"{word!r} is no port")
        ports[f"{number}/{protocol or 'tcp'}"] = {}
    config["ExposedPorts"] = ports


def _volume(config: dict[str, Any], text: str, change: str) -> None:
    words = _array(text, change)
    config["Volumes"] = {**(config.get("Volumes") or {}), **{word: {} for word in (_split(text, change) if words is None else words)}}


def _workdir(config: dict[str, Any], text: str, change: str) -> None:
    import posixpath

    config["WorkingDir"] = posixpath.normpath(posixpath.join("/", config.get("WorkingDir") or "/", text))


def _shell(config: dict[str, Any], text: str, change: str) -> None:
    words = _array(text, change)
    if not words:
        raise UsageError(f"cannot apply the change {change!r}", "SHELL is a JSON list of words")
    config["Shell"] = words


def _healthcheck(config: dict[str, Any], text: str, change: str) -> None:
    """[--interval=5s ...] CMD COMMAND, or NONE."""
    from pyman.engine import health

    check: dict[str, Any] = {}
    while text.startswith("--"):
        option, _, text = text.partition(" ")
        name, _, value = option[2:].partition("=")
        text = text.strip()
        if name not in _HEALTH:
            raise UsageError(f"cannot apply the change {change!r}", f"HEALTHCHECK has no option --{name}")
        if name == "retries" and not is_whole(value, 9):
            raise UsageError(f"cannot apply the change {change!r}", f"{value!r} is no number of retries")
        check[_HEALTH[name]] = int(value) if name == "retries" else health.duration(f"--{name}", value)
    kind, _, command = text.partition(" ")
    command = command.strip()
    if kind.upper() == "NONE" and not command and not check:
        config["Healthcheck"] = {"Test": ["NONE"]}
        return
    if kind.upper() != "CMD" or not command:
        raise UsageError(f"cannot apply the change {change!r}", "HEALTHCHECK wants CMD and a command, or NONE")
    words = _array(command, change)
    config["Healthcheck"] = {"Test": ["CMD-SHELL", command] if words is None else ["CMD", *words], **check}


def _onbuild(config: dict[str, Any], text: str, change: str) -> None:
    config["OnBuild"] = [*(config.get("OnBuild") or []), text]


def _text(key: str) -> Any:
    def action(config: dict[str, Any], text: str, change: str) -> None:
        config[key] = text

    return action


_APPLY: dict[str, Any] = {
    "CMD": _command("Cmd"),
    "ENTRYPOINT": _command("Entrypoint"),
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "SHELL": _shell,
    "STOPSIGNAL": _text("StopSignal"),
    "USER": _text("User"),
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}


def override(config: dict[str, Any], path: str) -> None:
    """--config FILE: the fields of a configuration in JSON take the place of `config`'s; maps and Env are merged. UsageError.

    It may be a pipe, as of `<(COMMAND)`, and say nothing.
    """
    from pyman.state import fastjson

    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ValueError(f"it has more than the {_LARGEST} bytes allowed")
        value = fastjson.loads(data.decode("utf-8", "replace")) if data.strip() else {}
    except OSError as err:
        raise UsageError(f"cannot use the configuration {path}", err.strerror or str(err), errno=err.errno or 0) from err
    except ValueError as err:
        raise UsageError(f"cannot use the configuration {path}", str(err)) from err
    if not isinstance(value, dict):
        raise UsageError(f"cannot use the configuration {path}", "it is not a JSON object")
    types: dict[str, Any] = {
        **dict.fromkeys(("User", "WorkingDir", "StopSignal"), str),
        **dict.fromkeys(("Env", "Cmd", "Entrypoint", "OnBuild", "Shell"), list),
        **dict.fromkeys(("ExposedPorts", "Volumes", "Labels", "Healthcheck"), dict),
    }
    for key, new in value.items():
        if key not in types or new in (None, "", [], {}):
            continue
        if not isinstance(new, types[key]) or (types[key] is list and not all(isinstance(item, str) for item in new)):
            raise UsageError(f"cannot use the configuration {path}", f"{key} has the wrong type")
        if key == "Env":
            config["Env"] = merged_env(list(config.get("Env") or []), {item.partition("=")[0]: item.partition("=")[2] for item in new})
        elif key in ("ExposedPorts", "Volumes", "Labels"):
            config[key] = {**(config.get(key) or {}), **new}
        else:
            config[key] = new
