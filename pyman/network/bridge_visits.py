"""What else than a start enters the bridges' network namespace: a shell, a container that leaves, a network that is removed. Children in U1."""

from __future__ import annotations

import _socket
import os

from pyman.errors import NetworkError
from pyman.linux import libc, netlink
from pyman.network import bridge, bridge_mend, places, uplink


def enter(job: bridge.Job) -> None:
    """Enter the bridges' network namespace, to stay, with the name servers that can be reached from there. In U1. NetworkError."""
    try:
        keeper = bridge.keeper_of(job)
        libc.unshare(libc.CLONE_NEWNS)  # a keeper that was started here has the caller's
        libc.setns(uplink.open_netns(keeper), libc.CLONE_NEWNET)
        if os.path.exists("/etc/resolv.conf"):
            libc.mount(os.path.join(uplink.directory(), "resolv.conf"), os.path.realpath("/etc/resolv.conf"), None, libc.MS_BIND)
    except OSError as err:
        raise NetworkError("cannot enter the network namespace of the bridges", f"{err.filename or ''} {err.strerror}".strip()) from err


def detach(netns_fd: int, index: int) -> int:
    """Delete our end of a container's pair of devices, and with it the other; 0 or errno. Runs in a child in U1.

    netns_fd: of the bridges. The container may have given its own end another name.
    """
    try:
        libc.setns(netns_fd, libc.CLONE_NEWNET)
        sock = netlink.open_socket()
        netlink.delete_link(sock, index)
    except OSError as err:
        return 0 if err.errno == 19 else err.errno or 1  # ENODEV: somebody in the container was faster
    return 0


def leave(netns_fd: int, macs: list[bytes]) -> int:
    """Delete the devices with these hardware addresses from a container's network namespace; 0 or errno. Runs in a child in U1."""
    try:
        libc.setns(netns_fd, libc.CLONE_NEWNET)
        sock = netlink.open_socket()
        for index, _ in _socket.if_nameindex():
            if netlink.mac_of(sock, index) in macs:
                netlink.delete_link(sock, index)
    except OSError as err:
        return err.errno or 1
    return 0


def undo(netns_fd: int, addresses: list[str]) -> int:
    """Delete the devices of a connection that was cut short, by their marks; 0 or errno. Runs in a child in U1, netns_fd: of the bridges."""
    try:
        libc.setns(netns_fd, libc.CLONE_NEWNET)
        sock = netlink.open_socket()
        for address in addresses:
            netlink.delete_named(sock, places.mark(address))
    except OSError as err:
        return err.errno or 1
    return 0


def take_down(netns_fd: int, device: str) -> int:
    """As bridge_mend.clear, in a child of a command's; 0 or errno."""
    try:
        libc.setns(netns_fd, libc.CLONE_NEWNET)
        bridge_mend.clear(netlink.open_socket(), device)
    except OSError as err:
        return err.errno or 1
    return 0
