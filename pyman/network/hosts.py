"""/etc/hosts and /etc/resolv.conf of a container. Process C; written in place, since they are bound into the root."""

from __future__ import annotations

import _socket

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.network.setup import NetInfo


def _read(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().split("\n")
    except OSError:
        return []


def host_servers() -> list[str]:
    """The name servers of the host's resolv.conf."""
    host = [line.split() for line in _read("/etc/resolv.conf")]
    return [words[1] for words in host if len(words) > 1 and words[0] == "nameserver"]


def _host_address() -> str:
    """The address by which the host reaches others; empty if there is none. This process is in the host's network."""
    sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(("192.0.2.1", 9))  # sends nothing: the kernel looks for a route, and so for an address
        return str(sock.getsockname()[0])
    except OSError:
        return ""
    finally:
        sock.close()


def write_hosts(path: str, hostname: str, name: str, info: NetInfo, opts: dict[str, Any], mode: str) -> None:
    """Loopback names, --add-host, the host's name, the container's own names. UsageError for a bad --add-host."""
    base = opts.get("hosts_file") or ""
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    if base not in ("", "none", "image"):
        lines = [line for line in _read(base) if line.strip()]
    # A helper without an address for the host gives the container the host's own one, by which it reaches itself only.
    gateway = info.host_address or ("" if info.private else _host_address())
    for item in opts.get("add_host") or []:
        names, _, address = item.partition(":")
        if not names or not address:
            raise UsageError(
                f"invalid value {item!r} for --add-host", "the form is NAME[;NAME...]:IP", "for example: --add-host db:10.0.0.5"
            )
        address = (gateway or "127.0.0.1") if address == "host-gateway" else address.strip("[]")
        lines.append(f"{address}\t{names.replace(';', ' ')}")
    if gateway:
        lines.append(f"{gateway}\thost.containers.internal host.docker.internal")
    own = [hostname, name] if hostname != name else [name]
    if mode != "host":
        addresses = [entry["address"] for status in info.attached for entry in status["addresses"]] or [info.ip or "127.0.0.1"]
        lines += [f"{address}\t{' '.join(own)}" for address in addresses]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def write_resolv_conf(path: str, info: NetInfo, opts: dict[str, Any], conf: dict[str, Any]) -> None:
    """--dns and friends, else containers.toml's, else the helper's forwarder, else the host's name servers."""
    table = conf["containers"]
    host = [line.split() for line in _read("/etc/resolv.conf")]
    servers = list(opts.get("dns") or table.get("dns_servers") or [])
    if info.only_dns:
        servers = info.dns  # the networks' own, which ask the others
    elif not servers:
        theirs = host_servers()
        # The host's loopback resolver cannot be reached from another network namespace; the helper's forwarder can.
        reachable = [server for server in theirs if not info.private or not server.startswith(("127.", "::1"))]
        servers = info.dns + reachable if info.private else theirs
    searches = list(opts.get("dns_search") or table.get("dns_searches") or [])
    if not searches:
        searches = [word for words in host if words and words[0] in ("search", "domain") for word in words[1:]]
    options = list(opts.get("dns_option") or table.get("dns_options") or [])
    if not options:
        options = [word for words in host if words and words[0] == "options" for word in words[1:]]
    lines = []
    if searches and searches != ["."]:
        lines.append("search " + " ".join(searches))
    lines += [f"nameserver {server}" for server in servers]
    if options:
        lines.append("options " + " ".join(options))
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in lines))
