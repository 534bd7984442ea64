"""`pyman unmount`: unmount the files of containers inside `pyman unshare`. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.engine import mount
from pyman.rootless import userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Unmount each container; with --all those that are mounted here."""

    def action(container: Container) -> bool:
        if not userns.in_userns():
            return not opts["all"]  # out here nothing is mounted: what `unshare` mounts ends with it
        mount.unmount_container(container, force=opts["force"])
        return True

    return selection.each(opts, args, action)
