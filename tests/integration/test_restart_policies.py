"""--restart: who starts a container again, how often, and whose wish comes before it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from concurrent import futures
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until

FAIL = ("sh", "-c", "echo run; exit 3")
MONITOR_STAGES = ("monitor:ended", "monitor:recorded", "monitor:again")


def field(pyman: Run, name: str, template: str) -> str:
    return pyman("inspect", name, "--format", template).stdout.strip()


def directory(pyman: Run, base: Path, name: str) -> Path:
    return base / "home/.local/share/pyman/containers" / field(pyman, name, "{{.Id}}")


def waits(pyman: Run, name: str) -> bool:
    return field(pyman, name, "{{.State.Restarting}}") == "true"


def lines(pyman: Run, name: str) -> int:
    return len(pyman("logs", name).stdout.splitlines())


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
def test_always_restarts_until_the_user_stops_it(pyman: Run, image: str, policy: str) -> None:
    pyman("run", "-d", "--name", "r", "--network", "none", "--restart", policy, image, "sh", "-c", "echo run; exit 0")
    until(lambda: int(field(pyman, "r", "{{.RestartCount}}")) >= 2)
    pyman("stop", "r")
    count = int(field(pyman, "r", "{{.RestartCount}}"))
    assert lines(pyman, "r") == count + 1
    assert field(pyman, "r", "{{.State.Status}} {{.State.Restarting}} {{.State.ExitCode}}") == "exited false 0"
    assert field(pyman, "r", "{{.HostConfig.RestartPolicy.Name}}") == policy
    time.sleep(0.3)
    assert lines(pyman, "r") == count + 1


def test_on_failure_counts(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "r", "--network", "none", "--restart", "on-failure:2", image, *FAIL)
    until(lambda: field(pyman, "r", "{{.RestartCount}} {{.State.Status}} {{.State.Restarting}}") == "2 exited false")
    assert lines(pyman, "r") == 3
    assert field(pyman, "r", "{{json .HostConfig.RestartPolicy}}") == '{"Name":"on-failure","MaximumRetryCount":2}'
    assert pyman("ps", "-a", "--format", "{{.Restarts}}").stdout == "2\n"
    pyman("start", "r")  # a user's start counts anew
    until(lambda: lines(pyman, "r") == 6)
    until(lambda: field(pyman, "r", "{{.RestartCount}} {{.State.Status}} {{.State.Restarting}}") == "2 exited false")


def test_on_failure_is_content_with_success(pyman: Run, image: str) -> None:
    pyman("run", "--name", "r", "--network", "none", "--restart", "on-failure", image, "true")
    pyman("wait", "r")
    assert field(pyman, "r", "{{.RestartCount}} {{.State.Restarting}} {{.State.ExitCode}}") == "0 false 0"


def test_the_second_run_is_like_the_first(pyman: Run, image: str) -> None:
    """Ids, network and directory do not come from the place where the monitor calls pyman."""
    script = "id -u; pwd; cat /proc/self/uid_map; grep -c : /proc/net/dev; ls /; exit 1"
    pyman("run", "-d", "--name", "r", "--userns", "keep-id", "-w", "/tmp", "--restart", "on-failure:2", image, "sh", "-c", script)
    until(lambda: field(pyman, "r", "{{.RestartCount}} {{.State.Status}} {{.State.Restarting}}") == "2 exited false")
    log = pyman("logs", "r").stdout
    third = len(log) // 3
    assert log == log[:third] * 3
    assert log.startswith(f"{os.getuid()}\n/tmp\n")


def test_a_joined_network_is_joined_again(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "net", "--network", "none", image, "sleep", "600")
    pyman(
        "run",
        "-d",
        "--name",
        "r",
        "--network",
        "container:net",
        "--restart",
        "on-failure:2",
        image,
        "sh",
        "-c",
        "readlink /proc/self/ns/net; false",
    )
    until(lambda: field(pyman, "r", "{{.RestartCount}} {{.State.Status}} {{.State.Restarting}}") == "2 exited false")
    assert len(set(pyman("logs", "r").stdout.split())) == 1 and lines(pyman, "r") == 3


def long_wait(pyman: Run, image: str, base: Path, name: str = "r") -> int:
    """A container whose monitor waits so long that it can be worked with; its monitor's id."""
    pyman("run", "-d", "--name", name, "--network", "none", "--restart", "always", image, *FAIL)
    state = directory(pyman, base, name) / "exit.json"
    # The sixth wait takes more than three seconds.
    until(lambda: waits(pyman, name) and json.loads(state.read_text() if state.exists() else "{}").get("restart_ms", 0) > 3000)
    pyman("ps", "-a")
    return int(json.loads((state.parent / "state.json").read_text())["waiter_pid"])


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_the_wait_can_be_seen_and_ended(pyman: Run, image: str, base: Path) -> None:
    waiter = long_wait(pyman, image, base)
    assert pyman("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Restarting (3) ")
    assert "about to start it again" in pyman("rm", "r", rc=2).stderr
    assert not ended(waiter)
    pyman("kill", "r")
    assert ended(waiter)
    assert field(pyman, "r", "{{.State.Status}} {{.State.Restarting}}") == "exited false"
    assert pyman("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Exited (3) ")
    pyman("rm", "r")


