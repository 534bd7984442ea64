"""Bulk data: through published ports by a pipe in the kernel, or by copying where pipes are used up; between containers and to the host."""

from __future__ import annotations

import fcntl
import hashlib
import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Run, until
from tests.integration.test_bridge import fetch, nothing_left  # noqa: F401 (a fixture)
from tests.integration.test_network_killed import helper, monitor
from tests.integration.test_registry import free_port

BLOCK = os.urandom(1 << 20)
ECHO = "mkdir /w; echo there > /w/index.html; httpd -p 80 -h /w; exec nc -ll -p 90 -e cat"


def pipes(pid: int) -> int:
    """How many descriptors of pipes a process has."""
    return sum(os.readlink(entry.path).startswith("pipe:") for entry in os.scandir(f"/proc/{pid}/fd"))


class Echo:
    """A connection to the server that sends back what it gets; digests of both directions."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.sent, self.got, self.megabytes = hashlib.sha256(), hashlib.sha256(), 0

    def exchange(self, megabytes: int) -> int:
        """Send so much, and wait until all of it has come back; how much it was in all."""

        def send() -> None:
            for _ in range(megabytes):
                self.sock.sendall(BLOCK)
                self.sent.update(BLOCK)

        thread = threading.Thread(target=send)
        thread.start()
        left = megabytes << 20
        while left:
            data = self.sock.recv(min(left, 1 << 18))
            assert data, "the connection broke"
            self.got.update(data)
            left -= len(data)
        thread.join()
        self.megabytes += megabytes
        return self.megabytes

    def end(self) -> None:
        """All that was sent has come back, and nothing else."""
        self.sock.shutdown(socket.SHUT_WR)
        assert self.sock.recv(1) == b"" and self.sent.digest() == self.got.digest()
        self.sock.close()


@contextmanager
def no_pipes_left() -> Iterator[None]:
    """Hold pipes until a new one of this user's has two pages only, with much to spare for those that others close meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    held: list[int] = []
    try:
        for _ in range(1000):
            held += os.pipe()
            try:
                fcntl.fcntl(held[-1], fcntl.F_SETPIPE_SZ, int(Path("/proc/sys/fs/pipe-max-size").read_text()))
            except PermissionError:
                break
        for _ in range(1000):
            held += os.pipe()
        assert fcntl.fcntl(held[-1], fcntl.F_GETPIPE_SZ) == 2 * os.sysconf("SC_PAGE_SIZE")
        yield
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_bulk_goes_by_pipe_and_by_copy_without(pyman: Run, image: str) -> None:
    web, port = free_port(), free_port()
    pyman("run", "-d", "--name", "echo", "--network", "podman", "-p", f"{web}:80", "-p", f"{port}:90", image, "sh", "-c", ECHO)
    assert fetch(web) == "there\n"
    until(lambda: ":90 " in pyman("exec", "echo", "netstat", "-ltn").stdout)
    forwarder = helper(monitor(pyman, "echo"), "pyman:[ports]")
    until(lambda: pipes(forwarder) == 0)

    def by_pipe() -> int:
        """Megabytes after which both directions have their pipe, of two descriptors."""
        echo = Echo(port)
        until(lambda: echo.exchange(2) == echo.megabytes and pipes(forwarder) == 4)
        echo.exchange(16)
        assert pipes(forwarder) == 4
        echo.end()
        until(lambda: pipes(forwarder) == 0)
        return echo.megabytes

    needed = by_pipe()
    with no_pipes_left():
        echo = Echo(port)
        for _ in range(4):
            echo.exchange(max(8, needed))
            until(lambda: pipes(forwarder) == 0)  # one that was too small is closed at once
        echo.end()
    by_pipe()


def test_what_goes_between_containers_and_out_is_whole(pyman: Run, image: str) -> None:
    """Pairs of devices carry segments of more than 64 KB together; pasta's device takes less, and a network may have small packets."""
    for mtu in ("65520", "1500"):
        pyman("network", "create", "--opt", f"mtu={mtu}", f"net{mtu}")
        pyman(
            "run",
            "-d",
            "--name",
            f"sink{mtu}",
            "--network",
            f"net{mtu}",
            image,
            "sh",
            "-c",
            "sleep 600 | nc -l -p 90 | sha256sum >/sum",
        )
        with socket.create_server(("0.0.0.0", 0)) as server:
            here = hashlib.sha256()

            def take(server: socket.socket = server, here: hashlib._Hash = here) -> None:
                sock, _ = server.accept()
                with sock:
                    while data := sock.recv(1 << 18):
                        here.update(data)

            thread = threading.Thread(target=take, daemon=True)
            thread.start()
            send = f"dd if=/dev/urandom of=/x bs=1M count=64 2>/dev/null; sha256sum </x; until nc sink{mtu} 90 </x; do sleep 0.1; done"
            send += f"; exec nc host.containers.internal {server.getsockname()[1]} </x"
            sent = pyman("run", "--rm", "--network", f"net{mtu}", image, "sh", "-c", send).stdout.split()[0]
            thread.join()
            assert here.hexdigest() == sent
        assert until(lambda: pyman("exec", f"sink{mtu}", "cat", "/sum").stdout).split()[0] == sent  # noqa: B023 (called at once)


def test_segments_out_of_order_are_sent_again_at_once(pyman: Run, image: str) -> None:
    """bbr goes on sending what pasta drops, for seconds: a container on a bridge has another model, unless somebody asks for it."""
    key = "net.ipv4.tcp_congestion_control"
    usual = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()

    def model(*options: str) -> str:
        return pyman("run", "--rm", *options, image, "cat", "/proc/sys/net/ipv4/tcp_congestion_control").stdout.strip()

    pyman("network", "create", "model")
    assert model("--network", "model") == ("reno" if usual.startswith("bbr") else usual)
    assert model("--network", "model", "--sysctl", f"{key}={usual}") == usual
    assert model("--network", "none") == usual
