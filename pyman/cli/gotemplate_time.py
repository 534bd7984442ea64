"""Times and durations in templates: printed as Go prints them, with the methods that scripts call. CLI process.

In JSON a time stays RFC 3339, and a duration a number of nanoseconds.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# What Go's layouts are made of, longer words first, and what strftime calls it.
_LAYOUT = (
    *(("January", "%B"), ("Monday", "%A"), ("Z07:00", "Z"), ("-07:00", "+00:00"), ("-0700", "+0000"), ("2006", "%Y"), ("MST", "UTC")),
    *(("Jan", "%b"), ("Mon", "%a"), ("PM", "%p"), ("01", "%m"), ("02", "%d"), ("03", "%I"), ("04", "%M"), ("05", "%S"), ("06", "%y")),
    *(("15", "%H"), ("_2", "%e"), ("1", "%-m"), ("2", "%-d"), ("3", "%-I"), ("4", "%-M"), ("5", "%-S")),
)
_LONGEST = 2**63 - 1  # nanoseconds
_MONTHS = "January February March April May June July August September October November December".split()
_DAYS = "Sunday Monday Tuesday Wednesday Thursday Friday Saturday".split()
_TO_1970 = 62135596800  # seconds from the zero time, from which Go rounds


class Moment(str):
    """A time in UTC as RFC 3339 has it."""

    kind, word = "time.Time", "time"

    def go(self) -> str:
        """2026-01-31 12:00:00.25 +0000 UTC."""
        return f"{self[:10]} {self[11:-1]} +0000 UTC" if self[10:11] == "T" and self.endswith("Z") else str(self)


class Number(int):
    """A number that prints as a text."""

    kind, word = "int", "number"

    def go(self) -> str:
        """The text."""
        raise NotImplementedError


class Month(Number):
    """1 is January."""

    kind, word = "time.Month", "month"

    def go(self) -> str:
        """January."""
        return _MONTHS[self - 1]


class Weekday(Number):
    """0 is Sunday."""

    kind, word = "time.Weekday", "weekday"

    def go(self) -> str:
        """Sunday."""
        return _DAYS[self]


class Duration(Number):
    """Nanoseconds."""

    kind, word = "time.Duration", "duration"

    def go(self) -> str:
        """1h5m0s, 30s, 1.5ms, 0s."""
        sign, rest = "-" if self < 0 else "", abs(self)
        if not rest:
            return "0s"
        for size, unit in ((1000, "ns"), (10**6, "\u00b5s"), (10**9, "ms")):
            if rest < size:
                return sign + _decimal(rest, size // 1000) + unit
        minutes, rest = divmod(rest, 60 * 10**9)
        hours, left = divmod(minutes, 60)
        return sign + (f"{hours}h" if hours else "") + (f"{left}m" if minutes else "") + _decimal(rest, 10**9) + "s"


def _decimal(number: int, unit: int) -> str:
    """number / unit without noughts at the end."""
    whole, rest = divmod(number, unit)
    return f"{whole}.{str(unit + rest)[1:]}".rstrip("0").rstrip(".")


def _parsed(value: Moment) -> Any:
    """The datetime, whole seconds. ValueError for what is no time in UTC (an image may say anything)."""
    import datetime  # for the methods only

    whole = value[:19] if value.endswith("Z") else ""
    return datetime.datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=datetime.timezone.utc)


def _nanoseconds(value: Moment) -> int:
    return int(value[20:-1][:9].ljust(9, "0")) if value[19:20] == "." else 0


def _since_1970(value: Moment) -> int:
    """In nanoseconds."""
    return int(_parsed(value).timestamp()) * 10**9 + _nanoseconds(value)


def _other(value: Any) -> int:
    if not isinstance(value, Moment):
        raise TypeError("it wants a time")
    return _since_1970(value)


def _sub(value: Moment, other: Any) -> Duration:
    return Duration(max(-_LONGEST - 1, min(_LONGEST, _since_1970(value) - _other(other))))


def _add(value: Moment, span: Any) -> Moment:
    return _at(_since_1970(value) + _span(span))


def _span(value: Any) -> int:
    if type(value) not in (int, Duration):
        raise TypeError("it wants a duration")
    return int(value)


def _at(nanoseconds: int) -> Moment:
    import datetime  # for the methods only

    seconds, rest = divmod(nanoseconds, 10**9)
    whole = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return Moment(whole.isoformat() + f".{rest:09d}".rstrip("0").rstrip(".") + "Z")


def _add_date(value: Moment, years: Any, months: Any, days: Any) -> Moment:
    """As a calendar has it: what is beyond a month's end is counted into the next."""
    import datetime  # for the method only

    if not type(years) is type(months) is type(days) is int:
        raise TypeError("it wants three numbers")
    whole = _parsed(value)
    year, month = divmod(whole.year * 12 + whole.month - 1 + years * 12 + months, 12)
    first = whole.replace(year=year, month=month + 1, day=1) + datetime.timedelta(days=whole.day - 1 + days)
    return _at(int(first.timestamp()) * 10**9 + _nanoseconds(value))


