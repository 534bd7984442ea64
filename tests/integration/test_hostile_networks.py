"""Containers that turn against their networks: rights over their own namespace, junk for the name servers, names that break lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.test_bridge import SERVER, attached, leases, nothing_left, processes, until  # noqa: F401 (a fixture)


def inside(base: Path, *command: str) -> str:
    """What a command says in the network namespace of the bridges."""
    keeper = processes(base, "pyman-network keep")[0]
    enter = ["nsenter", f"--user=/proc/{keeper}/ns/user", f"--net=/proc/{keeper}/fd/9", "--preserve-credentials"]
    return subprocess.run([*enter, *command], capture_output=True, text=True, check=True).stdout


def test_rights_over_its_own_namespace_reach_no_other(pyman: Run, image: str, base: Path) -> None:
    """NET_ADMIN and NET_RAW: rules, routes, devices and sysctls of others stay as they are; what it breaks is its own."""
    pyman("network", "create", "-o", "isolate=strict", "walled")
    pyman("network", "create", "open")
    pyman("run", "-d", "--name", "victim", "--network", "walled", image, *SERVER, "victim")
    pyman("run", "-d", "--name", "mate", "--network", "open", image, *SERVER, "mate")
    caps = ("--cap-add", "NET_ADMIN", "--cap-add", "NET_RAW")
    pyman("run", "-d", "--name", "evil", *caps, "--network", "open", image, "sleep", "600")
    until(lambda: "linkdown" not in inside(base, "ip", "route"))  # the kernel notes a bridge's first port a moment later
    before = inside(base, "nft", "list", "ruleset"), inside(base, "ip", "route"), inside(base, "ip", "rule")
    links = len(inside(base, "ip", "-o", "link").splitlines())
    address = attached(pyman, "victim")["walled"]["IPAddress"]
    gateway = attached(pyman, "evil")["open"]["Gateway"]
    attacks = (
        f"ip route add {address}/32 via {gateway}; ip route flush cache",
        f"timeout 1 wget -qO- http://{address}/",
        "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 2 > /proc/sys/net/ipv6/conf/all/accept_ra",
        "ip link set eth0 netns 1; ip link add podman1 type bridge; ip link set eth0 master podman1; ip link set eth0 nomaster",
        "for pid in /proc/[0-9]*; do nsenter -t ${pid#/proc/} -n ip link; done",
        "ip link set eth0 down; ip link set eth0 name hidden; ip link set hidden up",
    )
    for attack in attacks:
        done = pyman("exec", "evil", "sh", "-c", attack, rc=None)
        assert "victim" not in done.stdout
    until(lambda: "linkdown" not in inside(base, "ip", "route"))
    assert (inside(base, "nft", "list", "ruleset"), inside(base, "ip", "route"), inside(base, "ip", "rule")) == before
    assert len(inside(base, "ip", "-o", "link").splitlines()) == links
    assert until(lambda: pyman("exec", "mate", "wget", "-qO-", "http://mate/", rc=None).stdout) == "mate\n"
    # Its device has another name: the table says so, and it is taken off the network nevertheless.
    assert "no such device" in pyman("network", "test", "evil", rc=1).stdout
    pyman("network", "disconnect", "open", "evil")
    assert "hidden" not in pyman("exec", "evil", "ls", "/sys/class/net").stdout
    assert len(inside(base, "ip", "-o", "link").splitlines()) == links - 1
    # It throws its device away: nothing of it is left anywhere.
    pyman("network", "connect", "open", "evil")
    device = attached(pyman, "evil")["open"]
    assert device["IPAddress"]
    pyman("exec", "evil", "ip", "link", "del", "eth0")
    pyman("network", "disconnect", "open", "evil")
    assert not [lease for lease in leases(base) if lease.endswith("/" + device["IPAddress"])]
    assert len(inside(base, "ip", "-o", "link").splitlines()) == links - 1


def test_no_container_is_another_ones_router(pyman: Run, image: str) -> None:
    """Advertisements of routers are not taken (CVE-2020-10749)."""
    pyman("network", "create", "--ipv6", "six")
    assert pyman("run", "--rm", "--network", "six", image, "cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra").stdout == "0\n"


JUNK = """
import os, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((sys.argv[1], 53))
head = b"\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00"
names = [b"\\x3f" + b"a" * 63, b"\\xc0\\x0c", b"\\x05\\x1b[31m\\x00", b"\\x03a\\nb\\x00", b"\\xff" * 300, b"\\x01/\\x02..\\x00", b"\\x00"]
for number in range(300):
    for name in names:
        for data in (head + name + b"\\x00\\x01\\x00\\x01", head[:number % 12], os.urandom(number), head + name * 9):
            try:
                sock.send(data or b"x")
            except OSError:
                pass
