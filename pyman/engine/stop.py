"""Stop containers: stop signal, time to heed it, then SIGKILL. CLI process."""

from __future__ import annotations

import os
import select
import time

from pyman.engine import kill, restart_policy
from pyman.engine.container import RUNNING, Container
from pyman.errors import StateError
from pyman.linux import libc, process

SIGKILL = 9
SIGCONT = 18


def stop_container(container: Container, timeout: int | None = None, service: bool = False) -> bool:
    """Stop a container; false if it did not run. StateError if it cannot be stopped.

    service: for a shutdown; a restart policy starts it again at the next boot.
    """
    with container:
        if container.state["status"] == "paused":
            raise StateError(
                "can only stop created or running containers",
                f"{container.name} is in state paused: container state improper",
                f"pyman unpause {container.name}, or pyman rm --force {container.name}",
            )
        restart_policy.note_wish(container, "service" if service else "user")
        if container.state["status"] not in RUNNING:
            if not restart_policy.cancel(container):
                return False
            container.state["stopped_by"] = "stop"
            container.save()
            return True
        stop_locked(container, timeout)
        return True


def stop_signal(container: Container) -> int:
    """--stop-signal, else the image's StopSignal, else SIGTERM."""
    name = container.config.get("stop_signal") or container.config["image_config"].get("StopSignal") or "TERM"
    return kill.parse_signal(str(name))


def stop_locked(container: Container, timeout: int | None = None) -> None:
    """Stop a running container. The caller holds its lock; afterwards the state is saved as exited.

    timeout: seconds until SIGKILL; None: the container's own; 0: at once; negative: wait without end.
    """
    seconds = container.config.get("stop_timeout", 10) if timeout is None else timeout
    state = container.state
    if state["status"] == "paused":
        seconds = 0  # a frozen process heeds nothing but SIGKILL
    pid, started = state["pid"], state["pid_start"]
    killed = False
    who = kill.caller()
    container.event("stop", Signal=stop_signal(container), Timeout=seconds, By=who)
    if seconds == 0 or not kill.send(container, stop_signal(container)) or not wait_gone(pid, started, seconds):
        killed = True
        kill.send(container, SIGKILL)
        if not wait_gone(pid, started, 10):
            raise StateError(
                f"cannot stop container {container.name}",
                f"its process {pid} did not end within 10 seconds of SIGKILL (it waits inside the kernel)",
                "look at the file system or device it uses, then try again",
            )
    monitor = state["monitor_pid"], state["monitor_start"]
    wait_recorded(container)
    wait_ports_free(container, *monitor)
    container.state["stopped_by"] = "stop (SIGKILL)" if killed else "stop"
    container.state["stopped_who"] = who
    container.save()


def wait_gone(pid: int, started: int, seconds: float) -> bool:
    """Wait until process (pid, started) has ended, at most `seconds` (negative: without end)."""
    try:
        pidfd = libc.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not process.alive(pid, started):
            return True
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(-1 if seconds < 0 else int(seconds * 1000)))
    finally:
        os.close(pidfd)


def wait_ports_free(container: Container, monitor_pid: int, monitor_start: int) -> None:
    """Published ports are free once the monitor has seen its network helper end."""
    if container.state["ports"] and monitor_pid:
        wait_gone(monitor_pid, monitor_start, 1)


def wait_recorded(container: Container) -> None:
    """After init's end: wait for the monitor's exit record (it still drains the output), then sync."""
    deadline = time.monotonic() + 10
    pause = 0.0005
    while container.state["status"] in RUNNING:
        container.sync()
        if container.state["status"] not in RUNNING or time.monotonic() > deadline:
            return
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
