"""The lines of a container's log, k8s-file and json-file, and times as users write them. CLI process."""

from __future__ import annotations

import time

from pyman.errors import UsageError
from pyman.state import fastjson

_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
_LAST = 253402300799.0  # seconds since 1970 at the end of the year 9999: the log's times are compared as text
_LONGEST = (1 << 63) / 1e9  # seconds, of a duration in Go


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

    ahead: a duration is one after now, as for the end of a time of watching. What lies before 1970 or after 9999 is their beginning or end:
    no log has older or newer lines.
    """
    return min(max(_moment(text, option, ahead), 0.0), _LAST)


def parse_until(text: str) -> float:
    """The same for a filter that chooses what is older, mostly to remove it: a time that none can be younger than is a mistake. UsageError."""
    moment = _moment(text, "the filter until", False)
    if text.startswith("-") or moment > _LAST:
        raise UsageError(
            f"invalid value {text!r} for the filter until", "everything is older than that", "for example: 24h, or 2026-01-31T12:00:00"
        )
    return moment


def _moment(text: str, option: str, ahead: bool) -> float:
    if text.isascii() and not set(text.lower()) & set(" _\t\n\v\f\rna"):  # Python knows more numbers: 1_000, "5 ", nan, inf
        try:
            return float(text)
        except ValueError:
            pass  # a duration, or a time
    total, rest = 0.0, text[text[:1] in ("+", "-") :]
    if not rest:
        return _absolute(text, option)
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("nsumhd"))]
        rest = rest[len(unit) :]
        if unit not in _UNITS or not number.replace(".", "", 1).isdigit():
            return _absolute(text, option)
        total += float(number) * _UNITS[unit]
    if total > _LONGEST:
        raise UsageError(
            f"invalid value {text!r} for {option}", "a duration is 292 years at most", "for example: 10m, or 2026-01-31T12:00:00"
        )
    return time.time() + (total if ahead != text.startswith("-") else -total)


def _absolute(text: str, option: str) -> float:
    import datetime  # only for an absolute time

    try:
        # Python before 3.11 takes fractions of exactly six digits only; logs and inspect print up to nine.
        day, point, rest = text.replace("Z", "+00:00").partition(".")
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        fraction = f".{digits[:6].ljust(6, '0')}" if point else ""
        moment = datetime.datetime.fromisoformat(day + fraction + rest[len(digits) :])
        return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"invalid value {text!r} for {option}", "it is neither a duration nor a time", "for example: 10m, or 2026-01-31T12:00:00"
        ) from None


def stamp(moment: float) -> str:
    """A time as the log writes it, comparable as text with an entry's."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1e9):09d}"


def stamp_of(text: str, option: str, ahead: bool = False) -> str:
    """The same of a time as users write it, with every digit that they give: a float has not nine of them. UsageError."""
    moment = parse_time(text, option, ahead)
    day, point, rest = text.partition(".")
    if not point or not (day.isdigit() or day[4:5] == "-"):
        return stamp(moment)
    return stamp(int(moment))[:-9] + rest[: len(rest) - len(rest.lstrip("0123456789"))][:9].ljust(9, "0")


def parse_line(line: bytes, json_format: bool) -> Entry | None:
    """One log line; None for a damaged one (a full disk may cut the last)."""
    if json_format:
        try:
            value = fastjson.loads(line.decode("utf-8", "surrogateescape"))  # the container may write what is no UTF-8
            text = value["log"].encode("utf-8", "surrogateescape")
            return Entry(value["time"], value["stream"], text.removesuffix(b"\n"), text.endswith(b"\n"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
    parts = line.split(b" ", 3)
    if len(parts) != 4 or parts[2] not in (b"F", b"P"):
        return None
    return Entry(parts[0].decode("ascii", "replace"), parts[1].decode("ascii", "replace"), parts[3], parts[2] == b"F")


def when(line: bytes, json_format: bool) -> bytes:
    """The time of a line of the log, comparable with `stamp`."""
    return line[-32:-3] if json_format else line[:29]


def is_end(line: bytes, json_format: bool) -> bool:
    """Whether a line of the log is, or ends, a line that the container wrote."""
    if not json_format and line[43:45] in (b"F ", b"P "):
        return line[43:45] == b"F "
    entry = parse_line(line, json_format)
    return entry is not None and entry.whole
