"""Addresses of containers: one symlink per lease, so that an address cannot be given twice. CLI process, under the networks' lock.

graphroot/networks/leases/NETWORK/ADDRESS -> container id. symlink(2) makes a lease atomically; a process killed at any moment
leaves a lease or none. A lease counts as long as its container runs or is being started; others are taken over when they are
in the way. `cursor` remembers the last address given, so that one just given back is not given again at once.
"""

from __future__ import annotations

import os

from pyman.errors import NetworkError, UsageError
from pyman.network import config, subnets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.network.subnets import Subnet


def _dir(name: str) -> str:
    return os.path.join(config.networks_dir(), "leases", name)


def leases(name: str) -> dict[str, str]:
    """Address -> container id of a network's leases."""
    found = {}
    try:
        entries = os.listdir(_dir(name))
    except FileNotFoundError:
        return {}
    for entry in entries:
        if entry != "cursor":
            try:
                found[entry] = os.readlink(os.path.join(_dir(name), entry))
            except OSError:
                continue
    return found


def allocate(record: dict[str, Any], wanted: list[str], container_id: str, stale: Callable[[str], bool]) -> list[dict[str, Any]]:
    """One address in each subnet of the network: those asked for, those the container had, else the next free ones.

    Returns [{"address", "prefix", "gateway"}], in the order of the subnets. stale(id): whether a lease of that container counts no
    more. The caller holds the networks' lock. NetworkError for an address that is outside or taken, or if none is free.
    """
    taken = leases(record["name"])
    os.makedirs(_dir(record["name"]), 0o700, exist_ok=True)
    own = [address for address, owner in taken.items() if owner == container_id]
    left = list(wanted)
    given: list[dict[str, Any]] = []
    for entry in record.get("subnets") or []:
        subnet, _ = subnets.parse_cidr(entry["subnet"])
        here = [text for text in left if subnets.contains(subnet, subnets.parse_ip(text))]
        left = [text for text in left if text not in here]
        for text in here:
            _take_wanted(record, entry, subnet, text, container_id, taken, stale)
        if not here:
            kept = next((text for text in own if subnets.contains(subnet, subnets.parse_ip(text)) and _usable(entry, subnet, text)), "")
            here = [kept or _take_next(record, entry, subnet, container_id, taken, stale)]
        given += [{"address": text, "prefix": subnet[2], "gateway": entry.get("gateway", "")} for text in here]
    if left:
        raise NetworkError(
            f"cannot use address {left[0]}",
            f"it is in no subnet of network {record['name']}",
            f"see: pyman network inspect {record['name']}",
        )
    kept_now = {item["address"] for item in given}
    for text in own:
        if text not in kept_now:
            _drop(record["name"], text)
    return given


def _usable(entry: dict[str, Any], subnet: Subnet, text: str) -> bool:
    number = subnets.parse_ip(text)[1]
    low, high = _bounds(entry, subnet)
    return low <= number <= high and text != entry.get("gateway")


def _bounds(entry: dict[str, Any], subnet: Subnet) -> tuple[int, int]:
    """The first and last number that may be given: without the subnet's own address, and the broadcast address of IPv4."""
    lease = entry.get("lease_range") or {}
    low = subnets.parse_ip(lease["start_ip"])[1] if lease.get("start_ip") else subnet[1] + 1
    high = subnets.parse_ip(lease["end_ip"])[1] if lease.get("end_ip") else subnets.last(subnet) - (subnet[0] == 4)
    return low, high


def _take_wanted(
    record: dict[str, Any],
    entry: dict[str, Any],
    subnet: Subnet,
    text: str,
    container_id: str,
    taken: dict[str, str],
    stale: Callable[[str], bool],
) -> None:
    number = subnets.parse_ip(text)[1]
    if text == entry.get("gateway"):
        raise NetworkError(f"cannot use address {text}", f"it is the gateway of network {record['name']}", "choose another address")
    if number == subnet[1] or (subnet[0] == 4 and number == subnets.last(subnet)):
        raise NetworkError(f"cannot use address {text}", "it is the subnet's own or its broadcast address", "choose another address")
    owner = taken.get(text)
    if owner == container_id:
        return
    if owner and not stale(owner):
        raise NetworkError(
            f"cannot use address {text}",
            f"container {owner[:12]} has it on network {record['name']}",
            "choose another address",
            stage="lease " + owner,
        )
    if owner:
        _drop(record["name"], text)
    _take(record["name"], text, container_id)
    taken[text] = container_id


def _take(name: str, text: str, container_id: str) -> None:
    try:
        os.symlink(container_id, os.path.join(_dir(name), text))
    except FileExistsError as err:  # `leases` knows of symlinks only
        path = os.path.join(_dir(name), text)
        raise NetworkError(f"cannot get an address on network {name}", f"{path} is no lease", "remove it") from err


def _take_next(
    record: dict[str, Any], entry: dict[str, Any], subnet: Subnet, container_id: str, taken: dict[str, str], stale: Callable[[str], bool]
) -> str:
    low, high = _bounds(entry, subnet)
    version = subnet[0]
    cursor = os.path.join(_dir(record["name"]), "cursor")
    start = low
    try:
        for text in os.readlink(cursor).split(","):
            address = subnets.parse_ip(text)
            if address[0] == version and low <= address[1] < high:
                start = address[1] + 1
    except (OSError, UsageError):
        pass
    names = set(taken)
    gateway = entry.get("gateway")
    for first, end in ((start, high), (low, start - 1)):
        number = first
        while number <= end:
            text = subnets.ip_text((version, number))
            number += 1
            if text == gateway:
                continue
            if text in names:
                if not stale(taken[text]):
                    continue
                _drop(record["name"], text)
            _take(record["name"], text, container_id)
            taken[text] = container_id
            _move_cursor(cursor, version, text)
            return text
    raise NetworkError(
        f"cannot get an address on network {record['name']}",
        f"all of {subnets.ip_text((version, low))} to {subnets.ip_text((version, high))} are taken",
        "remove containers, or use a larger subnet or --ip-range",
    )


def _move_cursor(path: str, version: int, text: str) -> None:
    """Only a hint: a process killed in between leaves none, and the search begins at the start."""
    kept = []
    try:
        kept = [item for item in os.readlink(path).split(",") if (":" in item) != (version == 6)]
        os.unlink(path)
    except OSError:
        pass
    try:
        os.symlink(",".join([*kept, text]), path)
    except FileExistsError:
        pass  # somebody's own: the search begins at the start every time


def _drop(name: str, text: str) -> None:
    try:
        os.unlink(os.path.join(_dir(name), text))
    except FileNotFoundError:
        pass


def release(name: str, container_id: str) -> None:
    """Give back a container's addresses on a network; harmless if it has none."""
    for text, owner in leases(name).items():
        if owner == container_id:
            _drop(name, text)


def forget(name: str) -> None:
    """Take all leases of a network away."""
    for text in [*leases(name), "cursor"]:
        _drop(name, text)
    try:
        os.rmdir(_dir(name))
    except OSError:
        pass


def held() -> dict[str, dict[str, str]]:
    """Network -> address -> container id, of all networks that have leases."""
    try:
        return {name: leases(name) for name in sorted(os.listdir(os.path.join(config.networks_dir(), "leases")))}
    except FileNotFoundError:
        return {}
