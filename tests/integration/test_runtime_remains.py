"""Commands that are killed, or run at the same time: the id can be used again, nothing is half there."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pyman.linux import process
from tests.conftest import ROOT, Run, environment, until
from tests.integration.conftest import Bundle, Runtime


def begin(base: Path, *args: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-SI", str(ROOT / "pyman/runtime/__main__.py"), *map(str, args)]
    nothing = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment(base), stdin=nothing, stdout=nothing, stderr=subprocess.PIPE)


def test_a_create_that_is_killed_leaves_its_id_free(bundle: Bundle, runtime: Runtime, base: Path, tmp_path: Path) -> None:
    root = tmp_path / "state"
    bundle.save(args=["/bin/sleep", "1000"])
    for step in range(16):
        killed = begin(base, "--root", root, "create", "--bundle", bundle.path, "killed")
        time.sleep(step * 0.012)  # wherever it is by then: nothing depends on it
        killed.kill()
        killed.wait()
        assert killed.stderr is not None
        killed.stderr.close()
        listed = runtime("--root", root, "list", "-q").stdout
        if listed:  # it had got far enough to be known
            assert '"killed"' in runtime("--root", root, "state", "killed").stdout
        runtime("--root", root, "delete", "--force", "killed")
        assert runtime("--root", root, "list", "-q").stdout == ""
        runtime("--root", root, "create", "--bundle", bundle.path, "killed")
        runtime("--root", root, "delete", "--force", "killed")


def test_what_older_kills_left_is_no_container(bundle: Bundle, runtime: Runtime, tmp_path: Path) -> None:
    root = tmp_path / "state"
    for name, command in (("one", "run"), ("two", "delete")):
        (root / name).mkdir(parents=True, mode=0o700)
        root.chmod(0o700)
        os.mkfifo(root / name / "start")
        if command == "delete":
            runtime("--root", root, "delete", "--force", name)
            assert not (root / name).exists()
        else:
            runtime("--root", root, "run", "--bundle", bundle.save(args=["/bin/true"]), name)
    (root / ".aside-1-2").mkdir()
    (root / ".aside-1-2" / "config.json").touch()
    os.utime(root / ".aside-1-2", (1, 1))
    runtime("--root", root, "run", "--bundle", bundle.path, "three")
    assert os.listdir(root) == []


@pytest.mark.parametrize("kind", ["created", "running"])
def test_deletes_at_the_same_time_all_succeed(bundle: Bundle, runtime: Runtime, base: Path, kind: str) -> None:
    bundle.spec["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo x >>{bundle.path}/stopped"]}]}
    bundle.save(args=["/bin/sleep", "1000"])
    for number in range(1, 4):
        runtime("create", "--bundle", bundle.path, "many")
        if kind == "running":
            runtime("start", "many")
        deletes = [begin(base, "delete", "--force", "many") for _ in range(4)]
        assert [done.communicate()[1] for done in deletes] == [b""] * 4
        assert [done.returncode for done in deletes] == [0] * 4
        assert (bundle.path / "stopped").read_text() == "x\n" * number, "the hooks run once"
    assert runtime("list", "-q").stdout == ""


@pytest.mark.parametrize("mask", [0o777, 0o277])
def test_the_callers_umask_takes_nothing_from_the_runtime(bundle: Bundle, runtime: Runtime, base: Path, tmp_path: Path, mask: int) -> None:
    root, pid = tmp_path / "state", tmp_path / "pid"
    bundle.sh("umask; sleep 1000")
    before = os.umask(mask)
    try:
        with begin(base, "--root", root, "create", "--bundle", bundle.path, "--pid-file", pid, "masked") as created:
            pass
    finally:
        os.umask(before)
    assert created.returncode == 0 and int(pid.read_text()) > 0
    runtime("--root", root, "start", "masked")
    assert '"running"' in runtime("--root", root, "state", "masked").stdout
    runtime("--root", root, "delete", "--force", "masked")
    assert os.listdir(root) == []


FULL = """
trap 'umount -l "$DIR"' EXIT
for option in nr_inodes=2 nr_inodes=3 nr_inodes=4 nr_inodes=5 nr_inodes=6 size=4k size=8k size=12k size=16k; do
    mount -t tmpfs -o "$option,mode=700" none "$DIR" || exit 1
    if %(runtime)s --root "$DIR" create --bundle "$BUNDLE" full </dev/null >/dev/null 2>"$ERRORS"; then
        %(runtime)s --root "$DIR" delete --force full || exit 1
    else
        [ "$(wc -l <"$ERRORS")" = 1 ] || { cat "$ERRORS"; exit 1; }
        grep -q 'No space left' "$ERRORS" && echo refused
    fi
    [ -z "$(ls -A "$DIR")" ] || { echo "$option left:"; ls -lR "$DIR"; exit 1; }
    umount "$DIR"
