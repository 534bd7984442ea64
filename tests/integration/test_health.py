"""Health checks: what they find, what follows, and that a check is no way out of the container."""

from __future__ import annotations

import calendar
import fcntl
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run, command, environment
from tests.integration.test_hostile_config import inner, variant  # noqa: F401
from tests.integration.test_restart_policies import directory, ended, field, until

SLEEP = ("sleep", "600")


def start(pyman: Run, image: str, *options: str, command: tuple[str, ...] = SLEEP, name: str = "h") -> None:
    network = () if "--network" in options else ("--network", "none")
    pyman("run", "-d", "--name", name, *network, *options, image, *command)


def health(pyman: Run, name: str = "h") -> dict[str, Any]:
    found = json.loads(field(pyman, name, "{{json .State.Health}}"))
    assert isinstance(found, dict)
    return found


def test_the_field_s_older_name(pyman: Run, image: str) -> None:
    start(pyman, image, *by_hand("true"))  # no timer: two looks see the same
    assert field(pyman, "h", "{{.State.Healthcheck.Status}}") == field(pyman, "h", "{{.State.Health.Status}}") != ""
    assert "Healthcheck" not in json.loads(field(pyman, "h", "{{json .State}}"))
    assert field(pyman, "h", "{{.HostConfig.LogConfig.Size}}") == "-1B"


def moment(text: str) -> float:
    """Seconds since 1970 of a time as inspect writes it."""
    when, _, fraction = text.rstrip("Z").partition(".")
    return calendar.timegm(time.strptime(when, "%Y-%m-%dT%H:%M:%S")) + float(f"0.{fraction or 0}")


def status(pyman: Run, name: str = "h") -> str:
    return str(health(pyman, name)["Status"])


def by_hand(command: str, *options: str) -> tuple[str, ...]:
    """Options of a check that no timer runs."""
    return ("--health-cmd", command, "--health-interval", "disable", *options)


def test_by_hand(pyman: Run, image: str) -> None:
    start(pyman, image, *by_hand("echo looking; test -e /ok", "--health-retries", "2"))
    assert health(pyman) == {"Status": "starting", "FailingStreak": 0, "Log": None}
    assert pyman("ps", "--format", "{{.Status}}").stdout.strip().endswith("(starting)")
    for streak, expected in ((1, "starting"), (2, "unhealthy"), (3, "unhealthy")):
        assert pyman("healthcheck", "run", "h", rc=1).stdout == "unhealthy\n"
        found = health(pyman)
        assert (found["Status"], found["FailingStreak"], len(found["Log"])) == (expected, streak, streak)
    assert found["Log"][-1]["ExitCode"] == 1 and found["Log"][-1]["Output"] == "looking\n"
    assert found["Log"][-1]["Start"] < found["Log"][-1]["End"] and found["Log"][-1]["End"].endswith("Z")
    assert pyman("healthcheck", "run", "--ignore-result", "h").stdout == "unhealthy\n"
    assert pyman("ps", "--filter", "health=unhealthy", "--format", "{{.Names}}").stdout == "h\n"
    assert pyman("ps", "--filter", "health=healthy", "-q").stdout == ""
    pyman("exec", "h", "touch", "/ok")
    assert pyman("healthcheck", "run", "h").stdout == ""
    found = health(pyman)
    assert (found["Status"], found["FailingStreak"], len(found["Log"])) == ("healthy", 0, 5)
    seen = [
        json.loads(line)
        for line in pyman("events", "--stream=false", "--filter", "event=health_status", "--format", "json").stdout.splitlines()
    ]
    mine = [event["health_status"] for event in seen if event["ID"] == field(pyman, "h", "{{.Id}}")]
    assert mine == ["unhealthy", "healthy"]
    pyman("stop", "-t", "0", "h")
    assert pyman("ps", "-a", "--format", "{{.Status}}").stdout.strip().endswith("(healthy)")
    assert "not running" in pyman("healthcheck", "run", "h", rc=125).stderr
    pyman("start", "h")
    assert health(pyman) == {"Status": "starting", "FailingStreak": 0, "Log": None}, "the last run's results are not this one's"
    assert "no such container" in pyman("healthcheck", "run", "nosuch", rc=125).stderr
    start(pyman, image, name="none")
    assert "no health check" in pyman("healthcheck", "run", "none", rc=125).stderr
    assert field(pyman, "none", "{{json .State}}").find("Health") < 0


def test_by_the_timer(pyman: Run, image: str, base: Path) -> None:
    start(pyman, image, "--health-cmd", '["test", "-e", "/ok"]', "--health-interval", "50ms", "--health-retries", "1")
    until(lambda: status(pyman) == "unhealthy")
    pyman("exec", "h", "touch", "/ok")
    until(lambda: status(pyman) == "healthy")
    # Nothing new: nothing is written, and yet inspect shows the newest checks.
    first = health(pyman)["Log"]
    path = directory(pyman, base, "h") / "health.json"
    until(lambda: len({entry["ExitCode"] for entry in health(pyman)["Log"]}) == 1)
    before = path.stat().st_mtime_ns
    time.sleep(0.3)
    assert path.stat().st_mtime_ns == before
    until(lambda: health(pyman)["Log"][-1]["Start"] > first[-1]["Start"])
    assert field(pyman, "h", "{{json .Config.Healthcheck}}") == (
        '{"Test":["CMD","test","-e","/ok"],"Interval":50000000,"Timeout":30000000000,"Retries":1}'
    )


WELL = ("--health-interval", "10ms", "--health-retries", "1")


def checker(pyman: Run, name: str = "h") -> int:
    """The process that begins the checks."""
    monitor = field(pyman, name, "{{.State.ConmonPid}}")
    children = Path(f"/proc/{monitor}/task/{monitor}/children").read_text().split()
    found = [pid for pid in children if Path(f"/proc/{pid}/comm").read_text() == "pyman:[check]\n"]
    assert len(found) == 1
    return int(found[0])


