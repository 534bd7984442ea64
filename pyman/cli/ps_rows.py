"""What `ps` can say of one container: cells, template fields, JSON; each is worked out when it is asked for. CLI process."""

from __future__ import annotations

import os
import time

from pyman.cli import output
from pyman.engine import container as containers
from pyman.engine import ps
from pyman.errors import NoSuchContainer, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    State = dict[str, Any]

_NEVER = -62135596800  # the zero time of Go, which Podman prints for "not yet"
# Heading with --ns, kind in /proc, key in Podman's JSON.
NAMESPACES = (
    ("CGROUPNS", "cgroup", "Cgroup"),
    ("IPC", "ipc", "Ipc"),
    ("MNT", "mnt", "Mnt"),
    ("NET", "net", "Net"),
    ("PIDNS", "pid", "Pidns"),
    ("USERNS", "user", "User"),
    ("UTS", "uts", "Uts"),
)
HEADINGS = {"ID": "CONTAINER ID", "CreatedHuman": "CREATED", "Pod": "POD ID", "PodName": "PODNAME"}


def status_text(state: State) -> str:
    """Up 5 minutes; Exited (0) 3 hours ago; Created."""
    health = ""
    if state.get("health"):
        from pyman.engine import health_state  # with a health check only

        health = f" ({health_state.status(state)})" if state["status"] != "created" else ""
    if state["status"] == "running":
        return "Up " + output.duration(time.time() - state["started"]) + health
    if state["status"] == "exited":
        from pyman.engine import restart_policy

        if restart_policy.waiting(state):
            return f"Restarting ({state['exit_code']}) {output.ago(state['finished'])}"
        return f"Exited ({state['exit_code']}) {output.ago(state['finished'])}{health}"
    return str(state["status"]).capitalize()


def measure(states: list[State]) -> list[State]:
    """Count the sizes of containers, for `sizes`. Those that have gone meanwhile are left out."""
    from pyman.engine import sizes as counting

    found = counting.all_sizes([state["id"] for state in states])
    for state in states:
        state["sizes"] = found.get(state["id"])
    return [state for state in states if state["sizes"]]


def sizes(state: State) -> tuple[int, int]:
    """(bytes of its own, the same plus its image's); none of one that has gone."""
    if "sizes" not in state:
        measure([state])
    return state["sizes"] or (0, 0)


def size_text(state: State) -> str:
    """12.3kB (virtual 4.5MB)."""
    own, virtual = (output.human_size(number).replace(" ", "") for number in sizes(state))
    return f"{own} (virtual {virtual})"


def namespace(state: State, kind: str) -> str:
    """The inode of a running container's namespace; an empty text if it does not run."""
    try:
        return os.readlink(f"/proc/{state['pid']}/ns/{kind}").strip(f"{kind}:[]") if state["pid"] else ""
    except OSError:
        return ""  # it ended just now


def namespaces(state: State) -> dict[str, str]:
    """All namespaces of a running container, under Podman's keys."""
    return {key: namespace(state, kind) for _, kind, key in NAMESPACES} if state["pid"] else {}


def _config(state: State) -> dict[str, Any]:
    try:
        return containers.Container(state["id"]).config
    except (NoSuchContainer, StorageError):
        return {"options": {}, "image_config": {}}  # it has just been removed, or has lost it


def exposed(state: State) -> dict[str, list[str]]:
    """{port: [protocols]} of the image's and --expose's ports."""
    config = _config(state)
    found: dict[str, list[str]] = {}
    if config["image_config"].get("ExposedPorts") or config["options"].get("expose"):
        from pyman.engine import exposed as listed  # with such ports only

        for protocol, number in listed.ports(listed.names(config["image_config"], config["options"])):
            found.setdefault(str(number), []).append(protocol)
    return found


def ports(state: State) -> str:
    """0.0.0.0:8080->80/tcp, 99/tcp: the published ports, and those that are only exposed."""
    published = ps.port_text(state["ports"])
    if not state.get("exposed"):
        return published
    from pyman.engine import exposed as listed  # with such ports only

    return ", ".join(text for text in (published, listed.text(state["exposed"], state["ports"])) if text)


