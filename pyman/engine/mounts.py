"""The grammar of -v, as OCI mounts; that of --mount and --tmpfs is in mount_option.py. CLI process; volumes come from the caller."""

from __future__ import annotations

import os

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FLAGS = (
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
    """One mount asked for: its OCI entry, and what else has to be done for it.

    copy_up: the image's files are copied into it when it is empty (volumes); chown: it gets the user's ids (:U).
    made: a source that engine/sources.py makes first: overlay, upperdir, workdir, layers (of an image), subpath.
    """

    __slots__ = ("chown", "copy_up", "entry", "made", "volume")

    def __init__(
        self, entry: dict[str, Any], volume: str = "", copy_up: bool = False, chown: bool = False, made: dict[str, Any] | None = None
    ) -> None:
        self.entry = entry
        self.volume = volume
        self.copy_up = copy_up
        self.chown = chown
        self.made = made or {}


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


def _options(text: str, spec: str) -> tuple[list[str], set[str], dict[str, Any]]:
    """(mount flags, special words U, nocopy, z, Z, what is to be made for O, upperdir=, workdir=, subpath=) of -v. UsageError."""
    flags: list[str] = []
    special: set[str] = set()
    made: dict[str, Any] = {}
    for option in text.split(",") if text else []:
        key, _, value = option.partition("=")
        if option in ("z", "Z", "U", "nocopy", "copy"):
            special.add(option)
        elif option in FLAGS:
            flags.append(option)
        elif option == "O":
            made["overlay"] = True
        elif key in ("upperdir", "workdir"):
            if not value.startswith("/") or not os.path.isdir(value):
                raise UsageError(f"cannot mount {spec!r}", f"{key} {value!r} is not an absolute path of a directory")
            made[key] = value
        elif key == "subpath":
            made[key] = value
        elif option.startswith("idmap"):
            raise UsageError(
                f"cannot mount {spec!r}", "the kernel lets only privileged users make id-mapped mounts", "use :U, or --userns keep-id"
            )
        else:
            raise UsageError(
                f"invalid volume option {option!r} in {spec!r}",
                "pyman does not know it",
                "known are ro, rw, z, Z, U, O, nocopy, subpath=, [no]exec, [no]dev, [no]suid, [r]private, [r]shared, [r]slave, bind, rbind",
            )
    if ("upperdir" in made) != ("workdir" in made) or ("upperdir" in made and "overlay" not in made):
        raise UsageError(f"cannot mount {spec!r}", "upperdir= and workdir= go together, and with O")
    if made.get("overlay") and any(
        option.lstrip("r") in ("private", "shared", "slave", "unbindable") or option == "ro" for option in flags
    ):
        raise UsageError(f"cannot mount {spec!r}", "an overlay (O) is writable and private", "leave the other options away")
    return flags, special, made


def parse_volume(spec: str, volumes: Callable[..., str]) -> Mount:
    """-v [SOURCE:]DESTINATION[:OPTIONS]. SOURCE is an absolute or ./ path, or a volume's name. UsageError."""
    parts = spec.split(":")
    if len(parts) > 3 or not all(parts[: min(2, len(parts))]):
        raise UsageError(f"invalid volume {spec!r}", "it has the wrong number of parts", "the form is [SOURCE:]CONTAINER-PATH[:OPTIONS]")
    if len(parts) == 1:
        destination = clean_destination(parts[0], spec)
        return Mount(bind(volumes("", destination, anonymous=True), destination, []), "anonymous", copy_up=True)
    destination = clean_destination(parts[1], spec)
    flags, special, made = _options(parts[2] if len(parts) == 3 else "", spec)
    source = parts[0]
    if source.startswith(("/", ".")):
        path = os.path.abspath(source)
        if not os.path.exists(path):
            raise UsageError(f"cannot mount {source}", "no such file or directory on the host", f"create it first: mkdir -p {path}")
        return Mount(bind(path, destination, flags), chown="U" in special, made=made)
    # A part of a volume, or an overlay of it, is not the place of the image's files.
    copy_up = "nocopy" not in special and not made
    return Mount(bind(volumes(source, destination), destination, flags), source, copy_up=copy_up, chown="U" in special, made=made)
