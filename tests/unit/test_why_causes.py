"""The sentences of `why` for ends that a test cannot bring about everywhere: memory limits, health checks, reboots, crashes."""

from __future__ import annotations

from typing import Any

import pytest

from pyman.engine import why_causes
from pyman.linux import kmsg

LIMITED = {"OOMKills": 2, "MemoryMax": 64 << 20, "MemoryPeak": 64 << 20}
DEAF = [{"Status": "stop", "Signal": 15, "Timeout": 10, "Deaf": True, "By": "uid 1", "Time": "2026-01-01T00:00:00.1Z"}]
UNHEALTHY = [{"Status": "stop", "Signal": 15, "By": "health check", "Time": "2026-01-01T00:00:00.1Z"}]

SLOW = {**UNHEALTHY[0], "Timeout": 1, "At": 18.9}
NINE = {"Status": "stop", "Signal": 9, "Timeout": 10, "By": "uid 1", "Time": "2026-01-01T00:00:00.1Z"}
KILL = {"Status": "kill", "Signal": 9, "By": "uid 1", "Time": "2026-01-01T00:00:00.1Z"}


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
        ({"note": "the monitor was killed", "exit_code": 137}, "monitor-killed", ["killed from the host"]),
        ({"note": "the monitor was killed", "exit_code": 137, "cut": True}, "start-killed", ["the command that started it"]),
        ({"asked": UNHEALTHY, "signal": 15, "exit_code": 143}, "health", ["its health check", "heeded SIGTERM"]),
        ({"asked": DEAF, "exit_code": 4}, "stopped", ["by itself with exit code 4", "no handler for SIGTERM"]),
        ({"signal": 11, "exit_code": 139}, "segfault", ["crashed", "SIGSEGV"]),
        ({"signal": 31, "exit_code": 159}, "seccomp", ["seccomp profile", "may not read"]),
        ({"signal": 31, "exit_code": 159, "denied": ["mkdir"]}, "seccomp", ["names the system call mkdir"]),
        ({"signal": 50, "exit_code": 178}, "signalled", ["SIGRTMIN+16"]),
        ({"exit_code": 1, "facts": {"LogLost": True}, "room": 4096}, "disk-full", ["4 KiB free", "log could not be written"]),
        ({"exit_code": 1, "facts": {"LogLost": "limit"}, "room": 4096}, "error", ["limit of file sizes (ulimit -f)"]),
        ({"exit_code": 1, "facts": {"LogLost": "journal"}, "room": 4096}, "error", ["the journal has not taken all"]),
        ({"signal": 9, "exit_code": 137, "room": 4096}, "killed", ["by whom is not known", "4 KiB free"]),
        ({"exit_code": 137}, "child-signalled", ["a shell or an init", "SIGKILL"]),
        ({"exit_code": 143, "init": True}, "child-signalled", ["its init (--init) or a shell says so", "SIGTERM"]),
        ({"exit_code": 143, "init": False}, "child-signalled", ["143: a shell says so"]),
        ({"signal": 9, "exit_code": 137, "facts": {"CPULimit": 3}}, "cpu-limit", ["by the kernel", "3 seconds of processor time"]),
        ({"exit_code": 3, "stopped_by": "stop (it did not run)"}, "error", ["by itself with exit code 3", "then pyman stop kept it from"]),
        (
            {"signal": 9, "exit_code": 137, "asked": [{**DEAF[0], "At": 18.0}]},
            "killed-from-host",
            ["pyman stop (uid 1) had sent SIGTERM before"],
        ),
        (
            {
                "signal": 9,
                "exit_code": -1,
                "timeout": 9,
                "asked": [{**UNHEALTHY[0], "By": "startup check, 2 failures", "Timeout": 10, "At": 12.0}],
            },
            "timeout",
            ["--timeout of 9 seconds", "its startup check (2 failures) had sent SIGTERM before"],
        ),
        ({"signal": 9, "exit_code": 137, "asked": [{**DEAF[0], "At": 9.9}]}, "stopped", ["did not heed SIGTERM within 10 seconds"]),
        ({"signal": 9, "exit_code": 137, "asked": DEAF, "stopped_by": "stop"}, "killed-from-host", ["this SIGKILL is not its"]),
        ({"signal": 9, "exit_code": 137, "asked": DEAF, "stopped_by": "stop (SIGKILL)"}, "stopped", ["so SIGKILL followed"]),
        (
            {"signal": 9, "exit_code": 137, "stopped_by": "kill", "stopped_facts": {"Signal": 9}, "stopped_who": "uid 1"},
            "killed",
            ["by pyman kill with SIGKILL (uid 1)"],
        ),
        (
            {"signal": 9, "exit_code": 137, "asked": [{**NINE, "At": 19.9}]},
            "stopped",
            ["by pyman stop (uid 1) with SIGKILL, its stop signal"],
        ),
        (
            {"signal": 9, "exit_code": 137, "asked": [{**NINE, "Timeout": 5, "At": 12.0}]},
            "killed",
            ["by whom is not known", "pyman stop (uid 1) had asked it to end, and its SIGKILL was due before"],
        ),
        (
            {"signal": 9, "exit_code": 137, "asked": [SLOW], "stopped_by": "stop (it did not run)", "facts": {"HealthKilled": True}},
            "health",
            ["its health check: it had not ended 1 second after SIGTERM", "then pyman stop kept it from"],
        ),
        (  # the clock was set back meanwhile
            {"signal": 9, "exit_code": 137, "finished": 3.0, "asked": [SLOW], "facts": {"HealthKilled": True}},
            "health",
            ["its health check: it had not ended 1 second after SIGTERM"],
        ),
        (
            {"signal": 9, "exit_code": 137, "asked": [SLOW, {**DEAF[0], "At": 19.5}]},
            "health",
            ["pyman stop (uid 1) had asked for its end, too"],
        ),
        (
            {
                "signal": 9,
                "exit_code": 137,
                "asked": [{**DEAF[0], "At": 9.9}, {**UNHEALTHY[0], "Timeout": 600, "At": 15.0}],
                "stopped_by": "stop (SIGKILL)",
                "stopped_who": "uid 1",
                "stopped_facts": {"Signal": 15, "Timeout": 10, "Deaf": True, "At": 9.89},
            },
            "stopped",
            ["by pyman stop (uid 1)", "its health check had asked for its end, too"],
        ),
        (
            {"signal": 9, "exit_code": 137, "asked": [{**KILL, "At": 19.9}, {**DEAF[0], "At": 19.95}], "stopped_by": "kill"},
            "killed",
            ["killed by pyman kill with SIGKILL (uid 1)"],
        ),
        ({"exit_code": 3, "stopped_by": "kill", "stopped_who": "uid 1"}, "error", ["by itself with exit code 3"]),
        ({}, "success", ["exit code 0"]),
    ],
)
def test_sentences(changes: dict[str, Any], kind: str, words: list[str]) -> None:
    found, sentence, proof, _ = why_causes.explain(run(**changes))
    text = " ".join([sentence, *proof])
    assert found == kind and all(word in text for word in words), text


