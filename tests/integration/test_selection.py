"""Which containers a verb acts on: --all, --latest, --cidfile, --filter; and the terminal options of start, attach and exec."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until

NONE = ("--network", "none")
LOOP = ("sh", "-c", "trap 'echo hup' HUP; trap 'exit 7' TERM; echo up; while :; do sleep 0.02; done")
LEFT = "echo ready; while ! test -e /go; do sleep 0.02; done; exit 3"


@pytest.fixture
def two(pyman: Run, image: str, base: Path) -> Iterator[Path]:
    """Containers `one` and `two` (the newer), created; the id of `one` is in the file returned."""
    file = base / "one.cid"
    file.unlink(missing_ok=True)
    pyman("create", *NONE, "--name", "one", "--cidfile", str(file), "-l", "n=1", image, *LOOP)
    pyman("create", *NONE, "-i", "--name", "two", image, *LOOP)
    yield file
    pyman("rm", "-f", "-t", "0", "one", "two", rc=None)


def running(pyman: Run) -> list[str]:
    return sorted(pyman("ps", "--format", "{{.Names}}").stdout.split())


def up(pyman: Run, name: str) -> None:
    """Wait until the container's program is ready for signals."""
    until(lambda: "up" in pyman("logs", name).stdout)


def test_all(pyman: Run, two: Path) -> None:
    ids = sorted(pyman("ps", "-aq", "--no-trunc").stdout.split())
    assert sorted(pyman("start", "--all").stdout.split()) == ids and running(pyman) == ["one", "two"]
    assert pyman("start", "--all").stdout == ""
    assert sorted(pyman("kill", "--all", "-s", "KILL").stdout.split()) == ids
    pyman("wait", "one", "two")
    assert pyman("kill", "--all").stdout == "" and sorted(pyman("stop", "--all").stdout.split()) == ids
    pyman("start", "one")
    assert sorted(pyman("stop", "--all", "-t", "0").stdout.split()) == ids and running(pyman) == []
    assert sorted(pyman("rm", "--all").stdout.split()) == ids
    assert (
        "no container found" in pyman("rm", "--latest", rc=1).stderr
        and pyman("stop", "--all").stdout == pyman("init", "--all").stdout == ""
    )


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "init", "rm"])
def test_one_that_is_removed_after_it_was_listed_was_not_meant(pyman: Run, two: Path, base: Path, verb: str) -> None:
    """The newer one is worked on, so that the list has been made, while the older one's lock is held; then that has gone."""
    if verb == "stop":
        pyman("start", "two")
        up(pyman, "two")
    other = pyman("inspect", "two", "--format", "{{.Id}}").stdout
    before = pyman("ps", "-a", "--filter", "name=two", "--format", "{{.State}}").stdout
    removed = base / "home/.local/share/pyman/containers" / two.read_text()
    fd = os.open(removed, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    child = subprocess.Popen(
        [*command(), verb, "--all"],
        env=environment(base),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    until(lambda: pyman("ps", "-a", "--filter", "name=two", "--format", "{{.State}}").stdout != before)
    aside = base / "home/.local/share/pyman/trash" / "removed-meanwhile"
    removed.rename(aside)  # the last step of a removal
    os.close(fd)
    out, err = child.communicate(timeout=300)
    assert (child.returncode, out, err) == (0, other, "")
    assert "no container with" in pyman(verb, two.read_text(), rc=1 if verb == "rm" else 125).stderr  # one that was named was meant
    aside.rename(removed)


def test_latest(pyman: Run, two: Path) -> None:
    ident = pyman("inspect", "two", "--format", "{{.Id}}").stdout
    assert pyman("start", "--latest").stdout == ident and running(pyman) == ["two"]
    up(pyman, "two")
    assert pyman("logs", "--latest").stdout == "up\n"
    assert pyman("exec", "--latest", "echo", "in").stdout == "in\n"
    assert pyman("kill", "--latest", "-s", "TERM").stdout == ident
    assert pyman("wait", "--latest").stdout == "7\n"
    assert pyman("stop", "--latest").stdout == pyman("rm", "--latest").stdout == ident
    pyman("container", "exists", "one")


def test_cidfile(pyman: Run, two: Path) -> None:
    ident = two.read_text()
    pyman("start", "one", "two")
    up(pyman, "one")
    assert pyman("exec", "--cidfile", str(two), "echo", "in").stdout == "in\n"
    assert pyman("kill", "--cidfile", str(two), "-s", "TERM").stdout == ident + "\n"
    assert pyman("wait", "one").stdout == "7\n" and running(pyman) == ["two"]
    assert pyman("stop", "--cidfile", str(two)).stdout == pyman("rm", "--cidfile", str(two)).stdout == ident + "\n"
    assert not two.exists(), "it goes with its container"
    assert "cannot read" in pyman("rm", "-f", "--cidfile", "/nonexistent", rc=125).stderr
    damaged = two.with_name("damaged")
    for text, said in (
        (b"\n", "its first line is empty"),
        (b"", "its first line is empty"),
        (b"a\0b\n", "no name"),
        (bytes(9000), "no name"),
    ):
        damaged.write_bytes(text)
        for verb in (("rm", "--ignore"), ("stop",), ("exec",)):
            assert said in pyman(*verb, "--cidfile", str(damaged), *["true"] * (verb == ("exec",)), rc=125).stderr
    damaged.write_bytes(b"a\xffb\n")
    for verb in ("rm", "stop", "exec"):
        assert (
            "no such container"
            in pyman(verb, "--cidfile", str(damaged), *["true"] * (verb == "exec"), rc=1 if verb == "rm" else 125).stderr
        )
    two.write_text(ident)
    for verb in ("stop", "kill", "rm"):
        assert "no such container" in pyman(verb, "--cidfile", str(two), rc=1 if verb == "rm" else 125).stderr.lower()
        assert "cannot read" in pyman(verb, "--cidfile", "/nonexistent", rc=125).stderr
    for verb in ("stop", "rm"):
        assert pyman(verb, "--ignore", "--cidfile", "/nonexistent", "--cidfile", str(two)).stdout == ""


def test_latest_and_names(pyman: Run, two: Path) -> None:
    for verb in ("start", "stop", "rm", "kill", "pause", "wait", "init"):
        assert "cannot use --latest together with" in pyman(verb, "--latest", "one", rc=125).stderr
    assert pyman("start", "--filter", "name=two", "one").stdout == "" and pyman("start", "--filter", "name=o", "one").stdout == "one\n"
    for verb in ("stop", "rm", "restart", "pause"):  # what is named beside them is not meant to be left alone in silence
        assert "cannot use --filter together with" in pyman(verb, "--filter", "name=one", "two", rc=125).stderr
    assert "cannot use --cidfile together with" in pyman("rm", "--cidfile", str(two), "two", rc=125).stderr
    assert pyman("wait", "one", "nope", rc=125).stdout == ""
    ident = two.read_text()
    for text, names in ((ident[:9], "one"), (ident[1:30], ""), (f"^{ident[:9]}", "one")):
        assert pyman("ps", "-a", "--format", "{{.Names}}", "--filter", f"id={text}").stdout.split() == names.split()
    listed = ("ps", "-a", "--format", "{{.Names}}", "--filter")
    for text, names in (("n", "one"), ("n=1", "one"), ("n=", "one"), ("n=2", ""), ("*=1", "one"), ("n*", "one"), ("m*", ""), ("n=*", "")):
        assert pyman(*listed, f"label={text}").stdout.split() == names.split(), text
    pyman("start", "one")
    pyman("pause", "one")
    assert "it is paused" in pyman("attach", "one", rc=125).stderr and "it is paused" in pyman("start", "-a", "one", rc=125).stderr
    pyman("unpause", "one")
    assert "BAD" in pyman("exec", "--detach-keys", "BAD", "one", "true", rc=255).stderr
    for words, arguments, code in (("attach", (), 125), ("start -a", (), 125), ("run", ("true",), 126), ("exec -d", ("true",), 125)):
        done = pyman(*words.split(), "--detach-keys", "BAD", "one", *arguments, rc=code)
        assert "invalid detach keys 'BAD'" in done.stderr


def test_exec_waits_for_the_start(pyman: Run, base: Path, two: Path) -> None:
    words = [*command(), "exec", "--wait", "300", "one", "echo", "in"]
    child = subprocess.Popen(words, env=environment(base), stdout=subprocess.PIPE, text=True)
    pyman("start", "one")
    assert child.communicate(timeout=300)[0] == "in\n"
    refused = pyman("exec", "--wait", "1", "two", "true", rc=255).stderr
    assert "timed out after 1 s waiting for container two" in refused and "it is created" in refused
    assert "there is no such container" in pyman("exec", "--wait", "1", "nosuch", "true", rc=125).stderr


def test_unmount_where_nothing_can_be_mounted(pyman: Run, two: Path) -> None:
    assert pyman("unmount", "one", "two").stdout == "one\ntwo\n" and pyman("unmount", "--all").stdout == ""
    assert "no such container" in pyman("unmount", "nosuch", rc=125).stderr


def test_filter(pyman: Run, two: Path) -> None:
    ident = two.read_text() + "\n"
    assert pyman("start", "--filter", "label=n").stdout == ident and running(pyman) == ["one"]
    assert pyman("start", "--all", "--filter", "status=running").stdout == pyman("start", "--all", "--filter", "status=exited").stdout == ""
    assert pyman("stop", "-f", "name=one", "-t", "0").stdout == ident
    # An id is told by its beginning; only what is not hexadecimal is looked for in its middle.
    start, middle = ident[:6], ident[20:32]
    for text, found in (
        (start, ident),
        (start.upper(), ident),
        (middle, ""),
        (f"{start}.*", ident),
        (f"^{middle}", ""),
        (f".{middle}", ident),
    ):
        assert pyman("ps", "-aq", "--no-trunc", "--filter", f"id={text}").stdout == found, text
    assert "no regular expression" in pyman("ps", "-a", "--filter", "id=[", rc=125).stderr
    assert pyman("rm", "-f", "--filter", f"id={middle}").stdout == ""
    assert pyman("rm", "--filter", "status=exited").stdout == ident
    assert pyman("rm", "--filter", "status=exited").stdout == ""


def test_wait_for_a_condition(pyman: Run, image: str, base: Path, two: Path) -> None:
    child = subprocess.Popen(
        [*command(), "wait", "--condition", "running,paused", "-i", "10ms", "one"],
        env=environment(base),
        stdout=subprocess.PIPE,
        text=True,
    )
    # One that has not started has no end to wait for.
    for words in ((), ("--condition", "stopped"), ("--condition", "exited"), ("--condition", "paused", "--condition", "exited")):
        assert pyman("wait", *words, "two").stdout == "0\n"
    pyman("start", "one")
    assert child.communicate(timeout=300)[0] == "-1\n"
    pyman("stop", "-t", "0", "one")
    assert pyman("wait", "--condition", "exited", "--interval", "1s", "one").stdout == "137\n"
    # A run that is shorter than the interval counts: the second look finds that there was one.
    pyman("create", *NONE, "--name", "short", image, "true")
    words = [*command(), "wait", "--condition", "running", "-i", "3s", "short"]
    child = subprocess.Popen(words, env=environment(base), stdout=subprocess.PIPE, text=True)
    while child.poll() is None:
        pyman("start", "-a", "short")
    assert child.communicate(timeout=300)[0] == "-1\n"
    pyman("rm", "short")
    assert "it is not a duration" in pyman("wait", "--interval", "soon", "one", rc=125).stderr
    assert "invalid condition" in pyman("wait", "--condition", "up", "one", rc=125).stderr


@pytest.mark.parametrize("proxy", [True, False])
def test_signals_of_an_attached_command(pyman: Run, base: Path, two: Path, proxy: bool) -> None:
    option = [] if proxy else ["--sig-proxy=false"]
    for line in (["start", "-a", *option, "one"], ["attach", *option, "one"]):
        if line[0] == "attach":
            pyman("start", "one")
            up(pyman, "one")
        child = subprocess.Popen([*command(), *line], env=environment(base), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert child.stdout
        if line[0] == "start":
            assert child.stdout.readline() == "up\n"
        else:
            # Once an answer is seen, the client is attached; what was written before it was is not for it.
            while not select.select([child.stdout], [], [], 0.5)[0]:
                pyman("kill", "-s", "HUP", "one")
            assert child.stdout.readline() == "hup\n"
        child.send_signal(signal.SIGTERM)
        assert child.wait(300) == ((7 if line[0] == "start" else 0) if proxy else -signal.SIGTERM)
        child.stdout.close()
        if not proxy:
            assert running(pyman) == ["one"]
        pyman("stop", "-t", "0", "one")


@pytest.mark.parametrize("number", [signal.SIGRTMIN, signal.SIGRTMIN + 3, signal.SIGRTMAX])
def test_real_time_signals_are_passed_on(pyman: Run, base: Path, image: str, number: int) -> None:
    """systemd in a container shuts down by one of them."""
    words = ["run", "--rm", *NONE, image, "sh", "-c", f"trap 'exit 22' {int(number)}; echo up; while :; do sleep 0.05; done"]
    with subprocess.Popen([*command(), *words], env=environment(base), stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout and child.stdout.readline() == "up\n"
        child.send_signal(number)
        assert child.wait(300) == 22


def on_terminal(base: Path, line: list[str], keys: bytes, ready: bytes) -> tuple[int, bytes]:
    """Run a command on a terminal of its own, type `keys` once `ready` was printed (again and again if it is empty); (exit code, all it printed)."""
    ours, theirs = os.openpty()
    child = subprocess.Popen([*command(), *line], env=environment(base), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen, typed = b"", False
    while True:
        if not ready and not select.select([ours], [], [], 0.1)[0]:
            os.write(ours, keys)  # nothing tells when the client listens; what came too early it throws away
            continue
        try:
            part = os.read(ours, 4096)
        except OSError:
            break  # the last of its ends was closed
        seen += part
        if ready and ready in seen and not typed:
            os.write(ours, keys)
            typed = True
    os.close(ours)
    return child.wait(300), seen


def test_detach_keys(pyman: Run, image: str, base: Path) -> None:
    pyman("create", *NONE, "-it", "--name", "t", image, "sh", "-c", "echo ready; while read line; do echo got $line; done")
    code, seen = on_terminal(base, ["start", "-ai", "--detach-keys", "ctrl-a,x", "t"], b"one\r\x01x", b"ready")
    assert code == 0 and running(pyman) == ["t"], seen
    code, seen = on_terminal(base, ["attach", "--detach-keys", "ctrl-b", "t"], b"\x02", b"")
    assert code == 0 and running(pyman) == ["t"], seen
    code, seen = on_terminal(base, ["attach", "--latest"], b"\x10\x11", b"")
    assert code == 0 and running(pyman) == ["t"], seen
    pyman("rm", "-f", "-t", "0", "t")
    pyman("create", *NONE, "-i", "--name", "t", image, "sleep", "600")
    assert pyman("start", "-i", "t").stdout == "t\n", "nobody is attached without -a"
    pyman("rm", "-f", "-t", "0", "t")


def test_interactive_alone_attaches_to_nothing(pyman: Run, image: str) -> None:
    """As with Podman; stdin of a container made with --interactive stays open, and who attaches later is heard."""
    pyman("create", *NONE, "-i", "--name", "heard", image, "sh", "-c", "read word; echo got $word; exit 7")
    pyman("create", *NONE, "--name", "closed", image, "sh", "-c", "read word || exit 5")
    assert pyman("start", "-i", "heard", "closed", input="lost\n").stdout == "heard\nclosed\n"
    assert pyman("wait", "closed").stdout == "5\n" and running(pyman) == ["heard"]
    assert pyman("attach", "heard", input="kept\n").stdout == "got kept\n"
    assert "--attach" in pyman("start", "--sig-proxy", "-i", "heard", rc=125).stderr
    assert pyman("start", "-ai", "--sig-proxy=false", "heard", input="again\n", rc=7).stdout == "got again\n"
    pyman("rm", "heard", "closed")


def test_names_as_docker_writes_them(pyman: Run, image: str) -> None:
    pyman("create", *NONE, "--name", "/slashed", "-v", "/tmp:/m:cached", image, "true")
    pyman("rename", "/slashed", "/renamed")
    assert pyman("ps", "-a", "--format", "{{.Names}}", "--filter", "name=^renamed$").stdout == "renamed\n"
    assert pyman("rm", "/renamed").stdout == "/renamed\n"
    assert "invalid container name" in pyman("create", "--name", "//x", image, rc=125).stderr


def test_exec_options(pyman: Run, two: Path, base: Path) -> None:
    pyman("start", "one")
    (base / "vars").write_text("A=1\n  # comment\n\n\tB=two words\n")
    assert pyman("exec", "--env-file", str(base / "vars"), "-e", " A=2", "one", "sh", "-c", "echo $A $B").stdout == "2 two words\n"
    assert pyman("exec", "--no-session", "one", "echo", "x").stdout == "x\n"
    caps = ["sed", "-n", "s/CapEff:[\\t 0]*//p", "/proc/self/status"]
    plain, privileged = pyman("exec", "one", *caps).stdout, pyman("exec", "--privileged", "one", *caps).stdout
    assert int(plain, 16) & int(privileged, 16) == int(plain, 16) != int(privileged, 16)
    pyman("exec", "--detach", "one", "sh", "-c", "sleep 0.1; echo done > /file")
    assert pyman("exec", "one", "sh", "-c", "while ! test -s /file; do sleep 0.01; done; cat /file").stdout == "done\n"
    code, seen = on_terminal(base, ["exec", "-it", "one", "sh", "-c", "tty; read line; echo got $line; exit 4"], b"word\r", b"/dev/pts")
    assert code == 4 and b"got word" in seen
    code, seen = on_terminal(base, ["exec", "-it", "--detach-keys", "ctrl-a", "one", "sh", "-c", LEFT], b"\x01", b"ready")
    assert code == 0, seen
    # It lives on, with its terminal; its end is noted.
    known = pyman("inspect", "--format", "{{range .ExecIDs}}{{.}} {{end}}", "one").stdout.split()
    [session] = [found["ID"] for found in json.loads(pyman("inspect", *known).stdout) if found["Running"]]
    pyman("exec", "one", "touch", "/go")
    died = ["events", "--stream=false", "--since", "10m", "--filter", "event=exec_died", "--format", "{{.ExecID}} {{.ContainerExitCode}}"]
    until(lambda: session in pyman(*died).stdout)
    [code] = [line.split()[1] for line in pyman(*died).stdout.splitlines() if session in line]
    assert code == "3"
    assert "invalid detach keys" in pyman("exec", "-t", "--detach-keys", "ctrl-?", "one", "touch", "/made", rc=255).stderr
    pyman("exec", "one", "test", "-e", "/made", rc=1)


def test_attach_ends_with_the_container_and_start_with_its_code(pyman: Run, image: str) -> None:
    """As with Podman: `attach` ends well however the container does, and has nothing to attach to before that begins."""
    pyman("create", *NONE, "-i", "--name", "end", image, "sh", "-c", "read word; echo $word; exit 7")
    assert pyman("start", "-a", "end", input="heard\n", rc=7).stdout == "heard\n", "the stdin that a container has is attached"
    assert pyman("start", "-a", "--interactive=false", "end", rc=7).stdout == "\n"
    pyman("start", "end")
    assert pyman("attach", "end", input="again\n").stdout == "again\n" and pyman("wait", "end").stdout == "7\n"
    pyman("init", "end")
    assert "start --attach" in pyman("attach", "end", rc=125).stderr
    assert pyman("start", "-a", "end", input="late\n", rc=7).stdout == "late\n"
    assert "--attach works on one" in pyman("start", "--all", "--attach", rc=125).stderr
    pyman("rm", "end")


def test_streams_of_run(pyman: Run, image: str) -> None:
    """Who is attached to stdin alone is told the id, once the program runs; --detach counts more than --attach."""
    script = ("sh", "-c", "cat; echo out; echo err >&2; exit 3")
    for streams, out, err in (
        (("stdout",), "in\nout\n", ""),
        (("STDERR",), "", "err\n"),
        (("stdin", "stdout"), "in\nout\n", ""),
        (("stdout,stderr",), "in\nout\n", "err\n"),
    ):
        given = [word for stream in streams for word in ("-a", stream)]
        done = pyman("run", "--rm", *NONE, "-i", *given, image, *script, input="in\n", rc=3)
        assert (done.stdout, done.stderr) == (out, err), streams
    for more in ((), ("-i",), ("-t",), ("-a", "stdin")):
        done = pyman("run", *NONE, "--name", "heard", "-a", "stdin", *more, image, "sh", "-c", "echo out; exit 3", input="", rc=3)
        assert done.stdout == pyman("inspect", "--format", "{{.Id}}", "heard").stdout
        pyman("rm", "heard")
    made = pyman("run", "--rm", *NONE, "-d", "-a", "stdout", image, "true").stdout
    assert len(made) == 65
    assert "stdin, stdout or stderr" in pyman("run", "--rm", *NONE, "-d", "-a", "odd", image, "true", rc=125).stderr
    pyman("wait", "--ignore", made.strip())
