"""`pyman wait`: wait for containers and print their exit codes. CLI process."""

from __future__ import annotations

import sys

from pyman.cli import selection
from pyman.cli.dispatch import print_error
from pyman.digits import is_whole
from pyman.engine import wait
from pyman.errors import NoSuchContainer, PymanError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LONGEST = 2_000_000.0  # seconds: poll counts its milliseconds with 31 bits, and to look more often harms nobody


def _seconds(text: str) -> float:
    """An interval such as 250ms or 1m30s; a bare number is milliseconds, as in Podman, and one below 0 no time. UsageError."""
    plain = text.removeprefix("-")
    if not is_whole(plain):
        from pyman.engine import health  # such intervals only

        seconds = health.duration("--interval", plain) / 10**9
    elif len(plain) < 19:
        seconds = int(plain) / 1000
    else:
        raise UsageError(f"invalid value {text!r} for option --interval", "it is no length of time that there is", "for example: 500ms")
    return 0.001 if plain != text else min(seconds, _LONGEST)


def main(opts: Any, args: list[str]) -> int:
    """Print each container's exit code once it meets the condition (default: it has ended)."""
    conditions = list(opts.get("condition") or [])
    for condition in conditions:
        if condition not in wait.CONDITIONS:
            raise UsageError(f"invalid condition {condition!r}", "it must be one of " + ", ".join(wait.CONDITIONS))
    interval = _seconds(str(opts["interval"])) if opts.get("interval") not in (None, "", "250ms") else 0.25
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
