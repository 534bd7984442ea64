"""`pyman network inspect`. CLI process."""

from __future__ import annotations

from pyman.cli import gotemplate_time
from pyman.cli.commands import inspect
from pyman.cli.dispatch import print_error
from pyman.cli.go_types import RawList, RawMap
from pyman.cli.output import print_filled
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


def _subnet(entry: dict[str, Any]) -> RawMap:
    leased = entry.get("lease_range")
    named = RawMap({"StartIP": leased.get("start_ip", ""), "EndIP": leased.get("end_ip", "")}, leased) if leased else None
    return RawMap({"Subnet": entry["subnet"], "Gateway": entry.get("gateway", ""), "LeaseRange": named}, entry)


def _route(entry: dict[str, Any]) -> RawMap:
    return RawMap({"Destination": entry["destination"], "Gateway": entry["gateway"], "Metric": entry.get("metric")}, entry)


def fields(record: dict[str, Any]) -> dict[str, Any]:
    """A network by the names that templates use."""
    named: dict[str, Any] = {name: record.get(key, "") for name, key in _FIELDS.items()}
    named["Created"] = gotemplate_time.Moment(named["Created"])
    named["Subnets"] = RawList([_subnet(entry) for entry in record.get("subnets") or []], record.get("subnets"))
    named["Routes"] = RawList([_route(entry) for entry in record.get("routes") or []], record.get("routes"))
    named["NetworkDNSServers"] = RawList(record.get("network_dns_servers") or [], record.get("network_dns_servers"))
    for name in ("Labels", "Options", "Containers"):
        named[name] = RawMap(record.get(_FIELDS[name]) or {}, record.get(_FIELDS[name]))
    network = RawMap({name: value for name, value in named.items() if name != "Containers"}, _without_containers(record))
    return RawMap({**named, "Network": network}, record)


def _without_containers(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "containers"}


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
            print_filled(compiled, fields(record))
    else:
        inspect.show(found, "")
    return code
