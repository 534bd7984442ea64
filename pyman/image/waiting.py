"""What the user is told while a registry says nothing. CLI process, slow path.

A timer of the process looks at the requests that wait. No thread does it: workers are forked later. Python runs the handler in the main
thread, which is in a request of its own or waits for the threads that are.
"""

from __future__ import annotations

import _signal
import _thread
import time

from pyman import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

FIRST = 5  # seconds of silence before it is worth a line; then twice as many, and so on
_BLOCK = 1 << 16  # bytes that have to go within one time-out: a whole piece of an upload takes minutes on a slow line
_guard = _thread.allocate_lock()
_waits: list[Wait] = []


class Wait:
    """One request, or the body of its answer, while `with` lasts. since: when the other side was heard last; 0: nothing is awaited."""

    __slots__ = ("attempt", "host", "longest", "said", "since", "tries")

    def __init__(self, host: str, attempt: int = 0, tries: int = 1) -> None:
        """attempt: from 0."""
        self.host = host
        self.attempt, self.tries = attempt, tries
        self.since = time.monotonic()
        self.said = float(FIRST)
        self.longest = 0.0

    def heard(self, awaits: bool = True) -> None:
        """Something came or went; awaits: and more is waited for."""
        now = time.monotonic()
        if self.since:
            self.longest = now - self.since
        self.since = now if awaits else 0.0
        self.said = float(FIRST)

    def again(self, why: str) -> None:
        """Say that it is tried again, if it has taken long to fail."""
        if self.longest >= FIRST:
            say(f"{why}; trying again" + (f" ({self.attempt + 2} of {self.tries})" if self.attempt + 1 < self.tries else ""))

    def __enter__(self) -> Wait:
        with _guard:
            _waits.append(self)
            if len(_waits) == 1:
                try:
                    _signal.signal(_signal.SIGALRM, _look)
                except ValueError:
                    pass  # not the main thread, which has been here before, or nothing is said
                if _signal.getsignal(_signal.SIGALRM) is _look:
                    _signal.setitimer(_signal.ITIMER_REAL, FIRST, 1.0)
        return self

    def __exit__(self, *_: object) -> None:
        self.heard(False)
        with _guard:
            _waits.remove(self)
            if not _waits:
                _signal.setitimer(_signal.ITIMER_REAL, 0)  # what is executed later would be killed by it


class Broken(Exception):
    """A connection broke while a body was read."""

    def __init__(self, text: str, wait: Wait | None = None) -> None:
        super().__init__(text)
        self.wait = wait

    def again(self) -> None:
        """Say that it is tried again, if nothing had come for long."""
        if self.wait:
            self.wait.again(f"the connection to {self.wait.host} broke: {self}")


class Body:
    """What a request sends, block by block."""

    __slots__ = ("_data", "_wait")

    def __init__(self, data: bytes, wait: Wait) -> None:
        self._data = data
        self._wait = wait

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[memoryview]:
        view = memoryview(self._data)
        for at in range(0, len(view), _BLOCK):
            yield view[at : at + _BLOCK]
            self._wait.heard()


def _look(_number: int, _frame: Any) -> None:
    """Handler of the timer; takes no lock, which the code below it may have."""
    now = time.monotonic()
    for wait in list(_waits):
        silent = now - wait.since if wait.since else 0.0
        if silent >= wait.said:
            wait.said = 2 * silent
            which = f" (try {wait.attempt + 1} of {wait.tries})" if wait.tries > 1 else ""
            say(f"{wait.host} has sent nothing for {int(silent)} s, still waiting{which}")


def say(text: str) -> None:
    """A line for the user, whatever the reporter: a command that waits for minutes must not look as if it hung."""
    try:
        if errors.tell:
            errors.tell(text)
    except (OSError, ValueError, RuntimeError):
        pass  # stderr is closed, or the signal came while the same line was written
