"""The small parser: argv against the option table, without any import. CLI process.

What it does not accept is a UsageError; dispatch then lets the Typer application say more (nearest option, help).
"""

from __future__ import annotations

from pyman.cli import table
from pyman.cli.table import GROUPS, Command
from pyman.digits import FALSE, TRUE, is_whole
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.cli.table import Row

# Other names of options, which Podman takes for Docker's or its own past's sake.
_OLD = {
    "dns-opt": "dns-option",
    "healthcheck-command": "health-cmd",
    "healthcheck-interval": "health-interval",
    "healthcheck-retries": "health-retries",
    "healthcheck-start-period": "health-start-period",
    "healthcheck-timeout": "health-timeout",
    "notruncate": "no-trunc",
    "override-arch": "arch",
    "override-os": "os",
    "override-variant": "variant",
    "storage": "external",
    "timeout": "time",
}
_NONE = 1 << 63  # the first whole number that is not taken


class Options(dict):  # type: ignore[type-arg]
    """Every option of the command under its long name with _ for -; `given`: those the user wrote."""

    __slots__ = ("given",)

    def __init__(self, rows: list[Row]) -> None:
        super().__init__({row[0].replace("-", "_"): [] if row[2] in ("list", "commas") else row[3] for row in rows})
        self.given: set[str] = set()


class Parsed:
    """A command line: path of the command, its options, positionals, and the global options."""

    __slots__ = ("args", "command", "globals", "help", "options", "path")

    def __init__(self, path: tuple[str, ...], command: Command | None, options: Options, args: list[str], global_options: Options) -> None:
        self.path = path
        self.command = command
        self.options = options
        self.args = args
        self.globals = global_options
        self.help = False


def named(name: str, longs: dict[str, Row]) -> Row | None:
    """The option that is called so now or was once; None without one."""
    return longs.get(name) or longs.get(_OLD.get(name, ""))


def _value(row: Row, text: str, spelled: str) -> Any:
    kind = row[2]
    if kind == "bool":
        if text in TRUE or text in FALSE:
            return text in TRUE
        raise UsageError(f"invalid value {text!r} for option {spelled}", "it must be true or false")
    if kind == "uint" and not is_whole(text, 18):
        raise UsageError(f"invalid value {text!r} for option {spelled}", "it must be a whole number, not below 0")
    if kind in ("int", "uint"):
        try:
            number = int(text) if text.isascii() else _NONE
        except ValueError:
            number = _NONE
        if not -1 << 63 <= number < _NONE:
            raise UsageError(f"invalid value {text!r} for option {spelled}", "it must be a whole number of 64 bits at most")
        return number
    if kind == "float":
        try:
            real = float(text) if text.isascii() else float("nan")
        except ValueError:
            raise UsageError(f"invalid value {text!r} for option {spelled}", "it must be a number") from None
        if real != real:
            raise UsageError(f"invalid value {text!r} for option {spelled}", "it must be a number")
        return real
    return text


def _separated(text: str, spelled: str) -> list[str]:
    """The values of a list with commas; one in double quotes may have commas. None of an empty text. UsageError."""
    if '"' not in text:
        return text.split(",") if text else []
    import csv  # with quotes only

    try:
        return [value for line in csv.reader([text], strict=True) for value in line]
    except csv.Error as err:
        raise UsageError(f"invalid value {text!r} for option {spelled}", f"its quotes: {err}") from None


def _store(options: Options, row: Row, text: str, spelled: str) -> None:
    if row[5]:
        harmless, _, reason = row[5][1:].partition(") ") if row[5].startswith("(") else ("", "", row[5])
        if text not in harmless.split("|"):
            raise UsageError(f"cannot use option {spelled}", reason, f"accepted is {harmless.replace('|', ', ')}" if harmless else "")
    key = row[0].replace("-", "_")
    value = _value(row, text, spelled)
    if row[2] == "list":
        options.setdefault(key, []).append(value)
    elif row[2] == "commas":
        options.setdefault(key, []).extend(_separated(text, spelled))
    else:
        options[key] = value
    options.given.add(key)


