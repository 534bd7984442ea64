"""What a network is made with, as a container on it sees it: vlan, mtu, metric, routes, ranges, both versions of IP, names of devices."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.test_bridge import SERVER, attached, nothing_left, processes, until  # noqa: F401 (a fixture)


def keeper_of(base: Path) -> int:
    """The keeper's PID: for a moment its children bear its name, too."""
    return int(until(lambda: found[0] if len(found := processes(base, "pyman-network keep")) == 1 else 0))


def test_what_containers_see(pyman: Run, image: str) -> None:
    def sh(script: str, *nets: str) -> str:
        return pyman("run", "--rm", *(word for net in nets for word in ("--network", net)), image, "sh", "-c", script).stdout

    options = ("-o", "metric=77", "-o", "mtu=1280", "-o", "no_default_route=1")
    pyman(
        "network", "create", *options, "--subnet", "10.99.1.0/24", "--route", "10.9.0.0/16,10.99.1.9,55", "--gateway", "10.99.1.200", "one"
    )
    assert sh("ip r; cat /sys/class/net/eth0/mtu", "one").split("\n")[:3] == [
        "10.9.0.0/16 via 10.99.1.9 dev eth0  metric 55 ",
        "10.99.1.0/24 dev eth0 scope link  src 10.99.1.1 ",
        "1280",
    ]
    pyman("network", "create", "-o", "metric=77", "--subnet", "10.99.2.0/24", "two")
    text = sh("ip r", "two", "one")
    assert "default via 10.99.2.1 dev eth0  metric 77" in text and "default via 10.99.1" not in text and "via 10.99.1.9 dev eth1" in text
    pyman("network", "create", "--ipv6", "--internal", "--disable-dns", "closed")
    text = sh("ip r; ip -6 r; ip a", "closed")
    assert "default" not in text and "inet 10.89." in text and "inet6 fd" in text
    pyman("network", "create", "--subnet", "fd99:1::/64", "six")
    text = sh("ip -6 r; ip a show eth0", "six")
    assert "default via fd99:1::1" in text and "inet 1" not in text
    pyman("network", "create", "--ipv6", "--subnet", "fd99:2::/64", "dual")
    assert json.loads(pyman("network", "inspect", "dual").stdout)[0]["subnets"][0]["subnet"] == "fd99:2::/64"
    assert "inet 10.89." in sh("ip a", "dual")
    pyman("network", "create", "--ipam-driver", "none", "bare")
    assert "inet " not in sh("ip a show eth0", "bare") and "default" not in sh("ip r", "bare")


def test_ranges_and_their_end(pyman: Run, image: str) -> None:
    pyman("network", "create", "--subnet", "10.99.3.0/24", "--ip-range", "10.99.3.100-10.99.3.101", "few")
    for name in ("a", "b"):
        pyman("run", "-d", "--name", name, "--network", "few", image, "sleep", "600")
    assert [attached(pyman, name)["few"]["IPAddress"] for name in ("a", "b")] == ["10.99.3.100", "10.99.3.101"]
    assert "10.99.3.100 to 10.99.3.101 are taken" in pyman("run", "--rm", "--network", "few", image, "true", rc=126).stderr
    # Asked for, an address outside the range is given.
    assert pyman("run", "--rm", "--network", "few:ip=10.99.3.5", image, "hostname", "-i").stdout == "10.99.3.5\n"


def test_devices_and_ignore(pyman: Run, image: str, base: Path) -> None:
    pyman("network", "create", "--interface-name", "mybridge", "named")
    assert "another network has it" in pyman("network", "create", "--interface-name", "mybridge", "other", rc=125).stderr
    assert "one VLAN" in pyman("network", "create", "--interface-name", "mybridge", "-o", "vlan=3", "other", rc=125).stderr
    assert "exists" in pyman("network", "create", "named", rc=125).stderr
    before = pyman("network", "inspect", "named").stdout
    assert pyman("network", "create", "--ignore", "--internal", "named").stdout == "named\n"
    assert pyman("network", "inspect", "named").stdout == before
    pyman("network", "create", "-o", "com.docker.network.bridge.name=dock0", "-o", "com.docker.network.driver.mtu=1400", "docker")
    record = json.loads(pyman("network", "inspect", "docker").stdout)[0]
    assert (record["network_interface"], record["options"]) == ("dock0", {"mtu": "1400"})
    pyman("run", "-d", "--name", "c", "--network", "named:host_interface_name=outer9", "--network", "docker", image, "sleep", "600")
    keeper = keeper_of(base)
    enter = ["nsenter", f"--user=/proc/{keeper}/ns/user", f"--net=/proc/{keeper}/fd/9", "--preserve-credentials"]
    links = subprocess.run([*enter, "ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert all(name in links for name in ("mybridge:", "dock0:", "outer9@")), links


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("isolate=bogus", "true or false, or strict"),
        ("mtu=abc", "a number from 68 to 65535"),
        ("mtu=67", "a number from 68 to 65535"),
        ("mtu=65536", "a number from 68 to 65535"),
        ("mtu=٩٠٠", "a number from 68 to 65535"),
        ("metric=-1", "a number"),
        ("vlan=4095", "up to 4094"),
        ("mode=unmanaged", "made by pyman"),
        ("parent=eth0", "macvlan"),
        ("novalue", "KEY=VALUE"),
        ("=x", "known are"),
        ("com.docker.network.bridge.enable_icc=false", "reach each other"),
        ("com.docker.network.bridge.enable_ip_masquerade=false", "no other way out"),
        ("com.docker.network.bridge.host_binding_ipv4=1.2.3.4", "default_host_ips"),
    ],
)
def test_options_that_make_no_sense(pyman: Run, option: str, why: str) -> None:
    assert why in pyman("network", "create", "-o", option, rc=125).stderr
    assert pyman("network", "create", "-o", "com.docker.network.bridge.enable_icc=true", "fine").stdout == "fine\n"


