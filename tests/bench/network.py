"""Published ports, containers among themselves, starts on a bridge, next to Podman: `python tests/bench/network.py LAYOUT [OUTPUT]`.

pyman, podman, iperf3, wrk and nginx must be on PATH; LAYOUT is an OCI image layout (shims/make-demo-image.py). The servers are the
host's programs, run in containers. Rounds of the two are interleaved, the medians count, and only ratios are published.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from compare import TOOLS, ratio, sh  # beside this file

ROUNDS, SECONDS = 7, "3"
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


def begin(tool: str, image: str) -> str:
    """A network with a server and a client on it; the server's address."""
    place = f"{PLACE}/{tool}"
    os.makedirs(place, exist_ok=True)
    with open(f"{place}/nginx.conf", "w") as file:
        file.write(NGINX.format(place=place, body="x" * 200))
    subprocess.run([tool, "rm", "-f", "-t", "0", SERVER, CLIENT], capture_output=True, check=False)
    subprocess.run([tool, "network", "rm", NET], capture_output=True, check=False)
    sh(tool, "network", "create", NET)
    iperf, web = PORTS[tool]
    script = f"chroot /host iperf3 -s >/dev/null & exec chroot /host {shutil.which('nginx') or '/usr/sbin/nginx'} -c {place}/nginx.conf"
    args = ("--network", NET, "-v", "/:/host:ro", "-v", f"{place}:/host{place}", "-e", f"TMPDIR={place}")
    sh(tool, "run", "-d", "--name", SERVER, *args, "-p", f"{iperf}:5201", "-p", f"{web}:80", image, "sh", "-c", script)
    sh(tool, "run", "-d", "--name", CLIENT, *args, image, "sleep", "36000")
    networks = json.loads(sh(tool, "inspect", SERVER))[0]["NetworkSettings"]["Networks"]
    return str(networks[NET]["IPAddress"])


def end(tool: str) -> None:
    """Take it away again."""
    subprocess.run([tool, "rm", "-f", "-t", "0", SERVER, CLIENT], capture_output=True, check=False)
    sh(tool, "network", "rm", NET)


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


def rates(action: Callable[[str], float], rounds: int = ROUNDS) -> float:
    """Median rate of pyman over median rate of podman."""
    seen: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    for number in range(rounds + 1):
        for tool in TOOLS if number % 2 else reversed(TOOLS):
            found = action(tool)
            if number:  # the first warms
                seen[tool].append(found)
    print({tool: f"{statistics.median(values):.3g}" for tool, values in seen.items()}, file=sys.stderr, flush=True)
    return statistics.median(seen["pyman"]) / statistics.median(seen["podman"])


def main() -> None:
    """Measure, print and write the table."""
    layout = sys.argv[1]
    image = "localhost/bench-network"
    for tool in TOOLS:
        sh(tool, "pull", "-q", f"oci:{layout}:latest")
        sh(tool, "tag", sh(tool, "images", "-q", "--filter", "reference=demo").split("\n")[0], image)
    address = {tool: begin(tool, image) for tool in TOOLS}
    close = ("-H", "Connection: close")

    def inside(tool: str) -> list[str]:
        return [tool, "exec", CLIENT, "chroot", "/host"]

    rows = [
        ("published port, bits into the container", rates(lambda tool: bits(["iperf3", "-c", "127.0.0.1", "-p", str(PORTS[tool][0])]))),
        ("published port, bits out of it", rates(lambda tool: bits(["iperf3", "-c", "127.0.0.1", "-p", str(PORTS[tool][0]), "-R"]))),
        ("published port, requests", rates(lambda tool: requests([], f"http://127.0.0.1:{PORTS[tool][1]}/"))),
        ("published port, a connection each", rates(lambda tool: requests([], f"http://127.0.0.1:{PORTS[tool][1]}/", *close))),
        ("container to container, bits", rates(lambda tool: bits([*inside(tool), "iperf3", "-c", address[tool]]))),
        ("container to container, requests", rates(lambda tool: requests(inside(tool), f"http://{address[tool]}/"))),
    ]
    runs = ["run --rm on a bridge, others run there"]
    times = [ratio(lambda tool: void(sh(tool, "run", "--rm", "--network", NET, image, "true")))]
    for tool in TOOLS:
        subprocess.run([tool, "rm", "-f", "-t", "0", SERVER, CLIENT], capture_output=True, check=False)
    runs.append("run --rm on a bridge, the first there")
    times.append(ratio(lambda tool: void(sh(tool, "run", "--rm", "--network", NET, image, "true"))))
    for tool in TOOLS:
        end(tool)
    shutil.rmtree(PLACE, ignore_errors=True)
    text = "| rate | pyman / podman | target |\n|---|---|---|\n" + "".join(f"| {what} | {value:.2f} | >= 1.00 |\n" for what, value in rows)
    text += "\n| time | pyman / podman | target |\n|---|---|---|\n"
    text += "".join(f"| {what} | {value:.2f} | <= 0.50 |\n" for what, value in zip(runs, times))
    print(text)
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w", encoding="utf-8") as file:
            file.write(text)


def void(_text: str) -> None:
    """For actions that return nothing."""


if __name__ == "__main__":
    main()
