"""Addresses and subnets as numbers, without the ipaddress module (5 ms). Any process, pure.

A subnet is (version, number of its first address, prefix length); an address (version, number).
"""

from __future__ import annotations

import _socket

from pyman.digits import is_whole
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    Address = tuple[int, int]
    Subnet = tuple[int, int, int]

_FAMILY = {4: _socket.AF_INET, 6: _socket.AF_INET6}
BITS = {4: 32, 6: 128}
# Blocks that no network can be in: the kernel refuses them, or they are in use in the same namespace.
_RESERVED = (
    ("0.0.0.0/8", "stands for addresses that are not known yet"),
    ("127.0.0.0/8", "is loopback"),
    ("169.254.0.0/16", "is link-local, where the networks' way out has its own addresses"),
    ("224.0.0.0/4", "is multicast"),
    ("240.0.0.0/4", "is reserved"),
    ("::/96", "has loopback and the unspecified address"),
    ("::ffff:0:0/96", "stands for IPv4 addresses"),
    ("fe80::/10", "is link-local, the same on each device"),
    ("ff00::/8", "is multicast"),
)


def parse_ip(text: str) -> Address:
    """The address that `text` writes. UsageError."""
    version = 6 if ":" in text else 4
    try:
        return version, int.from_bytes(_socket.inet_pton(_FAMILY[version], text), "big")
    except (OSError, ValueError) as err:
        raise UsageError(f"invalid address {text!r}", "it is not an IP address") from err


def pack(address: Address) -> bytes:
    """The 4 or 16 bytes of an address."""
    return address[1].to_bytes(BITS[address[0]] // 8, "big")


def ip_text(address: Address) -> str:
    """The address as people write it."""
    return _socket.inet_ntop(_FAMILY[address[0]], pack(address))


def parse_cidr(text: str) -> tuple[Subnet, Address]:
    """(subnet, the address written) of ADDRESS/PREFIX. UsageError."""
    head, slash, tail = text.partition("/")
    version, number = parse_ip(head)
    if not slash or not is_whole(tail, 3) or int(tail) > BITS[version]:
        raise UsageError(f"invalid subnet {text!r}", "the form is ADDRESS/PREFIX", "for example: 10.5.0.0/24")
    prefix = int(tail)
    shift = BITS[version] - prefix
    return (version, number >> shift << shift, prefix), (version, number)


def cidr_text(subnet: Subnet) -> str:
    """The subnet as ADDRESS/PREFIX."""
    return f"{ip_text(subnet[:2])}/{subnet[2]}"


def last(subnet: Subnet) -> int:
    """The number of a subnet's last address."""
    return subnet[1] + (1 << (BITS[subnet[0]] - subnet[2])) - 1


def contains(subnet: Subnet, address: Address) -> bool:
    """Whether an address lies in a subnet."""
    return subnet[0] == address[0] and subnet[1] <= address[1] <= last(subnet)


def overlap(one: Subnet, other: Subnet) -> bool:
    """Whether two subnets have an address in common."""
    return one[0] == other[0] and one[1] <= last(other) and other[1] <= last(one)


def check_usable(subnet: Subnet) -> None:
    """UsageError with the reason if no network can have that subnet."""
    for text, why in _RESERVED:
        if overlap(subnet, parse_cidr(text)[0]):
            found = cidr_text(subnet)
            where = why if found == text else f"overlaps {text}, which {why}"
            raise UsageError(
                f"cannot use subnet {found}", f"it {where}", "choose one of 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or fd00::/8"
            )
    if subnet[2] > BITS[subnet[0]] - 2:
        raise UsageError(f"cannot use subnet {cidr_text(subnet)}", "it has no room for a gateway and a container")


def check_destination(subnet: Subnet) -> None:
    """UsageError with the reason if no route of a container can lead there."""
    for text, why in (("127.0.0.0/8", "loopback"), ("224.0.0.0/4", "multicast"), ("::1/128", "loopback"), ("ff00::/8", "multicast")):
        block = parse_cidr(text)[0]
        if overlap(subnet, block) and subnet[2] >= block[2]:
            raise UsageError(f"cannot use route {cidr_text(subnet)}", f"it is {why}", "leave it out")


def parse_range(text: str, subnet: Subnet) -> tuple[str, str]:
    """(first, last) address of an --ip-range: a subnet, or FIRST-LAST; both inside `subnet`. UsageError."""
    if "/" in text:
        inner, _ = parse_cidr(text)
        low, high = inner[:2], (inner[0], last(inner))
        # Neither a subnet's own address nor its broadcast address is given away; within a larger subnet both are usable.
        if low[1] == subnet[1]:
            low = (low[0], low[1] + 1)
        if high[1] == last(subnet) and subnet[0] == 4:
            high = (high[0], high[1] - 1)
    else:
        first, dash, end = text.partition("-")
        if not dash:
            raise UsageError(f"invalid range {text!r}", "the form is SUBNET or FIRST-LAST", "for example: 10.5.0.128/25")
        low, high = parse_ip(first), parse_ip(end)
    if low[0] != high[0] or low[1] > high[1]:
        raise UsageError(f"invalid range {text!r}", "it runs backwards")
    if not contains(subnet, low) or not contains(subnet, high):
        raise UsageError(f"invalid range {text!r}", f"it is not inside the subnet {cidr_text(subnet)}")
    return ip_text(low), ip_text(high)


def parse_mac(text: str) -> bytes:
    """The six bytes of a MAC address written with : or -. UsageError."""
    parts = text.replace("-", ":").split(":")
    try:
        if len(parts) == 6 and all(1 <= len(part) <= 2 for part in parts):
            found = bytes(int(part, 16) for part in parts)
            if found[0] & 1 or not any(found):
                raise UsageError(f"invalid MAC address {text!r}", "no device can have it: it is zero, or of a group", "begin it with 02")
            return found
    except ValueError:
        pass
    raise UsageError(f"invalid MAC address {text!r}", "it has six bytes in hexadecimal", "for example: 92:d0:c6:0a:29:33")


def mac_text(mac: bytes) -> str:
    """The MAC address as people write it."""
    return ":".join(f"{byte:02x}" for byte in mac)
