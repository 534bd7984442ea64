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
