"""Logs: drivers, rotation that loses and doubles nothing while it is followed, several containers, hostile output."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until


def log_dir(base: Path, name: str) -> Path:
    store = base / "home/.local/share/pyman"
    return store / "containers" / os.readlink(store / "names" / name)


@pytest.mark.parametrize(("driver", "files", "lines"), [("k8s-file", 1, 400_000), ("k8s-file", 3, 400_000), ("json-file", 2, 100_000)])
def test_following_over_rotations(pyman: Run, image: str, base: Path, driver: str, files: int, lines: int) -> None:
    """Hundreds of rotations, as fast as the container can write; the reader is even stopped for a while."""
    options = ["--log-driver", driver, "--log-opt", "max-size=204800", "--log-opt", f"max-file={files}", "--network", "none"]
    script = f"echo ready; while [ ! -e /go ]; do sleep 0.02; done; seq 1 {lines}; seq 1 50 >&2; echo end"
    pyman("run", "-d", "--name", "lf", *options, image, "sh", "-c", script)
    out, err = base / "lf.out", base / "lf.err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        reader = subprocess.Popen([*command(), "logs", "-f", "lf"], env=environment(base), stdout=stdout, stderr=stderr)
    until(lambda: out.read_bytes() == b"ready\n")
    pyman("exec", "lf", "touch", "/go")
    reader.send_signal(19)
    time.sleep(0.1)  # the container rotates on
    reader.send_signal(18)
    assert reader.wait(600) == 0
    numbers = b"".join(b"%d\n" % number for number in range(1, lines + 1))
    assert out.read_bytes() == b"ready\n" + numbers + b"end\n"
    assert err.read_bytes() == b"".join(b"%d\n" % number for number in range(1, 51))
    # Without a reader the files are as many, and as large, as was asked for; the end of the log is there.
    pyman("start", "lf")
    pyman("wait", "lf", timeout=600)
    logs = sorted(path for path in log_dir(base, "lf").iterdir() if path.name.startswith("ctr.log"))
    assert len(logs) == files and all(path.stat().st_size <= 200 << 10 for path in logs)
    everything = pyman("logs", "lf")
    kept = everything.stdout.splitlines()
    assert kept[-1] == "end" and kept[-2] == str(lines) and kept[0] == str(lines - len(kept) + 2)
    last = pyman("logs", "--tail", "1000", "lf")  # of both streams together; which of them was read last is not said
    assert kept[-len(last.stdout.splitlines()) :] == last.stdout.splitlines()
    assert (last.stdout + last.stderr).count("\n") == min(1000, (everything.stdout + everything.stderr).count("\n"))
    pyman("rm", "lf")


def test_several_containers(pyman: Run, image: str, base: Path) -> None:
    for name in ("la", "lb"):
        pyman("run", "--name", name, "--network", "none", image, "sh", "-c", f"echo {name}1; echo {name}2 >&2; printf {name}3")
    ids = {name: pyman("inspect", "--format", "{{.Id}}", name).stdout[:12] for name in ("la", "lb")}
    assert pyman("logs", "la", "lb").stdout == "".join(f"{ids[name]} {name}1\n{ids[name]} {name}3\n" for name in ("la", "lb"))
    assert pyman("logs", "-n", "la", "lb").stderr == "la la2\nlb lb2\n"
    for follow in ((), ("-f",)):
        lines = pyman("logs", "-n", *follow, "la", "lb").stdout
        assert sorted(lines.split("\n")) == ["", "la la1", "la la3", "lb lb1", "lb lb3"], (
            "an unfinished line is ended before the next one's"
        )
    assert pyman("logs", "-n", "la").stdout == "la1\nla3", "of one container the name is not told"
    colours = pyman("logs", "-n", "--color", "la", "lb")
    assert colours.stderr == "\x1b[37mla la2\x1b[0m\n\x1b[31mlb lb2\x1b[0m\n"
    stamped = pyman("logs", "-t", "la").stdout.split(" ")
    assert stamped[0].endswith("Z") and len(stamped[0]) == 30 and stamped[1].startswith("la1")
    followed = pyman("logs", "-f", "-n", "la", "lb")
    assert sorted(followed.stderr.splitlines()) == ["la la2", "lb lb2"] and "lb lb3" in followed.stdout
    assert pyman("logs", "--since", "1h", "--until", "2020-01-01T00:00:00", "la").stdout == ""
    assert pyman("logs", "--since", "1h", "la").stdout == "la1\nla3" and not pyman("logs", "--since", "2100-01-01", "la").stdout
    assert pyman("logs", "--tail", "0", "la").stdout == "" and pyman("logs", "--tail", "1", "la").stdout == "la3"
    for args, words in (
        (("--tail", "x", "la"), "--tail"),
        (("--since", "x", "la"), "--since"),
        (("nope",), "no container"),
        ((), "no container"),
    ):
        assert words in pyman("logs", *args, rc=125).stderr
    pyman("rm", "la", "lb")


def follow(base: Path, name: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Who follows the log of a container, and the file with what he has read."""
    out = base / f"{name}.out"
    with out.open("wb") as stdout:
        return subprocess.Popen([*command(), "logs", "-f", name], env=environment(base), stdout=stdout), out


