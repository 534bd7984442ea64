"""Whole numbers and truth values in texts of others. Pure."""

from __future__ import annotations

# As Go reads them, and no others.
TRUE, FALSE = ("true", "1", "t", "T", "True", "TRUE"), ("false", "0", "f", "F", "False", "FALSE")


def is_whole(text: str, most: int = 18) -> bool:
    """Whether `text` is a whole number without a sign, of at most `most` digits, which int() then takes.

    str.isdigit alone also says so of superscripts and of the digits of other scripts: int() fails with the first, and reads the second
    where a file or an option has its numbers in ASCII. The limit is one of sense; int() itself has one too, and fails beyond it.
    """
    return text.isascii() and text.isdigit() and len(text) <= most
