"""The slow path of the command line: help, and what was probably meant. CLI process."""

from __future__ import annotations

from pyman.cli.table import GROUPS, find
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _typer_app() -> Any:
    try:
        from pyman.cli import typer_app
    except ImportError:
        import site  # the launcher starts without site-packages

        site.main()
        from pyman.cli import typer_app
    return typer_app


def show(parsed: Any) -> int:
    """Help for the command line's command; without any command the list, and the exit code of a usage error."""
    show_path(find(parsed.path)[0] if parsed.path else ())
    return 0 if parsed.help else 125


def show_path(path: tuple[str, ...]) -> int:
    """Help for the command or the group of that name; the list of all for an empty one. Returns 0."""
    _typer_app().show_help(path)
    return 0


def nearest(path: tuple[str, ...]) -> str:
    """The command most like the one that `path` names, or an empty text."""
    return str(_typer_app().nearest((), " ".join(path)))


def explain(argv: list[str]) -> None:
    """Raise the usage error again with the nearest option or command, where there is one."""
    from pyman.cli import parse

    try:
        parse.parse(argv)
    except UsageError as err:
        if not err.what.startswith(("unknown option", "unknown command")):
            raise
        if err.what.startswith("unknown command"):
            from pyman.cli import absent

            why, instead = absent.reason(err.what.removeprefix("unknown command ").strip("'"))
            if why:
                raise UsageError(f"cannot run {err.what.removeprefix('unknown command ')}", why, instead) from None
        word = err.what.removeprefix("unknown command ").strip("'") if err.what.startswith("unknown command") else err.what.split()[-1]
        words = [part for part in argv if not part.startswith("-")]
        path = tuple(words[:2]) if words[:1] and words[0] in GROUPS else tuple(words[:1])
        near = _typer_app().nearest(path if path and find(path)[1] else (), word)
        hint = f"did you mean {near}?" if near else err.hint
        if path[-1:] == ("kill",) and not word.startswith("--"):
            hint = "the signal is an option: pyman kill --signal HUP web"
        raise UsageError(err.what, err.why, hint) from None
