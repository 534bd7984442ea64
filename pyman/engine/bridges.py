"""A start on bridge networks: networks looked up, addresses leased, the keeper found or ordered. CLI process.

Lock order: container, then networks. Nothing here is imported by a start in another network mode.
"""

from __future__ import annotations

from pyman.engine import bridge_keeper, bridge_leases, networks
from pyman.engine.container import Container
from pyman.engine.plan import Plan
from pyman.errors import NoSuchObject
from pyman.network import bridge, config, names, uplink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def plan(made: Plan, container: Container) -> None:
    """Look up the networks a container is to join. NoSuchObject, UsageError, MissingProgram."""
    found = networks.attached_to(container)
    for attachment in found:
        look_up(attachment, made.conf)
    made.attachments = found
    bridge_keeper.check_programs([attachment["record"] for attachment in found])


def look_up(attachment: dict[str, Any], conf: dict[str, Any]) -> None:
    """Give an attachment its network's record and full name. NoSuchObject, StorageError."""
    before = config.stamp(attachment["name"])
    attachment["record"] = config.get(attachment["name"], conf)
    attachment["stamp"] = before if attachment["name"] == attachment["record"]["name"] else config.stamp(attachment["record"]["name"])
    attachment["name"] = attachment["record"]["name"]


def _look_again(attachment: dict[str, Any], conf: dict[str, Any]) -> None:
    """Under the networks' lock: a network that was removed since gets no container, one that was changed is read anew. NoSuchObject."""
    name = attachment["name"]
    if config.stamp(name) == attachment["stamp"]:
        return
    record = config.load(name, conf)
    if record is None:
        raise NoSuchObject(f"no network with name or ID {name!r} found", "it was removed meanwhile", "pyman network create makes one")
    attachment["record"] = record


def claim(made: Plan, container: Container) -> int:
    """Lease addresses, find or order the keeper, and start B; its pid. The plan gets the channel to it and the keeper's pipe.

    NetworkError, StateError.
    """
    config.networks_dir()
    try:
        return claim_for(made, container)
    except BaseException:
        give_back(made, container)
        raise


def claim_for(made: Plan, container: Container, first: int | None = None) -> int:
    """As `claim`; first: number of the first device, for a container that has some already."""
    job = bridge.Job(container.id, container.name, made.opts.get("hostname") or "", made.conf)
    job.dns = names.asked_for(made.opts)
    job.attachments, job.first, job.others = made.attachments, first or 0, bridge_keeper.statuses_on

    def lease() -> None:
        for attachment in made.attachments:
            _look_again(attachment, made.conf)
        bridge_leases.lease(made, container)
        # Noted before anybody else learns of it: whoever removes the container after a kill gives all of it back.
        kept = list(container.state.get("attached") or []) if first is not None else []
        container.state["attached"] = [*kept, *(bridge_leases.noted(entry) for entry in made.attachments)]
        container.save()

    return bridge_keeper.order(made, job, lease)


def give_back(made: Plan, container: Container) -> None:
    """After a start that failed: no lease and no name is left."""
    container.state["keeper"] = uplink.find([]) or {}
    container.state["attached"] = [bridge_leases.noted(entry) for entry in made.attachments]
    bridge_leases.release(container)
    container.save()
