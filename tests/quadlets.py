"""What generated units mean: two generators' output is compared by what systemd and pyman would do with it, not by its letters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyman.cli import parse
from pyman.systemd import unitfile, words

FILES = Path(__file__).parent / "vm" / "quadlets"
_LISTS = {"After", "Before", "Requires", "Wants", "BindsTo", "RequiresMountsFor", "Environment"}
_NAMES = {"podman-user-wait-network-online.service": "pyman-user-wait-network-online.service", "%t/containers": "%t/pyman"}


def units(text: str) -> dict[str, unitfile.UnitFile]:
    """The units of what a generator prints with --dryrun."""
    found = {}
    for piece in text.split("\n---")[0:] if text.startswith("---") else []:
        name, _, body = piece.removeprefix("---").partition("---\n")
        unit = unitfile.UnitFile(name)
        unitfile.parse(unit, body.encode())
        assert not unit.problems, [str(problem) for problem in unit.problems]
        found[name.rsplit("/", 1)[-1]] = unit
    return found


def command(line: str) -> dict[str, Any]:
    """What a command line means: `ignored` for a minus before it, the command, its options, its arguments."""
    argv = words.split(line)
    ignored = argv[0].startswith("-")
    parsed = parse.parse(argv[1:])
    assert parsed.command is not None, line
    options = {key: sorted(value) if isinstance(value, list) else value for key, value in parsed.options.items()}
    for key in ("cap_add", "cap_drop"):
        options[key] = [name.lower() for name in options.get(key, [])]
    return {"ignored": ignored, "command": parsed.command.module, "options": options, "args": parsed.args, "globals": dict(parsed.globals)}


def meaning(unit: unitfile.UnitFile) -> dict[str, Any]:
    """Sections and keys with their values; command lines as what they mean; what both must say in the same order stays in it."""
    found: dict[str, Any] = {}
    for section, entries in unit.sections.items():
        if section.startswith("X-"):
            continue
        for entry in entries:
            values = found.setdefault(f"{section}.{entry.key}", [])
            if entry.key.startswith("Exec") and entry.value.split(" ")[0].endswith(("/podman", "/pyman")):
                values.append(command(entry.value))
            elif entry.key in _LISTS:
                values += [_NAMES.get(word, word) for word in words.split(entry.value)]
            else:
                values.append(entry.value)
    return {key: sorted(value) if key.partition(".")[2] in _LISTS else value for key, value in found.items()}


def by_name(found: dict[str, Any]) -> dict[str, Any]:
    """Podman's units before 5.6 find the container to remove by a file with its id; the same by its name, as later ones have it."""
    for start in found.get("Service.ExecStart", []):
        if start["options"].get("cidfile") == "%t/%N.cid":
            start["options"]["cidfile"] = ""
            for each in (*found["Service.ExecStop"], *found["Service.ExecStopPost"]):
                if each["options"]["cidfile"] == ["%t/%N.cid"]:
                    each["options"]["cidfile"] = []
                    each["args"] = [start["options"]["name"]]
    return found
