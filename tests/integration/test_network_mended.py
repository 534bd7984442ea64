"""What somebody has taken away from networks by hand, or stopped: `network test` names it, `network reload` or the next start gives it back."""

from __future__ import annotations

import json
import os
import shlex
import signal
from pathlib import Path

import pytest

from tests.conftest import Run, until
from tests.integration.test_bridge import SERVER, helpers, nothing_left, processes  # noqa: F401 (a fixture)
from tests.integration.test_network_killed import helper, monitor

FETCH = ("sh", "-c", "wget -qO- http://a/")
INSIDE = ("unshare", "--rootless-netns")


def failing(pyman: Run, name: str) -> dict[str, str]:
    """Check -> why it fails, of all that `network test` finds wrong but for the world outside."""
    rows = json.loads(pyman("network", "test", "--format", "json", name, rc=None).stdout)
    assert len(rows) > 5
    return {row["check"]: row["detail"] for row in rows if row["result"] == "fail" and row["check"] not in ("outside", "host")}


@pytest.fixture
def two(pyman: Run, image: str) -> None:
    """A server `a` on the network `mend`, its device named; `b` beside it; `c` on an internal network with walls."""
    pyman("network", "create", "--subnet", "10.97.1.0/24", "--interface-name", "mend0", "mend")
    pyman("network", "create", "--subnet", "10.97.2.0/24", "--interface-name", "mend1", "--internal", "walled")
    server = ("--cap-add", "NET_ADMIN", "--network", "mend:host_interface_name=mendv", image, *SERVER, "served")
    pyman("run", "-d", "--name", "a", *server)
    pyman("run", "-d", "--name", "b", "--network", "mend", image, "sleep", "600")
    pyman("run", "-d", "--name", "c", "--network", "walled", image, "sleep", "600")
    until(lambda: pyman("exec", "b", *FETCH, rc=None).stdout == "served\n")
    assert failing(pyman, "a") == {}


A = ("exec", "a")
# One rule among others.
REPLACED = 'number=$(nft -a list chain inet pyman forward | sed -n "s/.*oifname @internal drop # handle //p"); '
REPLACED += 'nft replace rule inet pyman forward handle "$number" oifname "lo" drop'
# Rounds of: what is done, where (in the bridges' namespace or in the container), which check names it, and how.
ROUNDS = (
    (
        (INSIDE, "ip link del mend0", "bridge", "the bridge was deleted"),
        (INSIDE, "nft delete table inet pyman", "rules", "the table inet pyman was deleted"),
        (INSIDE, "ip link set uplink down", "uplink", "the device uplink has no route"),
    ),
    (
        (INSIDE, "ip link set mend0 down", "bridge", "it is down"),
        (
            INSIDE,
            "nft flush chain inet pyman postrouting",
            "rules",
            'postrouting of the table inet pyman lacks: oifname "uplink" masquerade',
        ),
        (INSIDE, "sh -c 'echo 0 > /proc/sys/net/ipv4/ip_forward'", "forwarding", "net.ipv4.ip_forward is 0, not 1"),
        (INSIDE, "ip link del uplink", "", ""),  # pasta sees that itself, and may be back already
        (A, "ip route del default", "route", "there is no default route"),
    ),
    (
        (INSIDE, "ip addr del 10.97.1.1/24 dev mend0", "bridge", "it lacks its address 10.97.1.1"),
        (INSIDE, "nft delete element inet pyman internal { mend1 }", "", ""),  # another network's
        (INSIDE, f"sh -c '{REPLACED}'", "rules", "the chain forward of the table inet pyman lacks: oifname @internal drop"),
        (A, "ip addr flush dev eth0", "address", "eth0 does not have it"),
    ),
    (
        (INSIDE, "ip link set mendv nomaster", "bridge", "the container's device mendv is not in it"),
        (INSIDE, "ip route flush table 100", "forwarding", "the port forwarders' route for IPv4, of routing table 100, was deleted"),
        (INSIDE, "nft add chain inet pyman mine", "rules", "the table inet pyman has a chain mine that is not pyman's"),
        (A, "ip link set eth0 down", "link", "it is down"),
    ),
    ((INSIDE, "ip link del mendv", "bridge", "the container's device was deleted"), (A, "true", "link", "no such device")),
    (
        (A, "ip link del eth0", "link", "no such device"),
        (INSIDE, "nft add element inet pyman internal { mend0 }", "rules", "the set internal of the table inet pyman has mend0"),
        (INSIDE, "ip rule del priority 50", "forwarding", "the port forwarders' rule for IPv4"),
    ),
)


