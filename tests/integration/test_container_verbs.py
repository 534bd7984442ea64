"""restart, init, clone, prune, mount, cleanup, checkpoint, and the sessions of exec."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until
from tests.integration.test_restart_policies import ended


def state(pyman: Run, name: str) -> dict[str, object]:
    return dict(json.loads(pyman("container", "inspect", name).stdout)[0]["State"])


def test_restart(pyman: Run, image: str, base: Path) -> None:
    trap = "trap 'exit 4' TERM; echo begun; while :; do sleep 0.01; done"
    pyman("run", "-d", "--name", "box", "--network", "none", "--restart", "always", "--cidfile", "cid", image, "sh", "-c", trap)
    pyman("create", "--name", "other", "--network", "none", image, "sleep", "600")
    first = state(pyman, "box")["Pid"]
    assert pyman("restart", "box").stdout == "box\n"
    assert state(pyman, "box")["Pid"] != first and json.loads(pyman("inspect", "box").stdout)[0]["RestartCount"] == 0
    assert pyman("restart", "-t", "0", "--cidfile", "cid").stdout.strip() == (base / "cid").read_text()
    box = pyman("ps", "-q", "--no-trunc").stdout
    assert pyman("restart", "-t", "0", "--running").stdout == box
    assert pyman("restart", "-t", "0", "--filter", "name=other").stdout and state(pyman, "other")["Running"]
    assert len(pyman("restart", "-t", "0", "--all").stdout.split()) == 2
    events = pyman("events", "--stream=false", "--filter", "container=box", "--format", "{{.Status}}").stdout.split()
    assert events.count("restart") == 4
    pyman("pause", "box")
    assert "in a paused or unknown state" in pyman("restart", "box", rc=125).stderr
    assert "cannot use --running together" in pyman("restart", "--running", "box", rc=125).stderr
    assert "no container given" in pyman("restart", rc=125).stderr
    pyman("rm", "-f", "-t", "0", "box", "other")


@pytest.mark.parametrize("network", ["none", "pasta"])
def test_init(pyman: Run, image: str, network: str) -> None:
    pyman("create", "--name", "box", "--network", network, image, "sh", "-c", "echo hello; exit 3")
    assert pyman("init", "box").stdout == "box\n"
    found = state(pyman, "box")
    assert found["Status"] == "initialized" and found["Pid"] and not found["Running"] and str(found["StartedAt"]).startswith("0001")
    assert pyman("ps", "-a", "--format", "{{.Status}}").stdout == "Initialized\n" and not pyman("ps", "-q").stdout
    assert "has already been created in runtime" in pyman("init", "box", rc=125).stderr
    assert "it has not begun" in pyman("attach", "box", rc=125).stderr
    assert "it is not started yet" in pyman("exec", "box", "true", rc=255).stderr
    assert b"user:x" in pyman("cp", "box:/etc/passwd", "-", text=False).stdout  # type: ignore[operator]
    assert pyman("start", "-a", "box", rc=3).stdout == "hello\n"
    ident = pyman("inspect", "box", "--format", "{{.Id}}").stdout
    assert pyman("init", "--all").stdout == pyman("init", "--all").stdout == ident
    pyman("start", "box")
    assert pyman("wait", "box").stdout == "3\n" and pyman("logs", "box").stdout == "hello\n" * 2
    pyman("init", "box")
    pyman("stop", "--timeout", "0", "box")
    assert state(pyman, "box")["ExitCode"] == 137
    pyman("init", "box")
    assert len(pyman("container", "prune", "-f").stdout.split()) == 1, "what is only initialized does not run"
    pyman("create", "--name", "box", "--network", "none", image, "/nothing")
    assert "/nothing" in pyman("init", "box", rc=125).stderr
    pyman("rm", "box")


@pytest.mark.parametrize("network", ["none", "pasta"])
@pytest.mark.parametrize("killed", ["monitor", "init", "both"])
def test_what_is_initialized_and_loses_its_processes(pyman: Run, image: str, network: str, killed: str) -> None:
    """It has no log yet, which is no error, and a start is one with a monitor that keeps the log and notes the end."""
    pyman("create", "--name", "box", "--network", network, image, "sh", "-c", "echo hello; exit 3")
    pyman("init", "box")
    for words in ([], ["--follow"], ["--tail", "1"]):
        assert pyman("logs", *words, "box").stdout == ""
    monitor, init = (int(word) for word in pyman("inspect", "-f", "{{.State.ConmonPid}} {{.State.Pid}}", "box").stdout.split())
    for name, pid in (("monitor", monitor), ("init", init)):
        if killed in (name, "both"):
            os.kill(pid, signal.SIGKILL)
            until(lambda: ended(pid))  # noqa: B023
    assert pyman("logs", "--follow", "box").stdout == ""
    if killed != "monitor":
        until(lambda: state(pyman, "box")["Status"] == "exited")
        assert state(pyman, "box")["ExitCode"] == 137
    assert pyman("start", "-a", "box", rc=3).stdout == "hello\n"
    assert pyman("logs", "box").stdout == "hello\n" and state(pyman, "box")["ExitCode"] == 3
    pyman("rm", "box")


def test_whoever_has_connected_before_the_start_sees_all_of_it(pyman: Run, image: str, base: Path) -> None:
    """Also if the monitor comes to its socket when the container has ended already."""
    pyman("create", "--name", "box", "--network", "none", image, "sh", "-c", "echo hello; exit 3")
    pyman("init", "box")
    monitor, init = (int(word) for word in pyman("inspect", "-f", "{{.State.ConmonPid}} {{.State.Pid}}", "box").stdout.split())
    os.kill(monitor, signal.SIGSTOP)
    try:
        client = subprocess.Popen([*command(), "start", "-a", "box"], env=environment(base), stdout=subprocess.PIPE, text=True)
        until(lambda: ended(init))
    finally:
        os.kill(monitor, signal.SIGCONT)
    assert client.communicate(timeout=300)[0] == "hello\n" and client.returncode == 3
    pyman("rm", "box")


def test_clone_and_prune(pyman: Run, image: str) -> None:
    options = (
        "--network",
        "none",
        "-e",
        "A=1",
        "-v",
        "named:/data",
        "-v",
        "/anonymous",
        "--label",
        "x=y",
        "--cpu-shares",
        "100",
        "-w",
        "/tmp",
    )
    pyman("run", "-d", "--name", "box", *options, "--limits", "best-effort", image, "sleep", "600")
    first = pyman("container", "clone", "box").stdout.strip()
    pyman("container", "clone", "box")
    pyman("container", "clone", "--run", "--cpu-shares", "200", "box", "runs", "localhost/demo:latest")
    pyman("container", "clone", "--destroy", "--force", "--name", "last", "box")
    assert pyman("ps", "-a", "--sort", "names", "--format", "{{.Names}}").stdout.split() == ["box-clone", "box-clone1", "last", "runs"]
    values = [json.loads(pyman("inspect", name).stdout)[0] for name in ("box-clone", "runs", "last")]
    assert values[0]["Id"] == first and values[0]["HostConfig"]["CpuShares"] == 100 and values[1]["HostConfig"]["CpuShares"] == 200
    assert values[1]["State"]["Running"] and pyman("exec", "runs", "sh", "-c", "echo $A; pwd").stdout == "1\n/tmp\n"
    assert all(value["Config"]["Labels"]["x"] == "y" for value in values)
    sources = [{mount["Destination"]: mount["Source"] for mount in value["Mounts"]} for value in values]
    assert sources[0]["/data"] == sources[1]["/data"] and sources[0]["/anonymous"] != sources[1]["/anonymous"]
    assert "without --destroy" in pyman("container", "clone", "--force", "runs", rc=125).stderr
    assert "already in use" in pyman("container", "clone", "runs", "last", rc=125).stderr
    assert "foo is an invalid filter" in pyman("container", "prune", "-f", "--filter", "foo=x", rc=125).stderr
    assert not pyman("container", "prune", "-f", "--filter", "label!=x").stdout and not pyman("container", "prune", input="n\n").stderr
    assert "stdin has ended" in pyman("container", "prune", rc=125).stderr
    assert len(pyman("container", "prune", input="y\n").stdout.split()) > 3
    assert pyman("ps", "-a", "--format", "{{.Names}}").stdout == "runs\n"


def test_names_of_clones(pyman: Run, image: str) -> None:
    """As Podman's: clones of clones are counted."""
    pyman("create", "--name", "first", "--network", "none", image, "true")
    pyman("create", "--name", "x-clone-y", "--network", "none", image, "true")
    for original, name in (("first", "first-clone"), ("first-clone", "first-clone1"), ("first-clone", "first-clone2"),
                           ("first-clone1", "first-clone3"), ("first", "first-clone4"), ("x-clone-y", "x-clone-y-clone")):  # fmt: skip
        made = pyman("container", "clone", original).stdout.strip()
        assert pyman("inspect", "--format", "{{.Name}}", made).stdout == f"{name}\n"
    pyman("rm", "-a")
    pyman("rm", "-f", "-v", "-t", "0", "runs")
    pyman("volume", "prune", "-f")
    pyman("volume", "rm", "named", rc=None)


