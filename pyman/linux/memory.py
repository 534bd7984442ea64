"""Files that lie in memory alone (memfd_create(2)): what a program is to read by a path, and nobody else. Any process."""

from __future__ import annotations

import os


def file(data: bytes) -> int:
    """Descriptor of a new file with this content, at its end. OSError."""
    fd = os.memfd_create("pyman", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return fd
