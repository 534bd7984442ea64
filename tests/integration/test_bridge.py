"""Containers on bridge networks: addresses, names, isolation, published ports, kills, fifty at once; nothing leaks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyman import stages
from tests.conftest import Run, command, environment, until
from tests.integration.test_registry import free_port
from tests.integration.test_restart_policies import ended
from tests.integration.test_stages import kill_at

SERVER = ("sh", "-c", "mkdir /w; echo $0 > /w/index.html; exec httpd -f -v -p 80 -h /w")


def processes(base: Path, word: str = "pyman-network") -> list[int]:
    """The processes of this store whose command line begins with `word`."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            line = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode() if entry.isdigit() else ""
        except OSError:
            continue
        if line.startswith(word) and str(base) in line:
            found.append(int(entry))
    return found


def leases(base: Path) -> list[str]:
    top = base / "home/.local/share/pyman/networks/leases"
    return sorted(f"{path.parent.name}/{path.name}" for path in top.glob("*/*") if path.name != "cursor")


def named(base: Path) -> list[str]:
    return sorted(path.name for place in ("dns", "dns-internal") for path in (base / "run/pyman/networks" / place).glob("[!a]*"))


@pytest.fixture(autouse=True)
def nothing_left(pyman: Run, base: Path) -> Iterator[None]:
    """Keeper, pasta, name server, forwarders, leases and names end with the containers."""
    yield
    left = pyman("ps", "-aq").stdout.split()
    if left:
        pyman("rm", "-f", "-t", "0", *left)
    pyman("network", "prune", "-f")
    until(lambda: not processes(base) and not processes(base, "pasta") and not processes(base, "aardvark-dns"), "processes are left")
    assert not leases(base) and not named(base)


def attached(pyman: Run, name: str) -> dict[str, Any]:
    """Network name -> what the container has there."""
    found: dict[str, Any] = json.loads(pyman("inspect", name).stdout)[0]["NetworkSettings"]["Networks"]
    return found


def fetch(port: int, host: str = "127.0.0.1") -> str:
    return until(lambda: urllib.request.urlopen(f"http://{host}:{port}/", timeout=5).read().decode())  # type: ignore[no-any-return]


def test_names_addresses_and_two_servers_on_one_port(pyman: Run, image: str) -> None:
    """Two networks, a server on port 80 in each, three clients that find each other; what a container sees of itself."""
    pyman("network", "create", "--subnet", "10.98.1.0/24", "--ipv6", "one")
    pyman("network", "create", "--subnet", "10.98.2.0/24", "two")
    ports = free_port(), free_port()
    for number, net in enumerate(("one", "two")):
        pyman("run", "-d", "--name", f"srv{number}", "--network", net, "-p", f"{ports[number]}:80", image, *SERVER, f"this is {net}")
    assert [fetch(port) for port in ports] == ["this is one\n", "this is two\n"]
    pyman("run", "-d", "--name", "both", "--network", "one:alias=bridge", "--network", "two:interface_name=inner", image, "sleep", "600")
    both = attached(pyman, "both")
    assert both["one"]["IPAddress"].startswith("10.98.1.") and both["two"]["Gateway"] == "10.98.2.1"
    assert both["one"]["GlobalIPv6Address"].startswith("fd") and "bridge" in both["one"]["Aliases"]
    script = "wget -qO- http://srv0/; wget -qO- http://srv1/; ls /sys/class/net; cat /etc/hosts /etc/resolv.conf"
    text = pyman("exec", "both", "sh", "-c", script).stdout
    assert text.startswith("this is one\nthis is two\neth0\ninner\nlo\n")
    assert f"{both['one']['IPAddress']}\t" in text and "nameserver 10.98.1.1" in text
    # Name, id and alias; A, AAAA and PTR.
    short = json.loads(pyman("inspect", "both").stdout)[0]["Id"][:12]
    for name in ("both", short, "bridge"):
        answer = pyman("exec", "srv0", "nslookup", name, rc=None).stdout
        assert both["one"]["IPAddress"] in answer and both["one"]["GlobalIPv6Address"] in answer, answer
    assert re.search(r"name = (both|bridge|" + short + ")", pyman("exec", "srv0", "nslookup", both["one"]["IPAddress"], rc=None).stdout)
    # Below the search domain on each of its networks, which is how a resolver asks first.
    for number in (0, 1):
        address = attached(pyman, f"srv{number}")[("one", "two")[number]]["IPAddress"]
        for name in (f"srv{number}", f"srv{number}.dns.podman."):
            assert f"Address: {address}" in pyman("exec", "both", "nslookup", name, rc=None).stdout
    # By IPv6 too.
    address = attached(pyman, "srv0")["one"]["GlobalIPv6Address"]
    assert pyman("exec", "both", "wget", "-qO-", f"http://[{address}]/").stdout == "this is one\n"
    # The other network's server is not known by name to srv0, and both networks are in use.
    pyman("exec", "srv0", "nslookup", "srv1", rc=1)
    assert "both" in pyman("network", "rm", "two", rc=2).stderr
    assert sorted(pyman("ps", "--filter", "network=two", "--format", "{{.Names}}").stdout.split()) == ["both", "srv1"]


