"""What makes a container of a spec, as ordered lists of operations. Pure: no system call, no privilege. Init and exec-init carry them out.

A step is a tuple (stage, operation, arguments...): the stage is what an error names, the operation a method of the executor
(`do_OPERATION` of runtime/init.py:Init, then of runtime/program.py:Program), which does these steps, in this order, and no others.
What needs the system (which of two ways a kernel knows, whether a path exists) is decided by the operation.
"""

from __future__ import annotations

from pyman.errors import RuntimeFailure
from pyman.linux import libc
from pyman.runtime.mount_options import ATTR, mount_flags, parse_options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Step = tuple[Any, ...]

_STRICT_TYPES = ("proc", "sysfs", "devpts", "mqueue", "cgroup")
_RDONLY = ATTR["ro"][0]
_SYSTEM = ("/dev", "/proc", "/sys")
_STANDARD_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def container(spec: dict[str, Any], gated: bool = False, rehearsed: list[Step] | None = None) -> list[Step]:
    """The steps of init, already in its namespaces, until it may execute its program (runtime/plan_program.py has those that follow).

    gated: the creator ends before the start; what can be known about the program is said before. rehearsed: steps that follow the
    start and are tried ahead, so that the creation fails where they would. RuntimeFailure.
    """
    process, linux = spec["process"], spec.get("linux") or {}
    steps: list[Step] = [("start", "session"), ("start", "keyring")]
    if spec.get("hostname"):
        steps.append(("hostname", "hostname", spec["hostname"]))
    if spec.get("domainname"):
        steps.append(("hostname", "domainname", spec["domainname"]))
    has_root = any(entry["type"] == "mount" for entry in spec["linux"]["namespaces"])
    inner = root(spec) if has_root else []
    steps += inner
    if process.get("terminal"):
        steps.append(("console", "console", (process.get("user") or {}).get("uid", 0), process.get("consoleSize") or {}))
    if has_root:
        if any(step[1] == "mount" and step[2].get("readonly_last") for step in inner):
            steps.append(("mounts", "readonly"))
        steps += entry(spec)
    domain = str((linux.get("personality") or {}).get("domain") or "")
    if domain:
        steps.append(("personality", "personality", domain))
    if gated:
        # The creator's own streams must not be kept open until the start.
        steps += [("exec", "look_up"), ("exec", "streams")]
        if rehearsed is not None:
            steps.append(("process", "rehearse", rehearsed))
    steps += [("ready", "ready"), ("start", "wait")]
    if not gated:
        steps.append(("start", "streams"))
    return [*steps, ("start", "close_at_exec"), ("hooks", "before_program")]


def root(spec: dict[str, Any]) -> list[Step]:
    """The root file system with the mounts in it, in the spec's order, and the devices on top (config.md "Mounts", config-linux.md "Devices")."""
    mounts, items = spec.get("mounts") or [], all_mounts(spec)
    flowing = [
        item for item in items if item["how"] == "bind" and item["tree"] < 0 and item["propagation"] & (libc.MS_SLAVE | libc.MS_SHARED)
    ]
    steps: list[Step] = [("mounts", "sources", flowing)] if flowing else []
    steps.append(("root", "root", spec["root"]["path"]))
    steps += [("mounts", "mount", item) for item in items]
    if _has_devices(mounts):
        steps += [("devices", "bind_device", f"/dev/{name}", f"/dev/{name}") for name in _STANDARD_DEVICES]
        steps += [("devices", "device", device) for device in (spec.get("linux") or {}).get("devices") or []]
        steps.append(("devices", "device_links"))
    return steps


def entry(spec: dict[str, Any]) -> list[Step]:
    """From a built root to one that was entered. Sysctls while /proc is writable; masks over all mounts; the root read-only at the end."""
    linux = spec.get("linux") or {}
    steps: list[Step] = []
    if linux.get("sysctl"):
        steps.append(("sysctl", "sysctls", linux["sysctl"]))
    steps.append(("mask", "mask", linux.get("maskedPaths") or [], linux.get("readonlyPaths") or []))
    return [*steps, ("hooks", "before_pivot"), ("pivot", "pivot", bool(spec["root"].get("readonly"))), ("pivot", "entered")]


def _has_devices(mounts: list[dict[str, Any]]) -> bool:
    return any(item["destination"] == "/dev" and item.get("type") == "tmpfs" for item in mounts)


