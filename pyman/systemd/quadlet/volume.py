""".volume files: a service that makes sure of a volume. Generator or CLI process."""

from __future__ import annotations

from pyman.systemd import words
from pyman.systemd.quadlet import commandline
from pyman.systemd.quadlet.commandline import option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.systemd.quadlet.service import Service
    from pyman.systemd.quadlet.sources import Quadlets
    from pyman.systemd.unitfile import UnitFile

SECTION = "Volume"


def translate(unit: UnitFile, service: Service, quadlets: Quadlets) -> None:
    """Fill `service`; problems are noted in `unit`."""
    command = commandline.base(unit, "volume", "create", "--ignore")
    driver = unit.text(SECTION, "Driver")
    if driver:
        command.append(option("driver", driver))
    command += _image(unit, service, quadlets) if driver == "image" else _local(unit, service)
    command += commandline.by_table(unit)
    command += commandline.last_options(unit)
    command += commandline.positional(unit, unit.last(SECTION, "VolumeName"), quadlets.resource(unit.name))
    service.add("Service", "ExecStart", words.join(command))
    commandline.oneshot(service)


def _image(unit: UnitFile, service: Service, quadlets: Quadlets) -> list[str]:
    entry = unit.last(SECTION, "Image")
    if entry is None or not entry.value:
        unit.complain(unit.last(SECTION, "Driver"), "Driver=image needs Image=")
        return []
    return [option("opt", "image=" + commandline.image(unit, entry, service, quadlets))]


def _local(unit: UnitFile, service: Service) -> list[str]:
    command, mount_options = [], []
    for key, name in (("User", "uid"), ("Group", "gid")):
        entry = unit.last(SECTION, key)
        if entry and entry.value:
            if not entry.value.isdecimal():
                unit.complain(entry, f"{key}={entry.value[:40]} must be a number: names of the host mean nothing in a container")
            mount_options.append(f"{name}={entry.value}")
    copy = unit.boolean(SECTION, "Copy")
    if copy is not None:
        command.append("--opt=copy" if copy else "--opt=nocopy")
    device, kind, given = (unit.text(SECTION, key) for key in ("Device", "Type", "Options"))
    if not device:
        for key in ("Type", "Options"):
            if unit.text(SECTION, key):
                unit.complain(unit.last(SECTION, key), f"{key}= needs Device=")
        kind = given = ""
    else:
        command.append(option("opt", f"device={device}"))
    if kind:
        command.append(option("opt", f"type={kind}"))
        if kind == "bind":
            service.add("Unit", "RequiresMountsFor", words.quote(device))
    mount_options += [given] if given else []
    return command + ([option("opt", "o=" + ",".join(mount_options))] if mount_options else [])
