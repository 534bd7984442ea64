"""The container's control group: whether, where and with which limits. Process C, before init is cloned; the driver is runtime/cgroup.py.

Without limits a group is made where that is possible at no cost (the caller may write to his own); with limits it must be.
"""

from __future__ import annotations

import os

from pyman import paths
from pyman.errors import RuntimeFailure, StorageError, UsageError
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.engine.container import Container
    from pyman.runtime.scopes import Scope

_MODES = ("enabled", "disabled", "no-conmon", "split")
_MARK = "cgroup"  # file in the container's directory: where its group is
_TOPS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")  # cgroup v2 alone, and beside the old controllers


def own() -> str:
    """The caller's own cgroup v2 directory if he may make others there, else empty."""
    for line in (store.read_text("/proc/self/cgroup") or "").split("\n"):
        if line.startswith("0::/") and not line.startswith("0::/.."):
            for top in _TOPS:
                path = f"{top}{line[3:].rstrip('/')}"
                if os.access(f"{path}/cgroup.procs", os.W_OK):
                    return path
    return ""


def check(opts: dict[str, Any], conf: dict[str, Any]) -> None:
    """UsageError for values of --cgroups, --cgroup-manager, --cgroup-parent and --limits that cannot be meant."""
    mode = opts.get("cgroups") or "enabled"
    if mode not in _MODES:
        raise UsageError(f"invalid value {mode!r} for option --cgroups", f"it must be one of {', '.join(_MODES)}")
    if (opts.get("limits") or "strict") not in ("strict", "best-effort"):
        raise UsageError(f"invalid value {opts['limits']!r} for option --limits", "it must be strict or best-effort")
    parent = opts.get("cgroup_parent") or ""
    if parent and mode == "split":
        raise UsageError("cannot use option --cgroup-parent together with --cgroups=split", "split means below the caller's own group")
    if any(part == ".." for part in parent.split("/")):
        raise UsageError(f"invalid value {parent!r} for option --cgroup-parent", "it must not contain ..")
    manager = opts.get("cgroup_manager") or conf["engine"]["cgroup_manager"]
    if manager not in ("", "systemd", "cgroupfs"):
        raise UsageError(f"invalid value {manager!r} for option --cgroup-manager", "it must be systemd or cgroupfs")
    if mode in ("disabled", "split"):
        return
    if manager == "systemd" and parent and not parent.endswith(".slice"):
        raise UsageError(
            f"cannot use --cgroup-parent {parent}", "with the manager systemd it is the name of a slice", "for example work.slice"
        )
    if manager == "cgroupfs" and _is_slice(parent):
        raise UsageError(f"cannot use --cgroup-parent {parent}", "with the manager cgroupfs it is a path, and this is the name of a slice")


def _is_slice(parent: str) -> bool:
    return parent.endswith(".slice") and "/" not in parent


def managers() -> str:
    """The group of the user's service manager, whose controllers its scopes can have."""
    uid = paths.caller()[0]
    return f"/sys/fs/cgroup/user.slice/user-{uid}.slice/user@{uid}.service"


def begin(container: Container, opts: dict[str, Any], conf: dict[str, Any], helpers: list[int]) -> Scope | None:
    """Ask the user's service manager for a scope of the container's, where it is the one to make cgroups; `make` waits for it.

    helpers: processes of the container's outside it. UsageError where systemd was asked for and is not there; RuntimeFailure.
    """
    mode, parent = opts.get("cgroups") or "enabled", opts.get("cgroup_parent") or ""
    wanted = opts.get("cgroup_manager") or conf["engine"]["cgroup_manager"]
    slices = _is_slice(parent)
    if mode in ("disabled", "split") or wanted == "cgroupfs" or (parent and not slices):
        return None
    address = paths.service_manager()
    if not address:
        if wanted == "systemd" or slices:
            raise UsageError(
                f"cannot make control groups through systemd{f' in the slice {parent}' if slices else ''}",
                "no service manager of yours is reachable at $XDG_RUNTIME_DIR/systemd/private, or $XDG_RUNTIME_DIR/bus",
                "log in, or loginctl enable-linger; else use --cgroup-manager=cgroupfs",
            )
        return None
    from pyman.runtime import scopes  # where a user manager is only

    try:
        return scopes.begin(
            f"pyman-{container.id}.scope",
            f"pyman container {container.name}",
            address,
            own(),
            parent=parent,
            stays=mode == "no-conmon",
            helpers=helpers,
            stop_timeout=int(container.config.get("stop_timeout", 10)),
        )
    except OSError as err:
        if wanted == "systemd" or slices:
            raise RuntimeFailure("cannot reach the user's service manager", f"{address}: {err.strerror or err}", stage="cgroup") from err
        return None  # a socket that nobody listens at: left by a manager that is gone


