"""kill -9 of what carries containers' networks: what comes back by itself, what the next command repairs or names; nothing leaks."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.test_bridge import SERVER, fetch, helpers, leases, named, nothing_left, processes, until  # noqa: F401 (a fixture)
from tests.integration.test_registry import free_port


def monitor(pyman: Run, name: str) -> int:
    return int(pyman("inspect", "-f", "{{.State.ConmonPid}}", name).stdout)


def helper(parent: int, *names: str) -> int:
    """The child of a monitor that has one of these names, once it has it."""
    return int(until(lambda: child(parent, *names)))


def child(parent: int, *names: str) -> int:
    """The child of a monitor that has one of these names, or 0."""
    for entry in os.listdir("/proc"):
        try:
            head, _, rest = Path(f"/proc/{entry}/stat").read_text().rpartition(") ") if entry.isdigit() else ("", "", "")
        except OSError:
            continue
        if rest and int(rest.split()[1]) == parent and rest[0] != "Z" and head.partition(" (")[2].startswith(names):
            return int(entry)
    return 0


def test_the_monitor_starts_its_helper_again(pyman: Run, image: str) -> None:
    """pasta and the port forwarder; when its port has gone to somebody else, that is named, and reload mends it later."""
    cases = {"pasta": ("pasta", ("pasta", "passt"), free_port()), "bridged": ("podman", ("pyman:[ports]",), free_port())}
    for name, (mode, _, port) in cases.items():
        pyman("run", "-d", "--name", name, "--network", mode, "-p", f"{port}:80", image, *SERVER, name)
        assert fetch(port) == name + "\n"
    for name, (_, called, port) in cases.items():
        own = monitor(pyman, name)
        first = helper(own, *called)
        os.kill(first, signal.SIGKILL)
        until(lambda own=own, called=called, first=first: child(own, *called) not in (0, first))  # type: ignore[misc]
        assert fetch(port) == name + "\n"
        assert "default" in pyman("exec", name, "ip", "route").stdout
    own, port = monitor(pyman, "bridged"), cases["bridged"][2]
    os.kill(own, signal.SIGSTOP)
    os.kill(helper(own, "pyman:[ports]"), signal.SIGKILL)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        until(lambda: sock.bind(("0.0.0.0", port)) is None)
        sock.listen()
        os.kill(own, signal.SIGCONT)
        until(lambda: "reload mends it" in pyman("network", "test", "bridged", rc=1).stdout)
        assert not child(own, "pyman")
        assert f"(pid {os.getpid()})" in pyman("network", "reload", "bridged", rc=125).stderr
        # A container that has a port is named as well.
    assert "by container pasta" in pyman("run", "--rm", "-p", f"{cases['pasta'][2]}:80", image, "true", rc=126).stderr
    pyman("network", "reload", "bridged")
    assert fetch(port) == "bridged\n"


def test_commands_that_show_or_use_networks_mend_them(pyman: Run, image: str, base: Path) -> None:
    """Whichever comes first after the keeper was killed."""
    pyman("network", "create", "net")
    pyman("run", "-d", "--name", "a", "--network", "net", image, "sleep", "600")
    hint = base / "run/pyman/networks/uplink.json"

    def living() -> list[int]:
        return processes(base, "pyman-network keep")

    def kill() -> int:
        """Until it has let go of its descriptors: so long nobody can tell that it is about to end."""
        (keeper,) = until(living)
        os.kill(keeper, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{keeper}/fd/9"))
        return int(keeper)

    for line in (
        "ps",
        "inspect a",
        "port a",
        "logs a",
        "top a",
        "stats --no-stream a",
        "network ls",
        "network inspect net",
        "network exists net",
    ):
        keeper = kill()
        pyman(*line.split())
        assert living() and living() != [keeper], line
    # Names are there when the command goes on, on internal networks and others.
    pyman("network", "create", "--internal", "inner")
    pyman("run", "-d", "--name", "b", "--network", "inner", image, "sleep", "600")
    for name in ("a", "b"):
        keeper = kill()
        assert "Address: 10.89." in pyman("exec", name, "nslookup", name, rc=None).stdout
        assert living() and living() != [keeper]
    pyman("rm", "-f", "-t", "0", "b")
    # Where it cannot come back, that is said, and the command does what it is for.
    kill()
    record = base / "home/.local/share/pyman/networks/net.json"
    text = record.read_text()
    record.write_text("{")
    done = pyman("ps", "--format", "{{.Names}}")
    assert done.stdout == "a\n" and "have lost their way out" in done.stderr and "net" in done.stderr
    record.write_text(text)
    pyman("rm", "-f", "-t", "0", "a")
    until(lambda: not living())
    pyman("ps")
    assert not hint.exists()


def test_slirp4netns_comes_back_with_its_ports(pyman: Run, image: str, base: Path) -> None:
    """It learns of them by requests. With a port that somebody has taken it does not come back; that is named, and reload mends it."""
    port, other = free_port(), free_port()
    ports = ("-p", f"{port}:80", "-p", f"127.0.0.1:{other}:80")
    pyman("run", "-d", "--name", "s", "--network", "slirp4netns", *ports, image, *SERVER, "slirp")
    own = monitor(pyman, "s")
    for _ in range(2):
        assert fetch(port) == fetch(other) == "slirp\n"
        first = helper(own, "slirp4netns")
        os.kill(first, signal.SIGKILL)
        until(lambda first=first: child(own, "slirp4netns") not in (0, first))  # type: ignore[misc]
    assert fetch(port) == fetch(other) == "slirp\n"
    until(lambda: "default via 10.0.2.2" in pyman("exec", "s", "ip", "route").stdout)
    os.kill(own, signal.SIGSTOP)
    os.kill(helper(own, "slirp4netns"), signal.SIGKILL)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        until(lambda: sock.bind(("127.0.0.1", other)) is None)  # type: ignore[func-returns-value]
        sock.listen()
        os.kill(own, signal.SIGCONT)
        until(lambda: list((base / "run/pyman/containers").glob("*/slirp-wait")))
        assert "reload mends it" in pyman("network", "test", "s", rc=1).stdout
    pyman("network", "reload", "s")
    assert fetch(port) == fetch(other) == "slirp\n"
    pyman("restart", "-t", "0", "s")
    assert fetch(port) == fetch(other) == "slirp\n"


def test_a_name_server_that_hangs_is_replaced(pyman: Run, image: str, base: Path) -> None:
    """By the next start on its networks, or by reload."""
    pyman("network", "create", "hang")
    pyman("run", "-d", "--name", "a", "--network", "hang", image, "sleep", "600")
    for line in ("network reload a", f"run -d --name b --network hang {image} sleep 600"):
        until(lambda: len(helpers(base, "aardvark-dns")) == 1)  # the one that has started it may not have ended yet
        (server,) = helpers(base, "aardvark-dns")
        os.kill(server, signal.SIGSTOP)
        assert not pyman(*line.split()).stderr
        assert helpers(base, "aardvark-dns") not in ([], [server])
        assert "Address: 10.89." in pyman("exec", "a", "nslookup", "a", rc=None).stdout
    assert "Address: 10.89." in pyman("exec", "a", "nslookup", "b", rc=None).stdout


def test_a_wiped_runtime_directory(pyman: Run, image: str, base: Path) -> None:
    """The next start on a bridge brings names and the way out back for all; reload, a port forwarder that has lost its file."""
    port = free_port()
    pyman("network", "create", "wipe")
    pyman("run", "-d", "--name", "a", "--network", "wipe", "-p", f"{port}:80", image, *SERVER, "a")
    pyman("run", "-d", "--name", "b", "--network", "wipe", "--hostname", "bee", image, "sleep", "600")
    assert fetch(port) == "a\n"
    shutil.rmtree(base / "run/pyman")
    assert re.search(r"^dns +10\.89\.", pyman("network", "test", "b", rc=None).stdout, re.M)
    (first,) = until(lambda: processes(base, "pasta"))
    os.kill(first, signal.SIGKILL)
    pyman("run", "-d", "--name", "c", "--network", "wipe", image, "sleep", "600")
    for name in ("a", "bee", "c"):
        assert "Address: 10.89." in pyman("exec", "b", "nslookup", name, rc=None).stdout
    until(lambda: processes(base, "pasta") not in ([], [first]))
    # The keeper that another command has made is noted by no container.
    (keeper,) = processes(base, "pyman-network keep")
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{keeper}/fd/9"))
    pyman("ps")
    assert processes(base, "pyman-network keep") not in ([], [keeper])
    shutil.rmtree(base / "run/pyman")
    pyman("network", "reload", "b")
    assert "Address: 10.89." in pyman("exec", "b", "nslookup", "a", rc=None).stdout
    shutil.rmtree(base / "run/pyman")
    pyman("run", "--rm", "--network", "wipe", image, "nslookup", "bee")
    own = monitor(pyman, "a")
    shutil.rmtree(base / "run/pyman")
    os.kill(helper(own, "pyman:[ports]"), signal.SIGKILL)
    pyman("network", "reload", "a")
    assert fetch(port) == "a\n"


def inside(base: Path) -> tuple[int, int]:
    """How many devices the bridges' namespace has, and how many lines its rules."""
    keeper = processes(base, "pyman-network keep")[0]
    enter = ["nsenter", f"--user=/proc/{keeper}/ns/user", f"--net=/proc/{keeper}/fd/9", "--preserve-credentials"]
    counts = []
    for command in (["ip", "-o", "link"], ["nft", "list", "ruleset"]):
        counts.append(len(subprocess.run([*enter, *command], capture_output=True, text=True, check=True).stdout.splitlines()))
    return counts[0], counts[1]


