"""A transient scope of the user's service manager for a container: the manager makes a cgroup, delegates it, and takes it away at
the end. Process C and the runtime program, before init is cloned; `attach` is for exec. Calls and answers are apart, so that C works while the manager does.

The scope `pyman-ID.scope` has two groups of ours: `supervisor` with the monitor and the network's helper, and `container` with the
limits, which systemd leaves alone. In a service the monitor stays where the service's manager looks for it: a placeholder makes the scope.
"""

from __future__ import annotations

import errno
import os
import time

from pyman import paths
from pyman.errors import RuntimeFailure
from pyman.linux import process, sdbus
from pyman.runtime import cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_PATIENCE = 30.0  # seconds until the scope of the last run is gone
_NO_LIMIT = (1 << 64) - 1  # systemd's "infinity"


class Scope:
    """A scope that was asked for, or (`resumed`) in which a monitor starts its container again."""

    __slots__ = ("base", "manager", "member", "name", "pids", "properties", "serial")

    manager: sdbus.Manager
    properties: list[tuple[str, tuple[str, Any]]]

    def __init__(self, name: str) -> None:
        self.name = name
        self.base = ""  # its directory, once it is known
        self.member = os.getpid()  # the process whose cgroup it becomes
        self.pids: list[int] = []
        self.serial = 0


def begin(
    name: str, title: str, address: str, own: str, *, parent: str = "", stays: bool = False, helpers: list[int], stop_timeout: int = 10
) -> Scope:
    """Ask the manager at `address` for the scope `name`; `place` waits for it. OSError, RuntimeFailure.

    own: the caller's cgroup directory, empty if it is not delegated; parent: slice, or empty; stays: whether the caller is to stay in
    his cgroup, if that can be; helpers: processes that come along; stop_timeout: seconds that the manager gives the container at its own end.
    """
    scope = Scope(name)
    mine = cgroup.path_of()
    if mine.endswith(f"/{scope.name}/supervisor"):
        scope.base = os.path.dirname(mine)
        return scope
    scope.pids = [os.getpid(), *helpers]
    if own and (stays or own.endswith(".service")):
        # Another session's processes could put nothing into the scope from outside: there the caller moves in all the same.
        scope.member = _placeholder()
        scope.pids = [scope.member]
    scope.properties = [
        ("Description", ("s", title)),
        ("Slice", ("s", parent or "user.slice")),
        ("Delegate", ("b", True)),
        ("CollectMode", ("s", "inactive-or-failed")),
        ("TimeoutStopUSec", ("t", min(max(stop_timeout, 1), 10**9) * 1_000_000)),
        ("TasksMax", ("t", _NO_LIMIT)),  # the manager's DefaultTasksMax= would hold below a higher --pids-limit
    ]
    scope.manager = sdbus.Manager(address)
    scope.serial = _ask(scope)
    return scope


def _ask(scope: Scope) -> int:
    properties = [("PIDs", ("au", scope.pids)), *scope.properties]
    return scope.manager.send("StartTransientUnit", "ssa(sv)a(sa(sv))", scope.name, "fail", properties, [])


def _placeholder() -> int:
    """A child that ends with this program: when C becomes the monitor, its end of the pipe closes."""
    read_end, _ = os.pipe2(os.O_CLOEXEC)

    def body() -> int:
        os.read(read_end, 1)
        return 0

    pid = process.fork(body, "pyman:[scope]", (read_end,))
    os.close(read_end)
    return pid


def place(scope: Scope) -> str:
    """The scope's directory with all controllers given to its groups, and its processes in `supervisor`. RuntimeFailure."""
    if not scope.base:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                job = scope.manager.answer(scope.serial)[0]
                break
            except sdbus.CallError as err:
                if err.name.endswith(".UnitExists") and time.monotonic() < end:
                    time.sleep(0.005)  # the last run's, whose end the manager has not seen yet
                elif len(scope.pids) > 1:
                    del scope.pids[1:]  # a helper has ended: what that means is said elsewhere
                else:
                    raise
            scope.serial = _ask(scope)
        result = scope.manager.wait_for_job(str(job))
        scope.manager.close()
        scope.base = cgroup.path_of(scope.member)
        if result != "done" or not scope.base.endswith("/" + scope.name):
            raise RuntimeFailure(
                f"cannot start the scope {scope.name}",
                f"the user's service manager says: {result}",
                f"journalctl --user -u {scope.name}; or use --cgroup-manager=cgroupfs",
                stage="cgroup",
            )
    _divide(scope.base)
    return scope.base


def _divide(base: str) -> None:
    """Processes to `supervisor`, then all controllers on: the kernel wants a group that gives controllers to be without processes."""
    from pyman.runtime import cgroup_place

    supervisor = os.path.join(base, "supervisor")
    try:
        os.mkdir(supervisor, 0o755)
    except FileExistsError:
        pass
    with open(os.path.join(base, "cgroup.controllers")) as file:
        controllers = file.read().split()
    for _ in range(1000):
        with open(os.path.join(base, "cgroup.procs")) as file:
            pids = file.read().split()
        for pid in pids:
            try:
                cgroup.write(supervisor, "cgroup.procs", pid)
            except ProcessLookupError:
                continue
        try:
            return cgroup_place.enable(base, controllers)
        except OSError as err:
            if err.errno != errno.EBUSY:  # one that was just forked
                raise
    raise RuntimeFailure(f"cannot divide the control group {base}", "new processes come in all the time", stage="cgroup")


def of_spec(text: str, container_id: str) -> str:
    """The directory of a new scope for linux.cgroupsPath "SLICE:PREFIX:NAME", with the caller in it; empty without a service manager.

    RuntimeFailure.
    """
    parent, prefix, name = (text.split(":") + ["", ""])[:3]
    name = name or container_id
    system = "/run/systemd/private"
    address = paths.service_manager() or (system if os.access(system, os.W_OK) else "")
    if not address:
        return ""
    unit = f"{prefix}-{name}.scope" if prefix else f"{name}.scope"
    parent = parent or ("system.slice" if address == system else "user.slice")
    try:
        return place(begin(unit, f"container {container_id}", address, "", parent=parent, helpers=[]))
    except OSError as err:
        if address.endswith("/bus"):
            return ""  # a session bus without a manager
        raise RuntimeFailure("cannot reach the service manager", f"{address}: {err.strerror or err}", stage="cgroup") from err


def unit_of(directory: str) -> tuple[str, str]:
    """(unit of the user's service manager, group below it) that a cgroup directory lies in; both empty if it is in none."""
    below = directory.partition("/user@")[2].partition("/")[2].split("/")
    for index, name in enumerate(below):
        if name.endswith((".service", ".scope")):
            return name, "/" + "/".join(below[index + 1 :])
    return "", ""


def mover(directory: str) -> Callable[[str, int], object] | None:
    """What has the service manager move a process into a group of its units; None where it cannot. To be asked before a fork, which loads nothing."""
    return attach if unit_of(directory)[0] and paths.service_manager() else None


def attach(directory: str, pid: int) -> None:
    """Have the manager move a process into a container's group: from another login session the kernel lets nobody else do it.

    directory: in a unit of the manager that has delegated its groups, such as .../pyman-ID.scope/container. OSError, RuntimeFailure.
    """
    unit, group = unit_of(directory)
    manager = sdbus.Manager(paths.service_manager())
    try:
        manager.answer(manager.send("AttachProcessesToUnit", "ssau", unit, group, [pid]))
    finally:
        manager.close()