def test_mount(pyman: Run, image: str, base: Path) -> None:
    pyman(
        "run",
        "-d",
        "--name",
        "runs",
        "--network",
        "none",
        "-v",
        "/vol",
        image,
        "sh",
        "-c",
        "echo 1 > /file; echo 2 > /vol/x; exec sleep 600",
    )
    pyman("create", "--name", "box", "--network", "none", image, "sleep", "600")
    assert "must execute `pyman unshare` first" in pyman("mount", "box", rc=125).stderr
    until(lambda: pyman("exec", "runs", "test", "-s", "/vol/x", rc=None).returncode == 0)
    tool = " ".join(command())
    script = f"""set -e
        pyman() {{ {tool} "$@"; }}
        pyman mount box; pyman mount runs > /dev/null; pyman mount --no-trunc; pyman mount --format json > {base}/mounts.json
        echo made > $(pyman mount box)/made; cat $(pyman mount runs)/file; ls $(pyman mount runs)/vol
        cd $(pyman mount runs); pyman umount runs 2>&1 || echo busy; cd /; pyman umount runs box; pyman umount box; pyman mount"""
    lines = pyman("unshare", "sh", "-c", script).stdout.splitlines()
    place = lines[0]
    assert place.endswith("/merged") and any(line.endswith(place) and len(line.split()[0]) == 64 for line in lines[1:3])
    assert lines[3] == "1" and "busy" in lines and lines[-3:] == ["runs", "box", "box"]
    assert {tuple(item["Names"]) for item in json.loads((base / "mounts.json").read_text())} == {("box",), ("runs",)}
    assert "A /made\n" in pyman("diff", "box").stdout
    pyman("start", "box")
    assert pyman("exec", "box", "cat", "/made").stdout == "made\n"
    pyman("rm", "-f", "-v", "-t", "0", "box", "runs")