def test_monitors_killed_beside_others_leak_nothing(pyman: Run, image: str, base: Path) -> None:
    pyman("network", "create", "-o", "isolate=true", "crowd")
    pyman("run", "-d", "--name", "stay", "--network", "crowd", image, *SERVER, "stay")
    until(lambda: len(processes(base)) == 1)  # what made the namespace has ended
    before = (inside(base), leases(base), named(base), len(processes(base)))
    for round_number in range(2):
        names = [f"c{round_number}{number}" for number in range(4)]
        for name in names:
            pyman("run", "-d", "--name", name, "--network", "crowd", "-p", f"{free_port()}:80", image, "sleep", "600")
        assert inside(base)[0] == before[0][0] + 4 and len(leases(base)) == len(before[1]) + 4
        for name in names:
            os.kill(monitor(pyman, name), signal.SIGKILL)
        until(lambda names=names: all("exited" in pyman("ps", "-a", "--filter", f"name={name}").stdout.lower() for name in names))  # type: ignore[misc]
        pyman("rm", *names)
        until(lambda: (inside(base), leases(base), named(base), len(processes(base))) == before)
    known = base / "run/pyman/networks/dns/crowd"
    until(lambda: len(known.read_text().splitlines()) == 2 and " stay," in known.read_text().splitlines()[1])


