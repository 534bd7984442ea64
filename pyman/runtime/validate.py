"""A bundle's config.json checked as a whole before anything is done with it. The runtime program.

Shapes (runtime/validate_shapes.py) say what a value must be; a key that no shape names is left alone (runtime-spec, config.md
"Extensibility"). After this the other modules may trust types; what values mean is checked here where it needs no look at the host.
"""

from __future__ import annotations

from pyman.errors import RuntimeFailure
from pyman.linux import caps
from pyman.linux.seccomp import OPERATORS
from pyman.runtime.validate_shapes import MAPPING, PROCESS, RESOURCES, SPEC, check_shape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup", "user", "time")


def _drop_null(value: Any) -> None:
    """Take keys without a value out of all objects: null counts as absent (encoders of some languages write it)."""
    if isinstance(value, dict):
        for key in [key for key, inner in value.items() if inner is None]:
            del value[key]
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _drop_null(inner)


def _need(condition: object, where: str, why: str) -> None:
    if not condition:
        raise RuntimeFailure(f"{where} is wrong", why, stage="config")


def check(spec: dict[str, Any]) -> None:
    """Check a whole spec; empty sections are added where the other modules expect them. RuntimeFailure."""
    devices = spec["linux"].get("netDevices") if isinstance(spec.get("linux"), dict) else None
    if isinstance(devices, dict):
        spec["linux"]["netDevices"] = {
            name: {} if entry is None else entry for name, entry in devices.items()
        }  # the name alone says something
    _drop_null(spec)
    check_shape(spec, SPEC, "")
    version = spec.get("ociVersion") or ""
    known = version[:2] in ("0.", "1.") and version[2:3].isdigit()  # 0.x.y as others do: what it lacks is optional
    _need(known, "ociVersion", f"{version!r} is not a version 1.x.y")
    _need((spec.get("root") or {}).get("path"), "root.path", "it is missing")
    _need(spec.get("process"), "process", "it is missing")
    check_process(spec["process"])
    for key in ("linux", "hooks"):
        spec[key] = spec.get(key) or {}
    for kind, entries in spec["hooks"].items():
        for number, hook in enumerate(entries if kind in SPEC["hooks"] else ()):
            _environment(hook, f"hooks.{kind}[{number}]")
    spec["mounts"] = spec.get("mounts") or []
    for number, mount in enumerate(spec["mounts"]):
        _need(mount.get("destination"), f"mounts[{number}].destination", "it is missing")
        _need(_depth(mount["destination"]), f"mounts[{number}].destination", "it is the root itself: give another root.path")
        options = mount.get("options") or []
        if mount.get("type") in (None, "", "none", "bind") or "bind" in options or "rbind" in options:
            _need(mount.get("source"), f"mounts[{number}].source", "a bind mount needs one")
            mount["type"] = "bind"
    _linux(spec["linux"], spec)


def _depth(path: str) -> int:
    """How many levels below the root a path leads, as the kernel counts: .. stays at the root."""
    depth = 0
    for part in path.split("/"):
        depth = max(0, depth - 1) if part == ".." else depth + (part not in ("", "."))
    return depth


def check_process(process: dict[str, Any], where: str = "process") -> None:
    """One process object, of a bundle or of `exec --process`. RuntimeFailure."""
    _drop_null(process)
    check_shape(process, PROCESS, where)
    _need(process.get("args"), f"{where}.args", "it is missing or empty")
    _need(str(process.get("cwd") or "").startswith("/"), f"{where}.cwd", "cwd is not absolute")
    _need("scheduler" not in process or process["scheduler"].get("policy"), f"{where}.scheduler.policy", "it is missing")
    _need("ioPriority" not in process or process["ioPriority"].get("class"), f"{where}.ioPriority.class", "it is missing")
    _environment(process, where)
    seen = set()
    for number, limit in enumerate(process.get("rlimits") or []):
        place = f"{where}.rlimits[{number}]"
        _need(limit.get("type") and limit["type"] not in seen, place, "its type is missing or named twice")
        _need("soft" in limit and "hard" in limit, place, "soft or hard is missing")
        seen.add(limit["type"])