def test_rm_during_the_wait(pyman: Run, image: str, base: Path) -> None:
    waiter = long_wait(pyman, image, base)
    pyman("rm", "-f", "r")
    assert ended(waiter)
    assert not pyman("ps", "-aq").stdout


def test_start_during_the_wait(pyman: Run, image: str, base: Path) -> None:
    waiter = long_wait(pyman, image, base)
    before = lines(pyman, "r")
    pyman("start", "r")
    assert ended(waiter)
    until(lambda: lines(pyman, "r") > before)
    assert int(field(pyman, "r", "{{.RestartCount}}")) < 5
    pyman("rm", "-f", "r")


@pytest.mark.parametrize(("policy", "goes_on"), [("no", False), ("on-failure:1", False), ("on-failure:50", True)])
def test_update_during_the_wait(pyman: Run, image: str, base: Path, policy: str, goes_on: bool) -> None:
    waiter = long_wait(pyman, image, base)
    before = lines(pyman, "r")
    pyman("update", "--restart", policy, "r")
    assert ended(waiter) is not goes_on
    status = pyman("ps", "-a", "--format", "{{.Status}}")
    assert status.stdout.startswith("Restarting (3) " if goes_on else "Exited (3) ") and not status.stderr
    assert waits(pyman, "r") is goes_on and (goes_on or lines(pyman, "r") == before)
    pyman("rm", "-f", "r")


def test_a_policy_that_was_changed_after_the_monitor_read_it(pyman: Run, image: str, base: Path) -> None:
    """By an update between that and the record of the end: the one who waited looks again; nor is it replaced if it is killed."""
    waiter = long_wait(pyman, image, base)
    path = directory(pyman, base, "r") / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "restart_policy": "no"}))
    before = lines(pyman, "r")
    until(lambda: ended(waiter))
    assert pyman("ps", "-a", "--format", "{{.Status}}").stdout.startswith("Exited (3) ")
    assert not json.loads(path.read_text())["waiter_pid"] and lines(pyman, "r") == before

    waiter = long_wait(pyman, image, base, "s")
    path = directory(pyman, base, "s") / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "restart_policy": "no"}))
    os.kill(waiter, signal.SIGKILL)
    until(lambda: ended(waiter))
    assert pyman("ps", "-a", "--format", "{{.Status}}", "--filter", "name=s").stdout.startswith("Exited (3) ")


def test_kill_all_means_those_that_wait_too(pyman: Run, image: str, base: Path) -> None:
    """As kill does with their names; of a signal that does not ask for the end they hear nothing."""
    waiter = long_wait(pyman, image, base)
    refused = pyman("kill", "--all", "-s", "HUP")
    assert (refused.stdout, refused.stderr) == ("", "") and waits(pyman, "r")
    assert pyman("kill", "--all").stdout.strip() == field(pyman, "r", "{{.Id}}")
    assert ended(waiter) and field(pyman, "r", "{{.State.Status}} {{.State.Restarting}} {{.State.ExitCode}}") == "exited false 3"
    assert pyman("kill", "--all").stdout == ""
    pyman("rm", "r")


def kill_monitor(pyman: Run, name: str) -> None:
    """Kill a running container's monitor, and its process with it, and wait until both have gone."""
    pids = [int(word) for word in field(pyman, name, "{{.State.ConmonPid}} {{.State.Pid}}").split()]
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: all(ended(pid) for pid in pids))


def test_a_killed_waiter_is_replaced(pyman: Run, image: str, base: Path) -> None:
    waiter = long_wait(pyman, image, base)
    path = directory(pyman, base, "r") / "state.json"
    os.kill(waiter, signal.SIGKILL)
    until(lambda: ended(waiter))
    assert "asks for another run" not in pyman("why", "r").stdout and json.loads(path.read_text())["status"] == "exited"
    before = json.loads(path.read_text())["restarts"]
    assert "had lost its monitor and is started again, as its restart policy always asks" in pyman("ps", "-a").stderr
    until(lambda: int(field(pyman, "r", "{{.RestartCount}}")) > before)
    waiter = until(lambda: pyman("ps", "-a") and json.loads(path.read_text())["waiter_pid"])  # ps writes down that it has ended
    os.kill(waiter, signal.SIGKILL)
    until(lambda: ended(waiter))
    pyman("stop", "r")
    assert field(pyman, "r", "{{.State.Status}} {{.State.Restarting}} {{.State.ExitCode}}") == "exited false 3"
    pyman("rm", "r")


