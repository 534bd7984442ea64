"""How much room a container takes: its own files, and those of its image. CLI process; counts inside the user namespace."""

from __future__ import annotations

import os
import stat

from pyman.engine.container import Container
from pyman.linux import trees
from pyman.rootless import userns
from pyman.storage import layers


def container_sizes(container: Container) -> tuple[int, int]:
    """(bytes of the container's own files, the same plus its image's). RootlessError."""
    upper = os.path.join(container.dir, "upper")
    own = int(userns.call_in_userns(lambda: _tree(upper))) if os.path.isdir(upper) else 0
    image = sum(int(layers.read_info(diff_id).get("size", 0)) for diff_id in container.config["layers"])
    return own, own + image


def _tree(path: str) -> int:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return _below(fd, set(), 0)
    finally:
        os.close(fd)


def _below(fd: int, seen: set[int], depth: int) -> int:
    """Sizes of the regular files below a directory; hard links count once, what lies deeper than trees.DEPTH does not."""
    total = 0
    for name in os.listdir(fd):
        try:
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISREG(info.st_mode) and info.st_ino not in seen:
                seen.add(info.st_ino)
                total += info.st_size
            elif stat.S_ISDIR(info.st_mode) and depth < trees.DEPTH:
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
                try:
                    total += _below(inner, seen, depth + 1)
                finally:
                    os.close(inner)
        except FileNotFoundError:
            continue  # a running container removes files
    return total
