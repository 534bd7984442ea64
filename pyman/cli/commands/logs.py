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
    conf = containers_conf.load()
    prefixes = _prefixes(chosen, opts)
    if opts.get("follow") and len(chosen) > 1:
        import threading  # several logs at once only

        threads = [threading.Thread(target=_show, args=(c, opts, conf, p), daemon=True) for c, p in zip(chosen, prefixes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return 0
    for container, prefix in zip(chosen, prefixes):
        _show(container, opts, conf, prefix)
    return 0


def _prefixes(chosen: list[containers.Container], opts: Any) -> list[str]:
    """What stands before each container's lines: its name, or of several containers the id; in colours with --color."""
    result = []
    for index, container in enumerate(chosen):
        text = container.name if opts["names"] else container.id[:12] if len(chosen) > 1 else ""
        if text and opts["color"]:
            text = f"\x1b[{31 + index % 6}m{text}\x1b[0m"
        result.append(text + " " if text else "")
    return result


def _show(container: containers.Container, opts: Any, conf: dict[str, Any], prefix: str) -> None:
    """Each line to the stream it was written to; on a terminal without its control characters."""
    outputs = {"stdout": sys.stdout, "stderr": sys.stderr}
    at_start = {"stdout": True, "stderr": True}
    for entry in logs.select(container, opts, conf):
        out = outputs.get(entry.stream, sys.stdout)
        head = ""
        if at_start[entry.stream if entry.stream in at_start else "stdout"]:
            head = prefix + (entry.when.removesuffix("+00:00").removesuffix("Z") + "Z " if opts["timestamps"] else "")
        text = entry.text
        if out.isatty():
            text = escape(text.decode("utf-8", "replace").rstrip("\r")).encode()
        out.buffer.write(head.encode() + text + (b"\n" if entry.whole else b""))
        at_start[entry.stream if entry.stream in at_start else "stdout"] = entry.whole
        if opts["follow"]:
            out.buffer.flush()
    sys.stdout.buffer.flush()
    sys.stderr.buffer.flush()
