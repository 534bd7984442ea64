"""Values as Go prints them. CLI process, pure."""

from __future__ import annotations

from pyman.cli.gotemplate_time import Moment, Number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

WIDEST = 1_000_000  # characters that a width or a padding may ask for, as in Go

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
    type: Go's name of it, * in front of what Podman points to.
    """

    __slots__ = ("also", "more", "ordered", "type")

    def __init__(self, value: dict[str, Any], more: dict[str, Any] | None = None, ordered: bool = False, type: str = "") -> None:
        super().__init__(value)
        self.more = more or {}
        self.ordered = ordered
        self.type = type
        self.also: dict[str, Any] = {}

    def get(self, name: str, default: Any = None) -> Any:
        """One field."""
        if name in self.more:
            return self.more[name]
        for key, inner in self.more.items() if self.ordered else ():
            if key[:1] == "(" and name in inner.names():
                return inner.get(name)
        return super().get(name, self.also.get(name, default))

    def names(self) -> list[str]:
        """The fields' names, for an error."""
        if not self.ordered:
            return [str(key)[:1].upper() + str(key)[1:] for key in self]
        return [name for key, value in self.more.items() for name in (value.names() if key[:1] == "(" else [key])]


class Absent(str):
    """What a map gives for a key it does not have: empty, but printed as Go does."""


ABSENT = Absent("")


class Inner(str):
    """What prints otherwise within a structure, where Go does not call the method that makes it a text."""

    def inside(self, names: bool) -> str:
        """It there; names: with those of the fields."""
        raise NotImplementedError


def text(value: Any, names: bool = False) -> str:
    """A value as Go prints it; names: with those of a structure's fields."""
    if value is True or value is False:
        return "true" if value else "false"
    if value is None:
        return "<nil>"
    if value is ABSENT:
        return "<no value>"
    if isinstance(value, (Moment, Number)):
        return value.go()
    if isinstance(value, float):
        return float_text(value)
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(text(item, names) for item in value) + "]"
    if isinstance(value, dict):
        return _record(whole(value), names)
    return str(value)


def whole(value: dict[str, Any]) -> Any:
    """A row of a listing as the structure that it is; anything else itself."""
    make = getattr(value, "whole", None)
    return make() if make else value


def is_structure(value: Any) -> bool:
    """Whether a record is one of Go's structures, which have fields but neither a length nor anything to go over."""
    return (isinstance(value, Struct) and value.ordered) or hasattr(value, "whole")


def _record(value: dict[str, Any], names: bool) -> str:
    """A structure or a map."""
    if isinstance(value, Struct) and value.ordered:
        return _fields(((key.strip("()"), item) for key, item in value.more.items()), names)
    if type(value) is dict and value and all(isinstance(key, str) and key[:1].isupper() for key in value):
        return _fields(((key, Map(item) if key in MAPS and isinstance(item, dict) else item) for key, item in value.items()), names)
    return "map[" + " ".join(f"{key}:{text(item, names)}" for key, item in sorted(value.items(), key=lambda pair: str(pair[0]))) + "]"


def _fields(items: Any, names: bool) -> str:
    shown = ((key, item.inside(names) if isinstance(item, Inner) else text(item, names)) for key, item in items)
    return "{" + " ".join(f"{key}:{item}" if names else item for key, item in shown) + "}"


def float_text(value: float) -> str:
    """A floating-point number by its shortest digits, with an exponent from a million on, as %v has it."""
    if value - value != 0:
        return "NaN" if value != value else "+Inf" if value > 0 else "-Inf"
    mantissa, _, exponent = repr(abs(value)).partition("e")
    before, _, after = mantissa.partition(".")
    digits = (before + after).lstrip("0")
    point = len(before) + int(exponent or 0) - (len(before + after) - len(digits))  # where it stands in the digits
    digits = digits.rstrip("0")
    sign = "-" if str(value)[:1] == "-" else ""
    if not digits:
        return sign + "0"
    if not -4 <= point - 1 < 6:
        return f"{sign}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{'+' if point > 0 else '-'}{abs(point - 1):02d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return sign + (digits.ljust(point, "0") if point >= len(digits) else f"{digits[:point]}.{digits[point:]}")


def kind(value: Any) -> str:
    """Go's word for the type of a value."""
    if isinstance(value, (Moment, Number)):
        return value.kind
    if isinstance(value, (list, tuple)):
        return "[]" + _common(value)
    if isinstance(value, dict):
        value = whole(value)
        return (value.type if isinstance(value, Struct) else "") or "map[string]" + _common(value.values())
    names = {bool: "bool", int: "int", float: "float64", str: "string", Absent: "string"}
    return "<nil>" if value is None else names.get(type(value), "string")


def _common(values: Any) -> str:
    """The type of all of them, as far as it can be seen: strings where there are none."""
    kinds = {kind(value) for value in values}
    return kinds.pop() if len(kinds) == 1 else "interface {}" if kinds else "string"
