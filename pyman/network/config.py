"""Networks as files: graphroot/networks/NAME.json with Podman's fields. CLI process and C.

The default network exists without a file; it gets one when it is changed. A damaged file breaks its own network only.
"""

from __future__ import annotations

import os
import time

from pyman import paths
from pyman.digits import is_whole
from pyman.errors import NoSuchObject, PymanError, StateError, StorageError, UsageError
from pyman.network import subnets
from pyman.state import fastjson, store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FIRST = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
MODES = ("none", "host", "bridge", "private", "slirp4netns", "pasta", "container", "ns", "default", "pod")
DEFAULT_SUBNET = "10.88.0.0/16"  # of the default network, without a configured one
_PODMAN_ID = "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9"  # sha256 of "podman"


def networks_dir() -> str:
    """graphroot/networks, made if it does not exist."""
    path = os.path.join(paths.graphroot(), "networks")
    if not os.path.isdir(path):
        os.makedirs(path, 0o700, exist_ok=True)
    return path


def lock() -> Lock:
    """The lock of all networks of this user: their files, addresses and the namespace of their bridges.

    It is taken after a container's lock, never before.
    """
    return Lock(networks_dir())


def check_name(name: str) -> None:
    """UsageError unless `name` can be a network's."""
    if not name or name[0] not in _FIRST or name.strip(_FIRST + "_.-") or len(name) > 200:
        raise UsageError(f"invalid network name {name!r}", "names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*")
    if name in MODES:
        raise UsageError(f"cannot create a network with name {name}", "it is the name of a network mode", "choose another name")


def check_interface(name: str) -> None:
    """UsageError unless `name` can be a network device's."""
    if not 0 < len(name.encode()) <= 15 or name in (".", "..", "lo", "uplink", "all", "default") or not name.strip("/: \t\n").isprintable():
        raise UsageError(f"invalid interface name {name!r}", "it has 1 to 15 bytes, and is not . .. lo uplink all default")
    if any(char in '/: \\"%' or not char.isascii() or char.isspace() or not char.isprintable() for char in name):
        raise UsageError(f"invalid interface name {name!r}", "it has letters, digits and marks without / : % quotes and blanks")


def default_name(conf: dict[str, Any]) -> str:
    """The name of the default network."""
    return str(conf["network"].get("default_network") or "podman")


def _default(conf: dict[str, Any]) -> dict[str, Any]:
    name = default_name(conf)
    network_id = _PODMAN_ID
    if name != "podman":
        import hashlib  # for another name only

        network_id = hashlib.sha256(name.encode()).hexdigest()
    subnet, _ = subnets.parse_cidr(str(conf["network"].get("default_subnet") or DEFAULT_SUBNET))
    subnets.check_usable(subnet)
    return {
        "name": name,
        "id": network_id,
        "driver": "bridge",
        "network_interface": "podman0",
        "created": now(),
        "subnets": [{"subnet": subnets.cidr_text(subnet), "gateway": subnets.ip_text((subnet[0], subnet[1] + 1))}],
        "ipv6_enabled": subnet[0] == 6,
        "internal": False,
        "dns_enabled": False,
        "ipam_options": {"driver": "host-local"},
    }


def now() -> str:
    """The time as RFC 3339 with nanoseconds."""
    moment = time.time_ns()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 10**9)) + f".{moment % 10**9:09d}Z"


def _path(name: str) -> str:
    return os.path.join(networks_dir(), name + ".json")


# Members of a network's file: what each has to be. Those with a value may be left out, and stand for it then.
_KINDS = {str: "a text", bool: "true or false", list: "a list", dict: "an object", int: "a number"}
_MEMBERS: dict[str, tuple[type, Any]] = {
    "name": (str, None),
    "id": (str, None),
    "driver": (str, None),
    "network_interface": (str, None),
    "created": (str, "1970-01-01T00:00:00Z"),
    "ipv6_enabled": (bool, False),
    "internal": (bool, False),
    "dns_enabled": (bool, False),
    "subnets": (list, ()),
    "routes": (list, ()),
    "network_dns_servers": (list, ()),
    "labels": (dict, ()),
    "options": (dict, ()),
    "ipam_options": (dict, ()),
}