def test_following_over_a_restart(pyman: Run, image: str, base: Path) -> None:
    """By the restart command; a stop is the end."""
    pyman("run", "-d", "--name", "again", "--network", "none", image, "sh", "-c", "echo run; exec sleep 600")
    reader, out = follow(base, "again")
    for runs in (1, 2, 3):
        until(lambda runs=runs: out.read_text() == "run\n" * runs)  # type: ignore[misc]
        pyman(*(("restart", "-t", "0") if runs < 3 else ("stop", "-t", "0")), "again")
    assert reader.wait(300) == 0
    pyman("rm", "again")


@pytest.mark.parametrize("driver", ["k8s-file", "json-file"])
def test_following_what_is_emptied(pyman: Run, image: str, base: Path, driver: str) -> None:
    """As logrotate's copytruncate does: what is written afterwards is read from the beginning of the file."""
    before = "".join(f"before {number}\n" for number in range(1, 51))
    script = "for i in $(seq 50); do echo before $i; done; while [ ! -e /go ]; do sleep 0.05; done; echo one; echo two; exec sleep 600"
    pyman("run", "-d", "--name", "cut", "--network", "none", "--log-driver", driver, image, "sh", "-c", script)
    path = pyman("inspect", "--format", "{{.HostConfig.LogConfig.Path}}", "cut").stdout.strip()
    reader, out = follow(base, "cut")
    until(lambda: out.read_text() == before)
    os.truncate(path, 0)
    pyman("exec", "cut", "touch", "/go")
    until(lambda: out.read_text() == before + "one\ntwo\n")
    pyman("stop", "-t", "0", "cut")
    assert reader.wait(300) == 0
    pyman("rm", "cut")


def test_following_ends(pyman: Run, image: str, base: Path) -> None:
    pyman("run", "-d", "--name", "le", "--network", "none", image, "sh", "-c", "echo one; sleep 600")
    until(lambda: pyman("logs", "le").stdout == "one\n")
    assert pyman("logs", "-f", "--until", "100ms", "le").stdout == "one\n"
    with (base / "le.out").open("w") as out:
        reader = subprocess.Popen([*command(), "logs", "-f", "--tail", "1", "le"], env=environment(base), stdout=out, stderr=2)
    until(lambda: (base / "le.out").read_text() == "one\n")
    pyman("rm", "-f", "-t", "0", "le")
    assert reader.wait(300) == 0