def test_cleanup_exists_and_checkpoint(pyman: Run, image: str) -> None:
    pyman("run", "--name", "done", "--network", "none", image, "true")
    pyman("run", "-d", "--name", "box", "--network", "none", image, "sleep", "600")
    assert pyman("container", "cleanup", "done", "box").stdout == "done\nbox\n"
    pyman("container", "exists", "done")
    assert pyman("container", "cleanup", "--rm", "done").stdout == "done\n"
    pyman("container", "exists", "done", rc=1)
    pyman("container", "cleanup", "--rm", "--all")
    assert state(pyman, "box")["Running"]
    assert not pyman("container", "cleanup", "done").stdout, "as in Podman: what is not there is clean"
    for args in (("checkpoint", "box"), ("restore", "box"), ("restore", "-i", "x.tar")):
        assert "the host's CAP_SYS_ADMIN" in pyman("container", *args, rc=125).stderr
    pyman("rm", "-f", "-t", "0", "box")


def test_sessions_of_exec(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "box", "--network", "none", image, "sleep", "600")
    session = pyman("exec", "-d", "-u", "1000", "box", "sleep", "100").stdout.strip()
    pyman("exec", "-d", "--no-session", "box", "sleep", "100")
    pyman("exec", "box", "true")
    assert json.loads(pyman("inspect", "box").stdout)[0]["ExecIDs"] == [session]
    value = json.loads(pyman("inspect", session).stdout)[0]
    assert value["Running"] and value["ProcessConfig"] == {
        **{"entrypoint": "sleep", "arguments": ["100"]},
        **{"privileged": False, "tty": False, "user": "1000"},
    }
    pyman("exec", "box", "kill", "-9", "-1", rc=None)
    until(lambda: not json.loads(pyman("inspect", session).stdout)[0]["Running"])
    ended = json.loads(pyman("inspect", session).stdout)[0]
    assert (ended["ExitCode"], ended["Pid"], ended["CanRemove"]) == (137, 0, True)
    pyman("rm", "-f", "-t", "0", "box")
    assert "no container, image, volume" in pyman("inspect", session, rc=125).stderr


def test_several_at_once(pyman: Run, image: str) -> None:
    """stop and rm of several containers wait for all of them together: each ends only when the last has got its signal, too."""
    names = [f"box{number}" for number in range(6)]
    meet = "trap 'touch /met/$HOSTNAME; until [ $(ls /met | wc -l) = 6 ]; do sleep 0.02; done; exit 5' TERM; echo up; while :; do sleep 0.02; done"
    for name in names:
        pyman("run", "-d", "--name", name, "-h", name, "--network", "none", "-v", "met:/met", image, "sh", "-c", meet)
    until(lambda: all(pyman("logs", name).stdout == "up\n" for name in names))
    for verb in (["stop"], ["kill"], ["restart", "-t", "0"], ["pause"], ["start"]):  # one does not exist: the others are let alone
        done = pyman(*verb, *names, "nobody", rc=125)
        assert "no container with name or ID 'nobody' found" in done.stderr and not done.stdout
    assert "no container with name or ID 'nobody' found" in pyman("rm", *names, "nobody", rc=1).stderr
    assert pyman("stop", "-t", "600", "--ignore", *names, "nobody").stdout.split() == names
    assert all(state(pyman, name)["ExitCode"] == 5 for name in names)
    pyman("run", "--rm", "--network", "none", "-v", "met:/met", image, "sh", "-c", "rm /met/*")
    pyman("start", *names)
    until(lambda: all(pyman("logs", name).stdout == "up\n" * 2 for name in names))
    assert pyman("rm", "-f", "-t", "600", *names).stdout.split() == names
    pyman("volume", "rm", "met")


