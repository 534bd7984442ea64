"""OCI start: let a created init execute the user's program."""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.runtime.channel import Created


def start(created: Created) -> None:
    """Let a created container go (runtime-spec, runtime.md "Start"); returns once its program was executed. CommandNotFound (127), CannotInvoke (126), RuntimeFailure."""
    created.channel.tell("start", "start")
    wait_executed(created)


def outcome_of(gate: str) -> str:
    """The FIFO beside the gate on which init tells who starts it what went wrong; end of file: the program was executed.

    Only containers that `create` made have one: who creates and starts in one is told on the channel.
    """
    return gate + ".outcome"


def open_ends(gate: str) -> tuple[int, int]:
    """Init's descriptors of the gate and of the FIFO beside it (-1: there is none), both ends of each: nobody ever blocks in open."""
    try:
        outcome = os.open(outcome_of(gate), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        outcome = -1
    return os.open(gate, os.O_RDWR | os.O_CLOEXEC), outcome


def start_created(gate: str) -> None:
    """Start a container that another process created. CommandNotFound (127), CannotInvoke (126), RuntimeFailure: what its init says."""
    from pyman.runtime import channel as channels  # the command `start` only

    try:
        outcome = channels.Pipe(os.open(outcome_of(gate), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except FileNotFoundError:
        open_gate(gate)
        return
    open_gate(gate)
    os.set_blocking(outcome.fileno(), True)
    try:
        message, _ = outcome.receive()
    except (ValueError, KeyError, TypeError):
        message = {}
    if message is not None:
        raise RuntimeFailure("cannot start the container", "its init said something else than its error", stage="exec")
    outcome.close()


def open_gate(gate: str) -> None:
    """Let an init that waits at FIFO `gate` go on. RuntimeFailure if nobody waits there."""
    try:
        fd = os.open(gate, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as err:
        raise RuntimeFailure("cannot start the container", f"its init does not wait any more ({err.strerror})") from err
    os.write(fd, b"s")
    os.close(fd)


def start_gated(created: Created, gate: str) -> None:
    """Start a container created with a gate by this very process; raises what `start` raises."""
    open_gate(gate)
    wait_executed(created)


def wait_executed(created: Created) -> None:
    """Wait until init has executed the user's program; raises the error it reports instead."""
    message, _ = created.channel.receive()  # end of file: exec closed init's end
    if message is not None:
        raise RuntimeFailure("cannot start the container", f"unexpected message {message['kind']}", stage="exec")
    created.channel.close()
