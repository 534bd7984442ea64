"""Ports that a container exposes without publishing them: --expose and the image's EXPOSE. CLI process."""

from __future__ import annotations

from pyman.digits import is_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Port = tuple[str, int]  # protocol, number


def names(image_config: dict[str, Any], opts: dict[str, Any]) -> list[str]:
    """PORT[-LAST]/PROTOCOL of each, without those that are none (the image's come from a registry)."""
    found = dict.fromkeys(str(name) for name in [*(image_config.get("ExposedPorts") or {}), *(opts.get("expose") or [])])
    return [name if "/" in name else f"{name}/tcp" for name in found if _range(name)]


def _range(name: str) -> tuple[str, int, int] | None:
    ports, _, protocol = name.partition("/")
    first, _, last = ports.partition("-")
    last = last or first
    if not (is_whole(first, 5) and is_whole(last, 5)):
        return None
    if protocol not in ("", "tcp", "udp", "sctp") or not 0 < int(first) <= int(last) < 65536:
        return None
    return protocol or "tcp", int(first), int(last)


def ports(listed: list[str]) -> list[Port]:
    """(protocol, number) of each single port, in order."""
    found: set[Port] = set()
    for name in listed:
        parsed = _range(name)
        if parsed:
            found.update((parsed[0], number) for number in range(parsed[1], parsed[2] + 1))
    return sorted(found)


def unpublished(image_config: dict[str, Any], opts: dict[str, Any], specs: list[str]) -> list[str]:
    """The exposed ports that no specification in `specs` publishes. What is no port stays, for its error."""
    found: list[str] = []
    taken = {port for spec in specs for port in _each(spec.rsplit(":", 1)[-1])}
    for port in dict.fromkeys([*(opts.get("expose") or []), *(image_config.get("ExposedPorts") or {})]):
        each = _each(port)
        left = [one for one in each if one not in taken]
        found += [port] if left == each else left
        taken.update(left)
    return found


def _each(name: str) -> list[str]:
    """The single ports of a range, with their protocol: 80-81 -> 80/tcp, 81/tcp."""
    found = _range(name.lower())
    return [f"{number}/{found[0]}" for number in range(found[1], found[2] + 1)] if found else [name]


def text(listed: list[str], published: list[dict[str, Any]]) -> str:
    """20-22/tcp, 77/tcp: what is not published, as `ps` shows it."""
    taken = {(port["protocol"], port["container_port"] + offset) for port in published for offset in range(port["range"])}
    runs: list[tuple[str, int, int]] = []
    for protocol, number in ports(listed):
        if (protocol, number) in taken:
            continue
        if runs and runs[-1][0] == protocol and runs[-1][2] == number - 1:
            runs[-1] = (protocol, runs[-1][1], number)
        else:
            runs.append((protocol, number, number))
    return ", ".join(f"{first}-{last}/{protocol}" if last > first else f"{first}/{protocol}" for protocol, first, last in runs)