def test_reload_gives_back_what_was_taken(pyman: Run, two: None) -> None:
    before = json.loads(pyman("inspect", "a").stdout)[0]["NetworkSettings"]["Networks"]
    for cases in ROUNDS:
        for place, words, _, _ in cases:
            pyman(*place, *shlex.split(words))
        found = failing(pyman, "a")
        for _, words, check, why in cases:
            assert not check or why in found.get(check, "(not told of)"), words
        assert pyman("network", "reload", "a").stderr == "", cases
        until(lambda: failing(pyman, "a") == {}, str(cases))  # a question for a neighbour that nobody could answer ends first
        assert until(lambda: pyman("exec", "b", *FETCH, rc=None).stdout, str(cases)) == "served\n"
        # The walls of all networks come back, not only those of the one that was reloaded.
        assert "mend1" in pyman(*INSIDE, "nft", "list", "set", "inet", "pyman", "internal").stdout
    assert json.loads(pyman("inspect", "a").stdout)[0]["NetworkSettings"]["Networks"] == before
    assert failing(pyman, "c") == {}


def test_the_next_start_gives_back_the_bridge_and_the_table(pyman: Run, image: str, two: None) -> None:
    # A part of the table is noticed where the start changes it.
    pyman(*INSIDE, "nft", "flush table inet pyman; delete set inet pyman internal")
    pyman("network", "create", "--internal", "--interface-name", "mend5", "five")
    pyman("run", "--rm", "--network", "five", image, "true")
    for number, words in enumerate(("ip link del mend0", "nft delete table inet pyman")):
        pyman(*INSIDE, *words.split())
        assert pyman("run", "--rm", "--network", "mend", image, *FETCH).stdout == "served\n"
        pyman("run", "-d", "--name", f"new{number}", "--network", "mend", image, "sleep", "600")
        for name in ("a", "b", "c", f"new{number}"):
            until(lambda name=name: failing(pyman, name) == {}, words)  # type: ignore[misc]
    assert "mend1" in pyman(*INSIDE, "nft", "list", "set", "inet", "pyman", "internal").stdout


def test_a_removed_network_leaves_nothing_to_the_next_one(pyman: Run, image: str, base: Path, two: None) -> None:
    """A bridge goes with its network, its address and its walls too; and where the keeper did not see it, before another one gets its name."""
    pyman("rm", "-f", "-t", "0", "c")
    pyman("network", "rm", "walled")
    devices = pyman(*INSIDE, "ip", "-o", "link").stdout
    assert "mend0" in devices and "mend1" not in devices
    assert "mend1" not in pyman(*INSIDE, "nft", "list", "ruleset").stdout
    # A file that somebody took away: the bridge stays, until another network has its name.
    pyman("network", "create", "--internal", "--subnet", "10.97.3.0/24", "--interface-name", "mend2", "old")
    pyman("run", "--rm", "--network", "old", image, "true")
    (base / "home/.local/share/pyman/networks/old.json").unlink()
    assert "10.97.3.1" in pyman(*INSIDE, "ip", "addr").stdout
    pyman("network", "create", "--subnet", "10.97.4.0/24", "--interface-name", "mend2", "new")
    pyman("run", "-d", "--name", "n", "--network", "new", image, "sleep", "600")
    text = pyman(*INSIDE, "ip", "addr").stdout
    assert "10.97.4.1" in text and "10.97.3.1" not in text
    assert "mend2" not in pyman(*INSIDE, "nft", "list", "ruleset").stdout
    assert failing(pyman, "n") == {}
    # With the last container goes what was noted of all bridges.
    pyman("rm", "-f", "-t", "0", "a", "b", "n")
    until(lambda: not [path for path in (base / "run/pyman/networks").iterdir() if path.name.startswith("bridge-")])


