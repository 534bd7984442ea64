"""The last lines of its log that a container wrote in one of its runs, for `why`. CLI process.

A log goes on from run to run: a line is a run's if its time lies between the run's beginning and its end.
"""

from __future__ import annotations

import os

from pyman.engine import logopts
from pyman.engine.container import Container
from pyman.errors import PymanError
from pyman.monitor import logs as reader
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.monitor.logs import Entry

_MOST = 20  # lines that are looked at
_MOST_JOURNAL = 200  # entries: the journal's own times choose them, and are later than those of the lines
_FILES = 100  # of a rotated log
_PIECE = 1 << 20  # bytes before a run's end that are looked at
_LONGEST = 512 << 10  # bytes; the monitor writes no longer line
_NEAR = 16 << 10  # bytes


def kept(container: Container) -> bool:
    """Whether there is a log to look at."""
    return _settings(container)[0] not in ("none", *logopts.PASSED)


def tail(container: Container, started: float, finished: float) -> list[str]:
    """The last lines of a run; none where no log is kept."""
    driver, path = _settings(container)
    try:
        if driver == "journald":
            entries = _of_journal(container, started, finished)
        else:
            entries = _of_files(
                path, driver == "json-file", reader.stamp(started), reader.stamp(finished + 0.001)
            )  # a float has not every digit
    except (OSError, PymanError):
        return []
    return [entry.text.decode("utf-8", "replace")[:300] for entry in entries[-_MOST:] if entry.text.strip()]


def _settings(container: Container) -> tuple[str, str]:
    """(the driver, the file) of its log; none for settings that make no sense."""
    from pyman.config import containers as conf

    try:
        return logopts.settings(container.config["options"], conf.load(), os.path.join(container.dir, "ctr.log"))[:2]
    except PymanError:
        return "none", ""


def _of_journal(container: Container, started: float, finished: float) -> list[Entry]:
    from pyman.engine import logs  # this driver only

    opts = {"tail": _MOST_JOURNAL, "since": f"{started:.6f}", "until": f"{finished:.6f}"}
    source = logs.Source(container, opts, {"containers": {"log_driver": "journald"}})
    found: list[bytes] = []
    while not source.ended:
        found += source.read() or []
    return [entry for line in found if (entry := reader.parse_line(line, False))]


def _of_files(path: str, json: bool, since: str, until: str) -> list[Entry]:
    """From the newest file on, as far back as it takes."""
    found: list[Entry] = []  # the last one first
    for number in range(_FILES):
        fd = store.open_file(f"{path}.{number}" if number else path, follow=True)
        if fd < 0 and number:
            break
        if fd < 0:
            continue  # between two steps of a rotation there is no newest one
        with open(fd, "rb"):
            end = _reach(fd, until.encode(), json)
            begin = max(0, end - _PIECE)
            lines = os.pread(fd, end - begin, begin).split(b"\n")[1 if begin else 0 :]
        for line in reversed(lines):
            entry = reader.parse_line(line, json)
            if entry and entry.when[:29] < since:
                return found[::-1]
            if entry and entry.when[:29] <= until:
                found.append(entry)
            if len(found) == _MOST:
                return found[::-1]
    return found[::-1]


def _reach(fd: int, moment: bytes, json: bool) -> int:
    """How far a log has to be read for all of its lines up to `moment`; a few that are younger may stand before it."""
    low, high = 0, os.fstat(fd).st_size
    while high - low > _NEAR:
        middle = (low + high) // 2
        line = _after(fd, middle)[1]
        if line and reader.when(line, json) <= moment:
            low = middle
        else:
            high = middle
    return _after(fd, high)[0]


def _after(fd: int, at: int) -> tuple[int, bytes]:
    """(where the first line that begins after `at` does, that line: empty where the log ends before)."""
    for size in (_NEAR, 2 * _LONGEST):
        data = os.pread(fd, size, at)
        first, newline, rest = data.partition(b"\n")
        line, end, _ = rest.partition(b"\n")
        if end:
            return at + len(first) + 1, line
    return at + len(first) + len(newline), b""
