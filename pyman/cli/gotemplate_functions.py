"""The functions of Go's templates and those that Podman adds. CLI process, pure."""

from __future__ import annotations

from pyman.cli.gotemplate_print import ABSENT, WIDEST, is_structure, kind, text
from pyman.cli.gotemplate_printf import printf
from pyman.cli.gotemplate_time import Number
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _json(value: Any) -> str:
    rows = [_plain(item) for item in value] if type(value) is list else _plain(value)
    return fastjson.dumps(rows, ascii_only=False)


def _plain(value: Any) -> Any:
    make = getattr(value, "plain", None)
    return make() if make else value


def index(value: Any, *keys: Any) -> Any:
    """index X 1 "a": an element, or what a map gives for a key it does not have."""
    for key in keys:
        if isinstance(value, dict):
            texts = all(isinstance(item, str) for item in value.values())
            value = value.get(key, "" if texts else ABSENT)  # the zero value of what the map holds
        elif isinstance(value, (list, tuple, str)):
            if type(key) is not int:
                raise TypeError(f"cannot index a list with type {kind(key)}")
            if not 0 <= key < len(value):
                raise ValueError(f"index out of range: {key}")
            value = value[key] if not isinstance(value, str) else value.encode("utf-8", "surrogateescape")[key]
        else:
            raise TypeError(f"can't index item of type {kind(value)}")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, (list, tuple, str)) or len(bounds) > 3:
        raise TypeError(f"can't slice item of type {kind(value)}")
    numbers = [bound for bound in bounds if type(bound) is int and 0 <= bound <= len(value)]
    if len(numbers) != len(bounds) or numbers != sorted(numbers):
        raise ValueError("index out of range")
    return value[slice(*(numbers[:2] if len(numbers) > 1 else [*(numbers or [0]), None]))]


def _length(value: Any) -> int:
    if not isinstance(value, (list, tuple, dict, str)) or is_structure(value):
        raise TypeError(f"len of type {kind(value)}")
    return len(value.encode("utf-8", "surrogateescape")) if isinstance(value, str) else len(value)


def _comparable(left: Any, right: Any) -> None:
    kinds = {"int" if isinstance(value, Number) else kind(value) for value in (left, right)}
    if len(kinds) > 1 and "<nil>" not in kinds:
        raise TypeError(f"incompatible types for comparison: {kind(left)} and {kind(right)}")
    if isinstance(left, (dict, list, tuple)) and right is not None:
        raise TypeError("non-comparable type")


def _eq(left: Any, *right: Any) -> bool:
    if not right:
        raise TypeError("missing argument for comparison")
    for other in right:
        _comparable(left, other)
        if left == other:
            return True
    return False


def _less(left: Any, right: Any) -> bool:
    _comparable(left, right)
    if not isinstance(left, (int, float, str)) or isinstance(left, bool) or right is None:
        raise TypeError("invalid type for comparison")
    return bool(left < right)


def _join(values: Any, separator: Any) -> str:
    if not isinstance(values, (list, tuple)) or not isinstance(separator, str):
        raise TypeError("it wants a list and a string")
    return separator.join(text(item) for item in values)


def _print(*values: Any) -> str:
    out = ""
    for number, value in enumerate(values):
        blank = number and not isinstance(value, str) and not isinstance(values[number - 1], str)
        out += (" " if blank else "") + text(value)
    return out


def _pad(value: Any, before: Any, after: Any) -> str:
    if type(before) is not int or type(after) is not int or max(before, after) > WIDEST:
        raise TypeError(f"it wants two numbers up to {WIDEST}")
    return " " * before + text(value) + " " * after if value else text(value)


def _truncate(value: Any, length: Any) -> str:
    if type(length) is not int:
        raise TypeError("it wants a number")
    return text(value)[: max(length, 0)]


def _title(value: Any) -> str:
    words = text(value)
    return "".join(char.upper() if not number or words[number - 1].isspace() else char for number, char in enumerate(words))


_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;", "\0": "\ufffd"}
_JS = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "<": "\\u003C",
    ">": "\\u003E",
    "&": "\\u0026",
    "=": "\\u003D",
    "\n": "\\u000A",
    "\r": "\\u000D",
}
_URL = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~"


def _urlquery(*values: Any) -> str:
    data = _print(*values).encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if chr(byte) in _URL else "+" if byte == 32 else f"%{byte:02X}" for byte in data)


def _js(*values: Any) -> str:
    return "".join(_JS.get(char, char if char >= " " else f"\\u{ord(char):04X}") for char in _print(*values))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "eq": _eq,
    "ge": lambda left, right: not _less(left, right),
    "gt": lambda left, right: _less(right, left),
    "html": lambda *values: "".join(_HTML.get(char, char) for char in _print(*values)),
    "index": index,
    "join": _join,
    "js": _js,
    "json": _json,
    "le": lambda left, right: not _less(right, left),
    "len": _length,
    "lower": lambda value: text(value).lower(),
    "lt": _less,
    "ne": lambda left, right: not _eq(left, right),
    "not": lambda value: not value,
    "pad": _pad,
    "print": _print,
    "printf": printf,
    "println": lambda *values: " ".join(text(value) for value in values) + "\n",
    "slice": _slice,
    "split": lambda value, separator: text(value).split(separator) if separator else list(text(value)),
    "title": _title,
    "truncate": _truncate,
    "upper": lambda value: text(value).upper(),
    "urlquery": _urlquery,
}
