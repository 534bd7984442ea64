""".image and .artifact files: a service that pulls what they name. Generator or CLI process."""

from __future__ import annotations

from pyman.systemd import words
from pyman.systemd.quadlet import commandline, keys
from pyman.systemd.unitfile import unquoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.systemd.quadlet.service import Service
    from pyman.systemd.quadlet.sources import Quadlets
    from pyman.systemd.unitfile import UnitFile


def translate(unit: UnitFile, service: Service, quadlets: Quadlets) -> None:
    """Fill `service`; problems are noted in `unit`. Section, key and command have the name of the kind."""
    kind = keys.kind_of(unit.name)
    section = keys.section(kind)
    entry = unit.last(section, section)
    if entry is None or not entry.value:
        unit.complain(None, f"no {section}= in [{section}]" if section in unit.lines else f"there is no section [{section}]")
        return
    command = commandline.base(unit, kind, "pull")
    command += commandline.by_table(unit)
    command += commandline.last_options(unit)
    command += commandline.positional(unit, entry, unquoted(entry.value))
    service.add("Service", "ExecStart", words.join(command))
    commandline.oneshot(service)
