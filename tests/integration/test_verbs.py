"""start, stop, kill, rm, rmi, wait, version, unshare: which objects they act on, and what their exit codes say."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyman.state.lock import Lock
from tests.conftest import ROOT, Run, command, environment, until

NONE = ("--network", "none")


@pytest.fixture
def job(pyman: Run, image: str) -> Iterator[str]:
    pyman("create", *NONE, "--name", "job", "-l", "kind=job", image, "sh", "-c", "exit 3")
    yield "job"
    pyman("rm", "-f", "-t", "0", "job", rc=None)


@pytest.mark.parametrize("verb", ["start", "stop", "kill", "wait", "attach", "logs", "exec", "inspect"])
def test_a_missing_container_is_a_failure_of_pyman(pyman: Run, verb: str) -> None:
    assert "nosuch" in pyman(verb, "nosuch", *(["true"] if verb == "exec" else []), rc=125).stderr


def test_removing_what_does_not_exist(pyman: Run, job: str) -> None:
    pyman("rm", "nosuch", rc=1)
    pyman("rmi", "nosuch", rc=1)
    assert pyman("rm", "--ignore", "nosuch").stdout == pyman("rm", "-f", "nosuch").stdout == ""
    assert pyman("rmi", "--ignore", "nosuch").stdout == pyman("rmi", "-f", "nosuch").stdout == ""
    assert pyman("rm", "nosuch", job, rc=1).stdout == ""  # nothing is done to the others
    assert pyman("rm", "--ignore", "nosuch", job).stdout == "job\n"


def test_the_gravest_failure_counts(pyman: Run, image: str, layout: str) -> None:
    pyman("rmi", "-af")  # other tests may have given the image further names
    pyman("pull", "-q", f"oci:{layout}:latest")
    pyman("run", "-d", *NONE, "--name", "busy", image, "sleep", "600")
    assert "it is running" in pyman("rm", "--ignore", "busy", "nosuch", rc=2).stderr
    assert "used by container" in pyman("rmi", image, rc=2).stderr
    assert pyman("rm", "-f", "-t", "0", "busy").stdout == "busy\n"


@pytest.mark.parametrize(
    "line", ["rmi --all x", "rm --all x", "stop --all x", "kill --all x", "start --all x", "start --all --latest", "inspect --latest x"]
)
def test_all_excludes_names(pyman: Run, image: str, line: str) -> None:
    assert "cannot use --" in pyman(*line.split(), rc=125).stderr
    pyman("image", "exists", image)


def test_filters_compare_with_other_containers(pyman: Run, image: str, job: str) -> None:
    pyman("create", *NONE, "--name", "later", image, "true")
    later = pyman("inspect", "later", "--format", "{{.Id}}").stdout
    assert pyman("rm", "--filter", f"since={job}").stdout == later
    assert pyman("start", "--filter", "label=kind=job").stdout.strip() == pyman("inspect", job, "--format", "{{.Id}}").stdout.strip()
    pyman("create", *NONE, "--name", "third", image, "true")
    waited = pyman("wait", "job", "nosuch", "--ignore")
    assert (waited.stdout, waited.stderr) == ("3\n-1\n", "")
    assert "cannot rename container job to third: the name is already" in pyman("rename", "job", "third", rc=125).stderr
    assert "keys are" in pyman("rm", "--filter", "colour=red", rc=125).stderr


def test_hints_name_what_the_command_has(pyman: Run, image: str, job: str) -> None:
    pyman("create", *NONE, "--name", "third", image, "true")
    for name in ("third", "", "a b"):
        told = pyman("rename", "job", name, rc=125).stderr
        assert "choose another name" in told and "--" not in told, told
    assert "another --name, or use --replace" in pyman("create", "--name", "third", image, rc=125).stderr
    pyman("rm", "third")


def test_ports_of_a_container_without_any(pyman: Run, image: str, job: str) -> None:
    pyman("run", "-d", *NONE, "--name", "closed", image, "sleep", "600")
    for name in ("closed", job):
        done = pyman("port", name, "5432")
        assert (done.stdout, done.stderr) == ("", "")
    pyman("rm", "-f", "-t", "0", "closed")


def test_label_files(pyman: Run, image: str, base: Path) -> None:
    """Read as files of environment variables: indented, with comments, and a name alone sets nothing."""
    file = base / "labels"
    file.write_text("a=1\nd\n\n# x=y\n  b=2\n c\nf=\n  # k=3\ng=4 \r\n\tt=5=6\n")
    pyman("create", "--name", "labelled", "--label-file", str(file), "--label", "e", image)
    found = json.loads(pyman("inspect", "labelled", "--format", "{{json .Config.Labels}}").stdout)
    assert {key: value for key, value in found.items() if len(key) == 1} == {"a": "1", "b": "2", "e": "", "f": "", "g": "4 ", "t": "5=6"}
    pyman("rm", "labelled")
    file.write_text("=q\n")
    assert "invalid label '=q'" in pyman("create", "--label-file", str(file), image, rc=125).stderr


def test_conditions_that_cannot_come_true(pyman: Run, job: str) -> None:
    for condition in ("stopping", "removed", "configured", "exited,stopping"):
        assert "invalid condition" in pyman("wait", "--condition", condition, job, rc=125).stderr


@pytest.mark.parametrize(
    ("condition", "told"),
    [("removing", "-1\n"), ("exited", "0\n"), ("removing,exited", "0\n"), ("running", ""), ("paused,created", "-1\n")],
)
def test_waiting_for_one_that_is_removed(pyman: Run, image: str, base: Path, condition: str, told: str) -> None:
    """As Podman tells: what can never be any more is an error."""
    pyman("create", "--name", "going", *NONE, image, "true")
    line = [*command(), "wait", "--interval", "10ms", *(word for each in condition.split(",") for word in ("--condition", each)), "going"]
    with subprocess.Popen(line, env=environment(base), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        if condition in ("removing", "running"):
            until(lambda: "nanosleep" in Path(f"/proc/{waiting.pid}/wchan").read_text())  # it has seen the container
        else:
            waiting.wait()
        pyman("rm", "going")
        out, err = waiting.communicate()
    assert out == told and ("no container with ID" in err) == (not told) and waiting.returncode == (0 if told else 125)


def sleeps(pid: int) -> bool:
    """Whether a command has what it waits with, a pidfd or a watch of a directory."""
    with contextlib.suppress(FileNotFoundError):  # closed meanwhile
        return any("anon_inode:" in os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir())
    return False


@pytest.mark.parametrize(("words", "shown"), [(("wait",), "3\n"), (("logs", "-f"), "up\n")])
def test_an_end_that_is_waited_for_is_the_end_of_a_temporary_container(
    pyman: Run, image: str, base: Path, words: tuple[str, ...], shown: str
) -> None:
    """Its name and its volumes are free when `wait` and `logs --follow` return."""
    pyman(
        "run",
        "-d",
        "--rm",
        *NONE,
        "--name",
        "brief",
        "-v",
        "held:/v",
        image,
        "sh",
        "-c",
        "echo up; until test -e /go; do sleep .02; done; exit 3",
    )
    directory = base / "home/.local/share/pyman/containers" / pyman("inspect", "brief", "--format", "{{.Id}}").stdout.strip()
    argv = [*command(), *words, "brief"]
    with subprocess.Popen(argv, env=environment(base), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        until(lambda: sleeps(waiting.pid))
        pyman("exec", "brief", "touch", "/go")
        with Lock(str(directory)):  # nobody can remove it for now
            until(lambda: pyman("inspect", "brief", "--format", "{{.State.Status}}").stdout == "exited\n")
            with pytest.raises(subprocess.TimeoutExpired):
                waiting.wait(timeout=0.5)
        assert (*waiting.communicate(timeout=300), waiting.returncode) == (shown, "", 0)
    assert not directory.exists()
    pyman("volume", "rm", "held")


def test_a_group_without_a_command_is_a_mistake(pyman: Run) -> None:
    assert "prune" in pyman("image", rc=125).stdout
    pyman("image", "--help")
    assert pyman("container", "exists", "--external", "nosuch", rc=1).stderr == ""


def test_version_templates(pyman: Run) -> None:
    client, server, plain = pyman("version", "--format", "{{.Client.Version}} {{.Server.Version}} {{.Version}}").stdout.split()
    assert client == server == plain == json.loads(pyman("version", "-f", "json").stdout)["Client"]["Version"]


@pytest.mark.parametrize("name", ["podman", "docker"])
def test_scripts_for_podman_are_told_its_version(pyman: Run, base: Path, tmp_path: Path, name: str) -> None:
    """They choose by it what they may use; called by its own name pyman tells its own."""
    (tmp_path / "pyman").write_text(f'#!/bin/sh\nexec {shlex.join(command())} "$@"\n')
    (tmp_path / "pyman").chmod(0o755)
    env = environment(base, PATH=f"{tmp_path}:{os.environ['PATH']}")

    def told(*words: str) -> str:
        return subprocess.run([ROOT / "shims" / name, *words], env=env, capture_output=True, text=True, check=True).stdout

    api = pyman("version", "--format", "{{.Client.APIVersion}}").stdout
    assert told("--version") == f"podman version {api}"
    assert told("version", "--format", "{{.Client.Version}}") == api != pyman("version", "--format", "{{.Client.Version}}").stdout
    assert pyman("--version").stdout.startswith("pyman version ")


def test_unshare_says_where_the_store_is(pyman: Run) -> None:
    script = "test -d $CONTAINERS_GRAPHROOT && echo $CONTAINERS_GRAPHROOT $CONTAINERS_RUNROOT"
    root, run = pyman("unshare", "sh", "-c", script).stdout.split()
    assert root == pyman("info", "--format", "{{.Store.GraphRoot}}").stdout.strip() and run != root


def test_container_inspect_knows_containers_only(pyman: Run, image: str, job: str) -> None:
    assert "no container" in pyman("container", "inspect", image, rc=125).stderr
    value = json.loads(pyman("container", "inspect", job).stdout)[0]
    assert value["Config"]["CreateCommand"][:3] == ["pyman", "create", "--network"]


def test_a_password_is_not_kept(pyman: Run, image: str) -> None:
    pyman("create", *NONE, "--name", "pw", "--creds", "me:secret1", "--creds=me:secret2", image)
    assert "secret" not in pyman("inspect", "pw").stdout
    pyman("rm", "pw")


def test_pull_takes_one_description_of_the_platform(pyman: Run) -> None:
    assert "--platform together with" in pyman("pull", "--platform", "linux/arm64", "--arch", "arm64", "x", rc=125).stderr
