"""Quadlet's folders: where files are looked for, which of two with one name counts, and their drop-ins. Generator or CLI process."""

from __future__ import annotations

import os

from pyman.systemd import names, unitfile
from pyman.systemd.quadlet import keys

ADMIN = "/etc/containers/systemd"
SYSTEM = ("/run/containers/systemd", ADMIN, "/usr/share/containers/systemd")
DEEPEST = 16  # directories below a folder


def own_folder() -> str:
    """Where a user's own files lie, and where `install` puts them."""
    config = os.environ.get("XDG_CONFIG_HOME", "")
    if not config.startswith("/"):
        config = os.path.join(os.environ.get("HOME") or os.path.expanduser("~"), ".config")
    return os.path.join(config, "containers", "systemd")


def folders(user: bool) -> list[str]:
    """The folders with all those below them, in the order in which their files count.

    QUADLET_UNIT_DIRS (absolute paths, separated by colons) replaces them all. Links are followed; each folder comes once.
    """
    found: dict[str, None] = {}
    given = os.environ.get("QUADLET_UNIT_DIRS", "")
    if given:
        for place in given.split(":"):
            if place.startswith("/"):
                _below(place, found, "")
        return list(found)
    users = os.path.realpath(os.path.join(ADMIN, "users"))
    if not user:
        for place in SYSTEM:
            _below(place, found, users)
        return list(found)
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/"):
        _below(os.path.join(runtime, "containers", "systemd"), found, "")
    _below(own_folder(), found, "")
    _below(os.path.join(ADMIN, "users"), found, "", numbered=False)
    _below(os.path.join(ADMIN, "users", str(os.getuid())), found, "")
    return list(found)


def _below(place: str, found: dict[str, None], without: str, deep: int = 0, numbered: bool = True) -> None:
    """Add a folder and those below it. without: a folder that is left out; numbered: folders of other users' numbers belong to it too."""
    place = os.path.realpath(place)
    if place in found or place == without or place.endswith(".d") or deep > DEEPEST or not os.path.isdir(place):
        return
    found[place] = None
    for name in _entries(place):
        if numbered or not name.isdigit():
            _below(os.path.join(place, name), found, without, deep + 1)


def _entries(place: str) -> list[str]:
    try:
        return sorted(os.listdir(place))
    except OSError:
        return []


class Quadlets:
    """All Quadlet files of some folders, by name; `services`: the names of the services that their files become."""

    def __init__(self, places: list[str]) -> None:
        self.places = places
        self.units: dict[str, unitfile.UnitFile] = {}
        listed = {place: _entries(place) for place in places}
        for place in places:
            for name in listed[place]:
                path = os.path.join(place, name)
                if keys.kind_of(name) and name not in self.units and not os.path.isdir(path):
                    self.units[name] = unitfile.read(path)
        # A link to /dev/null hides the files of that name, as it does for systemd's own.
        self.units = {name: unit for name, unit in self.units.items() if os.path.realpath(unit.path) != os.devnull}
        directories = {(place, name) for place in places for name in listed[place] if name.endswith(".d")}
        if directories:
            for unit in self.units.values():
                self._add_drop_ins(unit, directories)

    def add(self, path: str) -> unitfile.UnitFile:
        """One more file, which counts before those of the folders; with the drop-ins beside it."""
        unit = unitfile.read(path)
        place = os.path.dirname(path)
        self._add_drop_ins(unit, {(place, name) for name in _entries(place) if name.endswith(".d")}, (place,))
        self.units[unit.name] = unit
        return unit

    def _add_drop_ins(self, unit: unitfile.UnitFile, directories: set[tuple[str, str]], first: tuple[str, ...] = ()) -> None:
        chosen: dict[str, str] = {}
        for directory in names.drop_in_directories(unit.name):
            for place in (*first, *self.places):
                if (place, directory) not in directories:
                    continue
                for name in _entries(os.path.join(place, directory)):
                    if name.endswith(".conf"):
                        chosen.setdefault(name, os.path.join(place, directory, name))
        for _, path in sorted(chosen.items()):
            if os.path.realpath(path) != os.devnull:
                unit.merge(unitfile.read(path))

    def service(self, name: str) -> str:
        """The name of the service, without .service, that the file `name` becomes."""
        unit = self.units[name]
        kind = keys.kind_of(name)
        given = unit.text(keys.section(kind), "ServiceName")
        return given if given and names.valid(given + ".service") else default_service(name)

    def resource(self, name: str) -> str:
        """What the file's container, volume, network, image or artifact is called; specifiers of its own unit stand in it as they are."""
        unit = self.units[name]
        kind = keys.kind_of(name)
        section = keys.section(kind)
        if kind == "image":
            return unit.text(section, "ImageTag") or unit.text(section, "Image")
        if kind == "artifact":
            return unit.text(section, "Artifact")
        given = unit.text(section, section + "Name")
        if given:
            return given
        stem = name.rpartition(".")[0]
        base, _, is_template = names.template(stem)
        if kind == "container":
            return "systemd-%p_%i" if is_template else "systemd-%N"
        return f"systemd-{base}-%i" if is_template else f"systemd-{stem}"


def default_service(name: str) -> str:
    """The service's name where the file gives none: that of the file, and what is appended for its kind (before the @ of a template)."""
    stem = name.rpartition(".")[0]
    if not names.valid(stem):
        stem = names.escaped(stem)
    suffix = keys.suffix(keys.kind_of(name))
    return f"{stem[:-1]}{suffix}@" if stem.endswith("@") else stem + suffix
