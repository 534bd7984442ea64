"""Output of a container that is followed while it is written: `python tests/bench/follow.py LAYOUT [MEGABYTES]`.

pyman and Podman must be on PATH; LAYOUT is an OCI image layout (shims/make-demo-image.py). Both keep their state on a tmpfs, so that no disk
is measured. Tells MB/s until the reader has all, the CPU time of monitor and reader, and how many bytes are missing: under rotation conmon
begins its file anew, whether it was read or not.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WIDTH = 100  # bytes of a line
SCRIPT = "while [ ! -e /go ]; do sleep 0.05; done; cat /in; sleep 3600"
ROTATIONS = ((), ("--log-opt", "max-size=10mb", "--log-opt", "max-file=3"), ("--log-opt", "max-size=1mb", "--log-opt", "max-file=2"))


def cpu(pid: int) -> float:
    """Seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def follow(tool: str, image: str, data: Path, options: tuple[str, ...]) -> str:
    """One container and one reader of its log."""

    def sh(*args: str) -> str:
        return subprocess.run([tool, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True, text=True).stdout.strip()

    total = data.stat().st_size
    sh("run", "-d", "--name", "f", "--network=none", "--log-driver=k8s-file", *options, "-v", f"{data}:/in", image, "sh", "-c", SCRIPT)
    init = Path("/proc", sh("inspect", "-f", "{{.State.Pid}}", "f"), "stat").read_text()
    monitor = int(init.rsplit(")", 1)[1].split()[1])
    reader = subprocess.Popen([tool, "logs", "-f", "f"], stdout=subprocess.PIPE)
    assert reader.stdout
    time.sleep(1)
    before, got = cpu(monitor), 0
    sh("exec", "f", "touch", "/go")
    began = last = time.perf_counter()
    while got < total and select.select([reader.stdout], [], [], 5)[0]:
        got, last = got + len(os.read(reader.stdout.fileno(), 1 << 20)), time.perf_counter()
    used = (cpu(monitor) - before, cpu(reader.pid))
    reader.kill()
    reader.wait()
    sh("rm", "-f", "-t", "0", "f")
    rate = got / 1e6 / (last - began)
    return f"{tool:6} {' '.join(options):45} {rate:4.0f} MB/s, monitor {used[0]:.2f} s, reader {used[1]:.2f} s, {total - got} bytes missing"


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        os.environ["XDG_DATA_HOME"] = base
        data = Path(base, "in")
        with data.open("wb") as file:
            for first in range(0, int(sys.argv[2] if len(sys.argv) > 2 else 400) * 10**6 // WIDTH, 10000):
                file.write(b"".join([b"%0*d\n" % (WIDTH - 1, number) for number in range(first, first + 10000)]))
        for options in ROTATIONS:
            for tool in ("pyman", "podman"):
                pulled = subprocess.run([tool, "pull", "-q", f"oci:{sys.argv[1]}"], capture_output=True, check=True, text=True)
                print(follow(tool, pulled.stdout.split()[-1], data, options), flush=True)
        for tool in ("pyman", "podman"):
            subprocess.run([tool, "rmi", "-fa"], check=False, stdout=subprocess.DEVNULL)
            subprocess.run([tool, "unshare", "sh", "-c", f"rm -rf {base}/*/storage {base}/pyman"], check=False)


if __name__ == "__main__":
    main()
