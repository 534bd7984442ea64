"""After a failure: whether the container has been removed under the command's hands, which is then what it failed at. CLI process."""

from __future__ import annotations

from pyman.engine import container
from pyman.errors import NoSuchContainer, PymanError, UsageError

# Commands of one or two containers which they do not remove themselves.
MODULES = frozenset(
    "attach checkpoint commit container_clone container_mount cp diff exec export healthcheck_run init logs pause port rename restart start top unpause update".split()
)


def explain(module: str, args: list[str], err: OSError | PymanError) -> None:
    """NoSuchContainer instead of an error about a file that is missing, if the container has gone meanwhile."""
    if isinstance(err, (NoSuchContainer, UsageError)) or not (err.errno == 2 or "No such file" in str(err)):
        return
    for word in args[:2] if module == "cp" else args[:1]:
        name, colon, _ = word.partition(":")
        if module == "cp" and (not colon or "/" in name):
            continue  # a path of the host
        try:
            container.lookup(name)
        except NoSuchContainer:
            raise NoSuchContainer(f"no container with name or ID {name} found", "it was removed meanwhile") from err