def on_a_terminal(base: Path, *args: str) -> bytes:
    """What a command prints on a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen([*command(), *args], env=environment(base), stdin=subprocess.DEVNULL, stdout=slave, stderr=slave)
    os.close(slave)
    data = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        data += piece
    process.wait()
    os.close(master)
    return data.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("driver", ["k8s-file", "json-file"])
def test_hostile_output(pyman: Run, image: str, base: Path, driver: str) -> None:
    """Bytes pass unchanged into pipes; a terminal sees colours, and everything else escaped unless --raw."""
    data = base / "hostile.bin"
    colour, title, clipboard = b"\x1b[1;31mred\x1b[0m", b"\x1b]0;title\x07", b"\x1b]52;c;cm0gLXJm\x1b\\"
    lines = [
        colour,
        title + b"x",
        clipboard,
        b"\x9b2J\xff\xfe",
        "‮rtl".encode(),
        b"a\rb",
        b"\x1b[2J\x1b[31mopen",
        b"q\"uo\\te'",
        b"\x00\x01tab\t.",
    ]
    data.write_bytes(b"\n".join(lines) + b"\n" + b"x" * 50_000 + b"\nlast without end")
    pyman("run", "-d", "--name", "lh", "--network", "none", "--log-driver", driver, "-v", f"{data}:/d:ro", image, "cat", "/d")
    pyman("wait", "lh")
    raw = subprocess.run([*command(), "logs", "lh"], env=environment(base), stdout=subprocess.PIPE, check=True).stdout
    assert raw == data.read_bytes()
    shown = on_a_terminal(base, "logs", "lh")
    assert colour in shown
    assert b"\\x1b]0;title\\x07x" in shown and b"\\u202ertl" in shown and b"\\x1b[2J\x1b[31mopen\x1b[0m" in shown
    assert title in on_a_terminal(base, "logs", "--raw", "lh")
    # The long line is kept in pieces of bounded size.
    pieces = (log_dir(base, "lh") / "ctr.log").read_bytes().splitlines()
    assert max(map(len, pieces)) < 20_000 and len(pieces) > len(lines) + 3
    if driver == "json-file":
        assert json.loads(pieces[0])["log"].endswith("\n")
    pyman("rm", "lh")


def test_log_files_that_cannot_be_opened(pyman: Run, image: str, base: Path, tmp_path: Path) -> None:
    """A container without the log that was asked for does not start. (A FIFO there would wait for a reader that never comes.)"""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, why in ((fifo, "nobody reads"), (tmp_path / "no/log", "No such file"), (tmp_path, "Is a directory")):
        done = pyman("run", "--rm", "--network", "none", "--log-opt", f"path={path}", image, "true", rc=126)
        assert f"cannot open log file {path}" in done.stderr and why in done.stderr
    pyman("create", "--name", "lf", "--network", "none", "--log-opt", f"path={tmp_path}/log", image, "echo", "there")
    (tmp_path / "log").mkdir()
    assert "Is a directory" in pyman("start", "lf", rc=125).stderr
    (tmp_path / "log").rmdir()
    assert pyman("start", "-a", "lf").stdout == pyman("logs", "lf").stdout == "there\n"
    pyman("rm", "lf")
    pyman("create", "--name", "lf", "--network", "none", image, "touch", "/ran")  # in its own place, too
    (log_dir(base, "lf") / "ctr.log").mkdir()
    assert "Is a directory" in pyman("start", "lf", rc=125).stderr and "/ran" not in pyman("diff", "lf").stdout
    (log_dir(base, "lf") / "ctr.log").rmdir()
    pyman("start", "-a", "lf")
    # The descriptor is not the container's, nor a health check's.
    words = ("--health-cmd", "ls -l /proc/self/fd", "--health-interval", "disable", "--network", "none")
    pyman("run", "-d", "--replace", "--name", "lf", *words, image, "sh", "-c", "ls -l /proc/self/fd; sleep 600")
    pyman("healthcheck", "run", "lf")
    until(lambda: " 2 -> pipe" in pyman("logs", "lf").stdout)
    for seen in (pyman("logs", "lf").stdout, pyman("inspect", "--format", "{{json .State.Health.Log}}", "lf").stdout):
        assert " 2 -> pipe" in seen and "ctr.log" not in seen
    pyman("rm", "-f", "-t", "0", "lf")


def test_drivers(pyman: Run, image: str, base: Path) -> None:
    other = base / "other.log"
    pyman("run", "--name", "ld", "--log-driver", "k8s-file", "--log-opt", f"path={other}", image, "echo", "there")
    assert pyman("logs", "ld").stdout == "there\n" and other.read_bytes().endswith(b" stdout F there\n")
    pyman("rm", "ld")
    other.unlink()
    for driver in ("none", "passthrough", "passthrough-tty"):
        assert pyman("run", "--name", "ld", "--log-driver", driver, image, "echo", "seen").stdout == "seen\n"
        assert f"log driver {driver} keeps no log" in pyman("logs", "ld", rc=125).stderr
        pyman("rm", "ld")
    line = f"exec {' '.join(command())} run -d --name ld --log-driver passthrough {image} sleep 600 > {base}/ld.out"
    subprocess.run(["sh", "-c", line], env=environment(base), check=True, timeout=60)
    assert not (base / "ld.out").read_bytes(), "the file is the container's"
    pyman("rm", "-f", "-t", "0", "ld")
    assert b"cannot use log driver passthrough on a terminal" in on_a_terminal(base, "run", "--log-driver", "passthrough", image, "true")
    assert on_a_terminal(base, "run", "--rm", "--log-driver", "passthrough-tty", image, "tty") == b"not a tty\n"
    assert "invalid log driver" in pyman("create", "--log-driver", "x", image, rc=125).stderr
    assert "invalid log option" in pyman("create", "--log-opt", "x=1", image, rc=125).stderr
    told = pyman("run", "--name", "ld", "--log-opt", "mode=non-blocking", "--log-opt", "labels=a", image, "echo", "there").stderr
    assert "--log-opt labels is Docker's and does nothing here" in told and "--log-opt mode is Docker's" in told
    assert pyman("logs", "--details", "--tail", "-5", "ld").stdout == "there\n"
    pyman("rm", "ld")
