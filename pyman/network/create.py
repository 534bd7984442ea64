"""What a new network is made of: options checked, a free subnet and device name found. CLI process; slow path."""

from __future__ import annotations

import os

from pyman.digits import is_whole
from pyman.errors import NameInUse, UsageError
from pyman.network import config, subnets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.network.subnets import Subnet

    Record = dict[str, Any]

_DOCKER = {
    "com.docker.network.bridge.name": "bridge_name",
    "com.docker.network.driver.mtu": "mtu",
}
# Docker's options that tools give with the value that things have here anyway; another value is refused.
_FIXED = {
    "com.docker.network.bridge.enable_ip_masquerade": ("true", "there is no other way out of the bridges' namespace; use --internal"),
    "com.docker.network.bridge.enable_icc": ("true", "containers of one network reach each other"),
    "com.docker.network.bridge.host_binding_ipv4": ("0.0.0.0", "set network.default_host_ips in containers.toml"),
    "com.docker.network.bridge.default_bridge": ("false", "set network.default_network in containers.toml"),
}


def build(opts: dict[str, Any], name: str, conf: dict[str, Any], known: list[Record], host: list[Subnet]) -> Record:
    """The record of a network as `network create` asks for it; nothing is written.

    opts: subnet, gateway, ip_range, route, dns, label, opt (lists), driver, interface_name, ipam_driver (texts), ipv6, internal,
    disable_dns. known: the networks that exist; host: subnets that the host uses. UsageError, NameInUse.
    """
    _check_driver(str(opts.get("driver") or "bridge"))
    options = _options(list(opts.get("opt") or []))
    interface = str(opts.get("interface_name") or options.pop("bridge_name", "") or "")
    taken = {record["network_interface"] for record in known}
    if interface:
        config.check_interface(interface)
        if interface in taken:
            why = "another network has it" + (", and a gateway can be in one VLAN only" if "vlan" in options else "")
            raise NameInUse(f"cannot use bridge name {interface}", why, "leave --interface-name out")
    else:
        interface = next(f"podman{n}" for n in range(1, 1 << 20) if f"podman{n}" not in taken and not _named(known, f"podman{n}"))
    name = name or interface
    config.check_name(name)
    if _named(known, name):
        raise NameInUse(f"cannot create network {name}", "a network with this name exists", "choose another name, or give --ignore")
    ipam = _ipam(str(opts.get("ipam_driver") or ""), opts)
    internal = bool(opts.get("internal"))
    dns = not opts.get("disable_dns") and ipam != "none"
    servers = [str(server) for item in opts.get("dns") or [] for server in str(item).split(",")]
    for server in servers:
        subnets.parse_ip(server)
    if servers and not dns:
        raise UsageError("cannot use --dns", "name resolution is switched off for this network", "leave --disable-dns out")
    used = [*(subnet for record in known for subnet in _subnets_of(record)), *host]  # with VLANs too: one namespace routes them all
    entries = _entries(opts, conf, used, internal and not dns) if ipam != "none" else []
    routes = [_route(str(text), entries) for text in opts.get("route") or []]
    ipv6 = bool(opts.get("ipv6")) or any(":" in entry["subnet"] for entry in entries)
    if ipv6 and "mtu" in options:
        _number("mtu", options["mtu"], 65535, 1280, ": IPv6 needs no less")
    return {
        "name": name,
        "id": os.urandom(32).hex(),
        "driver": "bridge",
        "network_interface": interface,
        "created": config.now(),
        **({"subnets": entries} if entries else {}),
        **({"routes": routes} if routes else {}),
        "ipv6_enabled": ipv6,
        "internal": internal,
        "dns_enabled": dns,
        **({"network_dns_servers": servers} if servers else {}),
        **_labels(list(opts.get("label") or [])),
        **({"options": options} if options else {}),
        "ipam_options": {"driver": ipam},
    }


def _named(known: list[Record], name: str) -> bool:
    return any(record["name"] == name for record in known)


def _check_driver(driver: str) -> None:
    if driver in ("macvlan", "ipvlan"):
        raise UsageError(
            f"cannot create a network with driver {driver}",
            "it joins a device of the host, and unprivileged users have no rights over those",
            "use the driver bridge, or --network pasta, which gives a container the host's own addresses",
        )
    if driver != "bridge":
        raise UsageError(f"cannot create a network with driver {driver!r}", "no such driver", "the driver is bridge")


