"""`pyman exec`: run a command in a running container. CLI process."""

from __future__ import annotations

import sys

from pyman.cli.dispatch import warn_of_input
from pyman.engine import attach as engine_attach
from pyman.engine import container as containers
from pyman.engine import exec as execution
from pyman.engine import exec_sessions
from pyman.errors import NoSuchContainer, UsageError
from pyman.monitor import attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def main(opts: Any, args: list[str]) -> int:
    """The command's exit code; 125 if pyman failed, 126/127 if the command cannot be run."""
    if opts.get("latest"):
        container, command = containers.latest(), args
    elif opts.get("cidfile"):
        try:
            with open(opts["cidfile"], encoding="utf-8") as file:
                container, command = containers.lookup(file.readline().strip()), args
        except OSError as err:
            raise UsageError(f"cannot read container id file {opts['cidfile']}", err.strerror or str(err)) from err
    elif args:
        container, command = containers.lookup(args[0]), args[1:]
    else:
        raise UsageError("no container given", "exec needs a container and a command", "pyman exec CONTAINER COMMAND [ARG...]")
    if not command:
        raise UsageError(
            "no command given", f"exec needs a command to run in container {container.name}", f"pyman exec {container.name} ls"
        )
    warn_of_input(opts)
    attach.parse_detach_keys(opts.get("detach_keys") or "")  # a mistake is found before the command runs
    keys = engine_attach.detach_keys(opts, {}) if opts.get("tty") else ""
    attach.parse_detach_keys(keys)
    try:
        if opts.get("detach"):
            from pyman.engine import exec_detached  # these only

            sys.stdout.write(exec_detached.start(container, command, opts) + "\n")
            return 0
        started = execution.exec_container(container, command, opts)
    except NoSuchContainer as err:
        raise UsageError(err.what, err.why) from err
    code = attach.relay(started, tty=bool(opts.get("tty")), stdin=bool(opts.get("interactive")), detach_keys=keys)
    if not started.pid:
        exec_sessions.forget(container, started.id)
        container.event("exec_died", ContainerExitCode=code, ExecID=started.id)
    return code
