"""The end of a container's run in its state: from what the monitor has written, or without that. CLI process."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LOST = "the monitor was killed; the exit code is not known"  # the note of such an end
FACTS = ("signal", "OOMKills", "MemoryMax", "MemoryPeak", "CPULimit", "HealthKilled", "LogLost", "asked")


def note(state: dict[str, Any], record: dict[str, Any] | None, same_boot: bool) -> None:
    """Note the end of a run in `state`, from the exit record, or without one if the monitor was lost."""
    state["status"] = "exited"
    state.pop("stopping", None)
    # A record with a time to wait: the monitor lives on, to start the container again (engine/restart_policy.py).
    again = bool(record) and record.get("restart_ms") is not None  # type: ignore[union-attr]
    state["waiter_pid"], state["waiter_start"] = (state["monitor_pid"], state["monitor_start"]) if again else (0, 0)
    state["pid"] = state["pid_start"] = state["monitor_pid"] = state["monitor_start"] = 0
    if record:
        state["exit_code"] = record.get("exit_code", 255)
        state["finished"] = record.get("time", state.get("started", 0.0))
        state["oom_killed"] = bool(record.get("oom"))
        state["restart_ms"] = record.get("restart_ms")
        # Only what is out of the ordinary: ps reads these files by the hundred.
        state["end"] = {key: record[key] for key in FACTS if record.get(key)}
    else:
        # Nobody saw it end: killed from the host together with its monitor, or by a reboot.
        state["exit_code"] = 137
        state["end"] = {}
        state["restart_ms"] = None
        # The latest that it can have been: now, or when the machine came up again.
        state["finished"] = (
            time.time() if same_boot else max(state.get("started", 0.0), time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))
        )
        state["note"] = LOST if same_boot else "the machine was restarted"
