"""What `why` makes of the events of a container that was removed."""

from __future__ import annotations

from typing import Any

from pyman.engine import why
from pyman.engine.run_end import LOST


def event(status: str, second: int, **facts: Any) -> dict[str, Any]:
    return {"Status": status, "Time": f"2026-01-31T12:00:{second:02d}.000000000Z", "ID": "0a", "Name": "n", "Type": "container", **facts}


def runs(*events: dict[str, Any]) -> list[tuple[float, int, str]]:
    return [(run["finished"] - run["started"], run["exit_code"], run["note"]) for run in why._from_events(list(events))]


def test_a_start_of_which_nobody_has_noted_the_end_was_a_run() -> None:
    assert runs(event("create", 0), event("start", 1), event("remove", 3)) == [(2.0, 137, LOST)]
    assert runs(event("create", 0), event("start", 1), event("died", 2, ContainerExitCode=5), event("remove", 3)) == [(1.0, 5, "")]
    assert runs(event("create", 0), event("remove", 3)) == []


def test_an_end_without_a_start_began_no_later() -> None:
    assert runs(event("create", 0), event("died", 2, ContainerExitCode=137, Cause=LOST), event("remove", 3)) == [(0.0, 137, LOST)]
    twice = (event("start", 1), event("died", 2), event("died", 4, Cause=LOST))
    assert runs(*twice) == [(1.0, 0, ""), (0.0, 0, LOST)]
