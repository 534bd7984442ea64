"""The few rtnetlink(7) messages that a start needs, encoded by hand: pyroute2 takes 0.1 s to load. Any process.

A socket belongs to the network namespace in which it was made, whatever namespace its owner enters later.
"""

from __future__ import annotations

import _socket
import os
import time
from errno import EINVAL, ENODEV, EOPNOTSUPP

from pyman.linux import libc

REQUEST, ACK, DUMP, CREATE, EXCLUSIVE = 1, 4, 0x300, 0x400, 0x200
NEWLINK, DELLINK, GETLINK, SETLINK, NEWADDR, DELADDR, GETADDR, NEWROUTE, DELROUTE, NEWRULE = 16, 17, 18, 19, 20, 21, 22, 24, 25, 32
NEWLINKPROP = 108
IFF_UP = 1
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 28
_IFLA_LINK, _IFLA_OPERSTATE, _IFLA_PROP_LIST, _IFLA_ALT_IFNAME, _NESTED = 5, 16, 52, 53, 0x8000
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFLA_BR_VLAN_FILTERING, _IFLA_BR_VLAN_DEFAULT_PVID = 7, 39
_NO_DAD = 2  # IFA_F_NODAD: an address of ours is nobody else's, and usable at once
_INET = {4: 2, 16: 10}  # length of an address -> AF_INET, AF_INET6


def open_socket() -> _socket.socket:
    """A socket for the caller's network namespace."""
    return _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 0)


def attribute(kind: int, payload: bytes) -> bytes:
    """struct rtattr with its payload and padding."""
    length = 4 + len(payload)
    return length.to_bytes(2, "little") + kind.to_bytes(2, "little") + payload + bytes(-length % 4)


# TCP segments of up to 256 KB together between devices that exist in memory alone (IFLA_GSO_IPV4_MAX_SIZE, Linux 6.3; older kernels pass it
# over, one that has it without such pairs may say EINVAL). The kernel cuts what leaves by a device that takes less, as pasta's does.
_LARGE = attribute(63, libc.u32s(1 << 18))


def talk(sock: _socket.socket, kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
    """Send one request; the (type, payload) of the messages of its answer. OSError."""
    sock.send((16 + len(body)).to_bytes(4, "little") + kind.to_bytes(2, "little") + flags.to_bytes(2, "little") + libc.u32s(1, 0) + body)
    found: list[tuple[int, bytes]] = []
    while True:
        data = sock.recv(1 << 16)
        while len(data) >= 16:
            length, answer = int.from_bytes(data[:4], "little"), int.from_bytes(data[4:6], "little")
            payload, data = data[16:length], data[(length + 3) & ~3 :]
            if answer == 2:  # NLMSG_ERROR: 0 is the acknowledgement
                code = -int.from_bytes(payload[:4], "little", signed=True)
                if code:
                    raise OSError(code, os.strerror(code))
                return found
            if answer == 3:  # NLMSG_DONE
                return found
            found.append((answer, payload))


def link(index: int, flags: int = 0, change: int = 0) -> bytes:
    """struct ifinfomsg."""
    return bytes(4) + libc.u32s(index, flags, change)


def new_bridge(sock: _socket.socket, name: str, mac: bytes, mtu: int, vlan: int = 0) -> None:
    """Make a bridge. OSError: EEXIST; EOPNOTSUPP where the kernel has no filtering of VLANs."""
    data = b""
    if vlan:
        data = attribute(_IFLA_BR_VLAN_FILTERING, b"\1") + attribute(_IFLA_BR_VLAN_DEFAULT_PVID, vlan.to_bytes(2, "little"))
    info = attribute(_IFLA_INFO_KIND, b"bridge") + (attribute(_IFLA_INFO_DATA, data) if data else b"")
    body = link(0) + attribute(_IFLA_IFNAME, name.encode() + b"\0") + attribute(_IFLA_ADDRESS, mac)
    body += attribute(_IFLA_MTU, libc.u32s(mtu)) + attribute(_IFLA_LINKINFO, info)
    talk(sock, NEWLINK, REQUEST | ACK | CREATE | EXCLUSIVE, body)


def new_veth(sock: _socket.socket, master: int, mtu: int, netns_fd: int, name: str, mac: bytes, own_name: str = "") -> None:
    """Make a pair of devices: ours in the bridge `master`, the other as `name` in the namespace `netns_fd`, not yet set up.

    OSError: EEXIST if a name is taken there.
    """
    for large in (_LARGE, b""):
        peer = link(0) + attribute(_IFLA_IFNAME, name.encode() + b"\0") + attribute(_IFLA_ADDRESS, mac)
        peer += attribute(_IFLA_MTU, libc.u32s(mtu)) + large + attribute(_IFLA_NET_NS_FD, netns_fd.to_bytes(4, "little"))
        info = attribute(_IFLA_INFO_KIND, b"veth") + attribute(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER, peer))
        body = link(0, IFF_UP, IFF_UP) + (attribute(_IFLA_IFNAME, own_name.encode() + b"\0") if own_name else b"") + large
        body += attribute(_IFLA_MTU, libc.u32s(mtu)) + attribute(_IFLA_MASTER, libc.u32s(master)) + attribute(_IFLA_LINKINFO, info)
        try:
            talk(sock, NEWLINK, REQUEST | ACK | CREATE | EXCLUSIVE, body)
            return
        except OSError as err:
            if err.errno != EINVAL or not large:
                raise


def set_up(sock: _socket.socket, index: int) -> None:
    """Set a device up."""
    talk(sock, NEWLINK, REQUEST | ACK, link(index, IFF_UP, IFF_UP))


