"""What one thread or process writes and another reads: pipes with an end that is noticed. CLI process, slow path."""

from __future__ import annotations

import os
import threading

from pyman.linux import fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_PIPE_SIZE = 1 << 20  # bytes: the kernel's usual limit for users


class Running:
    """`start(fd)` running in a thread, writing to the pipe whose other end is `fd`. `with` closes both ends, whatever happens."""

    def __init__(self, start: Callable[[int], Any]) -> None:
        self.fd, self._into = os.pipe()
        fs.widen_pipe(self.fd, _PIPE_SIZE)
        self._done: list[Any] = []
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(start,), daemon=True)

    def _run(self, start: Callable[[int], Any]) -> None:
        try:
            self._done.append(start(self._into))
        except BaseException as err:  # handed to whoever reads
            self._failed.append(err)
        finally:
            os.close(self._into)

    def __enter__(self) -> Running:
        self._thread.start()
        return self

    def result(self) -> Any:
        """What `start` returned, once it is at its end; its error is raised."""
        self._thread.join()
        for failure in self._failed:
            raise failure
        return self._done[0]

    def __exit__(self, kind: object, err: object, trace: object) -> None:
        os.close(self.fd)  # a writer that still writes notices
        self._thread.join()


def read_full(fd: int, size: int) -> bytes:
    """`size` bytes; fewer only at the end."""
    parts: list[bytes] = []
    while size:
        data = os.read(fd, min(size, _PIPE_SIZE))
        if not data:
            break
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
