"""C's side of a start on bridges: pass the namespace on, take the result, start the port forwarder. Process C."""

from __future__ import annotations

import _socket
import os

from pyman import errors
from pyman.errors import NetworkError
from pyman.linux import process
from pyman.network import forward, hosts, uplink
from pyman.network.setup import NetSetup
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def begin(setup: NetSetup, netns: str) -> None:
    """Give the process that attaches the container its network namespace, as a descriptor."""
    fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    send_netns(setup.channel_fd, fd)
    os.close(fd)


def send_netns(channel_fd: int, netns_fd: int) -> None:
    """The message that process B waits for."""
    channel = _socket.socket(fileno=channel_fd)
    try:
        channel.sendmsg([b"n"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, netns_fd.to_bytes(4, "little"))])
    except OSError:
        pass  # it has failed already; its error is read by `receive`
    finally:
        channel.detach()


def receive(channel_fd: int) -> dict[str, Any]:
    """Process B's report. NetworkError and what else it raised."""
    channel = _socket.socket(fileno=channel_fd)
    try:
        try:
            data = channel.recv(1 << 18)
        except ConnectionResetError:
            data = channel.recv(1 << 18)  # it has ended without reading our message; its report lies behind that error
    finally:
        channel.detach()
    report: dict[str, Any] = fastjson.loads(data) if data else {}
    if "error" in report:
        raise errors.from_record(report["error"])
    if "networks" not in report:
        raise NetworkError("cannot attach the container to its networks", "the process that does it was killed")
    return report


def finish(setup: NetSetup) -> None:
    """Wait for the addresses, then open the published ports. NetworkError and what else the attaching raised."""
    report = receive(setup.channel_fd)
    info = setup.info
    info.private, info.attached, info.keeper = True, report["networks"], report["keeper"]
    info.netns_fd = uplink.open_netns(info.keeper)
    info.warning = report.get("warning", "")
    addresses = [entry["address"] for status in info.attached for entry in status["addresses"]]
    info.ip = addresses[0] if addresses else ""
    own = hosts.host_address() if info.keeper.get("apart") else ""  # which may have changed since
    info.host_address = own or info.keeper.get("host_address") or ""
    servers = [entry["gateway"] for status in info.attached if status["dns"] for entry in status["addresses"] if entry["gateway"]]
    info.only_dns = bool(servers)
    info.dns = servers or list(info.keeper.get("dns") or [])
    if info.ports:
        setup.pid = forward.start(info, setup.run_dir)
        info.pids = [(setup.pid, process.start_time(setup.pid))]
