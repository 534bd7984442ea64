"""Registry credentials (containers-auth.json(5)), read and stored where other tools keep them; shown to nobody but the registry. Slow path."""

from __future__ import annotations

import binascii
import os

from pyman import paths
from pyman.config import registries
from pyman.errors import RegistryError, UsageError
from pyman.state import fastjson, store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Any

TOKEN_USER = "<token>"  # the user's name of an identity token
FILES = "containers-auth.json"  # the word that stands for the files among registries.conf's credential-helpers
_HELPER_TIME = 60  # seconds for one call of a credential helper: it may ask for a pass phrase
_HUB = ("https://index.docker.io/v1/", "index.docker.io")


class Stored:
    """Where credentials were put: `place` for people, `lasting`: whether they outlive the session of the user."""

    __slots__ = ("lasting", "place")

    def __init__(self, place: str, lasting: bool) -> None:
        self.place = place
        self.lasting = lasting


def default_file() -> str:
    """Where `login` writes without --authfile: $REGISTRY_AUTH_FILE, $XDG_RUNTIME_DIR/containers/auth.json, else the user's configuration."""
    if os.environ.get("REGISTRY_AUTH_FILE"):
        return os.environ["REGISTRY_AUTH_FILE"]
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR") or paths.confdir(), "containers/auth.json")


def files(authfile: str) -> list[str]:
    """auth.json places in the order in which they are asked; only `authfile` (or $REGISTRY_AUTH_FILE) if given."""
    if authfile or os.environ.get("REGISTRY_AUTH_FILE"):
        return [authfile or os.environ["REGISTRY_AUTH_FILE"]]
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    found = [os.path.join(runtime, "containers/auth.json")] if runtime else []
    docker = os.environ.get("DOCKER_CONFIG") or os.path.join(paths.home(), ".docker")
    return [*found, os.path.join(paths.confdir(), "containers/auth.json"), os.path.join(docker, "config.json")]


def split_creds(creds: str) -> tuple[str, str]:
    """(user, password) of --creds. UsageError."""
    user, colon, password = creds.partition(":")
    if not colon:
        raise UsageError(
            "invalid value for --creds",
            "the form is USER:PASSWORD",
            "put the password into auth.json (pyman login) to keep it out of the process list",
        )
    return user, password


def find(registry: str, repository: str, creds: str, authfile: str) -> tuple[str, str] | None:
    """(user, password) for a repository: --creds, else the most specific entry of the files. UsageError, RegistryError."""
    if creds:
        return split_creds(creds)
    keys = _keys(registry, repository)
    for helper in registries.load().helpers or [FILES]:
        if helper != FILES:
            found = _from_helper(helper, registry)
            if found:
                return found
            continue
        for path in files(authfile):
            data = _read(path, missing=not authfile)
            found = _in_file(data, keys, registry, path)
            if found:
                return found
    return None


def _keys(registry: str, repository: str) -> list[str]:
    keys = [f"{registry}/{repository}"] if repository else [registry]
    while "/" in keys[-1]:
        keys.append(keys[-1].rpartition("/")[0])
    return [*keys, *_HUB] if registry == "docker.io" else keys


