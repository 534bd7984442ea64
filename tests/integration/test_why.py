"""`pyman why` and the errors of a start: each cause is provoked, and named with its proof; also of removed containers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyman.linux import process
from tests.conftest import Run, command, environment, until

Answer = dict[str, Any]


def why(pyman: Run, name: str) -> Answer:
    return dict(json.loads(pyman("why", "--format", "json", name).stdout)[0])


def pid_of(pyman: Run, name: str) -> int:
    return int(pyman("inspect", "--format", "{{.State.Pid}}", name).stdout)


def test_who_ended_it(pyman: Run, image: str, base: Path) -> None:
    """Also after the containers have been removed, from the log of events."""
    heeds = "trap 'exit 5' TERM; while :; do sleep 0.05; done"
    pyman("run", "-d", "--name", "w-stop", image, "sh", "-c", heeds)
    pyman("run", "-d", "--name", "w-deaf", image, "sleep", "600")
    pyman("run", "-d", "--name", "w-kill", image, "sleep", "600")
    pyman("run", "-d", "--name", "w-host", image, "sleep", "600")
    pyman("run", "--name", "w-timeout", "--timeout", "1", image, "sleep", "600", rc=255)
    assert pyman("wait", "w-timeout").stdout == pyman("inspect", "--format", "{{.State.ExitCode}}", "w-timeout").stdout == "-1\n"
    stat = Path(f"/proc/{pid_of(pyman, 'w-stop')}/status")
    until(lambda: bool(int(stat.read_text().split("SigCgt:\t")[1].split("\n")[0], 16) & 1 << 14))  # the shell has set its trap
    pyman("stop", "w-stop")
    pyman("stop", "-t", "1", "w-deaf")
    pyman("kill", "w-kill")
    os.kill(pid_of(pyman, "w-host"), signal.SIGKILL)
    for name in ("w-kill", "w-host"):
        pyman("wait", name)
    expected = {
        "w-stop": ("stopped", 5, ["heeded SIGTERM", f"uid {os.getuid()}", "(pid"]),
        "w-deaf": ("stopped", 137, ["did not heed SIGTERM", "within 1 second", "--init"]),
        "w-kill": ("killed", 137, ["pyman kill with SIGKILL", f"uid {os.getuid()}"]),
        "w-host": ("killed-from-host", 137, ["from outside", "no out-of-memory kill"]),
        "w-timeout": ("timeout", -1, ['--timeout of 1 second"']),
    }

    def check() -> None:
        for name, (cause, code, words) in expected.items():
            answer = why(pyman, name)
            text = json.dumps(answer)
            if name == "w-timeout" and answer["Removed"]:
                words = ['--timeout"']  # how long it was went with the container
            assert (answer["Cause"], answer["ExitCode"]) == (cause, code), text
            assert all(word in text for word in words), text

    check()
    text = pyman("why", "w-deaf", "w-kill").stdout
    assert text.startswith("w-deaf was stopped by pyman stop") and "\nw-kill was killed by pyman kill" in text and "it ran from" in text
    pyman("rm", *expected)
    check()
    assert "the container was removed" in pyman("why", "w-stop").stdout
    assert "no container" in pyman("why", "w-never-was", rc=125).stderr


def test_which_command_ended_it(pyman: Run, image: str, base: Path) -> None:
    """Also before the last start, and after the container has been removed."""
    pyman("run", "-d", "--name", "w-verbs", image, "sleep", "600")
    ident = pyman("inspect", "--format", "{{.Id}}", "w-verbs").stdout.strip()
    pyman("container", "restart", "-t", "0", "w-verbs")
    pyman("restart", "-t", "0", "w-verbs")
    pyman("stop", "-t", "0", "w-verbs")
    sentences = [run["Sentence"] for run in [why(pyman, "w-verbs"), *why(pyman, "w-verbs")["Runs"]]]
    assert [text.split(" (")[0] for text in sentences] == [
        "was stopped by pyman " + verb for verb in ("stop", "restart", "container restart")
    ]
    pyman("start", "w-verbs")
    pyman("kill", "w-verbs")
    pyman("wait", "w-verbs")
    assert why(pyman, "w-verbs")["Sentence"].startswith("was killed by pyman kill with SIGKILL (uid")
    pyman("start", "w-verbs")
    pyman("rm", "-f", "-t", "0", "w-verbs")
    assert why(pyman, "w-verbs")["Sentence"].startswith("was stopped by pyman rm (uid")
    pyman("run", "-d", "--name", "w-verbs", image, "sleep", "600")
    first = pyman("inspect", "--format", "{{.Id}}", "w-verbs").stdout.strip()
    pyman("run", "-d", "--replace", "--name", "w-verbs", image, "sleep", "600")
    assert why(pyman, first)["Sentence"].startswith("was stopped by pyman run (uid")
    assert why(pyman, ident)["Sentence"].startswith("was stopped by pyman rm (uid")
    # The kernel ends all processes of a pid namespace with its first one.
    pyman("run", "-d", "--name", "w-guest", "--pid", "container:w-verbs", image, "sleep", "600")
    pyman("stop", "-t", "0", "w-verbs")
    pyman("wait", "w-guest")
    answer = why(pyman, "w-guest")
    assert (answer["Cause"], "when container w-verbs ended" in answer["Sentence"]) == ("shared-pid", True), answer
    pyman("rm", "w-guest", "w-verbs")


def test_own_ends_and_history(pyman: Run, image: str, base: Path) -> None:
    profile = base / "seccomp.json"
    profile.write_text(
        json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS"}]})
    )
    pyman("run", "--name", "w-seccomp", "--security-opt", f"seccomp={profile}", image, "mkdir", "/x", rc=159)
    full = "dd if=/dev/zero of=/t/x bs=1k count=2k"
    pyman("run", "--name", "w-full", "--tmpfs", "/t:size=1m", image, "sh", "-c", full, rc=1)
    pyman("run", "--name", "w-shell", image, "sh", "-c", "no-such-command", rc=127)
    pyman("run", "--name", "w-many", image, "sh", "-c", "read n 2>/dev/null < /n; n=$((n+1)); echo $n >/n; echo run $n; exit $n", rc=1)
    for code in (2, 3):
        pyman("start", "-a", "w-many", rc=code)
    assert why(pyman, "w-seccomp")["Cause"] == "seccomp"
    disk = why(pyman, "w-full")
    assert disk["Cause"] == "disk-full" and any("No space left on device" in text for text in disk["Proof"])
    assert why(pyman, "w-shell")["Cause"] == "not-found"
    answer = why(pyman, "w-many")
    assert (answer["ExitCode"], [run["ExitCode"] for run in answer["Runs"]]) == (3, [2, 1]) and "its last line: run 3" in answer["Proof"]
    pyman("start", "w-many")
    pyman("wait", "w-many")
    text = pyman("why", "w-many").stdout
    assert text.count("ended by itself with exit code") == 4 and "Before that it\n" in text
    pyman("rm", "w-seccomp", "w-full", "w-shell", "w-many")
    pyman("create", "--name", "w-new", image)
    assert why(pyman, "w-new")["Sentence"] == "has never been started"
    pyman("rm", "w-new")


_SCRIPTS: dict[str, tuple[bytes, int, str, int, str]] = {
    "crlf": (b"#!/bin/sh\r\necho hi\r\n", 0o755, "", 127, "carriage return"),
    "lacking": (b"#!/opt/no/python\n", 0o755, "", 127, "'/opt/no/python' does not exist"),
    "mode": (b"#!/bin/sh\n", 0o644, "", 126, "not executable"),
    "format": (b"just text\n", 0o755, "", 126, "neither an ELF program nor a script"),
    "arch": (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\xf3\0\1\0\0\0" + bytes(40), 0o755, "", 126, "the program is for riscv64"),
    "big": (b"\x7fELF\x02\x02\x01" + bytes(9) + b"\0\x02\0\x16\0\0\0\1" + bytes(40), 0o755, "", 126, "the program is for s390x"),
    "cut": (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e", 0o755, "", 126, "cut off or damaged"),
    "noexec": (b"#!/bin/sh\n", 0o755, ",noexec", 126, "mounted noexec"),
    "interpreter": (b"#!/w/mode\n", 0o755, "", 126, "its interpreter /w/mode is not executable"),
    "nothing": (b"#!", 0o755, "", 126, "its #! line names no interpreter"),
    "blank": (b"#! \t\necho\n", 0o755, "", 126, "its #! line names no interpreter"),
    "directory": (b"#!/etc\n", 0o755, "", 126, "its interpreter /etc is a directory"),
    "second": (b"#!/w/directory\n", 0o755, "", 126, "its interpreter /etc is a directory"),
    "device": (b"#! /dev/null\n", 0o755, "", 126, "its interpreter /dev/null is no regular file"),
    "farther": (b"#!/w/lacking\n", 0o755, "", 127, "'/opt/no/python' does not exist"),
}


@pytest.mark.parametrize("kind", _SCRIPTS)
def test_starts_that_fail(pyman: Run, image: str, base: Path, kind: str) -> None:
    _, _, option, code, words = _SCRIPTS[kind]
    scripts = base / "scripts"
    scripts.mkdir(exist_ok=True)
    for name, (content, bits, *_) in _SCRIPTS.items():
        (scripts / name).write_bytes(content)
        (scripts / name).chmod(bits)
    where = ["-v", f"{scripts}:/w:ro{option}", "--name", f"w-{kind}"]
    text = pyman("run", *where, image, f"/w/{kind}", rc=code).stderr
    assert words in text
    assert words in why(pyman, f"w-{kind}")["Sentence"]
    pyman("start", f"w-{kind}", rc=None)
    answer = why(pyman, f"w-{kind}")
    cause = {126: "cannot-invoke", 127: "command-not-found"}[code]
    assert (answer["Cause"], answer["ExitCode"]) == (cause, code) and words in answer["Sentence"]
    pyman("rm", f"w-{kind}")
    assert words in why(pyman, f"w-{kind}")["Sentence"], "the log of events knows it too"


def test_a_lost_monitor(pyman: Run, image: str, base: Path) -> None:
    pyman("run", "-d", "--name", "w-lost", image, "sleep", "600")
    store = base / "home/.local/share/pyman"
    state = json.loads((store / "containers" / os.readlink(store / "names/w-lost") / "state.json").read_text())
    os.kill(state["monitor_pid"], signal.SIGKILL)
    until(lambda: why(pyman, "w-lost")["Cause"] == "monitor-killed")
    until(lambda: pyman("ps", "-a", "--format", "{{.State}}").stdout == "exited\n")
    pyman("rm", "w-lost")


def test_a_limit_of_processor_time(pyman: Run, image: str) -> None:
    """The kernel's SIGKILL, also of a container that is gone; one that came before is somebody else's."""
    limited = ("--name", "w-cpu", "--network", "none", "--ulimit", "cpu=1")
    for option in ((), ("--rm",)):
        pyman("run", *option, *limited, image, "sh", "-c", "while :; do :; done", rc=137)
        answer = why(pyman, "w-cpu")
        assert (answer["Cause"], answer["Removed"]) == ("cpu-limit", bool(option)), answer
        assert "--ulimit cpu" in answer["Hint"] and any("1 second of processor time" in text for text in answer["Proof"]), answer
        pyman("rm", "-f", "w-cpu")
    pyman("run", "-d", *limited, image, "sleep", "600")
    os.kill(pid_of(pyman, "w-cpu"), signal.SIGKILL)
    pyman("wait", "w-cpu")
    assert why(pyman, "w-cpu")["Cause"] == "killed-from-host"
    pyman("rm", "w-cpu")


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_asked_when_it_did_not_run(pyman: Run, image: str, base: Path, verb: str) -> None:
    """A stop in the wait before the next start has ended the wait, not the container."""
    pyman("run", "-d", "--name", "w-wait", "--network", "none", "--restart", "always", image, "sh", "-c", "exit 3")
    store = base / "home/.local/share/pyman"
    path = store / "containers" / os.readlink(store / "names/w-wait") / "state.json"

    def waits() -> bool:
        pid = int(json.loads(path.read_text())["monitor_pid"])
        if not pid or Path(f"/proc/{pid}/comm").read_text() != "pyman:[monitor]\n":
            return False
        os.kill(pid, signal.SIGSTOP)  # nothing is held by a monitor: it may stand still while others look
        if Path(f"/proc/{pid}/comm").read_text() == "pyman:[monitor]\n" and "is about to start it again" in pyman("why", "w-wait").stdout:
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    until(waits)
    pyman(verb, "w-wait")
    answer = why(pyman, "w-wait")
    assert (answer["Cause"], answer["Sentence"]) == ("error", "ended by itself with exit code 3"), answer
    assert any(text.startswith(f"then pyman {verb} (uid") and "kept it from being started again" in text for text in answer["Proof"]), (
        answer
    )
    assert pyman("inspect", "--format", "{{.State.StoppedByUser}}", "w-wait").stdout == "true\n"
    pyman("rm", "w-wait")


def test_a_renamed_container_was_not_removed(pyman: Run, image: str) -> None:
    pyman("create", "--name", "w-old", image, "true")
    pyman("rename", "w-old", "w-renamed")
    refused = pyman("why", "w-old", rc=125).stderr
    assert "no container with name or ID 'w-old'" in refused and "pyman why w-renamed" in refused
    pyman("rm", "w-renamed")
    assert why(pyman, "w-old")["Removed"]


@pytest.mark.parametrize(("name", "cut"), [("w-waits", False), ("w-cut", True)])
def test_killed_while_a_stop_waits(pyman: Run, image: str, base: Path, name: str, cut: bool) -> None:
    script = "trap 'sleep 5; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    pyman("run", "-d", "--name", name, "--network", "none", image, "sh", "-c", script)
    until(lambda: pyman("logs", name).stdout == "up\n")
    waiting = subprocess.Popen([*command(), "stop", "-t", "600", name], env=environment(base), stdout=subprocess.DEVNULL)
    until(lambda: "stop" in pyman("events", "--stream=false", "--filter", f"container={name}", "--format", "{{.Status}}").stdout.split())
    if cut:
        waiting.kill()
        waiting.wait()
    os.kill(pid_of(pyman, name), signal.SIGKILL)
    waiting.wait()
    pyman("wait", name)
    answer = why(pyman, name)
    assert answer["Cause"] == "killed-from-host" and "heed" not in json.dumps(answer), answer
    assert any("pyman stop (uid" in text and "this SIGKILL is not its" in text for text in answer["Proof"]), answer
    pyman("rm", name)


def test_without_a_log_of_events(pyman: Run, image: str, base: Path) -> None:
    """The container's own record tells who ended it."""
    conf = base / "w-silent.toml"
    conf.write_text('[engine]\nevents_logger = "none"\n')
    silent = {"PYMAN_CONF": str(conf)}
    check = ("--health-cmd", "exit 1", "--health-interval", "disable", "--health-retries", "1", "--health-on-failure")
    for name, options, ending, cause, words in (
        ("w-a", (), ("kill", "w-a"), "killed", "killed by pyman kill with SIGKILL (uid"),
        ("w-b", (), ("stop", "-t", "0", "w-b"), "stopped", "with SIGKILL, for no time to end was given"),
        ("w-c", (*check, "kill"), ("healthcheck", "run", "w-c"), "health", "as its health check asks (1 failure in a row)"),
        ("w-d", (*check, "stop", "--stop-timeout", "0"), ("healthcheck", "run", "w-d"), "health", "was stopped by its health check"),
    ):
        pyman("run", "-d", "--name", name, "--network", "none", *options, image, "sleep", "600", env=silent)
        pyman(*ending, env=silent, rc=None)
        pyman("wait", name, env=silent)
        answer = why(pyman, name)
        assert answer["Cause"] == cause and words in answer["Sentence"], answer
        assert pyman("inspect", "--format", "{{.State.StoppedByUser}}", name).stdout == "true\n"
        assert not any("log of events" in text for text in answer["Proof"]), answer
        pyman("start", name, env=silent)
        assert words in why(pyman, name)["Runs"][0]["Sentence"]
        pyman("rm", "-f", "-t", "0", name)
    assert "events_logger is none" in pyman("events", "--stream=false", env=silent, rc=125).stderr