def _ipam(driver: str, opts: dict[str, Any]) -> str:
    if driver == "dhcp":
        raise UsageError("cannot use --ipam-driver dhcp", "no DHCP server answers on a bridge of pyman's own", "use host-local or none")
    if driver not in ("", "host-local", "none"):
        raise UsageError(f"invalid value {driver!r} for --ipam-driver", "it must be host-local or none")
    if driver == "none" and opts.get("subnet"):
        raise UsageError("cannot use --ipam-driver none with --subnet", "without it no addresses are given")
    return driver or "host-local"


def _truth(key: str, value: str, more: str = "") -> bool:
    if value.lower() not in ("1", "t", "true", "0", "f", "false"):
        raise UsageError(f"invalid network option {key}={value}", "its value is true or false" + more)
    return value.lower() in ("1", "t", "true")


def _number(key: str, value: str, most: int, least: int = 0, why: str = "") -> str:
    if not is_whole(value, 10) or not least <= int(value) <= most:
        bounds = f"from {least} to {most}" if least else f"up to {most}"
        raise UsageError(f"invalid network option {key}={value}", f"its value is a number {bounds}{why}")
    return value


def _options(items: list[str]) -> dict[str, str]:
    """--opt KEY=VALUE, checked; Docker's names become Podman's. UsageError."""
    result: dict[str, str] = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals:
            raise UsageError(f"invalid network option {item!r}", "the form is KEY=VALUE")
        if key in _FIXED:
            if value != _FIXED[key][0]:
                raise UsageError(f"cannot use network option {item}", _FIXED[key][1], "leave it out")
            continue
        key = _DOCKER.get(key, key)
        if key == "mtu":
            result[key] = _number(key, value, 65535, 68)
        elif key == "metric":
            result[key] = _number(key, value, (1 << 32) - 1)
        elif key == "vlan":
            result[key] = _number(key, value, 4094)
        elif key == "isolate":
            result[key] = "strict" if value == "strict" else str(_truth(key, value, ", or strict")).lower()
        elif key == "no_default_route":
            result[key] = str(_truth(key, value)).lower()
        elif key == "bridge_name":
            result[key] = value
        elif key == "mode":
            if value != "managed":
                raise UsageError(f"invalid network option mode={value}", "bridges of unprivileged users are always made by pyman")
        elif key == "vrf":
            raise UsageError(f"cannot use network option vrf={value}", "no VRF device can exist in the network namespace of the bridges")
        elif key == "parent":
            raise UsageError("cannot use network option parent", "it belongs to macvlan and ipvlan")
        else:
            raise UsageError(
                f"invalid network option {item!r}",
                f"known are mtu, metric, vlan, isolate, mode, no_default_route, {', '.join(_DOCKER)}",
            )
    return result


def _labels(items: list[str]) -> dict[str, dict[str, str]]:
    labels = {}
    for item in items:
        key, _, value = item.partition("=")
        if not key:
            raise UsageError(f"invalid label {item!r}", "a label is KEY or KEY=VALUE")
        labels[key] = value
    return {"labels": dict(sorted(labels.items()))} if labels else {}


def _subnets_of(record: Record) -> list[Subnet]:
    return [subnets.parse_cidr(entry["subnet"])[0] for entry in record.get("subnets") or []]


