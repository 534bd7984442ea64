"""Words of Go's text/template: text and actions, and the tokens of an action, each with its position. CLI process, without imports."""

from __future__ import annotations

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SPACE = " \t\r\n"
_DIGITS = "0123456789"
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"'}


class TemplateError(UsageError):
    """A template is wrong; `printed` is what it has printed before the mistake."""

    printed = ""


def error(position: int, why: str) -> TemplateError:
    """The error for a mistake at `position` (from 0) of a template."""
    return TemplateError(f"invalid template at character {position + 1}", why, "fields are written {{.Name}}; --format json shows them all")


class Token:
    """kind: field (.Name), word, variable ($x), value, or the character itself; spaced: whether a blank stands before it."""

    __slots__ = ("kind", "position", "spaced", "value")

    def __init__(self, kind: str, value: Any, position: int, spaced: bool) -> None:
        self.kind = kind
        self.value = value
        self.position = position
        self.spaced = spaced


def split(source: str) -> list[tuple[str, str, int]]:
    """("text"|"action", content, position of the content) of a template; comments are left out, trim markers are applied."""
    parts: list[tuple[str, str, int]] = []
    at, trim = 0, False
    while at < len(source):
        start = source.find("{{", at)
        text = source[at : start if start >= 0 else len(source)]
        text = text.lstrip(SPACE) if trim else text
        if start < 0:
            parts.append(("text", text, at))
            break
        begin = start + 2
        if source.startswith("-", begin) and source[begin + 1 : begin + 2] in tuple(SPACE):
            text, begin = text.rstrip(SPACE), begin + 2
        end = _end(source, begin, start)
        body = source[begin:end]
        trim = body.endswith(tuple(char + "-" for char in SPACE))
        body = body[:-2] if trim else body
        parts.append(("text", text, at))
        if not body.strip(SPACE).startswith("/*"):
            parts.append(("action", body, begin))
        at = end + 2
    return parts


def _end(source: str, begin: int, start: int) -> int:
    """Where the }} of an action stands that begins at `start`."""
    comment = begin + len(source[begin:]) - len(source[begin:].lstrip(SPACE))
    if source.startswith("/*", comment):
        close = source.find("*/", comment)
        after = source[close + 2 :].lstrip(SPACE + "-") if close >= 0 else ""
        if not after.startswith("}}"):
            raise error(start, "the comment is not closed by */}}")
        return len(source) - len(after)
    at, quote = begin, ""
    while at < len(source):
        char = source[at]
        if quote:
            at += 1 if char == "\\" and quote != "`" else 0
            quote = "" if char == quote else quote
        elif char in "\"`'":
            quote = char
        elif source.startswith("}}", at):
            return at
        at += 1
    raise error(start, f"{quote or '{{'} is not closed" + ("" if quote else " by }}"))


def tokens(body: str, position: int) -> list[Token]:
    """The tokens of an action whose content begins at `position`."""
    found: list[Token] = []
    at, spaced = 0, False
    while at < len(body):
        char, begin = body[at], at
        if char in SPACE:
            at, spaced = at + 1, True
            continue
        value: Any = None
        if char in "()|,=":
            kind, at = char, at + 1
        elif body.startswith(":=", at):
            kind, at = ":=", at + 2
        elif char in "\"`'":
            kind, (value, at) = "value", _quoted(body, at, position)
        elif char in _DIGITS or (char in "+-." and body[at + 1 : at + 2] in tuple(_DIGITS)):
            kind, (value, at) = "value", _number(body, at, position)
        elif char in ".$":
            at = _name_end(body, at + 1)
            kind, value = ("field", body[begin + 1 : at]) if char == "." else ("variable", body[begin:at])
        else:
            at = _name_end(body, at)
            kind, value = "word", body[begin:at]
            if not value:
                raise error(position + begin, f"unexpected character {char!r}")
        found.append(Token(kind, value, position + begin, spaced))
        spaced = False
    return found


def _name_end(body: str, at: int) -> int:
    while at < len(body) and (body[at].isalnum() or body[at] == "_"):
        at += 1
    return at


def _number(body: str, at: int, position: int) -> tuple[int | float, int]:
    end = at + 1
    while end < len(body) and (
        body[end].isalnum() or body[end] in "._" or (body[end] in "+-" and body[end - 1] in "eE" and body[at : at + 2] != "0x")
    ):
        end += 1
    text = body[at:end]
    for convert in (lambda: int(text, 0), lambda: int(text, 10), lambda: float(text)):
        try:
            value = convert()
        except (ValueError, OverflowError):
            continue
        if isinstance(value, int) or value - value == 0:  # neither infinite nor nan
            return value, end
    raise error(position + at, f"{text[:40]!r} is no number")


def _quoted(body: str, at: int, position: int) -> tuple[str | int, int]:
    """A string, or the number of a character constant, and where it ends."""
    quote = body[at]
    if quote == "`":
        end = body.find("`", at + 1)
        if end < 0:
            raise error(position + at, "` is not closed")
        return body[at + 1 : end], end + 1
    text, start = "", at
    at += 1
    while at < len(body) and body[at] not in (quote, "\n"):
        if body[at] != "\\":
            text += body[at]
            at += 1
            continue
        char = body[at + 1 : at + 2]
        if char in _ESCAPES:
            text += _ESCAPES[char]
            at += 2
            continue
        length = {"x": 2, "u": 4, "U": 8}.get(char, 3)
        digits = body[at + 1 : at + 4] if length == 3 else body[at + 2 : at + 2 + length]
        try:
            if len(digits) < length or not digits.isalnum():
                raise ValueError
            number = int(digits, 8 if length == 3 else 16)
            if 0xD800 <= number < 0xE000:
                raise ValueError  # half of a pair is no character
            text += chr(number)
        except (ValueError, OverflowError):
            raise error(position + at, f"unknown escape \\{char}") from None
        at += 1 + (length if length == 3 else length + 1)
    if body[at : at + 1] != quote:
        raise error(position + start, f"{quote} is not closed" + (" on its line" if at < len(body) else ""))
    if quote == "'":
        if len(text) != 1:
            raise error(position + start, "a character constant has one character")
        return ord(text), at + 1
    return text, at + 1
