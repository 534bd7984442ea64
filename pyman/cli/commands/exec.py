"""`pyman exec`: run a command in a running container. CLI process."""

from __future__ import annotations

import sys

from pyman import exitcodes
from pyman.cli import selection
from pyman.cli.dispatch import print_error, warn_of_input
from pyman.engine import container as containers
from pyman.engine import exec as execution
from pyman.engine import exec_sessions
from pyman.errors import NoSuchContainer, PymanError, StateError, UsageError
from pyman.monitor import relay, terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container

_LOST = "the process that waited for it was killed from the host"


def _target(opts: Any, args: list[str]) -> tuple[Container, list[str]]:
    """(the container, the command). NoSuchContainer, UsageError."""
    if opts.get("latest"):
        from pyman.engine.container_list import latest  # with this option only

        return latest(), args
    if opts.get("cidfile"):
        try:
            return containers.lookup(selection.read_cidfile(opts["cidfile"])), args
        except FileNotFoundError as err:
            raise UsageError(f"cannot read container id file {opts['cidfile']}", err.strerror or str(err)) from err
    if args:
        return containers.lookup(args[0]), args[1:]
    raise UsageError("no container given", "exec needs a container and a command", "pyman exec CONTAINER COMMAND [ARG...]")


def _awaited(opts: Any, args: list[str]) -> tuple[Container, list[str]]:
    """--wait: the same, once the container runs. StateError when the time is over."""
    import time  # with --wait only

    end, why = time.monotonic() + opts["wait"], "there is no such container"
    while True:
        try:
            found = _target(opts, args)
            found[0].sync()
            if found[0].state["status"] in ("running", "paused"):
                return found
            why = f"it is {found[0].state['status']}"
        except NoSuchContainer:
            pass
        if time.monotonic() >= end:
            what = f"timed out after {opts['wait']} s waiting for container {(args or [''])[0]}"
            there = exitcodes.PYMAN_FAILED if "such" in why else exitcodes.EXEC_FAILED
            raise StateError(what, why, "pyman ps -a lists the containers", exit_code=there)
        time.sleep(0.05)


def _of_container(err: PymanError) -> bool:
    """Whether the container was there and the command did not begin in it, for another reason than what 126 and 127 tell."""
    if isinstance(err, UsageError):
        return err.exit_code == exitcodes.CANNOT_INVOKE  # an unknown user
    return err.exit_code == exitcodes.PYMAN_FAILED


def main(opts: Any, args: list[str]) -> int:
    """The command's exit code; 126/127 if the command cannot be run, 255 if it cannot begin there, 125 for any other failure."""
    container, command = _awaited(opts, args) if opts["wait"] else _target(opts, args)
    if not command:
        raise UsageError(
            "no command given", f"exec needs a command to run in container {container.name}", f"pyman exec {container.name} ls"
        )
    warn_of_input(opts)
    keys = opts.get("detach_keys") or ""
    wrong = exitcodes.PYMAN_FAILED if opts.get("detach") else exitcodes.EXEC_FAILED
    terminal.parse_detach_keys(keys, wrong)  # a mistake is found before the command runs
    if opts.get("tty"):
        from pyman.engine import attach  # terminals only

        keys = attach.detach_keys(opts, {})
        terminal.parse_detach_keys(keys, wrong)
    try:
        if opts.get("detach"):
            from pyman.engine import exec_detached  # these only

            sys.stdout.write(exec_detached.start(container, command, opts) + "\n")
            return 0
        if keys and opts.get("tty") and opts.get("interactive"):
            from pyman.engine import exec_terminal  # whom its user may leave

            started = exec_terminal.start(container, command, opts)
        else:
            started = execution.exec_container(container, command, opts)
    except NoSuchContainer as err:
        raise UsageError(err.what, err.why) from err
    except PymanError as err:
        if _of_container(err) and not opts.get("detach"):
            err.exit_code = exitcodes.EXEC_FAILED
        raise
    code = relay.relay(started, tty=bool(opts.get("tty")), stdin=bool(opts.get("interactive")), detach_keys=keys)
    if started.pid:
        exec_terminal.leave(started)
        return code
    exec_sessions.forget(container, started.id)
    if started.lost:
        print_error(StateError(f"cannot tell how the command in container {container.name} has ended", _LOST))
    if started.watcher is None or started.lost:  # else it has told it
        container.event("exec_died", ContainerExitCode=code, ExecID=started.id, **({"Cause": _LOST} if started.lost else {}))
    return code