def test_who_was_stopped_is_named_and_goes_on(pyman: Run, image: str, base: Path) -> None:
    """A SIGSTOP for the keeper, the way out, a container's own helper: nothing that lives and does no work counts as well."""
    pyman("network", "create", "halt")
    pyman("run", "-d", "--name", "a", "--network", "halt", image, *SERVER, "served")
    pyman("run", "-d", "--name", "p", "--network", "pasta", image, "sleep", "600")
    (keeper,) = until(lambda: processes(base, "pyman-network keep"))
    way_out, own = helper(keeper, "pasta", "passt"), helper(monitor(pyman, "p"), "pasta", "passt")

    def state(pid: int) -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]

    def stop(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        until(lambda: state(pid) == "T")

    for name, check, pid in (("a", "keeper", keeper), ("a", "uplink", way_out), ("p", "pasta", own)):
        stop(pid)
        assert f"(pid {pid}) is stopped: kill -CONT {pid}" in failing(pyman, name)[check]
        assert f"(pid {pid}) is stopped: kill -CONT {pid}" in pyman("doctor", rc=None).stdout
        assert f"(pid {pid}) was stopped; it goes on now" in pyman("network", "reload", name).stderr
        assert state(pid) != "T" and check not in failing(pyman, name)
    # A start waits for names that a stopped keeper would never let the server know.
    stop(keeper)
    done = pyman("run", "--rm", "--network", "halt", image, *FETCH)
    assert done.stdout == "served\n" and f"(pid {keeper}) was stopped" in done.stderr
    assert state(keeper) != "T" and helpers(base, "aardvark-dns")


def test_a_container_without_servers_and_a_stopped_monitor_are_named(pyman: Run, image: str, two: None) -> None:
    pyman("exec", "b", "sh", "-c", "> /etc/resolv.conf")
    assert failing(pyman, "b") == {"dns": "it names no server: somebody in the container has written to it"}
    pid = monitor(pyman, "a")
    os.kill(pid, signal.SIGSTOP)
    until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "T")
    assert f"(pid {pid}) is stopped: kill -CONT {pid}" in failing(pyman, "a")["monitor"]
    assert f"the monitor of container a (pid {pid}) is stopped" in pyman("doctor", rc=None).stdout
    assert f"(pid {pid}) was stopped; it goes on now" in pyman("network", "reload", "a").stderr
    assert failing(pyman, "a") == {}


def test_containers_without_a_version_of_ip(pyman: Run, image: str) -> None:
    """An IPv6 network with IPv6 switched off in the container, and one without IPv4; a container that has left all."""
    pyman("network", "create", "--subnet", "10.97.5.0/24", "--ipv6", "both")
    pyman("network", "create", "--subnet", "fd97::/64", "six")
    off = ("--sysctl", "net.ipv6.conf.all.disable_ipv6=1")
    for network, expected in (("both", ["10.97.5.2"]), ("six", [])):
        pyman("run", "-d", "--name", f"off{network}", *off, "--network", network, image, "sleep", "600")
        addresses = pyman("exec", f"off{network}", "sh", "-c", "ip -o addr show eth0 | sed 's/.*inet6* //; s,/.*,,'").stdout.split()
        assert addresses == expected
    assert failing(pyman, "offboth") == {}
    pyman("run", "-d", "--name", "only", "--network", "six", image, "sleep", "600")
    rows = json.loads(pyman("network", "test", "--format", "json", "only", rc=None).stdout)
    assert [row["result"] for row in rows if row["check"] == "host"] == ["-"]
    assert failing(pyman, "only") == {}
    pyman("network", "disconnect", "both", "offboth")
    assert pyman("inspect", "-f", "{{.NetworkSettings.IPAddress}}|{{.NetworkSettings.Networks}}", "offboth").stdout == "|map[]\n"
