"""A registry that says nothing: who waits is told so and can end it at once. A line that is slow is no line that is dead."""

from __future__ import annotations

import http.server
import os
import re
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from tests.conftest import command, environment, until
from tests.integration.conftest import runner
from tests.integration.test_hostile_answers import HERE, Raw, at
from tests.integration.test_hostile_registry import LAYER, digest

SILENT = "has sent nothing for [0-9]+ s, still waiting"
STEPS, PAUSE = 6, 2.2  # a whole piece of 8 MiB takes longer than one time-out (10 s), each part of it less


class Stalling(Raw):
    """A server whose special answers stop, and leave the line open."""

    def _answer(self, line: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            data = line.recv(65536)
            if not data or data.startswith(b"\x16"):  # TLS
                line.close()
                return
            head += data
        path = head.split(b" ")[1].decode()
        special = self.say(path, "")
        line.sendall(special[0] if special else self.good(path))
        if special:
            self.kept.append(line)
        else:
            line.close()

    kept: ClassVar[list[socket.socket]] = []


def slow_registry() -> tuple[http.server.ThreadingHTTPServer, list[str]]:
    """A registry that takes the first piece of an upload slowly; what it was sent."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle_any(self) -> None:
            left = int(self.headers.get("Content-Length") or 0)
            seen.append(f"{self.command} {left}")
            slow = seen.count(f"PATCH {8 << 20}") == 1 and left == 8 << 20
            for _ in range(STEPS if slow else 0):
                left -= len(self.rfile.read(900_000))
                time.sleep(PAUSE)
            while left:
                left -= len(self.rfile.read(min(left, 1 << 20)))
            self.close_connection = self.command == "POST"  # the piece goes over a new connection
            self.send_response({"HEAD": 404, "GET": 404, "POST": 202, "PATCH": 202}.get(self.command, 201))
            self.send_header("Location", "/v2/x/blobs/uploads/1")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = handle_any

    class Narrow(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def server_bind(self) -> None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            super().server_bind()

    server = Narrow(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    return server, seen


def test_who_waits_is_told(store: Path) -> None:
    own = runner(store)
    (store / "noise").write_bytes(os.urandom(10 << 20))
    with tarfile.open(store / "noise.tar", "w") as tar:
        tar.add(store / "noise", "noise")
    own("import", "-q", str(store / "noise.tar"), "localhost/noise")
    silent = socket.create_server(("127.0.0.1", 0))
    manifests, layer = Stalling(at("/manifests/", b"")), Stalling(at(digest(LAYER), HERE + b"Content-Length: 9999\r\n\r\n"))
    slow, seen = slow_registry()

    def begin(*args: str) -> tuple[Callable[[], str], subprocess.Popen[bytes]]:
        log = store / f"log-{args[-1].rpartition(':')[2].replace('/', '-')}"
        with log.open("wb") as file:
            process = subprocess.Popen([*command(), *args], env=environment(store), stdin=subprocess.DEVNULL, stderr=file)
        return log.read_text, process

    insecure = ("--tls-verify=false",)
    waiting = [
        begin("pull", f"127.0.0.1:{silent.getsockname()[1]}/tls"),
        begin("pull", "-q", *insecure, f"{manifests.address}/manifest"),
        begin("pull", *insecure, f"{layer.address}/layer"),
    ]
    said, pushing = begin("push", "--compression-format", "zstd", *insecure, "localhost/noise", f"127.0.0.1:{slow.server_port}/x")
    for text, process in waiting:
        until(lambda text=text, process=process: re.search(SILENT, text()) or process.poll())  # type: ignore[misc]
        assert process.poll() is None, text()
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130 and "Traceback" not in text(), text()
    assert pushing.wait(120) == 0 and "trying again" not in said(), said()
    assert seen.count(f"PATCH {8 << 20}") == 1 and seen[-1].startswith("PUT")
    for server in (manifests.listener, layer.listener, silent):
        server.close()
    slow.shutdown()
    slow.server_close()