def test_the_monitor_sleeps_while_all_is_well(pyman: Run, image: str) -> None:
    """What its checks find in the meantime is all there: each one once, in its order."""
    start(pyman, image, "--health-cmd", "echo x >>/n; echo fine", "--health-max-log-count", "0", *WELL)

    def checks() -> int:
        return int(pyman("exec", "h", "sh", "-c", "cat /n | wc -l", rc=None).stdout or 0)

    def woken() -> int:
        lines = Path(f"/proc/{field(pyman, 'h', '{{.State.ConmonPid}}')}/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary"))

    until(lambda: status(pyman) == "healthy")
    before, first = woken(), checks()
    until(lambda: checks() >= first + 200)
    # Once in sixty checks, since all of them are to be kept, and by what is called here.
    assert woken() - before < 40
    least = checks()
    log = health(pyman)["Log"]
    most = checks()
    assert least <= len(log) <= most
    assert {(entry["ExitCode"], entry["Output"]) for entry in log} == {(0, "fine\n")}
    times = [time for entry in log for time in (entry["Start"], entry["End"])]
    assert times == sorted(times) and len(set(times)) == len(times)


def test_what_is_new_wakes_the_monitor(pyman: Run, image: str) -> None:
    check = "cat /text; if test -e /slow; then sleep 0.3; fi; test ! -e /bad"
    start(pyman, image, "--health-cmd", check, *WELL, command=("sh", "-c", "echo one >/text; exec sleep 600"))

    def outputs() -> set[str]:
        return {entry["Output"] for entry in health(pyman)["Log"] or ()}

    until(lambda: outputs() == {"one\n"})
    pyman("exec", "h", "sh", "-c", "echo two >/t; mv /t /text")
    until(lambda: outputs() == {"two\n"})
    many = 'i=0; while [ $i -lt 1000 ]; do echo "line $i"; i=$((i+1)); done'
    pyman("update", "--health-cmd", check, "--health-interval", "10ms", "--health-max-log-size", "0", "h")
    pyman("exec", "h", "sh", "-c", f"({many}) >/t; mv /t /text")
    until(lambda: outputs() == {"".join(f"line {number}\n" for number in range(1000))})
    pyman("exec", "h", "touch", "/slow")
    until(lambda: all(moment(entry["End"]) - moment(entry["Start"]) >= 0.3 for entry in health(pyman)["Log"]))
    assert status(pyman) == "healthy"
    pyman("exec", "h", "sh", "-c", "rm /slow; touch /bad")
    until(lambda: status(pyman) == "unhealthy")
    pyman("exec", "h", "rm", "/bad")
    until(lambda: status(pyman) == "healthy")


def test_a_check_of_a_healthy_container_that_hangs(pyman: Run, image: str) -> None:
    """The monitor had been asleep when it began: it is killed with its children all the same, and the next one is made."""
    check = "if test -e /hang; then rm /hang; echo before; sleep 321 & sleep 321; fi"
    start(pyman, image, "--health-cmd", check, "--health-timeout", "3s", "--health-max-log-count", "0", *WELL)
    until(lambda: status(pyman) == "healthy")
    pyman("exec", "h", "touch", "/hang")
    until(lambda: (125, "before\n") in {(entry["ExitCode"], entry["Output"]) for entry in health(pyman)["Log"]})
    until(lambda: status(pyman) == "healthy")
    assert "321" not in pyman("exec", "h", "ps").stdout


def test_a_checker_that_is_stopped_is_noticed(pyman: Run, image: str) -> None:
    start(pyman, image, "--health-cmd", "true", "--health-timeout", "50ms", "--health-max-log-count", "0", *WELL)
    until(lambda: status(pyman) == "healthy")
    stopped = checker(pyman)
    os.kill(stopped, signal.SIGSTOP)
    until(lambda: ended(stopped))
    until(lambda: any(entry["ExitCode"] == 125 for entry in health(pyman)["Log"]))
    until(lambda: status(pyman) == "healthy")


def test_a_monitor_that_is_stopped_is_named(pyman: Run, image: str) -> None:
    """Who asks for its newest results gets those that are written down, and need not wait."""
    start(pyman, image, "--health-cmd", "true", *WELL)
    until(lambda: status(pyman) == "healthy")
    monitor = int(field(pyman, "h", "{{.State.ConmonPid}}"))
    os.kill(monitor, signal.SIGSTOP)
    try:
        until(lambda: Path(f"/proc/{monitor}/stat").read_text().split()[2] == "T")
        assert status(pyman) == "healthy"
        said = pyman("healthcheck", "run", "h", rc=125).stderr
        assert f"its monitor (process {monitor}) is stopped" in said and f"kill -CONT {monitor}" in said
    finally:
        os.kill(monitor, signal.SIGCONT)
    pyman("healthcheck", "run", "h")


def test_a_checker_that_is_killed_between_its_checks(pyman: Run, image: str) -> None:
    """That is no failure of the container, which is checked again at once. A check that ran is ended, with its children."""
    script = "if test -e /hang; then rm /hang; sleep 654 & sleep 654; fi"
    start(pyman, image, "--health-cmd", "true", "--health-interval", "1h")
    until(lambda: status(pyman) == "healthy")
    os.kill(checker(pyman), signal.SIGKILL)
    until(lambda: len(health(pyman)["Log"]) == 2)
    assert {entry["ExitCode"] for entry in health(pyman)["Log"]} == {0}
    start(pyman, image, "--health-cmd", script, *WELL, name="hangs")
    until(lambda: status(pyman, "hangs") == "healthy")
    pyman("exec", "hangs", "touch", "/hang")
    until(lambda: pyman("exec", "hangs", "ps").stdout.count("sleep 654") == 2)
    os.kill(checker(pyman, "hangs"), signal.SIGKILL)
    until(lambda: "654" not in pyman("exec", "hangs", "ps").stdout)
    until(lambda: status(pyman, "hangs") == "healthy")


def test_the_start_period_counts_no_failure(pyman: Run, image: str) -> None:
    start(pyman, image, *by_hand("test -e /ok", "--health-retries", "1", "--health-start-period", "1h"))
    assert pyman("healthcheck", "run", "h", rc=1).stdout == "unhealthy\n"
    assert (status(pyman), health(pyman)["FailingStreak"]) == ("starting", 0)
    pyman("exec", "h", "touch", "/ok")
    pyman("healthcheck", "run", "h")
    assert status(pyman) == "healthy"


