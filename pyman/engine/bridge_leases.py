"""Addresses and names of containers on bridges: leased, noted, given back, and taken from those whom a kill has ended. CLI process."""

from __future__ import annotations

import os

from pyman.config import containers as containers_conf
from pyman.engine.container import RUNNING, Container
from pyman.engine.plan import Plan
from pyman.errors import NetworkError, PymanError
from pyman.linux import process
from pyman.network import config, ipam, names, uplink
from pyman.state import store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def stale(container_id: str) -> bool:
    """Whether the leases of a container count no more: it has gone, or neither runs nor is being started."""
    container = Container(container_id)
    try:
        state = store.read_json(os.path.join(container.dir, "state.json"))
    except PymanError:
        state = None
    if state is None:
        from pyman.engine import vanished  # such containers only

        return not os.path.exists(os.path.join(container.dir, "config.json")) and not vanished.runs(container)
    if state["status"] in RUNNING:
        same_boot = state.get("boot_id") == process.boot_id()
        if same_boot and process.alive(state["pid"], state["pid_start"]):
            return False
        # A monitor that has recorded the end is about to end itself, unless it starts the container again.
        record = container.exit_record()
        ended = record and record.get("restart_ms") is None
        if same_boot and not ended and process.alive(state["monitor_pid"], state["monitor_start"]):
            return False
        # Whoever holds its lock has not noted the end yet, and so gives it no lease before: a start would have noted it first.
    else:
        lock = Lock(container.dir)
        try:
            if not lock.try_acquire():
                return False  # somebody is at work on it, and may be starting it
        except FileNotFoundError:
            return True
        lock.release()
    separate(container)
    return True


def separate(container: Container) -> None:
    """Before an ended container's addresses are given to others: nobody who shares its network namespace keeps them."""
    if any(os.path.exists(os.path.join(container.dir, name)) for name in ("dependents", "shared-netns")):
        from pyman.engine import shared_network

        shared_network.separate(container)


def lease(made: Plan, container: Container) -> None:
    """Lease the addresses of the plan's attachments. NetworkError."""
    for attachment in made.attachments:
        try:
            attachment["addresses"] = ipam.allocate(attachment["record"], attachment["ips"], container.id, stale)
        except NetworkError as err:
            if err.stage.startswith("lease "):
                err.why = err.why.replace(err.stage[6:18], _name_of(err.stage[6:]))
            raise
        if any(":" in entry["address"] for entry in attachment["addresses"]) and _without_six(made):
            attachment["addresses"] = [entry for entry in attachment["addresses"] if ":" not in entry["address"]]


def _without_six(made: Plan) -> bool:
    """Whether --sysctl switches IPv6 off: perhaps after the devices have been made, which then lose their addresses."""
    given = [*(made.conf["containers"].get("default_sysctls") or []), *(made.opts.get("sysctl") or [])]
    values = dict(item.replace("/", ".").partition("=")[::2] for item in given)
    return any(values.get(f"net.ipv6.conf.{which}.disable_ipv6", "0").strip() not in ("", "0") for which in ("all", "default"))


def _name_of(container_id: str) -> str:
    try:
        return Container(container_id).name
    except PymanError:
        return container_id[:12]


def noted(attachment: dict[str, Any]) -> dict[str, Any]:
    """What the state says of an attachment before there is a device."""
    record = attachment["record"]
    return {
        "name": record["name"],
        "id": record["id"],
        "interface": "",
        "mac": "",
        "addresses": attachment.get("addresses") or [],
        "aliases": attachment["aliases"],
        "dns": bool(record["dns_enabled"]),
        "internal": bool(record["internal"]),
        "bridge": record["network_interface"],
    }


def sweep() -> None:
    """Take away what killed commands left: leases and names of containers that have gone or do not run."""
    with config.lock():
        records = {record["name"]: record for record in config.everything(containers_conf.load())[0]}
        for name, held in ipam.held().items():
            for owner in set(held.values()):
                if stale(owner):
                    ipam.release(name, owner)
        for name, known in names.entries().items():
            for owner in known:
                if stale(owner) and name in records:
                    names.forget(records[name], owner)


def release(container: Container) -> None:
    """Give back an ended container's addresses and names. The caller holds its lock, and saves its state afterwards."""
    attached = container.state.get("attached") or []
    container.state["attached"] = []
    with config.lock():
        served = [status for status in attached if status["dns"]]
        if served:
            from pyman.engine import bridge_names  # after such an end only

            bridge_names.mend(served, container.id)
        for status in attached:
            ipam.release(status["name"], container.id)
            if status["dns"]:
                names.forget(status, container.id)
    if any(status["dns"] for status in attached):
        keeper = uplink.find([container.state.get("keeper")])
        if keeper:
            names.announce(keeper)