try:
    stream = socket.create_connection((sys.argv[1], 53), timeout=5)
    stream.sendall(b"\\xff\\xff" + os.urandom(2000))
except OSError:
    pass  # older servers take no connections
"""


def test_junk_for_the_name_server(pyman: Run, image: str, base: Path) -> None:
    """Questions that make no sense harm nobody's names; names with marks in them never get into its files."""
    pyman("network", "create", "net")
    pyman("run", "-d", "--name", "good", "--network", "net", image, "sleep", "600")
    gateway = attached(pyman, "good")["net"]["Gateway"]
    args = ("-v", "/:/host:ro", image, "chroot", "/host", sys.executable, "-c", JUNK.replace("\\\\", "\\"), gateway)
    done = pyman("run", "--rm", "--network", "net", *args)
    assert not done.stderr
    until(lambda: "Address: 10.89." in pyman("exec", "good", "nslookup", "good", rc=None).stdout)
    for name in ("a\nb", "a b", "x,y", "\x1b[31m", "-", "a" * 64):
        said = pyman("run", "--rm", "--network", "net", "--network-alias", name, image, "true", rc=None)
        assert said.returncode in (0, 125) and "\x1b" not in said.stderr
        said = pyman("run", "-d", "--name", "odd", "--network", "net", "--hostname", name, image, "sleep", "600", rc=None)
        assert said.returncode in (0, 125) and "Traceback" not in said.stderr and "\x1b" not in said.stderr
        lines = 3 if said.returncode == 0 else 2
        until(lambda lines=lines: len((base / "run/pyman/networks/dns/net").read_text().splitlines()) == lines)  # type: ignore[misc]
        known = (base / "run/pyman/networks/dns/net").read_text().splitlines()
        assert all(len(line.split(" ")) == 4 for line in known[1:]), known
        if said.returncode == 0:
            pyman("rm", "-f", "-t", "0", "odd")
            until(lambda: len((base / "run/pyman/networks/dns/net").read_text().splitlines()) == 2)


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"subnets": [{"subnet": "10.97.0.0/24", "gateway": "10.1.1.1"}]}, "subnets[0].gateway"),
        ({"subnets": [{"subnet": "all of it"}]}, "subnets[0]: invalid"),
        ({"subnets": "10.97.0.0/24"}, 'subnets is "10.97.0.0/24", not a list'),
        ({"subnets": [None]}, "subnets[0] is null, not an object"),
        ({"subnets": [{"subnet": None}]}, "subnets[0].subnet is null, not a text"),
        ({"subnets": [{}]}, "subnets[0] has no subnet"),
        ({"network_interface": "../../../etc/x"}, "network_interface: invalid"),
        ({"network_interface": 'a"b'}, "network_interface: invalid"),
        ({"network_interface": None}, "network_interface is null"),
        ({"internal": "yes"}, 'internal is "yes", not true or false'),
        ({"dns_enabled": None}, "dns_enabled is null, not true or false"),
        ({"created": 5}, "created is 5, not a text"),
        ({"options": {"mtu": "big"}}, "options.mtu"),
        ({"options": {"mtu": "٣٠٠"}}, "options.mtu"),
        ({"options": {"mtu": "50"}}, "options.mtu: it is no number from 68"),
        ({"options": {"vlan": "4095"}}, "options.vlan: it is no number up to 4094"),
        ({"options": {"isolate": ["x"]}}, "options.isolate"),
        ({"labels": {"a": None}}, "labels.a is null"),
        ({"routes": [{"destination": "10.0.0.0/8"}]}, "routes[0] has no gateway"),
        ({"routes": [{"destination": "10.0.0.0/8", "gateway": "10.97.0.9", "metric": -1}]}, "routes[0].metric"),
        ({"routes": [{"destination": "127.0.0.0/8", "gateway": "10.97.0.9"}]}, "routes[0]: cannot use route 127.0.0.0/8: it is loopback"),
        ({"network_dns_servers": ["9.9.9.9 extra"]}, "network_dns_servers[0]"),
        ({"id": "..", "driver": "bridge"}, "id: "),
        ({"name": "other"}, "name or driver"),
        ({"driver": "macvlan"}, "name or driver"),
    ],
)
def test_a_changed_file_is_damage_with_a_cause(pyman: Run, image: str, base: Path, change: dict[str, object], at: str) -> None:
    """Every part that is going to be used is looked at before it is; file and member are named; others go on working."""
    pyman("network", "create", "--subnet", "10.97.0.0/24", "hurt")
    path = base / "home/.local/share/pyman/networks/hurt.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    for args in (
        ("network", "inspect", "hurt"),
        ("run", "--rm", "--network", "hurt", image, "true"),
        ("network", "update", "--dns-add", "9.9.9.9", "hurt"),
    ):
        done = pyman(*args, rc=125)
        assert f"hurt.json is damaged: {at}" in done.stderr and "Traceback" not in done.stderr, done.stderr
    pyman("network", "rm", "-f", "hurt")


