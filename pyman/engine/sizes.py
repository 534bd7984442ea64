"""How much room a container takes: its own files, and those of its image. CLI process; counts inside the user namespace."""

from __future__ import annotations

import errno
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
    """Bytes of the regular files below a directory; hard links count once. A running container may change it meanwhile."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    cursor = trees.Cursor(fd)
    os.close(fd)
    total, linked = 0, set[int]()
    levels = [os.listdir(cursor.fd)]
    try:
        while levels:
            if not levels[-1]:
                levels.pop()
                if levels:
                    cursor.up()
                continue
            name = levels[-1].pop()
            try:
                info = os.stat(name, dir_fd=cursor.fd, follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    cursor.down(name)
                    levels.append(os.listdir(cursor.fd))
                elif stat.S_ISREG(info.st_mode) and info.st_ino not in linked:
                    total += info.st_size
                    if info.st_nlink > 1:
                        linked.add(info.st_ino)
            except (FileNotFoundError, NotADirectoryError):
                continue  # removed, or replaced, since it was listed
    except OSError as err:
        if err.errno != errno.EXDEV:  # a directory was moved under our feet: what was counted is the answer
            raise
    finally:
        cursor.close()
    return total
