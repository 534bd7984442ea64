"""diff, export, commit and pause: what a container has changed, by itself, as an archive, as an image."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run, command, environment, until

CHANGE = """
rm /etc/group; rm -r /usr; mkdir -p /usr/new; echo x >> /etc/passwd; mkdir /tmp/d; echo 1 > /tmp/d/one
ln /tmp/d/one /tmp/d/two; ln -s /etc/passwd /tmp/link; mkfifo /tmp/pipe; chown 7:8 /tmp/d/one; chmod 4755 /tmp/d/one
truncate -s 20000000 /tmp/holes; touch /tmp/.wh.fake
"""
DIFF = """C /etc
D /etc/group
C /etc/passwd
C /tmp
A /tmp/.wh.fake
A /tmp/d
A /tmp/d/one
A /tmp/d/two
A /tmp/holes
A /tmp/link
A /tmp/pipe
C /usr
D /usr/demo
A /usr/new
"""


@pytest.fixture(params=["running", "stopped"])
def changed(request: pytest.FixtureRequest, pyman: Run, image: str) -> str:
    script = CHANGE + ("echo done; exec sleep 600" if request.param == "running" else "")
    args = ("--name", "box", "--network", "none", "-v", "/vol", "-e", "A=1", "--label", "x=y", "-w", "/tmp", image, "sh", "-c", script)
    pyman("run", *(["-d"] if request.param == "running" else []), *args)
    if request.param == "running":
        until(lambda: "done" in pyman("logs", "box").stdout)
    return "box"


def test_diff(pyman: Run, image: str, changed: str) -> None:
    lines = [line for line in pyman("diff", changed).stdout.splitlines(keepends=True) if "vol" not in line]
    assert "".join(lines) == DIFF
    value = json.loads(pyman("container", "diff", "--format", "json", changed).stdout)
    assert value["deleted"] == ["/etc/group", "/usr/demo"] and "/tmp/d/one" in value["added"] and "/etc/passwd" in value["changed"]
    other = pyman("diff", changed, "localhost/demo").stdout.splitlines()
    assert "A /tmp/d/one" in other and "D /etc/group" in other and "C /etc/passwd" in other
    assert "A /etc/group" in pyman("diff", "localhost/demo", changed).stdout
    for verb in (["diff"], ["container", "diff"]):
        assert "--latest together with containers" in pyman(*verb, "--latest", changed, rc=125).stderr
    assert "A /bin/busybox" in pyman("diff", "localhost/demo").stdout
    pyman(
        "run",
        "--name",
        "deep",
        "--network",
        "none",
        "localhost/demo",
        "sh",
        "-c",
        "mkdir -p /usr/demo/x/y; echo > /usr/demo/x/y/z; echo > /dev/q",
    )
    pyman("commit", "-q", "deep", "deep:1")
    pyman("run", "--name", "deeper", "--network", "none", "deep:1", "sh", "-c", "echo > /usr/demo/x/y/w")
    pyman("commit", "-q", "deeper", "deep:2")
    above = ["C /usr", "C /usr/demo", "C /usr/demo/x", "C /usr/demo/x/y", "A /usr/demo/x/y/w"]  # as Podman lists them
    for args in (("deeper",), ("deeper", "deep:1"), ("deep:2",), ("deep:2", "deep:1")):
        assert [line for line in pyman("diff", *args).stdout.splitlines() if " /usr" in line] == above, args
    assert not {"A /dev", "A /proc", "A /sys"} & set(pyman("image", "diff", "deep:1", image).stdout.splitlines())
    pyman("rm", "deep", "deeper")
    pyman("rmi", "deep:1", "deep:2")
    assert "no container or image" in pyman("diff", "nobody", rc=125).stderr
    assert "no container with name" in pyman("container", "diff", "localhost/demo", rc=125).stderr


def test_diff_of_names_that_are_no_text(pyman: Run, image: str, base: Path) -> None:
    """Bytes for programs, as Podman; escapes for a terminal; JSON is valid."""
    script = "touch /tmp/a$(printf '\\377')b /tmp/$(printf '\\033[31m') '/tmp/c\nd'"
    pyman("run", "--name", "odd", "--network", "none", image, "sh", "-c", script)
    raw = pyman("diff", "odd", text=False).stdout
    assert {b"A /tmp/a\xffb", b"A /tmp/\x1b[31m", b"A /tmp/c", b"d"} <= set(raw.split(b"\n"))  # type: ignore[arg-type,attr-defined]
    added = json.loads(pyman("diff", "--format", "json", "odd").stdout)["added"]
    assert {"/tmp/a\ufffdb", "/tmp/\x1b[31m", "/tmp/c\nd"} <= set(added)
    ours, theirs = os.openpty()
    with subprocess.Popen([*command(), "diff", "odd"], env=environment(base), stdout=theirs) as child:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # its end
            while more := os.read(ours, 65536):
                seen += more
        assert child.wait() == 0
    os.close(ours)
    assert {rb"A /tmp/a\xffb", rb"A /tmp/\x1b[31m", rb"A /tmp/c\nd"} <= set(seen.split(b"\r\n")), seen
    pyman("rm", "odd")


def test_export(pyman: Run, changed: str, base: Path) -> None:
    archive = tarfile.open(fileobj=io.BytesIO(pyman("export", changed, text=False).stdout))  # type: ignore[arg-type]
    found = {member.name: member for member in archive}
    assert "etc/group" not in found and "usr/new" in found and "bin/busybox" in found
    assert found["tmp/d/two"].islnk() and (found["tmp/d/one"].uid, found["tmp/d/one"].gid, found["tmp/d/one"].mode) == (7, 8, 0o4755)
    assert found["tmp/holes"].size == 20_000_000 and found["tmp/pipe"].isfifo() and found["tmp/link"].linkname == "/etc/passwd"
    pyman("export", "-o", "out.tar", changed)
    assert (base / "out.tar").stat().st_size > 20_000_000
    assert "must not contain ':'" in pyman("export", "-o", "a:b", changed, rc=125).stderr
    assert "export" in pyman("events", "--stream=false", "--filter", "event=export", "--format", "{{.Status}}").stdout


def test_commit(pyman: Run, changed: str, base: Path) -> None:
    done = pyman("commit", "--iidfile", "iid", changed, "made")
    image_id = done.stdout.strip()
    assert (base / "iid").read_text() == image_id and "Writing manifest" in done.stderr and ".wh.fake was left out" in done.stderr
    script = "cat /etc/group; ls -ln /tmp /tmp/d; ls /usr; tail -n1 /etc/passwd; stat -c %s /tmp/holes; pwd; echo $A"
    for name in ("made", "squashed"):
        if name == "squashed":
            pyman("commit", "-q", "--squash", changed, "squashed")
        lines = pyman("run", "--rm", "--network", "none", name, "sh", "-c", script).stdout
        assert "-rwsr-xr-x    2 7        8" in lines and "prw-r--r--" in lines and "link -> /etc/passwd" in lines
        assert lines.endswith("new\nx\n20000000\n/tmp\n1\n"), lines
    layers = [json.loads(pyman("image", "inspect", name).stdout)[0] for name in ("made", "squashed")]
    assert [len(value["RootFS"]["Layers"]) for value in layers] == [2, 1]
    assert layers[0]["Config"]["Labels"] == {"title": "demo", "x": "y"} and layers[0]["RepoTags"] == ["localhost/made:latest"]
    assert layers[0]["History"][-1]["comment"] == "FROM localhost/demo:latest"
    assert layers[0]["Config"]["WorkingDir"] == "/tmp" and "A=1" in layers[0]["Config"]["Env"]
    again = json.loads(pyman("image", "inspect", pyman("commit", "-q", changed).stdout.strip()).stdout)[0]
    assert again["RootFS"] == layers[0]["RootFS"] and again["RepoTags"] == []  # equal content is stored once
    pyman("rm", "-f", "-t", "0", changed)
    pyman("rmi", "made", "squashed")
    pyman("image", "prune", "-f")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {"WorkingDir": "/", "Env": ["PATH=/bin", "container=podman"], "Labels": {"title": "demo"}, "Cmd": ["true"]}),
        (("-p", "127.0.0.1::80", "--expose", "81-82/udp"), {"ExposedPorts": {"80/tcp": {}, "81/udp": {}, "82/udp": {}}}),
        (("-v", "/own", "-v", "named:/n", "-v", "/tmp:/t", "--mount", "type=volume,dst=/more"), {"Volumes": {"/own": {}, "/more": {}}}),
        (("--unsetenv", "PATH", "--unsetenv", "container", "-e", "A=1"), {"Env": ["A=1", "PATH=/bin"]}),
        (("--unsetenv-all", "-e", "A=1"), {"Env": ["PATH=/bin", "A=1"]}),
        (("--systemd", "always"), {"StopSignal": None}),
        (("--stop-signal", "INT", "-w", "/tmp", "-u", "5"), {"StopSignal": "INT", "WorkingDir": "/tmp", "User": "5"}),
        (("--entrypoint", "/bin/sh"), {"Entrypoint": ["/bin/sh"], "Cmd": ["true"]}),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else None,
)
def test_what_a_commit_takes_of_the_options(pyman: Run, image: str, options: tuple[str, ...], expected: dict[str, Any]) -> None:
    pyman("create", "--name", "taken", *options, image, "true")
    config = json.loads(pyman("image", "inspect", pyman("commit", "-q", "taken").stdout.strip()).stdout)[0]["Config"]
    assert {key: config.get(key) for key in expected} == expected
    pyman("rm", "-v", "taken")
    pyman("volume", "rm", "-f", "named")
    pyman("image", "prune", "-f")


@pytest.mark.parametrize("changed", ["stopped"], indirect=True)
def test_the_configuration_of_a_commit(pyman: Run, changed: str, base: Path) -> None:
    (base / "config.json").write_text(json.dumps({"User": "9", "Env": ["B=2"], "Cmd": ["from", "file"], "Labels": {"f": "1"}}))
    changes = [
        *('CMD ["a","b"]', "ENTRYPOINT x y", "ENV X=1 Y='2 3'", "ENV Z old form", "EXPOSE 80 81/udp", "LABEL=l=1", "ONBUILD RUN x"),
        *("STOPSIGNAL 9", "USER=5", 'VOLUME ["/v"]', "VOLUME /w", "WORKDIR sub"),
    ]
    options = [item for change in changes for item in ("-c", change)]
    args = ("-f", "docker", "-m", "message", "-a", "me", "--include-volumes", "--config", "config.json", *options)
    value = json.loads(pyman("image", "inspect", pyman("commit", "-q", *args, changed).stdout.strip()).stdout)[0]
    config = value["Config"]
    assert config["Cmd"] == ["a", "b"] and config["Entrypoint"] == ["/bin/sh", "-c", "x y"] and config["User"] == "5"
    assert {"A=1", "B=2", "X=1", "Y=2 3", "Z=old form"} <= set(config["Env"])
    assert set(config["ExposedPorts"]) == {"80/tcp", "81/udp"} and set(config["Volumes"]) == {"/v", "/w", "/vol"}
    assert config["Labels"] == {"title": "demo", "x": "y", "f": "1", "l": "1"} and config["WorkingDir"] == "/tmp/sub"
    assert config["OnBuild"] == ["RUN x"] and config["StopSignal"] == "9" and (value["Author"], value["Comment"]) == ("me", "message")
    check = 'HEALTHCHECK --interval=5s --retries=4 CMD ["true","x"]'
    for changes, key, expected in (
        (['ENTRYPOINT ["/x"]'], "Cmd", None),
        (["ENTRYPOINT"], "Entrypoint", None),
        (['ENTRYPOINT ["/x"]', 'CMD ["y"]'], "Cmd", ["y"]),
        (["HEALTHCHECK CMD true"], "Healthcheck", {"Test": ["CMD-SHELL", "true"]}),
        ([check], "Healthcheck", {"Test": ["CMD", "true", "x"], "Interval": 5 * 10**9, "Retries": 4}),
        (["HEALTHCHECK NONE"], "Healthcheck", {"Test": ["NONE"]}),
        (["CMD"], "Cmd", ["/bin/sh", "-c"]),
        (["CMD ", "ENTRYPOINT x"], "Cmd", ["/bin/sh", "-c"]),
        (["", " "], "WorkingDir", "/tmp"),
        (["ENV A="], "Env", ["PATH=/bin", "container=podman", "A="]),
    ):
        options = [item for change in changes for item in ("-c", change)]
        value = json.loads(pyman("image", "inspect", pyman("commit", "-q", "-f", "docker", *options, changed).stdout.strip()).stdout)[0]
        assert (value if key == "Healthcheck" else value["Config"]).get(key) == expected, changes
    for args, text in (
        (("-c", "HEALTHCHECK bogus", changed), "CMD and a command"),
        (("-c", "HEALTHCHECK --retries=x CMD true", changed), "no number of retries"),
        (("-c", "HEALTHCHECK --odd=1 CMD true", changed), "no option --odd"),
        (("-m", "x", changed), "only compatible with the docker image format"),
        (("-f", "bad", changed), 'unrecognized image format "bad"'),
        (("-c", "RUN x", changed), "RUN is none of CMD"),
        (("-c", "EXPOSE x", changed), "'x' is no port"),
        (("-c", "ENV A", changed), "A has no value"),
        (("-c", "LABEL a", changed), "a has no value"),
        (("-c", "USER ", changed), "no argument"),
        (("-c", "EXPOSE ٣", changed), "'٣' is no port"),
        (("-c", "ENV 'x", changed), "No closing quotation"),
        ((changed, "Upper"), "lower case"),
        (("nobody",), "no container with name"),
    ):
        assert text in pyman("commit", *args, rc=125).stderr
    pyman("rm", changed)
    pyman("image", "prune", "-f")


def test_pause(pyman: Run, image: str) -> None:
    pyman(
        "run", "-d", "--name", "box", "--network", "none", image, "sh", "-c", "while :; do date +%N > /new; mv /new /time; sleep 0.01; done"
    )
    until(lambda: pyman("exec", "box", "test", "-e", "/time", rc=None).returncode == 0)
    assert pyman("pause", "box").stdout == "box\n"
    first = pyman("cp", "box:/time", "-").stdout
    assert pyman("ps", "-a", "--format", "{{.Status}}").stdout == "Paused\n"
    assert json.loads(pyman("inspect", "box").stdout)[0]["State"]["Paused"] is True
    for args, text in (
        (("pause", "box"), "is not running, can't pause"),
        (("exec", "box", "true"), "it is paused"),
        (("stop", "box"), "is in state paused"),
        (("start", "box"), "it is paused"),
    ):
        assert text in pyman(*args, rc=255 if args[0] == "exec" else 125).stderr
    assert "it is paused" in pyman("rm", "box", rc=2).stderr
    pyman("commit", "-q", "--pause", "box")
    assert pyman("cp", "box:/time", "-").stdout == first
    pyman("unpause", "--all")
    until(lambda: pyman("cp", "box:/time", "-").stdout != first)
    assert "is not paused" in pyman("unpause", "box", rc=125).stderr
    pyman("commit", "-q", "--pause", "box")
    assert pyman("ps", "--format", "{{.State}}").stdout == "running\n"
    pyman("pause", "--filter", "name=box")
    pyman("rm", "-f", "box")
    pyman("image", "prune", "-f")
    pyman("run", "-d", "--name", "box", "--network", "none", "--cgroups=disabled", image, "sleep", "600")
    assert "it has no control group" in pyman("pause", "box", rc=125).stderr
    assert pyman("ps", "--format", "{{.State}}").stdout == "running\n"


def test_volumes_of_every_kind(pyman: Run, image: str) -> None:
    """--include-volumes names all that was asked for, as in Podman, and nothing that is mounted anyway."""
    options = ["--read-only", "-v", "/tmp:/host", "-v", "/own", "--tmpfs", "/tf", "--mount", "type=ramfs,dst=/rf"]
    pyman("create", "--name", "kinds", "--network", "none", *options, image, "true")
    for words, expected in (([], {"/own"}), (["--include-volumes"], {"/host", "/own", "/rf", "/tf"})):
        made = pyman("commit", "-q", *words, "kinds").stdout.strip()
        assert set(json.loads(pyman("image", "inspect", "--format", "{{json .Config.Volumes}}", made).stdout)) == expected
        pyman("rmi", made)
    pyman("rm", "-v", "kinds")


def test_configurations(pyman: Run, image: str, base: Path) -> None:
    """--config reads whatever its user may read: a link, a pipe, and what says nothing."""
    (base / "given.json").write_text('{"User": "7"}')
    (base / "link.json").symlink_to("given.json")
    (base / "large.json").write_text(" " * (1 << 20) + "{}")
    pyman("create", "--name", "given", "--network", "none", image, "true")
    for path, user, typed in (
        (base / "link.json", "7", None),
        ("/dev/stdin", "8", '{"User": "8"}'),
        ("/dev/null", "", None),
        ("/dev/stdin", "", " \n"),
    ):
        made = pyman("commit", "-q", "--config", str(path), "given", input=typed).stdout.strip()
        assert pyman("image", "inspect", "--format", "{{.User}}", made).stdout == f"{user}\n"
        pyman("rmi", made)
    for path, why in (("/nope", "No such file"), (base, "Is a directory"), (base / "large.json", "more than the")):
        done = pyman("commit", "-q", "--config", str(path), "given", rc=125).stderr
        assert f"cannot use the configuration {path}" in done and why in done
    pyman("rm", "given")