def parse_options(
    argv: list[str], rows: list[Row], stop: bool, command: str, root: Options | None = None
) -> tuple[Options, list[str], bool]:
    """(options, positionals, --help seen). `stop`: the first positional ends the options. `root`: takes pyman's own options. UsageError."""
    options = Options(rows)
    longs = {row[0]: row for row in rows}
    shorts = {row[1]: row for row in rows if row[1]}
    args: list[str] = []
    at = 0
    while at < len(argv):
        word = argv[at]
        at += 1
        if word == "--":
            args += argv[at:]
            break
        if word == "--help" or (word == "-h" and "h" not in shorts):
            return options, args, True
        if word.startswith("--"):
            name, equals, text = word[2:].partition("=")
            row, target = named(name, longs), options
            if row is None and root is not None:
                row, target = next((row for row in root_rows() if row[0] == name != "version"), None), root
            if row is None:
                raise UsageError(f"unknown option --{name}", f"{command} does not have it", f"{command} --help")
            if not equals and row[2] == "bool":
                text = "true"
            elif not equals:
                if at >= len(argv):
                    raise UsageError(f"option --{name} needs a value", "none was given", f"{command} --help")
                text, at = argv[at], at + 1
            _store(target, row, text, f"--{name}")
        elif word.startswith("-") and len(word) > 1:
            at = _shorts(word, argv, at, shorts, options, command)
        else:
            args.append(word)
            if stop:
                args += argv[at:]
                break
    return options, args, False


def _shorts(word: str, argv: list[str], at: int, shorts: dict[str, Row], options: Options, command: str) -> int:
    """-it, -p8080:80, -p 8080:80, -p=8080:80; returns the next position."""
    index = 1
    while index < len(word):
        letter = word[index]
        index += 1
        row = shorts.get(letter)
        if row is None:
            raise UsageError(f"unknown option -{letter}", f"{command} does not have it", f"{command} --help")
        rest = word[index:]
        if row[2] == "bool" and not rest.startswith("="):
            _store(options, row, "true", f"-{letter}")
            continue
        if rest:
            text = rest.removeprefix("=")
        elif at < len(argv):
            text, at = argv[at], at + 1
        else:
            raise UsageError(f"option -{letter} needs a value", "none was given", f"{command} --help")
        _store(options, row, text, f"-{letter}")
        return at
    return at


def root_rows() -> list[Row]:
    """pyman's own options; most command lines have none, so they are read only where one does."""
    from pyman.cli.tables import root

    return table.rows(root.GLOBAL)


def parse(argv: list[str]) -> Parsed:
    """Global options (before the command or after it), command, its options, positionals. UsageError."""
    empty = Options([])
    global_options, rest, helped = Options([]), argv, False
    if argv and argv[0].startswith("-"):
        global_options, rest, helped = parse_options(argv, root_rows(), True, "pyman")
    if helped or not rest:
        parsed = Parsed((), None, empty, [], global_options)
        parsed.help = helped
        return parsed
    path: tuple[str, ...] = (rest[0],)
    rest = rest[1:]
    if path[0] in GROUPS:
        if not rest or rest[0] in ("--help", "-h"):
            parsed = Parsed(path, None, empty, [], global_options)
            parsed.help = bool(rest)
            return parsed
        path, rest = (path[0], rest[0]), rest[1:]
    path, command = table.find(path)
    if command is None and global_options.get("version"):
        return Parsed((), None, empty, [], global_options)  # podman-compose asks for the version with an empty word behind it
    if command is None:
        raise UsageError(f"unknown command {' '.join(path)!r}", "pyman does not have it", "pyman --help lists the commands")
    name = " ".join(path)
    options, args, helped = parse_options(rest, command.rows, command.stop, f"pyman {name}", global_options)
    if options.get("net"):
        options["network"] = [*options["network"], *options["net"]]
        options.given.add("network")
    if command.most >= 0 and len(args) > command.most and not helped:
        raise UsageError(f"too many arguments for {name}", f"{len(args)} given, at most {command.most} allowed", f"pyman {name} --help")
    parsed = Parsed(path, command, options, args, global_options)
    parsed.help = helped
    return parsed
