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


_scan: Any = _json.make_scanner(_Context())  # type: ignore[arg-type]


def loads(text: str | bytes) -> Any:
    """Parse one JSON value; ValueError (or its subclass JSONDecodeError) for anything else."""
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    length = len(text)
    start = length - len(text.lstrip(" \t\n\r"))
    try:
        value, end = _scan(text, start)
    except StopIteration as stop:
        raise ValueError(f"no JSON value at character {stop.value}") from None
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
    if text[end:].strip(" \t\n\r"):
        raise ValueError(f"extra data after JSON value at character {end}")
    return value


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not JSON-able")


def dumps(value: object, indent: int = 0) -> str:
    """Compact JSON text of `value`; with `indent` (the slow path) by the json package."""
    if indent:
        import json  # only for people's eyes

        return json.dumps(value, indent=indent, ensure_ascii=False)
    encode = _json.make_encoder({}, _refuse, _json.encode_basestring_ascii, None, ":", ",", False, False, False)
    return "".join(encode(value, 0))
