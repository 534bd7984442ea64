"""Networks as objects: create, list, inspect, update, remove, prune; who uses them. CLI process.

What a network is made of is network/create.py's; how containers are attached engine/network_connect.py's.
"""

from __future__ import annotations

import os

from pyman import stages
from pyman.config import containers as containers_conf
from pyman.engine import filters
from pyman.engine.container import RUNNING, Container, all_ids
from pyman.engine.container_list import list_containers
from pyman.errors import NameInUse, PymanError, StateError, StorageError, UsageError
from pyman.network import attachments, config, ipam, uplink
from pyman.state import events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Record = dict[str, Any]


def attached_to(container: Container) -> list[dict[str, Any]]:
    """The attachments a container has, or will have at its next start; none in another network mode."""
    changed = container.state.get("attachments")
    if changed is not None:
        return list(changed)
    conf = containers_conf.load()
    options = container.config["options"]
    given = options.get("network") or []
    values = [given] if isinstance(given, str) else list(given)
    values = values or [str(conf["containers"].get("netns") or "private")]
    return attachments.parse(options, values, conf) if attachments.is_bridge(values[0]) else []


def to_come(container: Container) -> list[dict[str, Any]]:
    """What is known of a container's networks before it is on them: as what the state notes afterwards."""
    try:
        aliases = {entry["name"]: entry["aliases"] for entry in attached_to(container)}
    except PymanError:
        aliases = {}  # the next start says what is wrong with the options
    found = []
    for name in container.state["networks"]:
        try:
            identifier = get(name)["id"]
        except PymanError:
            identifier = ""  # it has gone, or is damaged
        found.append({"name": name, "addresses": [], "mac": "", "id": identifier, "aliases": aliases.get(name, [])})
    return found


def uses() -> dict[str, list[Container]]:
    """Network name -> the containers that are attached to it, or will be when they start."""
    found: dict[str, list[Container]] = {}
    for container in list_containers():
        try:
            for attachment in attached_to(container):
                found.setdefault(attachment["name"], []).append(container)
        except PymanError:
            continue  # a damaged container is told of by its own commands
    # A network may have been named by its id.
    for record in config.everything(containers_conf.load())[0]:
        for name in [name for name in found if name != record["name"] and len(name) >= 12 and record["id"].startswith(name)]:
            found.setdefault(record["name"], []).extend(found.pop(name))
    return found


def get(name: str) -> Record:
    """The record of a network. NoSuchObject, StorageError."""
    return config.get(name, containers_conf.load())


def create(opts: dict[str, Any], name: str) -> Record:
    """Make a network; with opts["ignore"] an existing one is returned as it is. UsageError, NameInUse."""
    from pyman.network import create as recipe
    from pyman.network import rtnl

    conf = containers_conf.load()
    if name:
        config.check_name(name)
    config.networks_dir()
    with config.lock():
        if name and (config.load(name, conf) is not None):
            if opts.get("ignore"):
                return get(name)
            raise NameInUse(f"cannot create network {name}", "a network with this name exists", "choose another name, or give --ignore")
        record = recipe.build(opts, name, conf, config.everything(conf)[0], rtnl.used_subnets())
        stages.reach("network:planned")
        config.save(record)
    stages.reach("network:created")
    events.emit("network", "create", record["id"], record["name"], attributes={"type": record["driver"]})
    return record


def update(name: str, add: list[str], drop: list[str]) -> Record:
    """Change the name servers of a network, for its running containers too. NoSuchObject, UsageError."""
    from pyman.network import names, subnets, uplink

    for server in [*add, *drop]:
        subnets.parse_ip(server)
    with config.lock():
        record = get(name)
        if not record["dns_enabled"] and add:
            raise UsageError(f"cannot give network {record['name']} name servers", "name resolution is switched off for it")
        kept = [server for server in record.get("network_dns_servers") or [] if server not in drop]
        record["network_dns_servers"] = list(dict.fromkeys([*kept, *add]))
        if not record["network_dns_servers"]:
            del record["network_dns_servers"]
        config.save(record)
        if names.change_servers(record):
            keeper = uplink.find([])
            if keeper:
                names.announce(keeper)
    events.emit("network", "update", record["id"], record["name"], attributes={"type": record["driver"]})
    return record


def listing(filters: list[str]) -> tuple[list[Record], list[PymanError]]:
    """(the networks that pass all filters, by name; what is wrong with files that cannot be read or used). UsageError."""
    from pyman.network import clashes

    found, broken = config.everything(containers_conf.load())
    broken += clashes.among(found)
    tests = [_filter(item) for item in filters]
    groups: dict[str, list[Any]] = {}
    for key, test in tests:
        groups.setdefault(key, []).append(test)
    combine = {"label": all, "label!": all, "until": all, "dangling": all}
    return [
        record for record in found if all(combine.get(key, any)(test(record) for test in group) for key, group in groups.items())
    ], broken


