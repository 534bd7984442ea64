"""Pull next to podman: `python tests/bench/pull.py [ROUNDS]`. An image of 10 layers, 20,000 files and 360 MB from a registry on loopback.

pyman, podman, skopeo and docker-registry must be on PATH. Rounds are interleaved, medians are compared, and only ratios are printed.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

LAYERS, FILES, MEAN = 10, 2000, 18_000
PORT = 5317
NAME = f"127.0.0.1:{PORT}/bench:latest"


def layer(number: int) -> bytes:
    """A plain tar: text-like files of many sizes, half of whose bytes are random, in directories of fifty."""
    source = random.Random(number)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for index in range(FILES):
            size = int(source.expovariate(1 / MEAN)) + 1
            data = (source.randbytes(size // 2 + 1).hex() * 2)[:size].encode()
            info = tarfile.TarInfo(f"layer{number}/d{index // 50}/file{index}")
            info.size, info.mode, info.mtime = len(data), 0o644, 1_700_000_000 + index
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def make_layout(path: Path) -> None:
    """The image as an OCI layout, layers compressed by gzip as most tools do it."""
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data: bytes, media: str) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": len(data)}

    kind = "application/vnd.oci.image"
    layers, diffs = [], []
    for number in range(LAYERS):
        plain = layer(number)
        diffs.append("sha256:" + hashlib.sha256(plain).hexdigest())
        layers.append(blob(gzip.compress(plain, 6, mtime=0), f"{kind}.layer.v1.tar+gzip"))
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {"architecture": arch, "os": "linux", "config": {"Cmd": ["true"]}, "rootfs": {"type": "layers", "diff_ids": diffs}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{kind}.manifest.v1+json",
        "config": blob(json.dumps(config).encode(), f"{kind}.config.v1+json"),
        "layers": layers,
    }
    entry = blob(json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def run(*args: str) -> float:
    """Seconds that a command took, which must succeed."""
    started = time.perf_counter()
    done = subprocess.run(args, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(args)}: {done.returncode}: {done.stderr}")
    return time.perf_counter() - started


def memory(*args: str) -> int:
    """Largest resident size, in KiB, of a command and the processes it waited for."""
    pid = os.fork()
    if pid == 0:
        subprocess.run(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
        os.write(result[1], str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return int(os.read(result[0], 32))


result = os.pipe()


def serve(place: Path) -> subprocess.Popen[bytes]:
    """Debian's registry on loopback, its blobs in `place`."""
    config = place / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {place}/registry}}}}\nhttp: {{addr: '127.0.0.1:{PORT}'}}\n"
    )
    server = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        if subprocess.run(["curl", "-s", f"http://127.0.0.1:{PORT}/v2/"], stdout=subprocess.DEVNULL, check=False).returncode == 0:
            return server
        time.sleep(0.05)
    raise SystemExit("docker-registry does not answer")


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as text:
        place = Path(text)
        make_layout(place / "layout")
        server = serve(place)
        try:
            run("skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{place}/layout:latest", f"docker://{NAME}")
            cold: dict[str, list[float]] = {"pyman": [], "podman": []}
            warm: dict[str, list[float]] = {"pyman": [], "podman": []}
            peak = {}
            for turn in range(rounds):
                for tool in cold:
                    subprocess.run([tool, "rmi", "-f", NAME], capture_output=True, check=False)
                    pull = (tool, "pull", "-q", "--tls-verify=false", NAME)
                    if turn == 0:
                        peak[tool] = memory(*pull)
                        subprocess.run([tool, "rmi", "-f", NAME], capture_output=True, check=True)
                    cold[tool].append(run(*pull))
                    warm[tool] += [run(*pull) for _ in range(3)]
            for what, times in (("cold pull", cold), ("warm pull", warm)):
                print(f"{what}: {statistics.median(times['pyman']) / statistics.median(times['podman']):.2f}")
                if os.environ.get("BENCH_VERBOSE"):
                    print({tool: [round(value, 2) for value in values] for tool, values in times.items()})
            print(f"peak memory: {peak['pyman'] / peak['podman']:.2f}")
        finally:
            server.terminate()


if __name__ == "__main__":
    main()
