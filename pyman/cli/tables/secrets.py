"""The commands that work with secrets. Data only."""

from __future__ import annotations

from pyman.cli.table import Command

CREATE = """
driver,d str Driver that keeps the value: file (encrypted), pass or shell
driver-opts list Options of the driver: KEY=VALUE,...
env bool Read the value from the environment variable that is named instead of a file
ignore bool No error if the secret exists: print its id, leave it as it is
label,l list Set a label KEY=VALUE
replace bool Replace a secret of the same name; containers keep what they have
"""
LS = """
filter,f list Secrets that match: name=PATTERN, id=ID
format str json, table TEMPLATE or a Go template
noheading,n bool Print no heading
quiet,q bool Print ids only
"""
INSPECT = """
format,f str json or a Go template
pretty bool Print for people's eyes
showsecret bool Show the value too
"""
RM = """
all,a bool All secrets
ignore,i bool No error for secrets that do not exist
"""
_C = Command
_SECRET = {
    "create": _C(
        "secret_create",
        "NAME FILE|-",
        "Create a secret from a file or stdin",
        CREATE,
        ("pyman secret create db-password ./password", 'printf %s "$TOKEN" | pyman secret create --replace token -'),
        most=2,
    ),
    "exists": _C("secret_exists", "NAME", "Exit with 0 if the secret exists, else with 1", "", ("pyman secret exists token",), most=1),
    "inspect": _C("secret_inspect", "NAME...", "Show what secrets are", INSPECT, ("pyman secret inspect token",)),
    "ls": _C("secret_ls", "", "List secrets", LS, ("pyman secret ls", "pyman secret ls -q --filter name=^db"), most=0),
    "rm": _C("secret_rm", "NAME...", "Remove secrets", RM, ("pyman secret rm token",)),
}
COMMANDS: dict[tuple[str, ...], Command] = {("secret", name): command for name, command in _SECRET.items()}
ALIASES = {("secret", "list"): ("secret", "ls"), ("secret", "remove"): ("secret", "rm")}