done
"""


def test_a_full_disk_keeps_nothing_of_a_create(bundle: Bundle, pyman: Run, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    program = f"{sys.executable} -SI {ROOT}/pyman/runtime/__main__.py"
    env = {"DIR": str(small), "BUNDLE": str(bundle.path), "ERRORS": str(tmp_path / "errors")}
    done = pyman("unshare", "sh", "-c", "exec 2>&1\n" + FULL % {"runtime": program}, env=env)
    assert done.stdout.split().count("refused") >= 3, done.stdout


def test_what_was_begun_is_removed_once_its_maker_has_ended(bundle: Bundle, runtime: Runtime, tmp_path: Path) -> None:
    root = tmp_path / "state"
    ended = subprocess.Popen(["true"])
    ended.wait()
    place = os.stat("/proc/self/ns/pid").st_ino
    for verb in (["list"], ["delete", "--force", "nobody"], ["run", "--bundle", bundle.save(args=["/bin/true"]), "next"]):
        for pid in (ended.pid, os.getpid()):
            (root / f".aside-{place}-{pid}-1").mkdir(parents=True, mode=0o700)
            root.chmod(0o700)
            (root / f".aside-{place}-{pid}-1/config.json").touch()
        runtime("--root", root, *verb)
        assert os.listdir(root) == [f".aside-{place}-{os.getpid()}-1"], "who lives may still work there"
        (root / f".aside-{place}-{os.getpid()}-1/config.json").unlink()
        (root / f".aside-{place}-{os.getpid()}-1").rmdir()
    # Nothing is removed where others may have put it.
    (root / f".aside-{place}-{ended.pid}-1").mkdir()
    root.chmod(0o777)
    runtime("--root", root, "list")
    assert os.listdir(root)


@pytest.mark.parametrize("verb", ["create", "run", "exec"])
def test_who_waits_for_a_terminals_taker_can_be_ended(bundle: Bundle, runtime: Runtime, base: Path, tmp_path: Path, verb: str) -> None:
    """The socket's queue is full: the command waits, and a signal undoes all that it has begun."""
    root, path, pid = tmp_path / "state", base / f"full-{verb}", tmp_path / "pid"
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(0)
    first = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    first.connect(str(path))
    if verb == "exec":
        runtime("--root", root, "run", "-d", "--bundle", bundle.save(args=["/bin/sleep", "1000"]), "waits")
        words = ["exec", "--tty", "--console-socket", path, "--pid-file", pid, "waits", "/bin/sleep", "777"]
        seen = lambda: len(json.loads(runtime("--root", root, "ps", "--format", "json", "waits").stdout)) > 1  # noqa: E731
    else:
        words = [verb, "--bundle", bundle.save(terminal=True, args=["/bin/sleep", "1000"]), "--console-socket", path, "waits"]
        seen = lambda: json.loads((root / "waits/state.json").read_text())["pid"]  # noqa: E731
    waiting = begin(base, "--root", root, *words)
    until(seen)
    if verb != "exec":
        assert '"creating"' in runtime("--root", root, "state", "waits").stdout
        record = json.loads((root / "waits/state.json").read_text())
    waiting.terminate()
    error = waiting.communicate()[1].decode()
    assert waiting.returncode == (255 if verb == "exec" else 1) and "it was ended by SIGTERM" in error and error.count("\n") == 1, error
    if verb == "exec":
        until(lambda: len(json.loads(runtime("--root", root, "ps", "--format", "json", "waits").stdout)) == 1)
        runtime("--root", root, "delete", "--force", "waits")
    else:
        assert not process.alive(record["pid"], record["start"]) and not os.path.exists(record["cgroup"] or "/nowhere")
    assert os.listdir(root) == [] and not pid.exists()
    first.close()
    server.close()
    path.unlink()