@pytest.mark.parametrize("stage", MONITOR_STAGES)
def test_kill_of_the_monitor(pyman: Run, image: str, base: Path, stage: str) -> None:
    pyman("run", "-d", "--name", "r", "--network", "none", "--restart", "always", image, *FAIL, env={"PYMAN_KILL_AT": stage})
    until(lambda: int(field(pyman, "r", "{{.RestartCount}}")) >= 2)
    pyman("stop", "r")
    expected = 137 if stage == "monitor:ended" else 3  # nobody has seen how it ended
    state = json.loads((directory(pyman, base, "r") / "state.json").read_text())
    assert state["ends"][0]["exit_code"] == expected
    assert lines(pyman, "r") == state["restarts"] + 1
    pyman("rm", "r")


def test_what_has_lost_its_monitor_runs_again(pyman: Run, image: str, base: Path) -> None:
    """The next command that looks starts it, once, however many look at a time; not against a policy or after a stop."""
    for name, policy in (("a", "always"), ("o", "on-failure:1"), ("u", "unless-stopped"), ("n", "no")):
        pyman("run", "-d", "--name", name, "--network", "none", "--restart", policy, image, "sleep", "600")
    began = field(pyman, "n", "{{.State.StartedAt}}")
    for name in "aoun":
        kill_monitor(pyman, name)
    pyman("container", "prune", "-f", "--filter", "label!=x", "--filter", "until=10000h")
    with futures.ThreadPoolExecutor(4) as pool:
        said = "".join(done.stderr for done in pool.map(lambda _: pyman("ps", "-q"), range(4)))
    for name in "aou":
        assert said.count(f"container {name} had lost its monitor") == 1, said
    assert pyman("ps", "--format", "{{.Names}} {{.Restarts}}", "--sort", "names").stdout == "a 1\no 1\nu 1\n"
    assert field(pyman, "n", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    assert field(pyman, "n", "{{.State.FinishedAt}}") > began
    assert "monitor" not in pyman("ps", "-a").stderr

    kill_monitor(pyman, "o")  # the second time is one too many
    kill_monitor(pyman, "u")
    pyman("stop", "u")
    kill_monitor(pyman, "a")
    assert pyman("exec", "a", "echo", "there").stdout == "there\n"
    assert pyman("ps", "--format", "{{.Names}}").stdout == "a\n"
    kill_monitor(pyman, "a")
    assert pyman("wait", "a").stdout == "137\n"  # looks at its end, and leaves it
    pyman("container", "prune", "-f")
    assert pyman("start", "--all", "--filter", "should-start-on-boot=true").stderr.count("had lost its monitor") == 1
    assert pyman("ps", "-a", "--format", "{{.Names}} {{.Restarts}}").stdout == "a 3\n"
    assert "restart" in pyman("events", "--stream=false", "--filter", "container=a", "--format", "{{.Status}}").stdout.split()


def test_a_start_instead_of_a_lost_monitor_that_fails(pyman: Run, image: str, tmp_path: Path) -> None:
    """It is told, and not tried again by each command that looks."""
    (tmp_path / "d").mkdir()
    pyman("run", "-d", "--name", "r", "--network", "none", "--restart", "always", "-v", f"{tmp_path}/d:/d", image, "sleep", "600")
    kill_monitor(pyman, "r")
    (tmp_path / "d").rmdir()
    said = pyman("ps", "-a", "--format", "{{.Status}}")
    assert said.stdout.startswith("Exited (137)") and str(tmp_path) in said.stderr
    assert not pyman("ps", "-a").stderr
    assert str(tmp_path) in pyman("why", "r").stdout
    pyman("rm", "r")


def test_what_is_asked_of_a_monitor_that_waits_ends_nothing(pyman: Run, image: str, base: Path) -> None:
    """Who took the container for a running one asks its monitor for a socket (SIGHUP), or to read its plan again (SIGUSR1, SIGUSR2)."""
    pyman("run", "-d", "--name", "r", "--network", "none", "--restart", "always", image, "sh", "-c", "sleep 0.3; exit 3")

    def restarts() -> int:
        return int(field(pyman, "r", "{{.RestartCount}}"))

    def ask(number: int) -> None:
        until(lambda: field(pyman, "r", "{{.State.Running}}") == "true")
        count, monitor = (int(word) for word in field(pyman, "r", "{{.RestartCount}} {{.State.ConmonPid}}").split())
        until(lambda: waits(pyman, "r") or restarts() > count)
        if restarts() == count and monitor:
            with contextlib.suppress(ProcessLookupError):  # it has become the next one already
                os.kill(monitor, number)
        until(lambda: restarts() > count)

    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        ask(number)
    pyman("rm", "-f", "-t", "0", "r")


def test_every_stage_of_the_monitor_is_in_its_code() -> None:
    shims = Path(__file__).parents[2] / "shims"
    source = "".join(path.read_text() for path in (shims / "monitor.c", *(shims / "monitor").glob("*.h")))
    for stage in MONITOR_STAGES:
        assert source.count(f'reach("{stage}")') == 1, stage


@pytest.mark.parametrize("attached", [False, True])
@pytest.mark.parametrize("policy", ["always", "on-failure"])
def test_who_was_sent_a_signal_is_not_started_again(pyman: Run, image: str, base: Path, policy: str, attached: bool) -> None:
    """As with Podman: by kill, or to a command that is attached; whatever signal it was. After the next start the policy counts again."""
    script = "trap 'exit 7' HUP; echo run; while :; do sleep 0.02; done"
    line = ("run", "--name", "r", "--network", "none", "--restart", policy, image, "sh", "-c", script)
    if attached:
        with subprocess.Popen([*command(), *line], env=environment(base), stdout=subprocess.PIPE, text=True) as shown:
            assert shown.stdout and shown.stdout.readline() == "run\n"
            shown.send_signal(signal.SIGHUP)
        assert shown.returncode == 7
    else:
        pyman("run", "-d", *line[1:])
        until(lambda: lines(pyman, "r") == 1)
        pyman("kill", "-s", "HUP", "r")
    until(lambda: field(pyman, "r", "{{.State.Status}} {{.State.Restarting}}") == "exited false")
    assert field(pyman, "r", "{{.State.ExitCode}} {{.State.StoppedByUser}} {{.RestartCount}}") == "7 true 0"
    pyman("start", "r")
    until(lambda: lines(pyman, "r") == 2)
    os.kill(int(field(pyman, "r", "{{.State.Pid}}")), signal.SIGHUP)
    until(lambda: lines(pyman, "r") == 3)
    assert field(pyman, "r", "{{.State.StoppedByUser}} {{.RestartCount}}") == "false 1"
    pyman("rm", "-f", "-t", "0", "r")


def test_wait_sees_the_first_end(pyman: Run, image: str) -> None:
    script = "test -e /tmp/again && exec sleep 600; touch /tmp/again; sleep 0.3; exit 9"
    pyman("run", "-d", "--name", "r", "--network", "none", "--restart", "always", image, "sh", "-c", script)
    assert pyman("wait", "r").stdout == "9\n"
    pyman("rm", "-f", "-t", "0", "r")


def test_after_a_reboot(pyman: Run, image: str, base: Path) -> None:
    for name, policy in (("a", "always"), ("u", "unless-stopped"), ("s", "unless-stopped"), ("o", "on-failure"), ("n", "no")):
        pyman("run", "-d", "--name", name, "--network", "none", "--restart", policy, image, "sleep", "600")
    pyman("stop", "-t", "0", "a", "s")
    pyman("stop", "-t", "0", "--service", "u", "o", "n")
    for name in "auson":
        path = directory(pyman, base, name) / "state.json"
        state = json.loads(path.read_text())
        path.write_text(json.dumps({**state, "boot_id": "another", "status": "running", "pid": os.getpid(), "monitor_pid": os.getpid()}))
    assert pyman("ps", "-q").stdout == ""
    chosen = pyman("ps", "-a", "--filter", "should-start-on-boot=true", "--format", "{{.Names}}", "--sort", "names").stdout.split()
    assert chosen == ["a", "u"]
    assert pyman("ps", "-a", "--filter", "should-start-on-boot=false", "--format", "{{.Names}}", "--sort", "names").stdout.split() == [
        "n",
        "o",
        "s",
    ]
    assert pyman("ps", "-a", "--filter", "restart-policy=on-failure", "--format", "{{.Names}}").stdout == "o\n"
    pyman("start", "--all", "--filter", "should-start-on-boot=true")
    assert pyman("ps", "--format", "{{.Names}}", "--sort", "names").stdout.split() == ["a", "u"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--restart", "sometimes"], "no, on-failure[:N], always, unless-stopped"),
        (["--restart", "always:3"], "only on-failure takes a number"),
        (["--restart", "on-failure:many"], "no number"),
        (["--restart", "always", "--rm"], "cannot use --rm together with --restart"),
    ],
)
def test_refused(pyman: Run, image: str, options: list[str], message: str) -> None:
    assert message in pyman("create", *options, image, "true", rc=125).stderr
    assert not pyman("ps", "-aq").stdout


@pytest.mark.parametrize("options", [["--restart", "no", "--rm"], ["--restart=never", "--rm"]])
def test_no_policy(pyman: Run, image: str, options: list[str]) -> None:
    pyman("run", *options, image, "true")
