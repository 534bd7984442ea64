"""The container's cgroup: where it lies, limits, freeze, kill, statistics. tests/delegate gives the account a subtree."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from pyman.runtime import cgroup, cgroup_place
from tests.conftest import until
from tests.integration.conftest import Bundle, Runtime


def pid_of(runtime: Runtime, name: str) -> int:
    return int(json.loads(runtime("state", name).stdout)["pid"])


def test_a_container_gets_a_cgroup_and_takes_it_away(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    runtime("run", "--detach", "--bundle", bundle.save(), "plain")
    place = Path(cgroup.path_of(pid_of(runtime, "plain")))
    assert place == own / "runner" / "pyman-plain"
    runtime("kill", "plain", "KILL")
    runtime("delete", "--force", "plain")
    assert not place.exists()


def test_no_cgroup_where_they_are_disabled(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    runtime("--cgroup-manager", "disabled", "run", "--detach", "--bundle", bundle.save(), "without")
    pid = json.loads(runtime("state", "without").stdout)["pid"]
    assert Path(f"/proc/{pid}/cgroup").read_text() == Path("/proc/self/cgroup").read_text()
    assert "invalid --cgroup-manager" in runtime("--cgroup-manager", "magic", "list", rc=1).stderr


def test_the_cgroup_namespace_starts_at_the_containers_cgroup(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    out = runtime(
        "run", "--bundle", bundle.sh("cat /proc/self/cgroup; echo $$ >/sys/fs/cgroup/../cgroup.procs || echo kept in"), "ns"
    ).stdout
    assert "0::/\n" in out and "kept in" in out


def test_a_relative_path_lies_below_the_callers_cgroup(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    bundle.spec["linux"]["cgroupsPath"] = "outer/inner"
    runtime("run", "--detach", "--bundle", bundle.save(), "rel")
    assert Path(cgroup.path_of(pid_of(runtime, "rel"))) == own / "runner/outer/inner"
    runtime("delete", "--force", "rel")
    assert not (own / "runner/outer").exists()


def test_what_lies_above_goes_with_the_last_container(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    """In whatever order they end; what somebody else made stays."""
    theirs = own / "runner/theirs"
    theirs.mkdir()
    for name in ("first", "second"):
        bundle.spec["linux"]["cgroupsPath"] = f"theirs/ours/{name}"
        runtime("run", "--detach", "--bundle", bundle.save(), name)
    runtime("delete", "--force", "first")
    assert Path(cgroup.path_of(pid_of(runtime, "second"))) == theirs / "ours/second"
    runtime("delete", "--force", "second")
    assert not [path for path in theirs.iterdir() if path.is_dir()]
    theirs.rmdir()


def test_an_absolute_path_is_used_where_it_is_delegated(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    bundle.spec["linux"]["cgroupsPath"] = str(own / "by-path").removeprefix(cgroup.hierarchy())
    runtime("run", "--detach", "--bundle", bundle.save(), "abs")
    assert Path(cgroup.path_of(pid_of(runtime, "abs"))) == own / "by-path"


def test_limits_move_the_cgroup_to_where_controllers_can_be_had(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    """The caller's own cgroup has processes, so only the one above can give a controller to a child."""
    bundle.spec["linux"]["resources"] = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]}
    runtime("run", "--detach", "--bundle", bundle.save(), "huge")
    place = Path(cgroup.path_of(pid_of(runtime, "huge")))
    assert place == own / "pyman-huge" and (place / "hugetlb.2MB.max").read_text() == f"{4 << 20}\n"
    runtime("update", "--resources", "-", "huge", input='{"unified": {"hugetlb.2MB.max": "2097152"}}')
    assert (place / "hugetlb.2MB.max").read_text() == f"{2 << 20}\n"
    stats = json.loads(runtime("events", "--stats", "huge").stdout)
    assert stats["type"] == "stats" and stats["data"]["hugetlb"]["2MB"] == {"usage": 0, "failcnt": 0}
    assert stats["data"]["pids"]["current"] == 1


