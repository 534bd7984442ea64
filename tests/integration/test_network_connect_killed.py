"""kill -9 of `network connect` and `disconnect`: the next command on the container's networks takes back what is half done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Run, until
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


def test_a_lease_that_is_gone_is_taken_again(pyman: Run, image: str, base: Path, two: None) -> None:
    """A disconnect was killed before it had saved that it gave the lease back."""
    lease = leases(base)[0]
    (base / "home/.local/share/pyman/networks/leases" / lease).unlink()
    pyman("network", "reload", "a")
    assert leases(base) == [lease]
    whole(pyman, base, ["first"])
