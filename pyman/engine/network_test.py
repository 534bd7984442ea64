"""Try everything that a running container's network is to do; each failure with its cause. CLI process and a child in U1.

A TCP connection to a port where nobody listens is refused at once by whoever lives at the address: that proves the way there and
back. Nothing is executed in the container, and nothing but these packets is sent.
"""

from __future__ import annotations

import _socket
import os

from pyman.engine import network_test_bridges, networks
from pyman.engine.container import RUNNING, Container
from pyman.engine.network_test_rows import inside, row
from pyman.engine.option_checks import is_address
from pyman.linux import process
from pyman.network import hosts, living, pasta, rtnl
from pyman.rootless import userns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.network_test_rows import Row

_PORT = 9  # discard: nobody listens there
_WAIT = 2.0  # seconds


def test(container: Container) -> list[Row]:
    """One row for each thing tried: {"check", "target", "result": ok, fail, or - without a way to try, "detail"}. StateError unless it runs."""
    container.sync()
    container.require_running("test the network of")
    state = container.state
    job = _questions(container)
    listener = _listener(job["host"]) if job["host"] else None
    job["host_port"] = listener.getsockname()[1] if listener else _PORT
    rows = network_test_bridges.rows(state, container.run_dir)
    rows += _inside(state, job)
    silent = _silent(container) if any(port["protocol"] == "udp" for port in state["ports"]) else ""
    for port in state["ports"]:
        for offset in range(port["range"]):
            rows.append(_published(port, offset, silent))
    return rows


def _silent(container: Container) -> str:
    """What to tell of the host's own datagrams to published ports, where they get no answer."""
    state = container.state
    pid = living.find(state, container.run_dir) if living.expected(state) == "pasta" else 0
    argv = process.words(pid) if pid else []
    if not argv or not pasta.silent(argv):
        return ""
    return f"; the host's own, by its own address, get no answer from this pasta: {hosts.WITHOUT} mends it"


def _questions(container: Container) -> dict[str, Any]:
    """What the child in the container's network namespace is to try, found out beforehand."""
    state = container.state
    attached = state.get("attached") or []
    names = {status["name"] for status in attached}
    siblings = []
    users = networks.uses() if names else {}
    for name in sorted(names):
        for other in users.get(name, []):
            if other.id == container.id or other.state["status"] not in RUNNING:
                continue
            for status in other.state.get("attached") or []:
                if status["name"] == name and status["addresses"]:
                    siblings.append([other.name, status["addresses"][0]["address"], name])
    try:
        with open(os.path.join(container.run_dir, "resolv.conf"), encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file.read(1 << 16).split("\n")]
    except OSError:  # the runtime directory was wiped
        theirs = [entry["gateway"] for status in attached if status["dns"] for entry in status["addresses"] if entry["gateway"]]
        lines = [["nameserver", server] for server in theirs or state.get("keeper", {}).get("dns") or []]
    servers = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    host = _host_of(os.path.join(container.run_dir, "hosts")) or state.get("keeper", {}).get("host_address") or ""
    named = any(status["dns"] for status in attached)
    mode = state.get("network_mode", "").split(":")[0]
    return {
        "attached": attached,
        "siblings": siblings,
        "servers": servers,
        "host": host,
        "own": container.id[:12] if named else "",
        "mode": mode,
        "internal": bool(attached) and all(status["internal"] for status in attached),
    }


def _listener(address: str) -> _socket.socket | None:
    """Somebody at the host's own address: a pasta that leads there does not tell when it is refused."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sock.bind((address, 0))
        sock.listen(1)
    except OSError:
        sock.close()
        return None
    return sock


def _host_of(path: str) -> str:
    """The address of host.containers.internal in a container's /etc/hosts, which the container may have rewritten."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), encoding="utf-8", errors="replace") as file:
            lines = [line.partition("#")[0].split() for line in file.read(1 << 16).split("\n")]
    except OSError:
        return ""
    found = next((words[0] for words in lines if "host.containers.internal" in words[1:]), "")
    return found if is_address(found) else ""


