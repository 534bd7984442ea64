"""`pyman why` where several have asked for the end, or the first signal is SIGKILL."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import Run, until

SICK = ("--health-cmd", "false", "--health-interval", "disable", "--health-retries", "1")


def why(pyman: Run, name: str) -> dict[str, Any]:
    return dict(json.loads(pyman("why", "--format", "json", name).stdout)[0])


def begin(pyman: Run, image: str, *options: str, script: str = "exec sleep 600") -> None:
    pyman("run", "-d", "--network", "none", *options, image, "sh", "-c", script)


@pytest.mark.parametrize("name", ["KILL", "9"])
def test_a_stop_signal_that_is_kill(pyman: Run, image: str, name: str) -> None:
    """Also in the history, and after its removal."""
    options = ("--name", "w-nine", "--stop-signal", name)
    begin(pyman, image, *options)
    pyman("restart", "w-nine")
    pyman("stop", "w-nine")
    answer = why(pyman, "w-nine")
    for run, verb in ((answer, "stop"), (answer["Runs"][0], "restart")):
        assert run["Cause"] == "stopped" and run["Sentence"].startswith(f"was stopped by pyman {verb} (uid"), answer
        assert run["Sentence"].endswith("with SIGKILL, its stop signal"), answer
    pyman("start", "w-nine")
    pyman("rm", "-f", "--time", "5", "w-nine")
    answer = why(pyman, "w-nine")
    assert (answer["Cause"], answer["Removed"]) == ("stopped", True) and "by pyman rm (uid" in answer["Sentence"], answer
    begin(pyman, image, *options, *SICK, "--health-on-failure", "stop")
    pyman("healthcheck", "run", "w-nine", rc=1)
    pyman("wait", "w-nine")
    for _ in ("there", "removed"):
        answer = why(pyman, "w-nine")
        assert answer["Cause"] == "health" and answer["Sentence"].endswith("with SIGKILL, its stop signal"), answer
        pyman("rm", "-f", "w-nine")


def test_a_handler_that_takes_long(pyman: Run, image: str) -> None:
    begin(pyman, image, "--name", "w-slow", script="trap 'sleep 600' TERM; echo up; while :; do sleep 0.05; done")
    until(lambda: pyman("logs", "w-slow").stdout == "up\n")
    assert not pyman("stop", "-t", "1", "w-slow").stderr
    answer = why(pyman, "w-slow")
    assert answer["Sentence"].endswith("it had not ended 1 second after SIGTERM, so SIGKILL followed"), answer
    assert "--stop-timeout" in answer["Hint"] and "--init" not in answer["Hint"] and "heed" not in json.dumps(answer), answer
    pyman("rm", "w-slow")


def test_a_stop_while_a_health_checks_stop_waits(pyman: Run, image: str) -> None:
    """The check's SIGKILL comes first, and is not somebody else's."""
    begin(pyman, image, "--name", "w-both", *SICK, "--health-on-failure", "restart", "--stop-timeout", "2")
    pyman("healthcheck", "run", "w-both", rc=1)
    pyman("stop", "-t", "600", "w-both")
    for _ in ("there", "removed"):
        answer = why(pyman, "w-both")
        assert answer["Cause"] == "health" and "stopped by its health check (1 failure in a row)" in answer["Sentence"], answer
        assert any(text.startswith("pyman stop (uid") and text.endswith("had asked for its end, too") for text in answer["Proof"]), answer
        pyman("rm", "-f", "w-both")
