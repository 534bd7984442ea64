"""slirp4netns: a network stack of its own in user space, for kernels and distributions without pasta. Process C."""

from __future__ import annotations

import _socket
import os
import select

from pyman.errors import UsageError
from pyman.linux import process
from pyman.network import helper
from pyman.network.setup import NetSetup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def begin(setup: NetSetup, netns: str, run_dir: str, ports: list[dict[str, Any]]) -> None:
    """Start slirp4netns for the network namespace at path `netns`; its socket goes to run_dir. MissingProgram, UsageError."""
    program = helper.find("slirp4netns")
    setup.ready_fd, ready_w = os.pipe()
    setup.log_fd, write_end = os.pipe()
    setup.socket_path = os.path.join(run_dir, "slirp.sock")  # given to it relative to run_dir: sockets' paths have 107 bytes
    argv = [
        "slirp4netns",
        "--configure",
        "--mtu=65520",
        "--disable-host-loopback",
        "--ready-fd",
        str(ready_w),
        "--netns-type=path",
        "--api-socket",
        "slirp.sock",
    ]
    for option in helper.options(setup.mode):
        name, _, value = option.partition("=")
        if name == "allow_host_loopback" and value == "true":
            argv.remove("--disable-host-loopback")
        elif name == "mtu" and value.isdigit():
            argv[2] = f"--mtu={value}"
        elif name == "cidr":
            argv.append(f"--cidr={value}")
        elif name == "enable_ipv6":
            argv += ["--enable-ipv6"] if value == "true" else []
        elif name in ("outbound_addr", "outbound_addr6"):
            argv.append(f"--{name.replace('_', '-')}={value}")
        elif name != "port_handler":
            raise UsageError(
                f"invalid slirp4netns option {option!r}",
                "known are allow_host_loopback, mtu, cidr, enable_ipv6, outbound_addr, outbound_addr6, port_handler",
            )
    argv += [helper.bind_netns(netns), "tap0"]
    os.set_blocking(write_end, False)
    os.set_inheritable(ready_w, True)
    directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(run_dir)
    setup.pid = helper.spawn(program, argv, (-1, -1, write_end))
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
    setup.info.ip, setup.info.dns, setup.info.host_address, setup.info.private = "10.0.2.100", ["10.0.2.3"], "10.0.2.2", True
    for port in setup.info.ports:
        for offset in range(port["range"]):
            _forward(setup, port, offset)


def _forward(setup: NetSetup, port: dict[str, Any], offset: int) -> None:
    from pyman.state import fastjson

    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    directory = os.open(os.path.dirname(setup.socket_path), os.O_PATH)
    sock.connect(f"/proc/self/fd/{directory}/slirp.sock")
    os.close(directory)
    request = {
        "execute": "add_hostfwd",
        "arguments": {
            "proto": port["protocol"],
            "host_addr": port["host_ip"] or "0.0.0.0",
            "host_port": port["host_port"] + offset,
            "guest_port": port["container_port"] + offset,
        },
    }
    sock.send(fastjson.dumps(request).encode())
    sock.shutdown(_socket.SHUT_WR)
    select.select([sock.fileno()], [], [], 10)
    answer = sock.recv(4096).decode(errors="replace")
    sock.close()
    if '"error"' in answer:
        os.kill(setup.pid, 15)
        raise helper.explain("slirp4netns", answer, [dict(port, host_port=port["host_port"] + offset, range=1)])
