"""Quadlet files to services: each becomes one, if only one that fails with the reason. Generator or CLI process."""

from __future__ import annotations

from pyman.systemd import names
from pyman.systemd.quadlet import container, image, keys, network, service, volume
from pyman.systemd.quadlet.sources import default_service
from pyman.systemd.unitfile import LARGEST

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.systemd.quadlet.service import Service
    from pyman.systemd.quadlet.sources import Quadlets
    from pyman.systemd.unitfile import UnitFile

_TRANSLATORS = {
    "artifact": image.translate,
    "container": container.translate,
    "image": image.translate,
    "network": network.translate,
    "volume": volume.translate,
}


def convert(unit: UnitFile, quadlets: Quadlets, user: bool) -> Service:
    """The service of one file; what is wrong with the file is in `unit.problems` afterwards."""
    kind = keys.kind_of(unit.name)
    if kind in keys.LATER:
        unit.complain(None, keys.LATER[kind][2])
    if not names.valid(unit.name.rpartition(".")[0]):
        unit.complain(None, "units are not named like that: use letters, digits and :-_.\\@")
    own = unit.last(keys.section(kind), "ServiceName")
    if own and not names.valid(own.value + ".service"):
        unit.complain(own, f"ServiceName={own.value[:60]}: units are not named like that: use letters, digits and :-_.\\@")
    made = None
    if not unit.broken:
        made = service.begin(unit, quadlets, user)
        _TRANSLATORS[kind](unit, made, quadlets)
        for section, lines in made.sections.items():
            for key, value in lines:
                if len(value) >= LARGEST // 4 and len(f"{key}={value}".encode("utf-8", "backslashreplace")) >= LARGEST:
                    unit.complain(None, f"{key}= of [{section}] would be longer than {LARGEST >> 10} KiB, the most that systemd reads")
    return made if made and not unit.broken else service.failed(unit, quadlets.service(unit.name) + ".service")


def convert_all(quadlets: Quadlets, user: bool) -> list[Service]:
    """The services of all files, in the order of their names. Of two that would have one name, the second fails under its file's."""
    found: dict[str, Service] = {}
    for name, unit in sorted(quadlets.units.items()):
        made = convert(unit, quadlets, user)
        if made.name in found:
            unit.complain(None, f"{found[made.name].source} already makes {made.name}; give one of them another ServiceName=")
            made = service.failed(unit, default_service(name) + ".service")
        found.setdefault(made.name, made)
    return list(found.values())
