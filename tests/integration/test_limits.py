"""Limits of control groups for run and create: what the kernel's files say, and what is said where they cannot be set."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from pyman.runtime import cgroup
from tests.conftest import Run, command, environment, until

NONE = ("--rm", "--network", "none")
HUGE = "hugetlb.2MB.max=4194304"


def groups(own: Path) -> set[str]:
    """The control groups of containers below the tests' own (which come and go while they are listed)."""
    return {os.path.basename(place) for place, _, _ in os.walk(own) if os.path.basename(place).startswith("pyman-")}


@pytest.mark.parametrize("runtime", ["", "crun", "runc"])
def test_a_limit_is_in_the_kernels_file_and_goes_with_the_container(pyman: Run, image: str, own: Path, runtime: str) -> None:
    made = pyman("run", "-d", "--runtime", runtime, "--network", "none", "--cgroup-conf", HUGE, image, "sleep", "600").stdout.strip()
    place = own / f"pyman-{made}"
    assert (place / "hugetlb.2MB.max").read_text() == "4194304\n"
    pid = pyman("inspect", "--format", "{{.State.Pid}}", made).stdout.strip()
    assert f"/pyman-{made}\n" in Path(f"/proc/{pid}/cgroup").read_text()
    assert pyman("inspect", "--format", "{{.State.CgroupPath}} {{json .HostConfig.CgroupConf}}", made).stdout.split(" ", 1) == [
        str(place).removeprefix("/sys/fs/cgroup").removeprefix("/unified"),
        '{"hugetlb.2MB.max":"4194304"}\n',
    ]
    pyman("stop", "-t", "0", made)
    pyman("rm", made)
    assert not place.exists()


def test_the_container_sees_itself_at_the_top_of_its_own_group(pyman: Run, image: str, own: Path) -> None:
    out = pyman("run", *NONE, image, "sh", "-c", "grep ^0:: /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs").stdout.split()
    assert out[0] == "0::/" and "1" in out[1:]
    assert groups(own) == set()


def test_init_is_born_in_its_group(pyman: Run, image: str, own: Path, base: Path) -> None:
    """No process is moved: a move stops every fork of the machine for a moment."""
    log = base / "group.strace"
    alive = pyman("run", "-d", "--network", "none", image, "sleep", "600").stdout.strip()  # its user namespace is joined: a traced
    # newuidmap has no privileges
    argv = ["strace", "-f", "-e", "trace=clone3,openat,write", "-o", str(log), *command(), "run", *NONE, image, "true"]
    subprocess.run(argv, env=environment(base), check=True, stdin=subprocess.DEVNULL)
    pyman("rm", "-f", "-t", "0", alive)
    text = log.read_text()
    assert "CLONE_INTO_CGROUP" in text and "cgroup.procs" not in text


def test_a_controller_that_is_not_delegated_is_named_with_what_mends_it(pyman: Run, image: str, own: Path) -> None:
    failed = pyman("run", *NONE, "--memory", "64m", image, "true", rc=126).stderr
    assert "memory.max=67108864" in failed and "the controller memory is not available" in failed
    # Where systemd runs, but no manager of the user's, that is what to mend.
    assert ("/etc/systemd/system/user@.service.d/delegate.conf" in failed and "Delegate=" in failed) or "enable-linger" in failed
    done = pyman("run", *NONE, "--memory", "64m", "--limits", "best-effort", image, "echo", "goes on")
    assert done.stdout == "goes on\n" and "memory.max=67108864 was left out" in done.stderr
    weight = ("--blkio-weight", "100")  # of its two files one is enough, but without the controller there is none
    assert "the controller io is not available" in pyman("run", *NONE, *weight, image, "true", rc=126).stderr
    limits = ("--cpus", "0.5", "--cgroup-conf", HUGE)
    told = pyman("run", *NONE, *weight, *limits, "--limits", "best-effort", image, "true").stderr.splitlines()
    assert len(told) == 3 and all(("cpu.max=" in line) == ("controller cpu " in line) for line in told)
    assert groups(own) == set()


