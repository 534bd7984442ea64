"""Short image names by registries.conf: aliases, then unqualified-search-registries; never a question, never a guess. Slow path."""

from __future__ import annotations

import os

from pyman import paths
from pyman.config import registries
from pyman.errors import NoSuchImage


def resolve(name: str) -> str:
    """The full name of a short one. NoSuchImage lists the names that could be meant, and the line for the configuration."""
    conf = registries.load()
    bare = name.split("@")[0]
    base = bare.rpartition(":")[0] if ":" in bare else bare
    alias = conf.aliases.get(base)
    if alias:
        return alias + name[len(base) :]
    if len(conf.search) == 1:
        return f"{conf.search[0]}/{name}"
    candidates = [f"{registry}/{name}" for registry in conf.search] or [
        f"docker.io/{name if '/' in name else 'library/' + name}",
        f"quay.io/{name}",
    ]
    why = "several registries are configured for short names" if conf.search else "no registry is configured for short names"
    raise NoSuchImage(
        f"cannot find out where to pull {name} from",
        why,
        "write the full name, for instance "
        + " or ".join(candidates)
        + f'; or put unqualified-search-registries = ["docker.io"] into {os.path.join(paths.confdir(), "containers/registries.conf")}',
    )