@pytest.mark.parametrize(
    ("subnet", "why"),
    [
        ("127.5.0.0/16", "is loopback"),
        ("::1/64", "has loopback"),
        ("::ffff:10.0.0.0/104", "stands for IPv4"),
        ("224.1.0.0/24", "is multicast"),
        ("ff05::/64", "is multicast"),
        ("169.254.2.0/24", "is link-local"),
        ("fe80::/64", "is link-local"),
        ("0.0.0.0/24", "not known yet"),
        ("0.0.0.0/0", "overlaps 0.0.0.0/8"),
        ("240.0.0.0/4", "it is reserved"),
        ("255.255.255.0/24", "is reserved"),
        ("10.3.0.0/٢٤", "the form is"),
    ],
)
def test_subnets_that_no_network_can_have(pyman: Run, subnet: str, why: str) -> None:
    done = pyman("network", "create", "--subnet", subnet, "never", rc=125)
    assert why in done.stderr, done.stderr
    assert pyman("network", "exists", "never", rc=None).returncode == 1


def test_mtu_of_ipv6_and_what_files_say(pyman: Run, image: str, base: Path) -> None:
    for args in (("--ipv6",), ("--subnet", "fd99:7::/64")):
        assert "from 1280 to 65535" in pyman("network", "create", "-o", "mtu=1279", *args, "never", rc=125).stderr
    pyman("network", "create", "-o", "mtu=1280", "--ipv6", "least")
    path = base / "home/.local/share/pyman/networks/least.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "subnets": [{"subnet": "169.254.1.0/24", "gateway": "169.254.1.9"}]}))
    done = pyman("run", "--rm", "--network", "least", image, "true", rc=125)
    pyman("network", "rm", "least")
    assert "least.json is damaged" in done.stderr and "is link-local" in done.stderr
    conf = base / "never.toml"
    for line, args in (
        ('default_subnet = "127.0.0.0/16"', ("run", "--rm", "--network", "podman", image, "true")),
        ('default_subnet_pools = ["224.0.0.0/16:24"]', ("network", "create", "never")),
    ):
        conf.write_text(f"[network]\n{line}\n")
        done = pyman(*args, rc=125, env={"PYMAN_CONF": str(conf)})
        assert "cannot use subnet" in done.stderr, done.stderr
        assert "loopback" in done.stderr or "multicast" in done.stderr, done.stderr


def test_vlan(pyman: Run, image: str, base: Path) -> None:
    """The bridge tags; where the kernel cannot, the start says so and leaves nothing."""
    pyman("network", "create", "-o", "vlan=7", "tagged")
    done = pyman("run", "-d", "--name", "srv", "--network", "tagged", image, *SERVER, "tagged", rc=None)
    if done.returncode:
        assert "cannot filter VLANs" in done.stderr and "without -o vlan" in done.stderr and done.returncode == 126
        until(lambda: not processes(base))
        return
    keeper = keeper_of(base)
    enter = ["nsenter", f"--user=/proc/{keeper}/ns/user", f"--net=/proc/{keeper}/fd/9", "--preserve-credentials"]
    seen = subprocess.run([*enter, "ip", "-d", "link", "show", "type", "bridge"], capture_output=True, text=True, check=True).stdout
    assert "vlan_filtering 1" in seen and "vlan_default_pvid 7" in seen
    fetched = ("run", "--rm", "--network", "tagged", image, "wget", "-qO-", "http://srv/")
    assert until(lambda: pyman(*fetched, rc=None).stdout) == "tagged\n"


def test_update_of_name_servers(pyman: Run) -> None:
    pyman("network", "create", "net")
    pyman("network", "update", "--dns-add", "192.0.2.9", "--dns-add", "192.0.2.10,2001:db8::1", "net")

    def servers() -> list[str]:
        return list(json.loads(pyman("network", "inspect", "net").stdout)[0].get("network_dns_servers") or [])

    assert servers() == ["192.0.2.9", "192.0.2.10", "2001:db8::1"]
    pyman("network", "update", "--dns-drop", "192.0.2.9,192.0.2.10", "--dns-add", "192.0.2.11", "net")
    assert servers() == ["2001:db8::1", "192.0.2.11"]
    assert "not an IP" in pyman("network", "update", "--dns-add", "x", "net", rc=125).stderr
    pyman("network", "create", "--disable-dns", "silent")
    assert "switched off" in pyman("network", "update", "--dns-add", "192.0.2.9", "silent", rc=125).stderr
    assert "no network" in pyman("network", "update", "--dns-add", "192.0.2.9", "nosuch", rc=125).stderr
