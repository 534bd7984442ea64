"""Read a container's log: k8s-file and json-file, rotated files first, with --since, --until, --tail and --follow. CLI process."""

from __future__ import annotations

import os
import time

from pyman.errors import UsageError
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Entry:
    """One line or part of one: time as text (RFC 3339), stream, text without its newline, whether the line ends here."""

    __slots__ = ("stream", "text", "when", "whole")

    def __init__(self, when: str, stream: str, text: bytes, whole: bool) -> None:
        self.when = when
        self.stream = stream
        self.text = text
        self.whole = whole


def parse_time(text: str, option: str, ahead: bool = False) -> float:
    """Seconds since 1970 of a duration before now (10m, 1h30m), a number of seconds, or an RFC 3339 time. UsageError.

    ahead: a duration is one after now, as for the end of a time of watching.
    """
    if text.replace(".", "", 1).isdigit():
        return float(text)
    total, rest = 0.0, text
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("nsumhd"))]
        rest = rest[len(unit) :]
        if unit not in _UNITS or not number.replace(".", "", 1).isdigit():
            return _absolute(text, option)
        total += float(number) * _UNITS[unit]
    return time.time() + (total if ahead else -total)


def _absolute(text: str, option: str) -> float:
    import datetime  # only for an absolute time

    try:
        # Python before 3.11 takes fractions of exactly six digits only; logs and inspect print up to nine.
        day, point, rest = text.replace("Z", "+00:00").partition(".")
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        fraction = f".{digits[:6].ljust(6, '0')}" if point else ""
        moment = datetime.datetime.fromisoformat(day + fraction + rest[len(digits) :])
    except ValueError:
        raise UsageError(
            f"invalid value {text!r} for {option}", "it is neither a duration nor a time", "for example: 10m, or 2026-01-31T12:00:00"
        ) from None
    return moment.timestamp() if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc).timestamp()


def stamp(moment: float) -> str:
    """A time as the log writes it, comparable as text with an entry's."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1e9):09d}"


def parse_line(line: bytes, json_format: bool) -> Entry | None:
    """One log line; None for a damaged one (a full disk may cut the last)."""
    if json_format:
        try:
            value = fastjson.loads(line)
            text = value["log"].encode("utf-8", "surrogateescape")
            return Entry(value["time"], value["stream"], text.removesuffix(b"\n"), text.endswith(b"\n"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
    parts = line.split(b" ", 3)
    if len(parts) != 4 or parts[2] not in (b"F", b"P"):
        return None
    return Entry(parts[0].decode("ascii", "replace"), parts[1].decode("ascii", "replace"), parts[3], parts[2] == b"F")


def _files(path: str) -> list[str]:
    """Rotated files, oldest first, then the current one."""
    older = []
    number = 1
    while os.path.exists(f"{path}.{number}"):
        older.append(f"{path}.{number}")
        number += 1
    return [*reversed(older), path]


def _lines(path: str) -> Iterator[bytes]:
    try:
        file = open(path, "rb", buffering=1 << 18)
    except FileNotFoundError:
        return
    with file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


def entries(path: str, json_format: bool, follow: Callable[[], bool] | None = None) -> Iterator[Entry]:
    """All entries; with `follow` (whether more may come) also those still to be written. Rotation loses none."""
    if follow is None:
        for name in _files(path):
            for line in _lines(name):
                entry = parse_line(line, json_format)
                if entry:
                    yield entry
        return
    for name in _files(path)[:-1]:
        for line in _lines(name):
            entry = parse_line(line, json_format)
            if entry:
                yield entry
    yield from _follow(path, json_format, follow)


def _follow(path: str, json_format: bool, more: Callable[[], bool]) -> Iterator[Entry]:
    """Read on in the open file; when its name belongs to a new one, finish the old one first."""
    file = None
    rest = b""
    pause = 0.005
    while True:
        alive = more()  # asked before reading: what was written before the end is read after it
        if file is None and os.path.exists(path):
            file = open(path, "rb")
        data = file.read() if file else b""
        if data:
            pause = 0.005
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                entry = parse_line(line, json_format)
                if entry:
                    yield entry
            continue
        if file and _replaced(path, file.fileno()):
            file.close()
            file, rest = open(path, "rb"), b""
            continue
        if not alive:
            return
        time.sleep(pause)
        pause = min(pause * 2, 0.1)


def _replaced(path: str, fd: int) -> bool:
    try:
        return os.stat(path).st_ino != os.fstat(fd).st_ino
    except FileNotFoundError:
        return False
