"""The Typer application made from the option table: help and the texts of errors. Slow path; the door of typer."""

from __future__ import annotations

import inspect

import typer

from pyman.cli.table import GROUPS, Command, all_names, everything, rows
from pyman.cli.tables.root import GLOBAL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.cli.table import Row

_TYPES: dict[str, Any] = {"bool": bool, "str": str, "int": int, "uint": int, "float": float, "list": list[str], "commas": list[str]}


def _parameter(row: Row) -> inspect.Parameter:
    name, short, kind, default, text, refused = row
    declarations = [f"--{name}", *([f"-{short}"] if short else [])]
    help_text = f"{text} [not supported: {refused}]" if refused else text
    value: Any = default if kind in ("bool", "list", "commas") or default not in ("", None) else None
    annotation = _TYPES[kind] if kind in ("bool", "list", "commas") or value is not None else _TYPES[kind] | None
    option = typer.Option(value, *declarations, help=help_text, show_default=bool(default))
    return inspect.Parameter("o_" + name.replace("-", "_"), inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation)


def _root() -> Callable[..., Any]:
    """A function whose signature is pyman's own options; the small parser has read them, here they are shown (but not what is refused)."""

    def call(**_values: Any) -> None:
        pass

    parameters = [_parameter(row) for row in rows(GLOBAL) if row[0] != "help" and not row[5]]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__doc__ = "Containers without a daemon and without root."
    return call


def _function(path: tuple[str, ...], command: Command, act: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose signature is the command's options, for Typer to read."""

    def call(**values: Any) -> None:
        act(path, values)

    parameters = [_parameter(row) for row in command.rows]
    if command.arguments:
        argument = typer.Argument(None, metavar=command.arguments)
        parameters.append(inspect.Parameter("args", inspect.Parameter.KEYWORD_ONLY, default=argument, annotation=list[str] | None))
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    # Typer reads the types from here; they are real types, not the strings of a postponed evaluation.
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    examples = "\n\n".join(f"    {line}" for line in command.examples)
    call.__doc__ = command.summary + (f"\n\nExamples:\n\n{examples}" if examples else "")
    call.__name__ = "_".join(path)
    return call


def build(act: Callable[..., Any]) -> typer.Typer:
    """The application; `act(path, values)` is called for an accepted command line."""
    app = typer.Typer(
        name="pyman",
        help="Containers without a daemon and without root.",
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    app.callback()(_root())
    groups = {name: typer.Typer(help=text, no_args_is_help=True, rich_markup_mode=None) for name, (_, text) in GROUPS.items()}
    for name, group in groups.items():
        app.add_typer(group, name=name)
    for path, command in everything().items():
        target = groups[path[0]] if len(path) == 2 else app
        settings = {"allow_interspersed_args": not command.stop, "help_option_names": ["--help"]}
        target.command(path[-1], hidden=command.hidden, context_settings=settings)(_function(path, command, act))
    return app


def show_help(path: tuple[str, ...]) -> int:
    """Print the help of a command (or of pyman itself)."""
    app = build(lambda *_: None)
    command = typer.main.get_command(app)
    return int(command.main([*path, "--help"], prog_name="pyman", standalone_mode=False) or 0)


def nearest(path: tuple[str, ...], word: str) -> str:
    """The option or command most like `word`, or an empty text."""
    from pyman.config.nearest import nearest as closest

    commands = everything()
    if word.startswith("-"):
        table = commands[path].rows if path in commands else rows(GLOBAL)
        known = [f"--{row[0]}" for row in table if not row[5]]
        return closest(word, known)
    group, _, last = word.rpartition(" ")
    if group:
        found = closest(last, sorted(name[1] for name in all_names() if name[0] == group and len(name) > 1))
        return f"{group} {found}" if found else ""
    return closest(word, [" ".join(name) for name, command in commands.items() if not command.hidden] + list(GROUPS))
