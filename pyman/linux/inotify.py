"""inotify(7): be woken when files or directories change. CLI process, for commands that follow a file."""

from __future__ import annotations

import os
import select

from pyman.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

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

    def wait(self, seconds: float, more: Iterable[int] = ()) -> None:
        """Until there is news, or something to be read from one of the descriptors `more`; at most `seconds`."""
        if self.fd < 0:
            select.select(list(more), [], [], min(seconds, 0.05))
            return
        for fd in more:
            self.poll.register(fd, select.POLLIN)
        ready = [fd for fd, _ in self.poll.poll(int(seconds * 1000))]
        if self.fd in ready:
            os.read(self.fd, 1 << 16)
        for fd in more:
            self.poll.unregister(fd)

    def close(self) -> None:
        """End the watch."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
