"""The sentences of `why` for ends that a test cannot bring about everywhere: memory limits, health checks, reboots, crashes."""

from __future__ import annotations

from typing import Any

import pytest

from pyman.engine import why_causes

LIMITED = {"OOMKills": 2, "MemoryMax": 64 << 20, "MemoryPeak": 64 << 20}
UNHEALTHY = [{"Status": "stop", "Signal": 15, "By": "health check", "Time": "2026-01-01T00:00:00.1Z"}]


def run(**changes: Any) -> dict[str, Any]:
    facts = {"started": 10.0, "finished": 20.0, "exit_code": 0, "signal": 0, "oom": False, "facts": {}, "asked": [], "tail": [], "room": -1}
    return {**facts, **changes}


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"oom": True, "signal": 9, "exit_code": 137, "facts": LIMITED}, "oom", ["limit of 64 MiB", "counted 2 out-of-memory kills"]),
        ({"exit_code": 1, "facts": LIMITED}, "oom-child", ["exit code 1 after the kernel had killed"]),
        ({"oom": True, "signal": 9, "exit_code": 137}, "oom", ["memory ran out", "shares"]),
        ({"oom": True, "signal": 9, "exit_code": 137, "facts": {"OOMKills": 1, "MemoryMax": -1}}, "oom", ["memory ran out"]),
        ({"note": "the machine was restarted", "exit_code": 137}, "reboot", ["machine"]),
        ({"asked": UNHEALTHY, "signal": 15, "exit_code": 143}, "health", ["its health check", "heeded SIGTERM"]),
        ({"signal": 11, "exit_code": 139}, "segfault", ["crashed", "SIGSEGV"]),
        ({"signal": 31, "exit_code": 159}, "seccomp", ["seccomp profile"]),
        ({"signal": 50, "exit_code": 178}, "signalled", ["SIGRTMIN+16"]),
        ({"exit_code": 1, "facts": {"LogLost": True}, "room": 4096}, "disk-full", ["4 KiB free", "log could not be written"]),
        ({"exit_code": 137}, "child-signalled", ["SIGKILL"]),
        ({}, "success", ["exit code 0"]),
    ],
)
def test_sentences(changes: dict[str, Any], kind: str, words: list[str]) -> None:
    found, sentence, proof, _ = why_causes.explain(run(**changes))
    text = " ".join([sentence, *proof])
    assert found == kind and all(word in text for word in words), text
