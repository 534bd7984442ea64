"""The grammars of --mount and --tmpfs, as OCI mounts. CLI process; volumes and images come from the caller."""

from __future__ import annotations

import functools
import os

from pyman import paths
from pyman.config import fields
from pyman.digits import is_whole
from pyman.engine import mounts
from pyman.engine.mounts import FLAGS, NO_IDMAP, Mount, bind, clean_destination
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_TMPFS_KEYS = ("size", "mode", "nr_inodes", "nr_blocks", "uid", "gid")
_TMPFS_WORDS = ("rw", "noexec", "nosuid", "nodev", "tmpcopyup", "noatime", *mounts.PROPAGATION)


def parse_tmpfs(spec: str) -> Mount:
    """--tmpfs DESTINATION[:OPTIONS]. UsageError."""
    path, _, text = spec.partition(":")
    return _tmpfs(clean_destination(path, spec), text.split(",") if text else [], spec)


def _tmpfs(destination: str, given: list[str], spec: str) -> Mount:
    options = ["rw", "nosuid", "nodev", "tmpcopyup"]
    mounts.check_once(given, spec)
    for option in given:
        if option in ("notmpcopyup",):
            options.remove("tmpcopyup")
        elif option in ("suid", "dev"):
            options.remove("no" + option)
        elif option == "exec":
            pass  # so it is, unless noexec is asked for
        elif option == "ro":
            options[0] = "ro"
        elif option == "noswap":
            raise UsageError(f"cannot mount {spec!r}", "the kernel lets only privileged users keep a tmpfs out of swap", "use a ramfs")
        elif option == "U":
            pass  # the uid= and gid= of the user, who is known later
        elif option.split("=")[0] in _TMPFS_KEYS or option in _TMPFS_WORDS:
            options += [] if option in options else [option]
        else:
            raise UsageError(
                f"invalid tmpfs option {option!r} in {spec!r}",
                "pyman does not know it",
                "known are size, mode, uid, gid, nr_inodes, ro, [no]exec, [no]dev, [no]suid, noatime, [no]tmpcopyup, U, "
                "[r]private, [r]shared, [r]slave, [r]unbindable",
            )
    return Mount({"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options}, chown="U" in given)


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
_KINDS = ("artifact", "bind", "devpts", "glob", "image", "ramfs", "tmpfs", "volume")


def _keys(spec: str) -> dict[str, str]:
    """The keys of a specification under their first names. UsageError for one that is given twice."""
    keys: dict[str, str] = {}
    try:
        items = fields.split(spec)
    except ValueError as err:
        raise UsageError(f"invalid mount {spec!r}", str(err)) from err
    for item in items:
        name, separator, value = item.partition("=")
        name = _ALIASES.get(name, name)
        if name == "volume-opt" and name in keys:
            keys[name] += "\0" + value
            continue
        if name in keys or (name in ("ro", "rw") and {"ro", "rw"} & set(keys)):
            raise UsageError(f"invalid mount {spec!r}", f"it says {name} twice", "give each key once")
        keys[name] = value if separator else "true"
    return keys


def parse_mount(spec: str, volumes: Callable[..., str], images: Callable[[str], list[str]]) -> list[Mount]:
    """--mount type=...,KEY=VALUE,...; several mounts for a glob. UsageError; NoSuchImage for an image that is not there.

    images: the layers (diff ids) of an image's name.
    """
    keys = _keys(spec)
    kind = keys.pop("type", "volume")
    if kind not in _KINDS:
        raise UsageError(f"cannot mount type {kind!r}", "known are " + ", ".join(_KINDS), "correct type= in " + repr(spec))
    if keys.get("source") == "":
        raise UsageError(
            f"invalid mount {spec!r}", "its source is empty", "name one, or leave source= out: a script's variable may be unset"
        )
    source = keys.pop("source", "")
    target = keys.pop("destination", "")
    keys.pop("consistency", "")  # Docker's, which says nothing on Linux
    if kind == "glob":
        return _glob(spec, source, target, keys, volumes)
    if not target:
        raise UsageError(f"invalid mount {spec!r}", "it does not say where in the container", "add destination=/PATH")
    destination = clean_destination(target, spec)
    if source and kind in ("tmpfs", "ramfs", "devpts"):
        raise UsageError(f"invalid mount {spec!r}", f"a mount of type {kind} has no source")
    if kind in ("tmpfs", "ramfs"):
        return [_memory(kind, destination, keys, spec)]
    if kind == "devpts":
        return [_devpts(destination, keys, spec)]
    if kind == "image":
        return [_image(spec, source, destination, keys, images)]
    if kind == "artifact":
        return [_artifact(spec, source, destination, keys)]
    if kind == "bind" and not source:
        source = destination  # as Podman
    if kind == "bind" and not source.startswith(("/", ".")):
        source = "./" + source
    if kind == "volume" and "/" in source:
        raise UsageError(f"invalid mount {spec!r}", f"{source!r} is a path, and no volume's name", "say type=bind")
    if kind == "volume" and "volume-opt" in keys:
        volumes = functools.partial(volumes, opts=keys.pop("volume-opt").split("\0"))
    return [mounts.mount(source, destination, ",".join(_words(keys, kind, spec)), spec, volumes)]


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
        elif name == "idmap":
            if value != "true":
                raise UsageError(f"cannot mount {spec!r}", NO_IDMAP, "use U=true, or --userns keep-id")
            words.append(name)
        elif name in ("U", "nocopy", "copy", "nocreate", "z", "Z", "no-dereference", *FLAGS):
            words += [name] if _true(value, name, spec) else []
        elif name == "relabel":
            if value not in ("private", "shared"):
                raise UsageError(f"invalid value {value!r} of relabel in --mount {spec!r}", "it is private or shared")
            words.append({"private": "Z", "shared": "z"}[value])
        elif name == "bind-nonrecursive":
            words += ["bind"] if _true(value, name, spec) else []
        elif name in ("volume-driver", "volume-label") and kind == "volume":
            if not (name == "volume-driver" and value == "local"):
                raise UsageError(
                    f"cannot use {name} in --mount {spec!r}",
                    "a volume that --mount makes has the driver local, and no labels",
                    "make the volume before: pyman volume create",
                )
        elif name == "subpath" and kind == "volume":
            words.append(f"{name}={value}")
        else:
            raise UsageError(f"invalid key {name!r} in --mount {spec!r}", f"a mount of type {kind} does not have it")
    return words


def _memory(kind: str, destination: str, keys: dict[str, str], spec: str) -> Mount:
    words = [f"{k}={v}" if k in _TMPFS_KEYS else k for k, v in keys.items() if k in _TMPFS_KEYS or _true(v, k, spec)]
    if keys.get("ro") in ("false", "0"):
        words.append("rw")
    mount = _tmpfs(destination, words, spec)
    if kind == "ramfs" and mount.chown:
        raise UsageError(f"cannot mount {spec!r}", "a ramfs belongs to root, and takes no owner", "use type=tmpfs")
    if kind == "ramfs":
        for name in keys:
            if name in ("size", "nr_inodes", "nr_blocks", "uid", "gid", "tmpcopyup", "notmpcopyup"):
                why = f"a ramfs has no {name}: it has no limit, belongs to root and is empty at first"
                raise UsageError(f"cannot mount {spec!r}", why, "use type=tmpfs")
        options = [word for word in mount.entry["options"] if word != "tmpcopyup"]
        mount.entry = {**mount.entry, "type": "ramfs", "source": "ramfs", "options": options}
    return mount


def _devpts(destination: str, keys: dict[str, str], spec: str) -> Mount:
    options = {"ptmxmode": "0666", "mode": "0620"}
    for name, value in keys.items():
        if name == "newinstance":
            continue  # it always is one
        if name not in ("uid", "gid", "mode", "max", "ptmxmode") or not is_whole(value):
            raise UsageError(
                f"invalid {name}={value} in --mount {spec!r}", "a mount of type devpts has uid, gid, mode, ptmxmode and max, all numbers"
            )
        options[name] = value
    flags = ["nosuid", "noexec", "newinstance", *(f"{name}={value}" for name, value in options.items())]
    return Mount({"destination": destination, "type": "devpts", "source": "devpts", "options": flags})


def _image(spec: str, source: str, destination: str, keys: dict[str, str], images: Callable[[str], list[str]]) -> Mount:
    """An image's files, read-only unless rw=true; what is written goes with the container's run."""
    if not source:
        raise UsageError(f"invalid mount {spec!r}", "an image mount needs source=")
    writable = False
    made: dict[str, Any] = {"layers": images(source), "image": source}
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


def _artifact(spec: str, source: str, destination: str, keys: dict[str, str]) -> Mount:
    """An artifact's files; engine/artifact_mounts.py finds them and their places when the container starts."""
    if not source:
        raise UsageError(f"invalid mount {spec!r}", "an artifact mount needs source=")
    made = {"artifact": source}
    for name, value in keys.items():
        if name in ("digest", "title", "name"):
            made[name] = value
        elif not (name == "ro" and _true(value, name, spec)):
            raise UsageError(
                f"invalid key {name!r} in --mount {spec!r}", "a mount of type artifact has digest, title and name, and is read-only"
            )
    if "digest" in made and "title" in made:
        raise UsageError(f"invalid mount {spec!r}", "digest and title each say which file is meant", "give one of them")
    if not 0 < len(made.get("name", "x")) < 250 or "/" in made.get("name", "x") or made.get("name") in (".", ".."):
        raise UsageError(f"invalid name in --mount {spec!r}", "it must be that of a file")
    return Mount(bind("", destination, ["ro", "bind"]), made=made)


def _glob(spec: str, source: str, target: str, keys: dict[str, str], volumes: Callable[..., str]) -> list[Mount]:
    """A bind mount for each path of the host that matches; in directory `destination`, or at its own path without one."""
    import glob

    found = sorted(glob.glob(os.path.abspath(source))) if source else []
    if not found:
        raise UsageError(f"cannot mount {spec!r}", f"no path of the host matches {source!r}")
    words = ",".join(_words(keys, "glob", spec))
    # A link may have been made by a container. Ordinary directories of links are followed, as the user sees them (/etc/ssl/certs).
    risky = "U" in words.split(",") or os.path.realpath(source).startswith(os.path.realpath(paths.graphroot()) + "/")
    if link := next((path for path in found if risky and os.path.islink(path)), ""):
        raise UsageError(
            f"cannot mount {spec!r}",
            f"{link} is a symbolic link, which a glob follows neither in pyman's store nor with U",
            "mount what is meant",
        )
    places = [os.path.join(target, os.path.basename(path)) if target else path for path in found]
    return [mounts.mount(path, clean_destination(place, spec), words, spec, volumes) for path, place in zip(found, places)]
