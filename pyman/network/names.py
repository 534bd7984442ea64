"""The name servers' files: one per network that has a server, one line per container on it. Under the lock of the networks.

The server is aardvark-dns, run by the keeper; it reads the files again on a signal. Files of internal networks lie in a
directory of their own: their server knows no other one.
"""

from __future__ import annotations

import _socket
import os
import select
import time

from pyman.errors import PymanError
from pyman.network import config, hosts, ipam, uplink
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.network.bridge import Job

_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
_ADDRESSES = "0123456789abcdef:.,"
SIGUSR1, SIGUSR2 = 10, 12


def place(record: dict[str, Any]) -> str:
    """The file of a network."""
    return os.path.join(uplink.directory(), "dns-internal" if record.get("internal") else "dns", record["name"])


def known_as(container_id: str, name: str, hostname: str, aliases: list[str]) -> list[str]:
    """The names of a container on its networks: its name, the short id, its host name, its aliases, alone and below the search domain.

    None that could break a line.
    """
    wanted = [word for word in (name, container_id[:12], hostname, *aliases) if word and not word.strip(_NAME)]
    # Some aardvark-dns (Debian 12's) take the search domain off for the asker's first network only.
    wanted += [f"{word}.{hosts.DOMAIN}" for word in wanted]
    return list(dict.fromkeys(word for word in wanted if len(word) <= 253))


def write_files(place: str, servers: list[str]) -> None:
    """The name servers' directories, and whom they ask.

    Nothing for internal networks. What is there is written in place: a server has it mounted.
    """
    for name in ("dns", "dns-internal"):
        os.makedirs(os.path.join(place, name), 0o700, exist_ok=True)
    for name, text in (("resolv-internal.conf", ""), ("resolv.conf", _servers_text(servers))):
        with open(os.path.join(place, name), "w", encoding="utf-8") as file:
            file.write(text)


def complete(keeper: dict[str, Any]) -> str:
    """Write again what a living keeper's name servers read, but for names, if it is lost (a wiped runtime directory) or damaged: which it was."""
    if not servers_fault(keeper):
        return ""
    from pyman.network import bridge_mend

    return bridge_mend.servers(keeper)


def servers_fault(keeper: dict[str, Any]) -> str:
    """What is wrong with what the name servers read, but for names; empty if nothing."""
    place = uplink.directory()
    path = os.path.join(place, "resolv.conf")
    try:
        text = store.read_text(path)
        if text is None or os.stat(os.path.join(place, "resolv-internal.conf")).st_size:
            return f"{path} or resolv-internal.conf beside it is damaged or was deleted"
        if not os.path.isdir(os.path.join(place, "dns")) or not os.path.isdir(os.path.join(place, "dns-internal")):
            return f"{place}/dns or dns-internal was deleted"
        right = text == _servers_text(list(keeper.get("servers", keeper.get("dns")) or []))
    except (OSError, PymanError) as err:
        return f"{path} or resolv-internal.conf cannot be read: {err}"
    return "" if right else f"{path} is damaged"


def _servers_text(servers: list[str]) -> str:
    return "".join(f"nameserver {server}\n" for server in servers)


def asked_for(options: dict[str, Any]) -> list[str]:
    """The servers that --dns has given a container."""
    return [server for server in options.get("dns") or [] if server != "none"]


def _reached(servers: list[str]) -> list[str]:
    keeper = uplink.remembered() if servers else None
    return hosts.reached_by(list(keeper.get("dns") or []), servers) if isinstance(keeper, dict) else servers


def line(record: dict[str, Any], container_id: str, addresses: list[str], names: list[str], servers: list[str]) -> str:
    """What a network's file says of a container; servers: what is asked for this container, instead of the usual ones."""
    servers = _reached(servers or list(record.get("network_dns_servers") or []))
    v4 = ",".join(address for address in addresses if ":" not in address)
    v6 = ",".join(address for address in addresses if ":" in address)
    return f"{container_id} {v4} {v6} {','.join(names)}" + (f" {','.join(servers)}" if servers and not record.get("internal") else "")


def forget(record: dict[str, Any], container_id: str) -> None:
    """Take a container out; the last one takes the network's file with it."""
    rewrite(record, container_id, "")


