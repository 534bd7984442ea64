"""Standard streams that the caller closed. Any program of pyman, before it opens its first file."""

from __future__ import annotations

import os
import sys

closed: set[int] = set()  # those that were


def fill() -> None:
    """Open /dev/null for each closed one of 0, 1 and 2.

    The next file that is opened would take its number, and get what is meant for the stream; in a container too, whose program
    inherits these.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            closed.add(number)
            os.set_inheritable(os.open("/dev/null", os.O_RDWR), True)
    sys.stdin, sys.stdout, sys.stderr = sys.stdin or open(0), sys.stdout or open(1, "w"), sys.stderr or open(2, "w")
