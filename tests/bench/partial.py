"""Pulls of an image that has most of its files in common with one that is there: by chunks and as a whole. `python tests/bench/partial.py [ROUNDS]`.

Ten zstd:chunked layers, 20,000 files, 360 MB; a tenth of the files of the second image are others: every tenth one, or every tenth directory.
The registry is on loopback, and behind a proxy that passes 100 and 10 MB/s. Bytes are those that the proxy has passed to pyman.
Rounds are interleaved, medians are printed. pyman and docker-registry must be on PATH.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from images import FILES, KIND, LAYERS, MEAN, PORT, configuration, serve

RATES = (0, 100, 10)  # MB/s; 0: as quick as loopback is


def layer(number: int, others: str) -> bytes:
    """A plain tar like that of images.layer; "scattered", "clustered": a tenth of the files have other contents."""
    source, second = random.Random(number), random.Random(1000 + number)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for index in range(FILES):
            size = int(source.expovariate(1 / MEAN)) + 1
            data = (source.randbytes(size // 2 + 1).hex() * 2)[:size].encode()
            if (others == "scattered" and index % 10 == 0) or (others == "clustered" and index // 50 % 10 == 0):
                data = (second.randbytes(size // 2 + 1).hex() * 2)[:size].encode()
            info = tarfile.TarInfo(f"layer{number}/d{index // 50}/file{index}")
            info.size, info.mode, info.mtime = len(data), 0o644, 1_700_000_000 + index
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def make_layout(path: Path, others: str) -> None:
    """The image as an OCI layout."""
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, media: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    plain = [layer(number, others) for number in range(LAYERS)]
    diffs = ["sha256:" + hashlib.sha256(one).hexdigest() for one in plain]
    layers = [blob(gzip.compress(one, 1, mtime=0), f"{KIND}.layer.v1.tar+gzip") for one in plain]
    config = blob(configuration(diffs), f"{KIND}.config.v1+json")
    entry = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": layers}).encode(), f"{KIND}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


class Throttle:
    """Connections to the registry that pass `rate` MB/s together, to the client; `passed`: bytes."""

    def __init__(self) -> None:
        self.rate, self.passed, self._free = 0, 0, 0.0
        self._guard = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self._server.accept()
            upstream = socket.create_connection(("127.0.0.1", PORT))
            threading.Thread(target=self._pass, args=(client, upstream, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(upstream, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(1 << 16):
                if counted:
                    with self._guard:
                        self.passed += len(data)
                        if self.rate:
                            self._free = max(self._free, time.monotonic()) + len(data) / self.rate / 1e6
                        pause = self._free - time.monotonic() if self.rate else 0.0
                    if pause > 0:
                        time.sleep(pause)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as text:
        place = Path(text)
        env = {"HOME": text, "XDG_RUNTIME_DIR": f"{text}/run", "PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        (place / "run").mkdir(mode=0o700)
        conf = place / ".config/pyman/containers.toml"
        conf.parent.mkdir(parents=True)

        def run(*args: str) -> tuple[float, float]:
            before = os.times()
            began = time.monotonic()
            subprocess.run(["pyman", *args], env=env, check=True, stdout=subprocess.DEVNULL)
            after = os.times()
            used = after.children_user + after.children_system - before.children_user - before.children_system
            return time.monotonic() - began, used

        server = serve(place)
        try:
            for others in ("none", "scattered", "clustered"):
                make_layout(place / others, others)
                run("pull", "-q", f"oci:{place}/{others}:latest")
                chunked = ("--compression-format", "zstd:chunked", "--force-compression")
                run("push", "-q", "--tls-verify=false", *chunked, f"localhost/{others}:latest", f"docker://127.0.0.1:{PORT}/{others}:1")
                run("rmi", "-af")
                shutil.rmtree(place / others)
            throttle = Throttle()
            found: dict[tuple[str, int, bool], list[tuple[float, float, float]]] = {}
            run("pull", "-q", "--tls-verify=false", f"127.0.0.1:{PORT}/none:1")
            for _ in range(rounds):
                for others in ("scattered", "clustered"):
                    for rate in RATES:
                        for partial in (True, False):
                            conf.write_text(f'[storage]\npartial_pulls = "{"always" if partial else "never"}"\n')
                            name = f"{throttle.address}/{others}:1"
                            throttle.rate, throttle.passed = rate, 0
                            cost = run("pull", "-q", "--tls-verify=false", name)
                            found.setdefault((others, rate, partial), []).append((*cost, throttle.passed / 1e6))
                            run("rmi", name)
        finally:
            server.terminate()
            subprocess.run(["pyman", "system", "reset", "-f"], env=env, check=False, stdout=subprocess.DEVNULL)
    print("| others | MB/s | MB, by chunks | MB, whole | s, by chunks | s, whole | CPU s, by chunks | CPU s, whole |")
    print("|---|---|---|---|---|---|---|---|")
    for others in ("scattered", "clustered"):
        for rate in RATES:
            chunks, whole = ([statistics.median(one[at] for one in found[others, rate, way]) for at in range(3)] for way in (True, False))
            print(f"| {others} | {rate or 'loopback'} | {chunks[2]:.0f} | {whole[2]:.0f} | {chunks[0]:.1f} | {whole[0]:.1f}", end="")
            print(f" | {chunks[1]:.1f} | {whole[1]:.1f} |")


if __name__ == "__main__":
    main()
