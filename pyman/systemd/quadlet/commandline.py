"""Command lines of generated units: the options that a table of keys gives, and positionals that cannot become options."""

from __future__ import annotations

import os

from pyman.systemd import words
from pyman.systemd.quadlet import keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.systemd.quadlet.service import Service
    from pyman.systemd.quadlet.sources import Quadlets
    from pyman.systemd.unitfile import Entry, UnitFile

_program = ""


def program() -> str:
    """The path of pyman for the units: $PYMAN, the command of this installation, or the first in the usual places."""
    global _program
    if not _program:
        import sys

        beside = os.path.join(os.path.dirname(sys.executable), "pyman")
        usual = [beside, "/usr/local/bin/pyman", "/usr/bin/pyman"]
        _program = os.environ.get("PYMAN") or next((path for path in usual if os.access(path, os.X_OK)), "/usr/bin/pyman")
    return _program


def base(unit: UnitFile, *command: str) -> list[str]:
    """pyman, ContainersConfModule=, GlobalArgs=, and the command."""
    section = keys.section(keys.kind_of(unit.name))
    modules = [option("module", entry.value) for entry in unit.entries(section, "ContainersConfModule")]
    return [program(), *modules, *(word for _, word in unit.words(section, "GlobalArgs", True)), *command]


def option(name: str, value: str) -> str:
    """--name=value in one word, whatever the value is. `name` may hold the beginning of the value: security-opt=label=."""
    return f"--{name}{words.one(value)}" if name.endswith(("=", ":")) else f"--{name}={words.one(value)}"


def by_table(unit: UnitFile) -> list[str]:
    """The options of all keys that need no translator, in the table's order."""
    kind = keys.kind_of(unit.name)
    section = keys.section(kind)
    found: list[str] = []
    for key in keys.of(kind).values():
        if key.how == "one":
            value = unit.text(section, key.name)
            found += [option(key.option, value)] if value else []
        elif key.how == "each":
            found += [option(key.option, entry.value) for entry in unit.entries(section, key.name)]
        elif key.how in ("word", "arg"):
            found += [option(key.option, word) for _, word in unit.words(section, key.name, key.how == "arg")]
        elif key.how == "pair":
            pairs = unit.pairs(section, key.name)
            found += [option(key.option, name if value is None else f"{name}={value}") for name, value in pairs.items()]
        elif key.how == "bool":
            value_ = unit.boolean(section, key.name)
            found += [] if value_ is None else [f"--{key.option}" if value_ else f"--{key.option}=false"]
    return found


def last_options(unit: UnitFile) -> list[str]:
    """PodmanArgs=: what stands before the positionals."""
    section = keys.section(keys.kind_of(unit.name))
    return [word for _, word in unit.words(section, "PodmanArgs", True)]


def positional(unit: UnitFile, entry: Entry | None, value: str) -> list[str]:
    """A value that is no option: what begins with - is a problem; what systemd puts in later is kept from being one."""
    if value.startswith("-"):
        unit.complain(entry, f"{entry.key if entry else 'name'}={value[:60]} begins with -, as only options do")
    return ["--", words.one(value)] if value.startswith(("%", "$")) else [value]


def oneshot(service: Service) -> None:
    """What services have that make something once."""
    service.default("Service", "SyslogIdentifier", "%N")
    service.default("Service", "Type", "oneshot")
    service.default("Service", "RemainAfterExit", "yes")


def place(unit: UnitFile, path: str) -> str:
    """`path` as seen from the folder of the file; specifiers at its beginning stay."""
    if path.startswith("/") or (path.startswith("%") and not path.startswith("%%")):
        return path
    return os.path.normpath(words.plain(os.path.dirname(os.path.abspath(unit.path))) + "/" + path)


def image(unit: UnitFile, entry: Entry, service: Service, quadlets: Quadlets) -> str:
    """The image that Image= means: that of an .image file, which is pulled before, or the name as it is."""
    name = unquoted(entry)
    kind = keys.kind_of(name) if name.endswith((".image", ".build")) else ""
    if kind == "build":
        unit.complain(entry, f"{entry.key}={name}: {keys.LATER['build'][2]}")
    elif kind and name not in quadlets.units:
        unit.complain(entry, f"{entry.key}={name}: there is no such file in Quadlet's folders")
    elif kind:
        service.need(quadlets.service(name))
        name = quadlets.resource(name)
    elif not _is_unambiguous(name):
        unit.complain(entry, f"{entry.key}={name[:60]} does not name a registry; the unit has nobody to ask which is meant", warning=True)
    return name


def unquoted(entry: Entry) -> str:
    """An entry's value without a pair of double quotes."""
    from pyman.systemd import unitfile

    return unitfile.unquoted(entry.value)


def _is_unambiguous(name: str) -> bool:
    """Whether an image's name tells its registry, or is an id or an archive's."""
    if name.startswith(("sha256:", "%", "$", "/")) or (len(name) == 64 and all(char in "0123456789abcdefABCDEF" for char in name)):
        return True
    host, slash, _ = name.partition("/")
    return bool(slash) and ("." in host or ":" in host or host == "localhost")


def source(unit: UnitFile, entry: Entry, value: str, service: Service, quadlets: Quadlets, kinds: tuple[str, ...]) -> str:
    """What a volume or mount takes its files from: a path is made absolute and waited for, a Quadlet file of these kinds started before."""
    if value.startswith("."):
        value = place(unit, value)
    if value.startswith("/"):
        service.add("Unit", "RequiresMountsFor", words.quote(value))
    elif keys.kind_of(value) in kinds:
        if value not in quadlets.units:
            unit.complain(entry, f"{entry.key}={value}: there is no such file in Quadlet's folders")
            return value
        service.need(quadlets.service(value))
        value = quadlets.resource(value)
    return value