def test_what_no_start_could_do_is_told_when_a_file_is_read(pyman: Run, base: Path) -> None:
    pyman("network", "create", "--subnet", "10.97.0.0/24", "hurt")
    path = base / "home/.local/share/pyman/networks/hurt.json"
    good = json.loads(path.read_text())
    version_6 = {"subnet": "fd97::/64", "gateway": "fd97::1"}
    lease = {"start_ip": "10.97.0.9", "end_ip": "10.97.0.5"}
    for change, why in (
        ({"options": {"mtu": "1279"}, "subnets": [version_6]}, "options.mtu: it is no number from 1280"),
        ({"options": {"isolate": "maybe"}}, "options.isolate is 'maybe', not one of true, false, strict"),
        ({"options": {"no_default_route": "yes"}}, "options.no_default_route is 'yes'"),
        ({"options": {"mode": "unmanaged"}}, "options.mode is 'unmanaged'"),
        ({"options": {"vrf": "x"}}, "options.vrf: known are mtu, metric, vlan, isolate"),
        ({"ipam_options": {"driver": "dhcp"}}, "ipam_options.driver: known are"),
        ({"routes": [{"destination": "10.1.0.0/16", "gateway": "10.77.0.9"}]}, "routes[0].gateway: it is in none of"),
        ({"routes": [{"destination": "10.1.0.0/16", "gateway": "fd97::1"}]}, "routes[0].gateway: "),
        ({"subnets": [{"subnet": "10.97.0.0/24", "gateway": "10.97.0.255"}]}, "subnets[0].gateway: it is the subnet's own"),
        ({"subnets": [{"subnet": "10.97.0.0/24", "lease_range": lease}]}, "subnets[0].lease_range: it runs backwards"),
        ({"subnets": [{"subnet": "10.97.0.0/24"}, {"subnet": "10.97.0.0/25"}]}, "subnets[1].subnet: it overlaps"),
    ):
        path.write_text(json.dumps({**good, **change}))
        assert f"hurt.json is damaged: {why}" in pyman("network", "inspect", "hurt", rc=125).stderr
    path.write_text(json.dumps({**good, "options": {"mtu": "0", "isolate": "strict", "vlan": "0"}}))
    pyman("network", "inspect", "hurt")
    pyman("network", "rm", "hurt")


def test_other_files_beside_the_networks(pyman: Run, image: str, base: Path) -> None:
    """Overlapping subnets are told by connect, to a container that does not run as well, and by reload; what is no lease, by its path."""
    place = base / "home/.local/share/pyman/networks"
    pyman("network", "create", "--subnet", "10.97.0.0/24", "one")
    pyman("network", "create", "--subnet", "10.97.1.0/24", "two")
    (place / "leases/one/cursor").mkdir(parents=True)
    pyman("run", "-d", "--name", "up", "--network", "one", image, "sleep", "600")
    pyman("create", "--name", "down", "--network", "one", image, "true")
    (place / "leases/one/10.97.0.3").mkdir()
    assert f"{place}/leases/one/10.97.0.3 is no lease" in pyman("start", "down", rc=125).stderr
    (place / "leases/one/10.97.0.3").rmdir()
    record = json.loads((place / "two.json").read_text())
    (place / "two.json").write_text(json.dumps({**record, "subnets": [{"subnet": "10.97.0.0/25"}]}))
    for name in ("up", "down"):
        said = pyman("network", "connect", "two", name, rc=125).stderr
        assert "its subnet 10.97.0.0/25 overlaps 10.97.0.0/24 of network one" in said
    assert "overlaps 10.97.0.0/25 of network two" in pyman("network", "reload", "up").stderr
    pyman("rm", "-f", "-t", "0", "up", "down")
    (place / "leases/one/cursor").rmdir()
    (place / "two.json").unlink()
    (place / "two.json").mkdir()
    assert "two.json is a directory, no file" in pyman("network", "rm", "two", rc=125).stderr
    (place / "two.json").rmdir()
    pyman("network", "rm", "one")


def test_what_is_no_file_among_the_networks(pyman: Run, base: Path) -> None:
    """A FIFO would be waited for, a directory has no text: both are named, and the other networks are shown."""
    pyman("network", "create", "beside")
    place = base / "home/.local/share/pyman/networks"
    os.mkfifo(place / "fifo.json")
    (place / "folder.json").mkdir()
    done = pyman("network", "ls", "-q", rc=None)
    assert "beside" in done.stdout.split() and "fifo.json: it is no file" in done.stderr and "folder.json: it is no file" in done.stderr
    (place / "fifo.json").unlink()
    (place / "folder.json").rmdir()
    pyman("network", "rm", "beside")
