"""`pyman logs`: show what containers wrote. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.dispatch import escape
from pyman.config import containers as containers_conf
from pyman.engine import container as containers
from pyman.engine import logs
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print the log of each container, following it with --follow."""
    if opts.get("latest"):
        chosen = [containers.latest()]
    else:
        chosen = [containers.lookup(name) for name in args]
    if not chosen:
        raise UsageError("no container given", "logs needs at least one name or id")
    if opts.get("follow") and len(chosen) > 1:
        raise UsageError("cannot follow several containers", "give one name or id with --follow")
    conf = containers_conf.load()
    for container in chosen:
        _show(container, opts, conf)
    return 0


def _show(container: containers.Container, opts: Any, conf: dict[str, Any]) -> None:
    """Each line to the stream it was written to; on a terminal without its control characters."""
    outputs = {"stdout": sys.stdout, "stderr": sys.stderr}
    prefix = container.name + " " if opts["names"] else ""
    at_start = {"stdout": True, "stderr": True}
    for entry in logs.select(container, opts, conf):
        out = outputs.get(entry.stream, sys.stdout)
        head = ""
        if at_start[entry.stream if entry.stream in at_start else "stdout"]:
            head = prefix + (entry.when + " " if opts["timestamps"] else "")
        text = entry.text
        if out.isatty():
            text = escape(text.decode("utf-8", "replace").rstrip("\r")).encode()
        out.buffer.write(head.encode() + text + (b"\n" if entry.whole else b""))
        at_start[entry.stream if entry.stream in at_start else "stdout"] = entry.whole
        if opts["follow"]:
            out.buffer.flush()
    sys.stdout.buffer.flush()
    sys.stderr.buffer.flush()
