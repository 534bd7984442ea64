"""Published ports, containers among themselves, starts on a bridge, next to Podman: `python tests/bench/network.py LAYOUT [OUTPUT]`.

pyman, podman, iperf3, wrk and nginx must be on PATH; LAYOUT is an OCI image layout (shims/make-demo-image.py). The servers are the
host's programs, run in containers. Rounds of the two are interleaved, the medians count, and only ratios are published; medians and
quartiles go to stderr.

Pipes: a user's pipes share /proc/sys/fs/pipe-user-pages-soft, and Podman's port forwarder keeps a pool of large ones, which can use it up
for all. So one tool's containers run at a time, by rounds, and throughput through published ports is measured a second time while this
program holds all the pipes that the user may have.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from compare import TOOLS, ratio, sh  # beside this file

ROUNDS, SECONDS = 15, "2"
NET, SERVER, CLIENT = "benchnet", "benchserver", "benchclient"
PORTS = {"pyman": (28101, 28201), "podman": (28102, 28202)}  # of iperf3 and nginx on the host
PLACE = "/dev/shm/pyman-bench-network"
NGINX = """
user root; daemon off; worker_processes 1; pid {place}/pid; error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 10000000;
  client_body_temp_path {place}/a; proxy_temp_path {place}/b; fastcgi_temp_path {place}/c; uwsgi_temp_path {place}/d; scgi_temp_path {place}/e;
  server {{ listen 80 backlog=1024; location / {{ return 200 "{body}"; }} }}
}}
"""


def prepare(tool: str) -> None:
    """The network, and the server's configuration."""
    place = f"{PLACE}/{tool}"
    os.makedirs(place, exist_ok=True)
    with open(f"{place}/nginx.conf", "w") as file:
        file.write(NGINX.format(place=place, body="x" * 200))
    subprocess.run([tool, "rm", "-f", "-t", "0", SERVER, CLIENT], capture_output=True, check=False)
    subprocess.run([tool, "network", "rm", NET], capture_output=True, check=False)
    sh(tool, "network", "create", NET)


def serve(tool: str, image: str) -> str:
    """A server and a client on the network, once the server answers; its address."""
    place = f"{PLACE}/{tool}"
    iperf, web = PORTS[tool]
    script = f"chroot /host iperf3 -s >/dev/null & exec chroot /host {shutil.which('nginx') or '/usr/sbin/nginx'} -c {place}/nginx.conf"
    args = ("--network", NET, "-v", "/:/host:ro", "-v", f"{place}:/host{place}", "-e", f"TMPDIR={place}")
    sh(tool, "run", "-d", "--name", SERVER, *args, "-p", f"{iperf}:5201", "-p", f"{web}:80", image, "sh", "-c", script)
    sh(tool, "run", "-d", "--name", CLIENT, *args, image, "sleep", "36000")
    for port in PORTS[tool]:
        wait_for(port)
    networks = json.loads(sh(tool, "inspect", SERVER))[0]["NetworkSettings"]["Networks"]
    return str(networks[NET]["IPAddress"])


def wait_for(port: int) -> None:
    """Until a connection to the port stays: forwarders take connections before servers do, and then close them."""
    for _ in range(600):
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
                sock.settimeout(0.1)
                try:
                    if sock.recv(1):
                        return
                except TimeoutError:
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"nobody answers at port {port}")


def stop(tool: str) -> None:
    """End the server and the client, and with them the port forwarder and its pipes."""
    subprocess.run([tool, "rm", "-f", "-t", "0", SERVER, CLIENT], capture_output=True, check=False)


