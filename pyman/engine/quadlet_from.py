"""A Quadlet file that makes a container like one that exists, or as a command line says. CLI process."""

from __future__ import annotations

import os

from pyman.engine import names as container_names
from pyman.engine import restart_policy
from pyman.engine.container import lookup
from pyman.errors import NameInUse, StorageError, UsageError
from pyman.systemd import names
from pyman.systemd.quadlet import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def of_container(name: str, wanted: str, wanted_by: str) -> tuple[str, str]:
    """(name, text) of the file for a container. `wanted`: another name. NoSuchContainer."""
    container = lookup(name)
    config = container.config
    options = dict(config["options"])
    given = set(options.pop("_given", []))
    if options.get("env"):
        given.add("env")  # also what came from files
    if config["rootfs"]:
        options["rootfs"] = True
    image = (
        config["rootfs"] + (":O" if config.get("rootfs_overlay") else "")
        if config["rootfs"]
        else config["image"]["name"] or config["image"]["id"]
    )
    called = wanted or container.name
    _check(called, image, wanted_by)
    before = [("module", path) for path in config.get("modules") or []]
    return _named(called), write.container_file(options, given, image, list(config["command"]), called, wanted_by, os.getcwd(), before)


def of_options(
    options: Any, given: set[str], args: list[str], wanted: str, wanted_by: str, before: list[tuple[str, str]]
) -> tuple[str, str]:
    """(name, text) of the file for the options and arguments of a `run`. Nothing is looked up. before: the options before the command."""
    image = args[0]
    restart_policy.check(options)
    last = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    called = wanted or str(options.get("name") or "") or last
    _check(called, image, wanted_by)
    return _named(called), write.container_file(dict(options), given, image, args[1:], called, wanted_by, os.getcwd(), before)


def _check(name: str, image: str, wanted_by: str) -> None:
    """UsageError for what would not stay on its line of the file."""
    container_names.check(name)
    for text in (image, wanted_by):
        if not text.isprintable():
            raise UsageError(f"cannot make a Quadlet file with {text[:60]!r}", "it would not stay on its line")


def _named(name: str) -> str:
    return name if names.valid(name) else names.escaped(name)


def save(place: str, name: str, text: str, replace: bool) -> str:
    """Write the file to `place`, a path or a directory; the path. NameInUse, StorageError."""
    path = os.path.join(place, f"{name}.container") if os.path.isdir(place) or place.endswith("/") else place
    try:
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if replace else os.O_EXCL)
        with open(os.open(path, flags, 0o644), "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except FileExistsError:
        raise NameInUse(f"cannot write {path}", "it exists", "use --replace to write it anew") from None
    except OSError as err:
        raise StorageError(f"cannot write {path}", err.strerror or str(err)) from err
    return path
