"""`pyman manifest inspect`: show a list of the store, or what a registry has under a name. CLI process."""

from __future__ import annotations

from pyman.cli import access, output
from pyman.engine import manifests
from pyman.errors import ImageError, NoSuchImage, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """manifest inspect LIST"""
    if not args:
        raise UsageError("no list given", "inspect needs a name", "pyman manifest inspect LIST")
    try:
        value = manifests.document(manifests.find(args[0]))
    except (NoSuchImage, ImageError):
        value = manifests.remote(args[0], **access.of(opts))
    output.print_json(value)
    return 0