def _be(at: str, value: object, kind: type) -> Any:
    """The value of the member `at`, if it is of that kind. ValueError."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{at} is {'null' if value is None else fastjson.dumps(value)[:60]}, not {_KINDS[kind]}")
    return value


def _texts(at: str, value: object, needed: tuple[str, ...]) -> dict[str, Any]:
    """The object `at` with the texts that it needs. ValueError."""
    found: dict[str, Any] = _be(at, value, dict)
    for key in needed:
        if key not in found:
            raise ValueError(f"{at} has no {key}")
        _be(f"{at}.{key}", found[key], str)
    return found


def _check_members(name: str, record: dict[str, Any]) -> None:
    """ValueError unless everything that is going to be used of a network's file makes sense; the error begins with the member."""
    for key, (kind, default) in _MEMBERS.items():
        if key in record:
            _be(key, record[key], kind)
        elif default is None:
            raise ValueError(f"it has no {key}")
        elif default != ():
            record[key] = default
    if record["name"] != name or record["driver"] != "bridge":
        raise ValueError("name or driver: it describes another network or driver")
    if len(record["id"]) != 64 or record["id"].strip("0123456789abcdef"):
        raise ValueError("id: it has 64 hexadecimal digits")
    at = "network_interface"
    found: list[tuple[int, int, int]] = []
    try:
        check_interface(record[at])
        for number, item in enumerate(record.get("subnets") or []):
            at = f"subnets[{number}]"
            entry = _texts(at, item, ("subnet",))
            subnet, _ = subnets.parse_cidr(entry["subnet"])
            subnets.check_usable(subnet)
            if any(subnets.overlap(subnet, other) for other in found):
                raise ValueError(f"{at}.subnet: it overlaps another subnet of the network")
            found.append(subnet)
            lease = _be(f"{at}.lease_range", entry.get("lease_range", {}), dict)
            for key, address in (("gateway", entry.get("gateway", "")), *((f"lease_range.{key}", text) for key, text in lease.items())):
                if _be(f"{at}.{key}", address, str) and not subnets.contains(subnet, subnets.parse_ip(address)):
                    raise ValueError(f"{at}.{key}: the address lies outside its subnet")
            ends = [subnets.parse_ip(lease[key])[1] for key in ("start_ip", "end_ip") if lease.get(key)]
            if ends != sorted(ends):
                raise ValueError(f"{at}.lease_range: it runs backwards")
            gateway = subnets.parse_ip(entry["gateway"]) if entry.get("gateway") else (0, -1)
            if gateway[1] == subnet[1] or gateway == (4, subnets.last(subnet)):
                raise ValueError(f"{at}.gateway: it is the subnet's own or its broadcast address")
        for number, item in enumerate(record.get("routes") or []):
            at = f"routes[{number}]"
            route = _texts(at, item, ("destination", "gateway"))
            destination, gateway = subnets.parse_cidr(route["destination"])[0], subnets.parse_ip(route["gateway"])
            subnets.check_destination(destination)
            if gateway[0] != destination[0] or (found and not any(subnets.contains(subnet, gateway) for subnet in found)):
                raise ValueError(f"{at}.gateway: it is in none of the network's subnets, or of another version of IP")
            if not 0 <= _be(f"{at}.metric", route.get("metric", 0), int) < 1 << 32:
                raise ValueError(f"{at}.metric: it is no number up to {(1 << 32) - 1}")
        for number, server in enumerate(record.get("network_dns_servers") or []):
            at = f"network_dns_servers[{number}]"
            subnets.parse_ip(_be(at, server, str))
    except PymanError as err:
        raise ValueError(f"{at}: {err}") from err
    for part in ("labels", "options", "ipam_options"):
        for key, value in (record.get(part) or {}).items():
            _be(f"{part}.{key}", value, str)
    if record.get("options"):
        _check_options(record["options"], any(subnet[0] == 6 for subnet in found))
    if (record.get("ipam_options") or {}).get("driver", "none") not in ("host-local", "none"):
        raise ValueError("ipam_options.driver: known are host-local and none")


_NUMBERS = {"mtu": (68, 65535), "metric": (0, (1 << 32) - 1), "vlan": (0, 4094)}
_WORDS = {"isolate": ("true", "false", "strict"), "no_default_route": ("true", "false"), "mode": ("managed",)}