def test_dependents(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "base", "--network", "none", image, "sleep", "600")
    for name, options in (("first", ("--network", "container:base")), ("second", ("--network", "none", "--pid", "container:base"))):
        pyman("run", "-d", "--name", name, *options, image, "sleep", "600")
    found = json.loads(pyman("inspect", "first").stdout)[0]
    assert found["Dependencies"] == [json.loads(pyman("inspect", "base").stdout)[0]["Id"]]
    assert "has dependent containers which must be removed before it" in pyman("rm", "-f", "-t", "0", "base", rc=125).stderr
    assert "has dependent containers" in pyman("rm", "-f", "-t", "0", "base", "first", rc=125).stderr  # the second still needs it
    lines = pyman("rm", "-f", "-t", "0", "--depend", "base").stdout.split()
    assert lines[-1] == "base" and len(lines) == 2
    assert not pyman("ps", "-aq").stdout
    assert "no container with name" in pyman("create", "--network", "container:base", image, rc=125).stderr
    pyman("run", "-d", "--name", "base", "--network", "none", image, "sleep", "600")
    pyman("run", "-d", "--name", "first", "--network", "container:base", image, "sleep", "600")
    pyman("rm", "-f", "-t", "0", "base", "first")


def test_wait_for_a_container_that_is_removed_at_its_end(pyman: Run, image: str, base: Path) -> None:
    script = "until test -e /go; do sleep 0.02; done; exit 7"
    pyman("run", "-d", "--rm", "--name", "box", "--network", "none", image, "sh", "-c", script)
    waiting = subprocess.Popen([*command(), "wait", "box"], env=environment(base), stdout=subprocess.PIPE, text=True)
    until(lambda: _holds_a_pidfd(waiting.pid))
    pyman("exec", "box", "touch", "/go", rc=None)  # it may be killed with the container before it can say that all is well
    assert waiting.communicate(timeout=300)[0] == "7\n"


def _holds_a_pidfd(pid: int) -> bool:
    """Whether the command has come to its wait."""
    try:
        return any("[pidfd]" in os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:
        return False  # of one that was just closed


def test_runlabel(pyman: Run, image: str) -> None:
    labels = {
        "RUN": "podman run --network none --name NAME -e A=$NAME -e B=IMAGE $IMAGE echo '${NAME} is here' $HOME",
        "own": "/usr/bin/docker version --format {{.Client.Version}}",
        "evil": "/bin/sh -c 'touch /tmp/evil'",
        "odd": "podman 'run",
    }
    pyman("create", "--network", "none", "--name", "source", image, "true")
    changes = [item for key, value in labels.items() for item in ("-c", f"LABEL {key}={json.dumps(value)}")]
    pyman("commit", "-q", *changes, "source", "localhost/labelled:1")
    runlabel = ("container", "runlabel")
    shown = pyman(*runlabel, "--display", "run", "labelled:1", "more words", "x").stdout
    assert shown.startswith(
        "command: pyman run --network none --name labelled -e A=labelled -e B=localhost/labelled:1 localhost/labelled:1 echo "
    )
    assert shown.endswith(" 'more words' x\n") and "'labelled is here'" in shown
    assert pyman(*runlabel, "run", "localhost/labelled:1").stdout.startswith("labelled is here /")
    assert "already in use" in pyman(*runlabel, "run", "localhost/labelled:1", rc=125).stderr
    assert pyman(*runlabel, "--replace", "--name", "labelled", "run", "localhost/labelled:1").stdout.startswith("labelled is here /")
    assert pyman(*runlabel, "-q", "--name", "other", "run", "localhost/labelled:1").stdout == "" and pyman("rm", "other")
    assert pyman(*runlabel, "own", "localhost/labelled:1").stdout == pyman("version", "--format", "{{.Client.Version}}").stdout
    for label, why in (
        ("evil", "only podman, docker, pyman are run"),
        ("none", "cannot find the value of label: none"),
        ("odd", "no command line"),
    ):
        assert why in pyman(*runlabel, label, "localhost/labelled:1", rc=125).stderr
    assert "needs both" in pyman(*runlabel, "run", rc=125).stderr
    pyman("rm", "source", "labelled")
    pyman("rmi", "localhost/labelled:1")
