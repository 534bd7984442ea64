"""containers.toml, merged over its defaults; hot commands read a parsed copy and import no TOML parser. CLI process."""

from __future__ import annotations

import os

from pyman import paths
from pyman.config import schema
from pyman.errors import ConfigError
from pyman.state import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_cached: dict[str, Any] | None = None
modules: list[str] = []  # files that --module names; modules.py fills it


def sources() -> list[str]:
    """The files that may exist, in the order in which they are read. PYMAN_CONF names one file instead of all."""
    if os.environ.get("PYMAN_CONF"):
        return [os.environ["PYMAN_CONF"]]
    found = []
    for directory in ("/usr/share/pyman", "/etc/pyman", os.path.join(paths.confdir(), "pyman")):
        found.append(os.path.join(directory, "containers.toml"))
        try:
            extra = sorted(os.listdir(os.path.join(directory, "containers.toml.d")))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as err:
            raise _unreadable(os.path.join(directory, "containers.toml.d"), err) from err
        found += [os.path.join(directory, "containers.toml.d", name) for name in extra if name.endswith(".toml")]
    return found


def _unreadable(path: str, err: OSError) -> ConfigError:
    """What it says would be missed: nothing is done without it."""
    shut = path
    while not os.path.lexists(shut):  # what lies in a directory that is shut is not seen
        shut = os.path.dirname(shut)
    return ConfigError(f"cannot read the configuration below {path}", err.strerror or str(err), f"let yourself read it: chmod u+rwX {shut}")


def key_of(files: list[str]) -> tuple[str, bool]:
    """(what identifies the files' content, whether any exists). ConfigError for what cannot be looked at."""
    parts, any_file = [], False
    for path in files:
        try:
            info = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            parts.append(f"{path} -")
            continue
        except OSError as err:
            raise _unreadable(path, err) from err
        any_file = True
        parts.append(f"{path} {info.st_mtime_ns} {info.st_size} {info.st_ino}")
    return f"{len(schema.KEYS)}|" + "|".join(parts), any_file


def load(made_with: list[str] | None = None) -> dict[str, Any]:
    """{table: {key: value}} with all defaults filled in. ConfigError names file, line and the nearest valid key.

    made_with: the modules that a container was made with; they are read before those of this command.
    """
    global _cached
    named = list(dict.fromkeys([*made_with, *modules])) if made_with else modules
    if _cached is not None and named == modules:
        return _cached
    found = _read(named)
    if named == modules:
        _cached = found
    return found


def _read(named: list[str]) -> dict[str, Any]:
    """What the files say, and then these modules."""
    files = [*sources(), *named]
    key, any_file = key_of(files)
    if not any_file and not named and not os.environ.get("PYMAN_CONF"):
        return schema.defaults()
    name = "config-modules.json" if named else "config.json"
    found: dict[str, Any] | None = cache.get(name, key)
    if found is None:
        from pyman.config import load as loader  # tomli: only when a file changed

        found = loader.load_files(files, named)
        cache.put(name, key, found)
    return found


def parallel_copies(conf: dict[str, Any] | None) -> int:
    """How many layers are downloaded, packed or uploaded at a time.

    Twice as many as processors: with each waiting for network and disk now and then none idles, and with a multiple of them fewer are left
    over at the end.
    """
    return int(((conf or {}).get("engine") or {}).get("image_parallel_copies", 0)) or max(3, min(2 * len(os.sched_getaffinity(0)), 8))
