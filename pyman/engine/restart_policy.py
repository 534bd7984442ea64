"""Restart policies: what --restart says, the user's wish that comes before it, and the start after a container's end.

The monitor decides after each end, natively: it reads the policy and the wish from two small files beside the state. It
waits, then executes `container cleanup --restart`, which calls `start_again` here. What has lost its monitor is started again so by the next
command that looks at it (`revive`). CLI process, and that command in U1.
"""

from __future__ import annotations

import os
import time

from pyman import paths
from pyman.digits import is_whole
from pyman.errors import CannotInvoke, CommandNotFound, PymanError, UsageError
from pyman.linux import process
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.engine.container import Container

NAMES = ("no", "on-failure", "always", "unless-stopped")
LONGEST_WAIT = 60_000  # milliseconds
FIRST_WAIT = 100
PASSING = (28, 122, 12, 11, 23, 24)  # ENOSPC, EDQUOT, ENOMEM, EAGAIN (too many processes), ENFILE, EMFILE: a start may succeed later
_NOT_THERE = (2, 17, 20)  # ENOENT, EEXIST, ENOTDIR: taken away, or another file in its place
NOT_RUNNING = "it did not run"  # who was asked to stop


def parse(text: str) -> tuple[str, int]:
    """(name, most restarts or 0) of a --restart option. UsageError."""
    name, colon, most = text.partition(":")
    name = {"never": "no", "none": "no", "": "no"}.get(name, name)
    if name not in NAMES:
        raise UsageError(f"invalid restart policy {text!r}", "it must be one of no, on-failure[:N], always, unless-stopped")
    if colon and (name != "on-failure" or not is_whole(most, 9)):
        why = "only on-failure takes a number of restarts" if name != "on-failure" else f"{most!r} is no number"
        raise UsageError(f"invalid restart policy {text!r}", why, "for example: --restart on-failure:3")
    return name, int(most or 0)


def check(opts: dict[str, Any]) -> None:
    """UsageError for a policy that makes no sense with the other options of create and run."""
    name, _ = parse(str(opts.get("restart") or ""))
    if name != "no" and opts.get("rm"):
        raise UsageError("cannot use --rm together with --restart", f"a container that is removed cannot be restarted ({name})")


def policy_path(container: Container) -> str:
    """The file the monitor reads the policy from."""
    return os.path.join(container.dir, "restart")


def stopped_path(container: Container) -> str:
    """The file that says that the user wants the container to stay as it is."""
    return os.path.join(container.dir, "stopped")


def write_policy(container: Container) -> None:
    """Tell the monitor the policy in the container's state; also while the container runs. StorageError."""
    text = str(container.state.get("restart_policy") or "no")
    if text != "no":
        store.write_text(policy_path(container), text)
    else:
        _unlink(policy_path(container))


def note_wish(container: Container, what: str = "user") -> None:
    """Before a stop or a kill: the container is not to be started again. what: "user", or "service" for a shutdown. StorageError."""
    state = container.state
    pending = state["status"] != "exited" or state.get("waiter_pid") or state.get("lost")
    if pending and (state.get("restart_policy", "no") != "no" or state.get("health") == 2):
        try:
            store.write_text(stopped_path(container), what)
        except PymanError as err:
            if err.errno not in PASSING:
                raise
            _note_in_little_room(container)


