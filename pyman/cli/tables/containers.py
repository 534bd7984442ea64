"""The group `container`: the commands of the modules beside this one, which a verb alone is looked up in. Data only."""

from __future__ import annotations

from pyman.cli.tables import container_files, container_life, container_view, create

COMMANDS = {
    ("container", name): command
    for module in (create, container_life, container_view, container_files)
    for name, command in module.CONTAINER.items()
}
ALIASES = {
    ("container", "remove"): ("rm",),
    ("container", "umount"): ("unmount",),
    ("container", "ls"): ("ps",),
    ("container", "list"): ("ps",),
}
