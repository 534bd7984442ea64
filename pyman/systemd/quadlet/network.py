""".network files: a service that makes sure of a network. Generator or CLI process."""

from __future__ import annotations

from pyman.systemd import words
from pyman.systemd.quadlet import commandline
from pyman.systemd.quadlet.commandline import option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.systemd.quadlet.service import Service
    from pyman.systemd.quadlet.sources import Quadlets
    from pyman.systemd.unitfile import UnitFile

SECTION = "Network"


def translate(unit: UnitFile, service: Service, quadlets: Quadlets) -> None:
    """Fill `service`; problems are noted in `unit`."""
    name = commandline.positional(unit, unit.last(SECTION, "NetworkName"), quadlets.resource(unit.name))
    if unit.boolean(SECTION, "NetworkDeleteOnStop"):
        service.add("Service", "ExecStopPost", words.join([*commandline.base(unit, "network", "rm"), *name]))
    command = commandline.base(unit, "network", "create", "--ignore")
    command += commandline.by_table(unit)
    command += _subnets(unit)
    command += commandline.last_options(unit)
    service.add("Service", "ExecStart", words.join(command + name))
    commandline.oneshot(service)


def _subnets(unit: UnitFile) -> list[str]:
    """Each subnet with the gateway and the range in the same place of their lists."""
    subnets, gateways, ranges = (unit.entries(SECTION, key) for key in ("Subnet", "Gateway", "IPRange"))
    for entries in (gateways, ranges):
        if len(entries) > len(subnets):
            unit.complain(entries[len(subnets)], f"more {entries[0].key}= than Subnet=")
    found = []
    for index, subnet in enumerate(subnets):
        found.append(option("subnet", subnet.value))
        found += [option("gateway", gateways[index].value)] if index < len(gateways) else []
        found += [option("ip-range", ranges[index].value)] if index < len(ranges) else []
    return found
