"""policy.json (containers-policy.json(5)): which images may be used at all. Slow path.

What a policy demands and pyman cannot verify is refused, never ignored.
"""

from __future__ import annotations

import os

from pyman import paths
from pyman.errors import ConfigError, ImageError
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.image.reference import Reference

_MAX = 4 << 20  # bytes of a policy: keys may be in it
SIGNED = ("signedBy", "sigstoreSigned")
_TRANSPORTS = (
    "atomic",
    "containers-storage",
    "dir",
    "docker",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "ostree",
    "sif",
    "tarball",
)


_asked = ""  # the file of --signature-policy


def use(file: str) -> None:
    """Let the policy in a file be the one in force for this command. ConfigError."""
    global _asked
    if file:
        load(file)
        _asked = file


def path() -> str:
    """The policy in force: the command's, else the user's, else the machine's; empty if there is none."""
    if _asked:
        return _asked
    found = (os.path.join(paths.confdir(), "containers/policy.json"), "/etc/containers/policy.json")
    return next((name for name in found if os.path.exists(name)), "")


def load(file: str) -> dict[str, Any]:
    """The policy in a file. ConfigError: a policy that is not understood in full allows nothing."""
    what = f"cannot use {file}"
    try:
        with open(file, "rb") as stream:
            value = fastjson.loads_strictly(stream.read(_MAX))
    except (OSError, ValueError, RecursionError) as err:
        raise ConfigError(what, f"it cannot be read: {err}") from err
    if not isinstance(value, dict) or not set(value) <= {"default", "transports"} or "default" not in value:
        raise ConfigError(what, 'it must be an object with "default", and perhaps "transports"')
    _requirements(value["default"], what, "default")
    transports = value.get("transports", {})
    if not isinstance(transports, dict):
        raise ConfigError(what, '"transports" is not an object')
    for transport, scopes in transports.items():
        if transport not in _TRANSPORTS or not isinstance(scopes, dict):
            raise ConfigError(what, f'"transports" has {transport!r}, which is no transport with scopes')
        for scope, requirements in scopes.items():
            _requirements(requirements, what, f"{transport}:{scope}")
    return value


def _requirements(value: Any, what: str, scope: str) -> None:
    if not isinstance(value, list) or not value:
        raise ConfigError(what, f"{scope} has no list of requirements")
    for entry in value:
        kind = entry.get("type") if isinstance(entry, dict) else None
        if kind not in ("insecureAcceptAnything", "reject", *SIGNED):
            raise ConfigError(what, f"{scope} asks for {kind!r}, which is no type of a requirement")
        if kind not in SIGNED and len(entry) > 1:
            raise ConfigError(what, f"{scope} has {', '.join(sorted(set(entry) - {'type'}))}, which {kind} does not know")


def docker_scopes(reference: Reference) -> list[str]:
    """The scopes of a registry's image, most specific first."""
    repository = f"{reference.registry}/{reference.repository}"
    scopes = [reference.name(), repository]
    while "/" in repository:
        repository = repository.rpartition("/")[0]
        scopes.append(repository)
    host = reference.registry.rpartition(":")[0] if ":" in reference.registry else reference.registry
    while "." in host:
        host = host.partition(".")[2]
        scopes.append(f"*.{host}")
    return [*scopes, ""]


def path_scopes(text: str) -> list[str]:
    """The scopes of DIR[:TAG] or FILE[:NAME], most specific first."""
    name = os.path.realpath(text if os.path.exists(text) else text.partition(":")[0])
    tag = "" if os.path.exists(text) else text.partition(":")[2]
    scopes = [f"{name}:{tag}"] if tag else []
    while name != "/":
        scopes.append(name)
        name = os.path.dirname(name)
    return [*scopes, "/", ""]


def check(transport: str, scopes: list[str], label: str, *, verifies: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Nothing if the policy accepts the image without looking at it, or if there is no policy. ImageError, ConfigError.

    verifies: the kinds of requirements which the caller has verified (signatures.verify) before it uses anything of the image; those of the
    scope are returned.
    """
    file = path()
    if not file:
        return []
    value = load(file)
    demands = []
    known = value.get("transports", {}).get(transport, {})
    scope = next((scope for scope in scopes if scope in known), None)
    for entry in value["default"] if scope is None else known[scope]:
        kind = entry["type"]
        place = "its default" if scope is None else f"the scope {transport}:{scope}"
        if kind == "reject":
            raise ImageError(f"refused {label}", f"{place} in {file} rejects it", "ask whoever wrote the policy")
        if kind in verifies:
            demands.append(entry)
        elif kind in SIGNED:
            raise ImageError(
                f"refused {label}",
                f"{place} in {file} wants it signed ({kind}), and pyman cannot verify such signatures here",
                "verify and copy it with skopeo: skopeo copy docker://IMAGE oci:DIRECTORY, then pyman pull oci:DIRECTORY",
            )
    return demands
