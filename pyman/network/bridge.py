"""Attach a container to bridges: devices, addresses, routes, names. A helper process B in U1 does it, beside process C.

The CLI process forks B and C at the same time; a socketpair joins them. C tells B the container's network namespace (once init
has it, or at once if it was made ahead) and B answers with what the container got, or with its error. B enters the namespaces
one after the other, which C cannot: it has to stay in the host's.
"""

from __future__ import annotations

import _socket
import os

from pyman import stages
from pyman.errors import NetworkError, PymanError
from pyman.linux import libc, netlink
from pyman.network import config, firewall, names, places, subnets, uplink
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    # Sockets in the bridges' namespace and in the container's, and a descriptor of the latter.
    Ends = tuple[_socket.socket, _socket.socket, int]


class Job:
    """What B needs. keeper: None if it has to start one; life_fd: for that, the pipe's reading end; old_netns: of a killed keeper."""

    __slots__ = (
        "attachments",
        "conf",
        "container_id",
        "dns",
        "first",
        "hostname",
        "keeper",
        "life_fd",
        "lock_fd",
        "name",
        "old_netns",
        "others",
        "places",
        "restore",
        "sock",
        "statuses",
    )

    def __init__(self, container_id: str, name: str, hostname: str, conf: dict[str, Any]) -> None:
        self.container_id, self.name, self.hostname, self.conf = container_id, name, hostname, conf
        self.attachments: list[dict[str, Any]] = []
        self.dns: list[str] = []
        self.keeper: dict[str, Any] | None = None
        self.first = 0  # number of the first device
        self.others: Callable[[str], list[dict[str, Any]]] = lambda network: []  # what running containers have on a network
        self.restore: Callable[[], None] = lambda: None  # writes the names of all running containers
        self.statuses: list[dict[str, Any]] = []  # of a container that is attached already, and whose networks are to be mended
        self.places = False  # whether what it has there is to be mended as well
        self.sock: _socket.socket | None = None  # B's, in the bridges' namespace
        self.life_fd = self.lock_fd = self.old_netns = -1

    def descriptors(self) -> tuple[int, ...]:
        """Those that B must inherit."""
        return tuple(fd for fd in (self.life_fd, self.lock_fd, self.old_netns) if fd >= 0)


def run(job: Job, channel_fd: int) -> int:
    """B's body: one message in (the namespace's path), one out (a JSON report)."""
    channel = _socket.socket(fileno=channel_fd)
    try:
        report = _run(job, channel)
    except PymanError as err:
        report = {"error": err.to_record()}
    except OSError as err:
        where = f"{err.filename}: " if err.filename else ""
        failure = NetworkError(f"cannot attach container {job.name} to its networks", f"{where}{err.strerror or err}")
        report = {"error": failure.to_record()}
    try:
        channel.send(fastjson.dumps(report).encode())
    except OSError:  # C has gone, or the command that connects a running container
        if "networks" in report and not job.statuses:
            from pyman.network import bridge_mend

            bridge_mend.give_up(job, report)
    return 0


def _run(job: Job, channel: _socket.socket) -> dict[str, Any]:
    keeper = keeper_of(job)
    own = uplink.open_netns(keeper)
    libc.setns(own, libc.CLONE_NEWNET)
    sock = job.sock = netlink.open_socket()
    doubts = []
    if job.statuses or not firewall.there():
        from pyman.network import bridge_mend  # a reload, or somebody was at work in there

        bridge_mend.rules(job.conf, keeper)
        doubts = [bridge_mend.way_out(keeper), *bridge_mend.clashing(job)]
    doubts += [ensure_bridge(sock, attachment["record"], job) for attachment in job.attachments]
    masters = [_socket.if_nametoindex(attachment["record"]["network_interface"]) for attachment in job.attachments]
    _, passed, _, _ = channel.recvmsg(16, _socket.CMSG_SPACE(4))
    if not passed:
        raise NetworkError(f"cannot attach container {job.name} to its networks", "its start was given up")
    theirs = int.from_bytes(passed[0][2], "little")
    statuses = []
    libc.setns(theirs, libc.CLONE_NEWNET)
    inside = netlink.open_socket()
    netlink.set_up(inside, 1)
    ends = (sock, inside, theirs)
    given = {attachment["interface"] for attachment in job.attachments}
    free = (f"eth{number}" for number in range(job.first, 1 << 16) if f"eth{number}" not in given)
    for number, (attachment, master) in enumerate(zip(job.attachments, masters)):
        if job.statuses:
            mended = job.places and bridge_mend.port(job, ends, attachment, master, number)
            statuses.append(mended or job.statuses[number])
            continue
        device = attachment["interface"] or next(free)
        statuses.append(attach(job, ends, attachment, master, job.first + number, device))
    stages.reach("bridge:attached")
    warning = "; ".join(text for text in (*doubts, names.introduce(job, keeper, statuses)) if text)
    stages.reach("bridge:named")
    return {"networks": statuses, "keeper": keeper, **({"warning": warning} if warning else {})}


