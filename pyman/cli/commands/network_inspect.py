"""`pyman network inspect`. CLI process."""

from __future__ import annotations

from pyman.cli.commands import inspect
from pyman.cli.dispatch import print_error
from pyman.cli.output import print_text
from pyman.engine import networks
from pyman.errors import PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FIELDS = {
    "ID": "id",
    "Name": "name",
    "Driver": "driver",
    "NetworkInterface": "network_interface",
    "Created": "created",
    "Subnets": "subnets",
    "Routes": "routes",
    "IPv6Enabled": "ipv6_enabled",
    "Internal": "internal",
    "DNSEnabled": "dns_enabled",
    "NetworkDNSServers": "network_dns_servers",
    "Labels": "labels",
    "Options": "options",
    "IPAMOptions": "ipam_options",
    "Containers": "containers",
}
_EMPTY: dict[str, Any] = {"Subnets": [], "Routes": [], "NetworkDNSServers": [], "Labels": {}, "Options": {}, "Containers": {}}


def fields(record: dict[str, Any]) -> dict[str, Any]:
    """A network by the names that templates use."""
    named = {name: record.get(key, _EMPTY.get(name, "")) for name, key in _FIELDS.items()}
    named["Subnets"] = [
        {
            "Subnet": entry["subnet"],
            "Gateway": entry.get("gateway", ""),
            "LeaseRange": {"StartIP": entry["lease_range"].get("start_ip", ""), "EndIP": entry["lease_range"].get("end_ip", "")}
            if entry.get("lease_range")
            else None,
        }
        for entry in named["Subnets"]
    ]
    named["Routes"] = [
        {"Destination": route["destination"], "Gateway": route["gateway"], "Metric": route.get("metric")} for route in named["Routes"]
    ]
    return {**named, "Network": named}


def main(opts: Any, args: list[str]) -> int:
    """Print a JSON list, or a template's result per network. 125 if one does not exist."""
    if not args:
        raise UsageError("no network given", "inspect needs at least one name or id")
    found, code = [], 0
    for name in args:
        try:
            found.append(networks.inspect(name))
        except PymanError as err:
            print_error(err)
            code = 125
    if opts["format"] and opts["format"] != "json":
        from pyman.cli import gotemplate

        compiled, _ = gotemplate.compile_format(opts["format"])
        for record in found:
            print_text(compiled(fields(record)))
    else:
        inspect.show(found, "")
    return code
