"""Networks that cannot both be: files written by hand may have the bridge or the subnet of another network. CLI process and process B."""

from __future__ import annotations

import _socket
import os

from pyman.errors import StorageError
from pyman.network import config, subnets
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.network.subnets import Subnet

    Record = dict[str, Any]


_EVERYTHING = ("/0", "/1")  # of a VPN, in two halves: default routes


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


def _lines(path: str) -> list[str]:
    try:
        return (store.read_text(path, 1 << 20) or "").split("\n")
    except StorageError:
        return []  # not to be read, or a router's: it has no say


def _host_subnets(pid: int) -> list[Subnet]:
    """The subnets of all addresses and routes (but default ones) of the network namespace that a process is in; what can be read of it.

    From /proc, where /proc/net of another namespace is at hand and no module has to be imported.
    """
    found: set[Subnet] = set()
    leaf = ""
    for line in _lines(f"/proc/{pid}/net/fib_trie"):
        words = line.split()
        if words[:1] == ["|--"]:
            leaf = words[1]
        elif (
            len(words) > 2
            and words[0][0] == "/"
            and words[0] not in _EVERYTHING
            and words[2] in ("UNICAST", "LOCAL")
            and not leaf.startswith("127.")
        ):
            found.add(subnets.parse_cidr(leaf + words[0])[0])
    for line in _lines(f"/proc/{pid}/net/ipv6_route"):
        words = line.split()
        if len(words) > 9 and int(words[1], 16) > 1 and not int(words[8], 16) & 0x200 and not words[0].startswith(("fe8", "ff", "0" * 31)):
            prefix = int(words[1], 16)  # 0x200: RTF_REJECT
            found.add((6, int(words[0], 16) >> 128 - prefix << 128 - prefix, prefix))
    return sorted(found)


def with_host(record: Record, pid: int) -> str:
    """A warning about a subnet of the network that the host uses as well; empty if there is none. pid: a process in the host's network.

    `network create` makes no such network, but files are written by hand, and hosts get other addresses.
    """
    used = _host_subnets(pid)
    for entry in record.get("subnets") or []:
        subnet = subnets.parse_cidr(entry["subnet"])[0]
        clash = next((other for other in used if subnets.overlap(subnet, other)), None)
        if clash:
            return (
                f"the subnet {entry['subnet']} of network {record['name']} overlaps {subnets.cidr_text(clash)}, which the host uses: "
                "containers on it do not reach what is there"
            )
    return ""


def _owner(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _claim(record: Record, link: str) -> None:
    new = f"{link}.{os.getpid()}"
    os.symlink(record["id"], new)
    os.rename(new, link)


def check(record: Record, conf: dict[str, Any], link: str, sock: _socket.socket) -> str:
    """Before containers join a network's bridge: StorageError if another network has a claim to it or to its subnets; else a warning.

    link: the symlink that tells whose the bridge is. One that a network has left behind goes, with its addresses and walls.
    """
    error = between(record, config.everything(conf)[0])
    if error:
        raise error
    if _owner(link) in ("", record["id"]):
        _claim(record, link)
    else:
        from pyman.network import bridge_mend

        with config.lock():
            if _owner(link) != record["id"]:  # else another container of the network came first
                bridge_mend.clear(sock, record["network_interface"])
                _claim(record, link)
    # This process is in the bridges' namespace, the one that waits for it in the host's. The default's usual subnet nobody has chosen.
    own = record["name"] == config.default_name(conf) and [entry["subnet"] for entry in record["subnets"]] == [config.DEFAULT_SUBNET]
    return "" if own else with_host(record, os.getppid())