def keeper_of(job: Job) -> dict[str, Any]:
    """The job's keeper, started where it has none."""
    if job.keeper is not None:
        return job.keeper
    keeper = job.keeper = uplink.start(job.conf, job.life_fd, job.old_netns)
    os.close(job.lock_fd)  # from here on others may come
    if job.old_netns >= 0:
        names.announce(keeper)
    return keeper


def mtu(record: dict[str, Any]) -> int:
    """The MTU of a network's devices: the option's, else what the uplink can carry."""
    return int(config.option(record, "mtu") or 0) or uplink.MTU


def _is_link_to(path: str, text: str) -> bool:
    try:
        return os.readlink(path) == text
    except OSError:
        return False


def _index(device: str) -> int:
    try:
        return _socket.if_nametoindex(device)
    except OSError:
        return 0


def ensure_bridge(sock: _socket.socket, record: dict[str, Any], job: Job) -> str:
    """Make a network's bridge with its addresses, in the caller's network namespace; complete one that was cut short.

    Returns a warning, or nothing. StorageError if another network has the same bridge or subnet.
    """
    device, warning = record["network_interface"], ""
    link = os.path.join(uplink.directory(), f"bridge-{device}")
    known = _is_link_to(link, record["id"])  # looked at before the bridge: it is made to point there when another network's has gone
    index = _index(device)
    if not index or not known:
        from pyman.network import clashes  # the first container of a network

        warning = clashes.check(record, job.conf, link, sock)
        index = _index(device)
    lost = known and not index  # somebody has deleted it: its containers hang in the air
    if not index:
        try:
            firewall.guard(device, bool(record.get("internal")), config.option(record, "isolate"))
        except NetworkError:
            from pyman.network import bridge_mend  # somebody has taken away a part of the table

            bridge_mend.rules(job.conf, job.keeper or {})
        digits = bytes.fromhex(record["id"][:12])  # the same again if it is lost: its containers know it
        mac = bytes((digits[0] & 0xFC | 2,)) + digits[1:]
        try:
            netlink.new_bridge(sock, device, mac, mtu(record), int(config.option(record, "vlan") or 0))
        except FileExistsError:
            pass  # another container of the network came first
        except OSError as err:
            why = "this kernel's bridges cannot filter VLANs" if config.option(record, "vlan") else err.strerror or str(err)
            hint = "make the network without -o vlan" if config.option(record, "vlan") else ""
            raise NetworkError(f"cannot make the bridge of network {record['name']}", why, hint) from err
        index = _socket.if_nametoindex(device)
    if lost:
        from pyman.network import bridge_mend

        bridge_mend.adopt(sock, index, job.others(record["name"]))
    for entry in record.get("subnets") or []:
        if entry.get("gateway"):
            subnet, _ = subnets.parse_cidr(entry["subnet"])
            try:
                netlink.add_address(sock, index, subnets.pack(subnets.parse_ip(entry["gateway"])), subnet[2])
            except OSError as err:
                if subnet[0] == 4:
                    raise
                raise NetworkError(f"cannot give network {record['name']} its IPv6 address", err.strerror or str(err)) from err
    netlink.set_up(sock, index)
    return warning


def attach(job: Job, ends: Ends, attachment: dict[str, Any], master: int, number: int, device: str) -> dict[str, Any]:
    """One pair of devices, with addresses and routes; the caller is in the container's network namespace.

    attachment: as network/attachments.py's, with "record" and "addresses". Returns what the container got.
    """
    sock, inside, netns_fd = ends
    record = attachment["record"]
    mac = subnets.parse_mac(attachment["mac"]) if attachment["mac"] else bytes((os.urandom(1)[0] & 0xFC | 2,)) + os.urandom(5)
    try:
        netlink.new_veth(sock, master, mtu(record), netns_fd, device, mac, attachment["host_interface"])
    except OSError as err:
        names = " or ".join(name for name in (device, attachment["host_interface"]) if name)
        why = f"the name of its device, {names}, is taken" if err.errno == 17 else err.strerror or str(err)
        raise NetworkError(f"cannot attach the container to network {record['name']}", why) from err
    index = _socket.if_nametoindex(device)
    peer = netlink.peer_of(inside, index)
    addresses = places.usable(attachment["addresses"], device)
    for address in addresses:
        mark = places.mark(address["address"])
        if not netlink.add_name(sock, peer, mark):
            from pyman.network import bridge_mend  # somebody keeps the namespace of a container that has ended

            bridge_mend.take_over(sock, peer, mark, address["address"], record["name"], job.others)
    places.take_no_advertisements(device)
    netlink.set_up(inside, index)
    netlink.wait_up(sock, peer)
    netlink.wait_up(sock, master)
    places.add_addresses(inside, index, addresses)
    places.add_routes(inside, record, addresses, number)
    return {
        "name": record["name"],
        "id": record["id"],
        "interface": device,
        "mac": subnets.mac_text(mac),
        "addresses": addresses,
        "aliases": attachment["aliases"],
        "dns": bool(record.get("dns_enabled")),
        "internal": bool(record.get("internal")),
        "bridge": record["network_interface"],
        "port": peer,  # number of our end of the pair
    }
