"""The one door to pyroute2: what the slow commands want to know about devices, addresses and routes. CLI process and children."""

from __future__ import annotations

import sys

from pyman.network import firewall, subnets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.network.subnets import Subnet


def _iproute() -> Any:
    """A netlink socket of this process's network namespace."""
    if "site" not in sys.modules:
        import site  # the launcher starts without site-packages

        site.main()
    from pyroute2 import IPRoute  # 0.1 s

    return IPRoute()


def used_subnets() -> list[Subnet]:
    """The subnets of all addresses and routes (but default ones) of this process's network namespace."""
    found: set[Subnet] = set()
    with _iproute() as ipr:
        for message in ipr.get_addr():
            text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            _add(found, text, message["prefixlen"])
        for message in ipr.get_routes():
            if message["type"] == 1:  # unicast
                _add(found, message.get_attr("RTA_DST"), message["dst_len"])
    return sorted(found)


def _add(found: set[Subnet], text: str | None, prefix: int) -> None:
    if not text or prefix < 2:  # default routes, those of VPNs in two halves among them
        return
    subnet, _ = subnets.parse_cidr(f"{text}/{prefix}")
    host_local = subnet[0] == 6 and (subnet[1] >> 118 == 0x3FA or subnet[1] >> 120 == 0xFF)  # fe80::/10, multicast
    if not host_local and not (subnet[0] == 4 and subnet[1] >> 24 == 127):
        found.add(subnet)


def survey() -> dict[str, Any]:
    """Devices, addresses and routes of this process's network namespace, as plain data for `network test`.

    {"links": [{"name", "index", "master" (number of its bridge), "up", "carrier"}], "addresses": [{"device", "address", "prefix"}], "routes": [{"to", "via", "device"}],
    "marked": ["rule" or "route", version of IP] of what the firewall's marks lead by}
    """
    result: dict[str, Any] = {"links": [], "addresses": [], "routes": [], "marked": []}
    with _iproute() as ipr:
        devices: dict[int, str] = {}
        for message in ipr.get_links():
            devices[message["index"]] = name = str(message.get_attr("IFLA_IFNAME"))
            flags, master = message["flags"], message.get_attr("IFLA_MASTER") or 0
            link = {"name": name, "index": message["index"], "master": master, "up": bool(flags & 1), "carrier": bool(flags & 0x10000)}
            result["links"].append(link)
        for message in ipr.get_addr():
            address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
            result["addresses"].append(
                {"device": devices.get(message["index"], ""), "address": str(address), "prefix": message["prefixlen"]}
            )
        for message in ipr.get_rules():
            if message.get_attr("FRA_FWMARK") == firewall.MARK and message["table"] == firewall.TABLE:
                result["marked"].append(["rule", 6 if message["family"] == 10 else 4])
        for message in ipr.get_routes():
            if message["type"] == 2 and message["table"] == firewall.TABLE and not message["dst_len"]:
                result["marked"].append(["route", 6 if message["family"] == 10 else 4])
            if message["type"] != 1 or message["table"] != 254:
                continue
            to = message.get_attr("RTA_DST")
            result["routes"].append(
                {
                    "to": f"{to}/{message['dst_len']}" if to else "default",
                    "version": 6 if message["family"] == 10 else 4,
                    "via": message.get_attr("RTA_GATEWAY") or "",
                    "device": devices.get(message.get_attr("RTA_OIF") or 0, ""),
                }
            )
    return result
