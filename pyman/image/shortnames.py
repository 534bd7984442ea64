"""Short image names by registries.conf: aliases, then unqualified-search-registries; a question only on a terminal, never a guess. Slow path."""

from __future__ import annotations

import os
import sys

from pyman import paths
from pyman.config import registries
from pyman.digits import is_whole
from pyman.errors import ConfigError, NoSuchImage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ANSWERS = 3  # wrong answers until the question is given up


def resolve(name: str, ask: Callable[[str, list[str]], str] | None = None) -> list[str]:
    """The full names to try for a short one, in order. NoSuchImage lists what could be meant, and the line for the configuration.

    Several are returned only where the configuration says that trying is welcome (short-name-mode permissive or disabled).
    ask: what chooses on a terminal; None asks nothing.
    """
    conf = registries.load()
    bare = name.split("@")[0]
    base = bare.rpartition(":")[0] if ":" in bare.rsplit("/", 1)[-1] else bare
    alias = conf.aliases.get(base) or _recorded().get(base)
    if alias and conf.mode != "disabled":
        return [alias + name[len(base) :]]
    found = [f"{registry}/{name}" for registry in conf.search]
    if len(found) == 1 or (found and conf.mode == "disabled"):
        return found
    if found and ask:
        return [ask(name, found)]
    if found and conf.mode == "permissive":
        return found
    what, file = f"cannot find out where to pull {name} from", os.path.join(paths.confdir(), "containers/registries.conf")
    if found:
        raise NoSuchImage(
            what,
            "several registries are configured for short names, and there is no terminal to ask which is meant",
            f"write the full name: {' or '.join(found)}; or choose one for good in {file}: "
            f'[aliases] "{base}" = "{found[0].removesuffix(name[len(base) :])}"',
        )
    candidates = [f"docker.io/{name if '/' in name else 'library/' + name}", f"quay.io/{name}"]
    raise NoSuchImage(
        what,
        "no registry is configured for short names",
        f'write the full name, for instance {" or ".join(candidates)}; or put unqualified-search-registries = ["docker.io"] into {file}',
    )


def _recorded() -> dict[str, str]:
    """Aliases that Podman noted for this user (short-name-aliases.conf)."""
    from pyman.config import load as loader

    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(paths.home(), ".cache")
    try:
        aliases = loader.parse_file(os.path.join(cache, "containers/short-name-aliases.conf")).get("aliases", {})
    except (FileNotFoundError, ConfigError):
        return {}
    return {str(key): str(value) for key, value in aliases.items()} if isinstance(aliases, dict) else {}


def asker() -> Callable[[str, list[str]], str] | None:
    """What `resolve` may ask with: None unless somebody sits at a terminal."""
    return _ask if sys.stdin and sys.stdin.isatty() and sys.stderr.isatty() else None


def _ask(name: str, candidates: list[str]) -> str:
    """The candidate that the user chooses by number. NoSuchImage if none is chosen."""
    sys.stderr.write(f"{name} is a short name. Which image is meant?\n")
    sys.stderr.write("".join(f"  {number}  {candidate}\n" for number, candidate in enumerate(candidates, 1)))
    for _ in range(_ANSWERS):
        sys.stderr.write(f"Number (1-{len(candidates)}): ")
        sys.stderr.flush()
        answer = sys.stdin.readline()
        if is_whole(answer.strip()) and 1 <= int(answer) <= len(candidates):
            return candidates[int(answer) - 1]
        if not answer:
            break
    raise NoSuchImage(
        f"cannot find out where to pull {name} from", "none of the names was chosen", "write the full name: " + " or ".join(candidates)
    )
