"""-p in every form, -P, and what is said of ports that cannot be had."""

from __future__ import annotations

import json
import os
import socket
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.test_bridge import SERVER, fetch, nothing_left, until  # noqa: F401 (a fixture)
from tests.integration.test_registry import free_port


def bindings(pyman: Run, name: str) -> dict[str, list[str]]:
    """CONTAINER-PORT/PROTOCOL -> ADDRESS|PORT."""
    found = json.loads(pyman("inspect", name).stdout)[0]["HostConfig"]["PortBindings"]
    return {key: [f"{entry['HostIp']}|{entry['HostPort']}" for entry in value] for key, value in found.items()}


@pytest.mark.parametrize(
    ("specs", "wanted"),
    [
        (["28080:80"], {"80/tcp": ["0.0.0.0|28080"]}),
        (["28080:80", "28080:80", "28080:80/udp"], {"80/tcp": ["0.0.0.0|28080"], "80/udp": ["0.0.0.0|28080"]}),
        (["28080:80/TCP"], {"80/tcp": ["0.0.0.0|28080"]}),
        (["127.0.0.1:28080:80"], {"80/tcp": ["127.0.0.1|28080"]}),
        (["[::1]:28080:80/udp"], {"80/udp": ["::1|28080"]}),
        (["28080-28082:80-82"], {"80/tcp": ["0.0.0.0|28080"], "81/tcp": ["0.0.0.0|28081"], "82/tcp": ["0.0.0.0|28082"]}),
        (["127.0.0.1:28080:80", "127.0.0.2:28080:80"], {"80/tcp": ["127.0.0.1|28080", "127.0.0.2|28080"]}),
    ],
)
def test_the_grammar(pyman: Run, image: str, specs: list[str], wanted: dict[str, list[str]]) -> None:
    pyman("create", "--name", "c", *(word for spec in specs for word in ("-p", spec)), image, "true")
    assert bindings(pyman, "c") == wanted


@pytest.mark.parametrize("mode", ["pasta", "podman", "slirp4netns"])
def test_random_ports_are_known_before_the_start_and_stay(pyman: Run, image: str, mode: str) -> None:
    pyman(
        "create", "--name", "c", "--network", mode, "-p", "80", "-p", "127.0.0.1::81", "-p", "90-92", "-p", ":83/udp", image, *SERVER, "x"
    )
    first = bindings(pyman, "c")
    assert sorted(first) == ["80/tcp", "81/tcp", "83/udp", "90/tcp", "91/tcp", "92/tcp"] and first["81/tcp"][0].startswith("127.0.0.1|")
    run = [int(first[f"{number}/tcp"][0].split("|")[1]) for number in (90, 91, 92)]
    assert run == list(range(run[0], run[0] + 3))
    pyman("start", "c")
    assert bindings(pyman, "c") == first and fetch(int(first["80/tcp"][0].split("|")[1])) == "x\n"
    pyman("restart", "-t", "0", "c")
    assert bindings(pyman, "c") == first and fetch(int(first["80/tcp"][0].split("|")[1])) == "x\n"


def test_all_exposed_ports(pyman: Run, image: str) -> None:
    pyman("create", "--name", "c", "-P", "--expose", "70", "--expose", "71-72/udp", "-p", "28090:70", image, "true")
    found = bindings(pyman, "c")
    assert found.pop("70/tcp") == ["0.0.0.0|28090"] and sorted(found) == ["71/udp", "72/udp"]
    pyman("create", "--name", "r", "-P", "--expose", "70-72", "--expose", "71", "-p", "28091:71", image, "true")
    found = bindings(pyman, "r")
    assert found.pop("71/tcp") == ["0.0.0.0|28091"] and sorted(found) == ["70/tcp", "72/tcp"]


def neighbours() -> tuple[socket.socket, socket.socket, int]:
    """Two sockets bound to a port and the next one, and the first's number."""
    while True:
        one, other = socket.socket(), socket.socket()
        try:
            one.bind(("0.0.0.0", 0))
            other.bind(("0.0.0.0", one.getsockname()[1] + 1))
            return one, other, int(one.getsockname()[1])
        except (OSError, OverflowError):
            one.close()
            other.close()


