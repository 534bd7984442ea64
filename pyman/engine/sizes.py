"""How much room a container takes: its own files, and those of its image. CLI process; counts inside the user namespace."""

from __future__ import annotations

import os
import stat

from pyman.engine.container import Container
from pyman.errors import NoSuchContainer, StorageError
from pyman.linux import trees
from pyman.rootless import userns
from pyman.storage import layers


def container_sizes(container: Container) -> tuple[int, int]:
    """(bytes of the container's own files, the same plus its image's). NoSuchContainer if it has gone; RootlessError."""
    found = all_sizes([container.id])
    if not found:
        raise NoSuchContainer(f"no container with ID {container.id[:12]}", "it was removed meanwhile")
    return found[container.id]


def all_sizes(ids: list[str]) -> dict[str, tuple[int, int]]:
    """The same of several containers, in one child; those that have gone meanwhile are left out. RootlessError."""
    own = dict(userns.call_in_userns(lambda: [(entry, _own(Container(entry).dir)) for entry in ids])) if ids else {}
    found = {}
    for entry in ids:
        container = Container(entry)
        try:
            image = layers.sizes(container.config["layers"])
        except (NoSuchContainer, StorageError):
            image = 0  # it has gone, or its configuration is damaged or lost
        if os.path.isdir(container.dir):
            found[entry] = (own[entry], own[entry] + image)
    return found


def _own(directory: str) -> int:
    try:
        return _tree(os.path.join(directory, "upper"))
    except FileNotFoundError:
        return 0  # it has no files of its own, or has gone


def _tree(path: str) -> int:
    """Bytes of the regular files below a directory; hard links count once. A running container may change it meanwhile."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        total, linked = 0, set[int]()
        for info in trees.survey(fd):
            if stat.S_ISREG(info.st_mode) and info.st_ino not in linked:
                total += info.st_size
                if info.st_nlink > 1:
                    linked.add(info.st_ino)
        return total
    finally:
        os.close(fd)
