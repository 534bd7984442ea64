"""OCI start: let a created init execute the user's program."""

from __future__ import annotations

from pyman.errors import RuntimeFailure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.runtime.create import Created


def start(created: Created) -> None:
    """Returns once the program was executed. CommandNotFound (127), CannotInvoke (126), RuntimeFailure."""
    created.channel.send("start")
    message, _ = created.channel.receive()  # end of file: exec closed init's end
    if message is not None:
        raise RuntimeFailure("cannot start the container", f"unexpected message {message['kind']}", stage="exec")
    created.channel.close()
