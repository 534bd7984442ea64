"""The grammars of --mount and --tmpfs, as OCI mounts. CLI process; volumes and images come from the caller."""

from __future__ import annotations

import os

from pyman.engine.mounts import FLAGS, Mount, bind, clean_destination, parse_volume
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_TMPFS_KEYS = ("size", "mode", "nr_inodes", "nr_blocks", "uid", "gid")


def parse_tmpfs(spec: str) -> dict[str, Any]:
    """--tmpfs DESTINATION[:OPTIONS]. UsageError."""
    path, _, text = spec.partition(":")
    destination = clean_destination(path, spec)
    options = ["rw", "nosuid", "nodev", "noexec", "tmpcopyup"]
    for option in text.split(",") if text else []:
        if option in ("notmpcopyup",):
            options.remove("tmpcopyup")
        elif option in ("exec", "suid", "dev"):
            options.remove("no" + option)
        elif option == "ro":
            options[0] = "ro"
        elif option.split("=")[0] in _TMPFS_KEYS or option in ("rw", "noexec", "nosuid", "nodev", "tmpcopyup", "noatime"):
            options += [] if option in options else [option]
        else:
            raise UsageError(
                f"invalid tmpfs option {option!r} in {spec!r}",
                "pyman does not know it",
                "known are size, mode, uid, gid, nr_inodes, ro, [no]exec, [no]dev, [no]suid, noatime, notmpcopyup",
            )
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options}


_ALIASES = {
    "src": "source",
    "from": "source",
    "dst": "destination",
    "dest": "destination",
    "target": "destination",
    "readonly": "ro",
    "tmpfs-size": "size",
    "tmpfs-mode": "mode",
    "volume-nocopy": "nocopy",
    "volume-subpath": "subpath",
    "image-subpath": "subpath",
    "bind-propagation": "propagation",
    "chown": "U",
}
_KINDS = ("bind", "devpts", "glob", "image", "ramfs", "tmpfs", "volume")


def parse_mount(spec: str, volumes: Callable[..., str], images: Callable[[str], list[str]]) -> list[Mount]:
    """--mount type=...,KEY=VALUE,...; several mounts for a glob. UsageError; NoSuchImage for an image that is not there.

    images: the layers (diff ids) of an image's name.
    """
    keys: dict[str, str] = {}
    for item in spec.split(","):
        name, separator, value = item.partition("=")
        keys[_ALIASES.get(name, name)] = value if separator else "true"
    kind = keys.pop("type", "volume")
    if kind not in _KINDS:
        raise UsageError(f"cannot mount type {kind!r}", "known are " + ", ".join(_KINDS), "correct type= in " + repr(spec))
    source = keys.pop("source", "")
    target = keys.pop("destination", "")
    if kind == "glob":
        return _glob(spec, source, target, keys, volumes)
    destination = clean_destination(target, spec)
    if kind in ("tmpfs", "ramfs"):
        return [_memory(kind, destination, keys)]
    if kind == "devpts":
        return [_devpts(destination, keys, spec)]
    if kind == "image":
        return [_image(spec, source, destination, keys, images)]
    if kind == "bind" and not source:
        raise UsageError(f"invalid mount {spec!r}", "a bind mount needs source=")
    if kind == "bind" and not source.startswith(("/", ".")):
        source = "./" + source
    words = _words(keys, kind, spec)
    return [parse_volume(":".join([*([source] if source else []), destination, *([",".join(words)] if words and source else [])]), volumes)]


def _true(value: str, name: str, spec: str) -> bool:
    if value not in ("true", "false", "1", "0"):
        raise UsageError(f"invalid value {value!r} of {name} in --mount {spec!r}", "it is true or false")
    return value in ("true", "1")


