"""NAT and isolation in the network namespace of the bridges, by nftables. Runs inside that namespace.

The table is loaded once, in one transaction; a network that is internal or isolated adds its device's name to a set before the
device exists, so that no packet passes unseen. Published ports need no rule of their own: see shims/network.c.
"""

from __future__ import annotations

import os

from pyman.errors import MissingProgram, NetworkError
from pyman.linux import process

MARK, TABLE = 0x70796D61, 100  # packets for the port forwarder's sockets, and the routing table that keeps them here
_PLACES = ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft", "/usr/local/sbin/nft")

# The answers to connections that the port forwarder made in a peer's name go to its socket, not out. Who is on an internal network
# reaches its bridge's own address (names), and neither the host's nor what listens at all addresses, which is published ports
# (shims/network/listen.h).
_RULES = f"""add table inet pyman
flush table inet pyman
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


def load() -> None:
    """Load the table anew. NetworkError, MissingProgram."""
    _run(_RULES)


def guard(device: str, internal: bool, isolate: str) -> None:
    """Set the walls around a network's device; called before it is made. NetworkError."""
    names = (["internal"] if internal else []) + (
        [{"true": "isolated", "strict": "strict"}[isolate]] if isolate in ("true", "strict") else []
    )
    if names:
        _run("".join(f'add element inet pyman {name} {{ "{device}" }}\n' for name in names))