def make(
    container: Container,
    opts: dict[str, Any],
    conf: dict[str, Any],
    resources: dict[str, Any],
    warn: Callable[[str], None],
    scope: Scope | None = None,
) -> str:
    """Make the container's cgroup with its limits; its directory, or empty if it gets none.

    resources: linux.resources; scope: what `begin` returned. `warn` is told what --limits=best-effort left out. RuntimeFailure names the limit and the controller.
    """
    mode = opts.get("cgroups") or "enabled"
    if mode == "disabled":
        if resources:
            raise UsageError("cannot limit a container without a control group", "--cgroups=disabled was given", "leave it away")
        return ""
    parent = opts.get("cgroup_parent") or ""
    elsewhere = bool(resources or parent or mode == "split" or scope is not None)
    mine = own() if not elsewhere else ""
    if not elsewhere and not mine:
        return ""

    def intent(directory: str) -> None:
        """Note where the group is going to be, for whoever takes it away."""
        with open(os.path.join(container.dir, _MARK), "w") as file:
            file.write(directory)

    if not elsewhere:
        intent(f"{mine}/pyman-{container.id}")
        if _make_plain(f"{mine}/pyman-{container.id}"):
            _pids_limit(f"{mine}/pyman-{container.id}", int(conf["containers"].get("pids_limit") or 0))
            return f"{mine}/pyman-{container.id}"
    from pyman.runtime import cgroup_place  # only for limits and other places: the driver costs half a millisecond

    path, base = f"{parent.rstrip('/')}/pyman-{container.id}" if parent else "", ""
    if scope is not None:
        from pyman.runtime import scopes

        path, base = "container", scopes.place(scope)
    elif mode == "split":
        path = _split(container.id)
    strict = (opts.get("limits") or "strict") == "strict"
    named = parent.startswith("/") and not _is_slice(parent)
    if named:  # there and nowhere else
        from pyman.runtime import cgroup

        path, base = path.strip("/"), cgroup.hierarchy()
    directory, notes = cgroup_place.create(path, container.id, resources, strict=strict, intent=intent, base=base)
    if named and not directory and strict:
        hint = "give a group that your user may write to, or --limits=best-effort"
        raise RuntimeFailure(f"cannot use --cgroup-parent {parent}", "; ".join(notes), hint, stage="cgroup")
    if resources or scope is not None:
        for note in notes:
            warn(note)
    if directory and not resources.get("pids"):
        _pids_limit(directory, int(conf["containers"].get("pids_limit") or 0))
    return directory


def _split(container_id: str) -> str:
    """The caller's own group, divided: its processes move into `supervisor`, the container's lie beside them (the kernel lets a
    group with processes give no controllers to its children)."""
    from pyman.runtime import cgroup, cgroup_place  # --cgroups=split only

    base = cgroup.path_of()
    top = cgroup.hierarchy()
    if not base or not own():
        raise UsageError("cannot use --cgroups=split", "your own control group is not delegated to you", "in the unit: Delegate=yes")
    if os.path.basename(base) == "supervisor":  # a monitor that starts its container again, or a further container of the unit
        base = os.path.dirname(base)
    supervisor = os.path.join(base, "supervisor")
    os.makedirs(supervisor, exist_ok=True)
    for pid in (store.read_text(os.path.join(base, "cgroup.procs")) or "").split():
        try:
            cgroup.write(supervisor, "cgroup.procs", pid)
        except OSError:
            continue  # it has just ended
    try:
        # All of them: memory.events tells of out-of-memory kills and stats counts without a limit, too.
        cgroup_place.enable(base, (store.read_text(os.path.join(base, "cgroup.controllers")) or "").split())
    except OSError:
        pass  # a process was just forked there; a limit that needs a controller says so
    return f"{base[len(top) :]}/pyman-payload-{container_id}"


def _make_plain(directory: str) -> bool:
    """Make a cgroup without limits; false where the driver has to look for a place. A threaded one could be neither listed nor killed."""
    try:
        os.mkdir(directory, 0o755)
    except OSError:
        return False
    if (store.read_text(f"{directory}/cgroup.type") or "").strip() == "domain":
        return True
    os.rmdir(directory)
    return False


def _pids_limit(directory: str, limit: int) -> None:
    """The configured guard against fork bombs, wherever the controller was delegated."""
    if limit > 0:
        try:
            fd = os.open(f"{directory}/pids.max", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            os.write(fd, str(limit).encode())
        except OSError:
            pass
        finally:
            os.close(fd)


def discard(container: Container) -> None:
    """Take away the cgroup of a container that has ended, and those it made below; harmless if there is none.

    Where it lies was written down before it was made: whoever was killed since, it is found.
    """
    mark = os.path.join(container.dir, _MARK)
    try:
        directory = store.read_text(mark) or ""
    except StorageError:
        return  # a damaged one
    names = (f"pyman-{container.id}", f"pyman-payload-{container.id}")
    if os.path.basename(directory) not in names and not directory.endswith(f"/pyman-{container.id}.scope/container"):
        return
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        pass
    except OSError:
        from pyman.runtime import cgroup  # groups below it, or processes that are still ending

        try:
            cgroup.kill(directory, 9)
            cgroup.delete(directory, 10.0)
        except (RuntimeFailure, OSError):
            return  # the next command tries again
    os.unlink(mark)
