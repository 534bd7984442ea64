"""Programs of the user's that finish a container's network: network.setup_hooks of containers.toml. Process C.

They run in the container's network namespace, with rights over it, when its devices, addresses and routes are there and before its
command starts. They are the user's own: the root file system is the host's, the environment is fixed, nothing of the container's
reaches them but the facts on their stdin.
"""

from __future__ import annotations

import os

from pyman.errors import NetworkError, RuntimeFailure
from pyman.runtime import hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.plan import Plan

_MODES = ("pasta", "slirp4netns", "bridge", "none")  # in the others the namespace belongs to somebody else
_TIME = 60  # seconds
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def run(plan: Plan, created: Any, info: Any) -> None:
    """Run them in order. NetworkError names the first that failed, with the end of its output."""
    if plan.network_mode.split(":")[0] not in _MODES:
        return
    container = plan.container
    facts = {
        "id": container.id,
        "name": container.name,
        "pid": created.pid,
        "network_mode": plan.network_mode,
        "ip": info.ip,
        "networks": info.attached,
        "ports": info.ports,
    }
    # Init may not have entered a namespace that was made ahead yet.
    known = plan.netns_fd if plan.netns_fd >= 0 else getattr(created, "netns_fd", -1)
    netns = os.dup(known) if known >= 0 else os.open(f"/proc/{created.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        for line in plan.conf["network"]["setup_hooks"]:
            words = line.split()
            env = [f"PATH={_PATH}", "LC_ALL=C", f"PYMAN_CONTAINER={container.id}"]
            try:
                hooks.run("network", {"path": words[0], "args": words, "env": env, "timeout": _TIME}, facts, netns)
            except RuntimeFailure as err:
                raise NetworkError(
                    f"cannot set up the network of container {container.name}",
                    f"{err.what}: {err.why}",
                    "mend that program, or take it out of network.setup_hooks in containers.toml",
                ) from err
    finally:
        os.close(netns)
