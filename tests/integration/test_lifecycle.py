"""Containers over their life: create, start, stop, kill, rm, logs, exec, wait, rename, ps, inspect."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import struct
import subprocess
import termios
from pathlib import Path

from tests.conftest import Run, command, environment, until

SLEEPER = ("sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done")


def wait_for(run: Run, name: str, text: str) -> None:
    """Until the container's log holds `text` (the follower ends with the container at the latest)."""
    until(lambda: text in run("logs", name).stdout)


def test_detached_container_from_run_to_rm(pyman: Run, image: str) -> None:
    done = pyman("run", "-d", "--name", "web", "--network", "none", image, *SLEEPER)
    assert re.fullmatch(r"[0-9a-f]{64}\n", done.stdout)
    wait_for(pyman, "web", "ready")
    assert pyman("ps", "--format", "{{.Names}} {{.State}}").stdout == "web running\n"
    assert pyman("stop", "web").stdout == "web\n"
    assert pyman("wait", "web").stdout == "3\n"
    assert "Exited (3)" in pyman("ps", "-a").stdout
    assert pyman("start", "web").stdout == "web\n"
    assert "it is running" in pyman("rm", "web", rc=2).stderr
    pyman("kill", "-s", "KILL", "web")
    assert pyman("wait", "web").stdout == "137\n"
    assert pyman("rm", "web").stdout == "web\n"
    pyman("container", "exists", "web", rc=1)


def test_exec(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "e", "--network", "none", image, "sleep", "600")
    assert pyman("exec", "e", "sh", "-c", "echo o; echo e >&2; exit 5", rc=5).stdout == "o\n"
    assert pyman("exec", "-i", "e", "cat", input="in").stdout == "in"
    assert pyman("exec", "-e", "X=1", "-u", "1000", "-w", "/etc", "e", "sh", "-c", "echo $X $(id -u) $PWD").stdout == "1 1000 /etc\n"
    pyman("exec", "e", "nope", rc=127)
    pyman("exec", "e", "/etc", rc=126)
    status = pyman("exec", "e", "cat", "/proc/self/status").stdout
    assert "Seccomp:\t2" in status and "CapEff:\t00000000800405fb" in status
    pyman("stop", "-t", "0", "e")
    assert "not running" in pyman("exec", "e", "true", rc=255).stderr


def test_logs_options(pyman: Run, image: str) -> None:
    pyman("run", "--name", "l", "--network", "none", image, "sh", "-c", "for i in 1 2 3; do echo $i; done; printf part")
    assert pyman("logs", "l").stdout == "1\n2\n3\npart"
    assert pyman("logs", "--tail", "1", "l").stdout == "part", "the part of a line at the end is one"
    assert pyman("logs", "--tail", "2", "l").stdout == "3\npart"
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z 1\n", pyman("logs", "-t", "l").stdout)
    assert pyman("logs", "--until", "1h", "l").stdout == ""
    assert pyman("logs", "-f", "--since", "1h", "l").stdout == "1\n2\n3\npart"


def test_log_rotation_keeps_the_newest_lines(pyman: Run, image: str) -> None:
    pyman("run", "--name", "r", "--network", "none", "--log-opt", "max-size=50k", "--log-opt", "max-file=3", image, "seq", "10000")
    lines = [int(line) for line in pyman("logs", "r").stdout.split()]
    assert lines == list(range(lines[0], 10001)) and len(lines) > 1000


def test_log_drivers(pyman: Run, image: str) -> None:
    pyman("run", "--name", "j", "--network", "none", "--log-driver", "json-file", image, "printf", 'a"\\\\\\t\\n')
    assert pyman("logs", "j").stdout == 'a"\\\t\n'
    pyman("run", "--name", "n", "--network", "none", "--log-driver", "none", image, "echo", "x")
    assert "keeps no log" in pyman("logs", "n", rc=125).stderr
    for _ in range(5):  # a command that ends at once must not be missed: no stream tells of it
        done = pyman("run", "--rm", "--network", "none", "--log-driver", "passthrough", image, "sh", "-c", "echo x; exit 4", rc=4)
        assert done.stdout == "x\n"


def test_inspect_and_templates(pyman: Run, image: str) -> None:
    pyman("create", "--name", "i", "-l", "k=v", "-p", "127.0.0.1:18123:80", image, "sleep", "5")
    value = json.loads(pyman("inspect", "i").stdout)[0]
    assert value["Name"] == "i" and value["Config"]["Labels"]["k"] == "v" and value["State"]["Status"] == "created"
    template = (
        "{{.Name}} {{range $k, $v := .Config.Labels}}{{$k}}={{$v}},{{end}} {{len .Config.Cmd}} {{if .State.Running}}up{{else}}down{{end}}"
    )
    assert pyman("inspect", "--format", template, "i").stdout == "i k=v,title=demo, 2 down\n"
    assert "known are" in pyman("ps", "-a", "--format", "{{.Nope}}", rc=125).stderr
    assert "not closed" in pyman("ps", "-a", "--format", "{{.ID", rc=125).stderr


