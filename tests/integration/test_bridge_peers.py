"""A peer outside: a test host in a network namespace of the test's own reaches published ports, and servers see its address.

pyman runs, as the same unprivileged user, in a user namespace of the test's, whose network namespace is its host; a pair of
devices leads to the other host. There are no subordinate ids there, so this shows bridges with a single id as well.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import command

SCRIPT = r"""
set -eu
mount --bind /dev/null /etc/subuid; mount --bind /dev/null /etc/subgid
ip link set lo up
unshare -n sleep 600 >/dev/null 2>&1 & peer=$!
trap "kill $peer" EXIT
until [ "$(readlink /proc/$peer/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do :; done
ip link add h0 type veth peer name p0 netns $peer
ip addr add 198.51.100.1/24 dev h0; ip addr add fd51::1/64 dev h0 nodad; ip link set h0 up; ip route add default via 198.51.100.2
ip route add default via fd51::2
in_peer() { nsenter -t $peer -n "$@"; }
in_peer sh -c 'ip link set lo up; ip addr add 198.51.100.2/24 dev p0; ip addr add fd51::2/64 dev p0 nodad; ip link set p0 up'
pyman() { setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all $PYMAN "$@"; }
ask() { in_peer curl -s --retry 100 --retry-all-errors --retry-delay 1 "$@"; }
pyman pull -q oci:$LAYOUT:latest >/dev/null
pyman network create --ipv6 six >/dev/null
pyman network create --internal inner >/dev/null
serve='mkdir /w; echo served > /w/index.html; exec httpd -f -v -p 80 -h /w'
pyman run -d --name pasta --network pasta -p 18090:80 localhost/demo sh -c "$serve" >/dev/null
pyman run -d --name bridge --network six -p 18091:80 localhost/demo sh -c "$serve" >/dev/null
pyman run -d --name inner --network inner -p 18092:80 localhost/demo sh -c "$serve" >/dev/null
# A program of the host's that answers each datagram with its sender's address.
pyman run -d --name udp --network six -p 18093:90/udp -v /:/host:ro localhost/demo chroot /host $PYTHON -c "$ANSWER" >/dev/null
for port in 18090 18091 18092; do ask http://198.51.100.1:$port/; done
ask "http://[fd51::1]:18091/"
for address in 127.0.0.1 198.51.100.1; do curl -s --retry 100 --retry-all-errors --retry-delay 1 http://$address:18091/; done
echo udp $(in_peer $PYTHON -c "$DATAGRAM")
# Answers come from the address that was asked, whatever others the host has.
ip addr add 198.51.100.9/24 dev h0; ip addr add fd51::9/64 dev h0 nodad
echo asked $(in_peer $PYTHON -c "$CONNECTED")
ip addr del 198.51.100.9/24 dev h0; ip addr del fd51::9/64 dev h0
# What a server has written is in its log a moment later.
logged() { until [ "$(pyman logs $1 2>&1 | grep -c response:200)" -ge $2 ]; do sleep 0.1; done; echo "log $1"; pyman logs $1 2>&1; }
logged pasta 1; logged bridge 4; logged inner 1
pyman network test bridge || true
# The peer's own port may be one that is published.
echo same $(ask --local-port 18091 http://198.51.100.1:18091/)
logged bridge 5
# Containers on bridges reach published ports by the host's own addresses and by their gateways, unless their network is internal.
pyman network create --ipv6 seven >/dev/null
pyman run -d --name near --network six -p 18094:80 localhost/demo sh -c "$serve" >/dev/null
near() { pyman run --rm --cap-add NET_ADMIN -v /:/host:ro -e "DATAGRAM=$DATAGRAM" --network $1 localhost/demo sh -c "$2"; }
curl="chroot /host curl -s --retry 100 --retry-all-errors --retry-delay 1"
echo near $(near six "$curl http://198.51.100.1:18094/ http://[fd51::1]:18094/")
echo near $(near seven "$curl http://198.51.100.1:18094/ http://[fd51::1]:18094/; chroot /host $PYTHON -c \"\$DATAGRAM\"; hostname -i")
echo gate $(near seven "gate=\$(ip route | awk '/^default/{print \$3}'); gate6=\$(ip -6 route | awk '/^default/{print \$3}')
    $curl http://\$gate:18094/ http://[\$gate6]:18094/; chroot /host $PYTHON -c \"\$(echo \"\$DATAGRAM\" | sed \"s/198.51.100.1/\$gate/\")\"
    hostname -i")
# Programs of the host's own, for others and at loopback.
$PYTHON -c "$SERVERS" & servers=$!
trap "kill $peer $servers" EXIT
host='for port in 18095 18096; do chroot /host curl -s -m 5 http://$at:$port/ || echo none; done'
until $PYTHON -c "import socket; socket.create_connection(('127.0.0.1', 18096)); socket.create_connection(('198.51.100.1', 18095))" 2>/dev/null; do :; done
echo host $(near six "at=\$(awk '/host.containers.internal/{print \$1}' /etc/hosts); $host")
echo near $(near inner 'ip route add default dev eth0; own=$(ip route | sed -n "s/.* src //p" | sed "s/[0-9]* *$/1/")
    for host in 198.51.100.1:18094 10.89.0.1:18094 $own:18094 198.51.100.1:18095; do chroot /host curl -s -m 3 http://$host/ || echo $?; done')
logged near 6
pyman rm -f -t 0 pasta bridge inner udp near >/dev/null; pyman network rm six seven inner >/dev/null
"""

SERVERS = """
import socket, threading
def serve(address):
    with socket.create_server(address) as server:
        while True:
            sock, peer = server.accept()
            try:
                sock.recv(1000)
                sock.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + peer[0].encode())
            except OSError:
                pass
            sock.close()
threading.Thread(target=serve, args=(("127.0.0.1", 18096),)).start()
serve(("198.51.100.1", 18095))
"""

DATAGRAM = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(1)
while True:  # until the server is there
    sock.sendto(b"x", ("198.51.100.1", 18093))
    try:
        print(sock.recv(100).decode())
        break
    except OSError:
        pass
"""

CONNECTED = """
import socket
for host in ("198.51.100.9", "198.51.100.1", "fd51::9", "fd51::1"):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(1)
    sock.connect((host, 18093))  # what another address answers is not taken
    for _ in range(60):
        try:
            sock.send(b"x")
            sock.recv(100)
            print(host)
            break
        except OSError:
            pass
"""

ANSWER = """
import os, socket
six = os.fork() == 0
sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
if six:
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
sock.bind(("::" if six else "0.0.0.0", 90))
while True:
    peer = sock.recvfrom(100)[1]
    sock.sendto(":".join(map(str, peer[:2])).encode(), peer)
"""


# A host that has loopback and nothing else.
ALONE = r"""
set -eu
mount --bind /dev/null /etc/subuid; mount --bind /dev/null /etc/subgid
ip link set lo up
pyman() { setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all $PYMAN "$@"; }
pyman pull -q oci:$LAYOUT:latest >/dev/null
for mode in pasta podman; do
    pyman run -d --name s --network $mode -p 18090:80 localhost/demo sh -c 'mkdir /w; echo served > /w/index.html; exec httpd -f -p 80 -h /w' >/dev/null
    curl -s --retry 100 --retry-all-errors --retry-delay 1 http://127.0.0.1:18090/
    pyman exec s ip route | grep ^default
    pyman rm -f -t 0 s >/dev/null
done
"""


def inside(script: str, place: Path, layout: str) -> subprocess.CompletedProcess[str]:
    """Run a script in user, mount and network namespaces of its own, with a store of its own below `place`."""
    for name in ("home", "run"):
        (place / name).mkdir(parents=True, mode=0o700)
    env = {
        "HOME": str(place / "home"),
        "XDG_RUNTIME_DIR": str(place / "run"),
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "LANG": "C.UTF-8",
        "PYMAN": " ".join(command()),
        "PYTHON": sys.executable,
        "DATAGRAM": DATAGRAM,
        "ANSWER": ANSWER,
        "CONNECTED": CONNECTED,
        "SERVERS": SERVERS,
        "LAYOUT": layout,
    }
    args = ["unshare", "--map-current-user", "--keep-caps", "--mount", "--net", "sh", "-c", script]
    return subprocess.run(args, env=env, cwd=place, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False)


def test_a_host_without_a_default_route(base: Path, layout: str) -> None:
    done = inside(ALONE, base / "alone", layout)
    lines = done.stdout.split("\n")
    assert done.returncode == 0 and lines[0] == lines[2] == "served", done.stdout + done.stderr
    assert lines[1].startswith("default via 10.0.2.2") and lines[3].startswith("default via 10.88.0.1")


def test_servers_see_the_peers_own_address(base: Path, layout: str) -> None:
    place = base / "peer"
    done = inside(SCRIPT, place, layout)
    text = done.stdout
    assert done.returncode == 0 and text.startswith("served\n" * 6), text + done.stderr
    logs = {part.split("\n")[0]: part for part in text.split("log ")[1:]}
    assert "198.51.100.2" in logs["pasta"]
    assert logs["bridge"].count("198.51.100.2]") == 2 and "[fd51::2]" in logs["bridge"]
    assert "198.51.100.1]" in logs["bridge"]  # the host by its own address
    assert "udp 198.51.100.2:" in text
    assert "asked 198.51.100.9 198.51.100.1 fd51::9 fd51::1\n" in text, text
    assert ":10.89." in logs["inner"] and "198.51.100" not in logs["inner"].split("CHECK")[0]  # no way back: the bridge's address
    assert not any("127.0.0.1" in part.split("CHECK")[0] for name, part in logs.items() if name != "pasta")
    assert re.search(r"18091/tcp +ok", text) and re.search(r"^host +\S+ +ok", text, re.M), text
    nearby = re.findall("^near (.*)", text, re.M)
    assert nearby[0] == "served served" and nearby[2] == "28 28 28 28", nearby
    answer = re.fullmatch(r"served served (\S+):\d+ (10\.89\.\S+)", nearby[1])
    # From another network: the container's own address, unless this pasta leads what is for the host's own address there.
    apart = "--map-guest-addr" not in subprocess.run(["pasta", "--help"], capture_output=True, text=True, check=False).stdout
    assert answer and answer[1] == ("198.51.100.1" if apart else answer[2]), nearby
    assert "host 198.51.100.1none\n" in text, text  # loopback is out of reach
    gate = re.search(r"^gate served served (\S+):\d+ (10\.89\.\S+)$", text, re.M)
    assert gate and gate[1] == gate[2], text
    assert "same served" in text and "[::ffff:198.51.100.2]:18091" in logs["bridge"], logs["bridge"]
    assert (f"{answer[2]}]" in logs["near"]) != apart and re.search(r"\[fd\S+::2\]", logs["near"])
    assert logs["near"].count("10.89.0.1]") == 1 - apart  # from its own network: the bridge's
    assert not os.listdir(place / "home/.local/share/pyman/containers")
