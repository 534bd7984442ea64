"""`pyman logs`: show what containers wrote. CLI process."""

from __future__ import annotations

import os
import sys
import time

from pyman.cli import log_lines
from pyman.cli.dispatch import print_warning
from pyman.config import containers as containers_conf
from pyman.engine import container as containers
from pyman.engine import logs
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    View = tuple[str, logs.Source, log_lines.Printer]

_PAUSE = 0.005  # seconds


def main(opts: Any, args: list[str]) -> int:
    """Print the log of each container, one after the other, or with --follow as the lines come."""
    if opts.get("latest") and args:
        raise UsageError("cannot use --latest together with containers", "--latest means the newest container")
    chosen = [containers.lookup(name) for name in args]
    if opts.get("latest"):
        from pyman.engine.container_list import latest  # with this option only

        chosen = [latest()]
    if not chosen:
        raise UsageError("no container given", "logs needs at least one name or id")
    conf = containers_conf.load()
    escaped = set() if opts["raw"] else {fd for fd in (1, 2) if os.isatty(fd)}
    views: list[View] = []
    for index, container in enumerate(chosen):
        source = logs.Source(container, opts, conf)
        prefix = (container.name if opts["names"] else container.id[:12]) + " " if len(chosen) > 1 else ""
        color = log_lines.COLORS[index % len(log_lines.COLORS)] if opts["color"] else b""
        views.append((container.name, source, log_lines.Printer(prefix.encode(), color, bool(opts["timestamps"]), escaped, source.json)))
    if opts["follow"]:
        _follow(views)
    else:
        for view in views:
            while not view[1].ended:
                _step(view, views)
    for name, source, printer in views:
        _write(printer.finish() if len(views) > 1 else [])
        if source.lost:
            print_warning(f"lines of container {name} were rotated away before they could be read")
    if opts["follow"]:
        sys.stdout.buffer.flush()
        for _, source, _ in views:
            source.await_removal()
    return 0


def _step(view: View, views: list[View]) -> bool:
    """Print some of a container's lines, after ending those that the others have begun; false if there are none for now."""
    _, source, printer = view
    lines = source.read()
    if lines:
        for other in views if len(views) > 1 else ():
            _write(other[2].finish() if other is not view else [])
        _write(printer.render(lines))
    return lines is not None


def _write(parts: log_lines.Outputs) -> None:
    outputs = (sys.stdout.buffer, sys.stderr.buffer)
    for stream, data in parts:
        outputs[2 - stream].flush()  # the other one: both may lead to the same terminal
        try:
            outputs[stream - 1].write(data)
        except OSError:
            _leave(outputs[stream - 1])
            raise


def _leave(output: Any) -> None:
    """Something stays to be written: much at a time goes past the buffer, by which cli/dispatch.py knows that it was the output that failed."""
    try:
        output.write(b"\n")
    except OSError:
        pass  # it was full already


def _follow(views: list[View]) -> None:
    from pyman.linux.inotify import Watch  # ctypes; only for those who wait

    watch = Watch(sorted({directory for _, source, _ in views for directory in source.directories}))
    everything = views
    slept = 0.0
    try:
        while views:
            news = [_step(view, everything) for view in views]
            views = [view for view in views if not view[1].ended]
            if not any(news) and views:
                sys.stdout.buffer.flush()
                sys.stderr.buffer.flush()
                more = [source.fd for _, source, _ in views if source.fd >= 0]
                watch.wait(min(source.patience() for _, source, _ in views), more)
                # Who writes much makes news with every piece: to be woken for each costs more than to read them.
                if time.monotonic() - slept < 2 * _PAUSE:
                    time.sleep(_PAUSE)
                slept = time.monotonic()
    finally:
        watch.close()
