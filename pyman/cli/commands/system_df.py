"""`pyman system df`: what images, containers and volumes take on the disk. CLI process."""

from __future__ import annotations

import sys
import time

from pyman.cli import output
from pyman.engine import disk_usage
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.disk_usage import Usage


def size(number: int) -> str:
    """Four significant digits, as Podman has them here: 406.8MB."""
    return output.human_size(number, 4).replace(" ", "")


def _reclaimable(row: dict[str, Any]) -> str:
    share = int(row["RawReclaimable"] / row["RawSize"] * 100 + 0.5) if row["RawSize"] else 0
    return f"{size(row['RawReclaimable'])} ({share}%)"


def _json(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "TotalCount": row["Total"], "Size": size(row["RawSize"]), "Reclaimable": _reclaimable(row)}


def main(opts: Any, args: list[str]) -> int:
    """Print a row for each kind, or with -v for each object."""
    if opts["format"] and opts["verbose"]:
        raise UsageError("cannot combine --format and --verbose flags", "--verbose has a form of its own")
    usage = disk_usage.gather()
    if opts["verbose"]:
        _verbose(usage)
    elif opts["format"] == "json":
        output.print_json([_json(row) for row in usage.summary])
    elif opts["format"] and opts["format"].strip() != "table":
        rows = [_json(row) for row in usage.summary]
        fields = ("Active", "RawReclaimable", "RawSize", "Reclaimable", "Size", "Total", "Type")
        output.print_template(
            opts["format"], rows, {name: _field(name) for name in fields}, lambda row: row, {}, shape=("dfSummary", _json)
        )
    else:
        cells = [[row["Type"], str(row["Total"]), str(row["Active"]), size(row["RawSize"]), _reclaimable(row)] for row in usage.summary]
        output.print_table(["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"], cells)
    return 0


def _field(name: str) -> Any:
    return lambda row: row[name]


def _age(moment: float) -> str:
    return output.duration(time.time() - moment)


def _verbose(usage: Usage) -> None:
    sys.stdout.write("Images space usage:\n\n")
    cells = [
        [
            *(row["repository"], row["tag"], row["record"]["id"][:12], _age(row["record"]["created"])),
            *(size(row["unique"] + row["shared"]), size(row["shared"]), size(row["unique"]), str(row["containers"])),
        ]
        for row in usage.images
    ]
    output.print_table(["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"], cells)
    sys.stdout.write("\nContainers space usage:\n\n")
    cells = [
        [
            *(row["state"]["id"][:12], row["state"]["image_id"][:12], " ".join(row["state"]["command"])),
            *(str(len(set((row["state"].get("volume_at") or {}).values()))), size(row["size"]), _age(row["state"]["created"])),
            *(row["state"]["status"], row["state"]["name"]),
        ]
        for row in usage.containers
    ]
    output.print_table(["CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES"], cells)
    sys.stdout.write("\nLocal Volumes space usage:\n\n")
    output.print_table(["VOLUME NAME", "LINKS", "SIZE"], [[row["name"], str(row["links"]), size(row["size"])] for row in usage.volumes])
    if usage.artifacts:
        sys.stdout.write("\nArtifacts space usage:\n\n")
        output.print_table(["NAME", "SIZE"], [[row["name"], size(row["size"])] for row in usage.artifacts])
    sys.stdout.write("\nThe store's own files:\n\n")
    rows = [[name, size(used)] for name, used in sorted({**usage.other, "left by failed commands": usage.left}.items()) if used]
    output.print_table(["NAME", "SIZE"], rows)