def _words(keys: dict[str, str], kind: str, spec: str) -> list[str]:
    """The keys of a bind or volume mount as options of -v."""
    words: list[str] = []
    for name, value in keys.items():
        if name == "propagation":
            words.append(value)
        elif name in ("ro", "rw"):
            words.append(name if _true(value, name, spec) else {"ro": "rw", "rw": "ro"}[name])
        elif name in ("U", "nocopy", *FLAGS):
            words += [name] if _true(value, name, spec) else []
        elif name == "relabel":
            if value not in ("private", "shared"):
                raise UsageError(f"invalid value {value!r} of relabel in --mount {spec!r}", "it is private or shared")
            words.append({"private": "Z", "shared": "z"}[value])
        elif name == "bind-nonrecursive":
            words += ["bind"] if _true(value, name, spec) else []
        elif name in ("consistency", "volume-driver", "volume-label", "volume-opt"):
            # Docker's: consistency says nothing on Linux; there is one driver, and a new volume has no label here.
            if name != "consistency" and not (name == "volume-driver" and value == "local"):
                raise UsageError(
                    f"cannot use {name} in --mount {spec!r}", "a volume that --mount makes has no options", "make the volume before"
                )
        elif name == "subpath" or (name == "idmap" and kind == "bind"):
            words.append(f"{name}={value}")
        else:
            raise UsageError(f"invalid key {name!r} in --mount {spec!r}", f"a mount of type {kind} does not have it")
    return words


def _memory(kind: str, destination: str, keys: dict[str, str]) -> Mount:
    words = [f"{k}={v}" if k in _TMPFS_KEYS else k for k, v in keys.items() if v != "false"]
    if keys.get("ro") == "false":
        words.append("rw")
    entry = parse_tmpfs(f"{destination}:{','.join(word for word in words if word != 'U')}" if words else destination)
    if kind == "ramfs":  # it has no options but the mode
        options = [word for word in entry["options"] if word in ("rw", "ro", "tmpcopyup") or word.startswith(("no", "mode="))]
        entry = {**entry, "type": "ramfs", "source": "ramfs", "options": options}
    return Mount(entry)


def _devpts(destination: str, keys: dict[str, str], spec: str) -> Mount:
    options = {"ptmxmode": "0666", "mode": "0620"}
    for name, value in keys.items():
        if name not in ("uid", "gid", "mode", "max") or not value.isdigit():
            raise UsageError(
                f"invalid {name}={value} in --mount {spec!r}", "a mount of type devpts has uid, gid, mode and max, all numbers"
            )
        options[name] = value
    flags = ["nosuid", "noexec", "newinstance", *(f"{name}={value}" for name, value in options.items())]
    return Mount({"destination": destination, "type": "devpts", "source": "devpts", "options": flags})


def _image(spec: str, source: str, destination: str, keys: dict[str, str], images: Callable[[str], list[str]]) -> Mount:
    """An image's files, read-only unless rw=true; what is written goes with the container's run."""
    if not source:
        raise UsageError(f"invalid mount {spec!r}", "an image mount needs source=")
    writable = False
    made: dict[str, Any] = {"layers": images(source)}
    for name, value in keys.items():
        if name in ("rw", "readwrite"):
            writable = _true(value, name, spec)
        elif name == "ro":
            writable = not _true(value, name, spec)
        elif name == "subpath":
            made["subpath"] = value
        else:
            raise UsageError(f"invalid key {name!r} in --mount {spec!r}", "a mount of type image has rw, ro and subpath")
    return Mount(bind(source, destination, ["rw" if writable else "ro"]), made=made)


def _glob(spec: str, source: str, target: str, keys: dict[str, str], volumes: Callable[..., str]) -> list[Mount]:
    """A bind mount for each path of the host that matches; in directory `destination`, or at its own path without one."""
    import glob

    paths = sorted(glob.glob(os.path.abspath(source))) if source else []
    if not paths:
        raise UsageError(f"cannot mount {spec!r}", f"no path of the host matches {source!r}")
    found: list[Mount] = []
    words = _words(keys, "glob", spec)
    for path in paths:
        place = os.path.join(target, os.path.basename(path)) if target else path
        found.append(parse_volume(":".join([path, clean_destination(place, spec), *([",".join(words)] if words else [])]), volumes))
    return found
