"""ps, logs, wait, inspect and exec: the options that only several containers, or sizes, show."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until


@pytest.fixture
def two(pyman: Run, image: str, base: Path) -> Iterator[None]:
    write = "head -c 100000 /dev/zero > /file; ln /file /again; echo from-$HOSTNAME; exec sleep 600"
    (base / "cid").unlink(missing_ok=True)
    run = ("run", "-d", "--network", "none")
    pyman(*run, "--name", "one", "-h", "one", "--cidfile", str(base / "cid"), "-l", "k=v", "--expose", "80", image, "sh", "-c", write)
    pyman(*run, "--name", "two", "-h", "two", image, "sleep", "600")
    until(lambda: pyman("logs", "one").stdout == "from-one\n")  # what it has done before is done
    yield
    pyman("rm", "-f", "-t", "0", "one", "two", rc=None)


@pytest.mark.usefixtures("two")
def test_ps_columns(pyman: Run, base: Path) -> None:
    assert "100kB (virtual" in pyman("ps", "--size").stdout
    rows = json.loads(pyman("ps", "--size", "--format", "json", "--filter", "name=one").stdout)
    assert rows[0]["Size"]["rwSize"] == 100000 and rows[0]["Size"]["rootFsSize"] > 1000000
    (net,) = {line.split()[6] for line in pyman("ps", "--ns", "--noheading", "--filter", "name=one").stdout.splitlines()}
    pid = pyman("inspect", "one", "--format", "{{.State.Pid}}").stdout.strip()
    assert os.readlink(f"/proc/{pid}/ns/net") == f"net:[{net}]"
    template = '{{.Names}} {{.Label "k"}} {{.Label "none"}} {{.CIDFile}} {{.ExposedPorts}} {{.Networks}} {{.IsInfra}}'
    assert pyman("ps", "--filter", "name=^one$", "--format", template).stdout == f"one v  {base}/cid map[80:[tcp]]  false\n"
    assert "POD ID" in pyman("ps", "--pod").stdout
    assert "100kB" in pyman("ps", "--sort", "size", "--format", "{{.Size}}").stdout.splitlines()[-1]


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("name=^o", "one"),
        ("command=sleep", "two"),
        ("label=k", "one"),
        ("label!=k=v", "two"),
        ("status=running", "one two"),
        ("until=1h", ""),
        ("until=2030-01-01T00:00:00", "one two"),
        ("since=one", "two"),
        ("before=two", "one"),
        ("ancestor=demo", "one two"),
        ("ancestor=d.mo:latest$", "one two"),
        ("restart-policy=no", "one two"),
        ("restart-policy=always", ""),
        ("health=healthy", ""),
        ("pod=x", ""),
        ("network=none", "one two"),
        ("exited=0", ""),
    ],
)
def test_ps_filters(pyman: Run, wanted: str, found: str) -> None:
    assert " ".join(pyman("ps", "--filter", wanted, "--format", "{{.Names}}").stdout.split()) == found


@pytest.mark.usefixtures("two")
def test_bad_filters_are_explained(pyman: Run) -> None:
    for bad, text in (("status=up", "must be one of"), ("name=[", "regular expression"), ("until=soon", "duration")):
        assert text in pyman("ps", "-a", "--filter", bad, rc=125).stderr
    refused = pyman("ps", "--filter", "colour=red", rc=125).stderr
    assert "there is no filter 'colour' of containers" in refused and "keys are" in refused
    assert "there is no filter 'colour' of events" in pyman("events", "--stream=false", "--filter", "colour=red", rc=125).stderr


@pytest.mark.usefixtures("two")
def test_watch_prints_again(base: Path) -> None:
    child = subprocess.Popen([*command(), "ps", "--watch", "1", "-q"], env=environment(base), stdout=subprocess.PIPE, text=True)
    assert child.stdout
    lines = [child.stdout.readline() for _ in range(4)]
    child.terminate()
    child.wait()
    assert lines[:2] == lines[2:]


@pytest.mark.usefixtures("two")
def test_logs_of_several(pyman: Run, base: Path) -> None:
    ids = {name: pyman("inspect", name, "--format", "{{.Id}}").stdout[:12] for name in ("one", "two")}
    assert pyman("logs", "one", "two").stdout == f"{ids['one']} from-one\n"
    assert pyman("logs", "-n", "one").stdout == "from-one\n"
    assert pyman("logs", "-n", "--color", "one").stdout == "\x1b[37mfrom-one\x1b[0m\n"
    child = subprocess.Popen([*command(), "logs", "-f", "-n", "one", "two"], env=environment(base), stdout=subprocess.PIPE, text=True)
    assert child.stdout and child.stdout.readline() == "one from-one\n"
    pyman("exec", "two", "sh", "-c", "echo late > /proc/1/fd/1")
    assert child.stdout.readline() == "two late\n"
    pyman("stop", "-t", "0", "one", "two")
    assert child.wait(300) == 0


@pytest.mark.usefixtures("two")
def test_wait_inspect_and_exec(pyman: Run, base: Path) -> None:
    child = subprocess.Popen(
        [*command(), "wait", "--return-on-first", "one", "two"], env=environment(base), stdout=subprocess.PIPE, text=True
    )
    pyman("kill", "two")
    assert child.communicate(timeout=300)[0] == "137\n"
    assert pyman("inspect", "--size", "--format", "{{.SizeRw}}", "one").stdout == "100000\n"
    assert pyman("exec", "--cidfile", str(base / "cid"), "hostname").stdout == "one\n"
    assert "cannot read" in pyman("exec", "--cidfile", "/nonexistent", "hostname", rc=125).stderr
