"""Why a container stopped: the runs that its state, its exit record and the log of events know of. CLI process."""

from __future__ import annotations

import os

from pyman import paths
from pyman.engine import container as containers
from pyman.engine import container_list, lost_root, restart_policy, run_end, why_causes, why_log
from pyman.engine.container import Container
from pyman.errors import NoSuchContainer, PymanError
from pyman.state import eventlog, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Event = dict[str, Any]
    Run = dict[str, Any]

_FACTS = run_end.FACTS[1:-1]
_SIGKILL, _SIGSYS = 9, 31
_TOGETHER = 5.0  # seconds between what two monitors note of the same moment, at most


def answer(name: str, latest: bool = False) -> dict[str, Any]:
    """Name, Id, Status, Cause (a word), Sentence, Proof, Hint, StartedAt and FinishedAt (seconds), ExitCode, and Runs: the ends of
    earlier runs, newest first, in the same form. Of a removed container what the log of events tells. NoSuchContainer."""
    try:
        container = container_list.latest() if latest else containers.lookup(name)
    except NoSuchContainer:
        found = None if latest else _removed(name)
        if found is None:
            raise
        return found
    container.sync()
    return _existing(container)


def _existing(container: Container) -> dict[str, Any]:
    state, options = container.state, container.config["options"]
    mine = [event for event in eventlog.read() if event["ID"] == container.id]
    runs, silent = [], not why_log.kept(container)
    everything = [*(state.get("ends") or []), state]  # what ended, oldest first, and what runs or ended last
    for kept, following in zip(everything, [*everything[1:], None]):
        if kept is state and state["status"] != "exited":
            break
        run = _from_state(kept, mine, following["started"] if following else 0.0)
        run["timeout"], run["init"], run["silent"] = int(options.get("timeout") or 0), bool(options.get("init")), silent
        _look_around(container, run, str(options.get("pid") or ""))
        runs.append(run)
    if runs and state["status"] == "exited":
        runs[-1]["room"] = _room()
    told = [_told(run) for run in reversed(runs)]
    head = {"Name": container.name, "Id": container.id, "Status": state["status"], "Removed": False}
    if state.get("start_error") and state["start_error"]["time"] > state["finished"] and state["status"] in ("created", "exited"):
        return {**head, **_failed(state["start_error"]), "Runs": told}
    if state["status"] == "exited":
        if restart_policy.waiting(state):
            policy = state.get("restart_policy", "no")
            who = f"its restart policy, {policy}," if policy != "no" else "its health check"
            told[0]["Proof"].append(f"{who} is about to start it again")
        elif state.get("lost"):
            told[0]["Proof"].append(f"its restart policy, {state['restart_policy']}, asks for another run: pyman ps starts it again")
        return {**head, **told[0], "Runs": told[1:]}
    sentence = {
        "created": "has never been started",
        "running": "has not stopped: it runs",
        "paused": "has not stopped: it is paused",
        "initialized": "has not begun",
    }
    text = sentence.get(state["status"], f"is {state['status']}")
    restarts, who = state.get("restarts", 0), "restart policy" if state.get("restart_policy", "no") != "no" else "health check"
    proof = [f"it was started again {restarts} time{'s' if restarts != 1 else ''}, as its {who} asks"] if restarts else []
    advice = ""
    if state["status"] == "running" and lost_root.found(container):
        proof.append(lost_root.WHY)
        advice = lost_root.hint(container)
    return {**head, **_nothing(state["status"], text, state["started"]), "Proof": proof, "Hint": advice, "Runs": told}


def _look_around(container: Container, run: Run, pid: str) -> None:
    """What else tells why it ended: its last lines, the kernel's log, the container whose pid namespace it shared (pid: --pid)."""
    if run["signal"] == 0 and run["exit_code"]:
        run["tail"] = why_log.tail(container, run["started"], run["finished"])
    elif run["signal"] == _SIGKILL:
        run["host"] = _ended_with(pid, run["finished"])
    elif run["signal"] == _SIGSYS:
        from pyman.linux import kmsg

        run["denied"] = kmsg.denied_calls(run["started"], run["finished"] + 1)


def _nothing(kind: str, sentence: str, started: float) -> dict[str, Any]:
    return {"Cause": kind, "Sentence": sentence, "Proof": [], "Hint": "", "StartedAt": started, "FinishedAt": 0, "ExitCode": 0}


def _failed(error: dict[str, Any]) -> dict[str, Any]:
    what = f"{error['what']}: {error['why']}" if error.get("why") else error["what"]
    return {
        "Cause": error.get("cause") or "start-failed",
        "Sentence": f"could not be started: {what}",
        "Proof": [f"the start failed with exit code {error['exit_code']}"],
        "Hint": error.get("hint") or "",
        "StartedAt": 0,
        "FinishedAt": error["time"],
        "ExitCode": error["exit_code"],
    }


def _told(run: Run) -> dict[str, Any]:
    kind, sentence, proof, hint = why_causes.explain(run)
    return {
        "Cause": kind,
        "Sentence": sentence,
        "Proof": proof,
        "Hint": hint,
        "StartedAt": run["started"],
        "FinishedAt": run["finished"],
        "ExitCode": run["exit_code"],
    }


