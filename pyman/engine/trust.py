"""Show and change policy.json: which images may be used at all. CLI process."""

from __future__ import annotations

import json
import os

from pyman import paths
from pyman.config import registries_d
from pyman.errors import StorageError, UsageError
from pyman.image import policy
from pyman.state import store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TYPES = {
    "signedBy": "signedBy",
    "accept": "insecureAcceptAnything",
    "reject": "reject",
    "sigstoreSigned": "sigstoreSigned",
    "insecureAcceptAnything": "insecureAcceptAnything",
}
_SHOWN = {"insecureAcceptAnything": "accept", "reject": "reject", "signedBy": "signed", "sigstoreSigned": "sigstoreSigned"}
_NOTHING: dict[str, Any] = {"default": [{"type": "insecureAcceptAnything"}]}


def use(file: str) -> None:
    """Show the policy in a file, if one is given. ConfigError."""
    policy.use(file)


def in_force() -> dict[str, Any]:
    """The policy; one that accepts everything if there is none. ConfigError."""
    file = policy.path()
    return policy.load(file) if file else dict(_NOTHING)


def rows(scope: str = "", places: str = "") -> list[dict[str, str]]:
    """One row per requirement: transport, name, repo_name, type, gpg_id (key files), sigstore (where signatures lie), the default first; only those of `scope` if given.

    places: the directory of files as in registries.d, if another one is meant.
    """
    value = in_force()
    found = [_row("all", "default", entry, places) for entry in value["default"]]
    for transport, scopes in value.get("transports", {}).items():
        for name, requirements in sorted(scopes.items()):
            found += [_row("repository" if transport == "docker" else transport, name, entry, places) for entry in requirements]
    return [row for row in found if not scope or row["repo_name"] in ("default", scope)]


def _row(transport: str, name: str, entry: dict[str, Any], places: str) -> dict[str, str]:
    keys = entry.get("keyPaths") or [entry["keyPath"]] if entry.get("keyPath") or entry.get("keyPaths") else []
    row = {"transport": transport, "name": "* (default)" if name == "default" else name, "repo_name": name, "type": _SHOWN[entry["type"]]}
    store = (
        registries_d.configured([] if name == "default" else [name], write=False, place=places)
        if transport in ("all", "repository")
        else ""
    )
    return {**row, "gpg_id": ", ".join(os.path.basename(str(key)) for key in keys), "sigstore": store}


def change(registry: str, kind: str, keys: list[str], file: str = "") -> str:
    """Set what the policy asks of a registry's images ("default": of all others); the file it stands in now.

    The user's own policy is written (it begins as a copy of the one in force), or `file`. UsageError, ConfigError, StorageError.
    """
    if kind not in TYPES:
        raise UsageError(f"invalid value {kind!r} for --type", "it must be one of " + ", ".join(TYPES))
    signed = kind in policy.SIGNED
    if signed and not keys:
        raise UsageError(f"at least one public key must be defined for type {kind!r}", "none was given", "--pubkeysfile FILE")
    if not signed and keys:
        raise UsageError("cannot use --pubkeysfile", f"the type {kind} has no keys")
    for key in keys:
        if not os.path.isfile(key):
            raise UsageError(f"cannot use the key {key}", "no such file")
    base = {"type": TYPES[kind]}
    requirements: list[dict[str, Any]] = [base]
    if keys:
        kinds = {"keyType": "GPGKeys"} if kind == "signedBy" else {}
        requirements = [{**base, **kinds, "keyPath": os.path.abspath(key)} for key in keys]
    if os.path.exists(file):
        policy.use(file)  # it is the one to change, not that in force
    file = os.path.abspath(file) if file else os.path.join(paths.confdir(), "containers/policy.json")
    directory = os.path.dirname(file)
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        with Lock(directory):
            value = in_force()
            if registry == "default":
                value["default"] = requirements
            else:
                transports = dict(value.get("transports", {}))
                transports["docker"] = {**transports.get("docker", {}), registry: requirements}
                value = {**value, "transports": transports}
            store.write_text(os.path.realpath(file), json.dumps(value, indent=4) + "\n", 0o644, sync=True)
    except OSError as err:
        raise StorageError(f"cannot write {file}", err.strerror or str(err), errno=err.errno or 0) from err
    policy.load(file)
    return file
