"""`pyman login`: check and store the credentials for a registry. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import access
from pyman.cli.dispatch import escape
from pyman.engine import login
from pyman.errors import RegistryError, UsageError
from pyman.image import auth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """0 once the registry has accepted the credentials; says where they are and for how long."""
    name = login.which(args)
    docker_file = opts["compat_auth_file"]
    if opts["get_login"]:
        sys.stdout.write(escape(login.stored_user(name, opts["authfile"] or docker_file)) + "\n")
        return 0
    reach = {key: value for key, value in access.of(opts).items() if key in ("tls_verify", "cert_dir")}
    user, password = opts["username"], opts["password"]
    if opts["secret"]:
        password, user = _secret(opts), user or opts["secret"]
    if opts["password_stdin"]:
        if "password" in opts.given or opts["secret"]:
            raise UsageError("cannot use --password-stdin together with another password", "one of them is the password")
        if not user:
            raise UsageError("cannot use --password-stdin alone", "the user name is missing", "pyman login -u USER --password-stdin ...")
        password = sys.stdin.readline().rstrip("\r\n")
    if not user and not password and _still_valid(name, opts, reach):
        return 0
    if not user:
        user = _ask("Username: ", hidden=False)
    if not password and "password" not in opts.given:
        password = _ask("Password: ", hidden=True)
    stored = login.login(name, user, password, authfile=opts["authfile"], docker_file=docker_file, **reach)
    if opts["verbose"]:
        sys.stdout.write(f"Used:  {escape(stored.place)}\n")
    sys.stdout.write("Login Succeeded!\n")
    sys.stdout.flush()
    lasting = "until pyman logout" if stored.lasting else "until you log out of this machine or it starts again"
    keep = "" if stored.lasting else " (to keep them: --authfile ~/.config/containers/auth.json)"
    sys.stderr.write(f"The credentials are in {escape(stored.place)}, {lasting}{keep}.\n")
    return 0


def _still_valid(name: str, opts: Any, reach: dict[str, Any]) -> bool:
    """Whether credentials are stored already and the registry takes them."""
    found = login.known(name, opts["authfile"] or opts["compat_auth_file"]) if _readable(opts) else None
    if not found or found[0] == auth.TOKEN_USER:
        return False
    sys.stdout.write(f"Authenticating with existing credentials for {escape(name)}\n")
    try:
        login.check(name, *found, **reach)
    except RegistryError as err:
        sys.stdout.flush()
        sys.stderr.write(f"Existing credentials are invalid: {escape(err.why)}\n")
        return False
    sys.stdout.write(f"Existing credentials are valid. Already logged in to {escape(name)}\n")
    return True


def _readable(opts: Any) -> bool:
    """Whether the file that is named exists: login makes it."""
    import os

    path = opts["authfile"] or opts["compat_auth_file"]
    return not path or os.path.exists(path)


def _secret(opts: Any) -> str:
    """The value of --secret. UsageError, NoSuchObject."""
    if opts["password"] or opts["password_stdin"]:
        raise UsageError("cannot use --secret together with another password", "one of them is the password")
    from pyman.engine import secrets

    return secrets.reveal(opts["secret"])[1].decode("utf-8", "surrogateescape").rstrip("\r\n")


def _ask(prompt: str, *, hidden: bool) -> str:
    """A line from the terminal; never waits for one that is not there. UsageError."""
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for the user name and the password", "stdin is not a terminal", "pyman login -u USER --password-stdin REGISTRY"
        )
    if hidden:
        import getpass

        return getpass.getpass(prompt)
    sys.stdout.write(prompt)
    sys.stdout.flush()
    return sys.stdin.readline().strip()
