"""Fields between commas, as --mount and Mount= have them: double quotes keep a comma inside. Any process, pure."""

from __future__ import annotations


def split(text: str) -> list[str]:
    """The fields; one in double quotes may hold commas, and two quotes for one. ValueError where a quote is not closed."""
    found, field, at, quoted = [], "", 0, False
    while at < len(text):
        char = text[at]
        if quoted and char == '"' and text[at + 1 : at + 2] == '"':
            field += char
            at += 1
        elif char == '"' and (quoted or not field):
            quoted = not quoted
        elif char == "," and not quoted:
            found.append(field)
            field = ""
        else:
            field += char
        at += 1
    if quoted:
        raise ValueError("a double quote is not closed")
    return [*found, field]


def join(fields: list[str]) -> str:
    """The text that `split` takes apart so."""
    return ",".join('"' + field.replace('"', '""') + '"' if "," in field or '"' in field else field for field in fields)
