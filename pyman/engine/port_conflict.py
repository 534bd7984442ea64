"""Whose a port is that cannot be published: a container of this user's, or a process. CLI process; the slow path of an error.

Inside the user namespace, where the port was wanted, the host's processes cannot be looked at; here they can.
"""

from __future__ import annotations

from pyman.engine.container import RUNNING
from pyman.engine.container_list import list_containers
from pyman.errors import PymanError
from pyman.network import holders


def name_holder(error: PymanError, but: str = "") -> None:
    """Add to an error about a port in use who has it; `but`: the id of the container that wants it."""
    if not error.stage.startswith("port "):
        return
    _, number, protocol = error.stage.split()
    owner = _container_with(int(number), protocol, but)
    if owner:
        error.why += f", by container {owner}"
        error.hint = f"pyman stop {owner}, or publish another port"
    else:
        error.why += holders.describe(int(number), protocol)


def _container_with(number: int, protocol: str, but: str) -> str:
    for container in list_containers():
        state = container.state
        if state["status"] in RUNNING and container.id != but:
            for port in state.get("ports") or []:
                if port["protocol"] == protocol and port["host_port"] <= number < port["host_port"] + port["range"]:
                    return container.name
    return ""
