"""exec --detach: a process of its own starts the command and becomes the small program that waits for its end. CLI process and that one.

The command's parent must outlive this command to learn the exit code, so that it is forked before anything is started.
"""

from __future__ import annotations

import os

from pyman import errors, exitcodes, stages
from pyman.engine import exec as execution
from pyman.engine import exec_sessions, spec_record
from pyman.engine.container import Container
from pyman.errors import PymanError, RuntimeFailure
from pyman.linux import process
from pyman.monitor import spawn
from pyman.state import events, fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def start(container: Container, command: list[str], opts: dict[str, Any]) -> str:
    """Start a command that nobody is attached to; the id of its session. Raises what `exec_container` does."""
    report_r, report_w = os.pipe()
    pid = process.fork(lambda: _watch(container, command, opts, report_w), "pyman:[exec]", (report_w, *preserved(opts)))
    os.close(report_w)
    data = b""
    while more := os.read(report_r, 65536):
        data += more
    os.close(report_r)
    outcome: dict[str, Any] = fastjson.loads(data.decode()) if data else {}
    if "id" in outcome:
        return str(outcome["id"])
    os.waitpid(pid, 0)
    if "error" in outcome:
        error = errors.from_record(outcome["error"])
        error.exit_code = exitcodes.PYMAN_FAILED  # as Podman: 126 and 127 are for who waits for the command
        raise error
    raise RuntimeFailure(f"cannot execute a command in container {container.name}", "the process that starts it was killed")


def preserved(opts: dict[str, Any]) -> tuple[int, ...]:
    """The caller's descriptors that the command gets."""
    if not opts.get("preserve_fds") and not opts.get("preserve_fd"):
        return ()
    from pyman.engine import descriptors  # with these options only

    return descriptors.preserved_fds(opts)


def begun(container: Container, command: list[str], opts: dict[str, Any]) -> execution.ExecPipes:
    """`exec_container` for a process of its own, whose caller is told what record of the store it failed at."""
    try:
        return execution.exec_container(container, command, opts, watched=True)
    except errors.UNEXPECTED as err:
        found = spec_record.explained(err)
        if found is None:
            raise
        raise found from err


def _watch(container: Container, command: list[str], opts: dict[str, Any], report: int) -> int:
    """Body of the process that becomes the command's parent; returns after a failure only."""
    try:
        started = begun(container, command, opts)
    except PymanError as err:
        os.write(report, fastjson.dumps({"error": err.to_record()}).encode())
        return 125
    os.write(report, fastjson.dumps({"id": started.id}).encode())
    await_end(container, started)


def await_end(container: Container, started: execution.ExecPipes, client: int = -1) -> NoReturn:
    """Become the program that awaits the end of a command, this process's child. client: descriptor of who is to be told, or -1."""
    stages.reach("exec:reported")
    subject = container.event_subject() if events.limit() else ""
    record = exec_sessions.end_path(container, started.id)
    spawn.exec_session(started.pid, record, container.exit_path, events.path(), subject, started.id, console=started.console, client=client)
