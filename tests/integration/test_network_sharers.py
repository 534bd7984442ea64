"""Whatever keeps the network of a container that has ended, no address is there twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.conftest import Run
from tests.integration.test_bridge import SERVER, attached, nothing_left, processes, until  # noqa: F401 (a fixture)
from tests.integration.test_network_killed import monitor
from tests.integration.test_network_mended import failing


def devices(pyman: Run, name: str) -> list[str]:
    """Those with an address. /sys is that of whoever made the namespace."""
    return sorted({line.split()[1] for line in pyman("exec", name, "ip", "-o", "addr").stdout.splitlines()})


def test_no_address_is_there_twice(pyman: Run, image: str, base: Path) -> None:
    """However the container ends, and if pyman does not know who keeps its namespace: here a process that was led in from outside."""
    pyman("network", "create", "--ipv6", "net")
    pyman("run", "-d", "--name", "mate", "--network", "net", image, *SERVER, "mate")

    def init(name: str) -> int:
        return int(pyman("inspect", "-f", "{{.State.Pid}}", name).stdout)

    def monitor_killed() -> None:
        own, first = monitor(pyman, "a"), init("a")
        os.kill(own, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{own}") and not os.path.exists(f"/proc/{first}/ns/net"))

    def keeper_killed() -> None:
        (keeper,) = processes(base, "pyman-network keep")
        os.kill(keeper, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{keeper}"))
        pyman("kill", "a")

    def wiped() -> None:
        shutil.rmtree(base / "run/pyman")
        pyman("kill", "a")

    ends = (lambda: pyman("restart", "-t", "0", "a"), lambda: pyman("kill", "a"), monitor_killed, keeper_killed, wiped)
    for number, end in enumerate(ends):
        pyman("run", "-d", "--name", "a", "--network", "net", image, "sleep", "600")
        had = attached(pyman, "a")["net"]["IPAddress"]
        line = ["nsenter", "--preserve-credentials", "-U", "-n", "-t", str(init("a")), "sh", "-c", "echo; read word; ip -o addr"]
        with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeps:
            assert keeps.stdin and keeps.stdout and keeps.stdout.readline() == "\n"
            end()
            pyman("run", "-d", "--name", "t", "--network", f"net:ip={had}", image, "sleep", "600")
            assert had not in keeps.communicate("\n")[0], number
        assert pyman("exec", "t", "wget", "-qO-", "http://mate/").stdout == "mate\n", number
        pyman("rm", "-f", "-t", "0", "t", "a")


def test_a_living_container_keeps_its_address_without_a_lease(pyman: Run, image: str, base: Path) -> None:
    pyman("network", "create", "net")
    pyman("run", "-d", "--name", "a", "--network", "net", image, *SERVER, "a")
    had = attached(pyman, "a")["net"]["IPAddress"]
    (base / "home/.local/share/pyman/networks/leases/net" / had).unlink()
    done = pyman("run", "--rm", "--network", f"net:ip={had}", image, "true", rc=None)
    assert done.returncode and "a running container has it" in done.stderr
    assert had in pyman("exec", "a", "ip", "-o", "addr").stdout
    assert pyman("run", "--rm", "--network", "net", image, "wget", "-qO-", "http://a/").stdout == "a\n"


def test_a_sharer_started_again_has_the_network_again(pyman: Run, image: str) -> None:
    """Its own end takes nothing from the other; what reloads its network does not bring the old one back."""
    pyman("network", "create", "net")
    pyman("run", "-d", "--name", "a", "--network", "net", image, "sleep", "600")
    pyman("run", "-d", "--name", "b", "--network", "container:a", image, "sleep", "600")
    pyman("restart", "-t", "0", "a")
    pyman("network", "reload", "a", "b")
    assert devices(pyman, "a") == ["eth0", "lo"] and devices(pyman, "b") == ["lo"]
    pyman("restart", "-t", "0", "b")
    assert devices(pyman, "b") == ["eth0", "lo"]
    pyman("network", "disconnect", "net", "a")
    assert devices(pyman, "b") == ["lo"]
    pyman("network", "connect", "net", "a")
    assert "eth1" in devices(pyman, "b") or "eth0" in devices(pyman, "b")
    pyman("rm", "-f", "-t", "0", "b")
    assert not failing(pyman, "a")
