"""The log of events: who writes what, once; filters, templates, following over a rotation, hostile labels."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Run, command, environment, peak_memory, until

Event = dict[str, Any]


def of(pyman: Run, *filters: str) -> list[Event]:
    text = pyman("events", "--stream=false", "--format", "json", *(word for item in filters for word in ("--filter", item))).stdout
    return [json.loads(line) for line in text.splitlines()]


def statuses(pyman: Run, name: str) -> list[str]:
    return [event["Status"] for event in of(pyman, f"container={name}")]


def test_the_life_of_containers(pyman: Run, image: str) -> None:
    pyman("run", "--rm", "--name", "ev-rm", "-l", "a=b", "-l", "c", image, "sh", "-c", "exit 3", rc=3)
    events = of(pyman, "container=ev-rm")
    assert [event["Status"] for event in events] == ["create", "init", "start", "attach", "died", "remove"]
    assert len({event["ID"] for event in events}) == 1
    died = events[4]
    assert (died["ContainerExitCode"], died["Image"], died["Type"]) == (3, image, "container")
    assert died["Attributes"] == {"a": "b", "c": "", "title": "demo"} and died["timeNano"] // 10**9 == died["time"]
    assert events[5]["ContainerExitCode"] == 3 and "ContainerExitCode" not in events[0]
    pyman("run", "-d", "--name", "ev-old", "--network", "none", image, "sleep", "600")
    pyman("exec", "ev-old", "sh", "-c", "exit 4", rc=4)
    pyman("rename", "ev-old", "ev-new")
    pyman("kill", "-s", "CONT", "ev-new")
    pyman("stop", "-t", "0", "ev-new")
    pyman("start", "ev-new")
    pyman("kill", "ev-new")
    until(lambda: statuses(pyman, "ev-new").count("cleanup") == 2)
    pyman("rm", "ev-new")
    assert statuses(pyman, "ev-old") == ["create", "init", "start", "exec", "exec_died"]
    later = ["rename", "kill", "stop", "died", "cleanup", "init", "start", "kill", "died", "cleanup", "remove"]
    assert statuses(pyman, "ev-new") == later
    executed = of(pyman, "event=exec_died", "container=ev-old")[0]
    assert executed["ContainerExitCode"] == 4 and len(executed["ExecID"]) == 64
    assert [event["Signal"] for event in of(pyman, "event=kill", "container=ev-new")] == [18, 9]
    pyman("run", "--rm", "--name", "ev-fails", image, "/nowhere", rc=127)
    assert statuses(pyman, "ev-fails") == ["create", "remove"]


def test_images(pyman: Run, image: str, base: Path) -> None:
    pyman("tag", image, "localhost/ev:1")
    pyman("untag", "localhost/ev:1", "localhost/ev:1")
    assert [event["Status"] for event in of(pyman, "image=localhost/ev:1")] == ["tag", "untag"]
    store = {"PYMAN_GRAPHROOT": str(base / "ev-store")}
    pyman("pull", "-q", f"oci:{base}/demo:latest", env=store)
    pyman("rmi", "localhost/demo:latest", env=store)
    pyman("pull", "-q", f"oci:{base}/no-such-layout:latest", env=store, rc=125)
    text = pyman("events", "--stream=false", "--format", "{{.Status}} {{.Name}} {{.Error}}", env=store).stdout.splitlines()
    assert [line.split(" ")[0] for line in text] == ["pull", "untag", "remove", "pull-error"]
    assert "no-such-layout" in text[-1] and len(text[-1].split(" ")) > 3


def monitor_of(base: Path, name: str) -> int:
    store = base / "home/.local/share/pyman"
    return int(json.loads((store / "containers" / os.readlink(store / "names" / name) / "state.json").read_text())["monitor_pid"])


def test_an_end_is_told_once_whoever_is_killed(pyman: Run, image: str, base: Path) -> None:
    def started(name: str) -> Callable[[], bool]:
        return lambda: "start" in statuses(pyman, name)

    # The command is killed: the monitor notes the end, and its clean-up command the removal.
    args = [*command(), "run", "--rm", "--name", "ev-cli", image, "sleep", "600"]
    client = subprocess.Popen(args, env=environment(base), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until(started("ev-cli"))
    client.kill()
    client.wait()
    pyman("kill", "ev-cli")
    until(lambda: statuses(pyman, "ev-cli")[-1] == "remove")
    assert statuses(pyman, "ev-cli") == ["create", "init", "start", "attach", "kill", "died", "remove"]
    # The monitor is killed, and with it the container: the next command notes it, the one after does not.
    pyman("run", "-d", "--name", "ev-mon", image, "sleep", "600")
    os.kill(monitor_of(base, "ev-mon"), signal.SIGKILL)
    until(lambda: pyman("ps", "-aq", "--filter", "status=exited").stdout != "")
    pyman("ps", "-a")
    pyman("start", "ev-mon")
    pyman("rm", "-f", "-t", "0", "ev-mon")
    told = [status for status in statuses(pyman, "ev-mon") if status in ("start", "died")]
    assert told == ["start", "died", "start", "died"]
    assert of(pyman, "container=ev-mon", "event=died")[0]["ContainerExitCode"] == 137
    # It is killed between the event and its own record.
    pyman("run", "-d", "--name", "ev-noted", image, "true", env={"PYMAN_KILL_AT": "monitor:noted"})
    until(lambda: "exited" in pyman("ps", "-a", "--filter", "name=ev-noted", "--format", "{{.State}}").stdout)
    assert statuses(pyman, "ev-noted").count("died") == 1
    pyman("rm", "ev-noted")


_WRITER = """
import sys
sys.path.insert(0, {root!r})
from pyman.state import events
events.settings = lambda: {{"events_logfile_max_size": 100_000}}
for number in range({count}):
    events.emit("volume", "create", "", f"{{sys.argv[1]}}-{{number}}")