def _read(path: str, *, missing: bool = True) -> dict[str, Any]:
    """The object in a credentials file; empty if it does not exist and may be missing. UsageError, RegistryError."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        data = fastjson.loads(text) if text.strip() else {}
    except FileNotFoundError:
        if not missing:
            raise UsageError(f"cannot read {path}", "no such file", "--authfile names it") from None
        return {}
    except (OSError, ValueError, RecursionError) as err:
        raise RegistryError(f"cannot use credentials file {path}", f"it is damaged or unreadable: {err}") from err
    if not isinstance(data, dict) or not all(isinstance(data.get(key) or {}, dict) for key in ("auths", "credHelpers")):
        raise RegistryError(f"cannot use credentials file {path}", "it does not hold an object with auths")
    return data


def _in_file(data: dict[str, Any], keys: list[str], registry: str, path: str) -> tuple[str, str] | None:
    helper = (data.get("credHelpers") or {}).get(registry) or ""
    auths = data.get("auths") or {}
    if helper:
        return _from_helper(str(helper), registry)
    entries = [auths[key] for key in keys if auths.get(key)]
    # Docker's older keys are addresses, and mean the whole registry whatever path they have.
    entries += [entry for key, entry in auths.items() if entry and "://" in key and key.partition("://")[2].partition("/")[0] in keys]
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        if entry.get("identitytoken"):
            return TOKEN_USER, str(entry["identitytoken"])
        if not entry.get("auth"):
            continue  # what a helper has
        try:
            user, colon, password = binascii.a2b_base64(str(entry["auth"])).decode().partition(":")
        except ValueError:
            colon = ""
        if not colon:
            hint = f"pyman login {registry} writes it anew"
            raise RegistryError(f"cannot use the credentials for {registry} in {path}", "they are not USER:PASSWORD in base64", hint)
        return user, password.rstrip("\0")
    return _from_helper(str(data["credsStore"]), registry) if data.get("credsStore") else None


def _call_helper(name: str, verb: str, text: str) -> subprocess.CompletedProcess[str]:
    """docker-credential-NAME VERB with `text` on its stdin. RegistryError."""
    import subprocess  # 10 ms

    if not name.replace("-", "").replace("_", "").isalnum():
        raise RegistryError(f"cannot use credential helper {name!r}", "its name has characters that a program's name must not have")
    try:
        return subprocess.run(
            [f"docker-credential-{name}", verb], input=text, capture_output=True, text=True, timeout=_HELPER_TIME, check=False
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as err:
        raise RegistryError(f"cannot use credential helper docker-credential-{name}", str(err)) from err


def _from_helper(name: str, registry: str) -> tuple[str, str] | None:
    """docker-credential-NAME get. None if it has nothing for this registry."""
    done = _call_helper(name, "get", registry)
    try:
        value = fastjson.loads(done.stdout) if done.returncode == 0 else {}
        return (str(value["Username"]), str(value["Secret"])) if value.get("Secret") else None
    except (ValueError, KeyError, AttributeError) as err:
        raise RegistryError(
            f"cannot get credentials for {registry}", f"docker-credential-{name} answers with something else: {err}"
        ) from err


def remember(key: str, user: str, password: str, *, authfile: str = "", docker_file: str = "") -> Stored:
    """Store credentials for a registry (or registry/namespace); where they are now. RegistryError, StorageError.

    authfile: the file for it, else the default; docker_file: Docker's file instead, in which docker.io has another key.
    """
    path = docker_file or authfile or default_file()
    data = _read(path)
    helper = _helper_for(key, data, bool(authfile or docker_file))
    if helper:
        done = _call_helper(helper, "store", fastjson.dumps({"ServerURL": key, "Username": user, "Secret": password}))
        if done.returncode:
            raise RegistryError(f"cannot store the credentials for {key}", f"docker-credential-{helper}: {done.stdout.strip()[:200]}")
        return Stored(f"docker-credential-{helper}", True)
    if docker_file and key == "docker.io":
        key = _HUB[0]
    entry = {"auth": binascii.b2a_base64(f"{user}:{password}".encode(), newline=False).decode()}

    def change(value: dict[str, Any]) -> bool:
        value["auths"] = {**(value.get("auths") or {}), key: entry}
        return True

    _change(path, change)
    runtime = os.environ.get("XDG_RUNTIME_DIR") or "/run"
    return Stored(path, not os.path.realpath(path).startswith(os.path.realpath(runtime) + "/"))


def forget(key: str, *, authfile: str = "", docker_file: str = "") -> tuple[bool, str]:
    """Remove the credentials for a registry; (whether there were any, the file or helper). RegistryError, StorageError."""
    path = docker_file or authfile or default_file()
    data = _read(path)
    helper = _helper_for(key, data, bool(authfile or docker_file))
    if helper:
        return _call_helper(helper, "erase", key).returncode == 0, f"docker-credential-{helper}"

    def change(value: dict[str, Any]) -> bool:
        auths = value.get("auths") or {}
        names = [key, f"https://{key}", *(_HUB if key == "docker.io" else ())]
        return any([auths.pop(name, None) is not None for name in names])

    return _change(path, change), path


def forget_all(*, authfile: str = "", docker_file: str = "") -> str:
    """Remove all credentials of the file; its path."""
    path = docker_file or authfile or default_file()

    def change(value: dict[str, Any]) -> bool:
        for registry, helper in (value.get("credHelpers") or {}).items():
            _call_helper(str(helper), "erase", registry)
        value["auths"] = {}
        return True

    if os.path.exists(path):
        _change(path, change)
    return path


def _helper_for(key: str, data: dict[str, Any], named: bool) -> str:
    """The helper that keeps this registry's credentials, by the file, else (without a named file) by registries.conf; or nothing."""
    host = key.split("/", 1)[0]
    helper = str((data.get("credHelpers") or {}).get(host) or data.get("credsStore") or "")
    if helper or named:
        return helper
    configured = registries.load().helpers
    return configured[0] if configured and configured[0] != FILES else ""


def _change(path: str, action: Any) -> bool:
    """Read the file, let `action` change it, write it with mode 0600 if that returns true."""
    directory = os.path.dirname(os.path.abspath(path))
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        with Lock(directory):
            value = _read(path)
            changed = bool(action(value))
            if changed:
                store.write_text(os.path.realpath(path), fastjson.dumps(value, indent=4) + "\n", sync=True)
            return changed
    except OSError as err:
        raise RegistryError(f"cannot write credentials file {path}", err.strerror or str(err)) from err
