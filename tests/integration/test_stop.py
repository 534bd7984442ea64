"""stop: who heeds the signal and who cannot, and many at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment
from tests.integration.test_restart_policies import field, until

LOOP = "while :; do sleep 0.02; done"


def start(pyman: Run, image: str, *command: str, name: str = "s", options: tuple[str, ...] = ()) -> None:
    pyman("run", "-d", "--name", name, "--network", "none", *options, image, *command)


def test_a_process_without_a_handler(pyman: Run, image: str) -> None:
    start(pyman, image, "sleep", "600", options=("--stop-timeout", "600"))
    done = pyman("stop", "--stop-smart", "s")
    assert (done.stdout, done.stderr) == ("s\n", "")
    assert "it has no handler for SIGTERM, and --stop-smart does not wait" in pyman("why", "s").stdout
    assert field(pyman, "s", "{{.State.ExitCode}}") == "137"
    pyman("start", "s")
    done = pyman("stop", "-t", "1", "s")
    assert done.stdout == "s\n" and "no handler for SIGTERM" in done.stderr and "after 1 second (" in done.stderr
    pyman("start", "s")
    assert pyman("stop", "-t", "0", "s").stderr == ""
    pyman("run", "-d", "--name", "k", "--network", "none", "--stop-signal", "KILL", image, "sleep", "600")
    assert pyman("stop", "k").stderr == "" and field(pyman, "k", "{{.State.ExitCode}}") == "137"


@pytest.mark.parametrize("options", [(), ("--stop-smart",)])
@pytest.mark.parametrize(
    ("command", "more", "code"),
    [
        (("sh", "-c", f"trap 'exit 7' TERM; echo up; {LOOP}"), (), "7"),
        (("sh", "-c", f"trap 'exit 8' USR1; echo up; {LOOP}"), ("--stop-signal", "USR1"), "8"),
        # Without a pid namespace of its own it is no first process: the default action ends it.
        (("sh", "-c", "echo up; exec sleep 600"), ("--pid", "host"), "143"),
        # An init program blocks the signal and waits for it.
        (("sh", "-c", "echo up; exec sleep 600"), ("--init",), "143"),
    ],
)
def test_who_heeds_it(pyman: Run, image: str, command: tuple[str, ...], more: tuple[str, ...], code: str, options: tuple[str, ...]) -> None:
    start(pyman, image, *command, options=more)
    until(lambda: pyman("logs", "s").stdout == "up\n")
    pid = field(pyman, "s", "{{.State.Pid}}")
    if "exec" in command[-1]:
        until(lambda: "init" in Path(f"/proc/{pid}/cmdline").read_text() or "sleep\0" in Path(f"/proc/{pid}/cmdline").read_text())
    done = pyman("stop", "-t", "60", *options, "s")
    assert (done.stdout, done.stderr) == ("s\n", "")
    assert field(pyman, "s", "{{.State.ExitCode}}") == code


@pytest.mark.parametrize("words", [("stop", "-t", "1", "s"), ("rm", "-f", "-t", "0", "s")])
def test_a_stopped_monitor_goes_on(pyman: Run, image: str, words: tuple[str, ...]) -> None:
    """SIGSTOP to the monitor: nobody would ever record the end."""
    start(pyman, image, "sh", "-c", "trap 'exit 4' TERM; " + LOOP)
    os.kill(int(field(pyman, "s", "{{.State.ConmonPid}}")), signal.SIGSTOP)
    assert pyman(*words).stdout == "s\n"
    if words[0] == "stop":
        assert field(pyman, "s", "{{.State.Status}}") == "exited"
        pyman("rm", "s")
    assert not pyman("ps", "-aq").stdout


def test_the_key_of_the_configuration(pyman: Run, image: str, base: Path) -> None:
    conf = base / "smart.toml"
    conf.write_text("[engine]\nstop_smart = true\n")
    start(pyman, image, "sleep", "600", options=("--stop-timeout", "600"))
    assert pyman("stop", "s", env={"PYMAN_CONF": str(conf)}).stderr == ""


def test_many_at_the_same_time(pyman: Run, image: str) -> None:
    """Each ends only when all have got their signal: none was waited for before the next one got its own."""
    names = [f"s{number}" for number in range(20)]
    meet = f"trap 'touch /met/$HOSTNAME; until [ $(ls /met | wc -l) = 20 ]; do sleep 0.1; done; exit 3' TERM; echo up; {LOOP}"
    for name in names:
        start(pyman, image, "sh", "-c", meet, name=name, options=("-v", "met:/met", "-h", name))
    until(lambda: all(pyman("logs", name).stdout == "up\n" for name in names))
    done = pyman("stop", "-t", "600", "--ignore", *names[:5], "nosuch", *names[5:])
    assert done.stdout.split() == names, "reported in order"
    assert {field(pyman, name, "{{.State.ExitCode}}") for name in names} == {"3"}
    pyman("rm", *names)
    pyman("volume", "rm", "met")


def test_the_name_of_a_removed_container_is_free(pyman: Run, image: str, base: Path) -> None:
    """stop returns when a container of --rm has gone, not earlier: scripts start the next one with the same name at once."""
    for _ in range(5):
        start(pyman, image, "sleep", "600", options=("--rm", "-v", "/anonymous"))
        assert pyman("stop", "-t", "0", "s").stdout == "s\n"
        assert not (base / "home/.local/share/pyman/names/s").exists()
    assert pyman("ps", "-aq").stdout == pyman("volume", "ls", "-q").stdout == ""


@contextlib.contextmanager
def under_way(pyman: Run, image: str, base: Path, *words: str, options: tuple[str, ...] = ()) -> Iterator[subprocess.Popen[str]]:
    """A container that goes on after its stop signal, and a command that waits for its end, for ten minutes if need be."""
    start(pyman, image, "sh", "-c", f"trap 'echo heard' TERM; echo up; {LOOP}", options=options)
    until(lambda: "up" in pyman("logs", "s").stdout)
    argv = [*command(), *words, "s"]
    with subprocess.Popen(argv, env=environment(base), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        until(lambda: "heard" in pyman("logs", "s").stdout)
        yield waiting
        out, err = waiting.communicate(timeout=300)
        assert (waiting.returncode, out, err) == (0, "s\n", "")


@pytest.mark.parametrize("wait", [("stop", "-t", "600"), ("rm", "-f", "-t", "600"), ("stop", "-t", "-1")])
@pytest.mark.parametrize("words", [("kill",), ("stop", "-t", "0"), ("rm", "-f", "-t", "0")])
def test_who_cannot_wait_any_more(pyman: Run, image: str, base: Path, wait: tuple[str, ...], words: tuple[str, ...]) -> None:
    """A stop that takes long does not keep another command from ending the container at once."""
    with under_way(pyman, image, base, *wait):
        assert field(pyman, "s", "{{.State.Status}}") == "stopping"
        assert pyman(*words, "s").stdout == "s\n"
    if "rm" in (wait[0], words[0]):
        assert not pyman("ps", "-aq").stdout
        return
    assert field(pyman, "s", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137"
    told = pyman("why", "s").stdout
    assert ("pyman kill" if words[0] == "kill" else "SIGKILL") in told, told
    pyman("rm", "s")


def test_what_others_do_meanwhile(pyman: Run, image: str, base: Path) -> None:
    """What runs can be used while a stop waits for its end; who restarts it has the last word."""
    with under_way(pyman, image, base, "stop", "-t", "600", options=("--restart", "always")):
        pyman("rename", "s", "other")
        pyman("update", "--restart", "no", "other")
        assert pyman("exec", "other", "echo", "in").stdout == "in\n"
        pyman("pause", "other")
        pyman("unpause", "other")
        pyman("rename", "other", "s")
        assert pyman("restart", "-t", "0", "s").stdout == "s\n"
    assert field(pyman, "s", "{{.State.Status}}") == "running"
    pyman("rm", "-f", "-t", "0", "s")


@pytest.mark.parametrize("words", [("start", "s"), ("start", "--all"), ("start", "-a", "s"), ("start", "needs")])
@pytest.mark.parametrize("wait", [("stop", "-t", "600"), ("stop", "-t", "-1")])
def test_a_start_waits_for_the_stop(pyman: Run, image: str, base: Path, wait: tuple[str, ...], words: tuple[str, ...]) -> None:
    """What it says to be started runs: not one that is about to end."""
    with under_way(pyman, image, base, *wait):
        if "needs" in words:
            pyman("create", "--name", "needs", "--network", "none", "--requires", "s", image, "sleep", "600")
        argv = [*command(), *words]
        with subprocess.Popen(argv, env=environment(base), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as starting:
            assert starting.stderr and "s is being stopped" in starting.stderr.readline()
            pyman("kill", "s")
            until(lambda: pyman("logs", "s").stdout.count("up\n") == 2)
            if "-a" in words:
                pyman("kill", "s")
            out, err = starting.communicate(timeout=300)
            assert (starting.returncode, err) == (137 if "-a" in words else 0, "")
            assert {"-a": "up\n", "--all": field(pyman, "s", "{{.Id}}"), "s": "s\n", "needs": "needs\n"}[words[1]] in out
    assert field(pyman, "s", "{{.State.Status}}") == ("exited" if "-a" in words else "running")
    pyman("rm", "-f", "-t", "0", "--depend", "s")


def test_a_start_after_a_killed_stop(pyman: Run, image: str, base: Path) -> None:
    """Nobody waits for a stop that is no more: the container runs on."""
    start(pyman, image, "sh", "-c", f"trap 'echo heard' TERM; echo up; {LOOP}")
    until(lambda: "up" in pyman("logs", "s").stdout)
    with subprocess.Popen([*command(), "stop", "-t", "-1", "s"], env=environment(base), stderr=subprocess.DEVNULL) as waiting:
        until(lambda: "heard" in pyman("logs", "s").stdout)
        with subprocess.Popen(
            [*command(), "start", "s"], env=environment(base), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as starting:
            assert starting.stderr and b"s is being stopped" in starting.stderr.readline()
            waiting.kill()
            assert starting.communicate(timeout=300) == (b"s\n", b"")
    done = pyman("start", "s")
    assert (done.stdout, done.stderr) == ("s\n", "")
    assert pyman("logs", "s").stdout == "up\nheard\n"
    pyman("rm", "-f", "-t", "0", "s")


def test_a_start_of_what_is_being_removed(pyman: Run, image: str, base: Path) -> None:
    with under_way(pyman, image, base, "rm", "-f", "-t", "600"):
        with subprocess.Popen([*command(), "start", "s"], env=environment(base), stderr=subprocess.PIPE, text=True) as starting:
            assert starting.stderr and "s is being stopped" in starting.stderr.readline()
            pyman("kill", "s")
            assert "it was removed meanwhile" in starting.communicate(timeout=300)[1] and starting.returncode == 125


def test_a_container_that_goes_away_with_its_end(pyman: Run, image: str, base: Path) -> None:
    with under_way(pyman, image, base, "stop", "-t", "600", options=("--rm", "-v", "/anonymous")):
        pyman("kill", "s")
    assert pyman("ps", "-aq").stdout == pyman("volume", "ls", "-q").stdout == ""


def locked(place: Path) -> bool:
    fd = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def test_an_end_that_others_hold_up(pyman: Run, image: str, base: Path) -> None:
    """Its first process has heeded the signal, also if it is killed in the end, since somebody in its pid namespace was not reaped."""
    start(pyman, image, "sh", "-c", "trap 'exit 5' TERM; " + LOOP)
    pid, container_id = field(pyman, "s", "{{.State.Pid}} {{.Id}}").split()
    place = base / "home/.local/share/pyman/containers" / container_id
    with subprocess.Popen(["nsenter", "--user", "--pid", "--preserve-credentials", "--target", pid, "sleep", "600"]) as holder:
        until(lambda: Path(f"/proc/{holder.pid}/task/{holder.pid}/children").read_text())  # nsenter is the parent, outside
        holder.send_signal(signal.SIGSTOP)
        with subprocess.Popen([*command(), "stop", "-t", "1", "s"], env=environment(base)) as stopping:
            until(
                lambda: "State:\tS" in Path(f"/proc/{pid}/status").read_text() and not Path(f"/proc/{pid}/exe").exists(), "it does not end"
            )
            until(lambda: locked(place), "it was not killed")  # that is done under its lock
            holder.send_signal(signal.SIGCONT)
        assert stopping.returncode == 0
        holder.wait()
    assert field(pyman, "s", "{{.State.ExitCode}}") == "5"
    assert "heeded SIGTERM and ended with exit code 5" in pyman("why", "s").stdout
    pyman("rm", "s")


def test_others_see_that_it_is_being_stopped(pyman: Run, image: str, base: Path) -> None:
    """As long as somebody waits for its end; as with Podman it counts as running no more."""
    start(pyman, image, "sh", "-c", f"trap : TERM; echo up; {LOOP}")
    until(lambda: pyman("logs", "s").stdout == "up\n")
    for ends in (signal.SIGKILL, signal.SIGINT):
        assert field(pyman, "s", "{{.State.Status}} {{.State.Running}} {{.State.StoppedByUser}}") == "running true false"
        with subprocess.Popen([*command(), "stop", "-t", "-1", "s"], env=environment(base), stderr=subprocess.DEVNULL) as stopping:
            until(lambda: field(pyman, "s", "{{.State.Status}} {{.State.Running}} {{.State.StoppedByUser}}") == "stopping false true")
            assert pyman("ps", "-a", "--format", "{{.Names}} {{.Status}} {{.State}}").stdout == "s Stopping stopping\n"
            assert json.loads(pyman("ps", "-a", "--format", "json").stdout)[0]["State"] == "stopping"
            assert pyman("ps", "-q").stdout == pyman("ps", "-q", "--filter", "status=running").stdout == ""
            assert pyman("ps", "--filter", "status=stopping", "--format", "{{.Names}}").stdout == "s\n"
            stopping.send_signal(ends)
        assert pyman("ps", "--format", "{{.Names}} {{.State}}").stdout == "s running\n"
    with subprocess.Popen([*command(), "stop", "-t", "-1", "s"], env=environment(base), stdout=subprocess.DEVNULL) as stopping:
        until(lambda: field(pyman, "s", "{{.State.Status}}") == "stopping")
        pyman("kill", "s")
    assert stopping.returncode == 0 and field(pyman, "s", "{{.State.Status}} {{.State.StoppedByUser}}") == "exited true"
    pyman("rm", "s")


THREADS = r"""
#include <pthread.h>
#include <unistd.h>
static void *live(void *unused) { (void)unused; for (;;) pause(); }
int main(void) { pthread_t thread; pthread_create(&thread, 0, live, 0); pthread_exit(0); }
"""


@pytest.mark.parametrize("words", [("kill",), ("stop", "-t", "1"), ("rm", "-f", "-t", "0"), ("restart", "-t", "0")])
def test_what_lives_on_in_other_threads_is_ended(pyman: Run, image: str, tmp_path: Path, words: tuple[str, ...]) -> None:
    """The main thread of the first process has ended: it is a zombie by its name, and runs all the same."""
    (tmp_path / "live.c").write_text(THREADS)
    subprocess.run(["cc", "-static", "-pthread", "-o", tmp_path / "live", tmp_path / "live.c"], check=True)
    pyman("run", "-d", "--name", "lives", "--network", "none", "-v", f"{tmp_path}/live:/live:ro", image, "/live")
    pid = int(pyman("inspect", "-f", "{{.State.Pid}}", "lives").stdout)
    until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
    assert pyman("ps", "--format", "{{.Names}}").stdout == "lives\n"
    pyman(*words, "lives", timeout=60)
    if words[0] == "restart":
        assert int(pyman("inspect", "-f", "{{.State.Pid}}", "lives").stdout) not in (0, pid)
        pyman("rm", "-f", "-t", "0", "lives")
    elif words[0] != "rm":
        assert pyman("wait", "lives", timeout=60).stdout == "137\n"
        pyman("rm", "lives")
    until(lambda: not Path(f"/proc/{pid}").exists())
