"""Whom a container asks for names: what of the host's resolv.conf can be reached from another network namespace."""

from __future__ import annotations

import pytest

from pyman.network import hosts

OWN = ["169.254.1.1"]  # a forwarder


@pytest.mark.parametrize(
    ("theirs", "usual"),
    [
        (["192.0.2.53"], OWN),
        (["127.0.0.53"], OWN),
        (["192.0.2.53", "192.0.2.54", "2001:db8::53"], [*OWN, "192.0.2.54", "2001:db8::53"]),
        (["2001:db8::53", "127.0.0.1", "192.0.2.53"], [*OWN, "2001:db8::53", "192.0.2.53"]),
        (["2001:db8::53"], ["2001:db8::53"]),  # the forwarder has nobody to ask
        (["::1"], OWN),
        ([], OWN),
    ],
)
def test_the_forwarder_and_whoever_else_can_be_reached(monkeypatch: pytest.MonkeyPatch, theirs: list[str], usual: list[str]) -> None:
    monkeypatch.setattr(hosts, "host_servers", lambda: theirs)
    assert hosts.usual_servers(OWN) == usual
    assert hosts.usual_servers([]) == [server for server in theirs if not server.startswith(("127.", "::1"))]


def test_the_server_that_the_forwarder_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its answers come from the forwarder's address."""
    monkeypatch.setattr(hosts, "host_servers", lambda: ["2001:db8::53", "192.0.2.53", "192.0.2.54"])
    assert hosts.reached_by(OWN, ["192.0.2.54", "192.0.2.53"]) == ["192.0.2.54", *OWN]
    assert hosts.reached_by([], ["192.0.2.53"]) == ["192.0.2.53"]
