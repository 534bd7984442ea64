"""Wait for containers to reach a condition. CLI process."""

from __future__ import annotations

import os
import select
import time

from pyman.engine.container import RUNNING, Container
from pyman.errors import NoSuchContainer, StateError
from pyman.linux import libc, process

CONDITIONS = (*("created", "exited", "healthy", "initialized", "paused", "removing", "running", "stopped", "unhealthy"),)
_HEALTH = {"healthy", "unhealthy"}
_REMOVAL = 5.0  # seconds after its end within which somebody begins to remove a container of --rm


def wait_first(containers: list[Container], conditions: list[str], interval: float = 0.25) -> int:
    """Block until one of the containers meets a condition; its exit code (-1 for a condition other than an end)."""
    before = [container.state["started"] for container in containers]
    while True:
        for container, started in zip(containers, before):
            code = _met(container, conditions, started)
            if code is not None:
                return code
        time.sleep(interval)


def _met(container: Container, conditions: list[str], before: float) -> int | None:
    """The exit code if the container meets a condition, or has been running since `before` (its last start when the wait began)."""
    wanted = set(conditions or ["stopped"])
    if wanted & {"stopped", "exited"}:
        wanted |= {"stopped", "exited"}
    container._state = None
    try:
        monitor = container.state["monitor_pid"], container.state["monitor_start"]
        container.sync()
    except NoSuchContainer:
        if wanted & {"stopped", "removing"}:
            return _last_code(container, "stopped" in wanted)
        raise  # what was waited for can never be
    state = container.state
    if state["status"] == "created" and (not conditions or "stopped" in wanted):
        return 0  # it has not started, so there is no end to wait for
    if state["status"] in wanted:
        if state["status"] != "exited":
            return -1
        if state.get("auto_remove"):
            await_removal(container, *monitor)
        return int(state["exit_code"])
    if "running" in wanted and state["started"] not in (0.0, before):
        return -1  # it ran between two looks
    return -1 if wanted & _HEALTH and _healthy(container, wanted) else None


def _healthy(container: Container, wanted: set[str]) -> bool:
    """Whether the last health check has found what is wanted. StateError where none will come any more."""
    from pyman.engine import health_state, restart_policy  # with such a condition only

    state = container.state
    what = f"cannot wait until container {container.name} is {' or '.join(sorted(wanted & _HEALTH))}"
    if not state.get("health"):
        raise StateError(what, "it has no health check", f"give it one: pyman update --health-cmd COMMAND {container.name}")
    if state["status"] in RUNNING:
        return health_state.status(state) in wanted
    if state["status"] == "exited" and wanted <= _HEALTH and not restart_policy.waiting(state):
        raise StateError(what, f"it has ended with exit code {state['exit_code']}", f"pyman why {container.name}")
    return False


def await_removal(container: Container, monitor_pid: int, monitor_start: int) -> None:
    """Until a container of --rm that has ended is gone: then its name is free, and so are its volumes.

    Its monitor removes it, or the command that waited for its end; where that was killed, nobody does for now.
    """
    moment = time.monotonic() + min(_REMOVAL, container.state["finished"] + _REMOVAL - time.time())
    while os.path.exists(container.dir) and (time.monotonic() < moment or process.alive(monitor_pid, monitor_start)):
        time.sleep(0.005)


def wait_container(container: Container, conditions: list[str], interval: float = 0.25) -> int:
    """Block until the container is in one of `conditions` (default: stopped or exited); returns its exit code.

    -1 when a condition other than an end was met, as Podman prints.
    """
    wanted = set(conditions or ["stopped"])
    if wanted & {"stopped", "exited"}:
        wanted |= {"stopped", "exited"}
    run, before = 0.0, container.state["started"]
    while True:
        code = _met(container, conditions, before)
        if code is not None:
            return code
        state = container.state
        if "stopped" in wanted and run and state["started"] != run:
            return int(state.get("last_code", 0))  # it has ended, and its restart policy was quicker than we
        run = state["started"] if state["status"] in RUNNING else 0.0
        if state["status"] in RUNNING and "stopped" in wanted and len(wanted) == 2:
            if process.alive(state["monitor_pid"], state["monitor_start"]):
                _wait_process(state["monitor_pid"], interval)
            else:
                _wait_process(state["pid"], interval)
        else:
            time.sleep(interval)


def _wait_process(pid: int, interval: float) -> None:
    """Until the process ends, but look at the exit record once per `interval`: a monitor may clean up after it."""
    try:
        pidfd = libc.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        poll.poll(max(1, int(interval * 1000)))
    finally:
        os.close(pidfd)


def _last_code(container: Container, ended: bool) -> int:
    """The container was removed while we waited: the code that its monitor has noted in the log of events.

    Of one that has never run 0 (ended: its end was waited for) or -1.
    """
    from pyman.state import eventlog  # removed containers only

    code = 0 if ended else -1
    for event in eventlog.read():
        if event.get("ID") == container.id and event.get("Status") in ("died", "remove"):
            found = event.get("ContainerExitCode")
            code = code if found is None else int(found)
    return code
