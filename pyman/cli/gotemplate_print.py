"""Values as Go prints them, alone or by the verbs of printf. CLI process, pure."""

from __future__ import annotations

from pyman.cli.gotemplate_time import Duration, Moment
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WIDEST = 1_000_000  # characters that a width or a padding may ask for, as in Go
_FLAGS = "-+ #0"


# Fields that are maps: they may be asked for keys they do not have. Everything else says which fields it knows.
MAPS = (
    *("Labels", "Annotations", "Ports", "PortBindings", "Networks", "ExposedPorts", "Tmpfs", "Data", "Volumes", "Sysctls", "Attributes"),
    *("GraphStatus", "Options"),
)


class Map(dict):  # type: ignore[type-arg]
    """A map whatever its keys are; a plain dictionary with capital letters in front is a structure."""


class Struct(dict):  # type: ignore[type-arg]
    """A record whose fields are all known; `more` are fields under Go's names, which its JSON does not show.

    ordered: `more` has all of them, in the order in which they are printed. also: old names of fields, which are not printed.
    """

    __slots__ = ("also", "more", "ordered")

    def __init__(self, value: dict[str, Any], more: dict[str, Any] | None = None, ordered: bool = False) -> None:
        super().__init__(value)
        self.more = more or {}
        self.ordered = ordered
        self.also: dict[str, Any] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """One field."""
        if name in self.more:
            return self.more[name]
        for key, inner in self.more.items() if self.ordered else ():
            if key[:1] == "(" and name in inner.more:
                return inner.more[name]
        return super().get(name, self.also.get(name, default))

    def names(self) -> list[str]:
        """The fields' names, for an error."""
        if not self.ordered:
            return [str(key)[:1].upper() + str(key)[1:] for key in self]
        return [name for key, value in self.more.items() for name in (value.names() if key[:1] == "(" else [key])]


class Absent(str):
    """What a map gives for a key it does not have: empty, but printed as Go does."""


ABSENT = Absent("")


def text(value: Any) -> str:
    """A value as Go prints it."""
    if value is True or value is False:
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if value is ABSENT:
        return "<no value>"
    if isinstance(value, (Moment, Duration)):
        return value.go()
    if isinstance(value, Struct) and value.ordered:
        return "{" + " ".join(map(text, value.more.values())) + "}"
    if isinstance(value, float):
        if value - value != 0:
            return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
        return str(int(value)) if value == int(value) and abs(value) < 1e21 else repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(text(item) for item in value) + "]"
    if type(value) is dict and value and all(isinstance(key, str) and key[:1].isupper() for key in value):
        return "{" + " ".join(text(Map(item) if key in MAPS and isinstance(item, dict) else item) for key, item in value.items()) + "}"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{text(item)}" for key, item in sorted(value.items(), key=lambda pair: str(pair[0]))) + "]"
    return str(value)


def kind(value: Any) -> str:
    """Go's word for the type of a value."""
    if isinstance(value, (Moment, Duration)):
        return value.kind
    names = {bool: "bool", int: "int", float: "float64", str: "string", Absent: "string", list: "[]interface {}", tuple: "[]interface {}"}
    return "<nil>" if value is None else names.get(type(value), "map[string]interface {}")


def _wrong(value: Any, verb: str) -> str:
    return f"%!{verb}({kind(value)}={text(value)})" if value is not None else f"%!{verb}(<nil>)"


def _quote(value: str) -> str:
    """%q: a string in Go's notation, close to JSON's."""
    return fastjson.dumps(value, ascii_only=False)


def _verb(verb: str, value: Any, precision: int, flags: str) -> str:
    """One value by one verb, without its width."""
    if verb == "v":
        return text(value)
    if verb == "T":
        return kind(value)
    if isinstance(value, Moment) or (isinstance(value, Duration) and verb in "sq"):
        value = value.go()
    if isinstance(value, (list, tuple)) and verb in "sdqxX":
        return "[" + " ".join(_verb(verb, item, precision, flags) for item in value) + "]"
    if isinstance(value, bool):
        return text(value) if verb == "t" else _wrong(value, verb)
    if isinstance(value, int):
        sign = "+" if "+" in flags and value >= 0 else ""
        if verb in "dxXob":
            prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else ""
            return sign + ("-" if value < 0 else "") + prefix + format(abs(value), verb)
        if verb in "cqU" and 0 <= value < 0x110000:
            return {"c": chr(value), "q": f"'{chr(value)}'", "U": f"U+{value:04X}"}[verb]
    if isinstance(value, float) and verb in "feEgGF":
        return ("+" if "+" in flags and value >= 0 else "") + format(
            value, f".{min(precision, 1000)}{verb}" if precision >= 0 else _default(verb)
        )
    if isinstance(value, str) and verb in "sqxX":
        cut = value[:precision] if precision >= 0 else value
        if verb in "xX":
            digits = cut.encode("utf-8", "surrogateescape").hex()
            return digits.upper() if verb == "X" else digits
        return _quote(cut) if verb == "q" else cut
    if isinstance(value, dict) and verb == "s":
        return text(value)
    return _wrong(value, verb)


def _default(verb: str) -> str:
    return ".6" + verb if verb not in "gG" else verb


def printf(form: str, *values: Any) -> str:
    """fmt.Sprintf: a wrong or missing value is shown in the text, as in Go."""
    if not isinstance(form, str):
        raise TypeError("the format is no string")
    out: list[str] = []
    at, used = 0, 0
    while at < len(form):
        percent = form.find("%", at)
        if percent < 0:
            percent = len(form)
        out.append(form[at:percent])
        at = percent + 1
        if percent >= len(form):
            break
        begin = at
        while at < len(form) and form[at] in _FLAGS:
            at += 1
        flags = form[begin:at]
        width, at, used = _amount(form, at, values, used)
        precision = -1
        if form[at : at + 1] == ".":
            precision, at, used = _amount(form, at + 1, values, used)
            precision = max(precision, 0)
        verb, at = form[at : at + 1], at + 1
        if width > WIDEST or precision > WIDEST:
            out.append("%!(BADWIDTH)")
            width, precision = -1, -1
        if not verb:
            out.append("%!(NOVERB)")
        elif verb == "%":
            out.append("%")
        elif used >= len(values):
            out.append(f"%!{verb}(MISSING)")
        else:
            out.append(_padded(_verb(verb, values[used], precision, flags), width, flags, values[used]))
            used += 1
    if used < len(values):
        out.append("%!(EXTRA " + ", ".join(f"{kind(value)}={text(value)}" for value in values[used:]) + ")")
    return "".join(out)


def _amount(form: str, at: int, values: tuple[Any, ...], used: int) -> tuple[int, int, int]:
    """A width or precision: digits, or * for the next value; (number or -1, where it ends, values used)."""
    if form[at : at + 1] == "*":
        number = values[used] if used < len(values) and type(values[used]) is int else -1
        return number, at + 1, used + 1
    end = at
    while end < len(form) and form[end] in "0123456789":
        end += 1
    return (int(form[at:end]) if end - at < 9 else WIDEST + 1) if end > at else -1, end, used


def _padded(shown: str, width: int, flags: str, value: Any) -> str:
    if "-" in flags:
        return shown.ljust(width) if width > 0 else shown
    if "0" in flags and isinstance(value, (int, float)) and not isinstance(value, bool):
        sign = shown[:1] if shown[:1] in ("-", "+") else ""
        return sign + shown[len(sign) :].rjust(width - len(sign), "0")
    return shown.rjust(width) if width > 0 else shown
