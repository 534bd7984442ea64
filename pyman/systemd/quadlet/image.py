""".image files: a service that pulls an image. Generator or CLI process."""

from __future__ import annotations

from pyman.systemd import words
from pyman.systemd.quadlet import commandline
from pyman.systemd.unitfile import unquoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.systemd.quadlet.service import Service
    from pyman.systemd.quadlet.sources import Quadlets
    from pyman.systemd.unitfile import UnitFile

SECTION = "Image"


def translate(unit: UnitFile, service: Service, quadlets: Quadlets) -> None:
    """Fill `service`; problems are noted in `unit`."""
    entry = unit.last(SECTION, "Image")
    if entry is None or not entry.value:
        unit.complain(None, f"no Image= in [{SECTION}]" if SECTION in unit.lines else f"there is no section [{SECTION}]")
        return
    command = commandline.base(unit, "image", "pull")
    command += commandline.by_table(unit)
    command += commandline.last_options(unit)
    command += commandline.positional(unit, entry, unquoted(entry.value))
    service.add("Service", "ExecStart", words.join(command))
    commandline.oneshot(service)
