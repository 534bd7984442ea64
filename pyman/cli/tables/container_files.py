"""The files of containers: copies, archives, images, mounts. Data only."""

from __future__ import annotations

from pyman.cli.table import Command

COMMIT = """
author,a str Author of the image
change,c list Instruction to apply: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR
config str File with a configuration in JSON to merge in
format,f str=oci Format of manifest and configuration: oci or docker
iidfile str Write the image's id to this file
include-volumes bool Name the container's volumes in the image's configuration
message,m str Commit message (docker format only)
pause,p bool Pause the container meanwhile
quiet,q bool Print the id only
squash,s bool One layer with everything instead of a further one
"""
MOUNT = """
all,a bool All containers
format str json
latest,l bool The newest container
no-trunc bool Do not shorten ids
"""
UNMOUNT = """
all,a bool All containers that are mounted here
force,f bool Unmount even if something is in use there
latest,l bool The newest container
"""
CP = """
archive,a bool=true Files get the container's primary user as their owner; false: they keep the owners they have
extract bool Accepted for old scripts' sake
overwrite bool Replace directories by files and files by directories
pause bool=true Accepted for old scripts' sake: nothing is paused
"""
DIFF = """
format str json
latest,l bool The newest container
"""
EXPORT = """
output,o str Write to this file instead of stdout
"""
CONTAINER = {
    "commit": Command(
        "commit",
        "CONTAINER [IMAGE]",
        "Make an image of a container",
        COMMIT,
        ("pyman commit web localhost/web", "pyman commit -q --change 'CMD [\"sh\"]' --change 'ENV A=1' web"),
        most=2,
    ),
    "cp": Command(
        "cp",
        "[CONTAINER:]SOURCE [CONTAINER:]DESTINATION",
        "Copy files between containers and the host",
        CP,
        ("pyman cp web:/etc/nginx .", "pyman cp site/. web:/srv", "tar c site | pyman cp - web:/srv"),
    ),
    "diff": Command(
        "container_diff",
        "CONTAINER [CONTAINER|IMAGE]",
        "Show what has changed in a container since its image",
        DIFF,
        ("pyman container diff web",),
        most=2,
    ),
    "export": Command(
        "export",
        "CONTAINER",
        "Write the files of a container as an archive",
        EXPORT,
        ("pyman export web > web.tar", "pyman export -o web.tar web"),
        most=1,
    ),
    "mount": Command(
        "mount",
        "[CONTAINER...]",
        "Mount the files of containers inside `pyman unshare`, or list what is mounted",
        MOUNT,
        ("pyman unshare sh -c 'ls $(pyman mount web)'",),
    ),
    "unmount": Command("unmount", "CONTAINER...", "Unmount the files of containers", UNMOUNT, ("pyman unmount web",)),
}
COMMANDS = {
    **{(name,): command for name, command in CONTAINER.items() if name != "diff"},
    ("diff",): Command(
        "diff",
        "CONTAINER|IMAGE [CONTAINER|IMAGE]",
        "Show what has changed in a container or image since the layer below",
        DIFF,
        ("pyman diff web", "pyman diff --format json web debian"),
        most=2,
    ),
}
ALIASES = {("umount",): ("unmount",)}
