"""The log driver journald: which fields a container's entries have, and whether there is a journal. CLI process, this driver only."""

from __future__ import annotations

import os

from pyman.errors import UsageError
from pyman.state import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container

SOCKET = "/run/systemd/journal/socket"  # as in shims/monitor/journal.h
_MOST = 16 << 10  # bytes of a field's value: all of them and a line must fit one packet
_MOST_LABELS = 16
_OURS = ("IMAGE_NAME", "MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER")  # and all that begin with CONTAINER_


def check(opts: dict[str, Any]) -> None:
    """UsageError where no journal is, or for a tag or label that would fail at the start."""
    for name, text in _texts(opts):
        _parts(name, text)
    if not os.path.exists(SOCKET):
        raise UsageError(
            "cannot use log driver journald",
            f"there is no {SOCKET}: systemd-journald does not run here",
            "use --log-driver k8s-file, or start systemd-journald",
        )


def fields(container: Container, opts: dict[str, Any]) -> list[str]:
    """NAME=VALUE of every field but the message's own, with Podman's names. UsageError."""
    check(opts)
    name = container.name
    found = {
        "CONTAINER_ID": container.id[:12],
        "CONTAINER_ID_FULL": container.id,
        "CONTAINER_NAME": name,
        "IMAGE_NAME": container.config["image"]["name"],
        "SYSLOG_IDENTIFIER": name,
    }
    for key, text in _texts(opts):
        found[key] = _resolved(container, _parts(key, text))
        if key == "CONTAINER_TAG":
            found["SYSLOG_IDENTIFIER"] = found[key]
    return [f"{key}={value.replace(chr(0), '')[:_MOST]}" for key, value in found.items() if value]


def _texts(opts: dict[str, Any]) -> list[tuple[str, str]]:
    """(field, template) of the tag and the labels. UsageError for a name that the journal does not take."""
    found = []
    for item in opts.get("log_opt") or []:
        key, _, value = item.partition("=")
        if key == "tag":
            found.append(("CONTAINER_TAG", value))
        elif key == "label":
            name, equals, text = value.partition("=")
            if not equals or len(name) > 64 or not name[:1].isalpha() or name.strip("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"):
                why = "a field of the journal is NAME=VALUE, its name capital letters, digits and _"
                raise UsageError(f"invalid value {value!r} for --log-opt label", why, "for example: --log-opt label=SERVICE=web")
            if name in _OURS or name.startswith("CONTAINER_"):
                why = f"pyman writes {name} itself, and `logs` would take this one for the container's"
                raise UsageError(f"cannot use --log-opt label={name}", why, "choose another name, for example: label=SERVICE=web")
            found.append((name, text))
    if len(found) > _MOST_LABELS:
        raise UsageError("cannot use so many log options", f"at most {_MOST_LABELS} tags and labels are written with every line")
    return found


def _parts(name: str, text: str) -> list[tuple[bool, str]]:
    """(whether it is a field of inspect, the field or plain text) of `a {{.Field}} b`. UsageError for any other template."""
    found: list[tuple[bool, str]] = []
    option = "tag" if name == "CONTAINER_TAG" else f"label={name}"
    while text:
        plain, opened, rest = text.partition("{{")
        inside, closed, text = rest.partition("}}")
        path = inside.strip(" -")
        if plain:
            found.append((False, plain))
        if opened and (not closed or not path.startswith(".") or not path.replace(".", "").replace("_", "").isalnum()):
            why = "only fields of `inspect` can be used in it, each as {{.Field}}"
            raise UsageError(f"invalid template for --log-opt {option}", why, "for example: tag={{.Name}}/{{.ImageName}}")
        if opened:
            found.append((True, path[1:]))
    return found


def _resolved(container: Container, parts: list[tuple[bool, str]]) -> str:
    if not any(field for field, _ in parts):
        return "".join(text for _, text in parts)
    from pyman.engine import inspect  # tags with fields only

    data: dict[str, Any] = inspect.inspect_container(container, lambda moment: events.stamp(int(moment * 10**9)))
    image = container.config["image"]
    data.update({"ID": container.id[:12], "FullID": container.id, "ImageID": image["id"][:12], "ImageFullID": image["id"]})
    out = ""
    for field, text in parts:
        value: Any = data if field else text
        for key in text.split(".") if field else ():
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            raise UsageError("cannot use the tag or label of the log", f"inspect shows no field {text} of the container")
        out += str(value)
    return out
