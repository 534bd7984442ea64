"""The networks of a running container: one more, one less, or what they have lost. CLI process; the caller holds its lock."""

from __future__ import annotations

import os

from pyman.engine import bridges, networks
from pyman.engine.bridge_keeper import order, statuses_on
from pyman.engine.bridge_leases import noted, release, stale
from pyman.engine.container import RUNNING, Container
from pyman.engine.plan import Plan
from pyman.errors import NetworkError
from pyman.linux import process
from pyman.network import bridge, bridged, ipam, names
from pyman.rootless import userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def attach(container: Container, attachment: dict[str, Any], conf: dict[str, Any], dns: list[str]) -> dict[str, Any]:
    """Attach a running container to one more network; what it got there. The caller holds its lock.

    Addresses, names and state are as before if that fails. NetworkError.
    """
    state = container.state
    made = Plan()
    made.container, made.conf, made.opts, made.attachments = container, conf, {"dns": dns}, [attachment]
    before = list(state.get("attached") or [])
    numbers = [int(status["interface"][3:]) for status in before if status["interface"][3:].isdigit()]
    netns = os.open(f"/proc/{state['pid']}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        child = bridges.claim_for(made, container, max([len(before), *(number + 1 for number in numbers)]))
        bridged.send_netns(made.channel_fd, netns)
        try:
            report = bridged.receive(made.channel_fd)
        finally:
            os.waitpid(child, 0)
    except BaseException:
        state["attached"] = [noted(attachment)]
        release(container)
        state["attached"] = before
        container.save()
        raise
    finally:
        os.close(netns)
        if made.channel_fd >= 0:
            os.close(made.channel_fd)
        made.close()
    status: dict[str, Any] = report["networks"][0]
    state["attached"] = [*before, status]
    state["keeper"] = report["keeper"]
    return status


def mend(container: Container, records: list[dict[str, Any]], conf: dict[str, Any], places: bool = False) -> str:
    """A new keeper where the old one was killed, the firewall's table and the bridges anew, names known; a warning, or nothing.

    places: the container's devices, addresses and routes on them, too; then the caller holds its lock and saves its state. NetworkError.
    """
    made = Plan()
    made.container, made.conf, made.opts = container, conf, {}
    job = bridge.Job(container.id, container.name, container.config["options"].get("hostname") or "", conf)
    job.dns = names.asked_for(container.config["options"])
    asked = {entry["name"]: entry["host_interface"] for entry in networks.attached_to(container)}
    job.attachments = [
        {**status, "record": record, "host_interface": asked.get(status["name"], "")}
        for status, record in zip(container.state["attached"], records)
    ]
    job.statuses, job.others, job.places = container.state["attached"], statuses_on, places
    netns = os.open(f"/proc/{container.state['pid']}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        child = order(made, job, lambda: _lease_again(job) if places else None)
        bridged.send_netns(made.channel_fd, netns)
        try:
            report = bridged.receive(made.channel_fd)
        finally:
            os.waitpid(child, 0)
    finally:
        os.close(netns)
        if made.channel_fd >= 0:
            os.close(made.channel_fd)
        made.close()
    container.state["keeper"], container.state["attached"] = report["keeper"], report["networks"]
    return str(report.get("warning") or "")


def _lease_again(job: bridge.Job) -> None:
    """Leases that a killed disconnect has given back, or somebody has deleted. NetworkError if another container has one by now."""
    for attachment in job.attachments:
        addresses = [str(entry["address"]) for entry in attachment["addresses"]]
        if set(addresses) - set(ipam.leases(attachment["name"])):
            ipam.allocate(attachment["record"], addresses, job.container_id, stale)


def undo(container: Container) -> list[dict[str, Any]]:
    """Take back what a killed `network connect` has left of a connection: device, lease, names. What it was; the caller holds the lock."""
    state = container.state
    half = [status for status in state.get("attached") or [] if not status["interface"] and "port" not in status]
    if not half or state["status"] not in RUNNING:
        return []
    from pyman.network import bridge_visits

    addresses = [entry["address"] for status in half for entry in status["addresses"]]
    _in_bridges(container, half[0]["name"], lambda netns: bridge_visits.undo(netns, addresses))
    others = [status for status in state["attached"] if status not in half]
    state["attached"] = half
    release(container)
    state["attached"] = others
    container.save()
    return half


def _in_bridges(container: Container, network: str, body: Callable[[int], int]) -> None:
    """Run `body` in a child in U1, with a descriptor of the bridges' namespace as the container's monitor holds it. NetworkError."""
    state = container.state
    owner = userns.userns_of(state["monitor_pid"], state["monitor_start"])
    # The keeper may have been killed.
    netns = os.open(f"/proc/{state['monitor_pid']}/fd/{state['keeper_fds'][0]}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        code = process.wait(userns.fork_in_userns(lambda: body(netns), "pyman:[bridge]", (netns,), owner))
    finally:
        os.close(netns)
        if owner >= 0:
            os.close(owner)
    if code:
        raise NetworkError(f"cannot take container {container.name} off network {network}", os.strerror(code))


def detach(container: Container, status: dict[str, Any]) -> None:
    """Take a running container off a network. The caller holds its lock."""
    state = container.state
    if "port" not in status:
        what = f"cannot take container {container.name} off network {status['name']}"
        raise NetworkError(what, "it was started by an older release", f"pyman restart {container.name}")
    from pyman.network import bridge_visits

    _in_bridges(container, status["name"], lambda netns: bridge_visits.detach(netns, status["port"]))
    others = [entry for entry in state["attached"] if entry["name"] != status["name"]]
    state["attached"] = [status]
    release(container)
    state["attached"] = others
