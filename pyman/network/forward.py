"""Published ports of a container on bridges: shims/network.c listens on the host and imitates the peer inside. Process C; CLI.

What it forwards to is a file in the container's run directory, which it reads again on SIGHUP: networks can be connected and
disconnected while connections go on.
"""

from __future__ import annotations

import os

from pyman import paths
from pyman.network import helper, subnets
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.network.setup import NetInfo


def _path(run_dir: str) -> str:
    return os.path.join(run_dir, "forward")


def _text(ports: list[dict[str, Any]], attached: list[dict[str, Any]], keeper: dict[str, Any]) -> str:
    lines = [f"names {keeper.get('dns_port') or 53}"]
    for port in ports:
        for offset in range(port["range"]):
            words = (port["protocol"], port["host_ip"] or "*", str(port["host_port"] + offset), str(port["container_port"] + offset))
            lines.append("listen " + " ".join(words))
    # An internal network has no way back to a peer outside: there the bridge's own address is what the server sees.
    open_ones = [status for status in attached if not status["internal"]]
    for version in (4, 6):
        found = [
            entry["address"]
            for status in [*open_ones, *(status for status in attached if status["internal"])]
            for entry in status["addresses"]
            if (":" in entry["address"]) == (version == 6) and entry["gateway"]
        ]
        if found:
            lines.append(f"target {found[0]}")
    if not open_ones:
        lines += ["local 0.0.0.0/0", "local ::/0"]
    for status in attached:
        for entry in status["addresses"]:
            subnet, _ = subnets.parse_cidr(f"{entry['address']}/{entry['prefix']}")
            lines.append(f"local {subnets.cidr_text(subnet)}")
    return "".join(line + "\n" for line in lines)


def start(info: NetInfo, run_dir: str) -> int:
    """Start the forwarder for info.ports; its pid, once it listens. NetworkError names the port that it cannot have."""
    store.write_text(_path(run_dir), _text(info.ports, info.attached, info.keeper))
    ready_r, ready_w = os.pipe()
    netns = os.dup(info.netns_fd)
    for fd in (ready_w, netns):
        os.set_inheritable(fd, True)
    argv = ["pyman-network", "forward", str(ready_w), str(netns), _path(run_dir), str(os.getpid())]
    info.again = [paths.native("network"), *argv[:2], "-1", "3", *argv[4:]]  # the monitor, which may have to do it, has this process's pid
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in range(3)]
    pid = os.posix_spawn(paths.native("network"), argv, {}, file_actions=actions, setsigmask=(), setsigdef=(2, 13, 15, 25))
    for fd in (ready_w, netns, null):
        os.close(fd)
    with open(ready_r, "rb") as pipe:
        text = pipe.read(64).decode(errors="replace")
    if text != "ok":
        from pyman.linux import process

        process.wait(pid)
        raise _explain(text, info.ports)
    return pid


def _explain(text: str, ports: list[dict[str, Any]]) -> Exception:
    words = text.split(" ")
    if len(words) == 4 and words[0] == "port":
        number, protocol, code = int(words[1]), words[2], int(words[3])
        for port in ports:
            if port["protocol"] == protocol and port["host_port"] <= number < port["host_port"] + port["range"]:
                return helper.refusal(dict(port, host_port=number, range=1), number, code)
    return helper.explain("the port forwarder", text or "it was killed", [])


def note_targets(run_dir: str, state: dict[str, Any]) -> None:
    """Write down the container's present addresses; a running forwarder reads them at SIGHUP."""
    store.write_text(_path(run_dir), _text(state["ports"], state["attached"], state.get("keeper") or {}))
