"""A pull that was killed goes on where it stopped; old bytes are believed no more than new ones."""

from __future__ import annotations

import http.server
import io
import json
import random
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import layouts
from tests.conftest import Run, command, environment

SIZE = 24 << 20


def write_layout(path: Path, size: int) -> None:
    """An OCI layout with one plain layer: a file of `size` random bytes, and a program-less configuration."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo("data")
        info.size = size
        tar.addfile(info, io.BytesIO(random.Random(1).randbytes(size)))
    layouts.write(path, data.getvalue(), tag="latest")


class Halting(http.server.BaseHTTPRequestHandler):
    """A registry that stops in the middle of a big blob, until `go_on` is set."""

    layout = Path()
    go_on = threading.Event()
    stopped = threading.Event()
    starts: list[int] = []
    whole = False  # whether what is asked for from the middle on comes from the beginning, and says so

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        blobs = self.layout / "blobs/sha256"
        top = json.loads((self.layout / "index.json").read_text())["manifests"][0]
        data, kind = b"", ""
        if "/manifests/" in self.path:
            data, kind = (blobs / top["digest"][7:]).read_bytes(), top["mediaType"]
        elif "/blobs/" in self.path:
            data = (blobs / self.path.rsplit(":", 1)[1]).read_bytes()
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        if kind:
            self.send_header("Content-Type", kind)
        asked = start
        if start and Halting.whole:
            start = 0
            self.send_header("Content-Range", f"bytes 0-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if len(data) > SIZE:
            Halting.starts.append(asked)
            half = len(data) // 2
            if not self.go_on.is_set():
                self.wfile.write(data[start:half])
                self.wfile.flush()
                self.stopped.set()
                self.go_on.wait(600)
                return
        self.wfile.write(data[start:])


@pytest.fixture
def halting(base: Path) -> Iterator[str]:
    Halting.layout = base / "big"
    if not Halting.layout.exists():
        write_layout(Halting.layout, SIZE)
    Halting.go_on, Halting.stopped, Halting.starts = threading.Event(), threading.Event(), []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Halting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}/big:latest"
    Halting.go_on.set()
    server.shutdown()


def killed_half_way(base: Path, name: str) -> Path:
    """A pull killed while the registry holds back the second half; the partial blob it left."""
    child = subprocess.Popen(
        [*command(), "pull", "-q", "--tls-verify=false", name], env=environment(base), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    assert Halting.stopped.wait(300)
    blobs = Halting.layout / "blobs/sha256"
    digest = next(path.name for path in blobs.iterdir() if path.stat().st_size > SIZE)
    left = base / "home/.local/share/pyman/partial" / digest
    for _ in range(30000):
        if left.exists() and left.stat().st_size > SIZE // 3:
            break
        time.sleep(0.01)
    child.kill()
    child.wait()
    Halting.go_on.set()
    return left


@pytest.mark.parametrize("whole", [False, True], ids=["the rest", "the whole"])
def test_a_killed_pull_goes_on(pyman: Run, base: Path, halting: str, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    monkeypatch.setattr(Halting, "whole", whole)
    left = killed_half_way(base, halting)
    have = left.stat().st_size
    assert have > SIZE // 3 and left.stat().st_mode & 0o777 == 0o600
    pyman("pull", "-q", "--tls-verify=false", halting)
    assert Halting.starts == [0, have]
    assert not left.exists()
    pyman("rmi", "-af")


def test_wrong_old_bytes_are_fetched_again(pyman: Run, base: Path, halting: str) -> None:
    left = killed_half_way(base, halting)
    with left.open("r+b") as file:
        file.seek(1000)
        file.write(b"not what the registry sent")
    pyman("pull", "-q", "--tls-verify=false", halting)
    assert Halting.starts[0] == 0 and Halting.starts[1] > 0 and Halting.starts[-1] == 0
    assert not left.exists()
    pyman("rmi", "-af")


def test_prune_frees_what_nobody_came_back_for(pyman: Run, base: Path, halting: str) -> None:
    left = killed_half_way(base, halting)
    pyman("image", "prune", "-f")
    assert not left.exists()
