"""Show a container's log: escaped on a terminal, raw into files and pipes. CLI process."""

from __future__ import annotations

import os

from pyman.engine import logopts
from pyman.engine.container import RUNNING, Container
from pyman.errors import StateError
from pyman.monitor import logs as reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def log_path(container: Container, conf: dict[str, Any]) -> tuple[str, str]:
    """(driver, path) of the container's log. StateError if its driver keeps none."""
    driver, path, _, _ = logopts.settings(container.config["options"], conf, os.path.join(container.dir, "ctr.log"))
    if driver in ("none", "passthrough"):
        raise StateError(f"cannot read the log of container {container.name}", f"its log driver {driver} keeps no log", "create it with --log-driver k8s-file")
    return driver, path


def running(container: Container) -> bool:
    """Whether more output may still come; asked again and again by `logs --follow`."""
    container._state = None
    container.sync()
    return bool(container.state["status"] in RUNNING)
