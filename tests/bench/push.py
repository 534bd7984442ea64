"""Push, save and load next to podman and skopeo: `python tests/bench/push.py [ROUNDS]`, as root `... ROUNDS ACCOUNT`. The image and the registry of pull.py.

pyman, podman, skopeo and docker-registry must be on PATH. Rounds are interleaved; the medians' ratios are printed as the table's rows in
docs/performance.md. skopeo has an OCI layout for a store: it neither packs nor unpacks layers. As root each round finds new ext4 file systems (see images.Homes), and each load another.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from images import NAME, PORT, SKOPEO, TOOLS, Costs, Homes, apart, arguments, copied, make_layout, note, serve, skopeo, table

KINDS = ("docker-archive", "oci-archive")
TARGETS = {"push to an empty repository": "0.80", **{f"{verb}, {kind}": "0.80" for verb in ("save", "load") for kind in KINDS}}


def one_round(place: Path, homes: Homes, costs: Costs, turn: int) -> None:
    """Everything once with each tool."""
    target = f"127.0.0.1:{PORT}/pushed/image:{turn}"
    push = ("push", "-q", "--tls-verify=false", NAME, target)
    for tool in TOOLS:
        homes.fresh(tool)
        homes.cost(tool, "pull", "-q", "--tls-verify=false", NAME)
    for tool in TOOLS if turn % 2 else TOOLS[::-1]:
        shutil.rmtree(place / "registry", ignore_errors=True)  # it has never seen an image
        note(costs, "push to an empty repository", tool, homes.cost(tool, *push))
        note(costs, "push again, nothing to do", tool, homes.cost(tool, *push))
    for kind in KINDS:
        for tool in TOOLS:
            file = f"{place}/{tool}/out/{kind}"
            note(costs, f"save, {kind}", tool, homes.cost(tool, "save", "-q", "--format", kind, "-o", file, NAME))
            shutil.copyfile(file, homes.inputs / f"{tool}.{kind}")
            os.chmod(homes.inputs / f"{tool}.{kind}", 0o644)
    _skopeo_round(place, homes, costs, target)
    for kind in KINDS:
        for tool in TOOLS:
            homes.fresh(tool)
            homes.cost(tool, "images")
            note(costs, f"load, {kind}", tool, homes.cost(tool, "load", "-q", "-i", str(homes.inputs / f"{tool}.{kind}")))
    skopeo(place, NAME)


def _skopeo_round(place: Path, homes: Homes, costs: Costs, target: str) -> None:
    homes.fresh(SKOPEO)
    layout = f"oci:{place}/{SKOPEO}/layout:latest"
    skopeo(place, NAME)
    copied(homes, f"docker://{NAME}", layout)
    shutil.rmtree(place / "registry", ignore_errors=True)
    note(costs, "push to an empty repository", SKOPEO, copied(homes, layout, f"docker://{target}"))
    note(costs, "push again, nothing to do", SKOPEO, copied(homes, layout, f"docker://{target}"))
    for kind in KINDS:
        file = f"{kind}:{place}/{SKOPEO}/out/{kind}:{NAME}"
        note(costs, f"save, {kind}", SKOPEO, copied(homes, layout, file))
        note(costs, f"load, {kind}", SKOPEO, copied(homes, file, f"oci:{place}/{SKOPEO}/{kind}:latest"))


def main() -> None:
    """Measure and print."""
    rounds, account = arguments()
    costs: Costs = {}
    with tempfile.TemporaryDirectory() as text:
        place = Path(text)
        homes = Homes(place, account)
        apart(lambda: make_layout(place / "layout"))
        server = serve(place)
        try:
            skopeo(place, NAME)
            for turn in range(rounds):
                one_round(place, homes, costs, turn)
            print(table(costs, TARGETS), flush=True)
        finally:
            server.terminate()
            homes.close()


if __name__ == "__main__":
    main()