def _note_in_little_room(container: Container) -> None:
    """On a full disk: an empty file has room where no other has; where not even a file can be made, the monitor's policy is written over."""
    try:
        os.close(os.open(stopped_path(container), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError:
        with open(policy_path(container), "r+b", 0) as file:
            file.write(b"no")
            file.truncate(2)


def forget_wish(container: Container) -> None:
    """The user starts the container."""
    _unlink(stopped_path(container))


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def waiting(state: dict[str, Any]) -> bool:
    """Whether the container has ended and its monitor is going to start it again."""
    pid = state.get("waiter_pid", 0)
    return bool(
        pid and state["status"] == "exited" and state.get("boot_id") == process.boot_id() and process.alive(pid, state["waiter_start"])
    )


def pending(state: dict[str, Any]) -> bool:
    """Whether the container has ended, and is going to be started again: by its monitor, or by the next command that looks at a lost one."""
    return bool(state.get("lost")) or waiting(state)


def asks(state: dict[str, Any]) -> bool:
    """Whether the policy, as it is now, asks for another run after the last end; or a health check did, whatever the policy says."""
    if ((state.get("end") or {}).get("asked") or {}).get("Status") == "stop":
        return True  # with another action nobody would wait
    try:
        name, most = parse(str(state.get("restart_policy") or ""))
    except UsageError:
        return False  # a damaged state
    if name == "on-failure":
        return bool(state.get("exit_code")) and (most == 0 or state.get("restarts", 0) < most)
    return name != "no"


def cancel(container: Container) -> bool:
    """End the wait for a restart, by its monitor or for a lost one, if there is one. The caller holds the container's lock."""
    state = container.state
    if not waiting(state):
        pending = bool(state.get("lost") or state.get("waiter_pid"))
        state["waiter_pid"] = state["waiter_start"] = 0
        state.pop("lost", None)
        return pending
    pid, started = state["waiter_pid"], state["waiter_start"]
    state["waiter_pid"] = state["waiter_start"] = 0
    if not process.kill(pid, started):
        return False
    from pyman.engine import stop  # only where a wait is ended

    stop.wait_gone(pid, started, 30)
    return True


def note_cancel(container: Container, what: str) -> None:
    """A stop or a kill, `what`, has met a container that had ended: it has only ended the wait. StorageError."""
    from pyman.engine import kill  # only where a wait was ended

    kill.note(container, f"{what} ({NOT_RUNNING})", kill.caller())
    container.save()


def starts_on_boot(state: dict[str, Any], directory: str) -> bool:
    """Whether `start --all --filter should-start-on-boot=true` starts it: unless-stopped heeds the user's wish of before."""
    name = state.get("restart_policy", "no").partition(":")[0]
    if name == "unless-stopped":
        return (store.read_text(os.path.join(directory, "stopped"), 64) or "service") == "service"
    return bool(name == "always")


def note_loss(container: Container) -> None:
    """A container has ended with its killed monitor: note in its state whether the policy asks for another run.

    Not where its output or its start are another's: of `log-driver=passthrough`, and of systemd's units, which have policies of their own.
    """
    state = container.state
    try:
        name, most = parse(str(state.get("restart_policy") or ""))
    except UsageError:
        return  # a damaged state
    if name == "no" or state.get("auto_remove") or (most and state.get("restarts", 0) >= most) or os.path.exists(stopped_path(container)):
        return
    try:
        driver = str(container.config["options"].get("log_driver") or "")
    except PymanError:
        return  # a damaged configuration: it could not be started
    if not driver.startswith("passthrough") and "PODMAN_SYSTEMD_UNIT" not in state["labels"]:
        state["lost"] = True


def lost(container: Container) -> bool:
    """Whether a container is to be started again and nobody does: its monitor was killed, before its end or while it waited."""
    state = container.state
    if state["status"] != "exited" or state.get("boot_id") != process.boot_id() or os.path.exists(stopped_path(container)):
        return False
    if not asks(state):
        return False  # `update` has changed its policy
    return bool(state.get("lost") or (state.get("waiter_pid") and not process.alive(state["waiter_pid"], state["waiter_start"])))


def revive(container: Container) -> bool:
    """Let a container that has lost its monitor be started again; false if it does not run afterwards.

    By a process of its own, which tells what it does on stderr: it may have to be a sealed copy (linux/sealed.py).
    """
    if not lost(container):
        return False
    from pyman.engine import start

    argv = [*start.after_command(container), "--restart"]
    null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_RDWR, 0) for fd in (0, 1)]
    process.wait(os.posix_spawn(argv[0], argv, os.environ, file_actions=null))
    container._state = None
    return bool(container.state["status"] != "exited")


def start_again(container: Container, tell: Callable[[str], None]) -> bool:
    """The monitor's command after the wait, or instead of a lost one; false if somebody has decided otherwise. What start_container raises.

    tell: is called with what nobody asked for.
    Where something has run short, a full disk for one, or was taken away, the monitor's process waits longer and tries again: it never
    returns then.
    """
    try:
        return _start_again(container, tell)
    except _Later as later:
        from pyman.engine import start
        from pyman.monitor import spawn  # after such a failure only

        alive = os.path.join(container.dir, "config.json")
        spawn.exec_later(later.wait, alive, stopped_path(container), start.after_command(container))


def own_missing(err: BaseException) -> bool:
    """Whether a start has failed since something of pyman's own was not there: a runtime directory wiped just then, a layer.

    The next start makes it anew, or finds it again. What the user's options name is another thing.
    """
    if isinstance(err, (CannotInvoke, CommandNotFound)):
        return False
    if getattr(err, "stage", "") == "layer":
        return True
    return getattr(err, "errno", 0) in _NOT_THERE and f"{paths.runroot()}/" in str(err)


class _Later(Exception):
    """The start failed for want of something that may be there later. wait: milliseconds."""

    def __init__(self, wait: int) -> None:
        super().__init__()
        self.wait = wait


def _start_again(container: Container, tell: Callable[[str], None]) -> bool:
    from pyman.engine import start

    with container:
        state = container.state
        instead = lost(container)
        mine = waiting(state) and state["waiter_pid"] == os.getpid() and not os.path.exists(stopped_path(container))
        if not mine and not instead:
            return False
        state["waiter_pid"] = state["waiter_start"] = 0
        if not instead and not asks(state):  # changed between the monitor's look at the policy and its record of the end
            container.save()
            return False
        wait = min(LONGEST_WAIT, 2 * int(state.get("restart_ms") or FIRST_WAIT))
        try:
            start.start_locked(container, restarts=state["restarts"] + 1, wait=wait)
        except BaseException as err:
            passing = getattr(err, "errno", 0) in PASSING or (mine and own_missing(err))
            _note_failed_restart(container, err, instead, passing)
            if passing and mine:
                past = time.time() - container.state["finished"]
                raise _Later(min(LONGEST_WAIT, max(wait, int(past * 1000)))) from err  # so that it doubles, though nothing can be noted
            raise
        container.event("restart")
        if instead:
            policy = state.get("restart_policy", "no")
            who = f"its restart policy {policy} asks" if policy != "no" else "its health check asked"
            tell(f"container {container.name} had lost its monitor and is started again, as {who}")
        return True


def _note_failed_restart(container: Container, err: BaseException, lost_before: bool, passing: bool) -> None:
    """Nobody reads this process's messages: inspect and ps must tell. passing: it is tried again, by this process or the next command."""
    container.sync()  # the state was read anew, if the start itself has failed, and may be from before the end
    state = container.state
    if not passing:
        state["waiter_pid"] = state["waiter_start"] = 0
        state.pop("lost", None)
    elif lost_before:
        state["lost"] = True
    state["note"] = f"the restart failed{', and is tried again' if passing else ''}: {err}"
    try:
        container.save()
    except PymanError:
        if not passing:
            raise