def _from_state(kept: dict[str, Any], mine: list[Event], following: float) -> Run:
    """A run as the container's own state tells of it, and the events of its time. following: the next one's start, or 0."""
    end = kept.get("end") or {}
    until = min(kept["finished"] + 0.5, following or kept["finished"] + 0.5)
    first, last = events.stamp(int(kept["started"] * 10**9)), events.stamp(int(until * 10**9))
    asked = [{**event, "At": _seconds(event)} for event in mine if event["Status"] in ("stop", "kill") and first <= event["Time"] <= last]
    check = end.get("asked")  # a health check; the log of events may not have it
    if check and not any(event["Status"] == check.get("Status") and event.get("By") == check.get("By") for event in asked):
        asked = sorted([check, *asked], key=lambda wish: float(wish.get("At") or 0))
    return {
        "started": kept["started"],
        "finished": kept["finished"],
        "exit_code": kept["exit_code"],
        "signal": int(end.get("signal") or 0),
        "oom": bool(kept.get("oom_killed")),
        "facts": {key: end[key] for key in _FACTS if key in end},
        "asked": asked,
        "stopped_by": kept.get("stopped_by") or "",
        "stopped_who": kept.get("stopped_who") or "",
        "stopped_with": kept.get("stopped_with") or "",
        "stopped_facts": kept.get("stopped_facts") or {},
        "note": kept.get("note") or "",
        # The log reaches back far enough, and has no start of this run: the command that was at it was killed.
        "cut": bool(mine)
        and mine[0]["Time"] < first
        and not any(event["Status"] in ("start", "restart") and first <= event["Time"] <= last for event in mine),
        "timeout": 0,
        "tail": [],
        "room": -1,
    }


def _ended_with(option: str, finished: float) -> str:
    """The name of the container whose pid namespace was shared (--pid container:NAME), if it ended at the same time."""
    kind, _, name = option.partition(":")
    if kind != "container":
        return ""
    try:
        other = containers.lookup(name)
        other.sync()
    except PymanError:
        return ""
    times = [end["finished"] for end in [*(other.state.get("ends") or []), other.state] if end.get("finished")]
    return other.name if any(abs(finished - time) < _TOGETHER for time in times) else ""


def _room() -> int:
    try:
        info = os.statvfs(paths.graphroot())
    except OSError:
        return -1
    return info.f_bavail * info.f_frsize


def _removed(name: str) -> dict[str, Any] | None:
    """A container that only the log of events knows: the newest that bore this name, or the one with this id."""
    everything = list(eventlog.read())
    wanted = ""
    for event in everything:
        by_id = len(name) >= 4 and event["ID"].startswith(name)
        if event["Type"] == "container" and (event["Name"] == name or by_id) and event["Status"] in ("create", "rename", "remove"):
            wanted = event["ID"]
    mine = [event for event in everything if event["ID"] == wanted]
    if not wanted:
        return None
    if os.path.isdir(os.path.join(containers.containers_dir(), wanted)):
        raise NoSuchContainer(
            f"no container with name or ID {name!r} found", "the last one of that name was renamed", f"pyman why {mine[-1]['Name']}"
        )
    head = {"Name": mine[-1]["Name"], "Id": wanted, "Status": "removed", "Removed": True}
    runs = _from_events(mine)
    told = [_told(run) for run in reversed(runs)]
    failures = [event for event in mine if event["Type"] == "failure"]
    if failures and (not runs or failures[-1]["Time"] > events.stamp(int(runs[-1]["finished"] * 10**9))):
        last = failures[-1]
        error = {
            "what": last.get("Error", ""),
            "hint": last.get("Hint"),
            "exit_code": last.get("ContainerExitCode", 125),
            "cause": last.get("Cause"),
        }
        return {**head, **_failed({**error, "time": _seconds(last)}), "Runs": told}
    if not told:
        return {**head, **_nothing("created", "was removed without having run, as far as the log of events reaches", 0), "Runs": []}
    return {**head, **told[0], "Runs": told[1:]}


def _seconds(event: Event) -> float:
    from pyman.engine.events import nanoseconds

    return nanoseconds(event) / 10**9


def _from_events(mine: list[Event]) -> list[Run]:
    """The runs of a container as the log of events tells of them.

    Who killed a monitor may have killed what would have noted a start; and a removal ends a run of which nobody has noted the end.
    """
    runs: list[Run] = []
    started = 0.0
    asked: list[Event] = []
    for event in mine:
        if event["Status"] == "start":
            started, asked = _seconds(event), []
        elif event["Status"] in ("stop", "kill"):
            asked.append({**event, "At": _seconds(event)})
        elif event["Status"] == "died" or (event["Status"] == "remove" and started):
            if event["Status"] == "remove":
                event = {**event, "ContainerExitCode": 137, "Cause": run_end.LOST}
            runs.append(
                {
                    "started": started or _seconds(event),
                    "finished": _seconds(event),
                    "exit_code": int(event.get("ContainerExitCode") or 0),
                    "signal": int(event.get("Signal") or 0),
                    "oom": bool(event.get("OOMKilled")),
                    "facts": {key: event[key] for key in _FACTS if key in event},
                    "asked": asked,
                    "note": event.get("Cause", ""),
                    "silent": True,  # its log went with it
                    "tail": [],
                    "room": -1,
                }
            )
            started = 0.0
    return runs
