"""/etc/hosts and /etc/resolv.conf of a container. Process C; written in place, since they are bound into the root."""

from __future__ import annotations

import _socket
import os
import stat

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.network.setup import NetInfo

WITHOUT = "--network pasta:-a,169.254.2.2,-n,30,-g,169.254.2.1"  # by which a pasta without an address for the host gets one, as pasta.apart
DOMAIN = "dns.podman"  # below which the networks' name servers know the containers, too


def _read(path: str) -> list[str]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # what was a file may be a FIFO by now
        with open(fd, encoding="utf-8", errors="replace") as file:
            return file.read().split("\n") if stat.S_ISREG(os.fstat(fd).st_mode) else []
    except OSError:
        return []


def host_servers() -> list[str]:
    """The name servers of the host's resolv.conf."""
    host = [line.split() for line in _read("/etc/resolv.conf")]
    return [words[1] for words in host if len(words) > 1 and words[0] == "nameserver"]


def host_address() -> str:
    """The address by which the host reaches others; empty if there is none. This process is in the host's network."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(("192.0.2.1", 9))  # sends nothing: the kernel looks for a route, and so for an address
        return str(sock.getsockname()[0])
    except OSError:
        return ""
    finally:
        sock.close()


def _gateway(info: NetInfo, conf: dict[str, Any]) -> str:
    """The address by which a container reaches the host; empty if there is none."""
    configured = str(conf["containers"].get("host_containers_internal_ip") or "")
    if configured:
        return "" if configured == "none" else configured
    # A helper without an address for the host gives the container the host's own one, by which it reaches itself only.
    return info.host_address or ("" if info.private else host_address())


def _added(items: list[str], gateway: str) -> list[tuple[str, list[str]]]:
    """What --add-host asks for: addresses and their names. UsageError."""
    found = []
    for item in items:
        names, _, address = item.partition(":")
        if not names.strip(";") or not address:
            raise UsageError(
                f"invalid value {item!r} for --add-host", "the form is NAME[;NAME...]:IP", "for example: --add-host db:10.0.0.5"
            )
        if address == "host-gateway" and not gateway:
            raise UsageError(
                f"cannot use --add-host {item}",
                "this container has no address by which it reaches the host",
                f"with a pasta before 2024_08_21: {WITHOUT}; or give an address, or set containers.host_containers_internal_ip",
            )
        found.append((gateway if address == "host-gateway" else address.strip("[]"), [name for name in names.split(";") if name]))
    return found


def base_file(opts: dict[str, Any], conf: dict[str, Any]) -> str:
    """What /etc/hosts begins with: a path, none, or image."""
    return str(opts.get("hosts_file") or conf["containers"].get("base_hosts_file") or "/etc/hosts")


def write_hosts(
    path: str, names: tuple[str, str], info: NetInfo, opts: dict[str, Any], mode: str, conf: dict[str, Any], image: list[str]
) -> None:
    """--add-host, the base file, and, where these do not have the names already: localhost, the host's, the container's own.

    names: host name and name of the container; image: lines of the image's /etc/hosts. UsageError for a bad --add-host.
    """
    gateway = _gateway(info, conf)
    entries = _added(list(opts.get("add_host") or []), gateway)
    base = base_file(opts, conf)
    for line in image if base == "image" else [] if base == "none" else _read(base):
        address, *known = line.partition("#")[0].split() or [""]
        if known:
            entries.append((address, known))
    taken = {name for _, known in entries for name in known}
    ours = [("127.0.0.1", ["localhost"]), ("::1", ["localhost"])]
    if gateway:
        ours.append((gateway, ["host.containers.internal", "host.docker.internal"]))
    if mode != "host":
        addresses = [entry["address"] for status in info.attached for entry in status["addresses"]] or [info.ip or "127.0.0.1"]
        ours += [(address, list(dict.fromkeys(names))) for address in addresses]
    entries += [(address, [name for name in known if name not in taken]) for address, known in ours]
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(f"{address}\t{' '.join(known)}\n" for address, known in entries if known))


def copy(theirs: str, path: str, names: tuple[str, ...] = ()) -> bool:
    """The /etc/hosts or resolv.conf of the container whose network is shared; whether it could be read.

    theirs: path of a file that the other container may write to; names: this container's own, which are put at loopback.
    """
    try:
        fd = os.open(theirs, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # the runtime directory was wiped
    with open(fd, encoding="utf-8", errors="replace") as file:
        text = file.read(1 << 20)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.removesuffix("\n") + "\n" if text else "")
        if names:
            file.write(f"127.0.0.1\t{' '.join(dict.fromkeys(names))}\n")
    return True


def _forwarded(theirs: list[str]) -> str:
    """Which of the host's servers a helper's forwarder asks: the first IPv4 one. Empty if it has nobody to ask."""
    return next((server for server in theirs if ":" not in server), "")


def usual_servers(forwarder: list[str]) -> list[str]:
    """What a namespace asks by itself: the helper's forwarder (or none), and those of the host's servers that it can reach.

    The host's loopback is out of reach; so is the server that the forwarder stands for, since pasta takes its answers for the forwarder's.
    """
    theirs = host_servers()
    first = _forwarded(theirs) if forwarder else ""
    others = [server for server in theirs if server != first and not server.startswith(("127.", "::1"))]
    return (forwarder if first or not others else []) + others


def reached_by(forwarder: list[str], servers: list[str]) -> list[str]:
    """Servers that somebody wants to ask, by the addresses at which they answer: that which the forwarder stands for answers by its address."""
    first = _forwarded(host_servers()) if forwarder else ""
    return [forwarder[0] if server == first else server for server in servers]


def write_resolv_conf(path: str, info: NetInfo, opts: dict[str, Any], conf: dict[str, Any], mode: str) -> None:
    """--dns and friends, else containers.toml's, else the helper's forwarder, else the host's name servers."""
    table = conf["containers"]
    host = [line.split() for line in _read("/etc/resolv.conf")]
    servers = list(opts.get("dns") or table.get("dns_servers") or [])
    if info.only_dns:
        servers = info.dns  # the networks' own, which ask the others
    elif servers:
        servers = reached_by(info.dns, servers)
    elif mode != "none":
        servers = usual_servers(info.dns) if info.private else host_servers()
    searches = list(opts.get("dns_search") or table.get("dns_searches") or [])
    if not searches:
        searches = [DOMAIN] if info.only_dns else []
        searches += [word for words in host if words and words[0] in ("search", "domain") for word in words[1:]]
    options = list(opts.get("dns_option") or table.get("dns_options") or [])
    if not options:
        options = [word for words in host if words and words[0] == "options" for word in words[1:]]
    lines = []
    if searches and "." not in searches:
        lines.append("search " + " ".join(searches))
    lines += [f"nameserver {server}" for server in servers]
    if options:
        lines.append("options " + " ".join(options))
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
