"""`top`: descriptors and arguments of ps, computed from outside; the container's own ps and files are not trusted."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.conftest import Run, command, environment, until


def cells(text: str) -> list[list[str]]:
    """The rows of a table whose cells have no two blanks in them."""
    return [[cell for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]


def test_descriptors(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "t", "--network", "none", image, "sh", "-c", "sleep 1001 & exec sleep 1000")
    rows = [["STATE", "COMMAND"], ["S", "sleep", "1000"], ["S", "sleep", "1001"]]
    until(lambda: [line.split() for line in pyman("top", "t", "state", "args").stdout.splitlines()] == rows)
    default = cells(pyman("top", "t").stdout)
    assert [cell.strip() for cell in default[0]] == ["USER", "PID", "PPID", "%CPU", "ELAPSED", "TTY", "TIME", "COMMAND"]
    assert default[1][0] == "root" and default[1][-1].strip() == "sleep 1000" and default[2][-1].strip() == "sleep 1001"
    shown = pyman("top", "t", "pid", "ppid,huser", "hpid", "%c", "capeff", "seccomp", "state", "uid", "huid").stdout.splitlines()
    assert shown[0].split() == ["PID", "PPID", "HUSER", "HPID", "COMMAND", "EFFECTIVE", "CAPS", "SECCOMP", "STATE", "UID", "HUID"]
    first = shown[1].split()
    assert first[:2] == ["1", "0"] and first[3] == pyman("inspect", "--format", "{{.State.Pid}}", "t").stdout.strip()
    assert first[4] == "sleep" and "NET_BIND_SERVICE" in first[5] and first[6:] == ["filter", "S", "0", str(os.getuid())]
    names = pyman("top", "--list-descriptors").stdout.split()
    every = pyman("top", "-l", *names).stdout.splitlines()
    assert len(every) == 3 and len(names) == 32
    pyman("rm", "-f", "-t", "0", "t")
    pyman("run", "-d", "--name", "t", "--network", "none", "--user", "55:44", "--cap-drop", "all", "--pid", "host", image, "sleep", "1002")
    assert [line.split() for line in pyman("top", "t", "user,group,capbnd,ppid,comm").stdout.splitlines()[1:]] == [
        ["55", "44", "none", "0", "sleep"]
    ]
    pyman("stop", "-t", "0", "t")
    assert "not running" in pyman("top", "t", rc=125).stderr
    pyman("rm", "t")
    assert "no container" in pyman("top", "t", rc=125).stderr


def test_arguments_of_ps(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "t", "--network", "none", image, "sh", "-c", "sleep 1001 & exec sleep 1000")
    until(lambda: pyman("top", "t", "args").stdout.split() == ["COMMAND", "sleep", "1000", "sleep", "1001"])
    assert pyman("top", "t", "-ef").stdout.splitlines()[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    aux = pyman("top", "t", "--", "aux").stdout.splitlines()
    for words in (["-aux"], ["-auxww"], ["--", "-axu"]):
        assert len(pyman("top", "t", *words).stdout.splitlines()) == len(aux), "no user x"
    assert aux[0].split() == ["USER", "PID", "%CPU", "%MEM", "VSZ", "RSS", "TT", "STAT", "START", "TIME", "COMMAND"]
    assert aux[1].split()[0] == "root" and aux[1].endswith("sleep 1000")
    listed = pyman("top", "t", "-eo", "pid,args=WHAT", "--sort=-pid").stdout.splitlines()
    assert [line.split() for line in listed] == [["PID", "WHAT"], ["2", "sleep", "1001"], ["1", "sleep", "1000"]]

    def commands(*words: str) -> list[str]:
        return [line.split()[-1] for line in pyman("top", "t", *words, "-o", "args").stdout.splitlines()[1:]]

    assert commands("-p", "2") == ["1001"] and commands("-p1,2") == ["1000", "1001"] and commands("-p", "77") == []
    assert commands("-C", "sleep") == ["1000", "1001"] and commands("-C", "sh") == []
    assert (
        commands("-u", "root") == commands("-U", "0") == commands("--ppid", "0", "--pid=2") == ["1000", "1001"]
        and commands("-u", "7") == []
    )
    tree = pyman("top", "t", "-H").stdout.splitlines()
    assert tree[0].split() == ["PID", "TTY", "TIME", "CMD"] and tree[1].endswith(" sleep") and tree[2].endswith("   sleep")
    listed = [line.split() for line in pyman("top", "t", "-eT").stdout.splitlines()]
    assert listed[0] == ["PID", "SPID", "TTY", "TIME", "CMD"] and [row[:2] for row in listed[1:]] == [["1", "1"], ["2", "2"]]
    for words, text in (
        (["-p", "x"], "invalid list"),
        (["-C"], "invalid list"),
        (["--pid", "1\x1b"], "invalid list"),
        (["foo"], "neither a format descriptor"),
        (["-o", "nope"], "unknown column"),
        (["--sort", "x"], "--sort"),
        (["-Z"], "-Z"),
    ):
        assert text in pyman("top", "t", *words, rc=125).stderr
    pyman("rm", "-f", "-t", "0", "t")


def test_a_hostile_container(pyman: Run, image: str, base: Path) -> None:
    """Its ps is not run, its passwd may be a pipe or lead outside, its command line forges no row, its threads and namespaces count."""
    trap = base / "trap"
    trap.write_text("#!/bin/sh\ntouch /trapped\n")
    trap.chmod(0o755)
    script = "rm -f /etc/passwd; mkfifo /etc/passwd; cp /trap /bin/ps; echo ready; exec sleep 1003"
    args = ["-v", f"{trap}:/trap:ro", "--network", "none", image, "sh", "-c", script]
    pyman("run", "-d", "--name", "t", *args)
    until(lambda: "ready" in pyman("logs", "t").stdout)
    evil = "sleep\x1b]0;title\x07\n99999"
    pyman("exec", "-d", "t", "sh", "-c", f"ln -s /bin/busybox '/tmp/{evil}'; PATH=/tmp:$PATH; '{evil}' 1004 || sh -c 'sleep 1004' '{evil}'")
    trace = base / "top.trace"
    calls = ["strace", "-f", "-qq", "-o", str(trace), "-e", "trace=execve,openat,openat2", *command(), "top", "t", "aux"]
    done = subprocess.run(calls, env=environment(base), capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout and not any(line.strip().startswith("99999") for line in done.stdout.splitlines())
    assert done.stdout.splitlines()[1].split()[:2] == ["0", "1"], "there is no passwd to give a name"
    launched = 2 if len(command()) == 1 else 1  # the launcher executes the interpreter
    assert trace.read_text().count("execve(") == launched
    pyman("exec", "t", "test", "!", "-e", "/trapped")
    pyman("rm", "-f", "-t", "0", "t")
    pyman("run", "-d", "--name", "t", "--network", "none", image, "sh", "-c", "ln -sf /proc/1/environ /etc/passwd; exec sleep 1005")
    assert pyman("top", "t", "user", "pid").stdout.splitlines()[1].split()[1] == "1"
    pyman("rm", "-f", "-t", "0", "t")
