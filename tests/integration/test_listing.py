"""ps, logs, wait, inspect and exec: the options that only several containers, or sizes, show."""

from __future__ import annotations

import json
import os
import subprocess
import time
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
        ("network=none", ""),
        ("exited=0", ""),
    ],
)
def test_ps_filters(pyman: Run, wanted: str, found: str) -> None:
    assert " ".join(pyman("ps", "--filter", wanted, "--format", "{{.Names}}").stdout.split()) == found


@pytest.mark.usefixtures("two")
def test_bad_filters_are_explained(pyman: Run) -> None:
    for bad, text in (("status=up", "must be one of"), ("name=[", "regular expression"), ("until=soon", "duration"),
                      ("restart-policy=on-failure:3", "must be one of"), ("restart-policy=", "must be one of"), ("restart-policy=zz", "must be one of"),
                      ("should-start-on-boot=tRue", "must be one of"), ("should-start-on-boot=", "must be one of")):  # fmt: skip
        assert text in pyman("ps", "-a", "--filter", bad, rc=125).stderr
        assert text in pyman("stop", "--filter", bad, rc=125).stderr
    for good in ("restart-policy=none", "should-start-on-boot=F", "should-start-on-boot=False", "should-start-on-boot=0"):
        assert len(pyman("ps", "-q", "--filter", good).stdout.split()) == 2
    assert pyman("ps", "-q", "--filter", "should-start-on-boot=T").stdout == ""
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


def test_whole_rows_print_as_podmans_structures(pyman: Run, image: str) -> None:
    """Fields in Go's order within braces, and with their names by %+v; maps as map[key:value]."""

    def whole(*args: str) -> str:
        return pyman(*args, "--format", "{{.}}").stdout

    pyman("volume", "create", "--label", "a=b", "-o", "type=tmpfs", "-o", "o=size=1m", "whole")
    place, since = pyman("volume", "inspect", "whole", "--format", "{{.Mountpoint}} {{.CreatedAt}}").stdout.strip().split(" ", 1)
    shown = f"{{{{{{whole local {place} {since} map[] map[a:b] local map[SIZE:1m o:size=1m type:tmpfs] 0 0 false 0 true true 0  0}}}}}}\n"
    assert whole("volume", "inspect", "whole") == shown == whole("volume", "ls", "-f", "name=whole")
    named = pyman("volume", "ls", "--format", '{{printf "%+v %T" . .}}', "-f", "name=whole").stdout
    assert named.startswith("&{VolumeConfigResponse:{InspectVolumeData:{Name:whole Driver:local ") and "*types.VolumeListReport" in named
    pyman("volume", "rm", "whole")
    pyman("network", "create", "--subnet", "10.97.66.0/24", "--label", "a=b", "whole")
    shown = whole("network", "inspect", "whole")
    assert shown.startswith("{{whole ") and "[{{{10.97.66.0 ffffff00}} 10.97.66.1 <nil>}] [] false false true [] map[a:b] map[]" in shown
    assert shown.endswith("} map[]}\n") and whole("network", "ls", "-f", "name=whole") == shown[: -len(" map[]}\n")] + "}\n"
    subnets = "{{range .Subnets}}{{.}} {{.Subnet}} {{.Gateway}}{{end}} {{.Network.Name}}"
    shown = pyman("network", "inspect", "whole", "--format", subnets).stdout
    assert shown == "{{{10.97.66.0 ffffff00}} 10.97.66.1 <nil>} 10.97.66.0/24 10.97.66.1 whole\n"
    pyman("network", "rm", "whole")
    pyman("secret", "create", "-l", "a=b", "whole", "-", input="x")
    assert " {whole {file map[path:" in whole("secret", "inspect", "whole") and whole("secret", "ls").count("whole file ") == 1
    pyman("secret", "rm", "whole")
    made = pyman("create", "--name", "whole", "--network", "none", "-l", "a=b", image, "true").stdout.strip()
    assert f" {made} {image} " in (shown := whole("ps", "-a", "-f", "name=whole")) and shown.startswith("{{false [true] ")
    assert shown.endswith(" [] [whole] {      } [] 0   [] 0 <nil> -62135596800 created }}\n") and "map[a:b " in shown
    assert whole("events", "--stream=false", "--since", "1h", "-f", f"container={made}").startswith(
        f"{{<nil> {made} {image} whole  create "
    )
    pyman("rm", "whole")
    assert whole("images", image).startswith(f"{{{image.rpartition(':')[0]} latest {{")
    assert whole("history", image).startswith("{{") and whole("system", "df").startswith("{Images 1 0 ")
    assert whole("info").startswith("{{{") and whole("info").endswith("} <nil>}\n") and "map[" not in whole("version")
    one = pyman("info", "--format", '{{.Host.IDMappings}} {{.Store.ImageStore}} {{printf "%T" .Host}} {{.Host.Arch}} {{.host.os}}').stdout
    assert one.startswith("{[{0 ") and "{1} *define.HostInfo " in one and one.endswith(" linux\n")
    client = pyman("version", "--format", "{{.Client.Version}} {{.Version}} {{.Client.PythonVersion}} {{printf `%+v` .Client}}").stdout
    assert client.split()[0] == client.split()[1] and "&{APIVersion:" in client


def test_times_of_volumes_and_secrets_are_times(pyman: Run) -> None:
    """As in Podman, with the methods of Go's."""
    pyman("volume", "create", "timed")
    pyman("secret", "create", "timed", "-", input="x")
    template = '{{.CreatedAt.Year}}-{{printf "%02d" .CreatedAt.Month}} {{.CreatedAt.Unix}}'
    for words in (("volume", "inspect", "timed"), ("volume", "ls"), ("secret", "inspect", "timed")):
        month, seconds = pyman(*words, "--format", template).stdout.split()
        assert time.strftime("%Y-%m", time.gmtime(int(seconds))) == month and 0 <= time.time() - int(seconds) < 600
    assert pyman("volume", "ls", "--format", "{{json .CreatedAt}}").stdout[11:12] == "T"
    for words in (("volume", "inspect", "timed"), ("volume", "ls")):
        done = pyman(*words, "--format", "{{range $i, $e := .}}x{{end}}", rc=125)
        assert not done.stdout.strip() and "range can't iterate over" in done.stderr
    pyman("volume", "rm", "timed")
    pyman("secret", "rm", "timed")