def test_unshare_enters_the_bridges(pyman: Run, image: str, base: Path) -> None:
    """With a server on a bridge it is reached by its address; without any, the namespace is made, and ends with the command."""
    look = ("unshare", "--rootless-netns", "sh", "-c")
    assert pyman(*look, 'grep -o ".*:" /proc/net/dev | sort; id -u; exit 7', rc=7).stdout.split() == ["lo:", "uplink:", "0"]
    until(lambda: not processes(base) and not processes(base, "pasta"), "the namespace outlives its command")
    pyman("network", "create", "--subnet", "10.98.3.0/24", "net")
    pyman("run", "-d", "--name", "srv", "--network", "net", "--ip", "10.98.3.7", image, *SERVER, "found")
    said = until(lambda: pyman(*look, "busybox wget -qO- http://10.98.3.7/; cat /etc/resolv.conf", rc=None).stdout, "no answer")
    until(lambda: "found" in pyman(*look, "busybox wget -qO- http://10.98.3.7/", rc=None).stdout, said)
    assert "nameserver" in said


def test_names_outlive_other_containers(pyman: Run, image: str, base: Path) -> None:
    """The name server goes on when a container of its network ends, however that ends."""
    pyman("network", "create", "net")
    pyman("run", "-d", "--name", "stays", "--network", "net", image, "sleep", "600")
    known = base / "run/pyman/networks/dns/net"
    before = known.read_text()
    pyman("run", "--rm", "--network", "net", image, "true")
    pyman("run", "-d", "--name", "goes", "--network", "net", image, "sleep", "600")
    pyman("rm", "-f", "-t", "0", "goes")
    pyman("run", "-d", "--name", "killed", "--network", "net", image, "sleep", "600")
    os.kill(int(pyman("inspect", "-f", "{{.State.ConmonPid}}", "killed").stdout), signal.SIGKILL)
    pyman("rm", "-f", "killed")
    until(lambda: known.read_text() == before)
    assert "Address: 10.89." in pyman("exec", "stays", "nslookup", "stays", rc=None).stdout


