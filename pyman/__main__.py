"""argv to cli.dispatch.main; nothing else. Started by the launcher without site, or by `python -m pyman`."""

import gc
import sys

if not __package__:
    # Started by path under -SI: put the package's parent first and nothing of the current directory.
    sys.path[0:1] = [__file__.rsplit("/", 2)[0]]

gc.disable()  # loading modules makes no garbage, only work for the collector; dispatch enables it

from pyman import leanos  # noqa: E402

leanos.install()

from pyman import fastimport  # noqa: E402

fastimport.install(next((word for word in sys.argv[1:] if word[:1] != "-"), ""))

if sys.stdin is None or sys.stdout is None or sys.stderr is None:
    from pyman.linux import streams

    streams.fill()

from pyman.cli.dispatch import main  # noqa: E402 (the finder must stand before)

main(sys.argv[1:])
