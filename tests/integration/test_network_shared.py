"""Containers that live in another's network: when that one ends, its addresses are given to others, and nobody keeps them."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.conftest import Run, until
from tests.integration.test_bridge import nothing_left  # noqa: F401 (a fixture)


def address(pyman: Run, name: str) -> str:
    """The container's IPv4 address on eth0; empty without one."""
    return pyman("exec", name, "sh", "-c", "ip -o -4 addr show eth0 2>/dev/null | sed 's/.*inet //; s,/.*,,'").stdout.strip()


@pytest.mark.parametrize("end", ["restart", "kill", "lost"])
def test_who_shared_a_network_does_not_keep_its_addresses(pyman: Run, image: str, end: str) -> None:
    pyman("network", "create", "shared")
    pyman("run", "-d", "--name", "owner", "--network", "shared", image, "sleep", "600")
    state = json.loads(pyman("inspect", "owner").stdout)[0]["State"]
    modes = {"one": "container:owner", "two": "container:one", "three": f"ns:/proc/{state['Pid']}/ns/net"}
    for name, mode in modes.items():
        pyman("run", "-d", "--name", name, "--network", mode, image, "sleep", "600")
    had = address(pyman, "owner")
    assert had and {address(pyman, name) for name in modes} == {had}
    if end == "restart":
        pyman("restart", "-t", "0", "owner")
    elif end == "kill":
        pyman("kill", "owner")
        pyman("wait", "owner")
    else:
        for pid in (state["ConmonPid"], state["Pid"]):
            os.kill(pid, signal.SIGKILL)
        until(lambda: not os.path.exists(f"/proc/{state['Pid']}/ns/net"))
    # The first command after it may be the one that wants the address.
    pyman("run", "-d", "--name", "next", "--network", f"shared:ip={had}", image, "sleep", "600")
    assert address(pyman, "next") == had
    assert [address(pyman, name) for name in modes] == ["", "", ""]
    if end == "restart":
        assert address(pyman, "owner") not in ("", had)
    # Those who join it anew share what it has now.
    pyman("start", "owner")
    pyman("restart", "-t", "0", "one")
    assert address(pyman, "one") == address(pyman, "owner") not in ("", had)


def test_what_is_told_of_a_shared_network(pyman: Run, image: str) -> None:
    """As with Podman, that of its owner, whichever way it is shared."""
    pyman("network", "create", "shared")
    owners = {
        "none": ("--network", "none"),
        "host": ("--network", "host"),
        "bridged": ("--network", "shared"),
        "pub": ("-p", "127.0.0.1::80"),
    }
    for name, option in owners.items():
        pyman("run", "-d", "--name", name, *option, image, "sleep", "600")
        pyman("run", "-d", "--name", f"{name}1", "--network", f"container:{name}", image, "sleep", "600")
        pyman("create", "--name", f"{name}2", "--network", f"container:{name}1", image, "sleep", "600")
        shown = [json.loads(pyman("inspect", other).stdout)[0] for other in (name, f"{name}1", f"{name}2")]
        assert shown[0]["NetworkSettings"] == shown[1]["NetworkSettings"] == shown[2]["NetworkSettings"]
        assert shown[1]["HostConfig"]["PortBindings"] == {} and bool(shown[0]["HostConfig"]["PortBindings"]) == (name == "pub")
        assert bool(shown[0]["NetworkSettings"]["SandboxKey"]) == (name != "host")
        network = {"bridged": "shared", "pub": ""}.get(name, name)
        template = "{{range $k, $v := .NetworkSettings.Networks}}{{$k}}{{end}}"
        assert pyman("inspect", "--format", template, f"{name}1").stdout.strip() == network
    shown = pyman("ps", "-a", "--format", "{{.Names}} {{.Ports}}", "--filter", "name=pub").stdout.splitlines()
    assert len({line.split(" ", 1)[1] for line in shown}) == 1 and "->80/tcp" in shown[0]
    assert pyman("port", "pub1").stdout == pyman("port", "pub").stdout != ""
    pyman("create", "--name", "before", "--network", "shared", image, "true")
    pyman("create", "--name", "before1", "--network", "container:before", image, "true")
    identifier = pyman("network", "inspect", "--format", "{{.Id}}", "shared").stdout
    for name in ("before", "before1"):
        assert pyman("inspect", "--format", "{{.NetworkSettings.Networks.shared.NetworkID}}", name).stdout == identifier
    names = [f"{name}{number}" for number in (2, 1, "") for name in owners]
    pyman("rm", "-f", "-t", "0", "before1", "before", *names)
    pyman("network", "rm", "shared")


def test_a_filter_by_network(pyman: Run, image: str) -> None:
    """As with Podman: networks by name or id, and container:NAME for who lives in that one's; no mode is a network."""
    pyman("network", "create", "shared")
    owner = ""
    for name, mode in (
        ("alone", "none"),
        ("open", "host"),
        ("usual", "pasta"),
        ("bridged", "shared"),
        ("guest", "container:alone"),
        ("second", ""),
    ):
        owner = owner or pyman("ps", "-aq", "--no-trunc", "--filter", "name=alone").stdout.strip()
        pyman("create", "--name", name, "--network", mode or f"container:{owner[:20]}", image, "true")
    identifier = pyman("network", "inspect", "--format", "{{.Id}}", "shared").stdout.strip()
    none = ("none", "host", "pasta", "container", "container:", "bridge", "alone", "container:nope", "share", "bad")
    some = [(value, ["bridged"]) for value in ("shared", identifier, identifier[:12])]
    some += [(value, ["guest", "second"]) for value in ("container:alone", f"container:{owner}", f"container:{owner[:12]}")]
    for value, names in [*some, *((value, []) for value in none)]:
        found = pyman("ps", "-a", "--filter", f"network={value}", "--format", "{{.Names}}").stdout.split()
        assert sorted(found) == names, value
    pyman("rm", "--depend", "alone", "open", "usual", "bridged")
    pyman("network", "rm", "shared")
