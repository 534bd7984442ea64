"""Pages per command, generated from the option table: `python -m pyman.cli.docs DIRECTORY`. A developer's tool."""

from __future__ import annotations

import os
import sys

from pyman.cli.table import ALIASES, COMMANDS, Command


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
    same = [
        " ".join(other)
        for other, target in [*ALIASES.items(), *((p, p) for p, c in COMMANDS.items() if c is command and p != path)]
        if target == path or other != target or COMMANDS[other] is command
    ]
    same = sorted(
        {other for other in same if other != name and COMMANDS.get(ALIASES.get(tuple(other.split()), tuple(other.split()))) is command}
    )
    if same:
        lines += ["The same command: " + ", ".join(f"`pyman {other}`" for other in same) + ".", ""]
    supported = [row for row in command.rows if not row[5]]
    refused = [row for row in command.rows if row[5]]
    if supported:
        lines += ["## Options", ""]
        for name_, short, kind, default, text, _ in supported:
            value = "" if kind == "bool" else f"=*{kind}*"
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
    result: dict[str, str] = {}
    seen: set[int] = set()
    for path, command in sorted(COMMANDS.items(), key=lambda item: (len(item[0]), item[0])):
        if command.hidden or id(command) in seen:
            continue
        seen.add(id(command))
        result[f"pyman-{'-'.join(path)}.md"] = _page(path, command)
    return result


def main(directory: str) -> None:
    """Write all pages into `directory`."""
    os.makedirs(directory, exist_ok=True)
    for name, text in pages().items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main(sys.argv[1])