DAMAGES: list[Any] = [
    *("", "{", "[]", "null", "{}"),
    *({"pid": "x"}, {"pid": 0}, {"pid": -1}, {"pid": 1.5}, {"pid": None}, {"start": "x"}, {"started": 1}, {"creating": None}),
    *({"creator": 5}, {"creator": ["x", "y"]}, {"cgroup": 5}, {"cgroup": "/etc"}, {"cgroup": "/sys/fs/cgroup/../../../etc"}),
    *({"annotations": 5}, {"bundle": None}, {"id": "other"}, {"created": "x"}, {"created": 1e300}),
]


def test_a_damaged_record_is_one_clear_sentence(bundle: Bundle, runtime: Runtime, tmp_path: Path) -> None:
    root = tmp_path / "state"
    runtime("--root", root, "create", "--bundle", bundle.save(args=["/bin/sleep", "1000"]), "torn")
    file = root / "torn/state.json"
    whole = json.loads(file.read_text())
    verbs = [["state"], ["start"], ["exec", "torn", "/bin/true"], ["kill"], ["ps"], ["pause"], ["update"], ["events"], ["delete"]]
    for number, damage in enumerate(DAMAGES):
        file.write_text(damage if isinstance(damage, str) else json.dumps({**whole, **damage}))
        verb, *rest = verbs[number % len(verbs)]
        done = runtime("--root", root, verb, *(rest or ["torn"]), rc=255 if verb == "exec" else 1)
        listed = runtime("--root", root, "list")
        for text in (done.stderr, listed.stderr):
            assert "cannot use container torn: its state.json is damaged: " in text, (damage, text)
            assert "delete --force torn forgets it\n" in text and text.count("\n") == 1 and "Error" not in text, (damage, text)
        assert "torn" not in listed.stdout
    # What a damaged record still names is ended.
    file.write_text(json.dumps({**whole, "cgroup": "/etc", "annotations": 5}))
    runtime("--root", root, "delete", "--force", "torn")
    until(lambda: not process.alive(whole["pid"], whole["start"]))
    assert os.listdir(root) == [] and not os.path.exists(whole["cgroup"] or "/nowhere")


@pytest.mark.parametrize("kind", ["text", "pid", "fifo"])
def test_processes_of_a_damaged_record_are_found_by_their_group(
    bundle: Bundle, runtime: Runtime, own: Path, tmp_path: Path, kind: str
) -> None:
    root = tmp_path / "state"
    name = f"torn-{kind}"
    runtime("--root", root, "create", "--bundle", bundle.save(args=["/bin/sleep", "1000"]), name)
    file = root / name / "state.json"
    whole = json.loads(file.read_text())
    assert whole["cgroup"].startswith(str(own))
    # A container of the same name in another state directory would be a later one: its configuration is not this old.
    other = tmp_path / "other"
    (other / name).mkdir(parents=True, mode=0o700)
    other.chmod(0o700)
    (other / name / "config.json").write_text((root / name / "config.json").read_text())
    os.utime(other / name / "config.json", (1, 1))
    (other / name / "state.json").write_text("x")
    assert "what it had may still run" in runtime("--root", other, "delete", "--force", name).stderr
    assert process.alive(whole["pid"], whole["start"]) and os.listdir(other) == []
    if kind == "fifo":
        file.unlink()
        os.mkfifo(file)
    else:
        file.write_text("x" if kind == "text" else json.dumps({**whole, "pid": "x"}))
    done = runtime("--root", root, "delete", "--force", name)
    until(lambda: not process.alive(whole["pid"], whole["start"]))
    assert done.stderr == "" and not os.path.exists(whole["cgroup"]) and os.listdir(root) == []


def of_another_tick(start: int) -> subprocess.Popen[bytes] | None:
    """A process that did not begin in clock tick `start`; none where it did."""
    other = subprocess.Popen(["sleep", "1000"])
    if process.start_time(other.pid) != start:
        return other
    other.kill()
    other.wait()
    return None


def test_another_process_is_never_taken_for_the_container(bundle: Bundle, runtime: Runtime, tmp_path: Path) -> None:
    root = tmp_path / "state"
    runtime("--root", root, "run", "-d", "--bundle", bundle.save(args=["/bin/sleep", "1000"]), "wrong")
    file = root / "wrong/state.json"
    whole = json.loads(file.read_text())
    # A process is known by its id and its start in clock ticks of 10 ms: the kernel gives an id again only after all the
    # others, so both are never the same, but this test's process could begin in the tick in which the container did.
    other = until(lambda: of_another_tick(whole["start"]))
    try:
        file.write_text(json.dumps({**whole, "pid": other.pid}))
        assert '"stopped"' in runtime("--root", root, "state", "wrong").stdout
        assert "not running" in runtime("--root", root, "kill", "wrong", "KILL", rc=1).stderr
        runtime("--root", root, "delete", "--force", "wrong")
        assert other.poll() is None and os.listdir(root) == []
    finally:
        other.kill()
        other.wait()
    if process.alive(whole["pid"], whole["start"]):
        os.kill(whole["pid"], 9)


