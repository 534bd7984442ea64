"""Stop containers: stop signal, time to heed it, then SIGKILL. CLI process."""

from __future__ import annotations

import fcntl
import os
import select
import time

from pyman import errors, stages
from pyman.engine import kill, restart_policy
from pyman.engine.container import RUNNING, Container
from pyman.errors import NoSuchContainer, StateError, StorageError, UsageError
from pyman.linux import libc, process
from pyman.state import store
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

SIGKILL = 9
SIGTERM = 15
SIGCONT = 18
_WITHOUT_END = 2_000_000  # seconds: poll counts its milliseconds with 31 bits


def stop_container(
    container: Container,
    timeout: int | None = None,
    service: bool = False,
    *,
    smart: bool = False,
    warn: Callable[[str], None] | None = None,
) -> None:
    """Stop a container; one that does not run is left as it is. StateError if it cannot be stopped.

    service: for a shutdown; a restart policy starts it again at the next boot. smart: do not wait for a process that cannot heed
    the signal. warn: called with what the user should know.
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
            if restart_policy.cancel(container):
                restart_policy.note_cancel(container, "stop")
            return
        try:
            stop_locked(container, timeout, smart=smart, warn=warn)
        except NoSuchContainer:
            return  # its monitor or another command was quicker to remove it
        if (
            container.state["status"] not in RUNNING
            and container.state.get("auto_remove")
            and not _made_with(container, "options", {}).get("rmi")
        ):
            from pyman.engine import remove  # for such containers only

            remove.discard_container(container)  # its name is free when we return; the monitor's clean-up finds nothing to do


def stop_signal(container: Container) -> int:
    """--stop-signal, else the image's StopSignal, else SIGTERM; SIGTERM too for what is no signal, so that everything can be stopped."""
    name = _made_with(container, "stop_signal", "") or _made_with(container, "image_config", {}).get("StopSignal") or "TERM"
    try:
        return kill.parse_signal(str(name))
    except UsageError:
        return SIGTERM


def _made_with(container: Container, key: str, default: Any) -> Any:
    """What the configuration says; the default where it is damaged, or lost: such a container must be stopped, too."""
    try:
        value = container.config.get(key, default)
    except (StorageError, NoSuchContainer):
        return default
    return value if isinstance(value, type(default)) else default


def stop_locked(
    container: Container, timeout: int | None = None, *, smart: bool = False, warn: Callable[[str], None] | None = None
) -> None:
    """Stop a running container. The caller holds its lock; afterwards the state is saved as exited.

    The lock is given back while the process has time to heed its signal: others may kill it, or remove it, meanwhile. Then it can have gone
    (NoSuchContainer), or run anew.

    timeout: seconds until SIGKILL; None: the container's own; 0: at once; negative: wait without end. smart, warn: see above.
    """
    seconds = _made_with(container, "stop_timeout", 10) if timeout is None else timeout
    state = container.state
    if state["status"] == "paused":
        seconds = 0  # a frozen process heeds nothing but SIGKILL
    pid, started = state["pid"], state["pid_start"]
    facts: dict[str, Any] = {}
    if seconds and not heeds(pid, stop_signal(container)):
        seconds = _in_vain(container, seconds, smart, warn)
        facts = {"Deaf": True}
    killed, asked = False, time.time()
    who = kill.caller()
    facts.update(Signal=stop_signal(container), Timeout=seconds)
    container.event("stop", By=who, Command=errors.command, **facts)
    stages.reach("stop:noted")
    monitor = state["monitor_pid"], state["monitor_start"]
    witness = Lock(_witness(container), shared=True)  # until the container is locked again: see await_others
    try:
        if seconds != 0:
            _mark(container, witness)
        sent = seconds != 0 and kill.send(container, stop_signal(container))
        killed = sent and facts["Signal"] == SIGKILL
        stages.reach("stop:signalled")
        ended = sent and _await_end(container, seconds)
    except NoSuchContainer:
        wait_ports_free(state, *monitor)
        raise
    finally:
        witness.release()
    if container.state["status"] in RUNNING and (container.state["pid"], container.state["pid_start"]) != (pid, started):
        return  # another command has started it again
    if not ended and container.state["status"] in RUNNING:
        killed = kill.send(container, SIGKILL) or killed
        if not wait_gone(pid, started, 30):
            raise StateError(
                f"cannot stop container {container.name}",
                f"its process {pid} did not end within 30 seconds of SIGKILL (it waits inside the kernel)",
                "look at the file system or device it uses, then try again",
            )
    wait_recorded(container)
    restart_policy.cancel(container)  # it may have ended by itself just before the wish was written: then its monitor waits to start it
    wait_ports_free(state, *monitor)
    stages.reach("stop:ended")
    # Its end may have been held up by others in its pid namespace who were not reaped: then it heeded the signal all the same.
    killed = killed and container.state["exit_code"] == 128 + SIGKILL
    if not killed and (container.state.get("stopped_by") or (container.state.get("end") or {}).get("signal") == SIGKILL):
        return  # another command was quicker: it has noted what it did
    kill.note(container, "stop (SIGKILL)" if killed else "stop", who, {**facts, "At": asked})
    try:
        container.save()
    except StorageError:
        pass  # a full disk: it has ended, and the exit record says so


