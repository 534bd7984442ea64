"""`pyman-runtime`: argv to runtime.main. Started by the launcher without site, or by `python -m pyman.runtime`."""

import gc
import sys

if not __package__:
    sys.path[0:1] = [__file__.rsplit("/", 3)[0]]

gc.disable()  # loading modules makes no garbage, only work for the collector; main enables it for what may last

from pyman import leanos  # noqa: E402

leanos.install()

from pyman import fastimport  # noqa: E402

fastimport.install("runtime-" + next((word for word in sys.argv[1:] if word[:1] != "-"), ""))

if sys.stdin is None or sys.stdout is None or sys.stderr is None:
    from pyman.linux import streams

    streams.fill()

from pyman.runtime.main import main  # noqa: E402 (the finder must stand before)

main(sys.argv[1:])
