"""`pyman artifact ls`: list artifacts. CLI process."""

from __future__ import annotations

from pyman.cli import output
from pyman.engine import artifacts as artifacts_engine
from pyman.storage import artifacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.storage.artifacts import Artifact

_COLUMNS = ("Repository", "Tag", "Digest", "Created", "Size")


def _parts(one: Artifact) -> tuple[str, str]:
    repository, colon, tag = one.name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (one.name, "")


def _created(one: Artifact) -> str:
    moment = artifacts_engine.created(one)
    return output.ago(moment) if moment else ""


def _size(size: int) -> str:
    return output.human_size(size).replace(" ", "")


def _functions(trunc: bool) -> dict[str, Callable[[Artifact], Any]]:
    return {
        "Repository": lambda one: _parts(one)[0],
        "Tag": lambda one: _parts(one)[1],
        "Digest": lambda one: one.digest[:12] if trunc else one.digest,
        "Created": _created,
        "Size": lambda one: _size(one.size()),
        "VirtualSize": lambda one: str(one.size()),
    }


def main(opts: Any, args: list[str]) -> int:
    """Print all artifacts."""
    found = artifacts.load()
    functions = _functions(not opts["no_trunc"])

    def plain(one: Artifact) -> dict[str, Any]:
        return {key: functions[key](one) for key in ("Digest", "Repository", "Size", "Tag", "VirtualSize")}

    if opts["format"] == "json":
        output.print_json([plain(one) for one in found])
    elif opts["format"] and opts["format"].strip() != "table":
        output.print_template(opts["format"], found, functions, plain, {}, not opts["noheading"])
    else:
        rows = [[str(functions[column](one)) for column in _COLUMNS] for one in found]
        output.print_table([column.upper() for column in _COLUMNS], rows, not opts["noheading"])
    return 0
