"""registries.conf (version 2) and its drop-ins (containers-registries.conf(5)): where a name leads, and who may be asked. Slow path."""

from __future__ import annotations

import os

from pyman import paths
from pyman.config import containers
from pyman.errors import ConfigError, RegistryError
from pyman.state import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MODES = ("enforcing", "permissive", "disabled")
_MIRROR_USES = ("", "all", "digest-only", "tag-only")


class Endpoint:
    """One place that serves a repository: host[:port], the repository's path there, whether TLS may be missing."""

    __slots__ = ("host", "insecure", "mirror", "repository")

    def __init__(self, host: str, repository: str, insecure: bool, mirror: bool = False) -> None:
        self.host = host
        self.repository = repository
        self.insecure = insecure
        self.mirror = mirror


class Registries:
    """What the files say: `search` (unqualified-search-registries), `aliases`, `tables` ([[registry]] by prefix), `mode`
    (short-name-mode), `helpers` (credential-helpers)."""

    __slots__ = ("aliases", "helpers", "mode", "search", "tables")

    def __init__(self) -> None:
        self.search: list[str] = []
        self.aliases: dict[str, str] = {}
        self.tables: dict[str, dict[str, Any]] = {}
        self.mode = "enforcing"
        self.helpers: list[str] = []

    def find(self, name: str) -> dict[str, Any]:
        """The [[registry]] entry with the longest prefix of `name` (registry/repository), or an empty one."""
        fitting = [prefix for prefix in self.tables if _fits(prefix, name)]
        return self.tables[max(fitting, key=len)] if fitting else {}

    def endpoints(self, registry: str, repository: str, *, digest: bool = False) -> list[Endpoint]:
        """Where to ask for a repository, in order: mirrors, then the registry itself. RegistryError if it is blocked.

        digest: whether the image is asked for by its digest, which mirrors may be limited to.
        """
        name = f"{registry}/{repository}"
        table = self.find(name)
        if table.get("blocked"):
            raise RegistryError(
                f"cannot use {name}",
                f"registries.conf blocks {table['prefix']}",
                "remove blocked = true there, if you may",
            )
        found = []
        for mirror in table.get("mirror") or []:
            use = mirror.get("pull-from-mirror") or ("digest-only" if table.get("mirror-by-digest-only") else "all")
            if use == "all" or (use == "digest-only") == digest:
                found.append(_rewritten(name, table["prefix"], mirror, mirror=True))
        return [*found, _rewritten(name, str(table.get("prefix") or ""), table)]


def _fits(prefix: str, name: str) -> bool:
    if prefix.startswith("*."):
        host = name.split("/", 1)[0]
        return host.endswith(prefix[1:]) or host.rpartition(":")[0].endswith(prefix[1:])
    return name == prefix or name.startswith((prefix + "/", prefix + ":", prefix + "@"))


def _rewritten(name: str, prefix: str, table: dict[str, Any], mirror: bool = False) -> Endpoint:
    """The endpoint of `name` by one table: its location stands where the prefix stood."""
    location = str(table.get("location") or "")
    if location and prefix.startswith("*."):
        target = location + "/" + name.partition("/")[2]
    elif location:
        target = location + name[len(prefix) :]
    else:
        target = name
    host, _, repository = target.partition("/")
    return Endpoint("registry-1.docker.io" if host == "docker.io" else host, repository, bool(table.get("insecure")), mirror)


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


_cached: Registries | None = None


def load() -> Registries:
    """Read all files, later ones winning; once, and from a parsed copy as long as they are what they were. ConfigError names file and entry."""
    global _cached
    if _cached is None:
        named = files()
        key, any_file = containers.key_of(named)
        saved = cache.get("registries.json", key) if any_file else None
        _cached = Registries()
        if saved is None:
            _read(_cached, named)
            saved = {name: getattr(_cached, name) for name in Registries.__slots__}
            if any_file:
                cache.put("registries.json", key, saved)
        else:
            for name in Registries.__slots__:
                setattr(_cached, name, saved[name])
    return _cached


