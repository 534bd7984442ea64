"""--network and --publish as create and run check them, before anything is made. CLI process, with one of them given only."""

from __future__ import annotations

import os

from pyman.engine import plan
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def check(opts: dict[str, Any], conf: dict[str, Any]) -> None:
    """UsageError, NoSuchObject, StorageError for a mode, its options or a port that cannot be."""
    if opts.get("publish"):
        from pyman.network import ports  # the start needs it anyway

        ports.check_publish(list(opts["publish"]))
    values = list(opts.get("network") or [])
    mode = plan.network_mode(opts, conf)
    name, colon, rest = mode.partition(":")
    if name == "bridge":
        from pyman.network import attachments, config  # bridge networks only

        for attachment in attachments.parse(opts, values or ["bridge"], conf):
            config.get(attachment["name"], conf, ("host", "none", "pasta", "slirp4netns", "bridge", "private"))
    elif name == "pod" or (colon and name in ("pasta", "slirp4netns")):
        from pyman.network import setup

        setup.check(mode)
    elif colon and name in ("host", "none", "private", "default"):
        raise UsageError(f"invalid network mode {mode!r}", f"{name} has no options")
    elif name in ("container", "ns") and not rest:
        what = "NAME of a container" if name == "container" else "PATH of a namespace"
        raise UsageError(f"invalid network mode {mode!r}", f"it lacks the {what}", f"the form is {name}:{what.split()[0]}")
    elif name == "ns" and not os.path.exists(rest):
        raise UsageError(
            f"cannot use --network {mode}", f"{rest}: No such file or directory", "name the file of a network namespace", errno=2
        )


def names(opts: dict[str, Any], conf: dict[str, Any]) -> list[str]:
    """The names of the networks that a new container is to join. NoSuchObject."""
    if plan.network_mode(opts, conf).partition(":")[0] != "bridge":
        return []
    from pyman.network import attachments, config

    given = [str(attachment["name"]) for attachment in attachments.parse(opts, list(opts["network"]), conf)]
    # Only what may be an id is looked up once more.
    return [name if name.strip("0123456789abcdef") else str(config.get(name, conf)["name"]) for name in given]


def choose_ports(opts: dict[str, Any], image_config: dict[str, Any], conf: dict[str, Any]) -> list[dict[str, Any]]:
    """The port mappings of a container that is being made, none in a mode that has no ports of its own. UsageError.

    Random ports are chosen now and kept: `port` and `inspect` tell them before the first start.
    """
    mode = plan.network_mode(opts, conf).split(":")[0]
    if mode not in plan.WITH_PORTS:
        return []
    from pyman.network import ports

    made = ports.parse_publish(plan.published(opts, image_config), conf["network"].get("default_host_ips"))
    version_6 = next((port for port in made if ":" in port["host_ip"]), None)
    if mode == "slirp4netns" and version_6:
        raise UsageError(
            f"cannot publish a port on {version_6['host_ip']}",
            "slirp4netns listens on IPv4 addresses only",
            "use --network pasta or a network",
        )
    return made


def warn_of_ports(opts: dict[str, Any], conf: dict[str, Any], warn: Callable[[str], None]) -> None:
    """Tell `warn` that the ports are published nowhere, where the network mode has none."""
    given = opts.get("network") or []
    mode = str((given if isinstance(given, str) else given[0]) if given else conf["containers"].get("netns") or "").partition(":")[0]
    if mode in ("host", "none", "container", "ns"):
        warn(f"no port is published: the network mode {mode} has none")
