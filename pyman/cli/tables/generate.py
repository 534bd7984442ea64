"""The commands that work for units of systemd: generate, auto-update. Data only."""

from __future__ import annotations

from pyman.cli.table import Command

SYSTEMD = """
after list Units that are started before
container-prefix str=container What the names of units begin with
env,e list Environment variable of the service: NAME=VALUE, NAME (its value here) or PREFIX*
files,f bool Write files into the working directory instead of stdout
format str json
name,n bool Use the container's name instead of its id
new bool The service makes the container at each start and removes it at its end
no-header bool Leave out the comments at the top
pod-prefix str Prefix of a pod's units !! (pod) pods are not part of this release
requires list Units that must run
restart-policy str Restart= of the service (on-failure, or that of the container)
restart-sec uint RestartSec= of the service
separator str=- What stands between prefix and name
start-timeout uint TimeoutStartSec= of the service
stop-timeout uint Seconds from the stop signal to SIGKILL (10, or those of the container)
template bool A template, whose %i is added to the container's name (with --new)
wants list Units that are to run
"""
AUTO_UPDATE = """
authfile str File with the registry credentials
dry-run bool Only tell which containers would be updated
format str json, table TEMPLATE or a Go template
rollback bool=true Go back to the old image if a unit does not start with the new one
tls-verify bool=true Require a verified TLS connection to the registry
"""
COMMANDS: dict[tuple[str, ...], Command] = {
    ("generate", "systemd"): Command(
        "generate_systemd",
        "CONTAINER",
        "Write a unit of systemd for a container (Quadlet files are the newer form: pyman quadlet from)",
        SYSTEMD,
        (
            "pyman generate systemd --new --name web > ~/.config/systemd/user/container-web.service",
            "pyman generate systemd --new --files --name web",
        ),
        most=1,
    ),
    ("auto-update",): Command(
        "auto_update",
        "",
        "Restart the units of containers whose image has changed (label io.containers.autoupdate=registry or local)",
        AUTO_UPDATE,
        ("pyman auto-update --dry-run", "pyman auto-update --rollback=false"),
        most=0,
    ),
}
ALIASES: dict[tuple[str, ...], tuple[str, ...]] = {}
