"""argv to cli.dispatch.main; nothing else. Started by the launcher without site, or by `python -m pyman`."""

import gc
import os
import sys

if not __package__:
    # Started by path under -SI: put the package's parent first and nothing of the current directory.
    sys.path[0:1] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]

gc.disable()  # loading modules makes no garbage, only work for the collector; dispatch enables it

from pyman import fastimport  # noqa: E402

fastimport.install(next((word for word in sys.argv[1:] if word[:1] != "-"), ""))

if sys.stdin is None or sys.stdout is None or sys.stderr is None:
    # Closed by the caller: the next file that is opened would take the number, and get what is meant for the stream.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open("/dev/null", os.O_RDWR)
    sys.stdin, sys.stdout, sys.stderr = sys.stdin or open(0), sys.stdout or open(1, "w"), sys.stderr or open(2, "w")

from pyman.cli.dispatch import main  # noqa: E402 (the finder must stand before)

main(sys.argv[1:])