def test_the_hint_for_a_full_disk_is_for_the_one_that_is_full() -> None:
    full = {"exit_code": 1, "tail": ["write: No space left on device"]}
    assert "image prune" in why_causes.explain(run(**full, room=4096))[3] and "image prune" in why_causes.explain(run(**full))[3]
    hint = why_causes.explain(run(**full, room=70 << 30))[3]
    assert "--shm-size" in hint and "prune" not in hint
    for changes in ({"facts": {"LogLost": True}}, {"tail": ["Disk quota exceeded"]}):
        assert "image prune" in why_causes.explain(run(**{**full, **changes}, room=70 << 30))[3]


def test_no_hint_leads_to_a_log_that_is_not_there() -> None:
    assert "pyman logs" in why_causes.explain(run(exit_code=3))[3]
    assert not any(why_causes.explain(run(exit_code=code, silent=True))[3] for code in (3, 126, 127))


@pytest.mark.parametrize(
    ("record", "call"),
    [
        ("sig=31 arch=c000003e syscall=83 compat=0 ip=0x7f", "mkdir"),
        ("sig=31 arch=c00000b7 syscall=34 compat=0 ip=0x7f", "mkdirat"),
        ("sig=31 arch=c000003e syscall=99999 compat=0", "number 99999"),
        ("sig=31 arch=12 syscall=1 compat=0", "number 1"),
        ("sig=0 arch=c000003e syscall=83 compat=0", ""),
        ("sig=31 arch=zz syscall=83", ""),
        ("sig=31 ", ""),
    ],
)
def test_records_of_the_kernel(record: str, call: str) -> None:
    head = '5,120,99,-;audit: type=1326 audit(1000.5:7): auid=1000 pid=9 comm="mkdir" exe="/bin/busybox" '
    assert kmsg.call_of(head + record, 1000, 1001) == call
    assert kmsg.call_of(head + record, 1001, 1002) == "" == kmsg.call_of("5,1,1,-;usb 1-1: new device", 0, 9e9)
