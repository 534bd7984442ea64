"""printf with Go's verbs. CLI process, pure."""

from __future__ import annotations

from pyman.cli.gotemplate_print import WIDEST, Struct, float_text, kind, text, whole
from pyman.cli.gotemplate_time import Moment, Number
from pyman.digits import is_whole
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FLAGS = "-+ #0"


def _wrong(value: Any, verb: str) -> str:
    return f"%!{verb}({kind(value)}={text(value)})" if value is not None else f"%!{verb}(<nil>)"


def _quote(value: str, ascii_only: bool = False) -> str:
    """%q: a string in Go's notation, close to JSON's."""
    return fastjson.dumps(value, ascii_only=ascii_only)


def _verb(verb: str, value: Any, precision: int, flags: str) -> str:
    """One value by one verb, without its width."""
    if isinstance(value, dict):
        value = whole(value)
    if verb == "v":
        if "#" in flags:
            return _syntax(value)
        pointer = isinstance(value, Struct) and value.type[:1] == "*"
        blank = " " in flags and isinstance(value, (int, float)) and not isinstance(value, (bool, Number)) and value >= 0
        return ("&" if pointer else " " if blank else "") + text(value, "+" in flags)
    if verb == "T":
        return kind(value)
    if isinstance(value, Moment) or (isinstance(value, Number) and verb in "sq"):
        value = value.go()
    if isinstance(value, (list, tuple)) and verb in "sdqxX":
        return "[" + " ".join(_verb(verb, item, precision, flags) for item in value) + "]"
    if isinstance(value, bool):
        return text(value) if verb == "t" else _wrong(value, verb)
    if isinstance(value, int):
        return _integer(verb, value, flags)
    if isinstance(value, float):
        return _float(verb, value, precision, flags)
    if isinstance(value, str) and verb in "sqxX":
        cut = value[:precision] if precision >= 0 else value
        if verb in "xX":
            return _bytes(verb, cut.encode("utf-8", "surrogateescape"), flags)
        if verb == "q" and "#" in flags and "`" not in cut and cut.isprintable():
            return f"`{cut}`"
        return _quote(cut, "+" in flags) if verb == "q" else cut
    if isinstance(value, dict) and verb == "s":
        return text(value)
    return _wrong(value, verb)


def _sign(value: float, flags: str) -> str:
    return "-" if value < 0 else "+" if "+" in flags else " " if " " in flags else ""


def _integer(verb: str, value: int, flags: str) -> str:
    if verb in "dxXob":
        prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "") if "#" in flags else ""
        return _sign(value, flags) + prefix + format(abs(value), verb)
    if verb == "O":
        return f"{_sign(value, flags)}0o{abs(value):o}"
    if verb in "cqU" and 0 <= value < 0x110000:
        return {"c": chr(value), "q": f"'{chr(value)}'", "U": f"U+{value:04X}"}[verb]
    return _wrong(value, verb)


def _float(verb: str, value: float, precision: int, flags: str) -> str:
    if verb in "xX" and value - value == 0:
        mantissa, _, exponent = value.hex().lstrip("-").partition("p")  # 0x1.8000000000000p+0
        shown = (
            f"{_sign(value, flags)}{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}p{exponent[0]}{int(exponent[1:]):02d}"
        )
        return shown.upper() if verb == "X" else shown
    if verb not in "feEgGF":
        return _wrong(value, verb)
    if precision < 0 and verb in "gG":
        shown = float_text(abs(value))
        return _sign(value, flags) + (shown.upper() if verb == "G" else shown)
    return _sign(value, flags) + format(abs(value), f".{min(precision, 1000) if precision >= 0 else 6}{verb}")


def _bytes(verb: str, data: bytes, flags: str) -> str:
    digits = [f"{byte:02x}" if verb == "x" else f"{byte:02X}" for byte in data]
    prefix = f"0{verb}" if "#" in flags and digits else ""
    return " ".join(prefix + pair for pair in digits) if " " in flags else prefix + "".join(digits)


def _syntax(value: Any) -> str:
    """%#v: a value as it would stand in a program."""
    if isinstance(value, (bool, Moment)) or value is None:
        return text(value)
    if isinstance(value, str):
        return _quote(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, (list, tuple)):
        return f"{kind(value)}{{{', '.join(_syntax(item) for item in value)}}}"
    if isinstance(value, Struct) and value.ordered:
        fields = ", ".join(f"{key.strip('()')}:{_syntax(item)}" for key, item in value.more.items())
        return f"{value.type.replace('*', '&') or 'struct'}{{{fields}}}"
    if isinstance(value, dict):
        return f"{kind(value)}{{{', '.join(f'{_quote(str(key))}:{_syntax(value[key])}' for key in sorted(value, key=str))}}}"
    return text(value)


def printf(form: str, *values: Any) -> str:
    """fmt.Sprintf: a wrong or missing value is shown in the text, as in Go."""
    if not isinstance(form, str):
        raise TypeError("the format is no string")
    out: list[str] = []
    at, used, chosen = 0, 0, False  # chosen: a verb has named its value, so that values may be left
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
        at, used, first = _chosen(form, at, used, len(values))
        width, at, used = _amount(form, at, values, used)
        precision, second = -1, ""
        if form[at : at + 1] == ".":
            at, used, second = _chosen(form, at + 1, used, len(values))
            precision, at, used = _amount(form, at, values, used)
            precision = max(precision, 0)
        at, used, third = _chosen(form, at, used, len(values))
        chosen = chosen or bool(first or second or third)
        verb, at = form[at : at + 1], at + 1
        if width > WIDEST or precision > WIDEST:
            out.append("%!(BADWIDTH)")
            width, precision = -1, -1
        if not verb:
            out.append("%!(NOVERB)")
        elif verb == "%":
            out.append("%")
        elif "bad" in (first, second, third):
            out.append(f"%!{verb}(BADINDEX)")
        elif used >= len(values):
            out.append(f"%!{verb}(MISSING)")
        else:
            out.append(_padded(_verb(verb, values[used], precision, flags), width, flags, values[used]))
            used += 1
    if used < len(values) and not chosen:
        out.append("%!(EXTRA " + ", ".join(f"{kind(value)}={text(value)}" for value in values[used:]) + ")")
    return "".join(out)


def _chosen(form: str, at: int, used: int, count: int) -> tuple[int, int, str]:
    """[2] before a verb, width or precision: (where it ends, which value is the next one from 0, "", "good" or "bad")."""
    if form[at : at + 1] != "[":
        return at, used, ""
    end = form.find("]", at)
    digits = form[at + 1 : end] if end > 0 else ""
    if is_whole(digits, 8) and 0 < int(digits) <= count:
        return end + 1, int(digits) - 1, "good"
    return (end + 1 if end > 0 else at + 1), used, "bad"


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
