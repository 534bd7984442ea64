"""update: what is changed takes effect at once where it can, is kept for later starts, and is shown by inspect."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pyman import stages
from tests.conftest import Run, command, environment
from tests.integration.test_health import health, status
from tests.integration.test_restart_policies import field, until


@pytest.fixture
def running(pyman: Run, image: str) -> str:
    pyman(
        "run",
        "-d",
        "--name",
        "u",
        "--network",
        "none",
        "-e",
        "A=1",
        "-e",
        "B=2",
        image,
        "sh",
        "-c",
        "env >&2; ulimit -n >&2; exec sleep 600",
    )
    return field(pyman, "u", "{{.Id}}")


def restart(pyman: Run) -> str:
    """Start it again; what its first process wrote."""
    pyman("stop", "-t", "0", "u")
    before = len(pyman("logs", "u").stderr)
    pyman("start", "u")
    until(lambda: len(pyman("logs", "u").stderr) > before and pyman("logs", "u").stderr.splitlines()[-1].isdigit())
    return pyman("logs", "u").stderr[before:]


def test_environment_and_ulimits(pyman: Run, running: str) -> None:
    done = pyman(
        "update", "-e", "B=new value", "--env", "FROM_HOST", "--unsetenv", "A", "--ulimit", "nofile=333:333", "u", env={"FROM_HOST": "x"}
    )
    assert done.stdout == running + "\n"
    now = pyman("exec", "u", "env").stdout.splitlines()
    assert "B=new value" in now and "FROM_HOST=x" in now and not [line for line in now if line.startswith("A=")]
    shown = json.loads(field(pyman, "u", "{{json .Config.Env}}"))
    assert "B=new value" in shown and "A=1" not in shown
    later = restart(pyman).splitlines()
    assert "B=new value" in later and "FROM_HOST=x" in later and "A=1" not in later and later[-1] == "333"
    pyman("update", "--env", "A=again", "--unsetenv", "B", "u")
    later = restart(pyman).splitlines()
    assert "A=again" in later and not [line for line in later if line.startswith("B=")] and later[-1] == "333"
    seen = pyman("events", "--stream=false", "--filter", f"container={running}", "--filter", "event=update").stdout.splitlines()
    assert len(seen) == 2


def test_limits(pyman: Run, running: str, own: Path) -> None:
    place = own / "runner" / f"pyman-{running}"
    place = place if place.exists() else own / f"pyman-{running}"
    # The tests' own group has processes in it, so it gives no controllers to its children: said, and nothing is changed.
    refused = pyman("update", "--cgroup-conf", "hugetlb.2MB.max=4194304", "u", rc=125).stderr
    assert "hugetlb" in refused and "start it again" in refused
    assert field(pyman, "u", "{{json .HostConfig.CgroupConf}}") == "null"
    pyman("stop", "-t", "0", "u")
    pyman("update", "--cgroup-conf", "hugetlb.2MB.max=4194304", "u")
    pyman("start", "u")
    limited = own / f"pyman-{running}"
    assert (limited / "hugetlb.2MB.max").read_text() == "4194304\n"
    pyman("update", "--cgroup-conf", "hugetlb.2MB.max=8388608", "u")
    assert (limited / "hugetlb.2MB.max").read_text() == "8388608\n"
    assert field(pyman, "u", "{{json .HostConfig.CgroupConf}}") == '{"hugetlb.2MB.max":"8388608"}'
    pyman("stop", "-t", "0", "u")
    pyman("start", "u")
    assert (limited / "hugetlb.2MB.max").read_text() == "8388608\n"
    pyman("rm", "-f", "-t", "0", "u")


def test_limits_before_the_first_start(pyman: Run, image: str) -> None:
    pyman("create", "--name", "u", "--cpu-quota", "50000", image, "true")
    options = ("--memory", "64m", "--cpus", "1.5", "--pids-limit", "42", "--cpu-shares", "512", "--cpuset-cpus", "0")
    pyman("update", *options, "u")
    found = json.loads(field(pyman, "u", "{{json .HostConfig}}"))
    got = {key: found[key] for key in ("Memory", "MemorySwap", "NanoCpus", "CpuQuota", "CpuPeriod", "PidsLimit", "CpuShares", "CpusetCpus")}
    expected = (64 << 20, 128 << 20, 1_500_000_000, 150000, 100000, 42, 512, "0")
    assert tuple(got.values()) == expected
    pyman("update", "--cpu-quota", "20000", "u")
    found = json.loads(field(pyman, "u", "{{json .HostConfig}}"))
    assert (found["NanoCpus"], found["CpuQuota"], found["Memory"]) == (0, 20000, 64 << 20)


def test_restart_policy(pyman: Run, running: str) -> None:
    pyman("update", "--restart", "on-failure:3", "u")
    assert json.loads(field(pyman, "u", "{{json .HostConfig.RestartPolicy}}")) == {"Name": "on-failure", "MaximumRetryCount": 3}
    os.kill(int(field(pyman, "u", "{{.State.Pid}}")), 9)
    until(lambda: field(pyman, "u", "{{.RestartCount}} {{.State.Status}}") == "1 running")
    pyman("update", "--restart", "no", "u")
    os.kill(int(field(pyman, "u", "{{.State.Pid}}")), 9)
    until(lambda: field(pyman, "u", "{{.State.Status}} {{.State.Restarting}}") == "exited false")


def test_health_checks(pyman: Run, running: str) -> None:
    pyman("update", "--health-cmd", "true", running)
    pyman("update", "--health-cmd", "none", running)
    assert pyman("inspect", "--format", "{{.Config.Healthcheck.Test}}", running).stdout == "[NONE]\n"
    pyman("update", "--no-healthcheck", running)
    assert "it has none" in pyman("update", "--health-interval", "1s", "u", rc=125).stderr
    pyman("update", "--health-cmd", "test -e /ok", "--health-interval", "50ms", "--health-retries", "1", "u")
    until(lambda: status(pyman, "u") == "unhealthy")
    pyman("exec", "u", "touch", "/ok")
    until(lambda: status(pyman, "u") == "healthy")
    pyman("update", "--health-cmd", "echo $B; false", "--health-interval", "disable", "u")
    assert pyman("healthcheck", "run", "u", rc=1).stdout == "unhealthy\n"
    assert health(pyman, "u")["Log"][-1]["Output"] == "2\n"
    pyman("update", "--env", "B=3", "u")
    pyman("healthcheck", "run", "u", rc=1)
    assert health(pyman, "u")["Log"][-1]["Output"] == "3\n"
    pyman("update", "--health-on-failure", "kill", "u")
    pyman("healthcheck", "run", "u", rc=1)
    until(lambda: field(pyman, "u", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137")
    pyman("update", "--no-healthcheck", "u")
    pyman("start", "u")
    assert "no health check" in pyman("healthcheck", "run", "u", rc=125).stderr
    assert pyman("ps", "--format", "{{.Status}}").stdout.strip()[-1] != ")"
    pyman("update", "--health-cmd", "true", "u")
    pyman("healthcheck", "run", "u")
    assert status(pyman, "u") == "healthy"
    pyman("update", "--no-healthcheck", "u")
    assert "Health" not in json.loads(field(pyman, "u", "{{json .State}}"))
    assert json.loads(field(pyman, "u", "{{json .Config.Healthcheck}}"))["Test"] == ["NONE"]
    for option in ("--health-retries", "--health-max-log-count"):
        assert "it has none" in pyman("update", option, "0", "u", rc=125).stderr  # and it is not kept for the next check
    pyman("update", "--health-cmd", "true", "--health-startup-cmd", "true", "u")
    pyman("update", "--no-healthcheck", "u")  # the startup check goes with it
    assert json.loads(field(pyman, "u", "{{json .Config.StartupHealthCheck}}")) is None
    pyman("update", "--health-cmd", "true", "u")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--restart", "sometimes"), "no, on-failure[:N], always"),
        (("--memory", "much"), "must be a size"),
        (("--cpus", "0.001"), "at least 0.01"),
        (("--ulimit", "nofile"), "NAME=SOFT"),
        (("--env", "=x"), "its name is empty"),
        (("--health-cmd", "x", "--no-healthcheck"), "together with --health-cmd"),
        (("--memory-swappiness", "3"), "swappiness"),
        (("--latest",), "together with a name"),
    ],
)
def test_refused(pyman: Run, running: str, options: tuple[str, ...], message: str) -> None:
    before = field(pyman, "u", "{{json .}}")
    assert message in pyman("update", *options, "u", rc=125).stderr
    assert field(pyman, "u", "{{json .}}") == before


def test_who(pyman: Run, running: str) -> None:
    assert "no container" in pyman("update", "--restart", "no", "nosuch", rc=125).stderr
    assert "no container given" in pyman("update", rc=125).stderr
    assert pyman("container", "update", "--latest").stdout == running + "\n"


@pytest.mark.parametrize("stage", stages.UPDATE)
def test_kill(pyman: Run, running: str, base: Path, stage: str) -> None:
    argv = [*command(), "update", "--health-cmd", "true", "--health-interval", "disable", "--env", "A=2", "u"]
    done: Any = subprocess.run(argv, env=environment(base, PYMAN_KILL_AT=stage), check=False, timeout=300)
    assert done.returncode == -9
    assert pyman("ps", "--format", "{{.Names}}").stdout == "u\n"
    pyman("update", "--health-cmd", "true", "--health-interval", "disable", "--env", "A=2", "u")
    pyman("healthcheck", "run", "u")
    assert "A=2" in pyman("exec", "u", "env").stdout


@pytest.mark.parametrize("swap", [[], ["--memory-swap", "200m"], ["--memory-swap", "-1"]])
def test_swap_follows_the_memory(pyman: Run, image: str, swap: list[str]) -> None:
    """As with Podman: who gives the memory alone gives as much swap again, whatever was before."""
    pyman("create", "--name", "u", "--network", "none", "--memory", "100m", *swap, image, "true")
    for words, expected in (
        (["--memory", "300m"], "314572800 629145600"),
        (["--memory", "400m", "--memory-swap", "500m"], "419430400 524288000"),
    ):
        pyman("update", *words, "u")
        assert field(pyman, "u", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}") == expected
    pyman("update", "--cpu-shares", "9", "u")
    assert field(pyman, "u", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}") == expected
    pyman("rm", "u")
