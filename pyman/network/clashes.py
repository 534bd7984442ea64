"""Networks that cannot both be: files written by hand may have the bridge or the subnet of another network. CLI process and process B."""

from __future__ import annotations

import os

from pyman.errors import StorageError
from pyman.network import config, subnets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]


def _why(one: Record, other: Record) -> str:
    """What the two cannot share; empty if they can both be."""
    if one["network_interface"] == other["network_interface"]:
        return f"network {other['name']} has the same bridge, {one['network_interface']}"
    for mine in one.get("subnets") or []:
        for theirs in other.get("subnets") or []:
            if subnets.overlap(subnets.parse_cidr(mine["subnet"])[0], subnets.parse_cidr(theirs["subnet"])[0]):
                return f"its subnet {mine['subnet']} overlaps {theirs['subnet']} of network {other['name']}"
    return ""


def between(one: Record, others: list[Record]) -> StorageError | None:
    """The first of `others` that cannot be beside `one`, told as an error."""
    for other in others:
        why = "" if other["name"] == one["name"] else _why(one, other)
        if why:
            hint = f"pyman network rm one of the two and create it again, or mend its file in {config.networks_dir()}"
            return StorageError(f"cannot use network {one['name']}", why, hint)
    return None


def among(records: list[Record]) -> list[StorageError]:
    """One error for each network that cannot be beside one that comes before it."""
    found = [between(record, records[:number]) for number, record in enumerate(records)]
    return [error for error in found if error]


def check(record: Record, conf: dict[str, Any], link: str) -> None:
    """Before containers join a network's bridge: StorageError if another network has a claim to it or to its subnets.

    link: the symlink that tells whose the bridge is.
    """
    error = between(record, config.everything(conf)[0])
    if error:
        raise error
    new = f"{link}.{os.getpid()}"
    os.symlink(record["id"], new)
    os.rename(new, link)
