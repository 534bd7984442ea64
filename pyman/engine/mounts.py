"""The grammars of -v, --mount and --tmpfs, as OCI mounts. CLI process, pure; volumes come from the caller."""

from __future__ import annotations

import os

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_FLAGS = (
    "ro",
    "rw",
    "nosuid",
    "suid",
    "nodev",
    "dev",
    "noexec",
    "exec",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "unbindable",
    "runbindable",
    "bind",
    "rbind",
)
_TMPFS_KEYS = ("size", "mode", "nr_inodes", "nr_blocks", "uid", "gid")


def clean_destination(path: str, what: str) -> str:
    """An absolute path without `.`, `..` and double slashes. UsageError for a relative or root one."""
    if not path.startswith("/"):
        raise UsageError(f"invalid mount {what!r}", f"the path in the container {path!r} is not absolute", "begin it with /")
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    if not parts:
        raise UsageError(f"invalid mount {what!r}", "nothing can be mounted over the container's root /")
    return "/" + "/".join(parts)


class Mount:
    """One mount asked for: OCI entry, and whether the image's files are copied into it when it is empty (volumes)."""

    __slots__ = ("chown", "copy_up", "entry", "volume")

    def __init__(self, entry: dict[str, Any], volume: str = "", copy_up: bool = False, chown: bool = False) -> None:
        self.entry = entry
        self.volume = volume
        self.copy_up = copy_up
        self.chown = chown


def bind(source: str, destination: str, options: list[str]) -> dict[str, Any]:
    """A bind mount with sane defaults: recursive, private, no set-user-id, no devices."""
    result = list(options)
    if not any(option in ("bind", "rbind") for option in result):
        result.insert(0, "rbind")
    if not any(option.lstrip("r") in ("private", "shared", "slave", "unbindable") for option in result):
        result.append("rprivate")
    for yes, no in (("nosuid", "suid"), ("nodev", "dev")):
        if yes not in result and no not in result:
            result.append(yes)
    if "ro" in result and "rbind" in result:
        result.append("rro")
    return {"destination": destination, "type": "bind", "source": source, "options": result}


def _options(text: str, spec: str) -> tuple[list[str], set[str]]:
    """(mount flags, special words U, nocopy, z, Z) of a -v option list. UsageError."""
    flags: list[str] = []
    special: set[str] = set()
    for option in text.split(",") if text else []:
        if option in ("z", "Z", "U", "nocopy", "copy"):
            special.add(option)
        elif option in _FLAGS:
            flags.append(option)
        elif option == "O" or option.startswith(("upperdir=", "workdir=")):
            raise UsageError(
                f"cannot mount {spec!r}", "overlay volumes (:O) are not part of this release", "mount it :ro, or copy the data"
            )
        elif option.startswith("idmap"):
            raise UsageError(
                f"cannot mount {spec!r}", "the kernel lets only privileged users make id-mapped mounts", "use :U, or --userns keep-id"
            )
        else:
            raise UsageError(
                f"invalid volume option {option!r} in {spec!r}",
                "pyman does not know it",
                "known are ro, rw, z, Z, U, nocopy, [no]exec, [no]dev, [no]suid, [r]private, [r]shared, [r]slave, bind, rbind",
            )
    return flags, special


def parse_volume(spec: str, volumes: Callable[..., str]) -> Mount:
    """-v [SOURCE:]DESTINATION[:OPTIONS]. SOURCE is an absolute or ./ path, or a volume's name. UsageError."""
    parts = spec.split(":")
    if len(parts) > 3 or not all(parts[: min(2, len(parts))]):
        raise UsageError(f"invalid volume {spec!r}", "it has the wrong number of parts", "the form is [SOURCE:]CONTAINER-PATH[:OPTIONS]")
    if len(parts) == 1:
        destination = clean_destination(parts[0], spec)
        return Mount(bind(volumes("", destination, anonymous=True), destination, []), "anonymous", copy_up=True)
    destination = clean_destination(parts[1], spec)
    flags, special = _options(parts[2] if len(parts) == 3 else "", spec)
    source = parts[0]
    if source.startswith(("/", ".")):
        path = os.path.abspath(source)
        if not os.path.exists(path):
            raise UsageError(f"cannot mount {source}", "no such file or directory on the host", f"create it first: mkdir -p {path}")
        return Mount(bind(path, destination, flags), chown="U" in special)
    return Mount(bind(volumes(source, destination), destination, flags), source, copy_up="nocopy" not in special, chown="U" in special)


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
    "dst": "destination",
    "target": "destination",
    "readonly": "ro",
    "tmpfs-size": "size",
    "tmpfs-mode": "mode",
    "volume-nocopy": "nocopy",
    "bind-propagation": "propagation",
}


def parse_mount(spec: str, volumes: Callable[..., str]) -> Mount:
    """--mount type=...,KEY=VALUE,... for bind, volume, tmpfs, ramfs and devpts. UsageError."""
    keys: dict[str, str] = {}
    for item in spec.split(","):
        name, separator, value = item.partition("=")
        name = _ALIASES.get(name, name)
        keys[name] = value if separator else "true"
    kind = keys.pop("type", "volume")
    destination = clean_destination(keys.pop("destination", ""), spec)
    if kind in ("tmpfs", "ramfs"):
        words = [f"{k}={v}" if k in _TMPFS_KEYS else k for k, v in keys.items() if v != "false"]
        entry = parse_tmpfs(f"{destination}:{','.join(words)}" if words else destination)
        return Mount(
            {**entry, "type": kind, "source": kind, "options": entry["options"] if kind == "tmpfs" else ["rw", "nosuid", "nodev", "noexec"]}
        )
    if kind == "devpts":
        return Mount(
            {
                "destination": destination,
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            }
        )
    if kind not in ("bind", "volume"):
        raise UsageError(
            f"cannot mount type {kind!r}", "this release mounts bind, volume, tmpfs, ramfs and devpts", "correct type= in " + repr(spec)
        )
    words = []
    for name, value in keys.items():
        if name == "source":
            continue
        if name == "propagation":
            words.append(value)
        elif name in ("ro", "rw") and value in ("true", "false"):
            words.append(name if value == "true" else {"ro": "rw", "rw": "ro"}[name])
        elif name in ("U", "chown", "nocopy", *_FLAGS) and value in ("true", "false"):
            words += [{"chown": "U"}.get(name, name)] if value == "true" else []
        elif name == "relabel":
            words.append({"private": "Z", "shared": "z"}.get(value, value))
        elif name == "bind-nonrecursive":
            words += ["bind"] if value == "true" else []
        else:
            raise UsageError(f"invalid key {name!r} in --mount {spec!r}", f"a mount of type {kind} does not have it")
    source = keys.get("source", "")
    if kind == "bind" and not source:
        raise UsageError(f"invalid mount {spec!r}", "a bind mount needs source=")
    if kind == "bind" and not source.startswith(("/", ".")):
        source = "./" + source
    return parse_volume(":".join([*([source] if source else []), destination, *([",".join(words)] if words and source else [])]), volumes)
