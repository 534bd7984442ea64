"""The commands that work with Quadlet files. Data only."""

from __future__ import annotations

from pyman.cli.table import Command

INSTALL = """
reload-systemd bool=true Let systemd read its units again afterwards
replace,r bool Replace files that are there
"""
LS = """
filter,f list Files that match: name=PATTERN
format str json, table TEMPLATE or a Go template
noheading,n bool Print no heading
"""
RM = """
all,a bool All files of the user's folder
force,f bool Stop units that run
ignore,i bool No error for files that do not exist
reload-systemd bool=true Let systemd read its units again afterwards
"""
CHECK = """
quiet,q bool Print problems only, not the unit
verify bool=true Let systemd-analyze look at the units, where it is installed
"""
FROM = """
name str Name of the file and the container (default: the container's, or the image's)
output,o str Write to this file or directory instead of stdout
replace,r bool Replace the file if it is there
wanted-by str=default.target Unit that starts it; empty: nothing does
"""
_C = Command
_QUADLET = {
    "check": _C(
        "quadlet_check",
        "[FILE...]",
        "Tell what is wrong with Quadlet files, by line, and show the units that they become",
        CHECK,
        ("pyman quadlet check", "pyman quadlet check web.container", "pyman quadlet check -q app/*.container"),
    ),
    "from": _C(
        "quadlet_from",
        "CONTAINER | run OPTIONS... IMAGE [COMMAND...]",
        "Write the .container file for a container, or for a command line",
        FROM,
        (
            "pyman quadlet from web > web.container",
            "pyman quadlet from -o ~/.config/containers/systemd 'run -d --name web -p 8080:80 nginx'",
        ),
        stop=True,
    ),
    "install": _C(
        "quadlet_install",
        "FILE|DIRECTORY|URL [FILE|URL...]",
        "Install a Quadlet file with what belongs to it, or the files of an application",
        INSTALL,
        ("pyman quadlet install web.container nginx.conf", "pyman quadlet install ./app", "pyman quadlet install app.quadlets"),
    ),
    "ls": _C(
        "quadlet_ls",
        "",
        "List Quadlet files and their units",
        LS,
        ("pyman quadlet ls", "pyman quadlet ls -f name='web*' --format json"),
        most=0,
    ),
    "print": _C("quadlet_print", "FILE", "Print a Quadlet file", "", ("pyman quadlet print web.container",), most=1),
    "rm": _C(
        "quadlet_rm",
        "FILE...",
        "Remove Quadlet files of the user",
        RM,
        ("pyman quadlet rm web.container", "pyman quadlet rm --force --all"),
    ),
}
COMMANDS: dict[tuple[str, ...], Command] = {("quadlet", name): command for name, command in _QUADLET.items()}
ALIASES = {
    ("quadlet", "cat"): ("quadlet", "print"),
    ("quadlet", "list"): ("quadlet", "ls"),
    ("quadlet", "remove"): ("quadlet", "rm"),
}
