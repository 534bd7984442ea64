"""Where a container's cgroup is made, and its limits. The runtime program, process C. See runtime/cgroup.py."""

from __future__ import annotations

import errno
import os

from pyman import paths
from pyman.errors import RuntimeFailure
from pyman.runtime.cgroup import delete, forget_parents, hierarchy, mark, path_of, processes, read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.runtime.cgroup_limits import Setting

_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def _settings(resources: dict[str, Any]) -> list[Setting]:
    if not resources:
        return []
    from pyman.runtime import cgroup_limits  # with limits only

    return cgroup_limits.settings(resources)


def create(
    spec_path: str,
    container_id: str,
    resources: dict[str, Any],
    systemd: bool = False,
    *,
    strict: bool = True,
    intent: Callable[[str], object] = str,
    base: str = "",
) -> tuple[str, list[str]]:
    """Make the container's cgroup with its limits. Returns (directory or "", notes on what was left out).

    spec_path: linux.cgroupsPath ("/a/b" from the hierarchy's top, "a/b" from the caller's own cgroup, "slice:prefix:name" with
    `systemd`, "" for a place of our choice). RuntimeFailure where `resources` asks for a limit that cannot be set, unless not
    `strict`: then it is left out, with a note. intent: called with each directory before it is tried, for whoever takes it away
    when this process is killed. base: a delegated cgroup in which it is made as `spec_path`, and nowhere else.
    """
    wanted = _settings(resources)
    needed = sorted({setting.controller for setting in wanted if setting.limits and setting.controller != "cgroup"})
    notes: list[str] = []
    if systemd and ":" in spec_path:
        notes.append("no systemd scope was made: the cgroup is made by files")
        spec_path = _name_of_scope(spec_path, container_id)

    def place(controllers: list[str]) -> tuple[str, str]:
        if base:
            return _make(base, spec_path, controllers, intent)
        return _place(spec_path, container_id, controllers, intent)

    directory, why = place(needed)
    if not directory and wanted:
        if strict:
            raise RuntimeFailure(
                f"cannot limit container {container_id[:12]}",
                f"{', '.join(repr(setting) for setting in wanted)}: {why}",
                delegation_hint(needed),
                stage="cgroup",
            )
        wanted, left = _possible(wanted, needed, place)
        notes += [f"the limit {setting!r} was left out: {reason or why}" for setting, reason in left]
        directory, why = place(sorted({setting.controller for setting in wanted} & set(needed)))
    if not directory:
        notes.append(f"without a cgroup: {why}")
        return "", notes
    try:
        apply(directory, wanted)
        if resources.get("devices"):
            from pyman.runtime import cgroup_devices  # hosts where we may load BPF programs only

            notes += cgroup_devices.attach(directory, resources["devices"])
    except BaseException:
        delete(directory)
        forget_parents(directory)
        raise
    return directory, notes


def _possible(
    wanted: list[Setting], needed: list[str], place: Callable[[list[str]], tuple[str, str]]
) -> tuple[list[Setting], list[tuple[Setting, str]]]:
    """The settings whose controllers can be had together, and the others with their reasons."""
    there: list[str] = []
    reasons: dict[str, str] = {}
    for controller in needed:
        made, reasons[controller] = place([*there, controller])
        if made:
            os.rmdir(made)
            forget_parents(made)
            there.append(controller)
    fine = [setting for setting in wanted if setting.controller not in needed or setting.controller in there]
    fine = [setting for setting in fine if there or setting.controller == "cgroup"]
    return fine, [(setting, reasons.get(setting.controller, "")) for setting in wanted if setting not in fine]


def delegation_hint(controllers: list[str]) -> str:
    """What lets systemd give these controllers to users: a file and its text; or what starts the service manager that gives a user groups."""
    uid = paths.caller()[0]
    if uid and os.path.isdir("/run/systemd/system") and not paths.service_manager():
        from pyman.rootless import idmap  # errors and doctor only

        return (
            f"your service manager, which gives control groups, does not run: as root, loginctl enable-linger {idmap.user_name(uid)} starts it "
            "now and at boot; or log in by ssh, a terminal or machinectl shell instead of su or sudo"
        )
    words = " ".join(sorted({"cpu", "cpuset", "io", "memory", "pids", *controllers}))
    return (
        f"as root write /etc/systemd/system/user@.service.d/delegate.conf with the lines [Service] and Delegate={words}, "
        f"then systemctl daemon-reload, and log in again (where the user lingers: systemctl restart user@{uid}.service, which ends what "
        "runs there); or run with --limits=best-effort"
    )


def _name_of_scope(text: str, container_id: str) -> str:
    parts = (text.split(":") + ["", ""])[:3]
    return f"{parts[1]}-{parts[2] or container_id}.scope" if parts[1] else f"{parts[2] or container_id}.scope"


def _place(spec_path: str, container_id: str, needed: list[str], intent: Callable[[str], object]) -> tuple[str, str]:
    """(directory made, "") or ("", why there is none)."""
    top = hierarchy()
    if not top:
        return "", "cgroup v2 is not mounted on this host"
    if any(part == ".." for part in spec_path.split("/")):
        raise RuntimeFailure("cannot use linux.cgroupsPath", f"{spec_path!r} has a part ..", stage="cgroup")
    own = path_of()
    why = "your user may not make cgroups"
    if spec_path.startswith("/"):
        made, why = _make(top, spec_path.strip("/"), needed, intent)
        if made:
            return made, ""
    name = spec_path.strip("/").rpartition("/")[2] if spec_path.startswith("/") else spec_path.strip("/")
    name = name or f"pyman-{container_id}"
    base = own
    while base.startswith(top):
        made, reason = _make(base, name, needed, intent)
        if made:
            return made, ""
        why = reason
        if base == top or not os.access(os.path.dirname(base), os.W_OK):
            break
        base = os.path.dirname(base)
    return "", why


