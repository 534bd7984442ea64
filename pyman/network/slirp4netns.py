"""slirp4netns: a network stack of its own in user space, for kernels and distributions without pasta. Process C."""

from __future__ import annotations

import _socket
import os
import select

from pyman import paths
from pyman.digits import is_whole
from pyman.errors import UsageError
from pyman.linux import process
from pyman.network import helper, hosts, subnets
from pyman.network.setup import NetSetup
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyman.network.subnets import Subnet

_READY = 9  # where it says that it is ready when the monitor has started it (shims/network/slirp.h)


def _bad(option: str, why: str) -> UsageError:
    return UsageError(f"invalid slirp4netns option {option!r}", why)


def _truth(option: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise _bad(option, "its value is true or false")
    return value == "true"


def arguments(given: list[str]) -> tuple[list[str], Subnet, bool]:
    """(slirp4netns' options, the container's subnet, whether it reaches the host's loopback); later options win. UsageError."""
    mtu, network, loopback, ipv6 = "65520", (4, 0x0A000200, 24), False, True
    rest: dict[str, str] = {}
    for option in given:
        name, _, value = option.partition("=")
        if name == "allow_host_loopback":
            loopback = _truth(option, value)
        elif name == "enable_ipv6":
            ipv6 = _truth(option, value)
        elif name == "mtu":
            if not is_whole(value) or not 68 <= int(value) <= 65521:
                raise _bad(option, "its value is a number from 68 to 65521")
            mtu = value
        elif name == "cidr":
            network, _ = subnets.parse_cidr(value)
            if network[0] != 4 or network[2] > 25:
                raise _bad(option, "its value is an IPv4 subnet of at least 128 addresses")
        elif name in ("outbound_addr", "outbound_addr6"):
            _check_outbound(option, value, name == "outbound_addr6")
            rest[name] = value
        elif name == "port_handler":
            if value == "rootlesskit":
                raise _bad(option, "it would hide the peers' addresses: ports are forwarded by slirp4netns itself")
            if value != "slirp4netns":
                raise _bad(option, "its value is slirp4netns")
        else:
            raise _bad(option, "known are allow_host_loopback, mtu, cidr, enable_ipv6, outbound_addr, outbound_addr6, port_handler")
    argv = [f"--mtu={mtu}", f"--cidr={subnets.cidr_text(network)}"]
    argv += ([] if loopback else ["--disable-host-loopback"]) + (["--enable-ipv6"] if ipv6 else [])
    return [*argv, *(f"--{name.replace('_', '-')}={value}" for name, value in rest.items())], network, loopback


def _check_outbound(option: str, value: str, ipv6: bool) -> None:
    """An address of the right version, or the name of a device of the host's."""
    try:
        if (subnets.parse_ip(value)[0] == 6) == ipv6:
            return
    except UsageError:
        if value in (name for _, name in _socket.if_nameindex()):
            return
    raise _bad(option, f"{value!r} is neither an IPv{6 if ipv6 else 4} address nor a device of this machine")


def begin(setup: NetSetup, netns: str, conf: dict[str, Any], ports: list[dict[str, Any]], run_dir: str) -> None:
    """Start slirp4netns for the network namespace at path `netns`; its socket goes to run_dir. MissingProgram, UsageError."""
    program = helper.find("slirp4netns")
    options, network, loopback = arguments([*(conf["engine"].get("network_cmd_options") or []), *helper.options(setup.mode)])
    setup.ready_fd, ready_w = os.pipe()
    setup.log_fd, write_end = os.pipe()
    setup.socket_path = os.path.join(run_dir, "slirp.sock")  # given to it relative to run_dir: sockets' paths have 107 bytes
    path = helper.bind_netns(netns)

    def command(ready: int) -> list[str]:
        words = ["--ready-fd", str(ready), "--netns-type=path", "--api-socket", "slirp.sock", path, "tap0"]
        return ["slirp4netns", "--configure", *options, *words]

    info = setup.info
    info.again = [paths.native("network"), "pyman-network", "slirp", run_dir, program, *command(_READY)]
    host, server, info.ip = (subnets.ip_text((4, network[1] + number)) for number in (2, 3, 100))
    info.dns = [server]
    # Its own address for the host leads to the host's loopback; the host's address reaches whatever is open to others.
    info.host_address = host if loopback else hosts.host_address()
    try:
        os.unlink(os.path.join(run_dir, "slirp-wait"))  # of a run in which it could not come back
    except FileNotFoundError:
        pass
    os.set_blocking(write_end, False)
    os.set_inheritable(ready_w, True)
    directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(run_dir)
    setup.pid = helper.spawn(program, command(ready_w), (-1, -1, write_end))
    os.fchdir(directory)
    os.close(directory)
    os.close(write_end)
    os.close(ready_w)


def finish(setup: NetSetup) -> None:
    """Wait until it is ready, then ask it for the published ports. NetworkError."""
    if os.read(setup.ready_fd, 1) != b"1":
        with open(setup.log_fd, "rb") as pipe:
            text = pipe.read(4096).decode(errors="replace").strip()
        raise helper.explain("slirp4netns", text or "it ended without a message", setup.info.ports)
    os.close(setup.ready_fd)
    os.set_inheritable(setup.log_fd, True)
    setup.info.pids = [(setup.pid, process.start_time(setup.pid))]
    setup.info.private = True
    asked = [
        (_request(port, offset), dict(port, host_port=port["host_port"] + offset, range=1)) for port, offset in _each(setup.info.ports)
    ]
    if asked:
        # For the monitor, should it have to start it again (shims/network/slirp.h).
        store.write_text(os.path.join(os.path.dirname(setup.socket_path), "slirp-ports"), "".join(text + "\n" for text, _ in asked))
    for text, port in asked:
        _forward(setup, text, port)


def _each(ports: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    for port in ports:
        for offset in range(port["range"]):
            yield port, offset


def _request(port: dict[str, Any], offset: int) -> str:
    from pyman.state import fastjson

    request = {
        "execute": "add_hostfwd",
        "arguments": {
            "proto": port["protocol"],
            "host_addr": port["host_ip"] or "0.0.0.0",
            "host_port": port["host_port"] + offset,
            "guest_port": port["container_port"] + offset,
        },
    }
    return fastjson.dumps(request)


def _forward(setup: NetSetup, request: str, port: dict[str, Any]) -> None:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    directory = os.open(os.path.dirname(setup.socket_path), os.O_PATH)
    sock.connect(f"/proc/self/fd/{directory}/slirp.sock")
    os.close(directory)
    sock.send(request.encode())
    sock.shutdown(_socket.SHUT_WR)
    select.select([sock.fileno()], [], [], 10)
    answer = sock.recv(4096).decode(errors="replace")
    sock.close()
    if '"error"' in answer:
        os.kill(setup.pid, 15)
        raise helper.explain("slirp4netns", answer, [port])
