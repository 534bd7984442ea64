"""The error tree: what was attempted, on which object, why it failed, what to do. Any process.

Each class carries an exit code; one `except` at each process edge turns an error into text and code. Children of a
fork send errors as records (`to_record`) and the parent raises them again (`from_record`).
"""

from __future__ import annotations

from pyman import exitcodes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

tell: Callable[[str], object] | None = None
"""What takes a line that cannot wait for the end of a call, such as why it takes minutes. Set by who talks to the user; None: nobody does."""

command = ""
"""The words of the command that the user gave, such as `container prune`, for what is told of it later. Set by who parsed them."""


UNEXPECTED = (AttributeError, LookupError, TypeError, ValueError)
"""What values of a wrong kind in a damaged record lead to, and mistakes of ours: engine/spec_record.py tells the two apart."""

ENDED = "ended"
"""The stage of a StateError: the container was as it had to be, and ended meanwhile."""


class PymanError(Exception):
    """pyman failed.

    what: what was attempted, lower case, no final period ("cannot start container web").
    why: the cause ("the image has no command"); hint: what the user can do; stage: name of the step that failed.
    """

    exit_code = exitcodes.PYMAN_FAILED

    room = ""  # which disk is full, and how much of it is free (linux/fs.py), of an error of a full disk (cli/room.py)

    def __init__(self, what: str, why: str = "", hint: str = "", *, exit_code: int | None = None, stage: str = "", errno: int = 0) -> None:
        super().__init__(what, why)
        self.what = what
        self.why = why
        self.hint = hint
        self.stage = stage
        self.errno = errno
        if exit_code is not None:
            self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.what}: {self.why}" if self.why else self.what

    def to_record(self) -> dict[str, object]:
        """The error as plain data, for children's messages and `--format json`."""
        return {
            "kind": type(self).__name__,
            "what": self.what,
            "why": self.why,
            "hint": self.hint,
            "stage": self.stage,
            "errno": self.errno,
            "exit_code": self.exit_code,
            **({"room": self.room} if self.room else {}),
        }


class UsageError(PymanError):
    """The command line is wrong."""


class ConfigError(PymanError):
    """A configuration file cannot be used; `what` names file and line."""


class NoSuchObject(PymanError):
    """No container, image, volume ... of that name."""


class NoSuchContainer(NoSuchObject):
    """No such container."""


class NoSuchImage(NoSuchObject):
    """No such image."""


class NameInUse(PymanError):
    """A name is already taken."""


class StateError(PymanError):
    """The object is not in a state that allows the action."""


class ImageError(PymanError):
    """An image, manifest or layer is damaged, hostile or not understood."""


class RegistryError(PymanError):
    """A registry refused, was unreachable or sent nonsense."""


class StorageError(PymanError):
    """The store cannot be read or written."""


class LockHeld(StorageError):
    """Another process has had the lock of something in the store for too long."""


class RootlessError(PymanError):
    """A user namespace or its id ranges cannot be had."""


class RuntimeFailure(PymanError):
    """The OCI runtime failed at `stage`."""


class CannotInvoke(RuntimeFailure):
    """The container's command cannot be executed."""

    exit_code = exitcodes.CANNOT_INVOKE


class CommandNotFound(RuntimeFailure):
    """The container's command does not exist."""

    exit_code = exitcodes.NOT_FOUND


class NetworkError(PymanError):
    """The container's network cannot be set up."""


class MissingProgram(PymanError):
    """A program pyman needs is not installed; `hint` names the package."""


def from_record(record: dict[str, object]) -> PymanError:
    """The error that `to_record` described; an unknown kind becomes a PymanError."""
    cls = globals().get(str(record.get("kind", "")))
    if not (isinstance(cls, type) and issubclass(cls, PymanError)):
        cls = PymanError
    code, number = record.get("exit_code"), record.get("errno")
    err = cls(
        str(record.get("what", "unknown error")),
        str(record.get("why", "")),
        str(record.get("hint", "")),
        exit_code=code if isinstance(code, int) else None,
        stage=str(record.get("stage", "")),
        errno=number if isinstance(number, int) else 0,
    )
    err.room = str(record.get("room", ""))
    return err