def _environment(owner: dict[str, Any], where: str) -> None:
    """Whatever is no variable would be lost in silence, or mean something else to each who reads it."""
    for number, entry in enumerate(owner.get("env") or []):
        _need(entry.find("=") > 0, f"{where}.env[{number}]", f"{entry!r} is not NAME=VALUE")


def check_resources(resources: dict[str, Any], where: str = "") -> None:
    """One resources object, of a bundle or of `update`. RuntimeFailure."""
    check_shape(resources, RESOURCES, where)
    block = resources.get("blockIO") or {}
    for key in RESOURCES["blockIO"]:
        names = ("major", "minor") if key == "weightDevice" else ("major", "minor", "rate")
        for entry in block.get(key) or []:
            _need(all(name in entry for name in names), f"{where}.blockIO.{key}".lstrip("."), f"{', '.join(names)}: one is missing")
    for entry in resources.get("hugepageLimits") or []:
        _need("pageSize" in entry and "limit" in entry, f"{where}.hugepageLimits".lstrip("."), "a pageSize or a limit is missing")
    for number, rule in enumerate(resources.get("devices") or []):
        place = f"{where}.devices[{number}]".lstrip(".")
        _need((rule.get("type") or "a") in ("a", "b", "c"), f"{place}.type", f"{rule.get('type')!r} is not a, b or c")
        _need(not set(rule.get("access") or "") - set("rwm"), f"{place}.access", f"{rule.get('access')!r} has letters besides r, w and m")


def unknown_capabilities(process: dict[str, Any]) -> list[str]:
    """Take the capabilities this kernel interface does not know out of a process; the spec wants a warning for them, no error."""
    unknown = set()
    for kind, names in (process.get("capabilities") or {}).items():
        if kind in PROCESS["capabilities"] and names:
            unknown |= {name for name in names if name not in caps.NUMBERS}
            process["capabilities"][kind] = [name for name in names if name in caps.NUMBERS]
    return sorted(unknown)


def vain_ambient(process: dict[str, Any]) -> list[str]:
    """Take those ambient capabilities out of a process that are not permitted and inheritable too: the kernel has no such thing. A warning for each."""
    sets = process.get("capabilities") or {}
    possible = set(sets.get("permitted") or ()) & set(sets.get("inheritable") or ())
    vain = sorted(set(sets.get("ambient") or ()) - possible)
    if vain:
        sets["ambient"] = [name for name in sets["ambient"] if name in possible]
    return [f"{name} cannot be ambient, since it is not permitted and inheritable too" for name in vain]


