"""connect, disconnect, reload and test of containers, running or not; names, addresses and published ports follow."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.conftest import Run
from tests.integration.test_bridge import SERVER, attached, fetch, helpers, leases, nothing_left, until  # noqa: F401 (a fixture)
from tests.integration.test_registry import free_port


def test_connect_and_disconnect(pyman: Run, image: str, base: Path) -> None:
    port = free_port()
    for net in ("first", "second"):
        pyman("network", "create", net)
    pyman("run", "-d", "--name", "srv", "--network", "first", "-p", f"{port}:80", image, *SERVER, "here")
    pyman("run", "-d", "--name", "cli", "--network", "second", image, "sleep", "600")
    pyman("exec", "cli", "nslookup", "srv", rc=1)
    subnet = json.loads(pyman("network", "inspect", "second").stdout)[0]["subnets"][0]["subnet"].rsplit(".", 1)[0]
    pyman("network", "connect", "--alias", "other", "--ip", f"{subnet}.77", "--mac-address", "92:d0:c6:0a:29:34", "second", "srv")
    until(lambda: pyman("exec", "cli", "wget", "-qO-", "http://other/", rc=None).stdout == "here\n")
    assert attached(pyman, "srv")["second"]["IPAddress"] == f"{subnet}.77"
    assert pyman("exec", "srv", "cat", "/sys/class/net/eth1/address").stdout == "92:d0:c6:0a:29:34\n"
    assert "already" in pyman("network", "connect", "second", "srv", rc=125).stderr
    assert "no subnet" in pyman("network", "connect", "--ip", f"{subnet}.77", "first", "cli", rc=125).stderr
    # Who has name servers that know no containers asks the network's first.
    pyman("run", "-d", "--name", "plain", "--network", "podman", image, "sleep", "600")
    pyman("network", "connect", "second", "plain")
    assert pyman("exec", "plain", "head", "-n1", "/etc/resolv.conf").stdout == f"nameserver {subnet}.1\n"
    assert until(lambda: pyman("exec", "plain", "wget", "-qO-", "http://other/", rc=None).stdout) == "here\n"
    assert "own name" not in pyman("network", "test", "plain", rc=None).stdout
    # The published port follows the network that is left.
    assert fetch(port) == "here\n"
    pyman("network", "disconnect", "first", "srv")
    assert fetch(port) == "here\n"
    assert "eth0" not in pyman("exec", "srv", "ls", "/sys/class/net").stdout
    assert list(attached(pyman, "srv")) == ["second"] and not [lease for lease in leases(base) if lease.startswith("first")]
    assert "not connected" in pyman("network", "disconnect", "first", "srv", rc=125).stderr
    # It is remembered over a stop; a stopped one can be connected too.
    pyman("stop", "-t", "0", "srv")
    pyman("network", "connect", "first", "srv")
    pyman("start", "srv")
    assert sorted(attached(pyman, "srv")) == ["first", "second"] and fetch(port) == "here\n"
    for net in ("first", "second"):
        pyman("network", "disconnect", net, "srv")
    assert pyman("exec", "srv", "ls", "/sys/class/net").stdout == "lo\n"
    pyman("run", "-d", "--name", "lone", "--network", "none", image, "sleep", "600")
    assert "network mode is none" in pyman("network", "connect", "first", "lone", rc=125).stderr
    assert "no network" in pyman("network", "connect", "nosuch", "srv", rc=125).stderr


def test_a_running_container_is_renamed(pyman: Run, image: str) -> None:
    """Its networks know it by the new name at once, and by the old one no longer."""
    pyman("network", "create", "net")
    pyman("run", "-d", "--name", "old", "--network", "net:alias=also", image, *SERVER, "here")
    pyman("run", "-d", "--name", "mate", "--network", "net", image, "sleep", "600")
    pyman("rename", "old", "new")
    until(lambda: pyman("exec", "mate", "wget", "-qO-", "http://new/", rc=None).stdout == "here\n")
    assert pyman("exec", "mate", "wget", "-qO-", "http://also/").stdout == "here\n"
    pyman("exec", "mate", "wget", "-qO-", "http://old/", rc=1)
    hosts = pyman("exec", "new", "cat", "/etc/hosts").stdout
    assert " new\n" in hosts and " old\n" not in hosts
    # Who takes the old name gets it alone.
    pyman("run", "-d", "--name", "old", "--network", "net", image, *SERVER, "another")
    until(lambda: pyman("exec", "mate", "wget", "-qO-", "http://old/", rc=None).stdout == "another\n")
    pyman("restart", "-t", "0", "new")
    until(lambda: pyman("exec", "mate", "wget", "-qO-", "http://new/", rc=None).stdout == "here\n")


def test_the_table_of_a_network(pyman: Run, image: str, base: Path) -> None:
    port = free_port()
    pyman("network", "create", "net")
    pyman("run", "-d", "--name", "srv", "--network", "net", "-p", f"{port}:80", image, *SERVER, "here")
    pyman("run", "-d", "--name", "mate", "--network", "net", image, "sleep", "600")
    assert fetch(port) == "here\n"

    def rows() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in json.loads(pyman("network", "test", "--format", "json", "srv", rc=None).stdout):
            found.setdefault(row["check"], []).append(row["result"])
        return found

    checks = ("keeper", "forwarder", "link", "address", "route", "gateway", "dns", "sibling", "port")
    good = until(lambda: (lambda found: found if all(set(found[check]) == {"ok"} for check in checks) else None)(rows()))
    for check in checks:
        assert set(good[check]) == {"ok"}, (check, good)
    assert "mate" in pyman("network", "test", "srv", rc=None).stdout
    # Each loss has its row, and reload mends it.
    (keeper,) = helpers(base, "pyman-network keep")
    os.kill(keeper, signal.SIGKILL)
    lost = until(lambda: (lambda found: found if set(found["keeper"]) == set(found["dns"]) == {"fail"} else None)(rows()))
    assert set(lost["dns"]) == {"fail"} and set(lost["sibling"]) == {"ok"}
    assert pyman("network", "reload", "mate").stdout.strip() == pyman("inspect", "-f", "{{.Id}}", "mate").stdout.strip()
    assert set(until(lambda: (lambda found: found if set(found["dns"]) == {"ok"} else None)(rows()))["keeper"]) == {"ok"}
    assert "not running" in pyman("network", "test", pyman("create", image, "true").stdout.strip(), rc=125).stderr


def test_the_table_in_other_modes(pyman: Run, image: str) -> None:
    def rows(name: str, check: str) -> list[list[str]]:
        found = json.loads(pyman("network", "test", "--format", "json", name, rc=None).stdout)
        return [[row["target"], row["result"]] for row in found if row["check"] == check]

    # The host's own devices that are not in use are no failure.
    pyman("run", "-d", "--name", "host", "--network", "host", image, "sleep", "600")
    assert {result for _, result in rows("host", "link")} == {"ok"} and not rows("host", "host")
    # Where the host is, the container's /etc/hosts says, which may hold anything.
    pyman("run", "-d", "--name", "slirp", "--network", "slirp4netns", image, "sleep", "600")
    for text, wanted in (("127.0.0.1", ["127.0.0.1", "ok"]), ("1.2.3.4.5", ["-", "-"]), ("-x", ["-", "-"])):
        pyman("exec", "slirp", "sh", "-c", f"echo '{text} host.containers.internal' > /etc/hosts")
        assert rows("slirp", "host") == [wanted]


def test_name_servers_of_a_running_network(pyman: Run, image: str, base: Path) -> None:
    pyman("network", "create", "net")
    pyman("run", "-d", "--name", "a", "--network", "net", image, "sleep", "600")
    known = base / "run/pyman/networks/dns/net"
    assert " a," + pyman("inspect", "-f", "{{.Id}}", "a").stdout[:12] in known.read_text().splitlines()[1]
    pyman("network", "update", "--dns-add", "192.0.2.9", "net")
    assert known.read_text().splitlines()[1].endswith(" 192.0.2.9")
    pyman("network", "update", "--dns-drop", "192.0.2.9", "net")
    assert "192.0.2.9" not in known.read_text()
    until(lambda: "Address: 10.89." in pyman("exec", "a", "nslookup", "a", rc=None).stdout)


def test_what_pyman_writes_is_read_only_with_the_root(pyman: Run, image: str) -> None:
    """For the container's root, too. From outside it follows networks and names all the same."""
    pyman("secret", "create", "word", "-", input="x")
    for net in ("first", "second"):
        pyman("network", "create", net)
    pyman(
        "run",
        "-d",
        "--name",
        "fixed",
        "--read-only",
        "--userns",
        "keep-id",
        "--network",
        "first",
        "--secret",
        "word",
        image,
        "sleep",
        "600",
    )
    paths = "/etc/hosts /etc/hostname /etc/resolv.conf /etc/passwd /etc/group /run/.containerenv /run/secrets/word /run/secrets/other"
    tried = pyman("exec", "-u", "0", "fixed", "sh", "-c", f"for path in {paths}; do (echo >> $path) 2>&1; done; exit 0").stdout
    assert [line.rpartition(": ")[2] for line in tried.splitlines()] == ["Read-only file system"] * 8, tried
    assert pyman("exec", "-u", "0", "fixed", "cat", "/run/secrets/word").stdout == "x"
    pyman("network", "connect", "second", "fixed")
    pyman("rename", "fixed", "moved")
    hosts = pyman("exec", "moved", "cat", "/etc/hosts").stdout
    assert hosts.count(" moved\n") == 2 and " fixed\n" not in hosts
    assert pyman("exec", "moved", "cat", "/etc/resolv.conf").stdout.count("nameserver 10.89.") == 2
    pyman("network", "disconnect", "first", "moved")
    assert pyman("exec", "moved", "cat", "/etc/hosts").stdout.count(" moved\n") == 1
