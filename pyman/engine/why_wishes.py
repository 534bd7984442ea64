"""Who of pyman wanted a container to end, and whose SIGKILL has ended it, for `why`. Pure. CLI process.

A wish is an event of the log, or what the container's state says of one: Status (stop, kill), Signal, Timeout (seconds until SIGKILL; 0: at
once; negative: never), Deaf (no handler for the signal), By, Command, Time (of the log), At (seconds since 1970).
"""

from __future__ import annotations

from pyman.engine import restart_policy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Run = dict[str, Any]
    Wish = dict[str, Any]

SIGKILL, SIGTERM = 9, 15
_NAMES = {
    number: name
    for number, name in enumerate(
        "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ "
        "VTALRM PROF WINCH IO PWR SYS".split(),
        start=1,
    )
}
_EARLIEST, _LATEST = 0.5, 5.0  # seconds before and after a stop's time in which its SIGKILL is noted as the end
_NEVER = float("inf")
_SAME = ("Status", "By", "Command", "Signal", "Timeout")  # what tells a wish of the log from others


def signal_name(number: int) -> str:
    """SIGTERM, SIGRTMIN+3, or the number."""
    if number in _NAMES:
        return f"SIG{_NAMES[number]}"
    return f"SIGRTMIN+{number - 34}" if 34 <= number <= 64 else f"signal {number}"


def idle(run: Run) -> bool:
    """Whether who wanted it to end came when it had ended, and was waiting to be started again."""
    return str(run.get("stopped_by") or "").endswith(f"({restart_policy.NOT_RUNNING})")


def last(run: Run) -> Wish | None:
    """Who last wanted it to end: by the log of events, or what was noted beside it where that tells nothing."""
    asked, noted = run["asked"], _noted(run)
    found = asked[-1] if asked else noted
    if (
        found
        and found["Status"] == "kill"
        and not (run["signal"] == found.get("Signal") or run["exit_code"] == 128 + int(found.get("Signal") or 0))
    ):
        return noted if noted and noted["Status"] == "stop" else None
    return found


def killed(run: Run) -> bool:
    """Whether SIGKILL has ended it."""
    return bool(run["signal"] == SIGKILL or "SIGKILL" in str(run.get("stopped_by") or ""))


def killer(run: Run) -> tuple[Wish | None, list[Wish]]:
    """Of one that SIGKILL has ended: (who of pyman has sent it, who else had sent a stop).

    A kill has, and a stop of which that was noted; where nothing was, a stop whose time was over just then.
    """
    wishes = _all(run)
    stops = [wish for wish in wishes if wish["Status"] == "stop"]
    found = [wish for wish in wishes if wish["Status"] == "kill" and wish.get("Signal") == SIGKILL]
    if run["exit_code"] != -1:  # else its --timeout has killed it
        found += [stop for stop in stops if _proved(run, stop)]
        found = found or [stop for stop in stops if not _left(run) and _timely(run, stop)]
    first = min(found, key=_due, default=None)
    return first, [stop for stop in stops if stop is not first]


def doubtful(run: Run, stop: Wish) -> bool:
    """Of one that SIGKILL has ended, and no wish is known for it: whether this stop's was due long before, so that it may have been late."""
    return bool(run["exit_code"] != -1 and not _left(run) and stop.get("At") and run["finished"] > _due(stop) + _LATEST)


def whose(wish: Wish) -> tuple[str, str]:
    """(who wanted it, the same with what is known of him)."""
    by = str(wish.get("By") or "")
    check, comma, why = by.partition(", ")
    if by_check(wish):
        return f"its {check} check" if check == "health" else f"its {check}", f" ({why})" if comma else ""
    return f"pyman {wish.get('Command') or wish['Status']}", f" ({by})" if by else ""


def by_check(wish: Wish) -> bool:
    """Whether a health check or a startup check wanted it, and not a command."""
    return str(wish.get("By") or "").partition(", ")[0] in ("health check", "startup check", "health")


def signal_of(wish: Wish) -> int:
    """The signal that was sent first."""
    return int(wish.get("Signal") or SIGTERM)


def _noted(run: Run) -> Wish | None:
    """What the container's state says of who wanted its end."""
    by = str(run.get("stopped_by") or "")
    if not by or idle(run):
        return None
    noted = {"Status": by.split()[0], "By": run.get("stopped_who", ""), "Command": run.get("stopped_with"), "Time": ""}
    return {**noted, **(run.get("stopped_facts") or {})}


def _all(run: Run) -> list[Wish]:
    """The wishes, oldest first; Noted: this one is the one that the state tells of."""
    noted = _noted(run)
    if noted is None:
        return list(run["asked"])
    same = [wish for wish in run["asked"] if all(wish.get(key) == noted.get(key) for key in _SAME)]
    if not same:
        return [*run["asked"], {**noted, "Noted": True}]
    return [{**wish, "Noted": True} if wish is same[-1] else wish for wish in run["asked"]]


def _proved(run: Run, stop: Wish) -> bool:
    """Whether the state, or the monitor's record, says that SIGKILL has followed this stop."""
    if by_check(stop):
        return bool(run["facts"].get("HealthKilled"))
    return bool(stop.get("Noted")) and "SIGKILL" in run["stopped_by"]


def _left(run: Run) -> bool:
    """Whether the state says that a stop has seen the end, and had not sent SIGKILL."""
    return run.get("stopped_by") == "stop"


def _due(wish: Wish) -> float:
    """When its SIGKILL was to be sent; infinite: never, or that is not known."""
    timeout = 0 if wish["Status"] == "kill" or signal_of(wish) == SIGKILL else int(wish.get("Timeout") or 0)
    return wish["At"] + timeout if wish.get("At") and timeout >= 0 else _NEVER


def _timely(run: Run, stop: Wish) -> bool:
    """Whether its SIGKILL was due when the run ended, as far as that is known."""
    if stop.get("Timeout") is None or not stop.get("At"):
        return True
    return bool(-_EARLIEST <= run["finished"] - _due(stop) <= _LATEST)