@contextmanager
def no_pipes_left() -> Iterator[None]:
    """Hold pipes until a new one of this user's has two pages, with much to spare for those that others close meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    held: list[int] = []
    try:
        for _ in range(1000):
            held += os.pipe()
            try:
                fcntl.fcntl(held[-1], fcntl.F_SETPIPE_SZ, 1 << 20)
            except PermissionError:
                break
        for _ in range(1000):
            held += os.pipe()
        yield
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def bits(command: list[str]) -> float:
    """Bits per second that arrive in an iperf3 run."""
    for _ in range(50):
        done = subprocess.run([*command, "-t", SECONDS, "-J"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"])
        time.sleep(0.1)  # the server is busy with the last client's end
    raise SystemExit(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def requests(command: list[str], url: str, *more: str) -> float:
    """Requests per second of a wrk run."""
    text = sh(*command, "wrk", "-t", "1", "-c", "32", "-d", SECONDS + "s", *more, url)
    failed = re.search(r"Socket errors: connect (\d+), read (\d+)", text)
    if failed and not more and int(failed.group(1)):
        raise SystemExit(text)
    found = re.search(r"Requests/sec:\s+([0-9.]+)", text)
    return float(found.group(1)) if found else 0.0


def ratio_of(seen: dict[str, list[float]], what: str) -> float:
    """Median rate of pyman over median rate of podman; medians and quartiles to stderr."""
    print(what, file=sys.stderr)
    for tool, values in seen.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"  {tool:7} median {middle:.4g}, quartiles {low:.4g} to {high:.4g}", file=sys.stderr, flush=True)
    return statistics.median(seen["pyman"]) / statistics.median(seen["podman"])


def rates(image: str, actions: dict[str, Callable[[str, str], float]]) -> dict[str, float]:
    """What is measured -> its ratio. In each round one tool's server is there, does everything, and goes; then the other's."""
    seen: dict[str, dict[str, list[float]]] = {what: {tool: [] for tool in TOOLS} for what in actions}
    for number in range(ROUNDS + 1):
        for tool in TOOLS if number % 2 else tuple(reversed(TOOLS)):
            address = serve(tool, image)
            for what, action in actions.items():
                found = action(tool, address)
                if number:  # the first warms
                    seen[what][tool].append(found)
            stop(tool)
    return {what: ratio_of(values, what) for what, values in seen.items()}


def published() -> dict[str, Callable[[str, str], float]]:
    """Rates through published ports, by what the table calls them."""

    def iperf(tool: str, *more: str) -> float:
        return bits(["iperf3", "-c", "127.0.0.1", "-p", str(PORTS[tool][0]), *more])

    return {
        "published port, bits into the container": lambda tool, _: iperf(tool),
        "published port, bits out of it": lambda tool, _: iperf(tool, "-R"),
        "published port, requests": lambda tool, _: requests([], f"http://127.0.0.1:{PORTS[tool][1]}/"),
        "published port, a connection each": lambda tool, _: requests([], f"http://127.0.0.1:{PORTS[tool][1]}/", "-H", "Connection: close"),
    }


def among() -> dict[str, Callable[[str, str], float]]:
    """Rates from container to container."""

    def inside(tool: str) -> list[str]:
        return [tool, "exec", CLIENT, "chroot", "/host"]

    return {
        "container to container, bits": lambda tool, address: bits([*inside(tool), "iperf3", "-c", address]),
        "container to container, requests": lambda tool, address: requests(inside(tool), f"http://{address}/"),
    }


def run_times(image: str) -> dict[str, float]:
    """Ratios of `run --rm`: beside others on the bridge, and as the first there."""

    def run(tool: str) -> None:
        sh(tool, "run", "--rm", "--network", NET, image, "true")

    found = {}
    for tool in TOOLS:
        serve(tool, image)
    found["run --rm on a bridge, others run there"] = ratio(run)
    for tool in TOOLS:
        stop(tool)
    found["run --rm on a bridge, the first there"] = ratio(run)
    return found


def main() -> None:
    """Measure, print and write the table."""
    layout = sys.argv[1]
    image = "localhost/bench-network"
    for tool in TOOLS:
        sh(tool, "tag", sh(tool, "pull", "-q", f"oci:{layout}:latest"), image)
        prepare(tool)
    rows = rates(image, {**published(), **among()})
    with no_pipes_left():
        spent = rates(image, {what: action for what, action in published().items() if "bits" in what})
    rows.update({f"{what}; the user's pipes used up": value for what, value in spent.items()})
    times = run_times(image)
    for tool in TOOLS:
        sh(tool, "network", "rm", NET)
    shutil.rmtree(PLACE, ignore_errors=True)
    text = "| rate | pyman / podman | target |\n|---|---|---|\n"
    text += "".join(f"| {what} | {value:.2f} | >= 1.00 |\n" for what, value in rows.items())
    text += "\n| time | pyman / podman | target |\n|---|---|---|\n"
    text += "".join(f"| {what} | {value:.2f} | <= 0.50 |\n" for what, value in times.items())
    print(text)
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    main()
