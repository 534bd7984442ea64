"""NAT and isolation in the network namespace of the bridges, by nftables. Runs inside that namespace.

The table is loaded once, in one transaction, which replaces one that is there; a network that is internal or isolated adds its device's
name to a set before the device exists, so that no packet passes unseen. Published ports need no rule of their own: see shims/network.c.
"""

from __future__ import annotations

import _socket
import os

from pyman.errors import MissingProgram, NetworkError
from pyman.linux import netlink, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MARK, TABLE = 0x70796D61, 100  # packets for the port forwarder's sockets, and the routing table that keeps them here
_NETLINK_NETFILTER, _GETTABLE = 12, 0x0A01  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE
_PLACES = ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft")

# The answers to connections that the port forwarder made in a peer's name go to its socket, not out. Who is on an internal network
# reaches its bridge's own address (names), and neither the host's nor what listens at all addresses, which is published ports
# (shims/network/listen.h).
_RULES = f"""add table inet pyman
delete table inet pyman
table inet pyman {{
    set internal {{ type ifname; }}
    set isolated {{ type ifname; }}
    set strict {{ type ifname; }}
    chain prerouting {{
        type filter hook prerouting priority mangle; policy accept;
        meta l4proto {{ tcp, udp }} socket transparent 1 meta mark set {MARK}
    }}
    chain input {{
        type filter hook input priority filter; policy accept;
        iifname @internal meta l4proto {{ tcp, udp }} fib daddr . iif type != local drop
        iifname @internal meta l4proto {{ tcp, udp }} socket wildcard 1 drop
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname @internal drop
        oifname @internal drop
        iifname @strict oifname != "uplink" drop
        oifname @strict iifname != "uplink" drop
        iifname @isolated oifname @isolated drop
    }}
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname "uplink" masquerade
    }}
}}
"""
# A bridge's own addresses only: port 53 of the host's may be published. The address stays, of several that the bridge may have.
_NAMES = """table inet pyman {{
    chain names {{
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr . iif type local meta l4proto {{ tcp, udp }} iifname != "uplink" th dport 53 dnat to :{port}
    }}
}}
"""


def find() -> str:
    """Path of nft. MissingProgram."""
    for path in _PLACES:
        if os.access(path, os.X_OK):
            return path
    raise MissingProgram(
        "cannot find the program nft",
        "it makes the rules of bridge networks",
        "as root: apt-get install nftables; or use --network pasta, which needs none",
    )


def _run(text: str) -> None:
    """One transaction. NetworkError with nft's own words."""
    program = find()
    in_r, in_w = os.pipe()
    out_r, out_w = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, in_r, 0), (os.POSIX_SPAWN_DUP2, out_w, 1), (os.POSIX_SPAWN_DUP2, out_w, 2)]
    pid = os.posix_spawn(program, ["nft", "-f", "-"], {"LC_ALL": "C"}, file_actions=actions)
    os.close(in_r)
    os.close(out_w)
    try:
        os.write(in_w, text.encode())
    except BrokenPipeError:
        pass  # its exit code tells
    os.close(in_w)
    with open(out_r, "rb") as pipe:
        said = pipe.read(4096).decode(errors="replace").strip()
    if process.wait(pid):
        hint = (
            "as root: modprobe nf_tables nft_socket nft_masq nft_fib_inet"
            if "No such file" in said or "not supported" in said.lower()
            else ""
        )
        raise NetworkError("cannot load the rules of bridge networks", said.split("\n")[0] or "nft failed", hint)


def load(networks: Iterable[tuple[str, bool, str]] = (), dns_port: int = 53) -> None:
    """Load the table anew, with walls around `networks`: (device, internal, isolate) of each. NetworkError, MissingProgram.

    dns_port: where the name servers listen; resolv.conf can name no port.
    """
    _run(_RULES + (_NAMES.format(port=dns_port) if dns_port != 53 else "") + "".join(_walls(*network) for network in networks))


def there() -> bool:
    """Whether this network namespace has the table. One question to the kernel: nft takes a hundred times as long."""
    sock = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, _NETLINK_NETFILTER)
    try:
        netlink.talk(sock, _GETTABLE, netlink.REQUEST | netlink.ACK, b"\1\0\0\0" + netlink.attribute(1, b"pyman\0"))  # NFPROTO_INET
    except OSError:
        return False
    finally:
        sock.close()
    return True


def sets_of(internal: bool, isolate: str) -> list[str]:
    """The sets that a network's device is in."""
    return (["internal"] if internal else []) + (
        [{"true": "isolated", "strict": "strict"}[isolate]] if isolate in ("true", "strict") else []
    )


def _walls(device: str, internal: bool, isolate: str) -> str:
    return "".join(f'add element inet pyman {name} {{ "{device}" }}\n' for name in sets_of(internal, isolate))


def guard(device: str, internal: bool, isolate: str) -> None:
    """Set the walls around a network's device; called before it is made. NetworkError."""
    text = _walls(device, internal, isolate)
    if text:
        _run(text)


def unguard(device: str) -> None:
    """Take all walls around a device away; harmless if it has none. NetworkError."""
    if not there():
        return
    both = ("add", "delete")  # what is not there cannot be deleted
    _run("".join(f'{verb} element inet pyman {name} {{ "{device}" }}\n' for name in ("internal", "isolated", "strict") for verb in both))
