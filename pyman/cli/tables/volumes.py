"""The commands that work with volumes. Data only."""

from __future__ import annotations

from pyman.cli.table import Command

CREATE = """
driver,d str=local Driver of the volume: local, or image, whose files are an image's
gid str Group that owns the volume's top directory, in the container's numbers
ignore bool No error if the volume exists; it stays as it is
label,l list Set a label KEY=VALUE
opt,o list Option of the driver: type=tmpfs|bind, device=PATH, o=OPTIONS, copy, nocopy; image=IMAGE for the driver image
uid str User that owns the volume's top directory, in the container's numbers
"""
LS = """
filter,f list Volumes that match: dangling, driver, label, name, opt, scope, since, until
format str json, table TEMPLATE or a Go template
noheading,n bool Print no heading
quiet,q bool Print names only
"""
INSPECT = """
all,a bool All volumes
format,f str json or a Go template
"""
RM = """
all,a bool All volumes
force,f bool Remove the containers that have it first
time,t int Seconds until their SIGKILL, with --force
"""
PRUNE = """
all,a bool Accepted for Docker's sake: volumes with a name are always included (--filter anonymous=true leaves them)
filter list Volumes that match: label, label!, name, until, since, anonymous, driver, opt
force,f bool Do not ask
"""
EXPORT = """
output,o str File to write to, instead of stdout
"""
_C = Command
_VOLUME = {
    "create": _C(
        "volume_create",
        "[NAME]",
        "Create a volume",
        CREATE,
        ("pyman volume create data", "pyman volume create --opt type=tmpfs --opt device=tmpfs --opt o=size=64m,noexec scratch"),
        most=1,
    ),
    "exists": _C("volume_exists", "NAME", "Exit with 0 if the volume exists, else with 1", "", ("pyman volume exists data",), most=1),
    "export": _C(
        "volume_export",
        "NAME",
        "Write a volume's files as a tar archive",
        EXPORT,
        ("pyman volume export data -o data.tar", "pyman volume export data | zstd > data.tar.zst"),
        most=1,
    ),
    "import": _C(
        "volume_import",
        "NAME [FILE]",
        "Put the files of a tar archive into a volume",
        "",
        ("pyman volume import data data.tar", "zcat data.tar.gz | pyman volume import data -"),
        most=2,
    ),
    "inspect": _C("volume_inspect", "NAME...", "Show everything about volumes", INSPECT, ("pyman volume inspect data",)),
    "ls": _C("volume_ls", "", "List volumes", LS, ("pyman volume ls", "pyman volume ls -q --filter dangling=true"), most=0),
    "mount": _C(
        "volume_mount",
        "[NAME...]",
        "Print where volumes' files are",
        "",
        ("pyman volume mount data", "pyman unshare sh -c 'ls $(pyman volume mount scratch)'"),
    ),
    "prune": _C("volume_prune", "", "Remove all volumes that no container has", PRUNE, ("pyman volume prune -f",), most=0),
    "reload": _C("volume_reload", "", "Look for volumes of plugins (there are none)", "", ("pyman volume reload",), most=0),
    "rm": _C("volume_rm", "NAME...", "Remove volumes", RM, ("pyman volume rm data", "pyman volume rm --force data")),
    "unmount": _C("volume_unmount", "NAME...", "Undo volume mount", "", ("pyman volume unmount scratch",)),
}
COMMANDS: dict[tuple[str, ...], Command] = {("volume", name): command for name, command in _VOLUME.items()}
ALIASES = {
    ("volume", "list"): ("volume", "ls"),
    ("volume", "remove"): ("volume", "rm"),
    ("volume", "umount"): ("volume", "unmount"),
}
