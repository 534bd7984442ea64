"""Registry credentials, read where other tools keep them; shown to nobody but the registry. Slow path."""

from __future__ import annotations

import base64
import json
import os
import subprocess

from pyman import paths
from pyman.errors import RegistryError, UsageError


def files(authfile: str) -> list[str]:
    """auth.json places in the order in which they are asked; only `authfile` (or $REGISTRY_AUTH_FILE) if given."""
    if authfile or os.environ.get("REGISTRY_AUTH_FILE"):
        return [authfile or os.environ["REGISTRY_AUTH_FILE"]]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    found = [os.path.join(runtime, "containers/auth.json")] if runtime else []
    docker = os.environ.get("DOCKER_CONFIG") or os.path.join(paths.home(), ".docker")
    return [*found, os.path.join(paths.confdir(), "containers/auth.json"), os.path.join(docker, "config.json")]


def find(registry: str, repository: str, creds: str, authfile: str) -> tuple[str, str] | None:
    """(user, password) for a repository: --creds, else the most specific entry of the files. UsageError, RegistryError."""
    if creds:
        user, colon, password = creds.partition(":")
        if not colon:
            raise UsageError(
                "invalid value for --creds",
                "the form is USER:PASSWORD",
                "put the password into auth.json to keep it out of the process list",
            )
        return user, password
    keys = [f"{registry}/{repository}"]
    while "/" in keys[-1]:
        keys.append(keys[-1].rpartition("/")[0])
    if registry == "docker.io":
        keys += ["https://index.docker.io/v1/", "index.docker.io"]
    for path in files(authfile):
        try:
            with open(path, encoding="utf-8") as file:
                data = json.load(file)
        except FileNotFoundError:
            if authfile:
                raise UsageError(f"cannot read {path}", "no such file", "--authfile names it") from None
            continue
        except (OSError, ValueError) as err:
            raise RegistryError(f"cannot use credentials file {path}", f"it is damaged or unreadable: {err}") from err
        found = _in_file(data, keys, registry)
        if found:
            return found
    return None


def _in_file(data: object, keys: list[str], registry: str) -> tuple[str, str] | None:
    if not isinstance(data, dict):
        return None
    helper = (data.get("credHelpers") or {}).get(registry) or ""
    auths = data.get("auths") or {}
    if helper:
        return _from_helper(str(helper), registry)
    for key in keys:
        entry = auths.get(key) or auths.get(f"https://{key}")
        if not isinstance(entry, dict):
            continue
        if entry.get("identitytoken"):
            return "<token>", str(entry["identitytoken"])
        try:
            user, colon, password = base64.b64decode(str(entry.get("auth", ""))).decode().partition(":")
        except ValueError:
            continue
        if colon:
            return user, password.rstrip("\0")
    return _from_helper(str(data["credsStore"]), registry) if data.get("credsStore") else None


def _from_helper(name: str, registry: str) -> tuple[str, str] | None:
    """docker-credential-NAME get. None if it has nothing for this registry."""
    if not name.replace("-", "").replace("_", "").isalnum():
        raise RegistryError(f"cannot use credential helper {name!r}", "its name has characters that a program's name must not have")
    try:
        done = subprocess.run([f"docker-credential-{name}", "get"], input=registry, capture_output=True, text=True, timeout=60, check=False)
        value = json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, ValueError, subprocess.TimeoutExpired) as err:
        raise RegistryError(f"cannot get credentials for {registry}", f"docker-credential-{name}: {err}") from err
    return (str(value["Username"]), str(value["Secret"])) if value.get("Secret") else None