def test_addresses_asked_for(pyman: Run, image: str) -> None:
    pyman(
        "network",
        "create",
        "--subnet",
        "10.98.3.0/24",
        "--subnet",
        "fd98:3::/64",
        "--route",
        "10.77.0.0/16,10.98.3.9",
        "-o",
        "mtu=1400",
        "st",
    )
    args = ("--network", "st", "--ip", "10.98.3.40", "--ip6", "fd98:3::40", "--mac-address", "92:d0:c6:0a:29:33", "--network-alias", "me")
    pyman("run", "-d", "--name", "fixed", *args, image, "sleep", "600")
    text = pyman("exec", "fixed", "sh", "-c", "ip a show eth0; ip r; ip -6 r; cat /sys/class/net/eth0/mtu; nslookup me", rc=None).stdout
    for part in ("10.98.3.40/24", "fd98:3::40/64", "92:d0:c6:0a:29:33", "10.77.0.0/16 via 10.98.3.9", "default via 10.98.3.1", "\n1400\n"):
        assert part in text, part
    assert "default via fd98:3::1" in text and "Address: 10.98.3.40" in text
    taken = pyman("run", "--rm", "--network", "st:ip=10.98.3.40", image, "true", rc=126).stderr
    assert "container fixed has it" in taken
    for ip, why, code in (("3.1", "gateway", 126), ("3.255", "broadcast", 126), ("4.1", "no subnet", 126), ("x", "not an IP", 125)):
        assert why in pyman("run", "--rm", "--network", f"st:ip=10.98.{ip}", image, "true", rc=code).stderr
    # Stopped and started again; after the end the address is free.
    pyman("stop", "-t", "0", "fixed")
    assert pyman("run", "--rm", "--network", "st:ip=10.98.3.40,interface_name=net7", image, "ls", "/sys/class/net").stdout == "lo\nnet7\n"
    pyman("start", "fixed")
    assert attached(pyman, "fixed")["st"]["IPAddress"] == "10.98.3.40"


def test_devices_with_names_and_without(pyman: Run, image: str) -> None:
    """A name that one network was given is not taken by the next one's device."""
    pyman("network", "create", "one")
    args = ("--network", "one:interface_name=eth1", "--network", "podman")
    assert pyman("run", "--rm", *args, image, "ls", "/sys/class/net").stdout == "eth0\neth1\nlo\n"
    args = ("--network", "one:interface_name=eth0", "--network", "podman:interface_name=eth0")
    assert "the name of its device, eth0, is taken" in pyman("run", "--rm", *args, image, "true", rc=126).stderr


def test_names_below_the_domain(pyman: Run, image: str) -> None:
    pyman("network", "create", "net")
    pyman("network", "create", "--internal", "inner")
    for net in ("net", "inner"):
        pyman("run", "-d", "--name", net, "--network", net, image, "sleep", "600")
        assert pyman("exec", net, "cat", "/etc/resolv.conf").stdout.startswith("search dns.podman")
        until(lambda net=net: "Address: 10.89." in pyman("exec", net, "nslookup", f"{net}.dns.podman", rc=None).stdout)  # type: ignore[misc]
    # A name that nobody knows is told at once, on an internal network too.
    until(lambda: "NXDOMAIN" in pyman("exec", "inner", "nslookup", "no.such.example", rc=None).stdout)