"""


def test_following_loses_nothing_over_rotations(base: Path, pyman: Run) -> None:
    writers, count = 3, 1500
    env = environment(base, PYMAN_GRAPHROOT=str(base / "ev-rotated"))
    pyman("images", env={"PYMAN_GRAPHROOT": str(base / "ev-rotated")})
    out = base / "ev-followed"
    with out.open("w") as file:
        args = [*command(), "events", "--filter", "type=volume", "--format", "{{.Name}}"]
        reader = subprocess.Popen(args, env=env, stdout=file, stdin=subprocess.DEVNULL)
    code = _WRITER.format(root=str(ROOT), count=count)

    def write(name: str, code: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", code, name], env=env)

    def ready() -> bool:
        assert write("first", _WRITER.format(root=str(ROOT), count=1)).wait() == 0
        return "first" in out.read_text()

    until(ready)
    processes = [write(f"w{number}", code) for number in range(writers)]
    reader.send_signal(signal.SIGSTOP)
    time.sleep(0.1)  # the log is rotated several times meanwhile
    reader.send_signal(signal.SIGCONT)
    for process in processes:
        assert process.wait() == 0
    expected = sorted(f"w{writer}-{number}" for writer in range(writers) for number in range(count))
    until(lambda: sum(line.startswith("w") for line in out.read_text().splitlines()) >= len(expected))
    reader.terminate()
    reader.wait()
    assert sorted(line for line in out.read_text().splitlines() if line.startswith("w")) == expected
    assert write("more", _WRITER.format(root=str(ROOT), count=1500)).wait() == 0
    files = list((base / "ev-rotated/events").iterdir())
    assert len(files) == 2, "what nobody reads any more has gone"
    assert all(path.stat().st_size < 120_000 for path in files)
    # A line that a full disk has cut spoils no other.
    with (base / "ev-rotated/events/events.log").open("a") as log:
        log.write('{"ID":"half of a li\n{"ID":"x","Type":"vol')
    assert write("last", _WRITER.format(root=str(ROOT), count=1)).wait() == 0
    shown = pyman("events", "--stream=false", "--format", "{{.Name}}", env={"PYMAN_GRAPHROOT": str(base / "ev-rotated")}).stdout
    assert shown.splitlines()[-1] == "last-0"


def test_following_goes_on_after_the_log_was_emptied_or_removed(base: Path, pyman: Run) -> None:
    root, out = base / "ev-emptied", base / "ev-shown"
    env = environment(base, PYMAN_GRAPHROOT=str(root))
    numbers = iter(range(10_000))

    def happen() -> str:
        name = f"n{next(numbers)}"
        pyman("volume", "create", name, env={"PYMAN_GRAPHROOT": str(root)})
        return name

    def heard() -> None:
        name = happen()
        until(lambda: f"{name}\n" in out.read_text())

    pyman("images", env={"PYMAN_GRAPHROOT": str(root)})
    with out.open("w") as file:
        args = [*command(), "events", "--filter", "type=volume", "--format", "{{.Name}}"]
        reader = subprocess.Popen(args, env=env, stdout=file, stdin=subprocess.DEVNULL)
    try:
        until(lambda: happen() and out.read_text())
        for end in (lambda: os.truncate(root / "events/events.log", 0), lambda: shutil.rmtree(root / "events")):
            heard()
            end()
            heard()
            heard()
    finally:
        reader.terminate()
        reader.wait()


def test_times_filters_and_mistakes(pyman: Run, image: str) -> None:
    pyman("create", "--name", "ev-a", "-l", "ev-label=1", image)
    pyman("create", "--name", "ev-b", "-l", "ev-label=2", image)
    pyman("rm", "ev-a", "ev-b")
    shown = lambda *args: pyman("events", "--stream=false", *args, "--format", "{{.Status}}-{{.Name}}").stdout.split()  # noqa: E731
    assert shown("--filter", "label=ev-label=1") == ["create-ev-a", "remove-ev-a"]
    assert shown("--filter", "event=create", "--filter", "container=ev-a", "--filter", "container=ev-b") == ["create-ev-a", "create-ev-b"]
    assert shown("--filter", "event=create", "--filter", "label=ev-label", "--since", "1h") == ["create-ev-a", "create-ev-b"]
    assert not shown("--filter", "label=ev-label", "--until", "2020-01-01T00:00:00Z") and not shown("--since", "2100-01-01T00:00:00Z")
    # With an end, following ends by itself.
    assert not pyman("system", "events", "--until", "200ms", "--filter", "container=no-such-container").stdout
    text = pyman("events", "--since", "1h", "--until", "0.1s", "--filter", "container=ev-a", "--no-trunc=false").stdout
    first, second = text.splitlines()
    assert " container create " in first and first.endswith(f"(image={image}, name=ev-a, ev-label=1, title=demo)") and " remove " in second
    assert len(first.split(" container create ")[1].split(" ")[0]) == 12
    for args, word in ((("--filter", "a=b"), "invalid filter"), (("--filter", "a"), "invalid filter"), (("--format", "{{.No}}"), "'No'")):
        assert word in pyman("events", "--stream=false", *args, rc=125).stderr


def test_there_is_no_table_of_events(pyman: Run, image: str) -> None:
    """As with Podman: an error, where the word begins a template of columns; else it is text, and each event has its line."""
    pyman("create", "--name", "ev-table", image)
    pyman("rm", "ev-table")
    args = ("events", "--stream=false", "--filter", "container=ev-table", "--format")
    for template in ("table {{.Name}}\\t{{.Status}}", "table "):
        done = pyman(*args, template, rc=125)
        assert "no table" in done.stderr and not done.stdout
    shown = {
        "table": "table\ntable\n",
        "tables {{.Status}}": "tables create\ntables remove\n",
        "table{{.Name}}": "tableev-table\n" * 2,
        " table\\t{{.Status}}": " table\tcreate\n table\tremove\n",
    }
    for template, text in shown.items():
        assert pyman(*args, template).stdout == text


def test_fields_of_other_types(pyman: Run, image: str) -> None:
    """Podman tells networks, secrets and volumes by other fields than containers and images."""
    pyman("network", "create", "ev-net")
    pyman("network", "rm", "ev-net")
    pyman("volume", "create", "ev-vol")
    pyman("volume", "rm", "ev-vol")
    network = of(pyman, "type=network")[-2:]
    assert [(event["Status"], event["network"], event["Attributes"]) for event in network] == [
        ("create", "ev-net", {"driver": "bridge"}),
        ("remove", "ev-net", {"driver": "bridge"}),
    ]
    assert all("Name" not in event and len(event["ID"]) == 64 for event in network)
    volume = of(pyman, "volume=ev-v")
    assert [(event["Status"], event["Name"], "ID" in event) for event in volume] == [
        ("create", "ev-vol", False),
        ("remove", "ev-vol", False),
    ]
    pyman("create", "--name", "ev-bare", "--rootfs", "/")
    pyman("rm", "ev-bare")
    assert of(pyman, "container=ev-bare")[0]["Attributes"] == {} and "Image" not in of(pyman, "container=ev-bare")[0]
    assert "(name=ev-net, type=bridge)" in pyman("events", "--stream=false", "--filter", "type=network").stdout


def test_no_events_when_they_are_not_wanted(pyman: Run, image: str, base: Path) -> None:
    conf = base / "no-events.toml"
    conf.write_text('[engine]\nevents_logger = "none"\n')
    pyman("run", "--rm", "--name", "ev-none", image, "true", env={"PYMAN_CONF": str(conf)})
    assert not of(pyman, "container=ev-none")


@pytest.mark.parametrize("stop", ["kill", "exit"])
def test_hostile_labels(pyman: Run, image: str, base: Path, stop: str) -> None:
    """Ten megabytes of labels do not fill the log; control characters forge no event; secrets of the environment stay out."""
    labels = base / "labels"
    labels.write_text("big=" + "\x1b]52;;\x07ü" * 1_250_000 + "\n")
    name = f"ev-hostile-{stop}"
    args = ["-d", "--name", name, "--network", "none", "--label", "nl=a\n2026-01-01 container died x", "--env", "TOKEN=s3cr3t-value"]
    pyman("run", *args, "--label-file", str(labels), image, *(["sleep", "600"] if stop == "kill" else ["true"]))
    pyman("rm", "-f", "-t", "0", name)
    raw = b"".join(path.read_bytes() for path in (base / "home/.local/share/pyman/events").iterdir())  # one of them may just be full
    mine = [line for line in raw.split(b"\n") if name.encode() in line]
    assert len(mine) >= 5 and max(map(len, mine)) < 20_000
    assert b"s3cr3t-value" not in raw
    shown = pyman("events", "--stream=false", "--filter", f"container={name}").stdout
    assert all(" container " in line for line in shown.splitlines()) and "\x1b" not in shown


def test_memory_with_ten_megabytes_of_labels(pyman: Run, image: str, base: Path) -> None:
    labels = base / "labels"
    labels.write_text("big=" + "x" * 10_000_000 + "\n")
    pyman("create", "--name", "ev-big", "--label-file", str(labels), image)
    for args in (
        ("inspect", "ev-big"),
        ("ps", "-a"),
        ("ps", "-a", "--format", "{{.Labels}}"),
        ("why", "ev-big"),
        ("events", "--stream=false"),
    ):
        assert peak_memory(base, *args) < 200, args
    pyman("rm", "ev-big")


def test_secrets_are_told_to_nobody(pyman: Run, image: str, base: Path) -> None:
    """Neither by events, nor why, nor the errors of a start, nor what is kept of them."""
    value = "t0p-s3cr3t-0f-all"
    pyman("secret", "create", "ev-secret", "-", input=value)
    options = ["--secret", "ev-secret,type=env,target=TOKEN", "--network", "none"]
    pyman("run", "-d", "--name", "ev-safe", *options, image, "sleep", "600")
    pyman("exec", "ev-safe", "true")
    pyman("top", "ev-safe", "args")
    pyman("create", "--name", "ev-broken", *options, image, "/nowhere")
    told = [pyman("start", "-a", "ev-broken", rc=None).stderr]
    for name in ("ev-safe", "ev-broken"):
        told += [pyman("why", name).stdout, pyman("why", "--format", "json", name).stdout, pyman("logs", name).stdout]
        told.append(pyman("inspect", name).stdout)
    told.append(pyman("events", "--stream=false", "--format", "json").stdout)
    told.append(pyman("stats", "--no-stream", "--format", "json", "ev-safe").stdout)
    assert not any(value in text for text in told)
    store = base / "home/.local/share/pyman"
    kept = [
        path
        for path in [*(store / "events").iterdir(), *(store / "containers").glob("*/*.json")]
        if value in path.read_text(errors="replace")
    ]
    assert not kept
    pyman("rm", "-f", "-t", "0", "ev-safe", "ev-broken")
    pyman("secret", "rm", "ev-secret")
