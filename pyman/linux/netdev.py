"""Move a network device into another network namespace by rtnetlink(7), with its global addresses. The runtime program."""

from __future__ import annotations

import _socket
import errno
import os

from pyman.linux import libc, netlink, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_IFLA_IFNAME, _IFLA_NET_NS_FD = 3, 28
_SIOCGIFFLAGS = 0x8913


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


def is_up(name: str) -> bool:
    """Whether device `name` of this namespace is up. OSError: ENODEV."""
    import fcntl  # with network devices only

    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        answer = fcntl.ioctl(sock.fileno(), _SIOCGIFFLAGS, name.encode().ljust(16, b"\0") + bytes(24))
    finally:
        sock.close()
    return bool(answer[16] & netlink.IFF_UP)


def names_in(netns_fd: int) -> list[str]:
    """The devices of a network namespace. OSError."""
    return _within(netns_fd, lambda: " ".join(name for _, name in _socket.if_nameindex())).split()


def _within(netns_fd: int, work: Callable[[], str], keep: tuple[int, ...] = ()) -> str:
    """Let a child work in a network namespace; what it says. OSError as it was raised there."""
    read_end, write_end = os.pipe()

    def body() -> int:
        try:
            libc.setns(netns_fd, libc.CLONE_NEWNET)
            os.write(write_end, b"+" + work().encode())
        except OSError as err:
            os.write(write_end, b"-%d" % (err.errno or errno.EIO))
        return 0

    helper = process.fork(body, "pyman:[netdev]", (netns_fd, write_end, *keep))
    os.close(write_end)
    text = b""
    while part := os.read(read_end, 1 << 16):
        text += part
    os.close(read_end)
    process.wait(helper)
    if text[:1] != b"+":
        code = int(text[1:] or errno.EIO)
        raise OSError(code, os.strerror(code))
    return text[1:].decode()


def move(name: str, netns_fd: int, new_name: str, up: bool = True) -> None:
    """Move device `name` of this namespace into `netns_fd` as `new_name`, set it up again there and give it its addresses back.

    OSError: ENODEV (no such device), EPERM (no CAP_NET_ADMIN in both namespaces), EEXIST (the name is taken there).
    """
    index = _socket.if_nametoindex(name)
    kept = [_without_cache_info(payload) for payload in _addresses(index)]
    attributes = netlink.attribute(_IFLA_NET_NS_FD, netns_fd.to_bytes(4, "little")) + netlink.attribute(
        _IFLA_IFNAME, new_name.encode() + b"\0"
    )
    _talk(netlink.SETLINK, netlink.REQUEST | netlink.ACK, netlink.link(index) + attributes)

    def settle() -> str:
        inside = _socket.if_nametoindex(new_name)
        for payload in kept:
            _talk(
                netlink.NEWADDR,
                netlink.REQUEST | netlink.ACK | netlink.CREATE | netlink.EXCLUSIVE,
                payload[:4] + inside.to_bytes(4, "little") + payload[8:],
            )
        if up:
            _talk(netlink.NEWLINK, netlink.REQUEST | netlink.ACK, netlink.link(inside, netlink.IFF_UP, netlink.IFF_UP))
        return ""

    _within(netns_fd, settle)


def move_back(name: str, netns_fd: int, old_name: str, home_fd: int, up: bool) -> None:
    """Move device `name` of the namespace `netns_fd` into `home_fd`, with its addresses. OSError as `move`."""

    def give() -> str:
        move(name, home_fd, old_name, up)
        return ""

    _within(netns_fd, give, (home_fd,))