def _linux(linux: dict[str, Any], spec: dict[str, Any]) -> None:
    linux["namespaces"] = linux.get("namespaces") or []
    kinds = [entry.get("type") for entry in linux["namespaces"]]
    created = {entry.get("type") for entry in linux["namespaces"] if not entry.get("path")}
    for kind in kinds:
        _need(kind in NAMESPACES, "linux.namespaces", f"unknown type {kind!r}; known are {', '.join(NAMESPACES)}")
        _need(kinds.count(kind) == 1, "linux.namespaces", f"type {kind} is named twice")
    for entry in linux["namespaces"]:
        _need(not entry.get("path") or entry["path"].startswith("/"), "linux.namespaces", f"path {entry.get('path')!r} is not absolute")
    _need("mount" in kinds, "linux.namespaces", "a mount namespace is needed for a root of its own")
    for key in ("uidMappings", "gidMappings"):
        _need("user" in created or not linux.get(key), f"linux.{key}", "there is no new user namespace for it")
        _need(linux.get(key) or "user" not in created, f"linux.{key}", "it is missing for the new user namespace")
        for entry in linux.get(key) or []:
            _need(all(name in entry for name in MAPPING) and entry["size"] > 0, f"linux.{key}", f"entry {entry} is not complete")
    _need("uts" in kinds or not (spec.get("hostname") or spec.get("domainname")), "hostname", "it needs a uts namespace")
    _need("time" in created or not linux.get("timeOffsets"), "linux.timeOffsets", "there is no new time namespace for it")
    for clock in linux.get("timeOffsets") or {}:
        _need(clock in ("monotonic", "boottime"), "linux.timeOffsets", f"clock {clock!r} has no offset; monotonic and boottime have")
    _need("network" in kinds or not linux.get("netDevices"), "linux.netDevices", "there is no network namespace for them")
    _net_devices(linux.get("netDevices") or {})
    _need(not linux.get("intelRdt"), "linux.intelRdt", "resource director groups are not supported")
    _need(
        linux.get("rootfsPropagation") in (None, "", "private", "slave", "shared", "unbindable", "rprivate", "rslave", "rshared"),
        "linux.rootfsPropagation",
        f"{linux.get('rootfsPropagation')!r} is not private, slave, shared or unbindable",
    )
    _need("memoryPolicy" not in linux or linux["memoryPolicy"].get("mode"), "linux.memoryPolicy.mode", "it is missing")
    domain = (linux.get("personality") or {}).get("domain")
    _need("personality" not in linux or domain in ("LINUX", "LINUX32"), "linux.personality.domain", f"{domain!r} is not LINUX or LINUX32")
    _need(not (linux.get("personality") or {}).get("flags"), "linux.personality.flags", "no flags are defined")
    seccomp = linux.get("seccomp") or {}
    _need("seccomp" not in linux or seccomp.get("defaultAction"), "linux.seccomp.defaultAction", "it is missing")
    _number_fits(seccomp.get("defaultAction"), seccomp.get("defaultErrnoRet"), "linux.seccomp.defaultErrnoRet")
    for number, rule in enumerate(seccomp.get("syscalls") or []):
        place = f"linux.seccomp.syscalls[{number}]"
        _need(rule.get("names") and rule.get("action"), place, "its names or its action is missing")
        _number_fits(rule["action"], rule.get("errnoRet"), f"{place}.errnoRet")
        for position, argument in enumerate(rule.get("args") or []):
            at = f"{place}.args[{position}]"
            _need(all(key in argument for key in ("index", "value", "op")), at, "its index, value or op is missing")
            _need(argument["op"] in OPERATORS, f"{at}.op", f"{argument['op']!r} is not one of {', '.join(OPERATORS)}")
    check_resources(linux.get("resources") or {}, "linux.resources")
    for number, device in enumerate(linux.get("devices") or []):
        _need(device.get("path", "").startswith("/"), f"linux.devices[{number}]", "its path is missing or not absolute")
        _need(
            device.get("type") in ("c", "b", "u", "p", None), f"linux.devices[{number}]", f"type {device.get('type')!r} is not c, b, u or p"
        )
    for key in linux.get("sysctl") or {}:
        _sysctl(key, kinds)


def _number_fits(action: str | None, number: int | None, where: str) -> None:
    _need(number is None or action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"), where, f"the action {action} takes no number")


def _net_devices(devices: dict[str, Any]) -> None:
    inside: list[str] = []
    for name, entry in devices.items():
        new, where = entry.get("name") or name, f"linux.netDevices.{name}"
        for text in (name, new):
            _need(
                0 < len(text.encode()) < 16 and text not in (".", "..") and not any(char in "/:" or char.isspace() for char in text),
                where,
                f"{text!r} is not the name of a network device: 1 to 15 bytes without /, : and space",
            )
        _need("%" not in new or new.count("%") == new.count("%d") == 1, where, f"{new!r} may have one %d, and no other %")
        _need("%" in new or new not in inside, where, f"the container cannot have two devices {new}")
        inside.append(new)


def _sysctl(key: str, kinds: list[str]) -> None:
    """Only sysctls of a namespace that is the container's: the others are the host's."""
    name = key.replace("/", ".")
    ipc = name.startswith("fs.mqueue.") or (name.startswith("kernel.") and name[7:].startswith(("msg", "sem", "shm")))
    owner = "network" if name.startswith("net.") else "ipc" if ipc else "uts" if name in ("kernel.domainname", "kernel.hostname") else ""
    _need(".." not in name and owner, f"linux.sysctl.{key}", "it belongs to no namespace, so it would change the host")
    _need(owner in kinds, f"linux.sysctl.{key}", f"it needs a {owner} namespace of the container's own")
