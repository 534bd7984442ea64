"""Published ports: the grammar of -p, ranges, random host ports. CLI process."""

from __future__ import annotations

import _socket

from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _bad(spec: str, why: str) -> UsageError:
    return UsageError(
        f"invalid port {spec!r}", why, "the form is [[IP:]HOST-PORT:]CONTAINER-PORT[/tcp|/udp], for example 127.0.0.1:8080:80"
    )


def _range(text: str, spec: str) -> tuple[int, int]:
    """(first, count) of `80` or `80-89`."""
    first, dash, last = text.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        raise _bad(spec, f"{text!r} is not a port or a range of ports")
    low, high = int(first), int(last) if dash else int(first)
    if not 0 < low <= high <= 65535:
        raise _bad(spec, f"{text!r} is outside 1-65535 or runs backwards")
    return low, high - low + 1


def _address(text: str, spec: str) -> str:
    plain = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, plain)
            return plain
        except OSError:
            continue
    raise _bad(spec, f"{text!r} is not an IP address")


def _split(spec: str) -> tuple[str, str, str, str]:
    """(ip, host part, container part, protocol)."""
    rest, _, protocol = spec.partition("/")
    ip = ""
    if rest.startswith("["):
        end = rest.find("]")
        if end < 0 or rest[end + 1 : end + 2] != ":":
            raise _bad(spec, "the IPv6 address is not closed by ]:")
        ip, rest = rest[: end + 1], rest[end + 2 :]
    parts = rest.split(":")
    if len(parts) == 3 and not ip:
        ip, parts = parts[0], parts[1:]
    if len(parts) > 2:
        raise _bad(spec, "it has too many colons")
    host, container = parts if len(parts) == 2 else ("", parts[0])
    return ip, host, container, protocol.lower() or "tcp"


def parse_publish(specs: list[str]) -> list[dict[str, Any]]:
    """Port mappings {"host_ip", "host_port", "container_port", "protocol", "range"}; random host ports are chosen here.

    UsageError for anything outside the grammar, sctp (no rootless forwarder has it), or two mappings of one host port.
    """
    result: list[dict[str, Any]] = []
    for spec in specs:
        ip, host, container, protocol = _split(spec)
        if protocol == "sctp":
            raise UsageError(f"cannot publish {spec}", "neither pasta nor slirp4netns forwards sctp", "use tcp or udp, or --network host")
        if protocol not in ("tcp", "udp"):
            raise _bad(spec, f"the protocol {protocol!r} is neither tcp nor udp")
        first, count = _range(container, spec)
        address = _address(ip, spec) if ip else ""
        if host:
            host_first, host_count = _range(host, spec)
            if count == 1 and host_count > 1:
                host_first, host_count = _free_port(address, protocol, range(host_first, host_first + host_count), spec), 1
            if host_count != count:
                raise _bad(spec, f"{host_count} host ports cannot be mapped to {count} container ports")
        else:
            host_first = _free_port(address, protocol, range(0, 1), spec) if count == 1 else _free_run(address, protocol, count, spec)
        result.append({"host_ip": address, "host_port": host_first, "container_port": first, "protocol": protocol, "range": count})
    _refuse_overlaps(result)
    return result


def _refuse_overlaps(ports: list[dict[str, Any]]) -> None:
    taken: set[tuple[str, str, int]] = set()
    for port in ports:
        for offset in range(port["range"]):
            key = (port["host_ip"], port["protocol"], port["host_port"] + offset)
            if key in taken:
                raise UsageError(f"cannot publish host port {key[2]}/{key[1]} twice", "two --publish options name it")
            taken.add(key)


def _bindable(address: str, protocol: str, port: int) -> int:
    """The port bound (chosen by the kernel for 0), or 0 if it is taken."""
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    sock = _socket.socket(family, _socket.SOCK_STREAM if protocol == "tcp" else _socket.SOCK_DGRAM)
    try:
        sock.bind((address, port))
        return int(sock.getsockname()[1])
    except OSError:
        return 0
    finally:
        sock.close()


def _free_port(address: str, protocol: str, among: range, spec: str) -> int:
    for port in among:
        found = _bindable(address, protocol, port)
        if found:
            return found
    raise UsageError(f"cannot publish {spec}", "every port of the range is in use")


def _free_run(address: str, protocol: str, count: int, spec: str) -> int:
    for _ in range(100):
        first = _bindable(address, protocol, 0)
        if first + count <= 65536 and all(_bindable(address, protocol, first + n) for n in range(count)):
            return first
    raise UsageError(f"cannot publish {spec}", f"no {count} free ports in a row were found")
