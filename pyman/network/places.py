"""What a container has of a network in its own namespace, in which the caller is: addresses and routes. Process B in U1."""

from __future__ import annotations

from pyman.errors import NetworkError
from pyman.linux import netlink
from pyman.network import config, subnets
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any


def mark(address: str) -> str:
    """The further name of our end of the pair that has this address: longer than any device's name. One device can have it."""
    return f"container-address-{address.replace(':', '-')}"


def usable(addresses: list[dict[str, Any]], device: str) -> list[dict[str, Any]]:
    """Those that the device can have: where --sysctl has switched IPv6 off, no IPv6."""
    if not any(":" in entry["address"] for entry in addresses):
        return addresses
    off = (store.read_text(f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6") or "0").strip() != "0"
    return [entry for entry in addresses if not off or ":" not in entry["address"]]


def add_addresses(inside: _socket.socket, index: int, addresses: list[dict[str, Any]]) -> None:
    """Give a device its addresses. OSError."""
    for entry in addresses:
        netlink.add_address(inside, index, subnets.pack(subnets.parse_ip(entry["address"])), entry["prefix"])


def take_no_advertisements(device: str) -> None:
    """Routes and name servers are what the network says: another container must not announce itself as a router (CVE-2020-10749)."""
    try:
        with open(f"/proc/sys/net/ipv6/conf/{device}/accept_ra", "w") as file:
            file.write("0")
    except FileNotFoundError:
        pass  # a kernel without IPv6


def add_routes(inside: _socket.socket, record: dict[str, Any], addresses: list[dict[str, Any]], number: int) -> None:
    """The default route (unless the network is internal or says so) and the network's own routes."""
    metric = int(config.option(record, "metric") or 0) or 100 + number
    seen = set()
    for address in addresses:
        version = 6 if ":" in address["address"] else 4
        if record.get("internal") or config.option(record, "no_default_route") == "true" or not address["gateway"] or version in seen:
            continue
        seen.add(version)
        gateway = subnets.pack(subnets.parse_ip(address["gateway"]))
        _add_route(inside, bytes(len(gateway)), 0, gateway, metric)
    for route in record.get("routes") or []:
        subnet, _ = subnets.parse_cidr(route["destination"])
        gateway = subnets.pack(subnets.parse_ip(route["gateway"]))
        try:
            _add_route(inside, subnets.pack(subnet[:2]), subnet[2], gateway, int(route.get("metric") or 100))
        except OSError as err:
            raise NetworkError(
                f"cannot add route {route['destination']} of network {record['name']}", err.strerror or str(err), "mend its --route"
            ) from err


def _add_route(inside: _socket.socket, destination: bytes, prefix: int, gateway: bytes, metric: int) -> None:
    try:
        netlink.add_route(inside, destination, prefix, gateway, metric=metric)
    except FileExistsError:
        pass
