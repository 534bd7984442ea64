"""What a container is connected to: Network=, Volume= and Mount=, and the services that must run before it for their sake."""

from __future__ import annotations

from pyman.config import fields
from pyman.systemd.quadlet import commandline, keys
from pyman.systemd.quadlet.commandline import option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.systemd.quadlet.service import Service
    from pyman.systemd.quadlet.sources import Quadlets
    from pyman.systemd.unitfile import Entry, UnitFile

SECTION = "Container"
_WITH_SOURCE = ("bind", "volume", "glob", "image", "artifact")


def networks(unit: UnitFile, service: Service, quadlets: Quadlets) -> list[str]:
    """--network for each Network=; the file of a network, or of a container to share one with, becomes a dependency."""
    found = []
    for entry in unit.entries(SECTION, "Network"):
        name, colon, options = entry.value.partition(":")
        kind = keys.kind_of(name)
        if kind not in ("network", "container") or (name == "container" and colon):
            found.append(option("network", entry.value))
            continue
        if name not in quadlets.units:
            unit.complain(entry, f"Network={name}: there is no such file in Quadlet's folders")
            continue
        service.need(quadlets.service(name))
        resource = quadlets.resource(name)
        if kind == "network":
            found.append(option("network", resource + colon + options))
            continue
        resource = resource.replace("%N", quadlets.service(name))
        if "%" in resource:
            unit.complain(entry, f"Network={name}: the name of that container is only known when its unit runs; set ContainerName= there")
        if colon:
            unit.complain(entry, f"Network={entry.value[:60]}: options cannot be given when another container's network is joined")
        found.append(option("network", f"container:{resource}"))
    return found


def volumes(unit: UnitFile, service: Service, quadlets: Quadlets) -> list[str]:
    """--volume for each Volume=, with the volume of a .volume file."""
    found = []
    for entry in unit.entries(SECTION, "Volume"):
        first, colon, rest = entry.value.partition(":")
        if colon and first:
            first = commandline.source(unit, entry, first, service, quadlets, ("volume", "artifact"))
        found.append(option("volume", first + colon + rest))
    return found


def mounts(unit: UnitFile, service: Service, quadlets: Quadlets) -> list[str]:
    """--mount for each word of Mount=, with the volume, image or artifact of a file as its source."""
    return [option("mount", _mount(unit, entry, word, service, quadlets)) for entry, word in unit.words(SECTION, "Mount", True)]


def _mount(unit: UnitFile, entry: Entry, text: str, service: Service, quadlets: Quadlets) -> str:
    try:
        parts = fields.split(text)
    except ValueError as err:
        unit.complain(entry, f"Mount=: {err}")
        return text
    kind = next((field[5:] for field in parts if field.startswith("type=")), "volume")
    if kind not in _WITH_SOURCE:
        return text
    changed = False
    for index, field in enumerate(parts):
        name, equals, value = field.partition("=")
        if name not in ("source", "src"):
            continue
        if not equals or not value:
            unit.complain(entry, f"Mount=: {name} has no value")
            continue
        found = commandline.source(unit, entry, value, service, quadlets, ("volume", "image", "artifact"))
        parts[index] = f"source={found}"
        changed = changed or found != value
    return fields.join(parts) if changed else text