def test_update_takes_controllers_that_can_be_had(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    parent = own / "later"
    bundle.spec["linux"]["cgroupsPath"] = str(parent / "unlimited").removeprefix(cgroup.hierarchy())
    runtime("run", "--detach", "--bundle", bundle.save(), "later")
    assert "hugetlb" not in (parent / "cgroup.subtree_control").read_text()
    (own / "cgroup.subtree_control").write_text("+hugetlb")
    runtime("update", "--resources", "-", "later", input='{"hugepageLimits": [{"pageSize": "2MB", "limit": 2097152}]}')
    assert (parent / "unlimited" / "hugetlb.2MB.max").read_text() == f"{2 << 20}\n"
    runtime("delete", "--force", "later")
    assert not parent.exists()


def test_a_limit_without_its_controller_is_an_error(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    bundle.spec["linux"]["resources"] = {"rdma": {"none": {"hcaHandles": 1}}}
    text = runtime("run", "--bundle", bundle.save(), "never", rc=1).stderr
    assert "cannot limit container never" in text and "rdma" in text
    assert runtime("list", "-q").stdout == "" and not [place for place, _, _ in os.walk(own) if "never" in place]


def test_pause_and_resume(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    runtime("run", "--detach", "--bundle", bundle.sh("while :; do echo x >>/log; done"), "loop")
    log = bundle.root / "log"
    until(log.exists)
    runtime("pause", "loop")
    assert json.loads(runtime("state", "loop").stdout)["status"] == "paused"
    assert "paused" in runtime("pause", "loop", rc=1).stderr
    size = log.stat().st_size
    assert "paused" in runtime("exec", "loop", "/bin/true", rc=255).stderr
    assert log.stat().st_size == size
    runtime("resume", "loop")
    until(lambda: log.stat().st_size > size)
    assert "not paused" in runtime("resume", "loop", rc=1).stderr
    runtime("pause", "loop")
    runtime("delete", "--force", "loop")  # a frozen container too


def test_processes_of_exec_join_and_die_with_the_cgroup(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    runtime("run", "--detach", "--bundle", bundle.save(), "many")
    runtime("exec", "--detach", "--pid-file", bundle.path / "second", "many", "/bin/sleep", "600")
    second = int((bundle.path / "second").read_text())
    pids = json.loads(runtime("ps", "--format", "json", "many").stdout)
    assert sorted(pids) == sorted([pid_of(runtime, "many"), second])
    for options in ((), ("-ef",)):
        lines = runtime("ps", "many", *options).stdout.splitlines()
        assert lines[0].split()[:3] == ["UID", "PID", "PPID"] and sorted(int(line.split()[1]) for line in lines[1:]) == sorted(pids)
    assert runtime("ps", "many", "-o", "pid,comm").stdout.splitlines()[0].split() == ["PID", "COMMAND"]
    text = runtime("ps", "many", rc=1, env={"PATH": "/nowhere"}).stderr
    assert "no program ps" in text
    runtime("kill", "--all", "many", "KILL")
    until(lambda: json.loads(runtime("state", "many").stdout)["status"] == "stopped")
    runtime("delete", "many")


def test_a_threaded_cgroup_is_refused_with_its_reason(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    threaded = own / "domain/threaded"
    threaded.mkdir(parents=True)
    (threaded / "cgroup.type").write_text("threaded")
    try:
        bundle.spec["linux"]["cgroupsPath"] = str(threaded).removeprefix(cgroup.hierarchy())
        assert "threaded" in runtime("run", "--bundle", bundle.save(), "thread", rc=1).stderr
    finally:
        if threaded.exists():
            threaded.rmdir()
        threaded.parent.rmdir()


@pytest.mark.parametrize("path", ["/../../escape", "a/../../b"])
def test_a_path_upwards_is_refused(bundle: Bundle, runtime: Runtime, path: str) -> None:
    bundle.spec["linux"]["cgroupsPath"] = path
    assert "cgroupsPath" in runtime("run", "--bundle", bundle.save(), "up", rc=1).stderr


def test_update_options_are_checked(bundle: Bundle, runtime: Runtime, own: Path) -> None:
    runtime("run", "--detach", "--bundle", bundle.save(), "upd")
    for text in ("much", "²", "9" * 20, "9000000000g"):
        assert "--memory" in runtime("update", "--memory", text, "upd", rc=1).stderr
    for text in ("²", "9" * 20, "-" + "9" * 20):
        assert "--pids-limit" in runtime("update", "--pids-limit", text, "upd", rc=1).stderr
    assert "--interval" in runtime("events", "--interval", "²s", "upd", rc=1).stderr
    text = runtime("update", "--memory", "512m", "upd", rc=None)
    assert text.returncode == 0 or "memory" in text.stderr
    assert "pids" in runtime("update", "-r", "-", "upd", input='{"pids": 3}', rc=1).stderr
    assert "must be an object" in runtime("update", "-r", "-", "upd", input="[]", rc=1).stderr


def test_without_a_cgroup_the_container_runs_and_limits_are_errors(bundle: Bundle, runtime: Runtime, monkeypatch: Any) -> None:
    """The same functions where nothing is mounted: an empty directory instead of the kernel's mount points."""
    monkeypatch.setattr(cgroup, "_MOUNTS", (str(bundle.path),))
    place, notes = cgroup_place.create("", "x", {})
    assert place == "" and "cgroup v2 is not mounted" in notes[0]
    with pytest.raises(cgroup.RuntimeFailure, match="cannot limit container x"):
        cgroup_place.create("", "x", {"pids": {"limit": 5}})
    with pytest.raises(cgroup.RuntimeFailure, match="has no cgroup"):
        cgroup.freeze("", True)
