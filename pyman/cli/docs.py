"""Pages per command, generated from the option table, as Markdown or for man(1). For developers and shims/install.

python -m pyman.cli.docs DIRECTORY          python -m pyman.cli.docs --man DIRECTORY
"""

from __future__ import annotations

import os
import sys

from pyman.cli.table import Command, aliases, everything, rows
from pyman.cli.tables.root import GLOBAL
from pyman.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.cli.table import Row

ALIASES = aliases()
COMMANDS = everything()

_SHOWN = {"commas": "list,..."}  # kind of an option -> what its page says


def _same(path: tuple[str, ...], command: Command) -> list[str]:
    """The other ways to write a command."""
    other = [*ALIASES.items(), *((p, p) for p, c in COMMANDS.items() if c is command)]
    return sorted({" ".join(name) for name, target in other if name != path and COMMANDS.get(target) is command})


def _page(path: tuple[str, ...], command: Command) -> str:
    name = " ".join(path)
    lines = [
        f"# pyman {name}",
        "",
        command.summary + ".",
        "",
        "## Synopsis",
        "",
        f"    pyman {name} [options] {command.arguments}".rstrip(),
        "",
    ]
    same = _same(path, command)
    if same:
        lines += ["The same command: " + ", ".join(f"`pyman {other}`" for other in same) + ".", ""]
    supported = [row for row in command.rows if not row[5]]
    refused = [row for row in command.rows if row[5]]
    if supported:
        lines += ["## Options", ""]
        for name_, short, kind, default, text, _ in supported:
            value = "" if kind == "bool" else f"=*{_SHOWN.get(kind, kind)}*"
            shown = f" (default: `{str(default).lower() if isinstance(default, bool) else default}`)" if default else ""
            lines.append(f"- **--{name_}**{value}" + (f", **-{short}**" if short else "") + f": {text}{shown}")
        lines.append("")
    if refused:
        lines += ["## Options that are refused", "", "They are known, and using them is an error with this reason.", ""]
        lines += [f"- **--{row[0]}**: {row[5].rpartition(') ')[2]}" for row in refused]
        lines.append("")
    if command.examples:
        lines += ["## Examples", "", *(f"    {example}" for example in command.examples), ""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """File name -> text, for every visible command."""
    return {f"pyman-{'-'.join(path)}.md": _page(path, command) for path, command in _visible()}


def _visible() -> list[tuple[tuple[str, ...], Command]]:
    """Every command once, under its shortest name."""
    found: dict[int, tuple[tuple[str, ...], Command]] = {}
    for path, command in sorted(COMMANDS.items(), key=lambda item: (len(item[0]), item[0])):
        if not command.hidden:
            found.setdefault(id(command), (path, command))
    return list(found.values())


def _roff(text: str) -> str:
    """Text for man(7): nothing in it is a request, and hyphens stay hyphens."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + escaped if escaped[:1] in (".", "'") else escaped


def _option_sections(all_rows: list[Row]) -> list[str]:
    lines: list[str] = []
    for heading, shown_rows in (
        ("OPTIONS", [row for row in all_rows if not row[5]]),
        ("OPTIONS THAT ARE REFUSED", [row for row in all_rows if row[5]]),
    ):
        lines += [f".SH {heading}"] if shown_rows else []
        for option, short, kind, default, text, reason in shown_rows:
            value = "" if kind == "bool" else f"=\\fI{_SHOWN.get(kind, kind)}\\fR"
            shown = f" (default: {str(default).lower() if isinstance(default, bool) else default})" if default and not reason else ""
            letters = f", \\fB\\-{short}\\fR" if short else ""
            lines += [".TP", f"\\fB{_roff('--' + option)}\\fR{value}{letters}", _roff((reason.rpartition(") ")[2] or text) + shown)]
    return lines


def _man(path: tuple[str, ...], command: Command) -> str:
    name = " ".join(path)
    title = "pyman-" + "-".join(path)
    lines = [f'.TH "{title.upper()}" "1" "" "pyman {VERSION}"', ".SH NAME", f"{_roff(title)} \\- {_roff(command.summary)}"]
    lines += [".SH SYNOPSIS", f"\\fBpyman {_roff(name)}\\fR [options] {_roff(command.arguments)}".rstrip()]
    same = _same(path, command)
    if same:
        lines += [".SH DESCRIPTION", _roff("The same command: " + ", ".join(f"pyman {other}" for other in same) + ".")]
    lines += _option_sections(command.rows)
    if command.examples:
        lines += [".SH EXAMPLES", ".nf", *(_roff(example) for example in command.examples), ".fi"]
    return "\n".join([*lines, ".SH SEE ALSO", "\\fBpyman\\fR(1)", ""])


def _man_overview() -> str:
    lines = [f'.TH "PYMAN" "1" "" "pyman {VERSION}"', ".SH NAME", "pyman \\- containers without a daemon and without root"]
    lines += [".SH SYNOPSIS", "\\fBpyman\\fR [options] command"]
    lines += _option_sections(rows(GLOBAL))
    lines.append(".SH COMMANDS")
    for path, command in _visible():
        lines += [".TP", f"\\fB{_roff('pyman-' + '-'.join(path))}\\fR(1)", _roff(command.summary)]
    return "\n".join([*lines, ""])


def man_pages() -> dict[str, str]:
    """File name -> man(7) source, for pyman and every visible command; other spellings are links (.so)."""
    result = {"pyman.1": _man_overview()}
    for path, command in _visible():
        page = f"pyman-{'-'.join(path)}.1"
        result[page] = _man(path, command)
        for other in _same(path, command):
            result[f"pyman-{other.replace(' ', '-')}.1"] = f".so man1/{page}\n"
    return result


def main(arguments: list[str]) -> None:
    """[--man] DIRECTORY: write all pages into it."""
    made = man_pages() if arguments[0] == "--man" else pages()
    directory = arguments[-1]
    os.makedirs(directory, exist_ok=True)
    for name, text in made.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])
