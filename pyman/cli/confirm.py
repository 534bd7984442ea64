"""Ask before something is removed. CLI process."""

from __future__ import annotations

import sys

from pyman.errors import UsageError


def confirmed(text: str) -> bool:
    """Ask on stdin whether to go on. UsageError if nobody answers."""
    sys.stdout.write(f"{text}\nAre you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    answer = sys.stdin.readline()
    if not answer:
        raise UsageError("cannot ask whether to go on", "stdin has ended", "use --force")
    return answer.strip().lower() in ("y", "yes")
