"""The Quadlet files of this user with their units and what those do. CLI process."""

from __future__ import annotations

import fnmatch

from pyman.errors import PymanError, UsageError
from pyman.systemd import manager
from pyman.systemd.quadlet import convert, installed, sources


def rows(filters: list[str]) -> list[dict[str, str]]:
    """Name, UnitName, Path, Status and App of each file. UsageError for a filter that does not exist."""
    patterns = []
    for item in filters:
        key, equals, value = item.partition("=")
        if key != "name" or not equals:
            raise UsageError(f"invalid filter {item!r}", "Quadlet files are filtered by name=PATTERN")
        patterns.append(value)
    quadlets = sources.Quadlets(sources.folders(True))
    apps = {name: app for app, members in installed.app_files(sources.own_folder()).items() for name in members}
    found = []
    for made in convert.convert_all(quadlets, True):
        unit = next(unit for unit in quadlets.units.values() if unit.path == made.source)
        if not patterns or any(fnmatch.fnmatchcase(unit.name, pattern) for pattern in patterns):
            broken = next((str(problem) for problem in unit.problems if not problem.warning), "")
            found.append({"Name": unit.name, "UnitName": made.name, "Path": unit.path, "Status": broken, "App": apps.get(unit.name, "")})
    states: dict[str, str] = {}
    if manager.running():
        try:
            states = manager.states([row["UnitName"] for row in found])
        except PymanError:
            pass  # it ends just now: nothing is loaded
    for row in found:
        row["Status"] = states.get(row["UnitName"], "Not loaded") + (f" ({row['Status']})" if row["Status"] else "")
    return sorted(found, key=lambda row: row["Name"])
