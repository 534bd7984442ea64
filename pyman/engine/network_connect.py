"""Connect containers to networks and disconnect them, running or not; mend what was lost. CLI process.

What was connected is kept in the container's state (`attachments`) and counts instead of its --network options from then on.
"""

from __future__ import annotations

import os

from pyman.config import containers as containers_conf
from pyman.engine import bridge_change, bridge_keeper, bridges, networks, port_conflict, shared_network
from pyman.engine import plan as plans
from pyman.engine.container import RUNNING, Container, lookup
from pyman.errors import NetworkError, NoSuchObject, StateError
from pyman.linux import process
from pyman.network import attachments, clashes, config, forward, helper, living, names, subnets, uplink
from pyman.rootless import userns
from pyman.state import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _require_bridge(container: Container, conf: dict[str, Any]) -> None:
    if container.state.get("attachments") is not None:
        return
    mode = plans.network_mode(container.config["options"], conf)
    if mode != "bridge":
        raise StateError(
            f"cannot change the networks of container {container.name}",
            f"its network mode is {mode}",
            "only containers made with --network NAME can be connected to further networks",
        )


def connect(name: str, container_name: str, *, aliases: list[str], ips: list[str], mac: str) -> None:
    """Attach a container to a network. NoSuchObject, StateError, StorageError, NetworkError, UsageError."""
    conf = containers_conf.load()
    record = networks.get(name)
    made = attachments.new(record["name"])
    made["aliases"] = [attachments.check_alias(alias) for alias in aliases]
    made["ips"] = [subnets.ip_text(subnets.parse_ip(ip)) for ip in ips]
    made["mac"] = subnets.mac_text(subnets.parse_mac(mac)) if mac else ""
    clash = clashes.between(record, config.everything(conf)[0])
    if clash:
        raise clash
    container = lookup(container_name)
    with container:
        _require_bridge(container, conf)
        _undo(container)
        current = networks.attached_to(container)
        if any(networks.means(other["name"], record) for other in current):
            raise StateError(f"cannot connect container {container.name} to network {record['name']}", "it is connected to it already")
        if container.state["status"] in RUNNING:
            bridge_keeper.check_programs([record])
            dns = list(container.config["options"].get("dns") or [])
            joining = dict(made)
            bridges.look_up(joining, conf)
            status = bridge_change.attach(container, joining, conf, dns)
            _follow(container, added=status)
        container.state["attachments"] = [*(_plain(entry) for entry in current), made]
        container.state["networks"] = [*(container.state.get("networks") or []), record["name"]]
        container.save()
    _event("connect", record, container)


def disconnect(name: str, container_name: str, *, force: bool) -> None:
    """Take a container off a network; with `force` also if the network's file is damaged. NoSuchObject, StateError, NetworkError."""
    conf = containers_conf.load()
    try:
        record = networks.get(name)
    except NoSuchObject:
        if not force:
            raise
        record = {"name": name, "id": "", "driver": "bridge"}
    container = lookup(container_name)
    with container:
        _require_bridge(container, conf)
        undone = _undo(container)
        current = networks.attached_to(container)
        left = [_plain(entry) for entry in current if not networks.means(entry["name"], record)]
        if len(left) == len(current) and record["name"] in undone:
            return
        if len(left) == len(current):
            raise StateError(f"cannot disconnect container {container.name} from network {record['name']}", "it is not connected to it")
        status = next((entry for entry in container.state.get("attached") or [] if entry["name"] == record["name"]), None)
        if status and container.state["status"] in RUNNING:
            bridge_change.detach(container, status)
            _follow(container, removed=status)
        container.state["attachments"] = left
        container.state["networks"] = [other for other in container.state.get("networks") or [] if other != record["name"]]
        container.save()
    _event("disconnect", record, container)


def _undo(container: Container) -> list[str]:
    """Take back what a killed `connect` has left; the names of those networks. The caller holds the lock."""
    half = bridge_change.undo(container)
    for status in half:
        _follow(container, removed=status)
    return [str(status["name"]) for status in half]


def _plain(attachment: dict[str, Any]) -> dict[str, Any]:
    return {key: attachment[key] for key in attachments.new("")}


def _event(status: str, record: dict[str, Any], container: Container) -> None:
    events.emit("network", status, record["id"], record["name"], attributes={"container": container.id, "type": record["driver"]})


def _follow(container: Container, added: dict[str, Any] | None = None, removed: dict[str, Any] | None = None) -> None:
    """/etc/hosts, /etc/resolv.conf and the port forwarder of a running container follow its networks."""
    state = container.state
    known = f"{plans.hostname(container, 'bridge')} {container.name}"
    for other in (container, *shared_network.sharers(container)):
        _follow_in(other, known, added or {}, removed or {})
    if state.get("forwarder"):
        try:
            os.kill(_helper(container), 1)  # it reads what `_helper` has written
        except ProcessLookupError:
            pass  # it has just died; the next one reads them at its start


