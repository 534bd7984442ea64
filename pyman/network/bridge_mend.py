"""What somebody has changed by hand in the bridges' namespace, or in a container's: given back by a start or a reload. Process B in U1."""

from __future__ import annotations

import _socket
import os
import time

from pyman.errors import NetworkError
from pyman.linux import netlink
from pyman.network import bridge, clashes, config, firewall, living, names, pasta, places, uplink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_WAIT = 10.0  # seconds


def servers(keeper: dict[str, Any]) -> str:
    """Write again what the name servers read, but for names: "lost" where a file was missing, "damaged" where they have a wrong one mounted."""
    place = uplink.directory()
    said = "damaged" if os.path.isfile(os.path.join(place, "resolv.conf")) else "lost"
    try:
        names.write_files(place, list(keeper.get("servers", keeper.get("dns")) or []))
    except OSError as err:
        raise NetworkError(
            "cannot write what the name servers of the networks read", f"{err.filename}: {err.strerror}", "remove it"
        ) from err
    return said


def rules(conf: dict[str, Any], keeper: dict[str, Any]) -> None:
    """Forwarding, the firewall's table, and the walls of all networks: whoever took the table away took them all. NetworkError."""
    uplink.set_up()
    firewall.load([walls(record) for record in config.everything(conf)[0]], uplink.dns_port(keeper))


def clashing(job: bridge.Job) -> list[str]:
    """What to tell of other networks' files that claim the subnets of those which are mended: a start would refuse the second bridge."""
    known = config.everything(job.conf)[0] if job.statuses else []
    found = [clashes.between(attachment["record"], known) for attachment in job.attachments]
    return [str(error) for error in found if error]


def walls(record: dict[str, Any]) -> tuple[str, bool, str]:
    """What firewall.guard needs to know of a network."""
    return record["network_interface"], bool(record.get("internal")), config.option(record, "isolate")


def way_out(keeper: dict[str, Any]) -> str:
    """What was stopped goes on; a pasta that has lost its device or its routes is started anew. What to tell of it, or nothing."""
    said = living.wake(living.of_keeper(keeper))
    if not uplink_fault(keeper):
        return said
    for what, pid, _ in living.of_keeper(keeper):
        if what.endswith("pasta"):
            os.kill(pid, 9)
    deadline = time.monotonic() + _WAIT
    while uplink_fault(keeper) and time.monotonic() < deadline:
        time.sleep(0.02)
    return said


def uplink_fault(keeper: dict[str, Any]) -> str:
    """What pasta's device in this network namespace lacks; empty if it leads out."""
    if uplink.DEVICE not in (name for _, name in _socket.if_nameindex()):
        return f"the device {uplink.DEVICE} was deleted"
    lost = set(keeper.get("versions") or [4]) - pasta.default_routes(uplink.DEVICE)
    return f"the device {uplink.DEVICE} has no route for IPv{min(lost)}" if lost else ""


def marks_fault(seen: dict[str, Any]) -> str:
    """What the port forwarders lack of the way back of their connections, in what rtnl.survey has seen; empty if it is whole."""
    for version in (4, 6) if os.path.exists("/proc/net/if_inet6") else (4,):
        for what in ("rule", "route"):
            if [what, version] not in seen["marked"]:
                return f"the port forwarders' {what} for IPv{version}, of routing table {firewall.TABLE}, was deleted"
    return ""


def adopt(sock: _socket.socket, master: int, statuses: list[dict[str, Any]]) -> None:
    """Put the devices of containers that are there already into a bridge made anew."""
    for status in statuses:
        try:
            netlink.set_master(sock, int(status["port"]), master)
        except (OSError, KeyError):
            continue  # that one has lost its device as well: its reload makes another


def take_over(
    sock: _socket.socket, peer: int, mark: str, address: str, network: str, others: Callable[[str], list[dict[str, Any]]]
) -> None:
    """Give a device the mark of its address, which another one has: of a container that has ended, whose namespace something keeps.

    That device is deleted. NetworkError if it is a living container's: somebody has deleted its lease.
    """
    for status in others(network):
        if status.get("port") and address in [entry["address"] for entry in status["addresses"]]:
            raise NetworkError(f"cannot use address {address} of network {network}", "a running container has it", "try again")
    for _ in range(8):
        netlink.delete_named(sock, mark)
        if netlink.add_name(sock, peer, mark):
            return


def give_up(job: bridge.Job, report: dict[str, Any]) -> None:
    """Take away devices and names that nobody has been told of: whoever ordered them was killed. Their leases it has noted."""
    for status in report["networks"]:
        try:
            netlink.delete_link(job.sock or netlink.open_socket(), status["port"])
        except OSError:
            continue  # it has gone with the container, or somebody else has taken it away, and the names
        if status["dns"]:
            with config.lock():
                names.forget(status, job.container_id)
            names.announce(report["keeper"])


def port(job: bridge.Job, ends: bridge.Ends, attachment: dict[str, Any], master: int, number: int) -> dict[str, Any]:
    """A container's place on a network as it was at its start: devices, addresses, routes; what it has there now.

    The caller is in the container's network namespace.
    """
    sock, inside, _ = ends
    status = {key: value for key, value in attachment.items() if key not in ("record", "host_interface")}
    if "port" not in status:
        return status  # started by an older release
    try:
        netlink.set_master(sock, status["port"], master)
    except OSError as err:
        if err.errno != 19:  # ENODEV
            raise
        return bridge.attach(job, ends, attachment, master, number, status["interface"])
    index = netlink.peer_of(sock, status["port"])
    netlink.set_up(inside, index)
    places.add_addresses(inside, index, status["addresses"])
    there = pasta.default_routes(_socket.if_indextoname(index))
    without = [address for address in status["addresses"] if (6 if ":" in address["address"] else 4) not in there]
    places.add_routes(inside, attachment["record"], without, number)
    return status


def clear(sock: _socket.socket, device: str) -> None:
    """Take away a bridge that no network has any more, with its walls: the next network may get its name."""
    try:
        netlink.delete_link(sock, _socket.if_nametoindex(device))
    except OSError as err:
        if err.errno != 19:
            raise
    firewall.unguard(device)
