"""registries.conf (v2) and its drop-ins: search list, aliases, insecure and blocked registries, mirrors by location. Slow path."""

from __future__ import annotations

import os

from pyman import paths
from pyman.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Registries:
    """What the files say: `search` (unqualified-search-registries), `aliases`, `tables` ([[registry]] entries)."""

    __slots__ = ("aliases", "search", "tables")

    def __init__(self) -> None:
        self.search: list[str] = []
        self.aliases: dict[str, str] = {}
        self.tables: list[dict[str, Any]] = []

    def find(self, name: str) -> dict[str, Any]:
        """The [[registry]] entry with the longest prefix of `name` (registry/repository), or an empty one."""
        best: dict[str, Any] = {}
        for table in self.tables:
            prefix = str(table.get("prefix") or table.get("location") or "")
            hit = (
                name == prefix
                or name.startswith((prefix + "/", prefix + ":"))
                or (prefix.startswith("*.") and name.split("/")[0].endswith(prefix[1:]))
            )
            if prefix and hit and len(prefix) > len(str(best.get("prefix") or best.get("location") or "")):
                best = table
        return best


def files() -> list[str]:
    """The files that are read: the user's (or the system's) registries.conf, then drop-ins; $CONTAINERS_REGISTRIES_CONF alone if set."""
    if os.environ.get("CONTAINERS_REGISTRIES_CONF"):
        return [os.environ["CONTAINERS_REGISTRIES_CONF"]]
    user = os.path.join(paths.confdir(), "containers")
    main = next(
        (
            path
            for path in (os.path.join(user, "registries.conf"), "/etc/containers/registries.conf", "/usr/share/containers/registries.conf")
            if os.path.exists(path)
        ),
        "",
    )
    found = [main] if main else []
    for directory in ("/etc/containers/registries.conf.d", os.path.join(user, "registries.conf.d")):
        try:
            found += [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if name.endswith(".conf")]
        except OSError:
            continue
    return found


def load() -> Registries:
    """Read all files, later ones winning. ConfigError names the file."""
    from pyman.config import load as loader

    result = Registries()
    for path in files():
        data = loader.parse_file(path)
        result.search = [str(name) for name in data.get("unqualified-search-registries", result.search)]
        aliases = data.get("aliases", {})
        tables = data.get("registry", [])
        if not isinstance(aliases, dict) or not isinstance(tables, list):
            raise ConfigError(f"cannot use {path}", "[aliases] must be a table and [[registry]] a list of tables")
        result.aliases.update({str(key): str(value) for key, value in aliases.items()})
        result.tables += [table for table in tables if isinstance(table, dict)]
    return result
