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

    volume: the volume's name, for anonymous ones too; copy_up: the image's files are copied into it when it is empty;
    chown: it gets the user's ids (:U); relabel: z or Z (SELinux).
    made: a source that engine/sources.py makes first: overlay, upperdir, workdir, layers and image (of an image), subpath.
    """

    __slots__ = ("chown", "copy_up", "entry", "made", "relabel", "volume")

    def __init__(
        self,
        entry: dict[str, Any],
        volume: str = "",
        copy_up: bool = False,
        chown: bool = False,
        made: dict[str, Any] | None = None,
        relabel: str = "",
    ) -> None:
        self.entry = entry
        self.volume = volume
        self.copy_up = copy_up
        self.chown = chown
        self.made = made or {}
        self.relabel = relabel

    def same_as(self, other: Mount) -> bool:
        """Whether both ask for the same."""
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)


def bind(source: str, destination: str, options: list[str]) -> dict[str, Any]:
    """A bind mount with sane defaults: recursive, private, no set-user-id, no devices but where the host keeps them."""
    result = list(options)
    if not any(option in ("bind", "rbind") for option in result):
        result.insert(0, "rbind")
    if not any(option.lstrip("r") in ("private", "shared", "slave", "unbindable") for option in result):
        result.append("rprivate")
    of_devices = source == "/dev" or source.startswith("/dev/")
    for yes, no in (("nosuid", "suid"), ("nodev", "dev")):
        if yes not in result and no not in result and not (yes == "nodev" and of_devices):
            result.append(yes)
    if "ro" in result and "rbind" in result:
        result.append("rro")
    return {"destination": destination, "type": "bind", "source": source, "options": result}


PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable")
_ONE_OF = (
    ("ro", "rw"),
    ("exec", "noexec"),
    ("suid", "nosuid"),
    ("dev", "nodev"),
    ("bind", "rbind"),
    ("copy", "nocopy"),
    ("z", "Z"),
    ("tmpcopyup", "notmpcopyup"),
)
NO_IDMAP = "the kernel lets only privileged users make id-mapped mounts of their files"


def check_once(options: list[str], spec: str) -> None:
    """UsageError if an option, or one that says the opposite, is given twice."""
    for words in (*_ONE_OF, PROPAGATION, *((word,) for word in {"U", "O", "no-dereference"} & set(options))):
        given = [option for option in options if option in words]
        if len(given) > 1:
            raise UsageError(f"invalid options in {spec!r}", f"{' and '.join(given)} cannot be used together", "give one of them, once")


def _options(text: str, spec: str) -> tuple[list[str], set[str], dict[str, Any]]:
    """(mount flags, special words U, nocopy, z, Z, nocreate, what is made for O, upperdir=, workdir=, subpath=) of -v. UsageError."""
    flags: list[str] = []
    special: set[str] = set()
    made: dict[str, Any] = {}
    options = text.split(",") if text else []
    check_once(options, spec)
    for option in options:
        key, _, value = option.partition("=")
        if option in ("z", "Z", "U", "nocopy", "copy", "nocreate", "no-dereference"):
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
        elif option == "idmap":
            pass  # the container's ids are those of the store, unless it has ids of its own: mount_plan.of_user refuses that
        elif key == "idmap":
            raise UsageError(f"cannot mount {spec!r}", NO_IDMAP, "use :U, or --userns keep-id")
        elif option not in ("cached", "delegated") and key != "consistency":  # Docker's, which say nothing on Linux
            raise UsageError(
                f"invalid volume option {option!r} in {spec!r}",
                "pyman does not know it",
                "known are ro, rw, z, Z, U, O, idmap, [no]copy, nocreate, subpath=, [no]exec, [no]dev, [no]suid, [r]private, [r]shared, "
                "[r]slave, [r]unbindable, bind, rbind, no-dereference",
            )
    if ("upperdir" in made) != ("workdir" in made) or ("upperdir" in made and "overlay" not in made):
        raise UsageError(f"cannot mount {spec!r}", "upperdir= and workdir= go together, and with O")
    if made.get("overlay") and {"z", "Z"} & special:
        raise UsageError(f"cannot mount {spec!r}", "an overlay (O) is not labelled", "leave z and Z away")
    return flags, special, made


def anonymous(destination: str, volumes: Callable[..., str], flags: list[str] | None = None, copy_up: bool = True) -> Mount:
    """A volume of the container's own."""
    path = volumes("", destination, anonymous=True)
    return Mount(bind(path, destination, flags or []), volume_name(path), copy_up=copy_up)


def volume_name(path: str) -> str:
    """The name of the volume whose files lie at `path` (see volumes.data_path)."""
    return path.split("/")[-2]


def parse_volume(spec: str, volumes: Callable[..., str]) -> Mount:
    """-v [SOURCE:]DESTINATION[:OPTIONS]. SOURCE is an absolute or ./ path, or a volume's name. UsageError."""
    parts = spec.split(":")
    if len(parts) > 3 or not all(parts):
        raise UsageError(f"invalid volume {spec!r}", "it has the wrong number of parts", "the form is [SOURCE:]CONTAINER-PATH[:OPTIONS]")
    if len(parts) == 1:
        return anonymous(clean_destination(parts[0], spec), volumes)
    return mount(parts[0], clean_destination(parts[1], spec), parts[2] if len(parts) == 3 else "", spec, volumes)


def mount(source: str, destination: str, text: str, spec: str, volumes: Callable[..., str]) -> Mount:
    """A bind mount or volume with the options `text` of -v; without a source an anonymous volume. UsageError."""
    flags, special, made = _options(text, spec)
    chown, relabel = "U" in special, ("Z" if "Z" in special else "z" if "z" in special else "")
    if source.startswith(("/", ".")):
        path = os.path.abspath(source)
        beside = [
            *flags,
            *sorted(special - {"U"}),
            *(["subpath="] if "subpath" in made else []),
            *(["idmap"] if "idmap" in text.split(",") else []),
        ]
        if made.get("overlay") and beside:
            why = f"an overlay (O) of a path is writable and private, and takes no {', '.join(beside)}"
            raise UsageError(f"cannot mount {spec!r}", why, "besides O there are U, upperdir= and workdir=")
        follow = "no-dereference" not in special
        try:
            os.stat(path, follow_symlinks=follow)
        except FileNotFoundError:
            raise UsageError(
                f"cannot mount {source}", "no such file or directory on the host", f"create it first: mkdir -p {path}", errno=2
            ) from None
        except OSError as err:
            raise UsageError(f"cannot mount {source}", err.strerror or str(err), f"look at the way to it: namei -l {path}") from None
        entry = bind(path, destination, flags)
        if not follow and os.path.islink(path):
            entry["options"].append("copy-symlink")  # for other runtimes; ours makes what the next line says
            entry["link_to"] = os.readlink(path)
        return Mount(entry, chown=chown, made=made, relabel=relabel)
    if "no-dereference" in special:
        raise UsageError(f"cannot mount {spec!r}", "no-dereference is for paths of the host")
    # A part of a volume is not the place of the image's files.
    copy_up = "nocopy" not in special and "subpath" not in made
    if not source:
        found = anonymous(destination, volumes, flags, copy_up)
    else:
        path = volumes(source, destination, create_missing=False) if "nocreate" in special else volumes(source, destination)
        found = Mount(bind(path, destination, flags), source, copy_up=copy_up)
    found.chown, found.made, found.relabel = chown, made, relabel
    return found
