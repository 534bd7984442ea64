"""Published ports: the grammar of -p, ranges, random host ports. CLI process."""

from __future__ import annotations

import _socket

from pyman.digits import is_whole
from pyman.errors import UsageError
from pyman.network import helper

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
    if not all(is_whole(part, 9) for part in ((first, last) if dash else (first,))):
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
        if not ip:
            raise _bad(spec, "the address before the first colon is missing")
    if len(parts) > 2:
        raise _bad(spec, "it has too many colons")
    host, container = parts if len(parts) == 2 else ("", parts[0])
    return ip, host, container, protocol.lower() or "tcp"


def check_publish(specs: list[str]) -> None:
    """UsageError for anything outside the grammar, sctp (no rootless forwarder has it), or two mappings of one host port."""
    _refuse_overlaps([port for port in (_parsed(spec) for spec in dict.fromkeys(specs)) if port["host_port"]])


def _parsed(spec: str) -> dict[str, Any]:
    """A mapping as written: host_port 0 for one to be chosen, "among": how many to choose it from, 0 for all there are."""
    ip, host, container, protocol = _split(spec)
    if protocol == "sctp":
        raise UsageError(f"cannot publish {spec}", "neither pasta nor slirp4netns forwards sctp", "use tcp or udp, or --network host")
    if protocol not in ("tcp", "udp"):
        raise _bad(spec, f"the protocol {protocol!r} is neither tcp nor udp")
    first, count = _range(container, spec)
    made: dict[str, Any] = {"host_ip": _address(ip, spec) if ip else "", "host_port": 0, "container_port": first}
    made.update(protocol=protocol, range=count)
    if host:
        low, host_count = _range(host, spec)
        if count == 1 and host_count > 1:
            made["among"] = range(low, low + host_count)
        elif host_count != count:
            raise _bad(spec, f"{host_count} host ports cannot be mapped to {count} container ports")
        else:
            made["host_port"] = low
    return made


def parse_publish(specs: list[str], addresses: list[str] | None = None, before: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Port mappings {"host_ip", "host_port", "container_port", "protocol", "range"}; random host ports are chosen here.

    addresses: of the host, for mappings that name none; before: the mappings of the container's last run, whose random ports are kept
    where they are free. UsageError for anything outside the grammar, sctp, or two mappings of one host port.
    """
    result: list[dict[str, Any]] = []
    for spec in dict.fromkeys(specs):  # said twice it is still one
        made = _parsed(spec)
        among = made.pop("among", None)
        chosen = made["host_port"]
        for address in [made["host_ip"]] if made["host_ip"] else addresses or [""]:
            port = {**made, "host_ip": address}
            if not chosen:
                taken = {(other["protocol"], other["host_port"] + n) for other in result for n in range(other["range"])}
                chosen = _kept(port, among, before or [], taken) or _choose(port, among, taken, spec)
            result.append({**port, "host_port": chosen})
    _refuse_overlaps(result)
    return result


def _kept(port: dict[str, Any], among: range | None, before: list[dict[str, Any]], taken: set[tuple[str, int]]) -> int:
    """The host port that the mapping had, if it can have it again; else 0."""
    for old in before:
        first = old["host_port"]
        same = all(old[key] == port[key] for key in ("host_ip", "container_port", "protocol", "range"))
        if same and (among is None or first in among) and (port["protocol"], first) not in taken:
            if all(_bindable(port["host_ip"], port["protocol"], first + n) for n in range(port["range"])):
                return int(first)
    return 0


def _choose(port: dict[str, Any], among: range | None, taken: set[tuple[str, int]], spec: str) -> int:
    address, protocol, count = port["host_ip"], port["protocol"], port["range"]
    if count > 1:
        return _free_run(address, protocol, count, spec)
    if among is None:
        return _free_port(address, protocol, range(0, 1), spec)
    free = [number for number in among if (protocol, number) not in taken]
    for number in free:
        if _bindable(address, protocol, number):
            return number
    raise UsageError(f"cannot publish {spec}", "every port of the range is in use")


def _refuse_overlaps(ports: list[dict[str, Any]]) -> None:
    taken: dict[tuple[str, int], list[str]] = {}
    for port in ports:
        for offset in range(port["range"]):
            key = (port["protocol"], port["host_port"] + offset)
            for other in taken.setdefault(key, []):
                if _same_place(port["host_ip"], other) or _same_place(other, port["host_ip"]):
                    where = (
                        ""
                        if port["host_ip"] == other
                        else f": at {' and at '.join(ip or 'all addresses' for ip in (other, port['host_ip']))}"
                    )
                    why = f"two --publish options of this container name it{where}"
                    raise UsageError(f"cannot publish host port {key[1]}/{key[0]} twice", why, "leave one of them out")
            taken[key].append(port["host_ip"])


def _same_place(one: str, other: str) -> bool:
    """Whether what listens at `one` (empty: all addresses) is in the way of what listens at `other`."""
    return one in ("", other) or (one == "0.0.0.0" and ":" not in other) or (one == "::" and ":" in other)


def _bindable(address: str, protocol: str, port: int) -> int:
    """The port bound (chosen by the kernel for 0), or 0 if it is taken. Without an address it has to be free for both versions of IP."""
    if address:
        return _bind(address, protocol, port)
    for _ in range(1 if port else 20):
        found = _bind("", protocol, port)
        if not found or _bind("::", protocol, found):
            return found
    return 0


def _bind(address: str, protocol: str, port: int) -> int:
    try:
        return helper.bind(address, protocol, port)
    except OSError as err:
        return port if err.errno in (93, 97) else 0  # EPROTONOSUPPORT, EAFNOSUPPORT: no such version of IP, in nobody's way


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
