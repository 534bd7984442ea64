"""`volume create`: the options of a volume, checked. CLI process."""

from __future__ import annotations

import os

from pyman import paths
from pyman.digits import is_whole
from pyman.engine import volume_image, volume_mounts, volumes
from pyman.errors import NameInUse, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def create(name: str, opts: dict[str, Any]) -> str:
    """Make a volume from the options of `volume create`; its name. UsageError, NameInUse, StorageError."""
    driver = opts.get("driver") or "local"
    if driver not in ("local", "image"):
        raise UsageError(
            f"cannot create a volume with the driver {driver!r}",
            "volume plugins are services with rights of their own; pyman has the drivers local and image",
            "leave --driver away",
        )
    name = name or os.urandom(32).hex()
    volumes.check_name(name)
    items, owner, image = list(opts.get("opt") or []), list[int | None]([None, None]), None
    if driver == "image":
        options, image = volume_image.resolve(name, items)
    else:
        options, owner = _options(name, items)
        volume_mounts.check(name, options)
    for key, place in (("uid", 0), ("gid", 1)):
        if opts.get(key):
            owner[place] = _id(str(opts[key]), f"--{key}")
    given = any(number is not None for number in owner)
    paths.ensure_private(paths.graphroot())
    if opts.get("ignore") and volumes.exists(name):
        return name
    try:
        labels, given_owner = _labels(list(opts.get("label") or [])), (owner[0] or 0, owner[1] or 0) if given else None
        record = volumes.create(name, labels=labels, options=options, owner=given_owner, image=image)
    except NameInUse:
        if not opts.get("ignore"):
            raise
        return name
    if image:
        volume_image.settle(name, image["id"])
    return str(record["name"])


def parsed(name: str, items: list[str]) -> tuple[dict[str, str], tuple[int, int] | None]:
    """(options, owner) of a local volume from KEY=VALUE. UsageError."""
    options, owner = _options(name, items)
    volume_mounts.check(name, options)
    return options, (owner[0] or 0, owner[1] or 0) if any(number is not None for number in owner) else None


def _labels(items: list[str]) -> dict[str, str]:
    found = {}
    for item in items:
        key, _, value = item.partition("=")
        if not key:
            raise UsageError(f"invalid label {item!r}", "a label is KEY or KEY=VALUE")
        found[key] = value
    return found


def _id(text: str, what: str) -> int:
    if not is_whole(text) or len(text) > 10 or int(text) > 2**32 - 2:
        raise UsageError(f"invalid value {text!r} of {what}", "it is the number of a user or group")
    return int(text)


def _options(name: str, items: list[str]) -> tuple[dict[str, str], list[int | None]]:
    """(options under Podman's names, [uid, gid] or None each) of --opt. UsageError."""
    options: dict[str, str] = {}
    owner: list[int | None] = [None, None]
    for item in items:
        key, _, value = item.partition("=")
        if key not in ("type", "device", "o", "copy", "nocopy"):
            raise UsageError(
                f"cannot create volume {name}",
                f"invalid mount option {key} for driver 'local'",
                "known are type, device, o, copy and nocopy",
            )
        if key == "o" and options.get("o"):
            value = f"{options['o']},{value}"
        options[key] = value
    kind = volume_mounts.kind_of(options)
    for word in options.get("o", "").split(","):
        key, _, value = word.partition("=")
        if key in ("uid", "gid"):
            owner[key == "gid"] = _id(value, f"o={key}")
            options[key.upper()] = value
        elif key == "timeout":
            raise UsageError(f"cannot create volume {name}", "a timeout is for other drivers than local")
        elif word in ("copy", "nocopy"):
            options[word] = ""
        elif key == "noquota":
            options["NOQUOTA"] = "true"
        elif key == "size" and kind == "tmpfs":
            options["SIZE"] = value
        elif key in ("size", "inodes") and kind != "tmpfs":
            raise UsageError(
                f"cannot create volume {name}",
                f"{key} needs a project quota, which only privileged users can set",
                "a tmpfs can have a size: --opt type=tmpfs --opt o=size=64m",
            )
        elif word and not kind and word not in ("rw", "defaults"):
            raise UsageError(
                f"cannot create volume {name}", f"the option {word} is one of a mount, and the volume has no type", "add --opt type="
            )
    if "copy" in options and "nocopy" in options:
        raise UsageError(f"cannot create volume {name}", "copy and nocopy cannot be used together")
    return options, owner
