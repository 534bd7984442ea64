"""Bad input gives one clear error and leaves nothing; kill -9 anywhere leaves a store that the next command works on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from pyman.cli import table
from tests.conftest import Run, command, environment, until


@pytest.mark.parametrize(
    "args, word",
    [
        (("run", "unknown-image-name"), "cannot find out where to pull"),
        (("run", "--nope", "x"), "unknown option --nope"),
        (("rnu",), "did you mean run"),
        (("run", "--rdt-class", "x", "demo"), "it needs privileges"),
        (("run", "--network", "no-such-network", "demo"), "no-such-network"),
        (("run", "-v", "/nosuch:/x", "demo"), "no such file or directory"),
        (("run", "-v", "rel:rel", "demo"), "not absolute"),
        (("run", "-p", "99999:1", "demo"), "outside 1-65535"),
        (("run", "--cap-add", "NOPE", "demo"), "unknown capability"),
        (("run", "--userns", "odd", "demo"), "invalid value"),
        (("run", "--pull", "never", "localhost/none"), "no image"),
        (("exec", "nope", "true"), "no container"),
        (("pull", "oci:/nosuch"), "No such file"),
        (("pull", "127.0.0.1:1/x/y"), "cannot be reached"),
        (("pull", "UPPER/case"), "lower case"),
        (("--nope", "ps"), "hint: pyman --help"),
        (("create", "--cidfile", "/nosuch/id", "demo"), "cannot write container id file /nosuch/id"),
        (("run", "--rm", "--runtime", "/etc/passwd", "demo"), "no program that you may execute"),
        (("run", "-v", "/proc/1/root/x:/x", "demo"), "Permission denied"),
        (("stop", "--all", "--latest"), "--all together with --latest"),
    ],
)
def test_errors_say_what_and_why(pyman: Run, image: str, args: tuple[str, ...], word: str) -> None:
    done = pyman(*args, rc=None)
    assert done.returncode in (125, 1) and word in done.stderr and "Traceback" not in done.stderr
    assert pyman("ps", "-aq").stdout == ""


def test_no_argument_where_one_is_needed(pyman: Run) -> None:
    """Every command whose first argument is no option of the user's says so."""
    for path, given in table.everything().items():
        if given.arguments and not given.arguments.startswith("["):
            done = pyman(*path, rc=None)
            assert done.returncode == 125 and done.stderr.startswith("Error: "), (path, done)


@pytest.mark.parametrize("mode", ["none", "host"])
def test_ports_that_cannot_be_published_are_told(pyman: Run, image: str, mode: str) -> None:
    done = pyman("run", "--rm", "--network", mode, "-p", "18080:80", image, "echo", "ran")
    assert done.stdout == "ran\n" and f"no port is published: the network mode {mode} has none" in done.stderr


def test_configuration_errors_name_line_and_key(pyman: Run, base: Path) -> None:
    path = base / "bad.toml"
    path.write_text("[engine]\n\nstop_timout = 3\n")
    done = pyman("ps", rc=None, env={"PYMAN_CONF": str(path)})
    done = pyman("info", rc=125, env={"PYMAN_CONF": str(path)})
    assert f"{path}:3" in done.stderr and "did you mean stop_timeout" in done.stderr


@pytest.mark.parametrize("moment", range(0, 60, 6))
def test_kill_9_of_run_leaves_a_working_store(pyman: Run, image: str, base: Path, moment: int) -> None:
    """Killed after `moment` milliseconds: from the parser to the running container."""
    child = subprocess.Popen(
        [*command(), "run", "--rm", "--network", "none", image, "sleep", "0.3"],
        env=environment(base),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        child.wait(timeout=moment / 1000)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGKILL)
    child.wait()
    assert pyman("run", "--rm", "--network", "none", image, "echo", "fine").stdout == "fine\n"
    run_dir = base / "run/pyman/containers"
    until(lambda: not pyman("ps", "-aq").stdout and not os.listdir(run_dir), "a container was left behind")


@pytest.mark.parametrize("moment", range(20, 320, 60))
def test_kill_9_of_pull_leaves_a_working_store(pyman: Run, layout: str, base: Path, moment: int) -> None:
    env = {"PYMAN_GRAPHROOT": str(base / "killed")}
    child = subprocess.Popen(
        [*command(), "pull", "-q", f"oci:{layout}:latest"],
        env=environment(base, **env),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        child.wait(timeout=moment / 1000)
    except subprocess.TimeoutExpired:
        child.kill()
    child.wait()
    pyman("pull", "-q", f"oci:{layout}:latest", env=env)

    def swept() -> bool:
        """(The workers of a killed command hold what they write to until they have ended themselves.)"""
        pyman("image", "prune", "-f", env=env)
        return not os.listdir(base / "killed/tmp")

    until(swept)
    assert pyman("run", "--rm", "--network", "none", "demo", "echo", "fine", env=env).stdout == "fine\n"
    shutil.rmtree(base / "killed")


def test_wiped_runtime_directory(pyman: Run, image: str, base: Path) -> None:
    pyman("run", "-d", "--name", "w", "--network", "none", image, "sleep", "600")
    session = pyman("exec", "-d", "w", "sleep", "601").stdout.strip()
    shutil.rmtree(base / "run/pyman")
    assert pyman("ps", "--format", "{{.Names}} {{.State}}").stdout == "w running\n"
    assert pyman("inspect", "w", "--format", '{{join .ExecIDs ","}}').stdout == f"{session}\n"
    assert pyman("exec", "w", "echo", "alive").stdout == "alive\n"
    pyman("stop", "-t", "0", "w")
    assert "Exited (137)" in pyman("ps", "-a").stdout


def test_killed_monitor_and_init_are_noticed(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "m", "--network", "none", image, "sleep", "600")
    pids = pyman("inspect", "m", "--format", "{{.State.ConmonPid}} {{.State.Pid}}").stdout.split()
    pyman("unshare", "kill", "-9", *pids, rc=None)  # init dies with its monitor: it may be gone when its turn comes
    until(lambda: "Exited" in pyman("ps", "-a").stdout)
    assert "Exited (137)" in pyman("ps", "-a").stdout
    pyman("start", "m")
    pyman("rm", "-f", "-t", "0", "m")


def test_fifty_parallel_runs_leave_nothing(base: Path, pyman: Run, image: str) -> None:
    env = environment(base)
    children = [
        subprocess.Popen(
            [*command(), "run", "--rm", "--network", "none", image, "echo", str(n)], env=env, stdout=subprocess.PIPE, text=True
        )
        for n in range(50)
    ]
    outputs = sorted(int(child.communicate(timeout=600)[0]) for child in children)
    assert outputs == list(range(50)) and all(child.returncode == 0 for child in children)
    assert pyman("ps", "-aq").stdout == ""
    for path in (
        "run/pyman/containers",
        "home/.local/share/pyman/containers",
        "home/.local/share/pyman/names",
        "home/.local/share/pyman/trash",
    ):
        assert not os.listdir(base / path), path
    with open("/proc/self/mountinfo") as mounts:
        assert str(base) not in mounts.read()
