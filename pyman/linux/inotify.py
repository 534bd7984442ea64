"""inotify(7): be woken when files or directories change. CLI process, for commands that follow a file."""

from __future__ import annotations

import os
import select

from pyman.linux import libc

IN_MODIFY, IN_MOVED_TO, IN_CREATE = 0x2, 0x80, 0x100


class Watch:
    """Wakes its user when something below the watched directories changes; without inotify (a quota) it is a pause."""

    __slots__ = ("fd", "poll")

    def __init__(self, paths: list[str]) -> None:
        self.fd = libc.inotify_init()
        self.poll = select.poll()
        if self.fd >= 0:
            self.poll.register(self.fd, select.POLLIN)
            # With one directory missing there would be changes nobody hears of: then it is a pause as well.
            if not all([libc.inotify_add_watch(self.fd, path, IN_MODIFY | IN_MOVED_TO | IN_CREATE) for path in paths]):
                self.close()

    def wait(self, seconds: float) -> None:
        """Until there is news, at most `seconds`."""
        if self.fd < 0:
            select.select([], [], [], min(seconds, 0.05))
        elif self.poll.poll(int(seconds * 1000)):
            os.read(self.fd, 1 << 16)

    def close(self) -> None:
        """End the watch."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
