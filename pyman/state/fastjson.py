"""JSON by the interpreter's own C accelerators, without the json package (it imports re: 7 ms). Any process."""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Context:
    """The attributes the C scanner reads (those of json.JSONDecoder)."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    memo: dict[str, str] = {}

    @staticmethod
    def parse_constant(name: str) -> float:
        raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"duplicate key {next(name for name in names if names.count(name) > 1)!r}")
    return found


class _Unambiguous(_Context):
    object_pairs_hook = staticmethod(_unique)  # type: ignore[assignment]


_scan: Any = _json.make_scanner(_Context())  # type: ignore[arg-type]


def loads_strictly(text: str | bytes) -> Any:
    """As `loads`; ValueError also where an object has a key twice: what decides about trust has one meaning for every reader."""
    return loads(text, _json.make_scanner(_Unambiguous()))  # type: ignore[arg-type]


def loads(text: str | bytes, scan: Any = _scan) -> Any:
    """Parse one JSON value; ValueError (or its subclass JSONDecodeError) for anything else."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    length = len(text)
    start = length - len(text.lstrip(" \t\n\r"))
    try:
        value, end = scan(text, start)
    except StopIteration as stop:
        raise ValueError(f"no JSON value at character {stop.value}") from None
    except SystemError:  # the scanner forgets its exception where the text ends too early
        raise ValueError("the JSON text ends too early") from None
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    except ValueError as err:
        if "digits" not in str(err):
            raise
        raise ValueError("a number has too many digits") from None
    if text[end:].strip(" \t\n\r"):
        raise ValueError(f"extra data after JSON value at character {end}")
    return value


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not JSON-able")


def dumps(value: object, indent: int = 0, ascii_only: bool = True) -> str:
    """JSON text of `value`: compact and ASCII (unless told otherwise), or with `indent` blanks per level for people's eyes."""
    if indent:
        return _pretty(value, "\n", " " * indent)
    quote = _json.encode_basestring_ascii if ascii_only else _json.encode_basestring
    encode = _json.make_encoder({}, _refuse, quote, None, ":", ",", False, False, False)
    return "".join(encode(value, 0))


def _pretty(value: object, line: str, step: str) -> str:
    """Indented text; `line` is a newline and the blanks of the current level."""
    if isinstance(value, dict) and value:
        inner = line + step
        return (
            "{"
            + ",".join(f"{inner}{_json.encode_basestring(str(key))}: {_pretty(item, inner, step)}" for key, item in value.items())
            + line
            + "}"
        )
    if isinstance(value, (list, tuple)) and value:
        inner = line + step
        return "[" + ",".join(inner + _pretty(item, inner, step) for item in value) + line + "]"
    if isinstance(value, str):
        return str(_json.encode_basestring(value))
    return dumps(value)
