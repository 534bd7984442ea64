"""Listing containers: filters, order, and the fields that --format knows. CLI process."""

from __future__ import annotations

from pyman.digits import FALSE, TRUE, is_whole
from pyman.engine.container import shown_status
from pyman.errors import PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_KNOWN = (
    "id",
    "name",
    "label",
    "status",
    "exited",
    "ancestor",
    "before",
    "since",
    "until",
    "volume",
    "network",
    "command",
    "health",
    "pod",
    "restart-policy",
    "should-start-on-boot",
)
_VALUES = {
    "restart-policy": ("always", "no", "none", "on-failure", "unless-stopped"),
    "should-start-on-boot": (*TRUE, *FALSE),
    "status": ("created", "initialized", "exited", "paused", "running", "stopped", "stopping", "removing", "unknown"),
}
_LONGEST = 20  # containers that live in each other's networks


def check(filters: list[str]) -> None:
    """UsageError for a filter without a value, with an unknown key, or with a value that there is not: before the first container is looked at."""
    for item in filters:
        key, separator, value = item.partition("=")
        if not separator or key.rstrip("!") not in _KNOWN:
            from pyman.engine import filters as mistakes

            raise mistakes.unknown(item, key, "containers", _KNOWN)
        if key.rstrip("!") == "until":
            from pyman.monitor.logs import parse_until

            parse_until(value)
        if key.rstrip("!") in _VALUES and value not in _VALUES[key.rstrip("!")]:
            why = "it must be one of " + ", ".join(_VALUES[key.rstrip("!")])
            raise UsageError(f"invalid filter {item}", why)


def matches(state: dict[str, Any], filters: list[str], everything: list[dict[str, Any]] | None = None) -> bool:
    """Whether a container passes all filters (equal keys are alternatives, but for label). UsageError for an unknown key."""
    check(filters)
    groups: dict[str, list[str]] = {}
    for item in filters:
        key, _, value = item.partition("=")
        groups.setdefault(key, []).append(value)
    for key, values in groups.items():
        hits = [_one(state, key.rstrip("!"), value, everything or []) for value in values]
        found = all(hits) if key == "label" else any(hits)
        if found == key.endswith("!"):
            return False
    return True


def _one(state: dict[str, Any], key: str, value: str, everything: list[dict[str, Any]]) -> bool:
    if key == "id":
        from pyman.engine import filters  # with this filter only

        return filters.has_id(state["id"], value)
    if key == "name":
        # For Docker names begin with a slash, and scripts say ^/NAME$; no name of ours has one.
        return _search(value if "[" in value else value.replace("/", ""), state["name"], key)
    if key == "label":
        from pyman.engine import filters  # with this filter only

        return filters.has_label(state["labels"], value)
    if key == "status":
        return shown_status(state) == {"stopped": "exited"}.get(value, value)
    if key == "exited":
        if not is_whole(value.removeprefix("-"), 11):
            raise UsageError(f"invalid filter exited={value}", "an exit code is a number")
        return bool(state["status"] == "exited" and state["exit_code"] == int(value))
    if key == "ancestor":
        return value in state["image"] or (len(value) > 3 and state["image_id"].startswith(value)) or _search(value, state["image"], key)
    if key == "until":
        from pyman.monitor.logs import parse_until

        return bool(state["created"] < parse_until(value))
    if key in ("before", "since"):
        other = next((s for s in everything if s["name"] == value or s["id"].startswith(value)), None)
        if other is None:
            raise UsageError(f"invalid filter {key}={value}", "no such container")
        return bool(state["created"] < other["created"] if key == "before" else state["created"] > other["created"])
    if key == "volume":
        # NAME[:PLACE]: a volume or a path of the host, and where it is; as the manual says, a place alone will do too.
        source, _, place = value.partition(":")
        sources = {**(state.get("binds") or {}), **(state.get("volume_at") or {})}
        return any(found == source and place in ("", at) for at, found in sources.items()) or value in sources
    if key == "network":
        return value in state["networks"] or _shares(state, value, everything) or _has_network(state, value)
    if key == "command":
        return bool(state["command"]) and state["command"][0] == value
    if key == "restart-policy":
        return bool(state.get("restart_policy", "no").partition(":")[0] == {"none": "no"}.get(value, value))
    if key == "pod":
        return False  # no container has one
    if key == "health":
        from pyman.engine import health_state

        return bool(state.get("health")) and health_state.status(state) == value.lower()
    from pyman.engine import restart_policy
    from pyman.engine.container import containers_dir

    starts = restart_policy.starts_on_boot(state, f"{containers_dir()}/{state['id']}")
    return starts == (value in TRUE)


def _shares(state: dict[str, Any], value: str, everything: list[dict[str, Any]]) -> bool:
    """Whether a container lives in the network of the one that container:NAME names. (As in Podman no other mode is a network.)"""
    mode, wanted = str(state.get("network_mode") or ""), value.removeprefix("container:")
    if wanted == value or not wanted or not mode.startswith("container:"):
        return False
    return mode == value or any(_is_called(other, mode[10:]) and _is_called(other, wanted) for other in everything)


def _is_called(state: dict[str, Any], text: str) -> bool:
    """Whether a container has that name, or an id that begins so."""
    return bool(text == state["name"] or state["id"].startswith(text))


def lend_ports(everything: list[dict[str, Any]]) -> None:
    """Have the states of containers that live in another's network say its ports, as Podman does."""
    for state in everything:
        owner: dict[str, Any] | None = state
        for _ in range(_LONGEST):
            mode = str(owner.get("network_mode") or "") if owner else ""
            if not mode.startswith("container:"):
                break
            owner = next((other for other in everything if _is_called(other, mode[10:])), None)
        if owner is not None and owner is not state:
            state["ports"] = owner["ports"]


def _has_network(state: dict[str, Any], value: str) -> bool:
    """Whether a container is on the network whose id begins so."""
    if not state["networks"] or not value or value.strip("0123456789abcdef"):
        return False
    from pyman.engine import networks  # with such a filter only

    try:
        return str(networks.get(value)["name"]) in state["networks"]
    except PymanError:
        return False


def _search(pattern: str, text: str, key: str) -> bool:
    """A regular expression somewhere in `text`, as in Podman. UsageError for a bad one."""
    if pattern.replace("-", "").replace("_", "").isalnum():
        return pattern in text
    import re  # only for a pattern that is one

    try:
        return re.search(pattern, text) is not None
    except re.error as err:
        raise UsageError(f"invalid filter {key}={pattern}", f"it is no regular expression: {err}") from err


def port_text(ports: list[dict[str, Any]]) -> str:
    """0.0.0.0:8080->80/tcp, ..."""
    parts = []
    for port in ports:
        last = port["range"] - 1
        host = f"{port['host_port']}" + (f"-{port['host_port'] + last}" if last else "")
        inner = f"{port['container_port']}" + (f"-{port['container_port'] + last}" if last else "")
        parts.append(f"{port['host_ip'] or '0.0.0.0'}:{host}->{inner}/{port['protocol']}")
    return ", ".join(parts)