def test_a_check_belongs_to_the_period_in_which_it_began(pyman: Run, image: str) -> None:
    """However long it takes: the container was starting when it was asked."""
    script = "while [ ! -e /go ]; do sleep 0.05; done; false"
    options = ("--health-interval", "1h", "--health-retries", "1", "--health-start-period", "2s")
    start(pyman, image, "--health-cmd", script, *options)  # the first one begins with the container
    until(lambda: time.time() - moment(field(pyman, "h", "{{json .State.StartedAt}}").strip('"')) > 2.2)
    pyman("exec", "h", "touch", "/go")
    until(lambda: health(pyman)["Log"])
    found = health(pyman)
    late = moment(found["Log"][0]["Start"]) - moment(field(pyman, "h", "{{json .State.StartedAt}}").strip('"')) > 1.9
    assert late or (found["Status"], found["FailingStreak"]) == ("starting", 0)
    pyman("healthcheck", "run", "h", rc=1)
    assert (status(pyman), health(pyman)["FailingStreak"]) == ("unhealthy", 2 if late else 1)


@pytest.mark.parametrize("options", [("exit 1", "--health-interval"), ("sleep 600", "--health-interval=10ms", "--health-timeout")])
def test_the_shortest_times_are_times(pyman: Run, image: str, options: tuple[str, ...]) -> None:
    """They are kept in milliseconds, and none of them becomes 0: a check that is never made, or never ends."""
    start(pyman, image, "--health-cmd", *options, "1ns", "--health-retries", "1")
    until(lambda: status(pyman) == "unhealthy")


def test_switched_off_and_on_again(pyman: Run, image: str) -> None:
    """The results of this run stay, each one once and in their order; those of the last one do not."""
    start(pyman, image, *by_hand("cat /n"))

    def checked(text: str) -> list[str]:
        pyman("exec", "h", "sh", "-c", f"echo {text} >/n")
        pyman("healthcheck", "run", "h")
        return [entry["Output"].strip() for entry in health(pyman)["Log"]]

    assert [checked("a1"), checked("a2")] == [["a1"], ["a1", "a2"]]
    pyman("update", "--no-healthcheck", "h")
    assert json.loads(field(pyman, "h", "{{json .State}}")).get("Health") is None
    pyman("update", "--health-cmd", "cat /n", "h")
    until(lambda: status(pyman) == "healthy")
    assert checked("a3") == ["a1", "a2", "a3"]
    pyman("restart", "-t", "0", "h")
    assert health(pyman)["Log"] is None
    assert checked("b1") == ["b1"]


def test_many_ask_at_once(pyman: Run, image: str, base: Path) -> None:
    """They share a check that begins after they have asked, and each gets its answer."""
    start(pyman, image, *by_hand("while [ ! -e /go ]; do sleep 0.05; done"))
    argv = [*command(), "healthcheck", "run", "h"]
    asking = [subprocess.Popen(argv, env=environment(base), stdout=subprocess.PIPE) for _ in range(24)]
    monitor = f"/proc/{field(pyman, 'h', '{{.State.ConmonPid}}')}/fd"
    # The attach socket and the channel to the checker are sockets of the monitor's, too: all have come when there are that many and more.
    until(lambda: int(pyman("unshare", "sh", "-c", f"ls -l {monitor} | grep -c socket:", rc=None).stdout or 0) >= len(asking) + 2)
    pyman("exec", "h", "touch", "/go")
    assert [(child.communicate()[0], child.returncode) for child in asking] == [(b"", 0)] * 24
    assert len(health(pyman)["Log"]) >= 1 and status(pyman) == "healthy"


def test_an_answer_is_of_after_the_question(pyman: Run, image: str, base: Path) -> None:
    """A check that was under way may have looked before what the caller did last."""
    slow = "cp /state /seen; while [ ! -e /go ]; do sleep 0.05; done; grep good /seen"
    start(pyman, image, *by_hand(slow), command=("sh", "-c", "echo bad >/state; exec sleep 600"))
    until(lambda: pyman("exec", "h", "cat", "/state", rc=None).stdout == "bad\n")
    argv = [*command(), "healthcheck", "run", "h"]
    first = subprocess.Popen(argv, env=environment(base), stdout=subprocess.PIPE, text=True)
    until(lambda: pyman("exec", "h", "cat", "/seen", rc=None).stdout == "bad\n")
    pyman("exec", "h", "sh", "-c", "echo good >/state")
    second = subprocess.Popen(argv, env=environment(base), stdout=subprocess.PIPE, text=True)
    monitor = f"/proc/{field(pyman, 'h', '{{.State.ConmonPid}}')}/fd"
    until(lambda: int(pyman("unshare", "sh", "-c", f"ls -l {monitor} | grep -c socket:", rc=None).stdout or 0) >= 4)
    pyman("exec", "h", "touch", "/go")
    assert (first.communicate()[0], first.returncode) == ("unhealthy\n", 1)
    assert (second.communicate()[0], second.returncode) == ("", 0)


def test_a_check_that_takes_too_long_is_killed_with_its_children(pyman: Run, image: str) -> None:
    start(pyman, image, *by_hand("echo before; sleep 321 & sleep 321", "--health-timeout", "5s"))  # time enough for the first word
    assert "did not end within" in pyman("healthcheck", "run", "h", rc=125).stderr
    entry = health(pyman)["Log"][0]
    assert (entry["ExitCode"], entry["Output"]) == (125, "before\n")
    until(lambda: "321" not in pyman("exec", "h", "ps").stdout)