def set_master(sock: _socket.socket, index: int, master: int) -> None:
    """Put a device into a bridge, and set it up; harmless if it is there. OSError: ENODEV."""
    talk(sock, NEWLINK, REQUEST | ACK, link(index, IFF_UP, IFF_UP) + attribute(_IFLA_MASTER, libc.u32s(master)))


def attributes_of(sock: _socket.socket, index: int) -> dict[int, bytes]:
    """What the kernel tells of a device: IFLA_* -> value. OSError."""
    payload = talk(sock, GETLINK, REQUEST | ACK, link(index))[0][1][16:]
    found: dict[int, bytes] = {}
    while len(payload) >= 4:
        length, kind = int.from_bytes(payload[:2], "little"), int.from_bytes(payload[2:4], "little")
        found[kind & 0x3FFF] = payload[4:length]
        payload = payload[max(4, (length + 3) & ~3) :]
    return found


def peer_of(sock: _socket.socket, index: int) -> int:
    """The number of the other end of a pair, in the namespace where that is."""
    return int.from_bytes(attributes_of(sock, index).get(_IFLA_LINK, b""), "little")


def wait_up(sock: _socket.socket, index: int) -> None:
    """Wait until a device that has a carrier works as one.

    The kernel notices in a work queue of its own (linkwatch); what comes before it does is dropped, and the first lookup of a neighbour
    would be tried again after a second only. Since Linux 6.8 the question itself makes it notice.
    """
    for number in range(400):
        if attributes_of(sock, index).get(_IFLA_OPERSTATE, b"\6") in (b"\6", b"\0"):  # IF_OPER_UP; IF_OPER_UNKNOWN: it cannot tell
            return
        time.sleep(0.0002 if number < 50 else 0.005)


def mac_of(sock: _socket.socket, index: int) -> bytes:
    """A device's hardware address. OSError."""
    return attributes_of(sock, index).get(_IFLA_ADDRESS, b"")


def delete_link(sock: _socket.socket, index: int) -> None:
    """Delete a device; of a pair, both."""
    talk(sock, DELLINK, REQUEST | ACK, link(index))


def add_name(sock: _socket.socket, index: int, name: str) -> bool:
    """Give a device one more name, of 16 to 127 characters; false if another one of its namespace has it. Before Linux 5.5 it gets none."""
    names = attribute(_IFLA_PROP_LIST | _NESTED, attribute(_IFLA_ALT_IFNAME, name.encode() + b"\0"))
    try:
        talk(sock, NEWLINKPROP, REQUEST | ACK | CREATE | EXCLUSIVE, link(index) + names)
    except FileExistsError:
        return False
    except OSError as err:
        if err.errno != EOPNOTSUPP:
            raise
    return True


def delete_named(sock: _socket.socket, name: str) -> None:
    """Delete the device that `add_name` gave that name, if there is one; of a pair, both. OSError."""
    try:
        talk(sock, DELLINK, REQUEST | ACK, link(0) + attribute(_IFLA_ALT_IFNAME, name.encode() + b"\0"))
    except OSError as err:
        if err.errno != ENODEV:
            raise


def add_address(sock: _socket.socket, index: int, address: bytes, prefix: int) -> None:
    """Give a device an address (4 or 16 bytes); harmless if it has it."""
    body = bytes((_INET[len(address)], prefix, _NO_DAD if len(address) == 16 else 0, 0)) + libc.u32s(index)
    if len(address) == 4:
        high = int.from_bytes(address, "big") | ((1 << (32 - prefix)) - 1)
        body += attribute(2, address) + attribute(4, high.to_bytes(4, "big"))  # IFA_LOCAL, IFA_BROADCAST
    try:
        talk(sock, NEWADDR, REQUEST | ACK | CREATE | EXCLUSIVE, body + attribute(1, address))  # IFA_ADDRESS
    except FileExistsError:
        pass


def add_route(
    sock: _socket.socket, destination: bytes, prefix: int, gateway: bytes = b"", *, metric: int = 0, device: int = 0, local_table: int = 0
) -> None:
    """Add a route by way of `gateway`, or (local_table) one that keeps everything here. OSError: EEXIST, ENETUNREACH."""
    table, scope, kind = (local_table, 254, 2) if local_table else (254, 0, 1)  # RT_SCOPE_HOST, RTN_LOCAL; main, unicast
    body = bytes((_INET[len(destination)], prefix, 0, 0, table, 4, scope, kind)) + libc.u32s(0)
    if prefix:
        body += attribute(1, destination)  # RTA_DST
    if device:
        body += attribute(4, libc.u32s(device))  # RTA_OIF
    if gateway:
        body += attribute(5, gateway)  # RTA_GATEWAY
    if metric:
        body += attribute(6, libc.u32s(metric))  # RTA_PRIORITY
    talk(sock, NEWROUTE, REQUEST | ACK | CREATE | EXCLUSIVE, body)


def add_mark_rule(sock: _socket.socket, version: int, mark: int, table: int) -> None:
    """Packets with a mark are routed by a table of their own; harmless if the rule is there."""
    body = bytes(((2 if version == 4 else 10), 0, 0, 0, table, 0, 0, 1)) + libc.u32s(0)  # FR_ACT_TO_TBL
    body += attribute(6, libc.u32s(50)) + attribute(10, libc.u32s(mark))  # FRA_PRIORITY, FRA_FWMARK
    try:
        talk(sock, NEWRULE, REQUEST | ACK | CREATE | EXCLUSIVE, body)
    except FileExistsError:
        pass