def _rounded(value: Moment, span: Any, half: bool) -> Moment:
    """To a multiple of a duration since the zero time; half: to the nearest one."""
    size, now = _span(span), _since_1970(value)
    rest = (now + _TO_1970 * 10**9) % size if size > 0 else 0
    return _at(now - rest + (size if half and rest and 2 * rest >= size else 0))


def _compare(value: Moment, other: Any) -> int:
    mine, others = _since_1970(value), _other(other)
    return (mine > others) - (mine < others)


def _format(value: Moment, layout: Any) -> str:
    if not isinstance(layout, str):
        raise TypeError("it wants a layout")
    moment, out, at = _parsed(value), "", 0
    while at < len(layout):
        fraction = len(layout[at + 1 :]) - len(layout[at + 1 :].lstrip(layout[at + 1 : at + 2] or "0")) if layout[at] in ".," else 0
        if fraction and layout[at + 1] in "09":
            digits = f"{_nanoseconds(value):09d}"[:fraction]
            digits = digits.rstrip("0") if layout[at + 1] == "9" else digits
            out, at = out + (layout[at] + digits if digits else ""), at + 1 + fraction
            continue
        word, code = next((pair for pair in _LAYOUT if layout.startswith(pair[0], at)), (layout[at], ""))
        out, at = out + (moment.strftime(code) if code else word), at + len(word)
    return out


_FIELDS: dict[str, Callable[[Moment], Any]] = {
    "Add": lambda value: lambda span: _add(value, span),
    "AddDate": lambda value: lambda years, months, days: _add_date(value, years, months, days),
    "After": lambda value: lambda other: _since_1970(value) > _other(other),
    "Before": lambda value: lambda other: _since_1970(value) < _other(other),
    "Compare": lambda value: lambda other: _compare(value, other),
    "Day": lambda value: _parsed(value).day,
    "Equal": lambda value: lambda other: _since_1970(value) == _other(other),
    "Format": lambda value: lambda layout: _format(value, layout),
    "Hour": lambda value: _parsed(value).hour,
    "IsDST": lambda value: False,
    "IsZero": lambda value: value.startswith("0001-01-01T00:00:00"),
    "Local": lambda value: value,
    "Location": lambda value: "UTC",
    "Minute": lambda value: _parsed(value).minute,
    "Month": lambda value: Month(_parsed(value).month),
    "Nanosecond": _nanoseconds,
    "Round": lambda value: lambda span: _rounded(value, span, True),
    "Second": lambda value: _parsed(value).second,
    "String": lambda value: value.go(),
    "Sub": lambda value: lambda other: _sub(value, other),
    "Truncate": lambda value: lambda span: _rounded(value, span, False),
    "Unix": lambda value: int(_parsed(value).timestamp()),
    "UnixMicro": lambda value: _since_1970(value) // 1000,
    "UnixMilli": lambda value: int(_parsed(value).timestamp()) * 1000 + _nanoseconds(value) // 1_000_000,
    "UnixNano": _since_1970,
    "UTC": lambda value: value,
    "Weekday": lambda value: Weekday(_parsed(value).isoweekday() % 7),
    "Year": lambda value: _parsed(value).year,
    "YearDay": lambda value: _parsed(value).timetuple().tm_yday,
}


_SPANS: dict[str, Callable[[Duration], Any]] = {
    "Abs": lambda value: Duration(abs(value)),
    "Hours": lambda value: value / (3600 * 10**9),
    "Microseconds": lambda value: value // 1000,
    "Milliseconds": lambda value: value // 10**6,
    "Minutes": lambda value: value / (60 * 10**9),
    "Nanoseconds": int,
    "Seconds": lambda value: value / 10**9,
    "String": lambda value: value.go(),
}


def _methods(value: Moment | Number) -> dict[str, Callable[[Any], Any]]:
    if isinstance(value, Moment):
        return _FIELDS
    return _SPANS if isinstance(value, Duration) else {"String": lambda value: value.go()}


def method(value: Moment | Number, name: str) -> Any:
    """What Go's types of time give under that name. KeyError if it is not known here, ValueError for what is no time."""
    return _methods(value)[name](value)


def known(value: Moment | Number) -> str:
    """The names of the methods, for an error."""
    return ", ".join(sorted(_methods(value)))


def moment(seconds: float) -> Moment:
    """A time since 1970 as such a value; the zero time for 0."""
    from pyman.cli import output

    return Moment(output.rfc3339(seconds))
