"""kill -9 of `network connect` and `disconnect`: the next command on the container's networks takes back what is half done."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until
from tests.integration.test_bridge import leases, named, nothing_left  # noqa: F401 (a fixture)
from tests.integration.test_network_mended import failing
from tests.integration.test_network_sharers import devices
from tests.integration.test_stages import kill_at


@pytest.fixture
def two(pyman: Run, image: str) -> None:
    for net in ("first", "second"):
        pyman("network", "create", net)
    pyman("run", "-d", "--name", "a", "--network", "first", image, "sleep", "600")


def kill(base: Path, stage: str, *args: str) -> None:
    """The command with all its children, at that moment."""
    kill_at(base, f"{stage}!", "network", *args)


def whole(pyman: Run, base: Path, networks: list[str]) -> None:
    """The container is on these networks, and on no others in any way."""
    assert sorted(json.loads(pyman("inspect", "a").stdout)[0]["NetworkSettings"]["Networks"]) == networks
    until(lambda: len(devices(pyman, "a")) == 1 + len(networks), f"devices for {networks}")
    until(lambda: sorted({lease.split("/")[0] for lease in leases(base)}) == networks, f"leases for {networks}")
    until(lambda: named(base) == networks, f"names for {networks}")
    assert failing(pyman, "a") == {}
    assert pyman("exec", "a", "cat", "/etc/hosts").stdout.count(" a\n") == len(networks)


def test_connect_killed_at_a_stage(pyman: Run, image: str, base: Path, two: None) -> None:
    for stage in ("bridge:attached", "bridge:named"):
        kill(base, stage, "connect", "second", "a")
        assert "takes it back" in failing(pyman, "a")["link"], stage
        pyman("network", "reload", "a")
        whole(pyman, base, ["first"])
        kill(base, stage, "connect", "second", "a")
        pyman("network", "disconnect", "second", "a")
        whole(pyman, base, ["first"])
        kill(base, stage, "connect", "second", "a")
        pyman("network", "connect", "second", "a")
        whole(pyman, base, ["first", "second"])
        pyman("network", "disconnect", "second", "a")
        whole(pyman, base, ["first"])


def test_connect_and_disconnect_killed_at_any_time(pyman: Run, image: str, base: Path, two: None) -> None:
    for number in range(8):
        for verb in ("connect", "disconnect"):
            with subprocess.Popen([*command(), "network", verb, "second", "a"], env=environment(base), cwd=base) as running:
                time.sleep(0.03 + 0.01 * number)
                running.kill()
            pyman("network", "reload", "a")
            there = "second" in json.loads(pyman("inspect", "a").stdout)[0]["NetworkSettings"]["Networks"]
            whole(pyman, base, ["first", "second"] if there else ["first"])
            if there != (verb == "connect"):
                pyman("network", verb, "second", "a")
            whole(pyman, base, ["first", "second"] if verb == "connect" else ["first"])
