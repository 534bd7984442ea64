"""Networks: pasta and slirp4netns with published ports, host, none, generated files."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until
from tests.integration.test_registry import free_port

SERVER = ("sh", "-c", "mkdir /w; echo served > /w/index.html; httpd -f -p 80 -h /w")


@pytest.mark.parametrize("mode", ["pasta", "slirp4netns"])
def test_published_port(pyman: Run, image: str, mode: str) -> None:
    port = free_port()
    pyman("run", "-d", "--name", "srv", "--network", mode, "-p", f"127.0.0.1:{port}:80", image, *SERVER)

    def served() -> bool:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30).read() == b"served\n"
        except OSError:
            return False

    until(served)
    assert f"127.0.0.1:{port}->80/tcp" in pyman("ps").stdout
    helpers = pyman("exec", "srv", "cat", "/etc/resolv.conf").stdout
    assert "nameserver" in helpers
    pyman("rm", "-f", "-t", "0", "srv")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a listener would still be in the way
        sock.bind(("127.0.0.1", port))


def test_a_port_in_use_names_its_holder(pyman: Run, image: str) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        done = pyman("run", "--rm", "-p", f"127.0.0.1:{port}:80", image, "true", rc=126)
    assert "in use" in done.stderr and f"pid {os.getpid()}" in done.stderr


def test_low_ports_name_the_sysctl(pyman: Run, image: str) -> None:
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
        limit = int(file.read())
    done = pyman("run", "--rm", "-p", f"{limit - 1}:80", image, "true", rc=126)
    assert f"ip_unprivileged_port_start={limit - 1}" in done.stderr


def test_none_has_loopback_only(pyman: Run, image: str) -> None:
    done = pyman(
        "run",
        "--rm",
        "--network",
        "none",
        image,
        "sh",
        "-c",
        "ls /sys/class/net; ping -c1 127.0.0.1 >/dev/null 2>&1; ip a show lo | grep -c UP",
    )
    assert done.stdout.split()[0] == "lo" and done.stdout.split()[-1] == "1"


def test_host_network_is_the_hosts(pyman: Run, image: str) -> None:
    inside = pyman("run", "--rm", "--network", "host", image, "readlink", "/proc/self/ns/net").stdout.strip()
    assert inside == os.readlink("/proc/self/ns/net")


def test_a_container_that_lives_in_the_hosts_network(pyman: Run, image: str) -> None:
    """Who is to live where it does lives in the host's, too."""
    pyman("run", "-d", "--name", "there", "--network", "host", image, "sleep", "600")
    inside = pyman("run", "--rm", "--network", "container:there", image, "readlink", "/proc/self/ns/net").stdout.strip()
    assert inside == os.readlink("/proc/self/ns/net")
    pyman("rm", "-f", "-t", "0", "there")


def test_hosts_files(pyman: Run, image: str) -> None:
    done = pyman(
        "run",
        "--rm",
        "--network",
        "pasta",
        "--hostname",
        "box",
        "--name",
        "named",
        "--add-host",
        "db:10.9.8.7",
        "--dns",
        "9.9.9.9",
        image,
        "cat",
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc/hostname",
    )
    assert (
        "10.9.8.7\tdb" in done.stdout
        and "box named" in done.stdout
        and "nameserver 9.9.9.9" in done.stdout
        and done.stdout.endswith("box\n")
    )


def test_doctor_and_info(pyman: Run) -> None:
    done = pyman("doctor")
    assert "user namespace" in done.stdout and "fail" not in done.stdout
    assert pyman("info", "--format", "{{.store.graphDriverName}}").stdout.strip() in ("overlay", "fuse-overlayfs")
    fields = (
        "{{.Host.CgroupsVersion}} {{.Host.FreeLocks}} {{.Host.NetworkBackendInfo.DNS.Path}} {{.Host.IDMappings.UIDMap}} {{.Version.Os}}"
    )
    assert pyman("info", "--format", fields).stdout.startswith("v")
    for field in (".Nope", ".Host.Nope", ".Store.ImageStore.Nope", ".Plugins.Nope"):
        assert "there is no field 'Nope'; known are" in pyman("info", "--format", f"{{{{{field}}}}}", rc=125).stderr
    assert pyman("info", "--format", "{{.Registries.nope}} {{.Store.GraphStatus.nope}}").stdout == "<no value> <no value>\n"
    broken = pyman("doctor", rc=1, env={"PATH": "/nonexistent"})
    assert "apt-get install uidmap" in broken.stdout


def test_doctor_tells_whose_the_control_group_is(base: Path) -> None:
    """A group that can be read need not be one's own: in a cgroup namespace its path leads to the top of the hierarchy."""
    words = ["unshare", "--map-current-user", "--cgroup", *command(), "doctor"]
    done = subprocess.run(words, env=environment(base), capture_output=True, text=True, timeout=300, check=False)
    row = next(line for line in done.stdout.splitlines() if line.startswith("control groups"))
    assert re.match("control groups +warn ", row) and "is yours" not in row, row


def test_port(pyman: Run, image: str) -> None:
    tcp, udp = free_port(), free_port()
    pyman("run", "-d", "--name", "p", "-p", f"127.0.0.1:{tcp}:80", "-p", f"{udp}-{udp + 1}:90-91/udp", image, "sleep", "600")
    assert pyman("port", "p").stdout == f"80/tcp -> 127.0.0.1:{tcp}\n90/udp -> 0.0.0.0:{udp}\n91/udp -> 0.0.0.0:{udp + 1}\n"
    assert pyman("port", "p", "80").stdout == pyman("container", "port", "p", "80/tcp").stdout == f"127.0.0.1:{tcp}\n"
    assert pyman("port", "-l", "91/udp").stdout == f"0.0.0.0:{udp + 1}\n"
    short = pyman("inspect", "p", "--format", "{{.Id}}").stdout[:12]
    assert pyman("port", "-a").stdout.splitlines()[0] == f"{short}\t80/tcp -> 127.0.0.1:{tcp}"
    assert "not published" in pyman("port", "p", "90/tcp", rc=125).stderr
    assert "invalid port" in pyman("port", "p", "http", rc=125).stderr
    pyman("stop", "-t", "0", "p")
    assert [(done.stdout, done.stderr) for done in (pyman("port", "p"), pyman("port", "p", "80"))] == [("", ""), ("", "")]
    pyman("rm", "p")
