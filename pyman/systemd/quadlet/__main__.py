"""`pyman-quadlet`: argv to quadlet.generator. Started by the launcher without site, or by `python -m pyman.systemd.quadlet`."""

import gc
import os
import sys

if not __package__:
    place = os.path.abspath(__file__)
    for _ in range(4):
        place = os.path.dirname(place)
    sys.path[0:1] = [place]

gc.disable()  # a short life makes little garbage

from pyman import fastimport  # noqa: E402

fastimport.install({})

from pyman.systemd.quadlet.generator import main  # noqa: E402 (the finder must stand before)

code = main(sys.argv[1:], os.environ.get("PYMAN_CALLED_AS", ""))
sys.stdout.flush()
os._exit(code)