def test_no_group_is_made_where_none_is_wanted(pyman: Run, image: str, own: Path) -> None:
    made = pyman("run", "-d", "--network", "none", "--cgroups", "disabled", image, "sleep", "600").stdout.strip()
    assert groups(own) == set()
    assert pyman("inspect", "--format", "{{.State.CgroupPath}}|{{.HostConfig.Cgroups}}", made).stdout == "|disabled\n"
    pyman("rm", "-f", "-t", "0", made)
    assert "--cgroups=disabled" in pyman("run", *NONE, "--cgroups", "disabled", "--cgroup-conf", HUGE, image, "true", rc=125).stderr


def test_the_parent_can_be_chosen(pyman: Run, image: str, own: Path) -> None:
    parent = str(own / "chosen").removeprefix(cgroup.hierarchy())
    made = pyman("run", "-d", "--network", "none", "--cgroup-parent", parent, image, "sleep", "600").stdout.strip()
    assert (own / "chosen" / f"pyman-{made}" / "cgroup.procs").read_text().strip()
    pyman("rm", "-f", "-t", "0", made)
    assert list((own / "chosen").glob("pyman-*")) == []
    (own / "chosen").rmdir()
    for bad in ("a/../b", "../x"):
        assert "--cgroup-parent" in pyman("run", *NONE, "--cgroup-parent", bad, image, "true", rc=125).stderr


def test_a_unit_is_divided_into_its_supervisor_and_the_container(pyman: Run, image: str, own: Path, base: Path) -> None:
    """A group with processes can give no controllers to its children, so --cgroups=split moves them aside."""
    unit = own / "unit"
    unit.mkdir()
    argv = [*command(), "run", "-d", "--network", "none", "--cgroups", "split", "--cgroup-conf", HUGE, image, "sleep", "600"]
    done = subprocess.run(
        argv,
        env=environment(base),
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
        preexec_fn=lambda: (unit / "cgroup.procs").write_text("0") and None,
    )
    made = done.stdout.strip()
    monitor = pyman("inspect", "--format", "{{.State.ConmonPid}}", made).stdout.strip()
    assert monitor in (unit / "supervisor" / "cgroup.procs").read_text().split()
    assert (unit / f"pyman-payload-{made}" / "hugetlb.2MB.max").read_text() == "4194304\n"
    pyman("rm", "-f", "-t", "0", made)
    assert groups(own) == set()
    until(lambda: not (unit / "supervisor/cgroup.procs").read_text(), "the monitor ends after the container")
    (unit / "supervisor").rmdir()
    unit.rmdir()


def test_a_killed_monitor_leaves_no_group_to_the_next_start(pyman: Run, image: str, own: Path) -> None:
    made = pyman("run", "-d", "--network", "none", image, "sleep", "600").stdout.strip()
    monitor = pyman("inspect", "--format", "{{.State.ConmonPid}}", made).stdout.strip()
    os.kill(int(monitor), signal.SIGKILL)
    pyman("wait", made)
    pyman("start", made)
    assert groups(own) == {f"pyman-{made}"}
    pyman("rm", "-f", "-t", "0", made)
    assert groups(own) == set()


def test_nothing_is_left_to_do_once_the_end_is_on_record(pyman: Run, image: str, own: Path, base: Path) -> None:
    """Whoever reads the record may start the container again at once: no late monitor takes the new group or socket away."""
    made = pyman("run", "-d", "--network", "none", image, "true", env={"PYMAN_KILL_AT": "monitor:recorded"}).stdout.strip()
    until((base / "home/.local/share/pyman/containers" / made / "exit.json").exists)
    assert groups(own) == set() and not (base / "run/pyman/containers" / made / "attach").exists()
    told = pyman("events", "--stream=false", "--filter", f"container={made}", "--format", "{{.Status}}").stdout.split()
    assert told == ["create", "init", "start", "died", "cleanup"]
    pyman("start", "-a", made)
    pyman("rm", made)


