"""`pyman why` of several runs: each has the cause, and the last lines, that are its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run


def why(pyman: Run, name: str) -> dict[str, Any]:
    return dict(json.loads(pyman("why", "--format", "json", name).stdout)[0])


def begin(pyman: Run, image: str, *options: str, script: str = "exec sleep 600") -> None:
    pyman("run", "-d", "--network", "none", *options, image, "sh", "-c", script)


@pytest.mark.parametrize("driver", ["k8s-file", "json-file"])
def test_last_lines_are_of_the_run(pyman: Run, image: str, base: Path, driver: str) -> None:
    """And the cause of a run stays what it was when others have followed."""
    script = "read n < /w/n; echo $((n+1)) > /w/n; case $n in 0) echo 'write: No space left on device'; exit 1;; 1) exit 7;; esac; echo two; exit 8"
    shared = base / f"w-{driver}"
    shared.mkdir()
    (shared / "n").write_text("0\n")
    options = ("--name", "w-lines", "--log-driver", driver, "-v", f"{shared}:/w", "--network", "none")
    pyman("run", *options, image, "sh", "-c", script, rc=1)
    for code in (7, 8):
        pyman("start", "-a", "w-lines", rc=code)
    answer = why(pyman, "w-lines")
    third, (second, first) = answer, answer["Runs"]
    assert third["Sentence"] == "ended by itself with exit code 8" and "its last line: two" in third["Proof"], answer
    assert second["Sentence"] == "ended by itself with exit code 7" and second["Proof"] == ["its first process ended by itself"], answer
    assert first["Cause"] == "disk-full" and "it wrote: write: No space left on device" in first["Proof"], answer
    pyman("rm", "w-lines")


def test_a_shared_pid_namespace_in_the_history(pyman: Run, image: str) -> None:
    begin(pyman, image, "--name", "w-host")
    begin(pyman, image, "--name", "w-guest", "--pid", "container:w-host")
    pyman("stop", "-t", "0", "w-host")
    pyman("wait", "w-guest")
    pyman("start", "w-host", "w-guest")
    answer = why(pyman, "w-guest")
    assert [(run["Cause"], "when container w-host ended" in run["Sentence"]) for run in answer["Runs"]] == [("shared-pid", True)], answer
    pyman("rm", "-f", "-t", "0", "w-guest", "w-host")
