"""registries.d (containers-registries.d(5)): where the signatures of images lie, beside their registries. CLI process, slow path.

The files are YAML. What they hold is two levels of plain mappings, and that is what is read; other YAML is refused with its line.
"""

from __future__ import annotations

import os

from pyman import paths
from pyman.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SYSTEM = "/etc/containers/registries.d"
_READ = ("lookaside", "sigstore")
_WRITE = ("lookaside-staging", "sigstore-staging", *_READ)
_KEYS = {*_WRITE, "use-sigstore-attachments"}
_MAX = 1 << 20  # bytes of one file
_SPECIAL = "\"'&*!|>%@`[]{},?#"  # what YAML gives a meaning at the beginning of a text


def directory() -> str:
    """The user's directory if it exists, else the machine's."""
    own = os.path.join(paths.confdir(), "containers/registries.d")
    return own if os.path.isdir(own) else SYSTEM


def lookaside(scopes: list[str], *, write: bool) -> str:
    """The address below which the signatures of an image lie, or (write) are put; see `configured`. ConfigError."""
    own = os.path.join(paths.home(), ".local/share/containers/sigstore") if os.getuid() else "/var/lib/containers/sigstore"
    return configured(scopes, write=write) or f"file://{own}"


def configured(scopes: list[str], *, write: bool, place: str = "") -> str:
    """The same, empty if the files say nothing. ConfigError.

    scopes: those of policy.json, most specific first (image/policy.py:docker_scopes); place: another directory.
    """
    default, places = _load(place or directory())
    for settings in [*(places[scope] for scope in scopes if scope in places), default]:
        for key in _WRITE if write else _READ:
            if settings.get(key):
                return settings[key]
    return ""


def _load(place: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """(default-docker, docker) of all files of a directory."""
    default: dict[str, str] = {}
    found: dict[str, dict[str, str]] = {}
    origin: dict[str, str] = {}
    try:
        names = sorted(name for name in os.listdir(place) if name.endswith(".yaml"))
    except OSError:
        return {}, {}
    for name in names:
        file = os.path.join(place, name)
        value = parse(_read(file), file)
        for key in [key for key in ("default-docker",) if key in value] + [f"docker: {scope}" for scope in value.get("docker", {})]:
            if key in origin:
                raise ConfigError(f"cannot use {file}", f'"{key}" stands in {origin[key]} too', "take one of them away")
            origin[key] = file
        default = value.get("default-docker", default)
        found.update(value.get("docker", {}))
    return default, found


def _read(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as stream:
            return stream.read(_MAX)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as err:
        raise ConfigError(f"cannot use {file}", f"it cannot be read: {err}") from err


def parse(text: str, file: str) -> dict[str, dict[str, Any]]:
    """{"default-docker": {key: text}, "docker": {scope: {key: text}}} of a file. ConfigError."""
    root: dict[str, Any] = {}
    levels: list[tuple[int, dict[str, Any]]] = [(0, root)]
    last: tuple[dict[str, Any], str] | None = None  # a key that has no value yet
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#") or line in ("---", "..."):
            continue
        key, value, indent = _line(line, f"cannot use {file}", number)
        if last and indent > levels[-1][0]:
            inner: dict[str, Any] = {}
            last[0][last[1]] = inner
            levels.append((indent, inner))
        while indent < levels[-1][0]:
            levels.pop()
        if indent != levels[-1][0] or key in levels[-1][1]:
            raise ConfigError(
                f"cannot use {file}", f"line {number}: " + ("it stands twice" if indent == levels[-1][0] else "its indentation")
            )
        last = (levels[-1][1], key) if not value else None
        levels[-1][1][key] = value
    return _checked(root, f"cannot use {file}")


def _line(line: str, what: str, number: int) -> tuple[str, str, int]:
    """(key, value, columns of indentation)."""
    body = line.strip(" ")
    key, rest = _text(body, ":")
    value, left = _text(rest[1:].strip(" "), "")
    if not key or not rest.startswith(":") or (rest[1:2] not in ("", " ")) or left:
        raise ConfigError(
            what, f"line {number} is no plain KEY: VALUE: {body[:80]!r}", "pyman reads mappings of plain texts, no other YAML"
        )
    return key, value, len(line) - len(line.lstrip(" "))


def _text(body: str, end: str) -> tuple[str, str]:
    """(a text in quotes or without, what follows it): up to `end` before a space or the line's end, else up to a comment."""
    quote = body[:1]
    if quote in ("'", '"') and quote:
        text, closed, rest = body[1:].partition(quote)
        rest = rest.strip(" ")
        bad = not closed or "\\" in text or (not end and rest[:1] not in ("", "#"))
        return ("", body) if bad else (text, rest if end else "")
    text = body.partition(" #")[0].rstrip(" ") if not body.startswith("#") else ""
    if text.startswith(tuple(_SPECIAL)) and not text.startswith("*."):
        return "", body
    if not end:
        return ("", body) if ": " in text or text.endswith(":") or text.startswith("- ") else (text, "")
    at = next((at for at, sign in enumerate(text) if sign == end and text[at + 1 : at + 2] in ("", " ")), -1)
    return (text[:at].rstrip(" "), body[at:]) if at > 0 else ("", body)


def _checked(root: dict[str, Any], what: str) -> dict[str, dict[str, Any]]:
    """The two mappings, if there is nothing else."""
    result: dict[str, dict[str, Any]] = {}
    for name, value in root.items():
        if name not in ("default-docker", "docker"):
            raise ConfigError(what, f"there is no key {name!r}", "default-docker and docker are known")
        if value == "":
            continue
        if not isinstance(value, dict):
            raise ConfigError(what, f"{name} is no mapping")
        result[name] = value
        for scope, settings in {"": value}.items() if name == "default-docker" else value.items():
            if settings == "":
                value[scope] = {}
                continue
            if not isinstance(settings, dict) or not all(isinstance(text, str) for text in settings.values()):
                raise ConfigError(what, f"{name} {scope} is no mapping of texts")
            unknown = sorted(set(settings) - _KEYS)
            if unknown:
                raise ConfigError(what, f"{name} {scope} has {unknown[0]!r}", "known are " + ", ".join(sorted(_KEYS)))
    return result
