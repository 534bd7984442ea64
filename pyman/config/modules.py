"""Modules: further files of settings, read only when --module names them. CLI process, only with that option."""

from __future__ import annotations

import os

from pyman import paths
from pyman.config import containers
from pyman.errors import ConfigError


def folders() -> list[str]:
    """Where the name of a module is looked for: the user's own first, and pyman's folders before Podman's."""
    places = (paths.confdir(), "/etc", "/usr/share")
    return [
        os.path.join(place, folder)
        for folder in ("pyman/containers.toml.modules", "containers/containers.conf.modules")
        for place in places
    ]


def use(names: list[str]) -> None:
    """Let the configuration be read with these modules at its end. ConfigError for one that is not there."""
    containers.modules[:] = [_path(name) for name in names]


def _path(name: str) -> str:
    looked = [name] if os.path.isabs(name) else [os.path.join(folder, name) for folder in folders()]
    for path in looked:
        if name and os.path.lexists(path):
            return os.path.normpath(path)
    where = "there is no such file" if os.path.isabs(name) else f"it is in none of {', '.join(folders())}"
    raise ConfigError(f"cannot use the module {name!r}", where, "--module takes the path of a file, or its name in one of these folders")
