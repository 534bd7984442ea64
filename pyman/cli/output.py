"""Tables, sizes, ages and --format for hot commands, without imports. CLI process."""

from __future__ import annotations

import sys
import time

from pyman.cli.dispatch import escape
from pyman.errors import UsageError
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_NARROWEST = 10  # the width that Podman gives each column at least


def print_table(headings: list[str], rows: list[list[str]], heading: bool = True, narrowest: int = _NARROWEST) -> None:
    """Left-aligned columns at least ten wide (`narrowest`) and two blanks apart; cells are escaped, so that no name can forge a row."""
    cells = [[escape(cell).replace("\n", " ").replace("\t", " ") for cell in row] for row in rows]
    shown = ([headings] if heading else []) + cells
    if not shown:
        return
    widths = [max(narrowest, *(len(row[column]) for row in shown)) for column in range(len(shown[0]))]
    text = "".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() + "\n" for row in shown)
    sys.stdout.write(text)


def human_size(size: float, digits: int = 3) -> str:
    """Bytes with `digits` significant digits in powers of 1000: 4.29 MB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            text = f"{size:.{digits}g}" if size < 1000 else f"{size:.0f}"
            return f"{text} {unit}"
        size /= 1000
    return ""


def duration(seconds: float) -> str:
    """`5 seconds`, `About a minute`, `3 hours`, as Podman and Docker say it."""
    whole = int(max(0, seconds))
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 46:
        return f"{minutes} minutes"
    hours = int(whole / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    days = hours // 24
    if days < 14:
        return f"{days} days"
    if days < 60:
        return f"{days // 7} weeks"
    if days < 730:
        return f"{days // 30} months"
    return f"{days // 365} years"


def ago(moment: float) -> str:
    """`5 minutes ago`."""
    return duration(time.time() - moment) + " ago"


def rfc3339(moment: float) -> str:
    """2026-01-31T12:00:00.25Z, as Go prints a time in JSON; the zero time for 0."""
    if not moment:
        return "0001-01-01T00:00:00Z"
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + _fraction(moment) + "Z"


def go_time(moment: float) -> str:
    """2026-01-31 12:00:00.25 +0000 UTC, as Go prints a time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment)) + _fraction(moment) + " +0000 UTC"


def _fraction(moment: float) -> str:
    """A point and the microseconds without the noughts at their end; nothing for a whole second."""
    return f".{int((moment % 1) * 1e6):06d}".rstrip("0").rstrip(".")


def print_json(value: Any) -> None:
    """Indented JSON, as Podman prints it."""
    text = fastjson.dumps(value, indent=4)
    if not text.isascii() or "\x7f" in text:
        # What a terminal could take for a command is written as JSON's own escape, which means the same.
        text = "".join(char if char.isprintable() or char == "\n" else _json_escape(char) for char in text)
    sys.stdout.write(text + "\n")


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def print_text(text: str) -> None:
    """A line: escaped on a terminal, as it is for scripts."""
    sys.stdout.write((escape(text) if sys.stdout.isatty() else text) + "\n")


def print_template(
    template: str,
    subjects: list[Any],
    functions: dict[str, Callable[[Any], Any]],
    plain: Callable[[Any], Any],
    headings: dict[str, str],
    heading: bool = True,
    shape: tuple[str, Callable[[Any], dict[str, Any]]] | None = None,
) -> None:
    """--format with a template, once per subject. UsageError with the position of a mistake.

    functions: field name -> what works it out from a subject; plain: what {{json .}} prints of one.
    shape: what {{.}} prints: a structure of go_reports.py, and its record.
    headings: headings of `table TEMPLATE` that are not the field's name in capitals.
    """
    from pyman.cli import gotemplate

    compiled, columns = gotemplate.compile_format(template)
    rows = [gotemplate.Row(subject, functions, plain, shape) for subject in subjects]
    if columns is None:
        print_each(compiled, rows, template)
        return
    results, printed, mistake = filled(compiled, rows)
    top = gotemplate.heading(columns, headings).split("\t")
    lines = [result.split("\t") for result in results]
    width = max(len(line) for line in [top, *lines])
    print_table(top + [""] * (width - len(top)), [line + [""] * (width - len(line)) for line in lines], heading)
    print_rest(printed, mistake)


def filled(compiled: Callable[[Any], str], values: list[Any]) -> tuple[list[str], str, UsageError | None]:
    """A template's result for each value until one is wrong: (results, what that one had printed before, the mistake)."""
    results: list[str] = []
    try:
        for value in values:
            results.append(compiled(value))
    except UsageError as err:
        return results, getattr(err, "printed", ""), err
    return results, "", None


def print_rest(printed: str, mistake: UsageError | None) -> None:
    """What a template had printed before a mistake, without the end of a line, as Go does; then the mistake is raised."""
    if mistake is not None:
        sys.stdout.write(escape(printed) if sys.stdout.isatty() else printed)
        sys.stdout.flush()
        raise mistake


def print_filled(compiled: Callable[[Any], str], value: Any) -> None:
    """A template's result for one value. UsageError, after what was printed before the mistake."""
    results, printed, mistake = filled(compiled, [value])
    print_rest(printed, mistake)
    sys.stdout.write(escape(results[0]) if sys.stdout.isatty() else results[0])


def print_each(compiled: Callable[[Any], str], values: list[Any], template: str) -> None:
    """A template's result for each value; for all at once where the template asks for that. UsageError, as `print_filled`."""
    from pyman.cli import gotemplate

    for value in [values] if gotemplate.takes_all(template) else values:
        print_filled(compiled, value)


def bad_value(option: str, value: str, allowed: str) -> UsageError:
    """The error for a value that is none of `allowed`."""
    return UsageError(f"invalid value {value!r} for {option}", f"it must be one of {allowed}")