def _await_end(container: Container, seconds: int) -> bool:
    """Let others have the container while its process may heed the signal; whether that has ended. NoSuchContainer.

    Whoever cannot wait any more wants to kill it, and whoever works with what runs need not wait for its end.
    """
    pid, started = container.state["pid"], container.state["pid_start"]
    container.unlock()
    try:
        return wait_gone(pid, started, seconds)
    finally:
        container.lock()


def _witness(container: Container) -> str:
    """A file whose lock is shared by all who stop the container and do not hold its own lock meanwhile. It ends with them."""
    return os.path.join(container.dir, "config.json")


def _mark(container: Container, witness: Lock) -> None:
    """Take the witness; have ps and others, who look at what runs by the hundred and read its state anyway, ask for that."""
    try:
        witness.acquire()
        container.state["stopping"] = True
        container.save()
    except (StorageError, OSError):
        pass  # a full disk, a damaged container: it is stopped all the same


def shown(state: dict[str, Any]) -> str:
    """The status of a container as others are told it: "stopping" while somebody who stops it waits for its end."""
    if state["status"] == "running" and state.get("stopping") and under_way(Container(state["id"])):
        return "stopping"
    return str(state["status"])


def under_way(container: Container) -> bool:
    """Whether somebody stops the container and waits for its end."""
    return Lock(_witness(container)).held()


def await_others(container: Container, warn: Callable[[str], None] | None) -> None:
    """Before a start of what runs: let those who stop it come to their end, or it is told to be started and then ends.

    The caller holds its lock, which is given back meanwhile: afterwards the container can have gone (NoSuchContainer). warn: see above.
    """
    while container.state["status"] in RUNNING and under_way(container):
        if warn:
            warn(f"container {container.name} is being stopped: this waits for its end")
        container.unlock()
        try:
            with open(_witness(container), "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
        except FileNotFoundError:
            pass  # removed just now
        finally:
            container.lock()


def _in_vain(container: Container, seconds: int, smart: bool, warn: Callable[[str], None] | None) -> int:
    """How many seconds to wait for a process that will not heed its stop signal: it is said, and with --stop-smart none."""
    from pyman.config import containers as containers_conf  # for such processes only

    smart = smart or bool(containers_conf.load()["engine"].get("stop_smart"))
    if warn and not smart:
        name = next((f"SIG{name}" for name, number in kill.SIGNALS.items() if number == stop_signal(container)), "its stop signal")
        then = f"it is killed after {seconds} second{'s' if seconds != 1 else ''}" if seconds > 0 else "this waits until it ends"
        warn(
            f"the first process of container {container.name} has no handler for {name}: {then} (--stop-smart does not wait; --init passes it on)"
        )
    return 0 if smart else seconds


def heeds(pid: int, signum: int) -> bool:
    """Whether signal `signum` can do anything to a container's first process.

    The kernel gives the first process of a pid namespace no default actions. One that blocks the signal may wait for it
    (signalfd, sigwait), as init programs do, so only what is neither caught nor blocked by any thread is not heeded.
    """
    if signum == SIGKILL:
        return True
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return True  # it has ended
    for task in tasks:
        fields = dict(line.partition(":")[::2] for line in (store.read_text(f"/proc/{pid}/task/{task}/status") or "").split("\n"))
        if "SigCgt" not in fields or (fields.get("NSpid", "").split()[1:][-1:] != ["1"] and task == str(pid)):
            return True  # ended, or not the first process of a namespace of its own
        if any(int(fields[name], 16) >> (signum - 1) & 1 for name in ("SigCgt", "SigBlk")):
            return True
    return False


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
        return bool(poll.poll(-1 if seconds < 0 or seconds > _WITHOUT_END else int(seconds * 1000)))
    finally:
        os.close(pidfd)


def wait_ports_free(state: dict[str, Any], monitor_pid: int, monitor_start: int) -> None:
    """Published ports are free once the monitor has seen its network helper end."""
    if state["ports"] and monitor_pid:
        wait_gone(monitor_pid, monitor_start, 10)


def wait_recorded(container: Container) -> None:
    """After init's end: wait for the monitor's exit record (it still drains the output), then sync."""
    deadline = time.monotonic() + 60
    pause = 0.0005
    while container.state["status"] in RUNNING:
        container.sync()
        if container.state["status"] not in RUNNING or time.monotonic() > deadline:
            return
        time.sleep(pause)
        if pause == 0.02:
            _wake(container.state["monitor_pid"], container.state["monitor_start"])
        pause = min(pause * 2, 0.02)


def _wake(pid: int, started: int) -> None:
    """Let a monitor go on that somebody has stopped (SIGSTOP): without it the end is never recorded."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stopped = file.read().rpartition(b")")[2].split()[0] == b"T"
        if stopped and process.alive(pid, started):
            os.kill(pid, SIGCONT)
    except (OSError, IndexError):
        pass  # it has ended
