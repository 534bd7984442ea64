"""`pyman unmount`: unmount the files of containers inside `pyman unshare`. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.engine import mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Unmount each container; with --all those that are mounted here."""
    mount.require_inside("unmount")

    def action(container: Container) -> None:
        mount.unmount_container(container, force=opts["force"])

    return selection.each(opts, args, action)