def _head(record: dict[str, Any]) -> str:
    """Where a network's server listens."""
    return ",".join(entry["gateway"] for entry in record.get("subnets") or [] if entry.get("gateway"))


def sound(record: dict[str, Any], text: str) -> bool:
    """Whether a network's file is made as it has to be; the record of one that is left may be no more than its name."""
    head, *lines = text.split("\n")
    right = head == _head(record) if "subnets" in record else not head.strip(_ADDRESSES)
    return right and bool(lines) and lines.pop() == "" and all(_is_entry(entry.split(" ")) for entry in lines)


def _is_entry(words: list[str]) -> bool:
    return len(words) in (4, 5) and len(words[0]) == 64 and not "".join(words[1:3]).strip(_ADDRESSES)


def text_of(record: dict[str, Any]) -> str | None:
    """A network's file; None without one, and an empty text for what is no such file."""
    try:
        return store.read_text(place(record))
    except PymanError:
        return ""


def lacking(records: list[dict[str, Any]], conf: dict[str, Any], own: str) -> bool:
    """Whether the file of one of these networks is damaged, or that of any network missing of which containers but `own` have addresses.

    Every start on a bridge looks.
    """
    for record in records:
        text = text_of(record)
        if text is not None and not sound(record, text):
            return True
    try:
        leased = os.listdir(os.path.join(config.networks_dir(), "leases"))
    except FileNotFoundError:
        return False
    top = uplink.directory()
    for name in leased:
        if os.path.exists(f"{top}/dns/{name}") or os.path.exists(f"{top}/dns-internal/{name}"):
            continue
        if set(ipam.leases(name).values()) - {own}:
            try:
                record = config.load(name, conf) or {"dns_enabled": False}
            except PymanError:
                continue
            if record["dns_enabled"]:
                return True
    return False


def rewrite(record: dict[str, Any], container_id: str, entry: str) -> None:
    """Let a network's file say that of a container, or nothing (`forget`). What is damaged of it does not stay."""
    path, text = place(record), text_of(record)
    head, *lines = (text or "").split("\n")
    kept = [old for old in lines if _is_entry(old.split(" ")) and not old.startswith(container_id + " ")] + ([entry] if entry else [])
    if not kept:
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        return
    if entry:  # who takes a container out may know of the network no more than its name: where its server listens stays
        head = _head(record)
    # Written elsewhere first: the server takes every file of its directory for a network's.
    temporary = os.path.join(uplink.directory(), f"names.{os.getpid()}")
    store.write_text(temporary, head + "\n" + "".join(old + "\n" for old in kept))
    os.rename(temporary, path)


def change_servers(record: dict[str, Any]) -> bool:
    """Give all containers of a network its present name servers; whether there are any."""
    servers = [] if record.get("internal") else [",".join(_reached(list(record.get("network_dns_servers") or [])))]
    return _change(record, lambda words: words[:4] + [text for text in servers if text])


def rename(record: dict[str, Any], container_id: str, known: list[str]) -> bool:
    """Let a network's server know a container by other names; whether it knows any containers."""
    return _change(record, lambda words: [*words[:3], ",".join(known), *words[4:]] if words[0] == container_id else words)


def _change(record: dict[str, Any], change: Callable[[list[str]], list[str]]) -> bool:
    path = place(record)
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
        if job.statuses or lacking([record for record, _ in served], job.conf, job.container_id):
            job.restore()
        for record, status in served:
            known = known_as(job.container_id, job.name, job.hostname, status["aliases"])
            addresses = [entry["address"] for entry in status["addresses"]]
            rewrite(record, job.container_id, line(record, job.container_id, addresses, known, job.dns))
    announce(keeper)
    port = uplink.dns_port(keeper)
    for record, status in served:
        gateway = next((entry["gateway"] for entry in status["addresses"] if entry["gateway"]), "")
        if not gateway or wait_until_known(gateway, port, job.container_id[:12], 0.3):
            continue
        from pyman.network import living

        with config.lock():
            job.restore()  # another network's file may be what the server cannot read
        announce(keeper)
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
