"""Which networks a container is attached to, and how: --network NAME[:OPTIONS] and its companions. CLI process, pure.

An attachment is plain data: {"name", "ips", "mac", "aliases", "interface", "host_interface"}; ips are texts of both versions.
"""

from __future__ import annotations

from pyman.errors import UsageError
from pyman.network import config, subnets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PRIVATE = ("pasta", "slirp4netns", "none", "host", "container", "ns", "pod", "private", "default", "")
_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"


def is_bridge(value: str) -> bool:
    """Whether a value of --network names a network, rather than another mode."""
    return value.split(":", 1)[0] not in PRIVATE


def check_alias(name: str) -> str:
    """The name, if the name server can know it. UsageError."""
    if not name or name.strip(_NAME) or len(name) > 253 or any(len(part) > 63 for part in name.split(".")):
        raise UsageError(f"invalid network alias {name!r}", "a name has letters, digits, and _ . - between them, at most 63 in a part")
    return name


def _options(text: str, spec: str, made: dict[str, Any]) -> None:
    for item in text.split(","):
        if not item:
            continue
        key, equals, value = item.partition("=")
        if not equals or not value:
            raise UsageError(f"invalid network option {item!r} in {spec!r}", "the form is KEY=VALUE")
        if key in ("ip", "ip6"):
            address = subnets.parse_ip(value)
            if key == "ip6" and address[0] != 6:
                raise UsageError(f"invalid IPv6 address {value!r} in {spec!r}", "it is an IPv4 address", "give it as ip=")
            made["ips"].append(subnets.ip_text(address))
        elif key == "mac":
            made["mac"] = subnets.mac_text(subnets.parse_mac(value))
        elif key == "alias":
            made["aliases"].append(check_alias(value))
        elif key in ("interface_name", "host_interface_name"):
            config.check_interface(value)
            made["interface" if key == "interface_name" else "host_interface"] = value
        else:
            raise UsageError(
                f"invalid network option {item!r} in {spec!r}", "known are ip, ip6, mac, alias, interface_name, host_interface_name"
            )


def new(name: str) -> dict[str, Any]:
    """An attachment to the network of that name, with nothing asked for."""
    return {"name": name, "ips": [], "mac": "", "aliases": [], "interface": "", "host_interface": ""}


def parse(opts: dict[str, Any], values: list[str], conf: dict[str, Any]) -> list[dict[str, Any]]:
    """The attachments that --network (`values`) and --ip, --ip6, --mac-address, --network-alias ask for. UsageError."""
    found: list[dict[str, Any]] = []
    for value in values:
        # Several names in the first option are an old spelling, which has no room for options.
        names = value.split(",") if ":" not in value and len(values) == 1 else [value]
        for spec in names:
            name, _, rest = spec.partition(":")
            if not is_bridge(name):
                raise UsageError(
                    f"cannot use network mode {name} together with networks", "only networks can be combined", "give --network once"
                )
            made = new(config.default_name(conf) if name == "bridge" else name)
            if any(other["name"] == made["name"] for other in found):
                raise UsageError(f"cannot use network {made['name']} twice", "two --network options name it")
            _options(rest, spec, made)
            found.append(made)
    for option, key in (("--ip", "ip"), ("--ip6", "ip6"), ("--mac-address", "mac_address")):
        value = str(opts.get(key) or "")
        if not value:
            continue
        if len(found) != 1:
            raise UsageError(
                f"cannot use {option}", "the container joins more than one network", "write --network NAME:ip=ADDRESS,mac=ADDRESS for each"
            )
        _options(f"{'mac' if key == 'mac_address' else key}={value}", option, found[0])
    for alias in opts.get("network_alias") or []:
        for made in found:
            made["aliases"].append(check_alias(str(alias)))
    return found


def sysctls() -> list[str]:
    """What the network namespace of a container on bridges is given, unless the user gives something else: NAME=VALUE.

    Segments may change their order between processors on their way over a bridge, and pasta, which knows no selective
    acknowledgements, drops those that come too early. bbr then goes on sending what will be dropped: transfers stand still for
    seconds. The way to pasta is memory, which needs no model; pasta's own connections keep the host's choice.
    """
    try:
        with open("/proc/sys/net/ipv4/tcp_congestion_control") as file:
            usual = file.read()
    except OSError:
        return []
    return ["net.ipv4.tcp_congestion_control=reno"] if usual.startswith("bbr") else []


def refuse_companions(opts: dict[str, Any], mode: str) -> None:
    """UsageError for options that only mean something on a network, used with another mode."""
    for option, key in (("--ip", "ip"), ("--ip6", "ip6"), ("--mac-address", "mac_address"), ("--network-alias", "network_alias")):
        if opts.get(key):
            raise UsageError(
                f"cannot use {option} with network mode {mode}",
                "addresses and names of a container belong to networks",
                "give --network NAME; pyman network create makes one",
            )