def mounts(state: State) -> list[str]:
    """Where volumes and paths of the host are mounted; before the first start, where they will be."""
    return sorted(state["mounts"] or {**(state.get("binds") or {}), **(state.get("volume_at") or {})})


def cid_file(state: State) -> str:
    """The file --cidfile wrote."""
    return str(_config(state)["options"].get("cidfile") or "")


def created(state: State) -> Any:
    """The time of its creation, with what templates can ask of a time."""
    from pyman.cli.gotemplate_time import moment

    return moment(state["created"])


def command(state: State) -> str:
    """The command, shortened to 20 characters."""
    text = " ".join(state["command"])
    return text if len(text) <= 20 else text[:17] + "..."


def _namespace_field(kind: str) -> Callable[[State], str]:
    return lambda state: namespace(state, kind)


_FIELDS: dict[str, Callable[[State], Any]] = {
    "AutoRemove": lambda s: s["auto_remove"],
    "CIDFile": cid_file,
    "Command": command,
    "Created": created,
    "CreatedAt": lambda s: output.go_time(s["created"]),
    "CreatedHuman": lambda s: output.ago(s["created"]),
    "ExitCode": lambda s: s["exit_code"],
    "Exited": lambda s: s["status"] == "exited",
    "ExitedAt": lambda s: int(s["finished"]) or _NEVER,
    "ExposedPorts": exposed,
    "ID": lambda s: s["id"][:12],
    "Id": lambda s: s["id"],
    "Image": lambda s: s["image"],
    "ImageID": lambda s: s["image_id"][:12],
    "IsInfra": lambda s: False,
    "Label": lambda s: lambda name: s["labels"].get(str(name), ""),
    "Labels": lambda s: s["labels"],
    "Mounts": mounts,
    "Names": lambda s: s["name"],
    "Namespaces": namespaces,
    "Networks": lambda s: ",".join(s["networks"]),
    "Pid": lambda s: s["pid"],
    "Pod": lambda s: "",
    "PodName": lambda s: "",
    "Ports": ports,
    "Restarts": lambda s: s["restarts"],
    "RunningFor": lambda s: output.ago(s["created"]),
    "Size": size_text,
    "StartedAt": lambda s: int(s["started"]) or _NEVER,
    "State": lambda s: s["status"],
    "Status": status_text,
    **{heading: _namespace_field(kind) for heading, kind, _ in NAMESPACES},
}
_LONG: dict[str, Callable[[State], Any]] = {
    "ID": lambda s: s["id"],
    "ImageID": lambda s: s["image_id"],
    "Command": lambda s: " ".join(s["command"]),
}


def functions(trunc: bool) -> dict[str, Callable[[State], Any]]:
    """Field name -> what works it out from a state; without `trunc` ids and commands are whole."""
    return _FIELDS if trunc else {**_FIELDS, **_LONG}


def cells(state: State, columns: list[str], trunc: bool) -> list[str]:
    """The fields `columns` as text."""
    known = functions(trunc)
    return [str(known[column](state)) for column in columns]


def json_row(state: State, size: bool = False, with_namespaces: bool = False) -> dict[str, Any]:
    """One container as `ps --format json` shows it in Podman."""
    return {
        "AutoRemove": state["auto_remove"],
        "Command": state["command"],
        "CreatedAt": output.ago(state["created"]),
        "CIDFile": cid_file(state),
        "Exited": state["status"] == "exited",
        "ExitedAt": int(state["finished"]) or _NEVER,
        "ExitCode": state["exit_code"],
        "ExposedPorts": exposed(state) or None,
        "Id": state["id"],
        "Image": state["image"],
        "ImageID": state["image_id"],
        "IsInfra": False,
        "Labels": state["labels"] or None,
        "Mounts": mounts(state),
        "Names": [state["name"]],
        "Namespaces": namespaces(state) if with_namespaces else {},
        "Networks": state["networks"],
        "Pid": state["pid"],
        "Pod": "",
        "PodName": "",
        "Ports": state["ports"] or None,
        "Restarts": state["restarts"],
        "Size": dict(zip(("rwSize", "rootFsSize"), sizes(state))) if size else None,
        "StartedAt": int(state["started"]) or _NEVER,
        "State": state["status"],
        "Status": status_text(state),
        "Created": int(state["created"]),
    }
