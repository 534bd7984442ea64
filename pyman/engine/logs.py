"""Show a container's log: escaped on a terminal, raw into files and pipes. CLI process."""

from __future__ import annotations

import os

from pyman.engine import logopts
from pyman.engine.container import RUNNING, Container
from pyman.errors import StateError, UsageError
from pyman.monitor import logs as reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def log_path(container: Container, conf: dict[str, Any]) -> tuple[str, str]:
    """(driver, path) of the container's log. StateError if its driver keeps none."""
    driver, path, _, _ = logopts.settings(container.config["options"], conf, os.path.join(container.dir, "ctr.log"))
    if driver in ("none", "passthrough"):
        raise StateError(
            f"cannot read the log of container {container.name}",
            f"its log driver {driver} keeps no log",
            "create it with --log-driver k8s-file",
        )
    return driver, path


def running(container: Container) -> bool:
    """Whether more output may still come; asked again and again by `logs --follow`."""
    from pyman.engine import restart_policy

    container._state = None
    container.sync()
    return container.state["status"] in RUNNING or restart_policy.waiting(container.state)


def select(container: Container, opts: dict[str, Any], conf: dict[str, Any]) -> Iterator[reader.Entry]:
    """The entries that --since, --until, --tail and --follow ask for. StateError, UsageError."""
    driver, path = log_path(container, conf)
    since = reader.stamp(reader.parse_time(opts["since"], "--since")) if opts.get("since") else ""
    until = reader.stamp(reader.parse_time(opts["until"], "--until")) if opts.get("until") else ""
    follow = (lambda: running(container)) if opts.get("follow") else None
    found = reader.entries(path, driver == "json-file", follow)
    tail = str(opts.get("tail") or "all")
    if tail not in ("all", "-1"):
        if not tail.isdigit():
            raise UsageError(f"invalid value {tail!r} for --tail", "it is a number of lines, or all")
        skip = max(0, sum(1 for entry in reader.entries(path, driver == "json-file") if entry.whole) - int(tail))
        found = _after(found, skip)
    for entry in found:
        if until and entry.when > until:
            return
        if not since or entry.when >= since:
            yield entry


def _after(found: Iterator[reader.Entry], lines: int) -> Iterator[reader.Entry]:
    for entry in found:
        if lines <= 0:
            yield entry
        elif entry.whole:
            lines -= 1