def test_what_outlives_init_ends_with_the_group(pyman: Run, image: str, own: Path) -> None:
    """With the host's process ids no kernel ends the other processes when init does."""
    script = "sleep 4242 & echo $!; until [ -e /end ]; do sleep 0.05; done"
    made = pyman("run", "-d", "--network", "none", "--pid", "host", image, "sh", "-c", script).stdout.strip()
    other = int(until(lambda: pyman("logs", made).stdout))
    fd = os.pidfd_open(other)
    assert not select.select([fd], [], [], 0)[0], "it lives"
    pyman("exec", made, "touch", "/end", rc=None)  # it may be ended with the container
    pyman("wait", made)
    pyman("rm", made)
    assert groups(own) == set()
    assert select.select([fd], [], [], 60)[0], "it has ended"
    os.close(fd)


def test_limits_are_shown_as_given(pyman: Run, image: str) -> None:
    made = pyman(
        *("create", "--memory", "64m", "--memory-reservation", "32m", "--cpus", "1.5", "--cpu-shares", "512", "--cpuset-cpus", "0-1"),
        *("--pids-limit", "50", "--blkio-weight", "300", image, "true"),
    ).stdout.strip()
    shown = json.loads(pyman("inspect", made).stdout)[0]["HostConfig"]
    assert {key: shown[key] for key in ("Memory", "MemorySwap", "MemoryReservation", "NanoCpus", "CpuPeriod", "CpuQuota", "CpuShares")} == {
        "Memory": 64 << 20,
        "MemorySwap": 128 << 20,
        "MemoryReservation": 32 << 20,
        "NanoCpus": 1_500_000_000,
        "CpuPeriod": 100_000,
        "CpuQuota": 150_000,
        "CpuShares": 512,
    }
    assert (shown["CpusetCpus"], shown["PidsLimit"], shown["BlkioWeight"]) == ("0-1", 50, 300)
    for value, expected in (("-1", "-1\n"), ("0", "0\n"), ("5", "5\n")):
        pyman("create", "--name", "pids", *NONE, "--pids-limit", value, image, "true")
        assert pyman("inspect", "--format", "{{.HostConfig.PidsLimit}}", "pids").stdout == expected
        pyman("rm", "pids")
    pyman("rm", made)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--memory=lots", "must be a size"),
        ("--memory=4k", "6 MB"),
        ("--memory-swap=1g", "needs --memory"),
        ("--cpus=0.001", "at least 0.01"),
        ("--cpu-period=5", "1000 to 1000000"),
        ("--cpuset-cpus=all", "list of numbers"),
        ("--pids-limit=many", "whole number"),
        ("--blkio-weight=5", "10 to 1000"),
        ("--device-read-bps=/dev/null:1m", "not a block device"),
        ("--device-read-bps=1m", "PATH:RATE"),
        ("--cgroup-conf=memory.high", "FILE=VALUE"),
        ("--cgroup-conf=foo.bar=1", "name begins with that of a controller"),
        ("--cgroup-conf=cgroup.kill=1", "cannot set cgroup.kill"),
        ("--cgroup-conf=hugetlb/../x.y=1", "cannot set hugetlb/../x.y"),
        ("--kernel-memory=1g", "--memory limits both"),
        ("--ulimit=bogus=1", "no limit has this name"),
        ("--cgroups=some", "must be one of"),
        ("--limits=some", "strict or best-effort"),
        ("--memory-swappiness=60", "no swappiness"),
        ("--cpu-rt-period=1000", "real-time"),
        ("--oom-kill-disable", "out-of-memory killer"),
    ],
)
def test_values_no_kernel_would_take(pyman: Run, image: str, option: str, said: str) -> None:
    assert said in pyman("run", *NONE, option, image, "true", rc=125).stderr


@pytest.mark.parametrize("option", ["--cgroups=enabled", "--cgroups=no-conmon", "--pids-limit=-1", "--pids-limit=0", "--memory=0"])
def test_values_that_ask_for_nothing_need_no_controller(pyman: Run, image: str, option: str) -> None:
    pyman("run", *NONE, option, image, "true")
