"""exec -it: a process of its own makes the command and awaits its end, so that it lives on when its user leaves the terminal. CLI process and that one.

Only the command's parent learns its exit code, and the user may leave at any time: so that it is forked before anything is started.
While the caller is there it alone holds the terminal's master: who kills it hangs up the terminal. Detaching hands the master over.
"""

from __future__ import annotations

from pyman.engine import exec as execution
from pyman.engine import exec_detached
from pyman.engine.container import Container
from pyman.errors import PymanError, RuntimeFailure
from pyman.linux import libc, process
from pyman.runtime import channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.runtime.channel import Channel


def start(container: Container, command: list[str], opts: dict[str, Any]) -> execution.ExecPipes:
    """Start a command on a terminal; its `watcher` tells its end. Raises what `exec_container` does. This process stays in its user namespace."""
    preserved = exec_detached.preserved(opts)
    ours, theirs = channel.pair()
    pid = process.fork(lambda: _watch(container, command, opts, theirs), "pyman:[exec]", (theirs.fileno(), *preserved))
    theirs.close()
    try:
        message, console = ours.receive()
    except PymanError:
        process.wait(pid)
        raise
    if message is None:
        process.wait(pid)
        raise RuntimeFailure(f"cannot execute a command in container {container.name}", "the process that starts it was killed")
    _, pidfd = ours.expect("process", "exec")
    pipes = execution.ExecPipes()
    pipes.pidfd = pidfd
    pipes.id, pipes.pid, pipes.console, pipes.watcher = message["id"], message["pid"], console, ours
    return pipes


def _watch(container: Container, command: list[str], opts: dict[str, Any], theirs: Channel) -> int:
    """Body of the process that becomes the command's parent; returns after a failure only."""
    try:
        started = exec_detached.begun(container, command, opts)
    except PymanError as err:
        theirs.send("error", error=err.to_record())
        return 125
    theirs.send("console", started.console, id=started.id, pid=started.pid)
    # A short command will have gone, and its number with it, before the caller could ask for this.
    theirs.send("process", libc.pidfd_open(started.pid))
    started.console = -1
    exec_detached.await_end(container, started, theirs.fileno())


def leave(started: execution.ExecPipes) -> None:
    """The user has detached: the command's parent reads the terminal from now on, and writes down the end."""
    try:
        started.watcher.send("detached", started.console)
    except OSError:
        pass  # it has ended just now