def test_a_range_to_choose_from(pyman: Run, image: str) -> None:
    """The first free one of the host's; none is an error."""
    one, other, port = neighbours()
    with one, other:
        one.listen()
        other.listen()
        assert "every port of the range is in use" in pyman("create", "-p", f"{port}-{port + 1}:80", image, "true", rc=125).stderr
        other.close()
        pyman("create", "--name", "c", "-p", f"{port}-{port + 1}:80", image, "true")
        assert bindings(pyman, "c") == {"80/tcp": [f"0.0.0.0|{port + 1}"]}


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("0:80", "outside 1-65535"),
        ("::80", "address before the first colon"),
        ("1.2.3.4:80", "not a port"),
        ("8080:80-81", "1 host ports cannot be mapped to 2"),
        ("8080-8082:80-81", "3 host ports cannot be mapped to 2"),
        ("80/sctp", "neither pasta nor slirp4netns forwards sctp"),
        ("99999", "outside"),
        ("foo", "not a port"),
        ("localhost:80:80", "not an IP address"),
        ("80/foo", "neither tcp nor udp"),
        ("-1:80", "not a port"),
        ("81-80:81-80", "runs backwards"),
        ("8080:", "not a port"),
        ("1:2:3:4", "too many colons"),
        ("[::1:80:80", "not closed"),
        ("80\x1b[31m", "not a port"),
    ],
)
def test_what_is_no_port(pyman: Run, image: str, spec: str, why: str) -> None:
    done = pyman("create", f"--publish={spec}", image, "true", rc=125)
    assert why in done.stderr and "\x1b" not in done.stderr and not pyman("ps", "-aq").stdout


@pytest.mark.parametrize("mode", ["pasta", "podman", "slirp4netns"])
def test_conflicts_are_named(pyman: Run, image: str, mode: str, base: Path) -> None:
    """The process, or the container, that has the port; below the limit the sysctl, its value and the line that sets it."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        said = pyman("run", "--rm", "--network", mode, "-p", f"127.0.0.1:{port}:80", image, "true", rc=126).stderr
        assert f"pid {os.getpid()}" in said and f"{port}" in said
    # For a mapping without an address the port has to be free on all of them.
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        if mode == "slirp4netns" and family == socket.AF_INET6:
            continue  # it listens on IPv4 addresses only
        with socket.socket(family) as sock:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((address, 0))
            sock.listen()
            port = sock.getsockname()[1]
            said = pyman("run", "--rm", "--network", mode, "-p", f"{port}:80", image, "true", rc=126).stderr
            assert f"cannot publish port {port}/tcp" in said and f"pid {os.getpid()}" in said
    port = free_port()
    pyman("run", "-d", "--name", "holder", "--network", mode, "-p", f"{port}:80", image, "sleep", "600")
    said = pyman("run", "--rm", "--network", mode, "-p", f"{port}:80", image, "true", rc=126).stderr
    assert "by container holder" in said and "pyman stop holder" in said
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
        limit = int(file.read())
    said = pyman("run", "--rm", "--network", mode, "-p", f"{limit - 1}:80", image, "true", rc=126).stderr
    assert (
        f"net.ipv4.ip_unprivileged_port_start is {limit}" in said and f"sysctl -w net.ipv4.ip_unprivileged_port_start={limit - 1}" in said
    )
    assert pyman("ps", "-a", "--format", "{{.Names}}").stdout == "holder\n"


@pytest.mark.parametrize("mode", ["pasta", "podman"])
def test_both_versions_of_ip(pyman: Run, image: str, mode: str) -> None:
    ports = free_port(), free_port()
    pyman(
        "run", "-d", "--name", "six", "--network", mode, "-p", f"[::1]:{ports[0]}:80", "-p", f"127.0.0.1:{ports[1]}:80", image, *SERVER, "x"
    )
    assert fetch(ports[1]) == "x\n"
    assert until(lambda: urllib.request.urlopen(f"http://[::1]:{ports[0]}/", timeout=5).read()) == b"x\n"
    for host, port in (("::1", ports[1]), ("127.0.0.1", ports[0])):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((host, port), timeout=5)


ECHO = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("0.0.0.0", 90))
while True:
    data, peer = sock.recvfrom(100)
    sock.sendto(data, peer)
"""


# Debian 12's pasta gives the host's own datagrams no answer.
@pytest.mark.parametrize("mode", ["podman", "slirp4netns:allow_host_loopback=true"])
def test_datagrams(pyman: Run, image: str, mode: str) -> None:
    """A question and its answer; the server is a program of the host's."""
    port = free_port()
    args = ("-p", f"127.0.0.1:{port}:90/udp", "-v", "/:/host:ro", image, "chroot", "/host", sys.executable, "-c", ECHO)
    pyman("run", "-d", "--name", "echo", "--network", mode, *args)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        sock.connect(("127.0.0.1", port))

        def answered() -> bool:
            sock.send(b"hello")
            return sock.recv(100) == b"hello"

        until(answered)
