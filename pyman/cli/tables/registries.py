"""The commands that speak with registries and touch no image. Data only."""

from __future__ import annotations

from pyman.cli.table import Command

LOGIN = """
authfile str File to store the credentials in, instead of $XDG_RUNTIME_DIR/containers/auth.json
cert-dir str Directory with the registry's certificates
compat-auth-file str File in Docker's format to store the credentials in
get-login bool Print the user that is logged in, and ask nobody
password,p str Password; other processes can see it: better --password-stdin
password-stdin bool Read the password from stdin
secret str Take the password from this secret
tls-verify bool=true Require a verified TLS connection
username,u str User name
verbose,v bool Say which file is used
"""
LOGOUT = """
all,a bool Remove the credentials for all registries
authfile str File that holds the credentials
compat-auth-file str File in Docker's format that holds the credentials
"""
SEARCH = """
authfile str File with the registry credentials
cert-dir str Directory with the registry's certificates
compatible bool Also show stars, official and automated
creds str USER:PASSWORD for the registry
filter,f list Images that match: stars=N, is-official, is-automated
format str json, table TEMPLATE or a Go template
limit int=25 Results of each registry at most
list-tags bool List the tags of one repository
no-trunc bool Do not shorten descriptions
tls-verify bool=true Require a verified TLS connection
"""
_C = Command
COMMANDS: dict[tuple[str, ...], Command] = {
    ("login",): _C(
        "login",
        "[REGISTRY]",
        "Check and store the credentials for a registry",
        LOGIN,
        ("pyman login quay.io", "pyman login -u me --password-stdin quay.io < password", "pyman login --get-login quay.io"),
        most=1,
    ),
    ("logout",): _C("logout", "[REGISTRY]", "Forget the credentials for a registry", LOGOUT, ("pyman logout quay.io",), most=1),
    ("search",): _C(
        "search",
        "TERM",
        "Search registries for images",
        SEARCH,
        ("pyman search docker.io/busybox", "pyman search --list-tags quay.io/podman/stable"),
        most=1,
    ),
}
ALIASES: dict[tuple[str, ...], tuple[str, ...]] = {}
