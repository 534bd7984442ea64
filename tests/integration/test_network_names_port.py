"""dns_bind_port: containers ask port 53, as resolv.conf has it, wherever the name servers listen."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Run
from tests.integration.test_bridge import helpers, nothing_left, until  # noqa: F401 (a fixture)
from tests.integration.test_network_mended import failing


def test_names_are_found_at_another_port(pyman: Run, image: str, base: Path) -> None:
    conf = base / "port.toml"
    conf.write_text("[network]\ndns_bind_port = 5399\n")
    env = {"PYMAN_CONF": str(conf)}
    pyman("network", "create", "--ipv6", "--subnet", "10.94.1.0/24", "--subnet", "10.94.2.0/24", "--subnet", "fd94::/64", "two")
    pyman("network", "create", "--internal", "in")
    pyman("run", "-d", "--name", "a", "--network", "two", "--network", "in", image, "sleep", "600", env=env)
    for network in ("two", "in"):
        pyman("run", "-d", "--name", f"of-{network}", "--network", network, image, "sleep", "600", env=env)
        assert "Address: " in pyman("exec", f"of-{network}", "nslookup", "a", env=env).stdout
    servers = pyman("exec", "of-two", "sh", "-c", "sed -n 's/^nameserver //p' /etc/resolv.conf").stdout.split()
    assert servers == ["10.94.1.1", "10.94.2.1", "fd94::1"]
    for server in servers:
        assert "Address: 10.94." in pyman("exec", "of-two", "nslookup", "a", server).stdout, server
    # The key counts for the next keeper: commands without it, or with another one, find the names where they are.
    conf.write_text("[network]\ndns_bind_port = 5401\n")
    for given in ({}, env):
        done = pyman("run", "--rm", "--network", "two", image, "nslookup", "a", env=given)
        assert "Address: 10.94." in done.stdout and "does not answer" not in done.stderr
        assert "does not answer" not in pyman("network", "reload", "a", env=given).stderr
        assert failing(pyman, "a") == {}
    # A table that was deleted comes back with the way to the names.
    pyman("unshare", "--rootless-netns", "nft", "delete", "table", "inet", "pyman")
    assert "rules" in failing(pyman, "a")
    pyman("network", "reload", "a")
    assert failing(pyman, "a") == {} and "Address: " in pyman("exec", "of-in", "nslookup", "a").stdout
    pyman("rm", "-f", "-t", "0", "a", "of-two", "of-in")
    until(lambda: not helpers(base, "aardvark-dns"))
    assert "Address: " in pyman("run", "--rm", "--name", "b", "--network", "two", image, "nslookup", "b", env=env).stdout
