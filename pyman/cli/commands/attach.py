"""`pyman attach`: attach to a running container. CLI process."""

from __future__ import annotations

from pyman.cli import selection
from pyman.engine import attach
from pyman.errors import PymanError, StateError, UsageError
from pyman.monitor import terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """0 after the container's end and after the detach keys, as with Podman: `wait` and `start --attach` tell the container's code."""
    found = selection.select(opts, args)
    if len(found) != 1:
        raise UsageError("cannot attach to several containers", "give one name or id")
    container = found[0][1]
    if isinstance(container, PymanError):
        raise container
    if container.state["status"] == "initialized":
        raise StateError(f"cannot attach to container {container.name}", "it has not begun", f"pyman start --attach {container.name}")
    return attach_to(container, opts, stdin=not opts.get("no_stdin"), code_is_ours=False)


def attach_to(container: Container, opts: Any, stdin: bool, then: Callable[[], object] = lambda: None, code_is_ours: bool = True) -> int:
    """Attach to a container that runs; its stdin only if it has one and `stdin` is true; its exit code, or 0 unless `code_is_ours`. StateError.

    then: called once nothing of what it writes can be missed.
    """
    container.sync()
    container.require_running("attach to")
    if container.state["status"] == "paused":  # it would heed nothing: neither input nor the signals that are passed on
        raise StateError(f"cannot attach to container {container.name}", "it is paused", f"pyman unpause {container.name}")
    options = container.config["options"]
    keys = attach.detach_keys(opts, options)
    terminal.parse_detach_keys(keys)
    sock = attach.open_attach(container)
    container.event("attach")
    then()
    code = attach.attach_container(
        container,
        sock,
        stdin=bool(options.get("interactive")) and stdin,
        tty=bool(options.get("tty")),
        detach_keys=keys,
        sig_proxy=opts.get("sig_proxy") is not False,
        code_is_ours=code_is_ours,
    )
    return 0 if code == attach.DETACHED else code