def _make(base: str, relative: str, needed: list[str], intent: Callable[[str], object]) -> tuple[str, str]:
    """Make base/relative, every level giving the needed controllers on; what was made is taken away again on failure."""
    made: list[str] = []
    current = base
    place, parts = os.path.join(base, relative), relative.split("/")
    intent(place)
    try:
        for part in parts:
            enable(current, needed)
            current = os.path.join(current, part)
            try:
                os.mkdir(current, 0o755)
                made.append(current)
                if current != place:
                    mark(current)
            except FileExistsError:
                pass
            except FileNotFoundError:
                if current == os.path.join(base, parts[0]):
                    raise
                return _make(base, relative, needed, intent)  # a delete has just removed the empty one above it
        if not made and processes(current):
            raise RuntimeFailure("cannot create the container's cgroup", f"{current} is in use by other processes", stage="cgroup")
        kind = read(current, "cgroup.type").strip()
        if kind in ("threaded", "domain invalid"):
            # Its processes could be neither listed nor killed nor limited as a whole.
            raise RuntimeFailure(
                "cannot create the container's cgroup", f"{current} is a {kind} cgroup: it has threads only", stage="cgroup"
            )
        if not os.access(os.path.join(current, "cgroup.procs"), os.W_OK):
            raise PermissionError(errno.EACCES, "not delegated", current)
        return current, ""
    except OSError as err:
        for directory in reversed(made):
            try:
                os.rmdir(directory)
            except OSError:
                break  # somebody uses it by now
        if err.errno not in (*_DENIED, errno.ENOENT, errno.EBUSY):
            raise
        if err.errno == errno.EBUSY:
            return "", f"{base} has processes in it and can give no controllers to its children"
        return "", f"{err.filename or base}: {err.strerror}"


def enable(directory: str, needed: list[str]) -> None:
    """Give controllers to the children of a cgroup. FileNotFoundError names one that is not there; OSError (EBUSY: has processes)."""
    there, on = read(directory, "cgroup.controllers").split(), read(directory, "cgroup.subtree_control").split()
    missing = [controller for controller in needed if controller not in on]
    for controller in missing:
        if controller not in there:
            raise FileNotFoundError(errno.ENOENT, f"the controller {controller} is not available there", directory)
    if not missing:
        return
    # With processes in it the kernel takes cpu, cpuset and pids, and makes the children "domain invalid". The hierarchy's top may do both.
    if read(directory, "cgroup.procs").strip() and os.path.exists(os.path.join(directory, "cgroup.type")):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), directory)
    write(directory, "cgroup.subtree_control", " ".join(f"+{controller}" for controller in missing))


def apply(directory: str, wanted: list[Setting]) -> None:
    """Write limits. RuntimeFailure names limit, value and the kernel's reason."""
    passed: list[Setting] = []
    for setting in wanted:
        name = next((file for file in setting.files if os.path.exists(os.path.join(directory, file))), "")
        if not name and setting.optional:
            passed.append(setting)
            continue
        try:
            for line in setting.value.split("\n"):
                write(directory, name or setting.files[0], line)
        except OSError as err:
            if setting.optional and err.errno in (errno.EOPNOTSUPP, errno.ENODEV):
                passed.append(setting)
                continue
            why = err.strerror or str(err)
            if err.errno == errno.ENOENT:
                why = f"the controller {setting.controller} is not available in {directory}"
            raise RuntimeFailure(f"cannot set the limit {setting!r}", why, stage="cgroup", errno=err.errno or 0) from err
    written = {setting.controller for setting in wanted if setting not in passed}
    for setting in passed:
        if setting.limits and setting.controller not in written:
            there = os.path.exists(os.path.join(directory, f"{setting.controller}.stat"))
            why = "the kernel has no such file" if there else f"the controller {setting.controller} is not available in {directory}"
            raise RuntimeFailure(f"cannot set the limit {setting!r}", why, stage="cgroup")


def update(directory: str, resources: dict[str, Any]) -> None:
    """Change the limits of a living container. RuntimeFailure; with memory.checkBeforeUpdate, if more memory is in use."""
    wanted = _settings(resources)
    if not directory:
        raise RuntimeFailure("cannot change the container's limits", "it has no cgroup", stage="cgroup")
    memory = resources.get("memory") or {}
    current = read(directory, "memory.current").strip()
    if memory.get("checkBeforeUpdate") and memory.get("limit", -1) > 0 and current and int(current) > memory["limit"]:
        raise RuntimeFailure(
            "cannot change the memory limit", f"{current} bytes are in use, more than the limit of {memory['limit']}", stage="cgroup"
        )
    try:
        # A container made without limits has the controllers its parent gave to all: more can be had where that has no processes.
        enable(os.path.dirname(directory), sorted({setting.controller for setting in wanted if setting.controller != "cgroup"}))
    except OSError:
        pass  # apply names the limit and the controller
    apply(directory, wanted)