def _check_options(options: dict[str, str], version_6: bool) -> None:
    """ValueError unless a start can do what a network's file asks for in its options."""
    for option, text in options.items():
        if option in _NUMBERS:
            least, most = _NUMBERS[option]
            least = 1280 if option == "mtu" and version_6 else least
            if not (is_whole(text, 10) and (int(text) == 0 or least <= int(text) <= most)):
                raise ValueError(f"options.{option}: it is no number " + (f"from {least} to {most}" if least else f"up to {most}"))
        elif option not in _WORDS:
            raise ValueError(f"options.{option}: known are {', '.join([*_NUMBERS, *_WORDS])}")
        elif text not in _WORDS[option]:
            raise ValueError(f"options.{option} is {text[:40]!r}, not one of {', '.join(_WORDS[option])}")


def _checked(name: str, record: dict[str, Any]) -> dict[str, Any]:
    """The record of a file, if everything that is going to be used of it makes sense. StorageError."""
    try:
        _check_members(name, _be("it", record, dict))
    except ValueError as err:
        raise StorageError(
            f"cannot use network {name}", f"{_path(name)} is damaged: {err}", f"mend the file, or: pyman network rm {name}"
        ) from err
    return record


def stamp(name: str) -> tuple[int, int] | None:
    """What tells whether a network's file is still the same; None without one."""
    try:
        found = os.stat(_path(name))
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def load(name: str, conf: dict[str, Any]) -> dict[str, Any] | None:
    """The record of the network of that name, or None. StorageError if its file is damaged."""
    if not name or name[0] not in _FIRST or name.strip(_FIRST + "_.-"):
        return None
    record = store.read_json(_path(name))
    if record is not None:
        return _checked(name, record)
    return _default(conf) if name == default_name(conf) else None


def get(name_or_id: str, conf: dict[str, Any], modes: tuple[str, ...] = ()) -> dict[str, Any]:
    """The network of that name, id, or unambiguous part of an id. NoSuchObject, StateError, StorageError.

    modes: what else the user may have meant, for the hint.
    """
    found = load(name_or_id, conf)
    if found is None and name_or_id and not name_or_id.strip("0123456789abcdef"):
        matches = [record for record in everything(conf)[0] if record["id"].startswith(name_or_id)]
        if len(matches) > 1:
            raise StateError(f"cannot choose a network for {name_or_id}", "several ids begin so", "give more of the id")
        found = matches[0] if matches else None
    if found is None:
        import difflib  # for a mistake only

        near = difflib.get_close_matches(name_or_id, [*names(), default_name(conf), *modes], 1) if len(name_or_id) < 100 else []
        raise NoSuchObject(
            f"no network with name or ID {name_or_id!r} found",
            "no such network",
            f"did you mean {near[0]}?" if near else "pyman network ls lists them, pyman network create makes one",
        )
    return found


def names() -> list[str]:
    """The names of all networks that have a file."""
    return sorted(entry[:-5] for entry in os.listdir(networks_dir()) if entry.endswith(".json") and entry[0] != ".")


def everything(conf: dict[str, Any]) -> tuple[list[dict[str, Any]], list[PymanError]]:
    """(all networks that can be read, the default one among them; what is wrong with the others)."""
    found, broken = [], []
    for name in sorted({*names(), default_name(conf)}):
        try:
            record = load(name, conf)
            if record:
                found.append(record)
        except PymanError as err:
            broken.append(err)
    return found, broken


def save(record: dict[str, Any]) -> None:
    """Write a network's file, on disk before it counts. The caller holds the lock. StorageError."""
    store.write_text(_path(record["name"]), fastjson.dumps(record, indent=4) + "\n", sync=True)


def delete(record: dict[str, Any]) -> None:
    """Take a network's file away; its leases go first. The caller holds the lock. StorageError."""
    path = _path(record["name"])
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except IsADirectoryError as err:
        raise StorageError(f"cannot remove network {record['name']}", f"{path} is a directory, no file", "move it away by hand") from err


def option(record: dict[str, Any], key: str, default: str = "") -> str:
    """A driver option of the network."""
    return str((record.get("options") or {}).get(key, default))