def _inside(state: dict[str, Any], job: dict[str, Any]) -> list[Row]:
    """The rows of a child that has entered the container's network namespace."""
    owner = userns.userns_of(state["monitor_pid"], state["monitor_start"])
    netns = -1 if job["mode"] == "host" else os.open(f"/proc/{state['pid']}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    return inside(owner, netns, lambda: _try_all(job))


def _try_all(job: dict[str, Any]) -> list[Row]:
    seen = rtnl.survey()
    rows = []
    others = [link["name"] for link in seen["links"] if link["name"] != "lo" and (link["up"] or job["mode"] != "host")]
    wanted = [status["interface"] for status in job["attached"]] or others  # of the host's own devices some are never up
    if not wanted and job["mode"] != "none":
        rows.append(row("link", "any", "the container has no device but loopback"))
    for name in ["lo", *wanted]:
        link = next((link for link in seen["links"] if link["name"] == name), None)
        why = (
            "no such device"
            if not link
            else "it is down"
            if not link["up"]
            else "nothing is at its other end"
            if not link["carrier"]
            else ""
        )
        if not name:
            why = "a network connect was killed in its middle; pyman network reload takes it back"
        rows.append(row("link", name or "-", why, "up"))
    for status in job["attached"]:
        for entry in status["addresses"]:
            there = any(have["address"] == entry["address"] for have in seen["addresses"])
            rows.append(
                row("address", entry["address"], "" if there else f"{status['interface']} does not have it", f"network {status['name']}")
            )
    if not job["attached"]:
        rows += [
            row("address", have["address"], "", have["device"])
            for have in seen["addresses"]
            if have["device"] != "lo" and ":" not in have["address"]
        ]
    default = next((route for route in seen["routes"] if route["to"] == "default"), None)
    if not job["internal"] and job["mode"] != "none":
        why = "" if default else "there is no default route"
        rows.append(row("route", "default", why, f"via {default['via'] or '-'} {default['device']}" if default else ""))
    for gateway in dict.fromkeys(entry["gateway"] for status in job["attached"] for entry in status["addresses"] if entry["gateway"]):
        rows.append(row("gateway", gateway, _reach(gateway)))
    if job["own"] and not job["servers"]:
        rows.append(row("dns", "/etc/resolv.conf", "it names no server: somebody in the container has written to it"))
    for server in job["servers"]:
        known = any(entry["gateway"] == server for status in job["attached"] if status["dns"] for entry in status["addresses"])
        rows.append(row("dns", server, _ask(server, job["own"] if known else "localhost", known), "answers"))
    if job["mode"] not in ("none", "host") and not job["internal"]:
        # Where nothing leads there, there is nothing to try.
        nothing = {"check": "host", "target": "-", "result": "-", "detail": f"this pasta gives the host no address; {hosts.WITHOUT} does"}
        four = any(have["device"] != "lo" and ":" not in have["address"] for have in seen["addresses"])
        if job["host"] and ":" not in job["host"] and not four and all(_only_six(status) for status in job["attached"]):
            rows.append({**nothing, "target": job["host"], "detail": "the container has no IPv4 address"})
        else:
            rows.append(row("host", job["host"], _reach(job["host"], job["host_port"])) if job["host"] else nothing)
    if not job["internal"] and job["mode"] != "none" and job["servers"]:
        rows.append(row("outside", "example.com", _ask(job["servers"][0], "example.com", False), "a name server outside was asked"))
    for name, address, network in job["siblings"]:
        rows.append(row("sibling", f"{name} ({address})", _reach(address), f"network {network}"))
    return rows


def _only_six(status: dict[str, Any]) -> bool:
    """Whether a container has IPv6 addresses only on a network."""
    return all(":" in entry["address"] for entry in status["addresses"])


def _reach(address: str, port: int = _PORT) -> str:
    """Why nobody at `address` answers, or nothing."""
    sock = _socket.socket(_socket.AF_INET6 if ":" in address else _socket.AF_INET, _socket.SOCK_STREAM)
    sock.settimeout(_WAIT)
    try:
        sock.connect((address, port))
    except ConnectionRefusedError:
        return ""
    except TimeoutError:
        return f"no answer within {_WAIT:.0f} seconds"
    except OSError as err:
        return err.strerror or str(err)
    finally:
        sock.close()
    return ""


def _ask(server: str, name: str, known: bool) -> str:
    """Why a name server does not answer (or, if it is to be `known`, does not know) a name."""
    sock = _socket.socket(_socket.AF_INET6 if ":" in server else _socket.AF_INET, _socket.SOCK_DGRAM)
    sock.settimeout(_WAIT)
    question = b"".join(bytes((len(part),)) + part.encode() for part in name.split("."))
    try:
        sock.connect((server, 53))
        sock.send(b"\x70\x79\1\0\0\1\0\0\0\0\0\0" + question + b"\0\0\1\0\1")
        answer = sock.recv(4096)
    except TimeoutError:
        return f"no answer within {_WAIT:.0f} seconds"
    except OSError as err:
        return "nobody listens there" if isinstance(err, ConnectionRefusedError) else err.strerror or str(err)
    finally:
        sock.close()
    if len(answer) < 12:
        return "its answer makes no sense"
    return "it does not know the container's own name" if known and answer[3] & 15 else ""


def _published(port: dict[str, Any], offset: int, silent: str) -> Row:
    """Whether the host's port leads somewhere; a datagram's way cannot be seen from here. silent: what to tell of datagrams."""
    number, inner = port["host_port"] + offset, port["container_port"] + offset
    target, detail = f"{port['host_ip'] or '0.0.0.0'}:{number}/{port['protocol']}", f"to port {inner}"
    if port["protocol"] != "tcp":
        return row("port", target, "", detail + ", not tried: datagrams have no connection" + silent)
    address = port["host_ip"] if port["host_ip"] not in ("", "0.0.0.0", "::") else "127.0.0.1"
    sock = _socket.socket(_socket.AF_INET6 if ":" in address else _socket.AF_INET, _socket.SOCK_STREAM)
    sock.settimeout(_WAIT)
    try:
        sock.connect((address, number))
        sock.settimeout(0.2)
        try:
            # Whoever takes connections for a server that is not there ends them at once.
            if sock.recv(1) == b"":
                return row("port", target, f"nobody listens on port {inner} in the container")
        except TimeoutError:
            pass  # the server waits for us to speak
    except ConnectionRefusedError:
        return row("port", target, "nobody listens there on the host: its forwarder was killed")
    except ConnectionResetError:
        return row("port", target, f"nobody listens on port {inner} in the container")
    except OSError as err:
        return row("port", target, "no answer" if isinstance(err, TimeoutError) else err.strerror or str(err))
    finally:
        sock.close()
    return row("port", target, "", detail)