def test_files_of_a_shared_network(pyman: Run, image: str) -> None:
    """Who shares a container's network finds by name what that one finds, also after a connect."""
    pyman("network", "create", "net")
    pyman("run", "-d", "--name", "a", "--network", "net", "--add-host", "db:192.0.2.7", image, "sleep", "600")
    pyman("run", "-d", "--name", "b", "--network", "container:a", image, "sleep", "600")
    pyman("run", "-d", "--name", "c", "--network", "container:b", image, "sleep", "600")

    def file(name: str, path: str) -> str:
        return pyman("exec", name, "cat", path).stdout

    for name in ("b", "c"):
        assert file(name, "/etc/resolv.conf") == file("a", "/etc/resolv.conf")
        own = pyman("inspect", "-f", "{{.Id}}", name).stdout[:12]
        text = file(name, "/etc/hosts")
        assert text.startswith(file("a", "/etc/hosts")) and text.endswith(f"127.0.0.1\t{own} {name}\n") and "192.0.2.7\tdb\n" in text
        until(lambda name=name: "Address: 10.89." in pyman("exec", name, "nslookup", "a", rc=None).stdout)  # type: ignore[misc]
    pyman("network", "connect", "podman", "a")
    address = attached(pyman, "a")["podman"]["IPAddress"]
    assert all(f"{address}\t" in file(name, "/etc/hosts") for name in ("a", "b", "c"))
    pyman("network", "disconnect", "podman", "a")
    assert not any(f"{address}\t" in file(name, "/etc/hosts") for name in ("a", "b", "c"))


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--network", "nosuch"), "no network with name"),
        (("--network", "podman", "--network", "podman"), "twice"),
        (("--network", "podman", "--network", "host"), "only networks can be combined"),
        (("--network", "none", "--network", "podman"), "only networks"),
        (("--network", "podman:colour=red"), "known are"),
        (("--network", "podman:mac=zz"), "invalid MAC"),
        (("--network", "podman:mac=01:00:5e:00:00:01"), "of a group"),
        (("--network", "podman:alias=a\nb"), "invalid network alias"),
        (("--network", "podman", "--network-alias", "a b"), "invalid network alias"),
        (("--network", "podman:interface_name=lo"), "invalid interface name"),
        (("--network", "host", "--ip", "10.88.0.9"), "belong to networks"),
        (("--ip", "10.88.0.9"), "belong to networks"),
        (("--network", "po\x1b[31m"), "no network with name"),
        (("--network", "../../x"), "no network with name"),
    ],
)
def test_refusals(pyman: Run, image: str, args: tuple[str, ...], why: str) -> None:
    done = pyman("run", "--rm", *args, image, "true", rc=125)
    assert why in done.stderr and "\x1b" not in done.stderr and "Traceback" not in done.stderr


def test_walls(pyman: Run, image: str) -> None:
    """Internal networks have no way out, isolated ones none to each other, strict ones none to any other; plain ones have."""
    for name, args in (
        ("inner", ("--internal",)),
        ("iso1", ("-o", "isolate=true")),
        ("iso2", ("-o", "isolate=true")),
        ("strict", ("-o", "isolate=strict")),
        ("plain1", ()),
        ("plain2", ()),
    ):
        pyman("network", "create", *args, name)
        pyman("run", "-d", "--name", f"in-{name}", "--network", name, image, *SERVER, name)
    address = {name: attached(pyman, f"in-{name}")[name]["IPAddress"] for name in ("inner", "iso1", "iso2", "strict", "plain1", "plain2")}

    def reaches(one: str, other: str) -> bool:
        done = pyman("exec", f"in-{one}", "timeout", "1", "wget", "-qO-", f"http://{address[other]}/", rc=None)
        return done.stdout == other + "\n"

    assert (
        until(lambda: reaches("plain1", "plain2")) and until(lambda: reaches("plain2", "iso1")) and until(lambda: reaches("iso2", "plain1"))
    )
    for one, other in (("iso1", "iso2"), ("strict", "plain1"), ("plain1", "strict"), ("plain1", "inner"), ("inner", "plain1")):
        assert not reaches(one, other), (one, other)
    inner = pyman("exec", "in-inner", "sh", "-c", "ip r; nslookup in-inner; nslookup example.com", rc=None).stdout
    assert "default" not in inner and address["inner"] in inner and inner.count("Name:\t") == 1
    # A container that sets a default route itself gets no further, and cannot touch what is not its own.
    done = pyman(
        "run", "--rm", "--network", "inner", "--cap-add", "NET_ADMIN", image, "sh", "-c",
        f"ip r add default via {address['inner'].rsplit('.', 1)[0]}.1; timeout 1 wget -qO- http://{address['plain1']}/; ip link | grep -c podman",
        rc=None,
    )  # fmt: skip
    assert done.stdout == "0\n", done.stdout + done.stderr


