"""Words of a unit file's value: split as systemd does (quotes, escapes), and quoted again for a command line. Any process."""

from __future__ import annotations

SPACES = " \t\n\r"
_SIMPLE = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34, "'": 39, "s": 32}
_WRITTEN = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\", '"': '\\"'}


def split(text: str, escapes: bool = True) -> list[str]:
    """The words of `text`, without their quotes. ValueError says what is wrong.

    escapes: \\n, \\x20 and so on are replaced (as in ExecStart=); else a backslash is a letter like others (as in WantedBy=).
    A quote that is not closed ends with the text.
    """
    found: list[str] = []
    word = bytearray()
    started = False
    quote = ""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\" and escapes:
            piece, at = _escape(text, at)
            word += piece
            started = True
        elif quote:
            if char == quote:
                quote = ""
            else:
                word += char.encode("utf-8", "surrogateescape")
        elif char in "\"'":
            quote, started = char, True
        elif char in SPACES:
            if started:
                found.append(_text(word))
                word, started = bytearray(), False
        else:
            word += char.encode("utf-8", "surrogateescape")
            started = True
    if started:
        found.append(_text(word))
    return found


def _text(word: bytearray) -> str:
    try:
        return word.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("an escape makes a letter that is not UTF-8") from None


def _escape(text: str, at: int) -> tuple[bytes, int]:
    """What the escape after a backslash at `at` stands for, and where it ends. ValueError."""
    kind = text[at : at + 1]
    if kind in _SIMPLE:
        return bytes((_SIMPLE[kind],)), at + 1
    if not kind:
        return b"", at  # a backslash at the very end means nothing
    length, base, start = {"x": (2, 16, at + 1), "u": (4, 16, at + 1), "U": (8, 16, at + 1)}.get(kind, (3, 8, at))
    digits = text[start : start + length]
    allowed = "0123456789abcdefABCDEF" if base == 16 else "01234567"
    if len(digits) < length or any(digit not in allowed for digit in digits):
        raise ValueError(f"unknown escape \\{kind}")
    number = int(digits, base)
    if number == 0:
        raise ValueError("an escape makes a NUL byte")
    if kind in "uU":
        if number > 0x10FFFF or 0xD800 <= number < 0xE000:
            raise ValueError(f"\\{kind}{digits} is no letter")
        return chr(number).encode(), start + length
    if number > 255:
        raise ValueError(f"\\{digits} is larger than a byte")
    return bytes((number,)), start + length


def quote(word: str) -> str:
    """`word` so that systemd reads exactly this one word in a command line; % and $ keep their meaning."""
    if word and word != ";" and not any(char in "\"'\\" or char.isspace() or not char.isprintable() for char in word):
        return word
    return '"' + "".join(_WRITTEN.get(char) or (char if char == " " or char.isprintable() else _hexadecimal(char)) for char in word) + '"'


def _hexadecimal(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def join(words: list[str]) -> str:
    """A command line of `words`."""
    return " ".join(quote(word) for word in words)


def plain(text: str) -> str:
    """`text` in which neither systemd's specifiers (%) nor its variables ($) are replaced."""
    return text.replace("%", "%%").replace("$", "$$")


def one(text: str) -> str:
    """`text` that stays one word: $NAME alone would become as many words as the variable has, ${NAME} does not."""
    if text.startswith("$") and text[1:].isidentifier() and text.isascii():
        return "${" + text[1:] + "}"
    return text
