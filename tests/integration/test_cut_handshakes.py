"""A TLS connection to a registry that is cut after any number of bytes: one clear error each time, soon."""

from __future__ import annotations

import itertools
import os
import select
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from pyman.config.registries import Endpoint
from pyman.errors import PymanError
from pyman.image.registry import Access, Connection
from tests.conftest import Run
from tests.integration.proxy import Listening
from tests.integration.test_hostile_registry import Server, servers, tls

__all__ = ["servers", "tls"]  # fixtures
RESET = struct.pack("ii", 1, 0)
# Of a handshake of TLS 1.3 the registry sends some 1500 to 2600 bytes: the lengths of its records are within the first 200.
CUTS = [0, 1, 2, 3, 4, 5, 6, 9, 43, 44, 75, 90, 100, 122, 126, 127, 128, 132, 133, 138, 150, 160, 170, 500, 1000, 1200, 1400, 1600, 2000]


class Relay(Listening):
    """Passes what a client and a server say to each other, and cuts after `left` bytes of the server, by FIN or by RST."""

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.partition(":")
        self.upstream = (host, int(port))
        self.left = 0
        self.reset = False
        self.sent = 0  # by the server, in all connections since it was set to nothing
        super().__init__()

    def _answer(self, client: socket.socket) -> None:
        """One thread has both ends: what another one waits for could not be closed."""
        left, reset = self.left, self.reset
        with client, socket.create_connection(self.upstream) as server:
            try:
                while left:
                    ready, _, _ = select.select([client, server], [], [])
                    data = ready[0].recv(min(left, 65536) if ready[0] is server else 65536)
                    if not data:
                        break
                    (client if ready[0] is server else server).sendall(data)
                    if ready[0] is server:
                        left -= len(data)
                        self.sent += len(data)
            except OSError:
                pass
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def ask(relay: Relay, certificates: Path) -> str:
    """What a question through the relay ends in; empty for an answer."""
    access = Access(cert_dir=str(certificates), retry=0)
    connection = Connection(Endpoint(relay.address, "evil", False), access, name=f"{relay.address}/evil:1", key=(relay.address, "evil"))
    try:
        connection.get("manifests/1", small=1 << 20)
        return ""
    except PymanError as err:
        return str(err)
    finally:
        connection.close()


def test_a_handshake_cut_anywhere(pyman: Run, base: Path, tls: ssl.SSLContext, servers: Callable[..., Server]) -> None:
    certificates = base / "evil-certs"
    certificates.mkdir(exist_ok=True)
    (certificates / "ca.crt").write_bytes((base / "evil-cert.pem").read_bytes())
    relay = Relay(servers(tls).address)
    relay.left = 1 << 20
    assert ask(relay, certificates) == ""
    whole = relay.sent
    every = os.environ.get("PYMAN_FUZZ")
    for cut, relay.reset in itertools.product(range(whole) if every else [cut for cut in CUTS if cut < whole], (False, True)):
        relay.left = cut
        said = ask(relay, certificates)
        assert said.startswith(f"cannot pull {relay.address}/evil:1: {relay.address}"), (cut, relay.reset, said)
    relay.reset = False
    for relay.left in (0, 3, 130, 1000):
        done = pyman("pull", "--retry", "0", "--cert-dir", str(certificates), f"{relay.address}/evil:1", rc=125)
        # By FIN, or by RST where the relay has not read all that the client said.
        assert done.stderr.count("Error: ") == 1 and "cannot be reached: " in done.stderr, done.stderr
        assert "Traceback" not in done.stderr and "_ssl.c" not in done.stderr and "(" not in done.stderr.partition("\n")[0], done.stderr
    relay.listener.close()


@pytest.fixture(autouse=True)
def own_directories(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked from within the tests reads no configuration of this machine's user."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(base / "home/.config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "run"))