def test_fifty_at_once(pyman: Run, image: str, base: Path) -> None:
    pyman("network", "create", "--subnet", "10.98.4.0/24", "many")
    started = [
        subprocess.Popen(
            [*command(), "run", "-d", "--network", "many", "--name", f"n{number}", image, "sleep", "600"],
            env=environment(base),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(50)
    ]
    said = [process.communicate(timeout=300)[1] for process in started]
    assert not any(process.returncode for process in started), said
    addresses = [entry["interfaces"]["eth0"]["subnets"][0]["ipnet"] for entry in inspect_containers(pyman, "many")]
    assert len(set(addresses)) == 50
    assert len(leases(base)) == 50
    until(lambda: len(processes(base, "pyman-network keep")) == 1, "one keeper")
    assert "Address: 10.98.4." in pyman("exec", "n7", "nslookup", "n42", rc=None).stdout


def inspect_containers(pyman: Run, network: str) -> list[dict[str, Any]]:
    return list(json.loads(pyman("network", "inspect", network).stdout)[0]["containers"].values())


@pytest.mark.parametrize(
    "victims", [("pasta",), ("aardvark-dns",), ("pyman-network keep",), ("pasta", "aardvark-dns", "pyman-network keep")]
)
def test_killed_helpers_come_back(pyman: Run, image: str, base: Path, victims: tuple[str, ...]) -> None:
    pyman("network", "create", "net")
    pyman("run", "-d", "--name", "a", "--network", "net", image, *SERVER, "a")
    # aardvark-dns and pasta name themselves by their program's path or name.
    found: list[int] = []

    def there() -> bool:
        """(What puts itself into the background is two processes for a moment.)"""
        found[:] = [pid for victim in victims for pid in helpers(base, victim)]
        return len(found) == len(victims)

    until(there)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    until(lambda: all(ended(pid) for pid in found))
    pyman("run", "-d", "--name", "b", "--network", "net", image, "sleep", "600")  # repairs what nobody else has
    assert until(lambda: pyman("exec", "b", "timeout", "2", "wget", "-qO-", "http://a/", rc=None).stdout == "a\n")
    assert until(lambda: all(helpers(base, victim) for victim in ("pasta", "aardvark-dns", "pyman-network keep")))
    assert not set(found) & {pid for victim in victims for pid in helpers(base, victim)}


def helpers(base: Path, word: str) -> list[int]:
    """The living keeper, its pasta, its name server."""
    if word != "aardvark-dns":
        return processes(base, word)
    return [pid for prefix in ("/usr/lib/podman/aardvark-dns", "aardvark-dns") for pid in processes(base, prefix)]


def test_a_killed_monitor_leaks_nothing(pyman: Run, image: str, base: Path) -> None:
    port = free_port()
    pyman("run", "-d", "--name", "m", "--network", "podman", "-p", f"{port}:80", image, *SERVER, "m")
    assert fetch(port) == "m\n"
    monitor = int(pyman("inspect", "-f", "{{.State.ConmonPid}}", "m").stdout)
    os.kill(monitor, signal.SIGKILL)
    until(lambda: not processes(base))
    until(lambda: pyman("ps", "-a", "--format", "{{.State}}").stdout == "exited\n")  # init dies with its monitor, a moment later
    until(lambda: not leases(base))
    pyman("start", "m")
    assert fetch(port) == "m\n"


@pytest.mark.parametrize("whole", ["process", "group"])
@pytest.mark.parametrize("stage", [*stages.BRIDGE, "start:network", "start:cloned", "start:ready", "start:saved", "start:started"])
def test_killed_at_any_moment(pyman: Run, image: str, base: Path, stage: str, whole: str) -> None:
    pyman("network", "create", "cut")
    code = kill_at(base, stage + ("!" if whole == "group" else ""), "run", "--rm", "--name", "killed", "--network", "cut", image, "true")
    assert code != 0, f"{stage} was not reached"
    until(lambda: not pyman("ps", "-aq").stdout)
    assert pyman("run", "--rm", "--name", "killed", "--network", "cut", image, "hostname", "-i").stdout.startswith("10.89.")
