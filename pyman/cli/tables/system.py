"""The commands about pyman itself and the machine. Data only."""

from __future__ import annotations

from pyman.cli.table import Command

FORMAT = """
format,f str json or a Go template
"""
INFO = """
debug,D bool Accepted: everything is always shown
format,f str json or a Go template
"""
DOCTOR = """
format str table or json
"""
EVENTS = """
filter,f list Events that match, for instance event=died or container=web
format str json or a Go template
no-trunc bool=true Do not shorten ids
since str Events since a time (2026-01-31T12:00:00) or a duration (10m)
stream bool=true Go on with new events
until str Events until a time or a duration from now
"""
DF = """
format str json or a Go template
verbose,v bool Show each image, container and volume
"""
CHECK = """
force,f bool With --repair: remove containers that depend on damage, too
format str table, json or a Go template
max,m str=24h Age from which on layers that nobody uses count as damage
quick,q bool Do not read the files of layers
repair,r bool Pull damaged images again, or remove them
repair-lossy bool The same as --repair --force
"""
PRUNE = """
all,a bool Remove all images that no container uses, not only those without a name
build bool Accepted: there are no build containers
external bool Remove only what killed commands have left of layers and containers
filter list Only containers, images and volumes that match: label=x, label!=x, until=24h
force,f bool Do not ask
volumes bool Remove volumes that no container uses too
"""
UNSHARE = """
rootless-netns bool Also enter the network namespace of the bridges
"""
_C = Command
COMMANDS: dict[tuple[str, ...], Command] = {
    ("completion",): _C(
        "completion",
        "bash|zsh|fish",
        "Print the completion script for a shell",
        "",
        ("pyman completion bash > ~/.local/share/bash-completion/completions/pyman",),
        most=1,
    ),
    ("__complete",): _C("complete", "[WORD...]", "Candidates for the last word", "", hidden=True, stop=True),
    ("doctor",): _C(
        "doctor",
        "",
        "Try everything that a start needs, and say what to mend",
        DOCTOR,
        ("pyman doctor", "pyman doctor --format json"),
        most=0,
    ),
    ("events",): _C(
        "events",
        "",
        "Show what happens to containers, images and volumes",
        EVENTS,
        (
            "pyman events",
            "pyman events --since 1h --stream=false --filter event=died",
            "pyman events --format '{{.Time}} {{.Status}} {{.Name}}'",
        ),
        most=0,
    ),
    ("help",): _C("help", "[COMMAND...]", "Show what a command does", "", ("pyman help run", "pyman help volume create")),
    ("info",): _C(
        "info",
        "",
        "Show the machine, the store and the programs in use",
        INFO,
        ("pyman info", "pyman info --format '{{.store.graphDriverName}}'"),
        most=0,
    ),
    ("system", "check"): _C(
        "system_check",
        "",
        "Find what is damaged in the store, and mend it",
        CHECK,
        ("pyman system check", "pyman system check --quick --repair", "pyman system check --repair --max 1h --force"),
        most=0,
    ),
    ("system", "df"): _C(
        "system_df",
        "",
        "Show what images, containers and volumes take on the disk",
        DF,
        ("pyman system df", "pyman system df -v", "pyman system df --format '{{.Type}} {{.Size}}'"),
        most=0,
    ),
    ("system", "migrate"): _C(
        "system_migrate",
        "",
        "Bring containers to a new version: says that there is nothing to do",
        "\nmigrate-db bool Accepted: there is no database\n"
        "new-runtime str Runtime of all containers !! a container keeps the runtime it was made with: make it anew with --runtime\n",
        ("pyman system migrate",),
        most=0,
    ),
    ("system", "renumber"): _C(
        "system_migrate", "", "Give containers new lock numbers: says that there are none", "", ("pyman system renumber",), most=0
    ),
    ("system", "prune"): _C(
        "system_prune",
        "",
        "Remove unused containers, networks and images, and what failed commands have left",
        PRUNE,
        ("pyman system prune", "pyman system prune --all --volumes --force", "pyman system prune -f --filter until=24h"),
        most=0,
    ),
    ("system", "reset"): _C(
        "system_reset",
        "",
        "Remove everything: containers, images, volumes, networks, secrets",
        "\nforce,f bool Do not ask\n",
        ("pyman system reset", "pyman system reset --force"),
        most=0,
    ),
    ("unshare",): _C(
        "unshare",
        "[COMMAND [ARG...]]",
        "Run a command in the user namespace",
        UNSHARE,
        ("pyman unshare ls -ln ~/data", "pyman unshare --rootless-netns ip address"),
        stop=True,
    ),
    ("version",): _C("version", "", "Show the version", FORMAT, ("pyman version",), most=0),
}
ALIASES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("system", "events"): ("events",),
    ("system", "info"): ("info",),
}
