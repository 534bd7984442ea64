"""Networks as objects: create, ls, inspect, update, rm, prune; overlaps, damaged files, hostile names, kills."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyman import stages
from tests.conftest import Run
from tests.integration.test_stages import kill_at


@pytest.fixture(autouse=True)
def none_left(pyman: Run) -> Iterator[None]:
    yield
    pyman("network", "prune", "-f")
    assert pyman("network", "ls", "-q").stdout == "podman\n"


def inspect(pyman: Run, name: str) -> Any:
    return json.loads(pyman("network", "inspect", name).stdout)[0]


def test_the_default_network(pyman: Run) -> None:
    record = inspect(pyman, "podman")
    assert record["id"].startswith("2f259bab93aa") and record["subnets"] == [{"subnet": "10.88.0.0/16", "gateway": "10.88.0.1"}]
    assert pyman("network", "ls").stdout.splitlines() == ["NETWORK ID    NAME        DRIVER", "2f259bab93aa  podman      bridge"]
    assert "default network" in pyman("network", "rm", "podman", rc=125).stderr


def test_the_default_network_is_configured(pyman: Run, base: Path) -> None:
    conf = base / "net.toml"
    conf.write_text('[network]\ndefault_network = "home"\ndefault_subnet = "10.66.0.0/24"\ndefault_subnet_pools = ["10.67.0.0/16:25"]\n')
    env = {"PYMAN_CONF": str(conf)}
    assert pyman("network", "ls", "--format", "{{.Name}} {{range .Subnets}}{{.Subnet}}{{end}}", env=env).stdout == "home 10.66.0.0/24\n"
    assert pyman("network", "create", env=env).stdout == "podman1\n"
    assert (
        pyman("network", "inspect", "-f", "{{range .Subnets}}{{.Subnet}} {{.Gateway}}{{end}}", "podman1").stdout
        == "10.67.0.0/25 10.67.0.1\n"
    )
    pyman("network", "rm", "podman1")


def test_fields_and_filters(pyman: Run) -> None:
    args = ("--subnet", "10.7.0.0/24", "--gateway", "10.7.0.9", "--ip-range", "10.7.0.128/25", "--route", "10.1.0.0/16,10.7.0.3,7")
    made = pyman("network", "create", *args, "--ipv6", "--label", "a=b", "-o", "isolate=1", "--dns", "9.9.9.9", "web").stdout
    assert made == "web\n"
    record = inspect(pyman, "web")
    assert record["subnets"][0] == {
        "subnet": "10.7.0.0/24",
        "gateway": "10.7.0.9",
        "lease_range": {"start_ip": "10.7.0.128", "end_ip": "10.7.0.254"},
    }
    assert record["subnets"][1]["subnet"].startswith("fd") and record["ipv6_enabled"] and record["dns_enabled"]
    assert record["routes"] == [{"destination": "10.1.0.0/16", "gateway": "10.7.0.3", "metric": 7}]
    assert (record["labels"], record["options"], record["network_dns_servers"]) == ({"a": "b"}, {"isolate": "true"}, ["9.9.9.9"])
    pyman("network", "create", "--internal", "--disable-dns", "inner")
    assert "gateway" not in inspect(pyman, "inner")["subnets"][0]

    def names(*filters: str) -> list[str]:
        return pyman("network", "ls", "-q", *(word for item in filters for word in ("--filter", item))).stdout.split()

    assert names("label=a") == names("label=a=b") == names("name=^we") == names("id=" + record["id"][:5]) == ["web"]
    assert names("id=." + record["id"][9:30]) == ["web"] and names("id=" + record["id"][9:30]) == []
    assert names("label!=a") == names("name=inner", "name=podman") == ["inner", "podman"]
    assert names("driver=bridge") == names("until=2100-01-01T00:00:00") == ["inner", "podman", "web"]
    assert names("dangling=true") == ["inner", "web"] and names("dangling=false") == ["podman"] and names("until=1h") == []
    assert "there is no filter 'size' of networks" in pyman("network", "ls", "--filter", "size=1", rc=125).stderr
    assert pyman("network", "update", "--dns-drop", "9.9.9.9", "--dns-add", "1.1.1.1,8.8.8.8", "web").stdout == "web\n"
    assert inspect(pyman, record["id"][:12])["network_dns_servers"] == ["1.1.1.1", "8.8.8.8"]
    pyman("network", "exists", "web")
    pyman("network", "exists", "nosuch", rc=1)
    assert pyman("network", "rm", "web", "nosuch", rc=1).stdout == "web\n"
    assert not pyman("network", "rm", "-f", "nosuch").stdout
    # Without an answer nothing is removed.
    assert "stdin has ended" in pyman("network", "prune", rc=125).stderr
    assert "[y/N]" in pyman("network", "prune", input="n\n").stdout and names("name=inner") == ["inner"]
    log = pyman("events", "--stream=false", "--filter", "type=network", rc=None)
    assert log.returncode or "network create" in log.stdout


def test_templates_print_json_as_the_file_has_it(pyman: Run) -> None:
    pyman("network", "create", "--subnet", "10.7.0.0/24", "--ip-range", "10.7.0.128/25", "--route", "10.1.0.0/16,10.7.0.3", "web")
    record = inspect(pyman, "web")

    def shown(template: str) -> str:
        return pyman("network", "inspect", "web", "-f", template).stdout.rstrip("\n")

    assert json.loads(shown("{{json .}}")) == record
    assert json.loads(shown("{{json .Network}}")) == {key: value for key, value in record.items() if key != "containers"}
    assert json.loads(shown("{{json .Subnets}}")) == record["subnets"] and json.loads(shown("{{json .Routes}}")) == record["routes"]
    assert json.loads(shown("{{range .Subnets}}{{json .LeaseRange}}{{end}}")) == record["subnets"][0]["lease_range"]
    assert shown("{{json .Labels}} {{json .NetworkDNSServers}} {{json .Containers}}") == "null null {}"
    assert shown("{{range .Subnets}}{{.LeaseRange.StartIP}}{{end}}") == "10.7.0.128"
    day, clock = record["created"].split("T")
    assert shown("{{.Created}}") == f"{day} {clock[:-1]} +0000 UTC" and shown('{{.Created.Format "2006"}}') == day[:4]
    assert pyman("network", "ls", "--filter", "name=web", "--format", "{{.Created}}").stdout == shown("{{.Created}}") + "\n"


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (("--subnet", "10.88.4.0/24"), "overlaps 10.88.0.0/16"),
        (("--subnet", "10.9.0.0/24", "--subnet", "10.9.0.128/25"), "overlaps"),
        (("--subnet", "10.9.0.0/31"), "no room"),
        (("--subnet", "10.9.0.0/33"), "invalid subnet"),
        (("--subnet", "10.9.0.0/24", "--gateway", "10.8.0.1"), "not inside"),
        (("--gateway", "10.8.0.1"), "belongs to a --subnet"),
        (("--subnet", "10.9.0.0/24", "--ip-range", "10.9.0.9-10.9.0.4"), "backwards"),
        (("--subnet", "10.9.0.0/24", "--route", "10.9.0.0/8,10.9.0.1"), "not a subnet"),
        (("-d", "macvlan"), "unprivileged users have no rights"),
        (("-d", "ipvlan"), "unprivileged users have no rights"),
        (("-d", "weave"), "no such driver"),
        (("-o", "mtu=big"), "is a number"),
        (("-o", "colour=red"), "known are"),
        (("-o", "vrf=blue"), "no VRF"),
        (("--ipam-driver", "dhcp"), "no DHCP server"),
        (("--interface-name", "a/b"), "invalid interface name"),
        (("--interface-name", "averyveryverylongname"), "1 to 15"),
        (("--disable-dns", "--dns", "9.9.9.9"), "switched off"),
        (("--label", "=x"), "invalid label"),
        (("a b",), "names must match"),
        (("x\x1b[31m",), "names must match"),
        (("../x",), "names must match"),
        (("pasta",), "network mode"),
    ],
)
def test_refusals_have_a_reason(pyman: Run, args: tuple[str, ...], why: str) -> None:
    done = pyman("network", "create", *args, rc=125)
    assert why in done.stderr and "\x1b" not in done.stderr


def test_the_hosts_own_subnets_are_left_alone(pyman: Run, image: str, base: Path) -> None:
    with open("/proc/net/route") as file:
        rows = [line.split() for line in file.read().splitlines()[1:]]
    used = next((row for row in rows if row[1] != "00000000" and row[7] != "00000000"), None)
    if used is None:  # a machine without a network has no subnet that could be taken
        assert all(row[1] == "00000000" for row in rows)
        return
    address = ".".join(str(int(used[1][at : at + 2], 16)) for at in (6, 4, 2, 0))
    prefix = bin(int(used[7], 16)).count("1")
    done = pyman("network", "create", "--subnet", f"{address}/{min(prefix, 30)}", rc=125)
    assert "which the host or another network uses" in done.stderr
    # A file written by hand: told of when its bridge is made.
    pyman("network", "create", "written")
    path = base / "home/.local/share/pyman/networks/written.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "subnets": [{"subnet": f"{address}/{min(prefix, 30)}"}]}))
    done = pyman("run", "--rm", "--network", "written", image, "true")
    pyman("network", "rm", "written")
    assert f"the subnet {address}/{min(prefix, 30)} of network written overlaps" in done.stderr and "which the host uses" in done.stderr
    # So is the default network's, where somebody has chosen it.
    conf = base / "subnet.toml"
    conf.write_text(f'[network]\ndefault_subnet = "{address}/{min(prefix, 30)}"\n')
    done = pyman("run", "--rm", "--network", "bridge", image, "true", env={"PYMAN_CONF": str(conf)})
    assert f"the subnet {address}/{min(prefix, 30)} of network podman overlaps" in done.stderr and "which the host uses" in done.stderr
    assert not pyman("run", "--rm", "--network", "bridge", image, "true").stderr


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"name": "hurt"}', '{"name":"hurt","id":"x","driver":"bridge","network_interface":"../../x"}', "\0" * 64],
)
def test_a_damaged_file_breaks_its_own_network_only(pyman: Run, base: Path, content: str) -> None:
    pyman("network", "create", "good")
    path = base / "home/.local/share/pyman/networks/hurt.json"
    path.write_text(content)
    done = pyman("network", "ls", "-q", rc=125)
    assert done.stdout == "good\npodman\n" and "hurt" in done.stderr and "Traceback" not in done.stderr
    assert "hurt" in pyman("network", "inspect", "hurt", rc=125).stderr
    assert pyman("network", "create", "more").stdout == "more\n"
    assert pyman("network", "rm", "hurt").stdout == "hurt\n"
    assert not path.exists()


def test_files_that_claim_the_same(pyman: Run, image: str, base: Path) -> None:
    """Two networks written by hand with one bridge, or one subnet: the second is told of by name, and not used."""
    pyman("network", "create", "first")
    record = inspect(pyman, "first")
    record.pop("containers")
    place = base / "home/.local/share/pyman/networks"
    other = {**record, "name": "second", "id": "5" * 64}
    pyman("run", "-d", "--name", "a", "--network", "first", image, "sleep", "600")
    for change, why in (({}, "the same bridge"), ({"network_interface": "podman77"}, "overlaps")):
        (place / "second.json").write_text(json.dumps({**other, **change}))
        said = pyman("run", "--rm", "--network", "second", image, "true", rc=None).stderr
        assert "cannot use network second" in said and why in said and "network first" in said, said
        listed = pyman("network", "ls", "-q", rc=125)
        assert listed.stdout == "first\npodman\nsecond\n" and "cannot use network second" in listed.stderr
        assert "cannot use network second" in pyman("doctor", rc=None).stdout
        pyman("run", "--rm", "--network", "first", image, "true")  # whose bridge is there
    pyman("network", "rm", "second")
    pyman("network", "ls")
    pyman("rm", "-f", "-t", "0", "a")


@pytest.mark.parametrize("stage", stages.NETWORK)
def test_killed_at_any_moment(pyman: Run, base: Path, stage: str) -> None:
    args = ("create", "cut") if stage in ("network:planned", "network:created") else ("rm", "cut")
    if args[0] == "rm":
        pyman("network", "create", "cut")
    assert kill_at(base, stage, "network", *args) != 0, f"{stage} was not reached"
    pyman("network", "create", "--ignore", "cut")
    assert inspect(pyman, "cut")["name"] == "cut"
    pyman("network", "rm", "cut")
