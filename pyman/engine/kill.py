"""Send a signal to a container's init, by pidfd. CLI process."""

from __future__ import annotations

import os

from pyman import errors, paths
from pyman.digits import is_whole
from pyman.engine import restart_policy
from pyman.engine.container import RUNNING, Container
from pyman.errors import LockHeld, StateError, StorageError, UsageError
from pyman.linux import process
from pyman.state.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# signal(7), x86 and arm: names are accepted with and without SIG.
SIGNALS = {
    name: number
    for number, name in enumerate(
        "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS".split(),
        start=1,
    )
}
_ENDING = (2, 3, 9, 15)  # INT, QUIT, KILL, TERM
SIGNALS.update({"IOT": 6, "POLL": 29, "CLD": 17, "RTMIN": 34, "RTMAX": 64})


def parse_signal(text: str) -> int:
    """Signal number of a name (TERM, SIGTERM, RTMIN+3) or a number 1..64. UsageError."""
    name = text.strip().upper()
    if is_whole(name, 8) and 1 <= int(name) <= 64:
        return int(name)
    name = name[3:] if name.startswith("SIG") else name
    if name in SIGNALS:
        return SIGNALS[name]
    for base, sign in (("RTMIN+", 1), ("RTMAX-", -1)):
        if name.startswith(base) and name[6:] in map(str, range(31)):
            return SIGNALS[base[:5]] + sign * int(name[6:])
    raise UsageError(f"invalid signal {text!r}", "it is neither a signal's name nor a number from 1 to 64", "kill -l lists the names")


def kill_container(container: Container, signum: int) -> None:
    """Send signal `signum` to the container's init. StateError if it does not run.

    Whatever signal it is, the user has the container in hand from now on: as with Podman no restart policy acts before the next start.
    """
    try:
        container.lock()
    except LockHeld:
        container._state = None
        container.sync()
        if container.state["status"] not in RUNNING:
            raise  # the process that is stopped may be about to start it
        # The kernel does not wait for a stopped process either. Of the state only the lock's holder may write.
        _send_told(container, signum, caller())
        return
    try:
        if _ends(container, signum):
            restart_policy.note_wish(container)
            if restart_policy.cancel(container):
                restart_policy.note_cancel(container, "kill")
                return
        container.require_running("send a signal to")
        _send_noted(container, signum)
    finally:
        container.unlock()


def pass_on(container: Container, signum: int) -> None:
    """The same for a signal that a command attached to the container has got; it waits for nobody who is at work on that. StateError."""
    lock = Lock(container.dir)
    try:
        if not lock.try_acquire():
            restart_policy.note_wish(container)
            send(container, signum)
            return
        container._lock, container._state = lock, None
        if container.state["status"] in RUNNING:
            _send_noted(container, signum)
    except (StorageError, FileNotFoundError):
        send(container, signum)  # nothing can be noted, and the signal comes first
    finally:
        container.unlock()


def _ends(container: Container, signum: int) -> bool:
    """Whether a signal asks for the end, and not for something else as HUP does."""
    if signum in _ENDING:
        return True
    from pyman.engine import stop  # for other signals only

    return signum == stop.stop_signal(container)


def _send_told(container: Container, signum: int, who: str) -> bool:
    # Told before: the container's end, which the monitor notes, comes after its cause.
    restart_policy.note_wish(container)
    container.event("kill", Signal=signum, By=who, Command=errors.command)
    return send(container, signum)


def _send_noted(container: Container, signum: int) -> None:
    who = caller()
    if _send_told(container, signum, who) and (_ends(container, signum) or not container.state.get("stopped_by")):
        note(container, "kill", who, {"Signal": signum})
        try:
            container.save()
        except StorageError:
            pass  # a full disk: the signal was sent, and the log of events says so


def note(container: Container, how: str, who: str, facts: dict[str, Any] | None = None) -> None:
    """Who has asked for the end of a run and how, in the container's state, for `why`; the caller holds its lock, and saves it.

    facts: what the log of events says of it as well; None where nothing was sent.
    """
    container.state.update(stopped_by=how, stopped_who=who, stopped_with=errors.command)
    if facts is None:
        container.state.pop("stopped_facts", None)
    else:
        container.state["stopped_facts"] = facts


def caller() -> str:
    """Who gives this command, for the log of events: the user, and the process that called pyman."""
    parent = os.getppid()
    try:
        with open(f"/proc/{parent}/comm", encoding="utf-8", errors="replace") as file:
            name = file.read(64).strip()
    except OSError:
        name = "?"
    return f"uid {paths.caller()[0]}, from {name} (pid {parent})"


def send(container: Container, signum: int) -> bool:
    """Send a signal; false if init has ended meanwhile. The caller has synced the state."""
    state = container.state
    try:
        return process.kill(state["pid"], state["pid_start"], signum)
    except PermissionError as err:
        raise StateError(
            f"cannot send signal {signum} to container {container.name}",
            "the kernel does not permit it: the container belongs to another user",
        ) from err
