"""A .container file from the options of a command line: the translation the other way. CLI process."""

from __future__ import annotations

import os

from pyman.systemd import words
from pyman.systemd.quadlet import keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_OWN = frozenset(
    "name detach rm replace quiet sig-proxy attach cgroups rootfs net restart sdnotify".split()  # what a unit decides, or a line of its own
)
_SPECIAL = {
    "device": "AddDevice",
    "entrypoint": "Entrypoint",
    "env-file": "EnvironmentFile",
    "expose": "ExposeHostPort",
    "mount": "Mount",
    "network": "Network",
    "user": "User",
    "volume": "Volume",
}
_SECURITY = {
    "no-new-privileges": ("NoNewPrivileges", "true"),
    "no-new-privileges=true": ("NoNewPrivileges", "true"),
    "label=disable": ("SecurityLabelDisable", "true"),
    "label=nested": ("SecurityLabelNested", "true"),
}
_RESTART = {"no": "no", "always": "always", "unless-stopped": "always", "on-failure": "on-failure"}
_AUTO_UPDATE = "io.containers.autoupdate="
_EACH = frozenset(("Volume", "Network", "ExposeHostPort"))


def container_file(
    options: dict[str, Any],
    given: set[str],
    image: str,
    command: list[str],
    name: str,
    wanted_by: str,
    place: str,
    before: list[tuple[str, str]],
) -> str:
    """The file's text. options: values by long name with _ for -, of which `given` count; image: also a directory, with the option rootfs.

    place: the directory that relative paths of the options are meant from; before: (option, value) of what stands before the command.
    """
    lines: list[tuple[str, str]] = [("Rootfs" if options.get("rootfs") else "Image", _plain(image)), ("ContainerName", name)]
    rest: list[str] = []
    for option, text in before:
        if option == "module" and text.isprintable() and text == text.strip():
            lines.append(("ContainersConfModule", words.plain(text)))
        else:
            lines.append(("GlobalArgs", words.quote(f"--{option}={words.plain(text)}")))
    for key in sorted(given):
        option = key.replace("_", "-")
        value = options.get(key)
        for item in value if isinstance(value, list) else [value]:
            if item is None or option in _OWN:
                continue
            text = ("true" if item else "false") if isinstance(item, bool) else _absolute(option, str(item), place)
            found = _line(option, text)
            lines += [found] if found else []
            rest += [] if found else [f"--{option}={words.plain(text)}"]
    cgroups = str(options.get("cgroups") or "") if "cgroups" in given else ""
    lines += [("CgroupsMode", _plain(cgroups))] if cgroups else []
    notify = {"container": "true", "healthy": "healthy"}.get(str(options.get("sdnotify")), "") if "sdnotify" in given else ""
    lines += [("Notify", notify)] if notify else []
    lines += [("PodmanArgs", words.quote(word)) for word in rest]
    lines += [("Exec", words.join([words.plain(word) for word in command]))] if command else []
    policy, _, tries = str(options.get("restart") or "").partition(":") if "restart" in given else ("", "", "")
    limit = f"StartLimitBurst={tries}\n" if tries else ""
    parts = [f"[Unit]\nDescription=Container {name}\n{limit}", "[Container]\n" + "".join(f"{key}={value}\n" for key, value in lines)]
    parts += [f"[Service]\nRestart={_RESTART[policy]}\n"] if policy in _RESTART else []
    parts += [f"[Install]\nWantedBy={wanted_by}\n"] if wanted_by else []
    return "\n".join(parts)


def _plain(text: str) -> str:
    text = words.plain(text)
    return f'"{text}"' if text.startswith('"') or text != text.strip() else text


def _absolute(option: str, value: str, place: str) -> str:
    """Paths relative to the directory of the command are written in full: a unit is started elsewhere."""
    if option == "volume" and value.startswith((".", "~")):
        source, colon, rest = value.partition(":")
        return os.path.normpath(os.path.join(place, os.path.expanduser(source))) + colon + rest
    if option == "mount":
        fields = [field.partition("=") for field in value.split(",")]
        return ",".join(
            name + equals + (os.path.normpath(os.path.join(place, path)) if name in ("src", "source") and path.startswith(".") else path)
            for name, equals, path in fields
        )
    if option in ("env-file", "label-file", "authfile", "cidfile", "pidfile", "conmon-pidfile"):
        return os.path.normpath(os.path.join(place, value))
    return value


def _line(option: str, value: str) -> tuple[str, str] | None:
    """(key, value as written) for an option; None if no key can say it."""
    if option == "security-opt":
        return _SECURITY.get(value) or _prefixed(value)
    if option == "label" and value.startswith(_AUTO_UPDATE):
        return _written("AutoUpdate", "one", value.removeprefix(_AUTO_UPDATE))
    if option in _SPECIAL:
        name = _SPECIAL[option]
        how = "each" if name in _EACH else "arg" if name in ("Mount", "EnvironmentFile") else "word" if name == "AddDevice" else "one"
        return _written(name, how, value)
    for key in keys.of("container").values():
        if key.option == option and key.how != "no":
            return _written(key.name, key.how, value)
    return None


def _prefixed(value: str) -> tuple[str, str] | None:
    for key in keys.of("container").values():
        prefix = key.option.removeprefix("security-opt=")
        if key.option != prefix and value.startswith(prefix) and value != prefix:
            return _written(key.name, key.how, value.removeprefix(prefix))
    return None


def _written(name: str, how: str, value: str) -> tuple[str, str] | None:
    """A value in the form that the key is read in; None if that form cannot hold it."""
    plain = words.plain(value)
    if how in ("arg", "pair"):
        return name, words.quote(plain)
    if how == "bool":
        return name, value
    if not value.isprintable() or value.endswith("\\") or (not value and name != "Entrypoint"):
        return None
    if how == "word":
        if not any(char in value for char in " '\"\\"):
            return name, plain
        return (name, f'"{plain}"') if '"' not in value else None
    if how == "each":
        return (name, plain) if value == value.strip() else None
    return name, _plain(value)