def test_a_lost_container_with_rm(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--rm", "--name", "w-lost-rm", "--network", "none", image, "sleep", "600")
    pids = pyman("inspect", "--format", "{{.State.ConmonPid}} {{.State.Pid}}", "w-lost-rm").stdout.split()
    for pid in pids:
        os.kill(int(pid), signal.SIGKILL)
    until(lambda: not pyman("ps", "-aq", "--filter", "name=w-lost-rm").stdout)
    answer = why(pyman, "w-lost-rm")
    assert (answer["Cause"], answer["Removed"]) == ("monitor-killed", True), answer
    seen = pyman("events", "--stream=false", "--filter", "container=w-lost-rm", "--format", "{{.Status}}").stdout.split()
    assert seen.count("died") == 1 and seen.index("died") < seen.index("remove")


def test_started_again_by_a_check(pyman: Run, image: str) -> None:
    check = ("--health-cmd", "true", "--health-startup-cmd", "test -e /ok", "--health-startup-interval", "disable")
    options = (*check, "--health-interval", "disable", "--health-startup-retries", "1", "--stop-timeout", "0")
    pyman("run", "-d", "--name", "w-again", "--network", "none", *options, image, "sleep", "600")
    pyman("healthcheck", "run", "w-again", rc=1)
    until(lambda: pyman("inspect", "--format", "{{.RestartCount}} {{.State.Status}}", "w-again").stdout == "1 running\n")
    answer = why(pyman, "w-again")
    assert answer["Proof"] == ["it was started again 1 time, as its health check asks"], answer
    assert "by its startup check (1 failure)" in answer["Runs"][0]["Sentence"], answer
    pyman("rm", "-f", "-t", "0", "w-again")


def test_what_an_init_says(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--init", "--name", "w-init", "--network", "none", "--log-driver", "none", image, "sleep", "600")
    until(lambda: "sleep" in pyman("top", "w-init").stdout.replace("-- sleep", ""))
    os.kill(pid_of(pyman, "w-init"), signal.SIGTERM)
    pyman("wait", "w-init")
    answer = why(pyman, "w-init")
    assert answer["ExitCode"] == 143 and "its init (--init)" in answer["Sentence"], answer
    pyman("rm", "w-init")
    pyman("run", "--name", "w-init", "--network", "none", "--log-driver", "none", image, "sh", "-c", "exit 3", rc=3)
    assert why(pyman, "w-init")["Hint"] == ""
    pyman("rm", "w-init")


def test_two_ends_in_one_second(pyman: Run, image: str) -> None:
    """Each run has its own cause, however soon the next one follows."""
    for first, second in (("kill", "stop"), ("stop", "kill")):
        pyman("run", "-d", "--name", "w-soon", "--network", "none", image, "sleep", "600")
        pyman(first, *(["-t", "0"] if first == "stop" else []), "w-soon")
        pyman("wait", "w-soon")
        pyman("start", "w-soon")
        pyman(second, *(["-t", "0"] if second == "stop" else []), "w-soon")
        pyman("wait", "w-soon")
        answer = why(pyman, "w-soon")
        causes = {"kill": "killed", "stop": "stopped"}
        assert [answer["Cause"], answer["Runs"][0]["Cause"]] == [causes[second], causes[first]], answer
        pyman("rm", "w-soon")


def test_a_health_check_ends_it(pyman: Run, image: str) -> None:
    health = ["--health-cmd", "exit 1", "--health-interval", "100ms", "--health-retries", "1", "--health-on-failure", "kill"]
    pyman("run", "-d", "--name", "w-sick", "--network", "none", *health, image, "sleep", "600")
    pyman("wait", "w-sick")
    answer = why(pyman, "w-sick")
    assert answer["Cause"] == "health" and "health check" in answer["Sentence"] and "in a row" in answer["Sentence"], answer
    pyman("rm", "w-sick")
    assert why(pyman, "w-sick")["Cause"] == "health"


@pytest.mark.parametrize("looking", [("ps",), ("inspect", "early"), ("container", "prune", "-f")], ids=lambda words: words[0])
def test_the_end_of_a_lost_monitor_is_noted_by_whoever_removes(pyman: Run, image: str, base: Path, looking: tuple[str, ...]) -> None:
    """Whoever lists the containers may see the end of an attached `run --rm` before its own command does."""
    words = ["run", "--rm", "--name", "early", "--network", "none", image, "sh", "-c", "echo up; exec sleep 600"]
    child = subprocess.Popen(
        [*command(), *words], env=environment(base), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout and child.stdout.readline() == b"up\n"
    made, monitor = pyman("inspect", "--format", "{{.Id}} {{.State.ConmonPid}}", "early").stdout.split()
    init = pid_of(pyman, "early")
    child.send_signal(signal.SIGSTOP)
    os.kill(int(monitor), signal.SIGKILL)
    until(lambda: process.state(init) in ("", "Z") and process.state(int(monitor)) in ("", "Z"))  # its stopped parent does not wait for it
    pyman(*looking, rc=None)
    pyman("ps", "-a")
    child.send_signal(signal.SIGCONT)
    assert child.wait(300) == 137
    child.stdout.close()
    for name in (made, "early"):
        answer = why(pyman, name)
        assert (answer["Cause"], answer["ExitCode"], answer["Removed"]) == ("monitor-killed", 137, True), answer
        assert "2001" < answer["StartedAt"] <= answer["FinishedAt"]
    events = pyman("events", "--stream=false", "--filter", f"container={made}", "--format", "{{.Status}}").stdout.split()
    assert events.count("died") == events.count("remove") == 1