def _filter(item: str) -> tuple[str, Any]:
    key, equals, value = item.partition("=")
    known = ("driver", "id", "label", "label!", "name", "until", "dangling")
    if not equals or key not in known:
        raise filters.unknown(item, key, "networks", known)
    if key == "driver":
        return key, lambda record: record["driver"] == value
    if key == "id":
        return key, lambda record: filters.has_id(record["id"], value)
    if key == "name":
        import re  # only with this filter

        try:
            pattern = re.compile(value)
        except re.error as err:
            raise UsageError(f"invalid filter {item!r}", f"it is no regular expression: {err}") from err
        return key, lambda record: pattern.search(record["name"])
    if key == "dangling":
        if value not in ("true", "false", "1", "0"):
            raise UsageError(f"invalid filter {item!r}", "its value is true or false")
        used, default = uses(), config.default_name(containers_conf.load())  # which is never too much
        return key, lambda record: (record["name"] not in used and record["name"] != default) == (value in ("true", "1"))
    if key == "until":
        from pyman.monitor.logs import parse_until

        moment = parse_until(value)
        return key, lambda record: _created(record) < moment

    def has(record: Record) -> bool:
        return filters.has_label(record.get("labels") or {}, value)

    return key, (lambda record: not has(record)) if key.endswith("!") else has


def _created(record: Record) -> float:
    from pyman.monitor.logs import parse_time

    return parse_time(str(record["created"]), "the time of a network")


def inspect(name: str) -> Record:
    """A network's record with the running containers on it. NoSuchObject, StorageError."""
    record = get(name)
    containers: dict[str, Any] = {}
    for container in uses().get(record["name"], []):
        if container.state["status"] not in RUNNING:
            continue
        status = next((entry for entry in container.state.get("attached") or [] if entry["name"] == record["name"]), None)
        if status:
            containers[container.id] = {
                "name": container.name,
                "interfaces": {status["interface"]: {"subnets": _addresses(status), "mac_address": status["mac"]}},
            }
    return {**record, "containers": containers}


def _addresses(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"ipnet": f"{entry['address']}/{entry['prefix']}", **({"gateway": entry["gateway"]} if entry.get("gateway") else {})}
        for entry in status["addresses"]
    ]


def remove(name: str, *, force: bool = False, timeout: int | None = None) -> str:
    """Remove a network and return its name; with `force` the containers on it too. NoSuchObject, StateError (in use)."""
    conf = containers_conf.load()
    try:
        record = get(name)
    except StorageError:
        if name not in config.names():
            raise
        record = {"name": name, "id": "", "driver": "bridge"}  # damaged: the file is all that there is to remove
    if record["name"] == config.default_name(conf) and record["id"]:
        raise UsageError(f"cannot remove network {record['name']}", "it is the default network")
    users = uses().get(record["name"], [])
    while True:
        if users and not force:
            raise _in_use(record, users)
        for container in users:
            from pyman.engine import remove as containers

            containers.remove_container(container, force=True, timeout=timeout)
        users = _remove_unused(record)
        if not users:
            break
    stages.reach("network:removed")
    events.emit("network", "remove", record["id"], record["name"], attributes={"type": record["driver"]})
    return str(record["name"])


def _in_use(record: Record, users: list[Container]) -> StateError:
    return StateError(
        f"cannot remove network {record['name']}",
        "containers are attached to it: " + ", ".join(container.name for container in users[:5]),
        f"remove them first, or use: pyman network rm --force {record['name']}",
    )


def means(name: str, record: Record) -> bool:
    """Whether a container's attachment of that name, or id, is to this network."""
    return bool(name == record["name"] or (len(name) >= 12 and record["id"].startswith(name)))


def _users_now(record: Record) -> list[Container]:
    """The containers that are attached to a network, read without a lock or a change: the caller holds the networks' lock."""
    found = []
    for container in map(Container, all_ids()):
        try:
            names = [attachment["name"] for attachment in attached_to(container)]
        except PymanError:
            continue  # being made or removed, or damaged
        if any(means(name, record) for name in names):
            found.append(container)
    return found


def _remove_unused(record: Record) -> list[Container]:
    """Remove a network, unless a container has come to it meanwhile: those that have. A start leases under the same lock, or finds nothing."""
    with config.lock():
        users = _users_now(record)
        if users:
            return users
        ipam.forget(record["name"])
        stages.reach("network:leases")
        if os.path.lexists(os.path.join(uplink.directory(), f"bridge-{record.get('network_interface')}")):
            from pyman.engine import bridge_keeper  # it had containers

            bridge_keeper.take_down(record)
        config.delete(record)
    return []


def prune(filters: list[str]) -> list[str]:
    """Remove the networks that no container is attached to, but the default one; their names. UsageError."""
    for item in filters:
        if item.partition("=")[0] not in ("label", "label!", "until"):
            raise UsageError(f"invalid filter {item!r}", "prune knows label, label! and until")
    from pyman.engine import bridge_leases

    bridge_leases.sweep()
    used, default = uses(), config.default_name(containers_conf.load())
    removed = []
    for record in listing(filters)[0]:
        if record["name"] not in used and record["name"] != default:
            try:
                removed.append(remove(record["name"]))
            except StateError:
                continue  # a container has come to it meanwhile
    return removed
