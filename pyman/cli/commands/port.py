"""`pyman port`: which ports of the host lead into a container. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.cli.dispatch import print_error
from pyman.digits import is_whole
from pyman.engine.container import RUNNING, Container, lookup
from pyman.errors import NoSuchContainer, NoSuchObject, PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """Print all mappings of a container, those of one of its ports, or those of every running container with --all."""
    names, wanted = (args[:1], args[1:]) if not opts["latest"] else ([], args)
    if opts["all"] and args:
        raise UsageError("cannot use --all together with a container or a port", "--all already means every container")
    if len(wanted) > 1:
        raise UsageError("too many arguments", "port takes a container and one of its ports", "pyman port web 80/tcp")
    port, _, protocol = (wanted[0] if wanted else "").partition("/")
    if wanted and not is_whole(port, 5):
        raise UsageError(f"invalid port {wanted[0]!r}", "it is a number, and perhaps /tcp or /udp", "for example: 80/tcp")
    for _, container in selection.select(opts, names):
        if isinstance(container, PymanError):
            print_error(container)
            return 125
        try:
            container.sync()
        except NoSuchContainer:
            if opts["all"]:
                continue  # removed since they were listed
            raise
        found = _mappings(container)
        owner = f"{container.id[:12]}\t" if opts["all"] else ""
        chosen = [line for line in found if not wanted or (line[0] == int(port) and line[1] == (protocol or "tcp"))]
        if wanted and found and not chosen:  # without any, there is nothing to print, as with Podman
            raise NoSuchObject(
                f"no host port leads to port {wanted[0]} of container {container.name}",
                "it is not published",
                f"pyman port {container.name} shows those that are",
            )
        for inner, kind, outer in chosen:
            sys.stdout.write(f"{outer}\n" if wanted else f"{owner}{inner}/{kind} -> {outer}\n")
    return 0


def _mappings(container: Container) -> list[tuple[int, str, str]]:
    """(port in the container, protocol, address:port on the host) of a running container, sorted."""
    if container.state["status"] not in RUNNING:
        return []
    mode = str(container.state.get("network_mode") or "")
    if mode.startswith("container:"):  # those of the one in whose network it lives
        try:
            owner = lookup(mode[10:])
            owner.sync()
        except NoSuchContainer:
            return []
        return _mappings(owner)
    return sorted(
        (port["container_port"] + offset, str(port["protocol"]), f"{port['host_ip'] or '0.0.0.0'}:{port['host_port'] + offset}")
        for port in container.state["ports"]
        for offset in range(port["range"])
    )