def test_the_log_is_bounded(pyman: Run, image: str) -> None:
    script = "head -c 3000000 /dev/zero | tr '\\0' x; exit 1"
    start(pyman, image, *by_hand(script, "--health-max-log-count", "2", "--health-max-log-size", "10"))
    for _ in range(3):
        pyman("healthcheck", "run", "h", rc=1)
    assert [entry["Output"] for entry in health(pyman)["Log"]] == ["x" * 10] * 2
    start(pyman, image, *by_hand(script, "--health-max-log-count", "0", "--health-max-log-size", "0"), name="all")
    for _ in range(6):
        pyman("healthcheck", "run", "all", rc=1)
    log = health(pyman, "all")["Log"]
    # Without a limit is what a monitor may keep: 16 MiB of one check, and of all of them.
    assert len(log) == 5 and {entry["Output"] for entry in log} == {"x" * 3000000}
    monitor = field(pyman, "all", "{{.State.ConmonPid}}")
    pyman("update", "--health-cmd", script.replace("3000000", "50000000"), "--health-interval", "disable", "all")
    pyman("healthcheck", "run", "all", rc=1)
    assert [len(entry["Output"]) for entry in health(pyman, "all")["Log"]] == [16 << 20]
    peak = next(line for line in Path(f"/proc/{monitor}/status").read_text().splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 64 << 10
    # A size that was asked for is kept, however large.
    pyman("update", "--health-max-log-size", str(20 << 20), "all")
    pyman("healthcheck", "run", "all", rc=1)
    assert [len(entry["Output"]) for entry in health(pyman, "all")["Log"]] == [20 << 20]
    pyman("rm", "-f", "-t", "0", "all", "h")


def test_what_a_check_writes_is_text(pyman: Run, image: str) -> None:
    start(pyman, image, *by_hand(r"printf '\033[2J\"\\\377\001'; exit 1"))
    pyman("healthcheck", "run", "h", rc=1)
    assert health(pyman)["Log"][0]["Output"] == '\x1b[2J\\"\\\ufffd\x01'
    assert "\x1b" not in pyman("inspect", "h").stdout


def test_destinations(pyman: Run, image: str, base: Path, tmp_path: Path) -> None:
    start(pyman, image, *by_hand("echo hello", "--health-log-destination", str(tmp_path)))
    pyman("healthcheck", "run", "h")
    files = list(tmp_path.iterdir())
    assert [path.name for path in files] == [field(pyman, "h", "{{.Id}}") + "-healthcheck.log"]
    assert json.loads(files[0].read_text())["Log"][0]["Output"] == "hello\n"
    start(pyman, image, *by_hand("echo hello", "--health-log-destination", "events_logger"), name="logged")
    for _ in range(2):
        pyman("healthcheck", "run", "logged")
    asked = ("events", "--stream=false", "--filter", "container=logged", "--filter", "event=health_status")
    lines = pyman(*asked).stdout.splitlines()
    written = [line.split("health_log=")[1].rsplit("}", 1)[0] + "}" for line in lines]
    assert [json.loads(text) for text in written] == health(pyman, "logged")["Log"], lines
    assert json.loads(written[1])["Output"] == "hello\n"
    # The worst of what may be written: all of it takes six times its room, and is kept in one line.
    pyman("update", "--health-cmd", "head -c 3000 /dev/zero", "--health-interval", "disable", "--health-max-log-size", "0", "logged")
    pyman("healthcheck", "run", "logged")
    last = pyman(*asked).stdout.splitlines()[2:]
    assert len(last) == 1 and json.loads(last[0].split("health_log=")[1].rsplit("}", 1)[0] + "}")["Output"] == "\0" * 1024
    assert field(pyman, "logged", "{{.Config.HealthLogDestination}}") == "events_logger"


@pytest.mark.parametrize("action", ["kill", "stop"])
def test_on_failure(pyman: Run, image: str, action: str) -> None:
    script = "trap 'echo heeded; exit 7' TERM; echo up; while :; do sleep 0.05; done"
    options = by_hand("false", "--health-retries", "1", "--health-on-failure", action, "--stop-timeout", "600")
    start(pyman, image, *options, "--restart", "unless-stopped" if action == "stop" else "no", command=("sh", "-c", script))
    until(lambda: pyman("logs", "h").stdout == "up\n")
    pyman("healthcheck", "run", "h", rc=1)
    until(lambda: field(pyman, "h", "{{.State.Status}} {{.State.Restarting}}") == "exited false")
    assert field(pyman, "h", "{{.State.ExitCode}} {{.Config.HealthcheckOnFailureAction}}") == f"{137 if action == 'kill' else 7} {action}"
    assert status(pyman) == "unhealthy"
    assert "health check" in pyman("why", "h").stdout


def test_stop_comes_to_an_end(pyman: Run, image: str) -> None:
    start(pyman, image, *by_hand("false", "--health-retries", "1", "--health-on-failure", "stop", "--stop-timeout", "1"))
    pyman("healthcheck", "run", "h", rc=1)
    until(lambda: field(pyman, "h", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137")


def test_restart_on_failure(pyman: Run, image: str) -> None:
    options = ("--health-interval", "50ms", "--health-retries", "2", "--health-on-failure", "restart", "--stop-timeout", "0")
    start(
        pyman,
        image,
        "--health-cmd",
        "test -e /proc/$(cat /n || echo 1)",
        *options,
        command=("sh", "-c", "echo run; echo 999 > /n; exec sleep 600"),
    )
    until(lambda: int(field(pyman, "h", "{{.RestartCount}}")) >= 2)
    until(lambda: pyman("logs", "h").stdout.count("run") >= 2)
    pyman("stop", "-t", "0", "h")
    assert field(pyman, "h", "{{.State.Status}} {{.State.Restarting}}") == "exited false", "the user's wish comes first"
    runs = pyman("logs", "h").stdout.count("run")
    time.sleep(0.3)
    assert pyman("logs", "h").stdout.count("run") == runs


def test_restart_comes_before_removal(pyman: Run, image: str) -> None:
    """With --rm too: what the check ends is started again, detached or not, and removed after its last end."""
    check = ("--health-cmd", "test ! -e /bad", "--health-interval", "50ms", "--health-retries", "1", "--health-on-failure", "restart")
    script = "[ ! -e /gone ] || exit 0; [ -e /second ] || { touch /second /bad; exec sleep 600; }; rm -f /bad; exec sleep 600"
    for detach in (("-d",), ()):
        options = ("--rm", "--name", "h", "--network", "none", "--stop-timeout", "0", *check)
        done = pyman("run", *detach, *options, image, "sh", "-c", script, rc=None)
        assert done.returncode == (0 if detach else 137), done.stderr
        # More than once, if a check comes before the second run has removed the file.
        until(lambda: int(field(pyman, "h", "{{.RestartCount}}")) >= 1 and status(pyman) == "healthy")
        pyman("exec", "h", "sh", "-c", "touch /gone; kill 1; :")
        pyman("stop", "-t", "0", "h", rc=None)
        until(lambda: not pyman("ps", "-aq").stdout)


def test_the_startup_check_comes_first(pyman: Run, image: str) -> None:
    options = ("--health-startup-cmd", "echo up; test -e /up", "--health-startup-interval", "disable", "--health-startup-success", "2")
    start(pyman, image, *by_hand("echo regular"), *options)
    assert pyman("healthcheck", "run", "h", rc=1).stdout == "starting\n"
    pyman("exec", "h", "touch", "/up")
    for expected in ("starting", "healthy"):
        pyman("healthcheck", "run", "h")
        assert status(pyman) == expected
    pyman("healthcheck", "run", "h")
    assert [entry["Output"] for entry in health(pyman)["Log"]] == ["up\n"] * 3 + ["regular\n"]
    assert json.loads(field(pyman, "h", "{{json .Config.StartupHealthCheck}}"))["Successes"] == 2


def test_the_startup_check_passes_on_to_the_timer(pyman: Run, image: str) -> None:
    options = ("--health-startup-cmd", "test -e /up", "--health-startup-interval", "50ms", "--health-interval", "50ms")
    start(pyman, image, "--health-cmd", "echo regular", *options, command=("sh", "-c", "sleep 0.3; touch /up; exec sleep 600"))
    until(lambda: any(entry["Output"] == "regular\n" for entry in health(pyman)["Log"] or []))
    assert status(pyman) == "healthy"


def test_a_failing_startup_check_restarts(pyman: Run, image: str) -> None:
    options = ("--health-startup-cmd", "false", "--health-startup-interval", "50ms", "--health-startup-retries", "2", "--stop-timeout", "0")
    start(pyman, image, *by_hand("true"), *options)
    until(lambda: int(field(pyman, "h", "{{.RestartCount}}")) >= 1)
    pyman("rm", "-f", "-t", "0", "h")


# What a process of the container may: the check must have exactly this.
LOOK = "id; grep -E '^(Cap|NoNewPrivs|Seccomp:|Umask)' /proc/self/status; pwd; cat /proc/self/cgroup; ulimit -n; cat /proc/self/oom_score_adj; echo $LOOKED; ls -l /proc/self/fd | grep -c -v pipe; echo looked"


@pytest.mark.parametrize(
    "options",
    [
        (),
        (
            "--user",
            "1234:5678",
            "--group-add",
            "77",
            "--workdir",
            "/tmp",
            "--env",
            "LOOKED=a b",
            "--umask",
            "0077",
            "--ulimit",
            "nofile=512:512",
        ),
        ("--security-opt", "no-new-privileges", "--cap-drop", "ALL", "--cap-add", "NET_RAW", "--oom-score-adj", "600"),
        ("--privileged", "--pid", "host", "--cgroupns", "host"),
        ("--userns", "keep-id", "--security-opt", "seccomp=unconfined"),
        ("--read-only", "--network", "pasta"),
        ("--ulimit", "nofile=5:5"),
    ],
)
def test_a_check_may_what_the_container_may(pyman: Run, image: str, options: tuple[str, ...]) -> None:
    start(
        pyman,
        image,
        *options,
        *by_hand(f"({LOOK}) >&2", "--health-max-log-size", "0"),
        command=("sh", "-c", f"({LOOK}) >&2; exec sleep 600"),
    )
    pyman("healthcheck", "run", "h")
    until(lambda: pyman("logs", "h").stderr.endswith("looked\n"))
    own = pyman("logs", "h").stderr
    assert "CapEff" in own
    assert health(pyman)["Log"][0]["Output"] == own


def test_secret_variables(pyman: Run, image: str, base: Path) -> None:
    pyman("secret", "create", "checked", "-", input="geheim-4711")
    options = ("--secret", "checked,type=env,target=WORD", "--secret", "checked,type=env,target=OTHER", "--env", "OTHER=x")
    start(pyman, image, *options, *by_hand('test "$WORD$OTHER" = "$WORD$WORD" -a ${#WORD} = 11'))
    pyman("healthcheck", "run", "h")
    pyman("update", "--health-cmd", "test ${#OTHER} = 11", "h")
    pyman("healthcheck", "run", "h")
    place = directory(pyman, base, "h")
    files = [path for path in place.rglob("*") if path.is_file() and os.access(path, os.R_OK) and path.suffix != ".tmp"]
    assert place / "health.plan" in files and not [path for path in files if b"geheim" in path.read_bytes()]
    pyman("rm", "-f", "-t", "0", "h")
    pyman("secret", "rm", "checked")


@pytest.mark.parametrize("own", [(), ("--security-opt", "no-new-privileges")])
@pytest.mark.parametrize("refused", ["poll ppoll", "clone clone3", "pipe pipe2", "dup dup2 dup3 wait4", "fcntl"])
def test_a_filter_is_that_of_the_check_not_of_who_begins_it(
    pyman: Run, image: str, tmp_path: Path, refused: str, own: tuple[str, ...]
) -> None:
    rules: list[dict[str, Any]] = [{"names": refused.split(), "action": "SCMP_ACT_KILL_PROCESS"}]
    if refused == "fcntl":  # of one kind
        rules[0]["args"] = [{"index": 1, "value": fcntl.F_SETFL, "op": "SCMP_CMP_EQ"}]
    rules += [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]
    (tmp_path / "profile").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}))
    options = ("--security-opt", f"seccomp={tmp_path / 'profile'}", *own)
    start(pyman, image, *options, *by_hand('["CMD", "/bin/busybox", "true"]'))
    pyman("healthcheck", "run", "h")
    pyman("update", "--health-cmd", '["CMD", "/bin/busybox", "mkdir", "/tmp/made"]', "--health-interval", "disable", "h")
    pyman("healthcheck", "run", "h", rc=1)
    assert "Operation not permitted" in health(pyman)["Log"][-1]["Output"], "it has the filter"
    pyman("update", "--health-cmd", '["CMD", "nosuch"]', "--health-interval", "disable", "h")
    pyman("healthcheck", "run", "h", rc=1)
    assert "no such program in the container" in health(pyman)["Log"][-1]["Output"]