def test_ps_filters(pyman: Run, image: str) -> None:
    for name, label in (("one", "a=1"), ("two", "a=2")):
        pyman("create", "--name", name, "-l", label, image)
    assert pyman("ps", "-aq", "--filter", "label=a=1", "--format", "{{.Names}}").stdout.strip()
    names = pyman("ps", "-a", "--filter", "name=^t", "--format", "{{.Names}}").stdout
    assert names == "two\n"
    assert pyman("ps", "-a", "--filter", "status=running", "--format", "{{.Names}}").stdout == ""
    assert json.loads(pyman("ps", "-a", "--format", "json").stdout)[0]["State"] == "created"
    pyman("ps", "--filter", "nope=1", rc=125)


def test_rename_and_name_conflicts(pyman: Run, image: str) -> None:
    pyman("create", "--name", "old", image)
    pyman("rename", "old", "new")
    pyman("container", "exists", "old", rc=1)
    assert "already in use" in pyman("create", "--name", "new", image, rc=125).stderr
    pyman("create", "--name", "new", "--replace", image)
    pyman("create", "--name", "old", image)
    pyman("create", "--name", "bad/name", image, rc=125)


def test_cidfile_and_pidfile(pyman: Run, image: str, base: Path) -> None:
    cid, pid = base / "cid", base / "pid"
    for path in (cid, pid):
        path.unlink(missing_ok=True)
    pyman("run", "-d", "--name", "f", "--network", "none", "--cidfile", str(cid), "--pidfile", str(pid), image, "sleep", "600")
    assert cid.read_text() == pyman("inspect", "f", "--format", "{{.Id}}").stdout.strip()
    assert pid.read_text() == pyman("inspect", "f", "--format", "{{.State.Pid}}").stdout.strip()
    other = pyman("create", "--cidfile", str(cid), image).stdout.strip()
    assert cid.read_text() == other  # a killed command may have left one
    assert "No such file" in pyman("create", "--name", "nowhere", "--cidfile", str(base / "no/cid"), image, rc=125).stderr
    pyman("container", "exists", "nowhere", rc=1)
    pyman("rm", "-f", "-t", "0", "f")
    assert cid.exists()
    pyman("rm", other)
    assert not cid.exists()
    for _ in range(2):  # as units do that make their container anew
        pyman("run", "--rm", "--network", "none", "--cidfile", str(cid), image, "true")
        assert not cid.exists()
    pyman("create", "--name", "f", "--cidfile", str(cid), image)
    cid.write_text("another")
    pyman("rm", "f")
    assert cid.read_text() == "another"


def test_terminal(base: Path, pyman: Run, image: str) -> None:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    args = [
        *command(),
        "run",
        "--rm",
        "-it",
        "--network",
        "none",
        image,
        "sh",
        "-c",
        "read x; stty size; tty; test -c /dev/console && echo console $x; exit 6",
    ]
    child = subprocess.Popen(args, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(base), start_new_session=True)
    os.write(ours, b"typed\n")
    os.close(theirs)
    output = b""
    while True:
        try:
            output += os.read(ours, 4096)
        except OSError:
            break
    assert child.wait(timeout=300) == 6
    assert b"33 77" in output and b"/dev/pts/0" in output and b"console typed" in output


def test_attach_sees_the_end(pyman: Run, image: str) -> None:
    pyman(
        "run",
        "-d",
        "--name",
        "a",
        "--network",
        "none",
        image,
        "sh",
        "-c",
        "trap 'echo bye; exit 4' TERM; echo up; while :; do sleep 0.05; done",
    )
    wait_for(pyman, "a", "up\n")
    attached = subprocess.Popen(
        [*command(), "attach", "--no-stdin", "a"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(Path(pyman("info", "--format", "{{.store.graphRoot}}").stdout.split("/home/")[0])),
    )
    until(lambda: "attach" in pyman("events", "--stream=false", "--filter", "container=a", "--format", "{{.Status}}").stdout.split())
    pyman("stop", "a")
    output, _ = attached.communicate(timeout=300)
    assert attached.returncode == 0, "as with Podman"
    assert output in ("bye\n", "")


def test_the_first_command_after_a_reboot(pyman: Run, image: str, base: Path) -> None:
    """`start` makes the directory of what runs, which others may never write to, whatever the umask; the commands after it use it."""
    pyman("create", "--name", "first", "--network", "none", image, "sleep", "600")
    fresh = base / "fresh"
    fresh.mkdir(0o700)
    env = {"XDG_RUNTIME_DIR": str(fresh)}
    before = os.umask(0o002)
    try:
        pyman("start", "first", env=env)
    finally:
        os.umask(before)
    assert (fresh / "pyman").stat().st_mode & 0o777 == 0o700
    pyman("rm", "-f", "-t", "0", "first", env=env)
    shutil.rmtree(fresh)