@pytest.mark.parametrize("with_record", [False, True])
def test_a_link_in_place_of_a_container_is_not_followed(bundle: Bundle, runtime: Runtime, tmp_path: Path, with_record: bool) -> None:
    root, victim = tmp_path / "state", tmp_path / "victim"
    (victim / "deep").mkdir(parents=True, mode=0o700)
    (victim / "deep/file").write_text("kept")
    root.mkdir(mode=0o700)
    (root / ".aside-1-2-3").symlink_to(victim)
    if with_record:
        runtime("--root", root, "create", "--bundle", bundle.path, "real")
        (victim / "state.json").write_text((root / "real/state.json").read_text().replace('"real"', '"linked"'))
    (root / "linked").symlink_to(victim)
    for verb in ("state", "kill", "start", "delete"):
        error = runtime("--root", root, verb, "linked", rc=1).stderr
        assert ("is no directory that is yours alone" if with_record else "does not exist") in error and error.count("\n") == 1
    in_the_way = runtime("--root", root, "create", "--bundle", bundle.path, "linked", rc=1).stderr
    assert ("a container with that id exists" if with_record else "is in the way") in in_the_way
    runtime("--root", root, "delete", "--force", "linked")
    assert not os.path.lexists(root / "linked") and (victim / "deep/file").read_text() == "kept"
    if with_record:
        assert (victim / "state.json").exists() and '"created"' in runtime("--root", root, "state", "real").stdout
        # Nor inside an entry.
        (root / "real/inner").symlink_to(victim)
        (root / "real/more").mkdir()
        (root / "real/more/inner").symlink_to(victim)
        runtime("--root", root, "delete", "--force", "real")
    os.utime(root / ".aside-1-2-3", (1, 1), follow_symlinks=False)
    os.utime(victim, (1, 1))
    runtime("--root", root, "list")
    assert os.listdir(root) == [] and (victim / "deep/file").read_text() == "kept"


def test_a_damaged_configuration_of_a_container(bundle: Bundle, runtime: Runtime, tmp_path: Path) -> None:
    root = tmp_path / "state"
    for number, text in enumerate(
        ("", "{}", '{"process": 5, "root": {}, "linux": {}}', '{"process": {}, "root": {}, "linux": {}, "hooks": 5}')
    ):
        runtime("--root", root, "run", "-d", "--bundle", bundle.save(args=["/bin/sleep", "1000"]), "torn")
        (root / "torn/config.json").write_text(text)
        verb, *rest = (["list"], ["exec", "torn", "/bin/true"])[number % 2]
        done = runtime("--root", root, verb, *rest, rc=255 if verb == "exec" else 0)
        assert "config.json" in done.stderr and "damaged" in done.stderr and done.stderr.count("\n") == 1, done.stderr
        runtime("--root", root, "kill", "torn", "KILL")
        until(lambda: '"stopped"' in runtime("--root", root, "state", "torn").stdout)
        assert "damaged" in runtime("--root", root, "delete", "torn", rc=1).stderr
        runtime("--root", root, "delete", "--force", "torn")
        assert os.listdir(root) == []


def test_a_container_whose_creator_was_killed_is_stopped(bundle: Bundle, runtime: Runtime, base: Path) -> None:
    """It hangs in a hook of its creator's: nobody will ever start it, and it needs no force to be deleted."""
    mark = bundle.path / "hooked"
    bundle.spec["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo $$ >{mark}; exec sleep 1000"]}]}
    bundle.save(args=["/bin/true"])
    killed = begin(base, "create", "--bundle", bundle.path, "orphan")
    until(lambda: mark.exists() and mark.read_text().endswith("\n"))
    assert '"creating"' in runtime("state", "orphan").stdout
    assert "it is creating" in runtime("delete", "orphan", rc=1).stderr
    killed.kill()
    killed.communicate()
    os.kill(int(mark.read_text()), 9)
    assert '"stopped"' in runtime("state", "orphan").stdout
    runtime("delete", "orphan")
    assert runtime("list", "-q").stdout == ""