def test_a_paused_container_is_not_checked(pyman: Run, image: str) -> None:
    start(pyman, image, "--health-cmd", "true", "--health-interval", "20ms", "--health-timeout", "5s", "--health-retries", "1")
    until(lambda: status(pyman) == "healthy")
    pyman("pause", "h")
    until(lambda: pyman("ps", "-a", "--format", "{{.State}}").stdout == "paused\n")
    last = health(pyman)["Log"][-1]
    time.sleep(5.5)  # beyond the time-out of a check that was under way
    found = health(pyman)
    assert (found["Status"], found["FailingStreak"]) == ("healthy", 0)
    assert len([entry for entry in found["Log"] if entry["Start"] > last["Start"]]) <= 1, "one may have been under way"
    assert "not running" in pyman("healthcheck", "run", "h", rc=125).stderr
    pyman("unpause", "h")
    until(lambda: health(pyman)["Log"][-1]["Start"] > found["Log"][-1]["Start"])
    assert status(pyman) == "healthy"


def test_nothing_of_the_monitor_is_within_reach(pyman: Run, image: str) -> None:
    """No descriptor, no environment; a script that names the monitor as its interpreter gets it, and cannot write to it."""
    script = "#!/bin/sh\nls -l /proc/self/fd; cat /proc/self/environ | tr '\\0' '\\n' | sort\n"
    start(
        pyman,
        image,
        *by_hand("sh /look", "--health-max-log-size", "0", "--env", "LOOKED=yes"),
        command=("sh", "-c", 'printf "%s" "$0" > /look; exec sleep 600', script),
    )
    until(lambda: pyman("exec", "h", "test", "-s", "/look", rc=None).returncode == 0)
    pyman("healthcheck", "run", "h")
    output = health(pyman)["Log"][0]["Output"]
    numbers = {line.split(" -> ")[0].split()[-1]: line.split(" -> ")[1] for line in output.splitlines() if " -> " in line}
    assert set(numbers) <= {"0", "1", "2", "3", "10"} and numbers["0"] == "/dev/null"  # 3, 10: the shell's script, the directory of ls
    assert not any("pyman" in line or "XDG" in line for line in output.splitlines())
    assert "LOOKED=yes" in output


