"""The name servers' files: one per network that has a server, one line per container on it. Under the lock of the networks.

The server is aardvark-dns, run by the keeper; it reads the files again on a signal. Files of internal networks lie in a
directory of their own: their server knows no other one.
"""

from __future__ import annotations

import _socket
import os
import select
import time

from pyman.network import config, hosts, uplink
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.network.bridge import Job

_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
SIGUSR1, SIGUSR2 = 10, 12


def _path(record: dict[str, Any]) -> str:
    place = "dns-internal" if record.get("internal") else "dns"
    return os.path.join(uplink.directory(), place, record["name"])


def known_as(container_id: str, name: str, hostname: str, aliases: list[str]) -> list[str]:
    """The names of a container on its networks: its name, the short id, its host name, its aliases, alone and below the search domain.

    None that could break a line.
    """
    wanted = [word for word in (name, container_id[:12], hostname, *aliases) if word and not word.strip(_NAME)]
    # Some aardvark-dns (Debian 12's) take the search domain off for the asker's first network only.
    wanted += [f"{word}.{hosts.DOMAIN}" for word in wanted]
    return list(dict.fromkeys(word for word in wanted if len(word) <= 253))


def register(record: dict[str, Any], container_id: str, addresses: list[str], names: list[str], servers: list[str]) -> bool:
    """Let a network's server know a container; servers: what it asks for this container, instead of the usual ones.

    Whether the file was as it should be: what is no line of a container's is dropped.
    """
    servers = servers or list(record.get("network_dns_servers") or [])
    v4 = ",".join(address for address in addresses if ":" not in address)
    v6 = ",".join(address for address in addresses if ":" in address)
    line = f"{container_id} {v4} {v6} {','.join(names)}" + (f" {','.join(servers)}" if servers and not record.get("internal") else "")
    return _rewrite(record, container_id, line)


def forget(record: dict[str, Any], container_id: str) -> None:
    """Take a container out; the last one takes the network's file with it."""
    _rewrite(record, container_id, "")


def _rewrite(record: dict[str, Any], container_id: str, line: str) -> bool:
    path = _path(record)
    text = store.read_text(path)
    head, *lines = (text or "").split("\n")
    whole = [old for old in lines if len(old) > 64 and old[64] == " " and old.count(" ") >= 3]
    kept = [old for old in whole if not old.startswith(container_id + " ")] + ([line] if line else [])
    if not kept:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        return True
    before = head
    if line:  # who takes a container out may know of the network no more than its name: where its server listens stays
        head = ",".join(entry["gateway"] for entry in record.get("subnets") or [] if entry.get("gateway"))
    # Written elsewhere first: the server takes every file of its directory for a network's.
    temporary = os.path.join(uplink.directory(), f"names.{os.getpid()}")
    store.write_text(temporary, head + "\n" + "".join(text + "\n" for text in kept))
    os.rename(temporary, path)
    return text is None or (head == before and len(whole) == len([old for old in lines if old]))


def change_servers(record: dict[str, Any]) -> bool:
    """Give all containers of a network its present name servers; whether there are any."""
    servers = [] if record.get("internal") else [",".join(record.get("network_dns_servers") or [])]
    return _change(record, lambda words: words[:4] + [text for text in servers if text])


def rename(record: dict[str, Any], container_id: str, known: list[str]) -> bool:
    """Let a network's server know a container by other names; whether it knows any containers."""
    return _change(record, lambda words: [*words[:3], ",".join(known), *words[4:]] if words[0] == container_id else words)


def _change(record: dict[str, Any], change: Callable[[list[str]], list[str]]) -> bool:
    path = _path(record)
    text = store.read_text(path)
    if text is None:
        return False
    head, *lines = text.split("\n")
    temporary = os.path.join(uplink.directory(), f"names.{os.getpid()}")
    store.write_text(temporary, "\n".join([head, *(" ".join(change(line.split(" "))) for line in lines if line)]) + "\n")
    os.rename(temporary, path)
    return True


def entries() -> dict[str, list[str]]:
    """Network -> ids of the containers that its server knows."""
    found: dict[str, list[str]] = {}
    for place in ("dns", "dns-internal"):
        path = os.path.join(uplink.directory(), place)
        for name in sorted(os.listdir(path)) if os.path.isdir(path) else []:
            if name != "aardvark.pid":
                text = store.read_text(os.path.join(path, name)) or ""
                found[name] = [line.split(" ")[0] for line in text.split("\n")[1:] if line]
    return found


def announce(keeper: dict[str, Any], hanging: bool = False) -> None:
    """Tell the keeper that files have changed, or that a server hangs and is to be started anew."""
    try:
        os.kill(keeper["pid"], SIGUSR2 if hanging else SIGUSR1)
    except ProcessLookupError:
        pass


def introduce(job: Job, keeper: dict[str, Any], statuses: list[dict[str, Any]]) -> str:
    """Make the container known to the name servers of its networks and wait for them; a warning if one does not answer.

    The caller is in the container's network namespace.
    """
    served = [(job.attachments[n]["record"], status) for n, status in enumerate(statuses) if status["dns"] and status["addresses"]]
    if not served:
        return ""
    said = ""
    with config.lock():
        for record, status in served:
            known = known_as(job.container_id, job.name, job.hostname, status["aliases"])
            whole = register(record, job.container_id, [entry["address"] for entry in status["addresses"]], known, job.dns)
            said = said if whole else f"the names on network {record['name']} were damaged: pyman network reload --all gives all back"
    announce(keeper)
    port = int(job.conf["network"].get("dns_bind_port") or 53)
    for record, status in served:
        gateway = next((entry["gateway"] for entry in status["addresses"] if entry["gateway"]), "")
        if not gateway or wait_until_known(gateway, port, job.container_id[:12], 0.3):
            continue
        from pyman.network import living

        said = living.wake(living.of_keeper(keeper)) or said
        if wait_until_known(gateway, port, job.container_id[:12], 5):
            continue
        announce(keeper, hanging=True)
        if not wait_until_known(gateway, port, job.container_id[:12], 30):
            return f"the name server of network {record['name']} does not answer; see: pyman network test {job.name}"
    return said


def wait_until_known(gateway: str, port: int, name: str, seconds: float) -> bool:
    """Ask a network's server for a container's own name until it knows it, from inside that container's network namespace."""
    family = _socket.AF_INET6 if ":" in gateway else _socket.AF_INET
    question = b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\0"
    deadline = time.monotonic() + seconds
    sock = _socket.socket(family, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect((gateway, port))
        pause = 0.001
        for number in range(1, 1 << 16):
            for kind in (1, 28):  # A, AAAA
                packet = number.to_bytes(2, "big") + b"\1\0\0\1\0\0\0\0\0\0" + question + kind.to_bytes(2, "big") + b"\0\1"
                try:
                    sock.send(packet)
                    if select.select([sock.fileno()], [], [], pause)[0]:
                        answer = sock.recv(4096)
                        if len(answer) > 12 and answer[3] & 15 == 0 and answer[6:8] != b"\0\0":
                            return True
                except OSError:
                    time.sleep(pause)  # nobody listens yet
            if time.monotonic() > deadline:
                return False
            pause = min(pause * 1.5, 0.05)
        return False
    finally:
        sock.close()