def _read(result: Registries, named: list[str]) -> None:
    for path in named:
        from pyman.config import load as loader  # tomli: only when a file changed

        try:
            _merge(result, loader.parse_file(path), path)
        except FileNotFoundError:
            raise ConfigError(f"cannot read {path}", "no such file", "CONTAINERS_REGISTRIES_CONF names it") from None


def _merge(result: Registries, data: dict[str, Any], path: str) -> None:
    if "registries" in data:
        raise ConfigError(
            f"cannot use {path}",
            "[registries.search], [registries.insecure] and [registries.block] are version 1 of the format, which has gone",
            "write unqualified-search-registries = [...] and [[registry]] tables instead",
        )
    for key in ("unqualified-search-registries", "credential-helpers"):
        value = data.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise ConfigError(f"cannot use {path}", f"{key} is not a list of strings")
    result.search = list(data.get("unqualified-search-registries", result.search))
    result.helpers = list(data.get("credential-helpers", result.helpers))
    result.mode = data.get("short-name-mode", result.mode)
    if result.mode not in MODES:
        raise ConfigError(f"cannot use {path}", f"short-name-mode {result.mode!r} is none of {', '.join(MODES)}")
    aliases, tables = data.get("aliases", {}), data.get("registry", [])
    if not isinstance(aliases, dict) or not all(isinstance(value, str) for value in aliases.values()):
        raise ConfigError(f"cannot use {path}", "[aliases] is not a table of names")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError(f"cannot use {path}", "[[registry]] is not a list of tables")
    for key, value in aliases.items():
        host = value.partition("/")[0]
        if value and ("/" not in value or not ("." in host or ":" in host or host == "localhost")):
            raise ConfigError(f"cannot use {path}", f"[aliases] {key} = {value[:200]!r} is no name with a registry")
        if value:
            result.aliases[key] = value
        else:
            result.aliases.pop(key, None)  # an empty value takes an earlier file's alias back
    for table in tables:
        _check_table(table, path)
        result.tables[table["prefix"]] = table


def _check_table(table: dict[str, Any], path: str) -> None:
    """One [[registry]]: types, and its prefix filled in. ConfigError."""
    prefix = table.get("prefix") or table.get("location")
    what = f"cannot use {path}"
    if not isinstance(prefix, str) or not isinstance(table.get("location", ""), str):
        raise ConfigError(what, "a [[registry]] has neither a prefix nor a location")
    prefix = table["prefix"] = prefix.rstrip("/")
    if "*" in prefix[1:] or (prefix.startswith("*") and not prefix.startswith("*.")) or "://" in prefix:
        raise ConfigError(what, f"the prefix {prefix!r} is neither a name's beginning nor *.DOMAIN")
    if str(table.get("location") or "").startswith("*."):
        raise ConfigError(what, f"the location {table['location']!r} is no registry", "only a prefix may begin with *.")
    table["location"] = str(table.get("location") or "").rstrip("/")
    for key in ("blocked", "insecure", "mirror-by-digest-only"):
        if not isinstance(table.get(key, False), bool):
            raise ConfigError(what, f"{key} of {prefix} is not true or false")
    mirrors = table.get("mirror", [])
    if not isinstance(mirrors, list) or not all(isinstance(mirror, dict) and isinstance(mirror.get("location"), str) for mirror in mirrors):
        raise ConfigError(what, f"a mirror of {prefix} has no location")
    for mirror in mirrors:
        mirror["location"] = mirror["location"].rstrip("/")
        if mirror.get("pull-from-mirror", "") not in _MIRROR_USES:
            raise ConfigError(what, f"pull-from-mirror of {mirror['location']} must be all, digest-only or tag-only")
        if not isinstance(mirror.get("insecure", False), bool):
            raise ConfigError(what, f"insecure of {mirror['location']} is not true or false")
        if mirror.get("pull-from-mirror") and table.get("mirror-by-digest-only"):
            raise ConfigError(what, f"{prefix} has both mirror-by-digest-only and pull-from-mirror", "one of them says it")
