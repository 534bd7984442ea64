"""`pyman artifact inspect`: show an artifact's manifest. CLI process."""

from __future__ import annotations

from pyman.cli import output
from pyman.errors import UsageError
from pyman.storage import artifacts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def plain(one: artifacts.Artifact) -> dict[str, Any]:
    """The artifact as it is shown."""
    return {"Manifest": one.value, "Name": one.name, "Digest": f"sha256:{one.digest}"}


def main(opts: Any, args: list[str]) -> int:
    """artifact inspect NAME"""
    if not args:
        raise UsageError("no artifact given", "inspect needs a name or digest", "pyman artifact inspect NAME")
    found = artifacts.find(artifacts.load(), args[0])
    if opts["format"] in ("", "json", None):
        output.print_json(plain(found))
        return 0
    functions: dict[str, Callable[[artifacts.Artifact], Any]] = {
        "Manifest": lambda one: one.value,
        "Name": lambda one: one.name,
        "Digest": lambda one: f"sha256:{one.digest}",
    }
    output.print_template(opts["format"], [found], functions, plain, {})
    return 0