def _entries(opts: dict[str, Any], conf: dict[str, Any], used: list[Subnet], without_gateway: bool) -> list[dict[str, Any]]:
    """The subnets with gateways and ranges, in the order given; free ones where none is given."""
    given = [subnets.parse_cidr(str(text))[0] for text in opts.get("subnet") or []]
    gateways, ranges = list(opts.get("gateway") or []), list(opts.get("ip_range") or [])
    if len(gateways) > len(given) or len(ranges) > len(given):
        raise UsageError("cannot use --gateway or --ip-range", "each belongs to a --subnet, in the same order", "give --subnet too")
    chosen: list[Subnet] = []
    for subnet in given:
        subnets.check_usable(subnet)
        for other in [*used, *chosen]:
            if subnets.overlap(subnet, other):
                raise UsageError(
                    f"cannot use subnet {subnets.cidr_text(subnet)}",
                    f"it overlaps {subnets.cidr_text(other)}, which the host or another network uses",
                    "choose another one, or leave --subnet out",
                )
        chosen.append(subnet)
    if not given or (opts.get("ipv6") and not any(subnet[0] == 4 for subnet in given)):  # --ipv6 means both
        chosen.append(free_v4(conf, [*used, *chosen]))
    if opts.get("ipv6") and not any(subnet[0] == 6 for subnet in chosen):
        chosen.append(free_v6(used))
    entries = []
    for index, subnet in enumerate(chosen):
        entry: dict[str, Any] = {"subnet": subnets.cidr_text(subnet)}
        if index < len(gateways) and gateways[index]:
            gateway = subnets.parse_ip(str(gateways[index]))
            if not subnets.contains(subnet, gateway):
                raise UsageError(f"invalid gateway {gateways[index]}", f"it is not inside the subnet {entry['subnet']}")
            if gateway[1] == subnet[1] or (gateway[0] == 4 and gateway[1] == subnets.last(subnet)):
                raise UsageError(f"invalid gateway {gateways[index]}", "it is the subnet's own or its broadcast address")
            entry["gateway"] = subnets.ip_text(gateway)
        elif not without_gateway:
            entry["gateway"] = subnets.ip_text((subnet[0], subnet[1] + 1))
        if index < len(ranges) and ranges[index]:
            first, end = subnets.parse_range(str(ranges[index]), subnet)
            entry["lease_range"] = {"start_ip": first, "end_ip": end}
        entries.append(entry)
    return entries


def free_v4(conf: dict[str, Any], used: list[Subnet]) -> Subnet:
    """The first subnet of the configured pools that overlaps none of `used`. UsageError."""
    for text in conf["network"].get("default_subnet_pools") or []:
        base, _, size = str(text).rpartition(":")
        pool, _ = subnets.parse_cidr(base)
        prefix = int(size) if is_whole(size) else -1
        if pool[0] != 4 or not pool[2] <= prefix <= 30:
            raise UsageError(f"invalid entry {text!r} of network.default_subnet_pools", "the form is SUBNET:PREFIX-LENGTH")
        subnets.check_usable(pool if pool[2] < 31 else (4, pool[1], prefix))
        number = pool[1]
        while number <= subnets.last(pool):
            candidate = (4, number, prefix)
            clash = next((other for other in used if subnets.overlap(candidate, other)), None)
            if clash is None:
                return candidate
            step = 1 << (32 - prefix)
            number = max(number + step, (subnets.last(clash) // step + 1) * step)
    raise UsageError("cannot find a free subnet", "all of network.default_subnet_pools are in use", "give --subnet")


def free_v6(used: list[Subnet]) -> Subnet:
    """A subnet of 64 bits with a random global id (RFC 4193)."""
    while True:
        candidate = (6, int.from_bytes(b"\xfd" + os.urandom(7) + bytes(8), "big"), 64)
        if not any(subnets.overlap(candidate, other) for other in used):
            return candidate


def _route(text: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """--route DESTINATION,GATEWAY[,METRIC]. UsageError."""
    parts = text.split(",")
    if len(parts) not in (2, 3):
        raise UsageError(f"invalid route {text!r}", "the form is DESTINATION,GATEWAY[,METRIC]", "for example: 10.1.0.0/24,10.5.0.10")
    destination, written = subnets.parse_cidr(parts[0])
    gateway = subnets.parse_ip(parts[1])
    if written[1] != destination[1]:
        raise UsageError(f"invalid route {text!r}", f"{parts[0]} is an address in {subnets.cidr_text(destination)}, not a subnet")
    subnets.check_destination(destination)
    if gateway[0] != destination[0]:
        raise UsageError(f"invalid route {text!r}", "destination and gateway are of different versions of IP")
    if len(parts) == 3:
        _number("metric", parts[2], (1 << 32) - 1)
    if entries and not any(subnets.contains(subnets.parse_cidr(entry["subnet"])[0], gateway) for entry in entries):
        raise UsageError(f"invalid route {text!r}", "the gateway is in none of the network's subnets")
    return {
        "destination": subnets.cidr_text(destination),
        "gateway": subnets.ip_text(gateway),
        **({"metric": int(parts[2])} if len(parts) == 3 else {}),
    }