def test_the_monitor_cannot_be_overwritten(pyman: Run, image: str) -> None:
    """It is executed through a read-only mount: also its owner gets no writer from the link that `#!/proc/self/exe` stands for."""
    make = "printf '#!/proc/self/exe\\n' > /attack; chmod 755 /attack; exec sleep 600"
    start(pyman, image, *by_hand('["/attack"]', "--health-max-log-size", "0"), command=("sh", "-c", make))
    until(lambda: pyman("exec", "h", "test", "-x", "/attack", rc=None).returncode == 0)
    pyman("healthcheck", "run", "h", rc=1)
    assert "pyman-monitor" in health(pyman)["Log"][0]["Output"], "the script has got hold of the monitor's program"
    # Opened and truncated: a program that is running would be busy, but the mount refuses before.
    done = pyman("unshare", "sh", "-c", f": > /proc/{field(pyman, 'h', '{{.State.ConmonPid}}')}/exe", rc=None)
    assert "Read-only file system" in done.stderr


def test_what_a_watcher_sees_of_a_check_is_its_own(pyman: Run, image: str) -> None:
    """Even one that may look into all processes: root, descriptors and memory of what is about to be the command are the container's."""
    # What has gone before it could be looked at shows nothing; what has become the command is the command's.
    watch = (
        "echo up; touch /inside; while :; do for p in /proc/[0-9]*; do "
        'case "$(cat $p/comm 2>/dev/null)" in "pyman:[check]") for d in root cwd; do test -e $p/$d/inside || ls $p/$d; done; '
        "ls -l $p/fd | grep -e '->' | grep -v -e socket: -e pipe: -e /dev/null;"
        "for f in environ cmdline; do tr '\\0' '\\n' < $p/$f; done; grep CapEff $p/status;; esac; done; done 2>/dev/null"
    )
    options = ("--cap-add", "SYS_PTRACE", "--health-interval", "10ms", "--health-cmd", "true")
    start(pyman, image, *options, command=("sh", "-c", watch))
    until(lambda: pyman("logs", "h").stdout.startswith("up"))
    checks: set[str] = set()

    def many() -> bool:
        checks.update(entry["Start"] for entry in json.loads(pyman("inspect", "h", "-f", "{{json .State.Health.Log}}").stdout))
        return len(checks) >= 60

    until(many)
    seen = {line.strip() for line in pyman("logs", "h").stdout.splitlines()[1:]}
    effective = pyman("exec", "h", "grep", "CapEff", "/proc/1/status").stdout.strip()
    given = pyman("exec", "h", "sh", "-c", "tr '\\0' '\\n' < /proc/1/environ").stdout.splitlines()
    assert seen <= {"", "/bin/sh", "-c", "true", effective, *given}, seen
    pyman("rm", "-f", "-t", "0", "h")


def test_no_check_has_the_checkers_notes(pyman: Run, image: str) -> None:
    """A check that has not become its command yet could be written to by who may look into it: not into what the monitor or the checker reads."""
    start(pyman, image, *by_hand("true"), "--cap-add", "SYS_PTRACE")
    pyman("healthcheck", "run", "h")
    kept: dict[str, list[str]] = {}
    for line in pyman("unshare", "cat", f"/proc/{checker(pyman)}/smaps").stdout.splitlines():
        if "-" in line.split()[0]:
            area = line.split()[1]
        elif line.startswith("VmFlags:"):
            kept.setdefault(area, []).append("not for children" if "dc" in line.split() else "for children")
    assert kept["rw-s"] == ["not for children"] and "not for children" in kept["rw-p"]


def test_a_checker_that_is_killed_is_made_again(pyman: Run, image: str, base: Path) -> None:
    start(pyman, image, *by_hand("true"))
    pyman("healthcheck", "run", "h")
    monitor, first = field(pyman, "h", "{{.State.ConmonPid}}"), checker(pyman)
    children = Path(f"/proc/{monitor}/task/{monitor}/children").read_text().split()
    assert str(first) not in pyman("exec", "h", "ps").stdout
    os.kill(first, signal.SIGKILL)
    pyman("healthcheck", "run", "h", rc=None)  # it may notice only now
    pyman("healthcheck", "run", "h")
    assert status(pyman) == "healthy"
    pyman("kill", "h")
    until(lambda: ended(int(monitor)))
    until(lambda: all(ended(int(pid)) for pid in children))


def test_the_monitor_killed_after_a_check(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "h", "--network", "none", "--health-cmd", "true", image, *SLEEP, env={"PYMAN_KILL_AT": "monitor:checked"})
    until(lambda: field(pyman, "h", "{{.State.Status}}") == "exited")
    assert status(pyman) == "healthy"
    pyman("start", "h")
    assert pyman("ps", "--format", "{{.Names}}").stdout == "h\n"


