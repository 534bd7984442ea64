"""exec --detach: its end is recorded, told by inspect and the events, and leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyman import stages
from tests.conftest import Run, command, environment, until
from tests.integration.test_restart_policies import ended
from tests.integration.test_selection import on_terminal
from tests.integration.test_stages import kill_at, settled


def session(pyman: Run, identifier: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pyman("inspect", identifier).stdout)[0]
    return found


def deaths(pyman: Run, name: str) -> dict[str, int]:
    """The exit codes of the sessions that the log of events tells of."""
    lines = pyman("events", "--stream=false", "--filter", f"container={name}", "--filter", "event=exec_died", "--format", "json").stdout
    return {event["ExecID"]: event["ContainerExitCode"] for event in map(json.loads, lines.splitlines())}


def test_the_end_is_recorded(pyman: Run, image: str, base: Path) -> None:
    pyman("run", "-d", "--name", "sessions", "--network", "none", image, "sleep", "600")
    short = pyman("exec", "-d", "sessions", "sh", "-c", "exit 3").stdout.strip()
    signalled = pyman("exec", "-d", "sessions", "sh", "-c", "kill -9 $$").stdout.strip()
    terminal = pyman("exec", "-dt", "sessions", "sh", "-c", "seq 1 20000; tty && test -t 1 && exit 5").stdout.strip()
    given = subprocess.run(
        [*command(), "exec", "-d", "--preserve-fds", "1", "sessions", "sh", "-c", "echo preserved >&3"],
        env=environment(base), stdout=subprocess.PIPE, preexec_fn=lambda: os.dup2(os.open("preserved", os.O_WRONLY | os.O_CREAT), 3, True),
        close_fds=False, cwd=base, text=True, check=True, timeout=300,
    ).stdout.strip()  # fmt: skip
    long = pyman("exec", "-d", "sessions", "sleep", "600").stdout.strip()
    until(lambda: len(deaths(pyman, "sessions")) == 4)
    assert deaths(pyman, "sessions") == {short: 3, signalled: 137, terminal: 5, given: 0}
    assert (base / "preserved").read_text() == "preserved\n"
    assert sorted(json.loads(pyman("inspect", "--format", "{{json .ExecIDs}}", "sessions").stdout)) == sorted(
        [short, signalled, terminal, given, long]
    )
    ended, living = session(pyman, short), session(pyman, long)
    assert (ended["Running"], ended["ExitCode"], ended["Pid"], ended["CanRemove"]) == (False, 3, 0, True)
    assert (living["Running"], living["ExitCode"], living["CanRemove"]) == (True, 0, False) and living["Pid"] > 0
    # 126 and 127 are for who waits for the command.
    assert "no such file" in pyman("exec", "-d", "sessions", "/nowhere", rc=125).stderr
    assert "it is a directory" in pyman("exec", "-d", "sessions", "/etc", rc=125).stderr
    for options, code in (((), 127), (("-t",), 127), (("-d",), 125)):
        assert "cannot enter working directory" in pyman("exec", *options, "-w", "/nowhere", "sessions", "true", rc=code).stderr
    pyman("exec", "-w", "/etc/passwd", "sessions", "true", rc=255)
    pyman("stop", "-t", "0", "sessions")
    until(lambda: deaths(pyman, "sessions").get(long) == 137)
    pyman("rm", "sessions")
    settled(base, str(base / "home"))


def test_an_end_that_is_not_recorded_yet_is_awaited(pyman: Run, image: str, base: Path) -> None:
    """Between the end of a session and what its parent writes of it nobody takes it for one that left nothing."""
    pyman("run", "-d", "--name", "sessions", "--network", "none", image, "sleep", "600")
    identifier = pyman("exec", "-d", "sessions", "sleep", "600").stdout.strip()
    pid = session(pyman, identifier)["Pid"]
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(parent, signal.SIGSTOP)
    try:
        pyman("exec", "sessions", "kill", "-9", "-1", rc=None)
        until(lambda: ended(pid))
        argv = [*command(), "inspect", "-f", "{{.Running}} {{.ExitCode}}", identifier]
        asked = subprocess.Popen(argv, env=environment(base), stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            asked.wait(1)
    finally:
        os.kill(parent, signal.SIGCONT)
    assert asked.communicate(timeout=300)[0] == "false 137\n"
    pyman("rm", "-f", "-t", "0", "sessions")


def test_a_session_whose_command_was_killed_is_known(pyman: Run, image: str, base: Path) -> None:
    """Between the start of the process and the moment at which it is written down."""
    pyman("run", "-d", "--name", "edk", "--network", "none", image, "sleep", "600")
    living = [pyman("exec", "-d", "edk", "sleep", "601").stdout.strip()]
    for words in (["exec", "edk", "sleep", "602"], ["exec", "-d", "edk", "sleep", "603"]):
        assert kill_at(base, "exec:started", *words)
    found = json.loads(pyman("inspect", "--format", "{{json .ExecIDs}}", "edk").stdout)
    assert len(found) == 3 and set(living) < set(found)
    shown = {session(pyman, one)["ProcessConfig"]["arguments"][0]: session(pyman, one) for one in found}
    pids = {line.split()[2]: int(line.split()[0]) for line in pyman("top", "edk", "hpid", "args").stdout.splitlines()[1:]}
    assert {key: shown[key]["Pid"] for key in shown} == {key: pid for key, pid in pids.items() if key != "600"}
    os.kill(pids["602"], signal.SIGKILL)
    until(lambda: len(json.loads(pyman("inspect", "--format", "{{json .ExecIDs}}", "edk").stdout)) == 2)
    pyman("rm", "-f", "-t", "0", "edk")
    settled(base, str(base / "home"))


@pytest.mark.parametrize("stage", stages.EXEC + stages.EXEC_DETACHED)
def test_killed_at_every_stage(pyman: Run, image: str, base: Path, stage: str) -> None:
    pyman("run", "-d", "--name", "edk", "--network", "none", image, "sleep", "600")
    code = kill_at(base, stage, "exec", "-d", "edk", "true")
    assert (code == 0) == (stage in stages.EXEC_DETACHED)
    # With a terminal it is the command's parent that is killed: who is attached learns that it has ended, and no more.
    assert kill_at(base, stage, "exec", "-it", "edk", "true") == (137 if stage in stages.EXEC_DETACHED else 255)
    after = pyman("exec", "-d", "edk", "sh", "-c", "exit 9").stdout.strip()
    until(lambda: deaths(pyman, "edk").get(after) == 9)
    pyman("inspect", "edk")
    pyman("rm", "-f", "-t", "0", "edk")
    settled(base, str(base / "home"))


def test_a_program_lives_on_when_its_terminal_is_left(pyman: Run, image: str, base: Path) -> None:
    """As when its user had attached to the container: it is a session until it ends, its output stops nobody, its end is told."""
    pyman("run", "-d", "--name", "left", "--network", "none", image, "sleep", "600")

    def sessions() -> list[str]:
        return list(json.loads(pyman("inspect", "--format", "{{json .ExecIDs}}", "left").stdout))

    program = "trap 'exit 9' HUP; echo ready; while ! test -e /go; do sleep 0.05; done; seq 1 20000; touch /written; read word; exit 7"
    code, seen = on_terminal(base, ["exec", "-it", "--detach-keys", "ctrl-a,b", "left", "sh", "-c", program], b"\x01b", b"ready")
    assert code == 0 and deaths(pyman, "left") == {}, seen
    (identifier,) = sessions()
    assert session(pyman, identifier)["Running"] and session(pyman, identifier)["ProcessConfig"]["tty"]
    pyman("exec", "left", "touch", "/go")
    until(lambda: pyman("exec", "left", "test", "-e", "/written", rc=None).returncode == 0)
    os.kill(session(pyman, identifier)["Pid"], signal.SIGKILL)
    until(lambda: deaths(pyman, "left").get(identifier) == 137)
    assert session(pyman, identifier)["ExitCode"] == 137 and sessions() == [identifier]
    # Who stays to the end gets the code, and leaves nothing.
    code, seen = on_terminal(base, ["exec", "-it", "left", "sh", "-c", "echo ready; read word; exit 7"], b"\r", b"ready")
    assert code == 7 and 7 in deaths(pyman, "left").values() and sessions() == [identifier], seen
    assert on_terminal(base, ["exec", "-it", "left", "/nowhere"], b"\r", b"no such")[0] == 127
    # Without its user the terminal hangs up.
    ours, theirs = os.openpty()
    words = ["exec", "-it", "left", "sh", "-c", "trap 'exit 9' HUP; echo ready; while :; do sleep 0.05; done"]
    client = subprocess.Popen([*command(), *words], env=environment(base), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert os.read(ours, 5) == b"ready"
    client.kill()
    client.wait()
    os.close(ours)
    until(lambda: 9 in deaths(pyman, "left").values())
    pyman("rm", "-f", "-t", "0", "left")
    settled(base, str(base / "home"))


def test_who_waits_for_a_command_on_a_terminal_is_killed(pyman: Run, base: Path, image: str) -> None:
    """The command goes on, and its user is told at its end why nobody knows how it has ended."""
    pyman("run", "-d", "--name", "waited", "--network", "none", image, "sleep", "600")
    ours, theirs = os.openpty()
    words = ["exec", "-it", "waited", "sh", "-c", "echo ready; read word; echo got $word; exit 3"]
    client = subprocess.Popen([*command(), *words], env=environment(base), stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert os.read(ours, 5) == b"ready"
    identifier = pyman("inspect", "--format", "{{index .ExecIDs 0}}", "waited").stdout.strip()
    waiting = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and (entry / "cmdline").exists() and f"{identifier}" in _words(entry) and "pyman-monitor" in _words(entry)
    ]
    assert len(waiting) == 1
    os.kill(waiting[0], signal.SIGKILL)
    os.write(ours, b"word\r")
    seen = b""
    while b"killed from the host" not in seen:
        seen += os.read(ours, 4096)
    assert client.wait(120) == 137
    os.close(ours)
    assert b"got word" in seen and b"cannot tell how the command in container waited has ended" in seen
    assert deaths(pyman, "waited") == {identifier: 137}
    assert pyman("inspect", "--format", "{{.ExecIDs}}", "waited").stdout == "[]\n"
    pyman("rm", "-f", "-t", "0", "waited")


def _words(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""  # it has just ended