@pytest.mark.parametrize("again", ["start", "run"])
def test_everything_killed_at_once(pyman: Run, image: str, base: Path, again: str) -> None:
    """Monitors, keeper, pasta, name server, forwarders: what is left are containers that have ended."""
    port, other = free_port(), free_port()
    pyman("network", "create", "all")
    pyman("run", "-d", "--name", "one", "--network", "all", "-p", f"{port}:80", image, *SERVER, "one")
    pyman("run", "-d", "--name", "two", "--network", "pasta", "-p", f"{other}:80", image, *SERVER, "two")
    assert fetch(port) == "one\n" and fetch(other) == "two\n"
    monitors = [monitor(pyman, name) for name in ("one", "two")]
    victims = [
        *monitors,
        helper(monitors[1], "pasta", "passt"),
        *processes(base),
        *processes(base, "pasta"),
        *helpers(base, "aardvark-dns"),
    ]
    assert len(set(victims)) >= 7
    for victim in dict.fromkeys(victims):
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended with the one before
    until(
        lambda: pyman("ps", "-a", "--format", "{{.State}}").stdout == "exited\nexited\n"
    )  # the kernel has yet to end who follows a monitor
    until(lambda: not processes(base) and not processes(base, "pasta"))
    until(lambda: not leases(base) and not named(base))
    if again == "start":
        pyman("start", "one", "two")
        assert fetch(port) == "one\n" and fetch(other) == "two\n"
    else:
        assert pyman("run", "--rm", "--network", "all", image, "hostname", "-i").stdout.startswith("10.89.")
