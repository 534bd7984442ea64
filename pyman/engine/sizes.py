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
    return own, own + layers.sizes(container.config["layers"])


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