def all_mounts(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The mounts of a spec, each as by `mount`. One that is read-only becomes so when those inside it have their places. RuntimeFailure."""
    items = spec.get("mounts") or []
    found = [mount(item) for item in items]
    targets = [item["destination"].rstrip("/") for item in items]
    console = ["/dev/console"] if _has_devices(items) or (spec.get("process") or {}).get("terminal") else []
    linux = spec.get("linux") or {}
    hidden = [place(path) for path in (*(linux.get("maskedPaths") or []), *(linux.get("readonlyPaths") or []))]
    cwd = str((spec.get("process") or {}).get("cwd") or "")
    cwd = "" if ".." in cwd.split("/") else place(cwd)
    around: dict[str, Any] = {}
    for number, entry in enumerate(found):
        at = place(entry["target"])
        entry["keep"] = any(inside(path, at) for path in hidden)
        top = targets[number] + "/"
        if any(path.startswith(top) for path in (*targets[number + 1 :], *console)):
            _make_readonly_last(entry)
        if inside(cwd, at) and len(at) >= len(place(around.get("target") or "")):
            around = entry
    if around:
        _make_directory(around, cwd)
    return found


def _make_directory(entry: dict[str, Any], cwd: str) -> None:
    """Have the working directory made where it is missing inside this mount, the innermost around it.

    Not in a read-only bind: nothing is written there, least of all because an image says so.
    """
    at = place(entry["target"])
    if entry["how"] == "bind" and (entry.get("readonly_last") or (entry["attributes"][0] | entry["deep"][0]) & _RDONLY):
        return
    if cwd == at or at in _SYSTEM or (entry["how"], entry.get("type")) not in (("bind", "bind"), ("new", "tmpfs"), ("new", "ramfs")):
        return
    entry["directory"] = cwd[len(at) + 1 :]
    if entry["how"] == "new":
        _make_readonly_last(entry)


def place(path: str) -> str:
    """A path of the container's in one form: absolute, without empty parts, `.` and `..` (by name, as runc takes them); "" is the root."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "".join(f"/{part}" for part in parts)


def inside(path: str, top: str) -> bool:
    """Whether `path` is `top` or below it, both as by `place`."""
    return path == top or path.startswith(top + "/")


def _make_readonly_last(entry: dict[str, Any]) -> None:
    if entry["how"] == "bind" and (entry["attributes"][0] | entry["deep"][0]) & _RDONLY:
        # Of a tree that is read-only as a whole the top alone is writable for a while.
        entry["attributes"] = (entry["attributes"][0] & ~_RDONLY, entry["attributes"][1] | entry["deep"][0] & _RDONLY)
        entry["readonly_last"] = True
    elif entry["how"] == "new" and (entry["flags"] & libc.MS_RDONLY or entry["late_readonly"]):
        entry["flags"] &= ~libc.MS_RDONLY
        entry["late_readonly"], entry["readonly_last"] = False, True


def mount(item: dict[str, Any]) -> dict[str, Any]:
    """One mount of a spec, its options understood (see runtime/mounts.py). RuntimeFailure."""
    kind, target, options = item.get("type") or "bind", item["destination"], item.get("options") or []
    if "remount" in options:
        raise _refused(target, "remount changes a mount that is there; this one would be new")
    if "link_to" in item:  # copy-symlink, see runtime/rootfs_more.py
        return {"how": "link", "target": target, "to": item["link_to"]}
    attr_set, attr_clr, propagation, data, deep = parse_options(item)
    found = {"target": target, "type": kind, "source": item.get("source"), "options": options, "deep": deep}
    if kind == "bind" or "bind" in options or "rbind" in options:
        if data:
            raise _refused(target, f"a bind mount has no option {data[0]}: those of a file system belong to its first mount")
        if "tmpcopyup" in options:
            raise _refused(target, "tmpcopyup fills a file system that is new; a bind mount shows one that is there")
        return found | {
            "how": "bind",
            "tree": item.get("tree_fd", -1),  # made by who has the rights, see runtime/rootfs_more.py
            "tree_optional": bool(item.get("tree_optional")),
            "recursive": "rbind" in options,
            "source_nofollow": "src-nofollow" in options,
            "target_nofollow": "dest-nofollow" in options,
            "attributes": (attr_set, attr_clr),
            "propagation": propagation or (libc.MS_PRIVATE | libc.MS_REC),
        }
    if item.get("uidMappings") or item.get("gidMappings") or any(word.partition("=")[0] in ("idmap", "ridmap") for word in options):
        raise _refused(target, "ids can be mapped in bind mounts only")
    flags = mount_flags(options)
    copy_up = "tmpcopyup" in options
    late_readonly = copy_up and bool(flags & libc.MS_RDONLY)
    return found | {
        "how": "cgroup" if kind == "cgroup" else "new",
        # The kernel's own file systems must not land where the image points with a symbolic link.
        "strict": kind in _STRICT_TYPES or target in ("/dev", "/proc", "/sys"),
        "flags": flags & ~libc.MS_RDONLY if late_readonly else flags,
        "data": data,
        "covered_mode": kind == "tmpfs" and not any(word.startswith("mode=") for option in data for word in option.split(",")),
        "copy_up": copy_up,
        "late_readonly": late_readonly,
        "propagation": propagation,
    }


def _refused(target: str, why: str) -> RuntimeFailure:
    return RuntimeFailure(f"cannot mount {target}", why, stage="mounts")
