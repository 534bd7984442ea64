"""`pyman start`: start containers that exist. CLI process."""

from __future__ import annotations

from pyman import exitcodes
from pyman.cli import selection
from pyman.cli.dispatch import print_warning
from pyman.engine import start
from pyman.errors import PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container


def main(opts: Any, args: list[str]) -> int:
    """Start each container; with --attach exactly one, and its exit code is returned."""
    if opts.get("all") and (args or opts.get("latest")):
        raise UsageError("cannot use --all together with containers", "--all already means every container")
    if opts.get("attach") and opts.get("all"):
        raise UsageError("cannot use --all and --attach together", "--attach works on one container")
    if opts.get("attach"):
        return _attached(opts, args)
    if opts.get("sig_proxy") and "sig_proxy" in opts.given:
        raise UsageError("cannot pass signals on", "--sig-proxy is for an attached container", "add --attach")
    # --interactive alone attaches to nothing, as with Podman: the monitor keeps the container's stdin open anyway.

    if args and opts.get("filter"):  # of those named, the ones that match
        matching = {container.id for _, container in selection.select(opts, []) if not isinstance(container, PymanError)}
        named = selection.select({**opts, "filter": []}, args)
        args = [label for label, container in named if isinstance(container, PymanError) or container.id in matching]
        opts = {**opts, "filter": []}
        if not args:
            return 0

    def action(container: Container) -> bool:
        if opts.get("all") and container.state["status"] not in ("created", "initialized", "exited") and not _ends(container):
            return False
        try:
            _start_needed(container)
            return start.start_container(container, warn=print_warning) or not opts.get("all")
        except PymanError:
            _remove_failed(container)
            raise

    return selection.each(opts, args, action)


def _ends(container: Container) -> bool:
    from pyman.engine import stop  # with --all, for those that run

    return stop.under_way(container)


def _start_needed(container: Container) -> None:
    if container.config.get("depends"):
        from pyman.engine import dependencies

        dependencies.start_needed(container, print_warning)


def _remove_failed(container: Container) -> None:
    if container.config["options"].get("rm"):
        from pyman.engine import remove

        remove.remove_container(container, force=True)


def _attached(opts: Any, args: list[str]) -> int:
    from pyman.engine import run

    found = selection.select(opts, args)
    if len(found) != 1:
        raise UsageError("cannot attach to several containers", "--attach works on one container")
    container = found[0][1]
    if isinstance(container, PymanError):
        raise container
    merged = dict(container.config["options"])
    merged.update(detach=False, attach=[])
    merged["sig_proxy"] = opts.get("sig_proxy")
    if "detach_keys" in opts.given:
        merged["detach_keys"] = opts["detach_keys"]
        merged["_given"] = [*(merged.get("_given") or []), "detach_keys"]
        from pyman.monitor import terminal  # hardly ever

        terminal.parse_detach_keys(opts["detach_keys"] or "")
    with container:
        if container.state["status"] == "running":
            from pyman.engine import stop

            stop.await_others(container, print_warning)
        if container.state["status"] == "initialized":
            from pyman.engine import init  # after `init` only

            init.end_lost(container)
        running = container.state["status"] in ("running", "paused", "initialized")
    if running and container.state["status"] == "initialized":
        from pyman.cli.commands import attach

        return attach.attach_to(container, opts, True, lambda: start.start_container(container))
    if running:
        from pyman.cli.commands import attach

        return attach.attach_to(container, opts, stdin=True)
    try:
        _start_needed(container)
        return run.start_attached(container, merged, lambda _: None, print_warning)
    except PymanError as err:
        err.exit_code = exitcodes.PYMAN_FAILED  # as Podman: 126 and 127 are run's
        raise
