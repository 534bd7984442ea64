"""Hooks: all six kinds, when and where each runs, its stdin, environment, time limit, and what a failure does."""

from __future__ import annotations

import json
import os
import sys

import pytest

from tests.conftest import ROOT, until
from tests.integration.conftest import Bundle, Runtime

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def script(bundle: Bundle, name: str, body: str) -> str:
    path = bundle.path / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_hooks_of_the_host_run_in_the_bundle(bundle: Bundle, runtime: Runtime) -> None:
    """Which is the place of what they name, wherever the command was called."""
    script(bundle, "where", "echo $NAME $PWD >>log")
    kinds = [kind for kind in KINDS if kind != "startContainer"]
    bundle.spec["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "./where"], "env": [f"NAME={kind}"]}] for kind in kinds}
    runtime("run", "--bundle", bundle.save(args=["/bin/true"]), "where")
    found = dict(line.split() for line in (bundle.path / "log").read_text().splitlines())
    assert found == {kind: str(bundle.path) for kind in kinds}


def test_a_container_that_its_own_hook_deletes(bundle: Bundle, runtime: Runtime) -> None:
    program = f"{sys.executable} -SI {ROOT}/pyman/runtime/__main__.py --root {bundle.path}/state"
    bundle.spec["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"{program} delete --force gone"]}]}
    error = runtime("--root", bundle.path / "state", "run", "--bundle", bundle.save(args=["/bin/true"]), "gone", rc=1).stderr
    assert error == "pyman-runtime: cannot start the container: its init process was killed at stage hooks\n"
    assert os.listdir(bundle.path / "state") == []


def test_each_hook_runs_at_its_moment_in_its_place(bundle: Bundle, runtime: Runtime) -> None:
    log = bundle.path / "log"
    log.touch()
    (bundle.root / "log").touch()
    bundle.spec["mounts"].append({"destination": "/log", "source": str(log), "type": "bind", "options": ["bind"]})
    body = f"read state; echo $NAME $(readlink /proc/self/ns/pid) $state >>{log}"
    outside = script(bundle, "hook", body)
    (bundle.root / "hook").write_text(f"#!/bin/sh\n{body.replace(str(log), '/log').replace('readlink', '/bin/busybox readlink')}\n")
    (bundle.root / "hook").chmod(0o755)
    bundle.spec["hooks"] = {kind: [{"path": "/hook" if kind == "startContainer" else outside, "env": [f"NAME={kind}"]}] for kind in KINDS}
    bundle.spec["annotations"] = {"a.b": "c"}
    runtime("create", "--bundle", bundle.sh("echo program none {} >>/log"), "hooked")
    seen = [line.split(" ")[0] for line in log.read_text().splitlines()]
    assert seen == ["prestart", "createRuntime", "createContainer"]
    pid = json.loads(runtime("state", "hooked").stdout)["pid"]
    runtime("start", "hooked")
    until(lambda: "program" in log.read_text())
    runtime("delete", "--force", "hooked")
    lines = [line.split(" ", 2) for line in log.read_text().splitlines()]
    names = [line[0] for line in lines]
    assert names.index("startContainer") < names.index("program") and names[-1] == "poststop"
    assert set(names) == {*KINDS, "program"}
    states = {line[0]: json.loads(line[2]) for line in lines if line[0] != "program"}
    namespaces = {line[0]: line[1] for line in lines}
    assert {kind: states[kind]["status"] for kind in KINDS[:4]} == {
        "prestart": "creating",
        "createRuntime": "creating",
        "createContainer": "creating",
        "startContainer": "created",
    }
    assert states["poststop"]["status"] == "stopped" and states["poststart"]["id"] == "hooked"
    assert all(states[kind]["pid"] == pid and states[kind]["annotations"] == {"a.b": "c"} for kind in KINDS[:4])
    ours = os.readlink("/proc/self/ns/pid")
    assert namespaces["createRuntime"] == namespaces["poststop"] == namespaces["poststart"] == ours
    assert namespaces["createContainer"] == namespaces["startContainer"] != ours


def test_the_environment_is_the_hooks_own(bundle: Bundle, runtime: Runtime) -> None:
    out = bundle.path / "out"
    bundle.spec["hooks"] = {"createRuntime": [{"path": "/usr/bin/env", "args": ["env"], "env": ["ONLY=this"]}]}
    path = script(bundle, "hook", f"/usr/bin/env >{out}; echo $0 $1 >>{out}; ls /proc/self/fd >>{out}")
    bundle.spec["hooks"]["createRuntime"].append({"path": path, "args": ["zero", "one"], "env": ["ONLY=this"]})
    runtime("run", "--bundle", bundle.save(args=["/bin/true"], env=["LD_PRELOAD=/evil.so", "PATH=/bin"]), "env", env={"SECRET": "x"})
    text = out.read_text()
    assert "ONLY=this" in text and "SECRET" not in text and "LD_PRELOAD" not in text
    assert text.splitlines()[-4:] == ["0", "1", "2", "3"]  # 3 is the directory that ls reads


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer", "startContainer"])
def test_a_failing_hook_stops_the_container(bundle: Bundle, runtime: Runtime, kind: str) -> None:
    path = script(bundle, "hook", "echo because of me >&2; exit 3")
    if kind == "startContainer":
        (bundle.root / "hook").write_text("#!/bin/sh\necho because of me >&2; exit 3\n")
        (bundle.root / "hook").chmod(0o755)
        path = "/hook"
    bundle.spec["hooks"] = {kind: [{"path": path}]}
    text = runtime("run", "--bundle", bundle.sh("touch /ran"), "failing", rc=1).stderr
    assert f"{kind} hook failed with exit code 3: {path}: because of me" in text
    assert not (bundle.root / "ran").exists() and runtime("list", "-q").stdout == ""


def test_the_last_hooks_only_warn(bundle: Bundle, runtime: Runtime) -> None:
    done = bundle.path / "done"
    bundle.spec["hooks"] = {"poststop": [{"path": "/bin/false"}, {"path": script(bundle, "hook", f"echo >>{done}")}]}
    text = runtime("run", "--bundle", bundle.sh("exit 4"), "late", rc=4).stderr
    assert "warning: poststop hook failed with exit code 1: /bin/false" in text and done.read_text() == "\n"


def test_a_failing_poststart_hook_ends_the_container(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec["hooks"] = {
        "poststart": [{"path": "/bin/false"}],
        "poststop": [{"path": script(bundle, "hook", f"echo >{bundle.path}/end")}],
    }
    assert "poststart hook failed" in runtime("run", "--detach", "--bundle", bundle.save(), "late", rc=1).stderr
    assert runtime("list", "-q").stdout == "" and (bundle.path / "end").exists()
    runtime("create", "--bundle", bundle.save(), "late")
    assert "poststart hook failed" in runtime("start", "late", rc=1).stderr
    assert runtime("list", "-q").stdout == ""


def test_a_hook_without_an_environment_finds_its_programs(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec["hooks"] = {"createRuntime": [{"path": script(bundle, "hook", f"env >{bundle.path}/env")}]}
    runtime("run", "--bundle", bundle.sh("true"), "path", env={"SECRET": "1"})
    names = {line.partition("=")[0] for line in (bundle.path / "env").read_text().splitlines()}
    assert "PATH" in names and names <= {"PATH", "PWD", "SHLVL", "_"}


def test_a_hook_has_a_time_limit(bundle: Bundle, runtime: Runtime) -> None:
    mark = bundle.path / "mark"
    path = script(bundle, "hook", f"sleep 600; touch {mark}")
    bundle.spec["hooks"] = {"createRuntime": [{"path": path, "timeout": 1}]}
    assert "not done after 1 s" in runtime("run", "--bundle", bundle.save(), "slow", rc=1).stderr
    assert not mark.exists()


@pytest.mark.parametrize(
    "hooks",
    [
        {"createRuntime": [{"path": "relative"}]},
        {"createRuntime": [{}]},
        {"createRuntime": {}},
        {"sometime": [{"path": "/bin/true"}]},
        {"poststop": [{"path": "/bin/true", "timeout": 0}]},
        {"poststop": [{"path": "/bin/true", "timeout": "5"}]},
    ],
)
def test_bad_hooks_are_refused_before_anything_is_done(bundle: Bundle, runtime: Runtime, hooks: object) -> None:
    bundle.spec["hooks"] = hooks
    assert "hooks." in runtime("run", "--bundle", bundle.sh("touch /ran"), "bad", rc=1).stderr
    assert not (bundle.root / "ran").exists()


def test_a_hook_may_leave_its_state_unread(bundle: Bundle, runtime: Runtime) -> None:
    """A hook that does not read its state, and one that closes its stdin, are no failures."""
    bundle.spec["hooks"] = {"createRuntime": [{"path": "/bin/true"}, {"path": script(bundle, "hook", "exec <&-; exit 0")}]}
    assert runtime("run", "--bundle", bundle.sh("echo ran"), "deaf").stdout == "ran\n"
