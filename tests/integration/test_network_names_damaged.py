"""Records of names that were damaged or deleted by hand: named by `network test`, made again by starts, ends and reloads."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.test_bridge import helpers, nothing_left, until  # noqa: F401 (a fixture)
from tests.integration.test_network_mended import failing


def known(pyman: Run, asker: str, name: str) -> bool:
    return "Address: 10.89." in pyman("exec", asker, "nslookup", name, rc=None).stdout


def delete_all(place: Path) -> None:
    for path in place.glob("dns*/*"):
        path.unlink()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "garbage": lambda place: (place / "dns/net").write_text("garbage\n"),
    "binary": lambda place: (place / "dns/net").write_bytes(bytes(range(256))),
    "cut": lambda place: (place / "dns/net").write_text((place / "dns/net").read_text()[:-20]),
    "deleted": delete_all,
    "other": lambda place: (place / "dns/other").write_text("garbage\n"),
    "directory": lambda place: shutil.rmtree(place / "dns"),
    "servers": lambda place: (place / "resolv.conf").write_text("garbage\n"),
    "no servers": lambda place: (place / "resolv.conf").unlink(),
    "internal": lambda place: (place / "resolv-internal.conf").write_text("nameserver 192.0.2.1\n"),
}
COMMANDS = ("run --rm --network net {image} nslookup a1", "run --rm --network third {image} true", "network reload a1")


@pytest.fixture
def three(pyman: Run, image: str) -> None:
    for name in ("net", "other", "third"):
        pyman("network", "create", name)
    for name, net in (("a1", "net"), ("a2", "net"), ("b1", "other"), ("c1", "third"), ("c2", "third")):
        pyman("run", "-d", "--name", name, "--network", net, image, "sleep", "600")


def test_records_of_names_are_made_again(pyman: Run, image: str, base: Path, three: None) -> None:
    place = base / "run/pyman/networks"

    def records() -> dict[str, list[str]]:
        return {path.name: sorted(path.read_text().split("\n")) for path in place.glob("dns/[!a]*")}

    before = records()
    servers = (place / "resolv.conf").read_text()
    for number, (what, damage) in enumerate(DAMAGE.items()):
        words = COMMANDS[number % 3].format(image=image).split()
        damage(place)
        table = pyman("network", "test", "b1" if what == "other" else "a1", rc=1).stdout
        (row,) = [line for line in table.splitlines() if line.startswith("names ")]
        assert " fail " in row and str(place) in row and "reload mends it" in row, (what, row)
        if what == "other":
            words = ["network", "reload", "b1"]
        pyman(*words)
        for asker, name in (("a1", "a2"), ("a2", "a1"), ("b1", "b1"), ("c2", "c1")):
            until(lambda asker=asker, name=name: known(pyman, asker, name), f"{what}: {words}: {asker} asks for {name}")  # type: ignore[misc]
        until(lambda: records() == before, f"{what}: {words}")  # without the container that has just ended
        assert (place / "resolv.conf").read_text() == servers, (what, words)
        assert not (place / "resolv-internal.conf").read_text(), what
        assert "names" not in failing(pyman, "a1"), what


def test_no_name_server_goes_while_containers_use_it(pyman: Run, image: str, base: Path, three: None) -> None:
    """The end of a container, which takes its own names out, finds all records gone."""
    delete_all(base / "run/pyman/networks")
    pyman("kill", "c1")
    pyman("rm", "c1")
    for asker, name in (("a1", "a2"), ("b1", "b1"), ("c2", "c2")):
        until(lambda asker=asker, name=name: known(pyman, asker, name), f"{asker} asks for {name}")  # type: ignore[misc]
    until(lambda: not known(pyman, "c2", "c1"))
    until(lambda: len(helpers(base, "aardvark-dns")) == 1)
