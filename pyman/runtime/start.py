"""OCI start: let a created init execute the user's program."""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.runtime.channel import Created


def start(created: Created) -> None:
    """Let a created container go (runtime-spec, runtime.md "Start"); returns once its program was executed. CommandNotFound (127), CannotInvoke (126), RuntimeFailure."""
    created.channel.send("start")
    wait_executed(created)


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