def test_a_wiped_runtime_directory(pyman: Run, image: str, base: Path) -> None:
    start(pyman, image, *by_hand("true"))
    for path in (base / "run/pyman/containers" / field(pyman, "h", "{{.Id}}")).iterdir():
        path.unlink()
    pyman("healthcheck", "run", "h")
    assert status(pyman) == "healthy"


@pytest.mark.parametrize("ended_by", ["itself", "stop", "kill"])
@pytest.mark.parametrize("action", ["restart", "none"])
def test_the_containers_end_is_no_failure_of_its_check(pyman: Run, image: str, action: str, ended_by: str) -> None:
    """The kernel kills the check before it tells of the container's end."""
    check = ("--health-cmd", "touch /checking; sleep 60", "--health-interval", "1h", "--health-retries", "1", "--health-on-failure", action)
    start(pyman, image, *check, command=("sh", "-c", "echo begun; while [ ! -e /end ]; do sleep 0.05; done; exit 4"))
    until(lambda: pyman("exec", "h", "test", "-e", "/checking", rc=None).returncode == 0)
    if ended_by == "itself":
        pyman("exec", "h", "touch", "/end")
    else:
        pyman(ended_by, *(("-t", "0") if ended_by == "stop" else ()), "h")
    until(lambda: field(pyman, "h", "{{.State.Status}}") == "exited")
    found = health(pyman)
    assert (found["Status"], found["FailingStreak"], found["Log"]) == ("stopped", 0, None)
    code = "4" if ended_by == "itself" else "137"
    assert field(pyman, "h", "{{.State.ExitCode}} {{.RestartCount}}") == f"{code} 0" and pyman("logs", "h").stdout == "begun\n"
    own = f"container={field(pyman, 'h', '{{.Id}}')}"
    assert pyman("events", "--stream=false", "--filter", own, "--filter", "event=health_status").stdout == ""


@pytest.mark.parametrize("action", ["kill", "restart"])
def test_a_container_that_is_being_stopped_may_fail_its_checks(pyman: Run, image: str, base: Path, action: str) -> None:
    """What it does at its end is not cut short by the health check's action."""
    check = ("--health-cmd", "test ! -e /bad", "--health-interval", "20ms", "--health-retries", "1", "--health-on-failure", action)
    script = "trap 'touch /bad' TERM; while [ ! -e /end ]; do sleep 0.05; done; echo saved; exit 3"
    start(pyman, image, *check, "--health-max-log-count", "0", "--stop-timeout", "120", command=("sh", "-c", script))
    until(lambda: status(pyman) == "healthy")
    stopping = subprocess.Popen([*command(), "stop", "h"], env=environment(base), stdout=subprocess.DEVNULL)
    until(lambda: pyman("exec", "h", "test", "-e", "/bad", rc=None).returncode == 0)
    assert "it is not running (state: stopping)" in pyman("healthcheck", "run", "h", rc=125).stderr
    time.sleep(0.5)  # twenty times as long as the check takes to fail
    assert (status(pyman), health(pyman)["FailingStreak"]) == ("healthy", 0)
    pyman("exec", "h", "touch", "/end")
    assert stopping.wait() == 0
    assert field(pyman, "h", "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}") == "exited 3 0"
    assert pyman("logs", "h").stdout == "saved\n"


def test_a_stop_that_was_given_up_lets_checks_go_on(pyman: Run, image: str, base: Path) -> None:
    """But not before the program has had its time to end."""
    script = "trap 'touch /bad' TERM; echo up; while :; do sleep 0.05; done"
    check = ("--health-cmd", "test ! -e /bad", "--health-interval", "20ms", "--health-retries", "1")
    start(pyman, image, *check, "--stop-timeout", "1", command=("sh", "-c", script))
    until(lambda: pyman("logs", "h").stdout == "up\n" and status(pyman) == "healthy")
    stopping = subprocess.Popen([*command(), "stop", "-t", "120", "h"], env=environment(base), stdout=subprocess.DEVNULL)
    until(lambda: pyman("exec", "h", "test", "-e", "/bad", rc=None).returncode == 0)
    time.sleep(0.1)  # five times as long as the check takes to fail
    stopping.kill()
    stopping.wait()
    given_up = time.time()
    until(lambda: status(pyman) == "unhealthy")
    assert moment(health(pyman)["Log"][-1]["End"]) > given_up


def test_a_changed_plan_answers_who_waits(pyman: Run, image: str, base: Path) -> None:
    start(pyman, image, *by_hand("touch /asked; while [ ! -e /go ]; do sleep 0.05; done"))
    asking = subprocess.Popen([*command(), "healthcheck", "run", "h"], env=environment(base), stdout=subprocess.PIPE)
    until(lambda: pyman("exec", "h", "test", "-e", "/asked", rc=None).returncode == 0)
    pyman("update", "--health-max-log-count", "9", "h")
    pyman("exec", "h", "touch", "/go")
    assert (asking.communicate()[0], asking.returncode) == (b"", 0) and status(pyman) == "healthy"


def test_changes_do_not_put_checks_off(pyman: Run, image: str) -> None:
    """However often the plan is changed: the interval is counted from the last check."""
    start(pyman, image, "--health-cmd", "true", "--health-interval", "2s")
    until(lambda: status(pyman) == "healthy")
    first = health(pyman)["Log"][0]["Start"]

    def again() -> bool:
        pyman("update", "--health-retries", "2", "h")
        return str(health(pyman)["Log"][-1]["Start"]) > first

    until(again)


def test_changes_let_a_check_come_to_its_end(pyman: Run, image: str) -> None:
    """However often the plan is changed meanwhile; the next one is by the new plan."""
    start(pyman, image, "--health-cmd", "echo old; sleep 2", "--health-interval", "10ms")
    outputs: list[str] = []

    def first() -> bool:
        pyman("update", "--health-cmd", "echo new", "h")
        outputs[:] = [entry["Output"] for entry in health(pyman)["Log"] or ()]
        return bool(outputs)

    until(first)
    assert outputs[0] == "old\n"
    until(lambda: health(pyman)["Log"][-1]["Output"] == "new\n")
    pyman("update", "--health-cmd", "sleep 600", "--health-interval", "10ms", "--health-timeout", "600s", "h")
    until(lambda: "sleep 600" in pyman("exec", "h", "ps").stdout.replace("sleep 600\n", "", 1))
    pyman("update", "--no-healthcheck", "h")
    until(lambda: pyman("exec", "h", "ps").stdout.count("sleep 600") == 1)