def _follow_in(container: Container, known: str, added: dict[str, Any], removed: dict[str, Any]) -> None:
    own = [status["address"] for status in removed.get("addresses", [])]
    lines = [line for line in _lines(container, "hosts") if line.split("\t")[0] not in own]
    lines += [f"{entry['address']}\t{known}" for entry in added.get("addresses", [])]
    _write(container, "hosts", lines)
    gone = [f"nameserver {entry['gateway']}" for entry in removed.get("addresses", []) if removed.get("dns")]
    lines = [line for line in _lines(container, "resolv.conf") if line not in gone]
    # Before the others: those of the host know no containers, and say so, which ends the search.
    at = next((number for number, line in enumerate(lines) if line.startswith("nameserver ")), len(lines))
    lines[at:at] = [f"nameserver {entry['gateway']}" for entry in added.get("addresses", []) if added["dns"] and entry["gateway"]]
    _write(container, "resolv.conf", lines)


def renamed(container: Container, old: str) -> None:
    """A container on bridges is known to its networks, and in its /etc/hosts, by its present name. The caller holds its lock."""
    state = container.state
    with config.lock():
        for status in state["attached"]:
            hostname = container.config["options"].get("hostname") or ""
            names.rename(status, container.id, names.known_as(container.id, container.name, hostname, status["aliases"]))
    keeper = uplink.find([state.get("keeper")])
    if keeper:
        names.announce(keeper)
    own = [entry["address"] for status in state["attached"] for entry in status["addresses"]]
    for other in (container, *shared_network.sharers(container)):
        lines = [line.split("\t") for line in _lines(other, "hosts")]
        for words in lines:
            if words[0] in own and len(words) == 2:
                words[1] = " ".join(container.name if word == old else word for word in words[1].split(" "))
        _write(other, "hosts", ["\t".join(words) for words in lines])


def _lines(container: Container, name: str) -> list[str]:
    try:
        fd = os.open(os.path.join(container.run_dir, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return []  # the runtime directory was wiped
    with open(fd, encoding="utf-8", errors="replace") as file:
        return file.read(1 << 20).split("\n")[:-1]


def _write(container: Container, name: str, lines: list[str]) -> None:
    """In place: the file is bound into the container's root."""
    path, text = os.path.join(container.run_dir, name), "".join(line + "\n" for line in lines)
    try:
        _overwrite(path, text)
    except PermissionError:  # it belongs to the root of the container's own user namespace
        userns.call_in_userns(lambda: _overwrite(path, text), "pyman:[hosts]")


def _overwrite(path: str, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # the runtime directory was wiped
    with open(fd, "w", encoding="utf-8") as file:
        file.write(text)


def reload(container: Container) -> str:
    """Give a running container's networks what they may have lost: keeper, way out, firewall, devices, addresses, names.

    What to warn of, or nothing. StateError, NetworkError.
    """
    conf = containers_conf.load()
    with container:
        container.require_running("reload the networks of")
        monitor = container.state["monitor_pid"]
        said = living.wake([(f"the monitor of container {container.name}", monitor, process.state(monitor))])
        name = living.expected(container.state)
        if name:
            pid = _helper(container)
            woken = living.wake([(f"the {name} of container {container.name}", pid, process.state(pid))])
            said = "; ".join(text for text in (said, woken) if text)
        _undo(container)
        if not container.state.get("attached"):
            return said
        records = [config.get(status["name"], conf) for status in container.state["attached"]]
        bridge_keeper.check_programs(records)
        more = bridge_change.mend(container, records, conf, places=True)
        container.save()
    return "; ".join(text for text in (said, more) if text)


def _helper(container: Container) -> int:
    """The pid of the container's network helper, which the monitor starts again where it must. NetworkError."""
    if container.state.get("forwarder"):  # what it reads may have gone with a wiped runtime directory
        os.makedirs(container.run_dir, 0o700, exist_ok=True)
        forward.note_targets(container.run_dir, container.state)
    pid = living.revive(container.state, container.run_dir)
    if not pid:
        what = f"cannot mend the network of container {container.name}"
        name = living.expected(container.state)
        error = helper.explain(name, "", container.state["ports"])  # tries the ports: somebody may have taken one meanwhile
        port_conflict.name_holder(error, container.id)
        why = f"its {name} was killed and does not start again"
        raise NetworkError(
            what, f"{why}: {error.why}" if error.why else why, error.hint if error.why else f"pyman restart {container.name}"
        )
    return pid
