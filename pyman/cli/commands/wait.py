"""`pyman wait`: wait for containers and print their exit codes. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.cli.dispatch import print_error
from pyman.engine import wait
from pyman.errors import NoSuchContainer, PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _seconds(text: str) -> float:
    """An interval such as 250ms or 2s; a bare number is milliseconds, as in Podman."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    number = text.rstrip("smh")
    unit = text[len(number) :] or "ms"
    try:
        return float(number) * units[unit]
    except (KeyError, ValueError):
        raise UsageError(f"invalid interval {text!r}", "it is a number and a unit ms, s, m or h", "for example: 500ms") from None


def main(opts: Any, args: list[str]) -> int:
    """Print each container's exit code once it meets the condition (default: it has ended)."""
    conditions = list(opts.get("condition") or [])
    for condition in conditions:
        if condition not in wait.CONDITIONS:
            raise UsageError(f"invalid condition {condition!r}", "it must be one of " + ", ".join(wait.CONDITIONS))
    interval = _seconds(str(opts.get("interval") or "250ms"))
    code = 0
    chosen = selection.select({**opts, "ignore": False}, args)  # those that do not exist are answered too
    if (opts.get("exit_first_match") or opts.get("return_on_first")) and not any(
        isinstance(container, PymanError) for _, container in chosen
    ):
        found = wait.wait_first([container for _, container in chosen if not isinstance(container, PymanError)], conditions, interval)
        sys.stdout.write(f"{found}\n")
        return 0
    if not opts.get("ignore"):
        selection.all_there(chosen)  # nobody is waited for then, as in Podman
    for _, container in chosen:
        if isinstance(container, PymanError):
            if opts.get("ignore") and isinstance(container, NoSuchContainer):
                sys.stdout.write("-1\n")
            else:
                print_error(container)
                code = 125
            continue
        try:
            sys.stdout.write(f"{wait.wait_container(container, conditions, interval)}\n")
        except PymanError as err:
            print_error(err)
            code = 125
        sys.stdout.flush()
    return code
