"""Pull next to podman and skopeo: `python tests/bench/pull.py [ROUNDS]`, as root `... ROUNDS ACCOUNT`. 10 layers, 20,000 files, 360 MB, a registry on loopback.

pyman, podman, skopeo and docker-registry must be on PATH. Rounds are interleaved; the medians' ratios are printed as the table's rows in
docs/performance.md. skopeo's pull goes into an OCI layout: it unpacks nothing, and has no list of images. As root each pull finds a new ext4 file system (see images.Homes). `images` is asked of a store with 500.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from images import NAME, SKOPEO, TOOLS, Costs, Homes, apart, arguments, copied, make_layout, make_many, note, serve, skopeo, table

MANY = 500
TARGETS = {"cold pull": "0.35", "warm pull, nothing new": "0.50", f"images, with {MANY} images": "0.50"}


def main() -> None:
    """Measure and print."""
    rounds, account = arguments()
    costs: Costs = {}
    with tempfile.TemporaryDirectory() as text:
        place = Path(text)
        homes = Homes(place, account)
        apart(lambda: make_layout(place / "layout"))
        apart(lambda: make_many(homes.inputs / "many.tar", MANY))
        server = serve(place)
        pull = ("pull", "-q", "--tls-verify=false", NAME)
        try:
            skopeo(place, NAME)
            for turn in range(rounds):
                homes.fresh(SKOPEO)
                layout = f"oci:{place}/{SKOPEO}/layout:latest"
                note(costs, "cold pull", SKOPEO, copied(homes, f"docker://{NAME}", layout))
                for _ in range(3):
                    note(costs, "warm pull, nothing new", SKOPEO, copied(homes, f"docker://{NAME}", layout))
                for tool in TOOLS if turn % 2 else TOOLS[::-1]:
                    homes.fresh(tool)
                    homes.cost(tool, "images")  # the store's own first use
                    note(costs, "cold pull", tool, homes.cost(tool, *pull))
                    for _ in range(3):
                        note(costs, "warm pull, nothing new", tool, homes.cost(tool, *pull))
            for tool in TOOLS:
                homes.fresh(tool)
                homes.cost(tool, "load", "-q", "-i", str(homes.inputs / "many.tar"))
            for _ in range(3 * rounds):
                for tool in TOOLS:
                    note(costs, f"images, with {MANY} images", tool, homes.cost(tool, "images"))
            print(table(costs, TARGETS), flush=True)
        finally:
            server.terminate()
            homes.close()


if __name__ == "__main__":
    main()
