"""The host by its own addresses, from and to a container with pasta. pyman runs in a network namespace of the test's, as its host."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.integration.test_bridge_peers import inside

# For each network: what the container has for the host and what answers there (TCP, datagrams), then what the host's own datagrams to the
# container's published port get, sent to loopback and to the host's address, and what `network test` says of them.
SCRIPT = r"""
set -eu
mount --bind /dev/null /etc/subuid; mount --bind /dev/null /etc/subgid
ip link set lo up; ip link add h0 type veth peer name p0; ip addr add 198.51.100.1/24 dev h0; ip link set h0 up; ip link set p0 up
ip route add default via 198.51.100.2
pyman() { setpriv --inh-caps=-all --ambient-caps=-all --bounding-set=-all $PYMAN "$@"; }
pyman pull -q oci:$LAYOUT:latest >/dev/null
cat > serve.py <<'END'
import socket, sys, threading
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
sock.bind(("::", int(sys.argv[1])))
def stream():
    with socket.create_server(("0.0.0.0", int(sys.argv[1]))) as server:
        while True:
            server.accept()[0].close()
threading.Thread(target=stream, daemon=True).start()
print("ready", flush=True)
while True:
    data, peer = sock.recvfrom(100)
    sock.sendto(data, peer)
END
cat > ask.py <<'END'
import socket, sys, time
host, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
end = time.monotonic() + seconds
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(0.5)
sock.connect((host, port))
answer = "silence"
while answer == "silence" and time.monotonic() < end:
    try:
        sock.send(b"answer")
        answer = sock.recv(100).decode()
    except OSError:
        pass
print(answer)
END
$PYTHON serve.py 18096 > ready & server=$!
trap "kill $server" EXIT
until [ -s ready ]; do :; done
try() {
    pyman run -d --name s --network $1 -p 18097:18098/udp -v /:/host:ro -v $PWD:/host$PWD:ro localhost/demo \
        chroot /host $PYTHON $PWD/serve.py 18098 >/dev/null
    until pyman logs s | grep -q ready; do :; done
    at=$(pyman exec s sh -c "awk '/host.containers.internal/{print \$1}' /etc/hosts")
    echo "has ${at:-none}"
    if [ "$at" ]; then
        echo tcp $(pyman exec s sh -c "nc -w 60 $at 18096 </dev/null && echo taken")
        echo udp $(pyman exec s chroot /host $PYTHON $PWD/ask.py $at 18096 60)
    fi
    echo loopback $($PYTHON ask.py 127.0.0.1 18097 60)
    echo own $($PYTHON ask.py 198.51.100.1 18097 $2)
    echo told $(pyman network test s | grep -o 'get no answer from this pasta' || echo nothing)
    pyman rm -f -t 0 s >/dev/null
}
try pasta $SECONDS_OWN
try pasta:-a,169.254.2.2,-n,30,-g,169.254.2.1 60
ip addr add 203.0.113.5/24 dev h0
try pasta $SECONDS_OWN
"""


def test_the_host_by_its_own_addresses(base: Path, layout: str) -> None:
    old = "--map-guest-addr" not in subprocess.run(["pasta", "--help"], capture_output=True, text=True, check=False).stdout
    # What a pasta does not answer is asked for a second; what it answers, until it is there.
    done = inside(SCRIPT.replace("$SECONDS_OWN", "1" if old else "60"), base / "host", layout)
    rounds = [part.split("\n") for part in ("\n" + done.stdout).split("\nhas ")[1:]]
    assert done.returncode == 0 and len(rounds) == 3, done.stdout + done.stderr
    has = [lines[0] for lines in rounds]
    assert has == (["none", "198.51.100.1", "203.0.113.5"] if old else ["169.254.1.2", "198.51.100.1", "169.254.1.2"]), done.stdout
    for lines in rounds:
        assert lines[0] == "none" or {"tcp taken", "udp answer"} <= set(lines), done.stdout
        assert "loopback answer" in lines, done.stdout
    apart = rounds[1]
    assert "own answer" in apart and "told nothing" in apart, done.stdout
    for lines in (rounds[0], rounds[2]):
        assert ("own silence" in lines) == old == ("told get no answer from this pasta" in lines), done.stdout
