"""ps: every field of a template, tables, JSON, and options that contradict each other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment

NONE = ("--network", "none")
AGE = r"(Less than a second|About a minute|[0-9]+ (second|minute)s?)"


@pytest.fixture
def web(pyman: Run, image: str) -> Iterator[str]:
    pyman("run", "-d", *NONE, "--name", "web", "-l", "k=v", "-v", "/tmp:/host:ro", "--expose", "53/udp", image, "sleep", "600")
    yield "web"
    pyman("rm", "-f", "-t", "0", "web", rc=None)


@pytest.fixture
def done(pyman: Run, image: str) -> Iterator[str]:
    pyman("run", *NONE, "--name", "done", image, "sh", "-c", "a_long_word_of_many_characters=1; exit 3", rc=3)
    yield "done"
    pyman("rm", "done", rc=None)


def one(pyman: Run, name: str, template: str, *args: str) -> str:
    return pyman("ps", "-a", *args, "--filter", f"name=^{name}$", "--format", template).stdout.rstrip("\n")


def test_names_as_docker_has_them(pyman: Run, web: str, done: str) -> None:
    """They begin with a slash there."""
    for wanted, found in (
        ("^/web$", [web]),
        ("/web", [web]),
        ("^/(web|done)$", [done, web]),
        ("/eb", [web]),
        ("/", [done, web]),
        ("^[^/]e", [web]),
        ("^/x", []),
    ):
        assert sorted(pyman("ps", "-a", "--filter", f"name={wanted}", "--format", "{{.Names}}").stdout.split()) == found, wanted


def test_fields(pyman: Run, web: str, done: str) -> None:
    value = json.loads(pyman("inspect", web).stdout)[0]
    assert one(pyman, web, "{{.ID}} {{.ImageID}} {{.Id}}") == f"{value['Id'][:12]} {value['Image'][:12]} {value['Id']}"
    assert one(pyman, web, "{{.ID}} {{.ImageID}}", "--no-trunc") == f"{value['Id']} {value['Image']}"
    assert one(pyman, web, "{{.Mounts}} {{.ExposedPorts}} {{.Labels.k}}|{{.Labels.none}}") == "[/host] map[53:[udp]] v|<no value>"
    assert (
        one(pyman, web, "{{.Created}}")
        == one(pyman, web, "{{.CreatedAt}}")
        == value["Created"].replace("T", " ").replace("Z", " +0000 UTC")
    )
    assert one(pyman, web, "{{.Created.Year}} {{json .Created}}") == f'{value["Created"][:4]} "{value["Created"]}"'
    assert json.loads(one(pyman, web, "{{json .}}"))["Created"] == value["Created"]
    assert pyman("ps", "-a", "--format", "{{range .}}{{.Names}} {{end}}").stdout == "web done \n"
    assert re.fullmatch("Up " + AGE, one(pyman, web, "{{.Status}}"))
    assert one(pyman, web, "{{.State}} {{.Exited}} {{.ExitedAt}} {{.ExitCode}}") == "running false -62135596800 0"
    assert one(pyman, web, "{{.Pid}}") == str(value["State"]["Pid"])
    assert one(pyman, done, "{{.State}} {{.Exited}} {{.ExitCode}} {{.Pid}} {{.NET}}|") == "exited true 3 0 |"
    assert one(pyman, done, "{{.Command}}") == "sh -c a_long_word..."
    assert one(pyman, done, "{{.Command}}", "--no-trunc") == "sh -c a_long_word_of_many_characters=1; exit 3"
    assert one(pyman, web, "{{.AutoRemove}} {{.IsInfra}} {{.Restarts}} {{.Pod}}{{.PodName}}{{.CIDFile}}|") == "false false 0 |"
    for heading, kind in (("CGROUPNS", "cgroup"), ("IPC", "ipc"), ("MNT", "mnt"), ("NET", "net"), ("PIDNS", "pid"), ("UTS", "uts")):
        inode = one(pyman, web, "{{." + heading + "}}")
        assert os.readlink(f"/proc/{value['State']['Pid']}/ns/{kind}") == f"{kind}:[{inode}]"
    for field in ("Nope", "Health", "Healthcheck", "HealthCheck", "SizeRw", "SizeRootFs"):
        assert f"there is no field '{field}'" in pyman("ps", "-a", "--format", "{{." + field + "}}", rc=125).stderr


def test_json(pyman: Run, web: str, done: str) -> None:
    rows = {row["Names"][0]: row for row in json.loads(pyman("ps", "-a", "--format", "json").stdout)}
    assert rows[web]["Namespaces"] == {} and rows[web]["ExposedPorts"] == {"53": ["udp"]} and rows[web]["CIDFile"] == ""
    assert rows[done]["ExitCode"] == 3 and rows[done]["Exited"] is True and rows[done]["Size"] is None
    (row,) = json.loads(pyman("ps", "--namespace", "--format", "json").stdout)
    assert set(row["Namespaces"]) == {"Mnt", "Cgroup", "Ipc", "Net", "Pidns", "Uts", "User"}
    assert json.loads(pyman("ps", "--format", "{{json .}}").stdout)["Names"] == ["web"]


def test_tables(pyman: Run, web: str) -> None:
    ident = one(pyman, web, "{{.ID}}")
    assert pyman("ps", "--format", "table {{.ID}} {{.Names}} {{.RunningFor}}").stdout.startswith("CONTAINER ID  NAMES       RUNNING FOR\n")
    assert pyman("ps", "--format", "table {{.ID}}\\t{{.Names}}", "--noheading").stdout == f"{ident}  web\n"
    assert pyman("ps", "--format", "{{.ID}} {{.Names}}").stdout == f"{ident} web\n"
    assert pyman("ps", "--format", "{{.ID}}\\t{{.Names}}").stdout == f"{ident}\tweb\n"
    first, second = (" ".join(re.sub(AGE, "<age>", pyman("ps", *args).stdout).split()) for args in (("--format", "table"), ()))
    assert first == second and first.count("<age>") == 2
    assert pyman("ps", "--ns").stdout.split("\n")[0].split()[:5] == ["CONTAINER", "ID", "NAMES", "PID", "CGROUPNS"]
    assert pyman("ps", "-q", "--format", "{{.Names}}").stdout == "web\n"
    assert pyman("ps", "--watch", "0", "-q").stdout == pyman("ps", "--external", "--sync", "-q").stdout == ident + "\n"


def test_last_and_latest(pyman: Run, web: str, done: str) -> None:
    assert pyman("ps", "-n", "1", "--format", "{{.Names}}").stdout == pyman("ps", "-l", "--format", "{{.Names}}").stdout == "done\n"
    assert pyman("ps", "-n", "5", "--format", "{{.Names}}").stdout == "web\ndone\n"
    assert pyman("ps", "-n", "-1", "--format", "{{.Names}}").stdout == "web\n"


@pytest.mark.parametrize("sort", ["command", "created", "id", "image", "names", "runningfor", "size", "status"])
def test_orders(pyman: Run, web: str, done: str, sort: str) -> None:
    assert sorted(pyman("ps", "-a", "--sort", sort, "--format", "{{.Names}}").stdout.split()) == ["done", "web"]
    assert sort != "names" or pyman("ps", "-a", "--sort", sort, "--format", "{{.Names}}").stdout == "done\nweb\n"


def test_equal_ones_stand_as_created(pyman: Run, image: str) -> None:
    for name in ("b", "a", "c"):
        pyman("create", "--name", name, *NONE, image, "true")
    for sort in ("created", "image", "command", "status"):
        assert pyman("ps", "-a", "--sort", sort, "--format", "{{.Names}}").stdout.split() == ["b", "a", "c"]
    pyman("rm", "a", "b", "c")


def test_ports_and_mounts_before_the_start(pyman: Run, image: str, base: Path) -> None:
    options = (
        "--expose",
        "99",
        "--expose",
        "20-22",
        "--expose",
        "23/tcp",
        "--expose",
        "7/udp",
        "-p",
        "127.0.0.1:18230:99",
        "-p",
        "18231:22",
    )
    pyman("create", "--name", "early", *options, "-v", "early:/data", "-v", f"{base}:/host", image, "true")
    published = "127.0.0.1:18230->99/tcp, 0.0.0.0:18231->22/tcp"
    assert one(pyman, "early", "{{.Ports}}|{{.Mounts}}") == f"{published}, 20-21/tcp, 23/tcp, 7/udp|[/data /host]"
    exposed = {"7": ["udp"], **{port: ["tcp"] for port in ("20", "21", "22", "23", "99")}}
    assert json.loads(pyman("ps", "-a", "--format", "json").stdout)[0]["ExposedPorts"] == exposed
    ports = json.loads(pyman("inspect", "early", "--format", "{{json .Config.ExposedPorts}}").stdout)
    assert set(ports) == {"7/udp", *(f"{port}/tcp" for port in (20, 21, 22, 23, 99))}
    pyman("rm", "-v", "early")
    pyman("volume", "rm", "early")


@pytest.mark.parametrize("line", ["-l -n 2", "-q --size", "-q --namespace", "--size --ns", "-l -w 1"])
def test_contradictions(pyman: Run, line: str) -> None:
    assert "cannot use --" in pyman("ps", *line.split(), rc=125).stderr


def test_aliases(pyman: Run, web: str) -> None:
    for alias in (("container", "ls"), ("container", "list"), ("container", "ps"), ("ls",), ("list",)):
        assert pyman(*alias, "-q").stdout == pyman("ps", "-q").stdout


@pytest.fixture
def others(pyman: Run, image: str, base: Path) -> Iterator[None]:
    """Containers `one` and `two` are made, started and removed by other commands, again and again."""
    over = base / "over"
    script = "import os, subprocess, sys\nwhile not os.path.exists(sys.argv[1]):\n for words in {}: subprocess.run([*sys.argv[2:], *words], capture_output=True)"
    turns = [
        (["create", "--name", name, "--network", "none", image, "sleep", "600"], ["start", name], ["rm", "-f", "-t", "0", name])
        for name in ("one", "two")
    ]
    clients = [subprocess.Popen([sys.executable, "-c", script.format(turn), over, *command()], env=environment(base)) for turn in turns]
    yield
    over.touch()
    for client in clients:
        client.wait()
    over.unlink()
    pyman("rm", "-f", "-t", "0", "-i", "one", "two")


@pytest.mark.usefixtures("others")
def test_sizes_and_prune_beside_others(pyman: Run) -> None:
    """Containers come, run and go meanwhile: they are listed or not, and removed or not, and nothing of it is an error."""
    for _ in range(12):
        assert pyman("ps", "-a", "--size").stdout.startswith("CONTAINER ID")
        assert not pyman("container", "prune", "-f").stderr
        json.loads(pyman("ps", "-a", "--sort", "size", "--format", "json").stdout)


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize(
    "words",
    ["export -o /dev/null one", "cp one:/etc/passwd -", "diff one", "commit -q one", "attach one", "top one", "update --cpu-shares 5 one"],
)
def test_what_goes_away_under_a_command(pyman: Run, words: str) -> None:
    """It is told that it was removed, not which of its files was missing first."""
    for _ in range(12):
        done = pyman(*words.split(), rc=None)
        assert not [word for word in ("No such file", "log-level", "overlay") if word in done.stderr], done.stderr
    pyman("image", "prune", "-f")
