"""Move a network device into another network namespace by rtnetlink(7), with its global addresses. The runtime program."""

from __future__ import annotations

import _socket
import errno
import os

from pyman.linux import libc, netlink, process

_IFLA_IFNAME, _IFLA_NET_NS_FD = 3, 28


def _talk(kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
    """Send one request in the caller's namespace; the messages of its answer. OSError."""
    sock = netlink.open_socket()
    try:
        return netlink.talk(sock, kind, flags, body)
    finally:
        sock.close()


def _addresses(index: int) -> list[bytes]:
    """The payloads (struct ifaddrmsg and attributes) of a device's permanent global addresses."""
    found = []
    for kind, payload in _talk(netlink.GETADDR, netlink.REQUEST | netlink.DUMP, bytes(8)):
        global_scope, permanent = payload[3] == 0, payload[2] & 0x80
        if kind == netlink.NEWADDR and int.from_bytes(payload[4:8], "little") == index and global_scope and permanent:
            found.append(payload)
    return found


def _without_cache_info(payload: bytes) -> bytes:
    """An address as it can be set: without times and counters that only the kernel writes."""
    body, attributes = payload[:8], payload[8:]
    while len(attributes) >= 4:
        length, kind = int.from_bytes(attributes[:2], "little"), int.from_bytes(attributes[2:4], "little")
        if kind in (1, 2, 4):  # IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST
            body += netlink.attribute(kind, attributes[4:length])
        attributes = attributes[(length + 3) & ~3 :]
    return body


def move(name: str, netns_fd: int, new_name: str) -> None:
    """Move device `name` of this namespace into `netns_fd` as `new_name`, set it up again there and give it its addresses back.

    OSError: ENODEV (no such device), EPERM (no CAP_NET_ADMIN in both namespaces), EEXIST (the name is taken there).
    """
    index = _socket.if_nametoindex(name)
    kept = [_without_cache_info(payload) for payload in _addresses(index)]
    attributes = netlink.attribute(_IFLA_NET_NS_FD, netns_fd.to_bytes(4, "little")) + netlink.attribute(
        _IFLA_IFNAME, new_name.encode() + b"\0"
    )
    _talk(netlink.SETLINK, netlink.REQUEST | netlink.ACK, netlink.link(index) + attributes)
    read_end, write_end = os.pipe()

    def body() -> int:
        try:
            libc.setns(netns_fd, libc.CLONE_NEWNET)
            inside = _socket.if_nametoindex(new_name)
            for payload in kept:
                _talk(
                    netlink.NEWADDR,
                    netlink.REQUEST | netlink.ACK | netlink.CREATE | netlink.EXCLUSIVE,
                    payload[:4] + inside.to_bytes(4, "little") + payload[8:],
                )
            _talk(netlink.NEWLINK, netlink.REQUEST | netlink.ACK, netlink.link(inside, netlink.IFF_UP, netlink.IFF_UP))
        except OSError as err:
            os.write(write_end, b"%d" % (err.errno or errno.EIO))
            return 1
        return 0

    helper = process.fork(body, "pyman:[netdev]", (netns_fd, write_end))
    os.close(write_end)
    text = os.read(read_end, 16)
    os.close(read_end)
    if process.wait(helper) != 0:
        code = int(text or errno.EIO)
        raise OSError(code, os.strerror(code))