def test_ended_while_being_checked(pyman: Run, image: str) -> None:
    start(pyman, image, *by_hand("kill -9 1; sleep 60"), command=("sh", "-c", "trap 'exit 3' HUP; echo up; while :; do sleep 0.05; done"))
    until(lambda: pyman("logs", "h").stdout == "up\n")
    pid = int(field(pyman, "h", "{{.State.Pid}}"))
    start(pyman, image, *by_hand("sleep 60"), name="other")
    os.kill(pid, signal.SIGHUP)
    until(lambda: field(pyman, "h", "{{.State.Status}}") == "exited")
    pyman("rm", "-f", "-t", "0", "other")


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("CMD test -e  /ok", ["CMD", "test", "-e", "/ok"]),
        ("CMD-SHELL test -e /ok", ["CMD-SHELL", "test -e /ok"]),
        ("test -e /ok", ["CMD-SHELL", "test -e /ok"]),
        ('["test", "-e", "/ok"]', ["CMD", "test", "-e", "/ok"]),
        ("none", ["NONE"]),
    ],
)
def test_forms_of_the_command(pyman: Run, image: str, text: str, test: list[str]) -> None:
    pyman("create", "--name", "h", "--health-cmd", text, image, "true")
    assert json.loads(field(pyman, "h", "{{json .Config.Healthcheck.Test}}")) == test


def test_waiting_for_health(pyman: Run, image: str) -> None:
    start(pyman, image, "--health-cmd", "CMD test -e /ok", "--health-interval", "1s", "--health-retries", "1")
    assert pyman("wait", "--condition", "unhealthy", "h").stdout == "-1\n" and status(pyman) == "unhealthy"
    pyman("exec", "h", "touch", "/ok")
    assert pyman("wait", "--condition=healthy", "h").stdout == "-1\n" and status(pyman) == "healthy"
    pyman("stop", "-t", "0", "h")
    assert "it has ended with exit code 137" in pyman("wait", "--condition=unhealthy", "h", rc=125).stderr
    assert pyman("wait", "--condition=unhealthy", "--condition=exited", "h").stdout == "137\n"
    start(pyman, image, name="none")
    assert "it has no health check" in pyman("wait", "--condition=healthy", "none", rc=125).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--health-cmd", "x", "--health-retries", "0"), "from 1 on"),
        (("--health-cmd", "x", "--health-on-failure", "boo"), "none, kill, restart, stop"),
        (("--health-on-failure", "kill"), "no health check"),
        (("--health-startup-cmd", "x"), "comes before a health check"),
        (("--health-cmd", "x", "--no-healthcheck"), "together with --health-cmd"),
        (("--health-cmd", "x", "--health-interval", "often"), "not a duration"),
        (("--health-cmd", "x", "--health-timeout", "-3s"), "0 seconds or more"),
        (("--health-cmd", "x", "--health-log-destination", "/nosuch"), "neither local"),
        (("--health-cmd", "x", "--health-max-log-count", "-1"), "from 0 on"),
        (("--health-cmd", "x", "--health-timeout", "0s"), "fails always"),
        (("--health-cmd", "[]"), "names no command"),
        (("--health-cmd", "CMD "), "names no command"),
    ],
)
def test_refused(pyman: Run, image: str, options: tuple[str, ...], message: str) -> None:
    assert message in pyman("create", *options, image, "true", rc=125).stderr
    assert not pyman("ps", "-aq").stdout


def test_the_images_own(pyman: Run, variant: Any) -> None:  # noqa: F811
    second = 10**9
    check = {"Test": ["CMD-SHELL", "test -e /ok"], "Interval": 3600 * second, "Timeout": 5 * second, "StartPeriod": 0, "Retries": 1}
    pyman("pull", "-q", variant(inner(Healthcheck=check)))
    name = "localhost/variant"
    start(pyman, name)
    until(lambda: status(pyman) == "unhealthy")
    start(pyman, name, "--health-retries", "7", name="seven")
    assert json.loads(field(pyman, "seven", "{{json .Config.Healthcheck}}")) == {**{k: v for k, v in check.items() if v}, "Retries": 7}
    for option in ("--no-healthcheck", "--health-cmd=none"):
        start(pyman, name, option, name="off")
        assert "no health check" in pyman("healthcheck", "run", "off", rc=125).stderr
        assert "(" not in pyman("ps", "--filter", "name=off", "--format", "{{.Status}}").stdout
        pyman("rm", "-f", "-t", "0", "off")
    pyman("rm", "-fa", "-t", "0")
    pyman("rmi", name)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("curl", "not an object"),
        ({"Test": "CMD true"}, "not a list of strings"),
        ({"Test": ["CMD", 1]}, "not a list of strings"),
        ({"Test": ["CMD"]}, "does not begin"),
        ({"Test": ["RUN", "true"]}, "does not begin"),
        ({"Test": ["CMD", "a\0b"]}, "NUL"),
        ({"Test": ["CMD-SHELL", "echo \ud83d"]}, "half of a surrogate pair"),
        ({"Test": ["CMD", *["x"] * 5000]}, "too long"),
        ({"Test": ["CMD", "x" * 200_000]}, "too long"),
        ({"Test": ["CMD", "true"], "Interval": "1s"}, "Interval"),
        ({"Test": ["CMD", "true"], "Timeout": -1}, "Timeout"),
        ({"Test": ["CMD", "true"], "Retries": 1 << 40}, "Retries"),
        ({"Test": ["CMD", "true"], "StartPeriod": True}, "StartPeriod"),
    ],
)
def test_hostile_images(pyman: Run, variant: Any, value: Any, message: str) -> None:  # noqa: F811
    pyman("pull", "-q", variant(inner(Healthcheck=value)))
    done = pyman("create", "--name", "h", "localhost/variant", "true", rc=125)
    assert "HEALTHCHECK" in done.stderr and message in done.stderr and "--no-healthcheck" in done.stderr
    pyman("run", "--rm", "--network", "none", "--no-healthcheck", "localhost/variant", "true")
    pyman("rmi", "localhost/variant")
