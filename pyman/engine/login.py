"""Log in to registries and out of them: credentials are tried before they are stored. CLI process, slow path."""

from __future__ import annotations

from pyman.config import registries
from pyman.errors import NoSuchObject, RegistryError, UsageError
from pyman.image import auth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def which(args: list[str]) -> str:
    """The registry (or registry/namespace) that is meant: the argument, else the first of unqualified-search-registries. UsageError."""
    name = args[0] if args else next(iter(registries.load().search), "")
    name = name.removeprefix("docker://").rstrip("/")
    if not name:
        raise UsageError("no registry given", "registries.conf names none either", "pyman login REGISTRY")
    for scheme in ("https://", "http://"):
        if name.startswith(scheme):
            name = name.removeprefix(scheme).split("/", 1)[0]
    if any(char.isspace() or char in "@?#\\" for char in name):
        raise UsageError(f"invalid registry {name!r}", "it must be HOST[:PORT], perhaps with a /NAMESPACE")
    return name


def stored_user(name: str, authfile: str) -> str:
    """The user that is logged in to a registry. NoSuchObject."""
    found = known(name, authfile)
    if not found:
        raise NoSuchObject(f"not logged into {name}", "no credentials are stored for it", f"pyman login {name}")
    return found[0]


def known(name: str, authfile: str) -> tuple[str, str] | None:
    """The stored credentials for a registry or namespace."""
    host, _, path = name.partition("/")
    return auth.find(host, path, "", authfile)


def check(name: str, user: str, password: str, **options: Any) -> None:
    """Ask the registry whether it takes the credentials. RegistryError."""
    from pyman.image import registry, search

    host, _, path = name.partition("/")
    access = registry.Access(creds=f"{user}:{password}", **options)
    search.ping(host, path, access, verb="log in to")


def login(name: str, user: str, password: str, *, authfile: str = "", docker_file: str = "", **options: Any) -> auth.Stored:
    """Check credentials and store them; where they are. RegistryError, UsageError."""
    if authfile and docker_file:
        raise UsageError("cannot use --authfile together with --compat-auth-file", "each of them says which file is meant")
    if not user or ":" in user:
        raise UsageError("invalid user name", "it is empty or has a colon")
    check(name, user, password, **options)
    return auth.remember(name, user, password, authfile=authfile, docker_file=docker_file)


def logout(name: str, *, authfile: str = "", docker_file: str = "") -> str:
    """Forget a registry's credentials; the place. NoSuchObject if there were none; RegistryError if others remain in force."""
    if authfile and docker_file:
        raise UsageError("cannot use --authfile together with --compat-auth-file", "each of them says which file is meant")
    gone, place = auth.forget(name, authfile=authfile, docker_file=docker_file)
    left = None if authfile or docker_file else known(name, "")
    if not gone and not left:
        raise NoSuchObject(f"not logged into {name}", f"{place} has no entry for it")
    if left:
        raise RegistryError(
            f"still logged into {name}",
            "another file or helper has credentials for it: " + ", ".join(auth.files("")),
            f"pyman logout --authfile FILE {name}, or docker logout",
        )
    return place


def logout_all(*, authfile: str = "", docker_file: str = "") -> str:
    """Forget all credentials of the file; its path."""
    return auth.forget_all(authfile=authfile, docker_file=docker_file)
