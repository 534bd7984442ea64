"""Random and damaged config.json files: `pyman-runtime` refuses each with one clear line or runs it; never a traceback, never a changed host."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import until
from tests.integration.conftest import Bundle, Runtime

# Programs, paths and numbers that lead somewhere if anything trusts them.
PLACES = [
    "/",
    "..",
    "../../..",
    "/proc/self/fd/3",
    "/proc/1/root",
    "/proc/self/exe",
    "/dev/null",
    "/etc",
    "link",
    "/link/x",
    "",
    "a\0b",
    "x" * 5000,
    "\ud800",
    "\udcff",
]
NUMBERS = [-1, 0, 1, 7, 255, 4096, 10**10, 1 << 31, (1 << 32) - 1, 1 << 63, 1 << 64, -(1 << 63)]
VALUES: Any = st.recursive(
    st.sampled_from(
        [None, True, False, 1.5, *NUMBERS, *PLACES, "rbind", "ro", "proc", "tmpfs", "user", "mount", "SCMP_ACT_KILL", "CAP_ALL"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["path", "type", "source", "destination", "options"]), inner)
    ),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value of a document."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [place for key, inner in items for place in ((*path, key), *places(inner, (*path, key)))]


def rich(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec that asks for nearly everything."""
    spec = copy.deepcopy(spec)
    spec["process"].update(
        args=["/bin/true"],
        scheduler={"policy": "SCHED_BATCH", "nice": 19},  # never less than the tests themselves have
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 3},
        oomScoreAdj=100,
        consoleSize={"height": 24, "width": 80},
        rlimits=[{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
        user={"uid": 0, "gid": 0, "umask": 18, "additionalGids": []},
    )
    spec["hooks"] = {"createContainer": [{"path": "/bin/true", "env": ["A=b"], "timeout": 3}], "poststop": [{"path": "/bin/true"}]}
    spec["annotations"] = {"a": "b"}
    spec["mounts"].append({"destination": "/bound", "type": "bind", "source": "/etc", "options": ["rbind", "ro", "rprivate", "rnosuid"]})
    spec["mounts"].append({"destination": "/copied", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "size=1m"]})
    spec["linux"].update(
        sysctl={"kernel.msgmax": "8192"},
        devices=[{"path": "/dev/extra", "type": "c", "major": 1, "minor": 3, "source": "/dev/null"}],
        personality={"domain": "LINUX"},
        rootfsPropagation="rslave",
        resources={"devices": [{"allow": False, "type": "c", "major": 10, "minor": 200, "access": "rwm"}]},
        seccomp={
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [
                {
                    "names": ["acct"],
                    "action": "SCMP_ACT_ERRNO",
                    "args": [{"index": 0, "value": 1, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}],
                }
            ],
        },
    )
    return spec


@pytest.fixture
def world(bundle: Bundle, tmp_path: Path) -> Any:
    """Around the bundle a tree that must not change, with links into it from the root; returns what it is like now."""
    victim = tmp_path / "victim"
    for name in ("a", "b/c"):
        (victim / name).mkdir(parents=True)
    (victim / "file").write_text("host")
    (victim / "file").chmod(0o600)
    (bundle.root / "link").symlink_to(victim)

    def mine(name: str) -> bool:  # devices of the machine come and go
        try:
            return os.lstat(f"/dev/{name}").st_uid == os.getuid()
        except FileNotFoundError:
            return False

    def look() -> Any:
        return [
            (str(path), path.lstat().st_mode, path.lstat().st_uid, path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in sorted(victim.rglob("*"))
        ] + [sorted(filter(mine, os.listdir("/dev"))), sorted(os.listdir(tmp_path))]

    return look


def judge(runtime: Runtime, bundle: Bundle, document: bytes, look: Any, before: Any) -> int:
    """One run; its exit code."""
    (bundle.path / "config.json").write_bytes(document)
    try:
        done = runtime("run", "--bundle", bundle.path, "fuzz", rc=None)  # asserts that there is no traceback
    finally:
        runtime("delete", "--force", "fuzz", rc=None)
    lines = done.stderr.splitlines()
    assert done.returncode in (0, 128 + signal.SIGSYS) or lines, document  # a filter may kill the program, which says nothing
    assert all(line.startswith("pyman-runtime: ") for line in lines if done.returncode in (1, 255)), (document, lines)
    assert "configuration: " not in done.stderr, (document, lines)  # the name of an exception that nobody foresaw
    assert look() == before, document
    assert runtime("list", "-q").stdout == "", document
    return done.returncode


def test_random_values_in_random_places(bundle: Bundle, runtime: Runtime, world: Any) -> None:
    spec = rich(bundle.spec)
    known = places(spec)
    before = world()
    codes = set()

    @settings(max_examples=int(os.environ.get("PYMAN_FUZZ", "80")), deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(st.tuples(st.sampled_from(known), VALUES, st.booleans()), min_size=1, max_size=3))
    def attempt(changes: list[tuple[tuple[Any, ...], Any, bool]]) -> None:
        changed: Any = copy.deepcopy(spec)
        for path, value, away in changes:
            place = changed
            try:
                for key in path[:-1]:
                    place = place[key]
                if away:
                    del place[path[-1]]
                else:
                    place[path[-1]] = value
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change took it away
        if changed.get("process", {}) and isinstance(changed["process"], dict) and changed["process"].get("terminal"):
            return
        codes.add(judge(runtime, bundle, json.dumps(changed).encode(), world, before))

    attempt()
    assert 0 in codes and 1 in codes, "some run and some are refused"


def test_damaged_text(bundle: Bundle, runtime: Runtime, world: Any) -> None:
    text = json.dumps(rich(bundle.spec)).encode()
    before = world()

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(st.integers(0, len(text)), st.binary(max_size=6), st.integers(0, 40))
    def attempt(at: int, new: bytes, removed: int) -> None:
        judge(runtime, bundle, text[:at] + new + text[at + removed :], world, before)

    attempt()


@pytest.mark.parametrize("size", [1 << 20, 70 << 20])
def test_large_documents_need_bounded_time_and_memory(bundle: Bundle, runtime: Runtime, size: int) -> None:
    with (bundle.path / "config.json").open("w") as file:
        file.write('{"ociVersion": "1.2.0", "annotations": {"a": "')
        file.write("x" * size)
        file.write('"}}')
    assert runtime("run", "--bundle", bundle.path, "large", rc=1).stderr.count("\n") == 1
    assert runtime("list", "-q").stdout == ""


def test_long_texts_do_not_hide_anything(bundle: Bundle, runtime: Runtime) -> None:
    """Messages between the runtime's processes have a size: what is longer must neither fail for that nor look like success."""
    bundle.spec["annotations"] = {"long": "x" * 2_000_000}
    assert runtime("run", "--bundle", bundle.sh("echo ran"), "long").stdout == "ran\n"
    bundle.spec["annotations"] = {}
    text = runtime("run", "--bundle", bundle.save(args=["/" + "a" * 200_000]), "long", rc=1).stderr
    assert "cannot run /aaa" in text and "name too long" in text.lower() and len(text) < 10_000
    text = runtime("run", "--bundle", bundle.save(args=["/bin/true", "a" * 3_000_000]), "long", rc=1).stderr
    assert text.endswith("Argument list too long\n")


def test_what_is_opened_never_waits(bundle: Bundle, runtime: Runtime, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for change in (
        {
            "linux": {
                **bundle.spec["linux"],
                "namespaces": [*bundle.spec["linux"]["namespaces"], {"type": "network", "path": f"{tmp_path}/fifo"}],
            }
        },
        {"hooks": {"createRuntime": [{"path": f"{tmp_path}/fifo"}]}},
        {"root": {"path": f"{tmp_path}/fifo"}},
    ):
        spec = {**bundle.spec, **change}
        (bundle.path / "config.json").write_text(json.dumps(spec))
        assert runtime("run", "--bundle", bundle.path, "waits", rc=1).stderr.count("\n") == 1


@pytest.mark.parametrize("place", ["/", "//", "/..", "a/..", "/./"])
def test_nothing_is_mounted_over_the_root_in_silence(bundle: Bundle, runtime: Runtime, place: str) -> None:
    bundle.spec["mounts"].append({"destination": place, "type": "bind", "source": "/etc", "options": ["bind"]})
    assert "it is the root itself" in runtime("run", "--bundle", bundle.save(), "over", rc=1).stderr


def test_a_program_may_have_no_descriptors(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 0, "hard": 0}]
    assert runtime("run", "--bundle", bundle.sh("ulimit -n"), "none").stdout == "0\n"


ODD = ["proc", "sys", "dev", "etc", "run", "tmp", "dev/null", "dev/console", "dev/pts", "dev/shm", "etc/passwd", "work"]


@pytest.mark.parametrize("kind", ["absolute", "upwards", "magic", "loop", "file", "fifo"])
def test_odd_roots_do_not_reach_the_host(bundle: Bundle, runtime: Runtime, world: Any, kind: str) -> None:
    """What the runtime mounts, makes, binds, masks and reads by itself, where the root has something else in its place."""
    spec = rich(bundle.spec)
    spec["process"].update(args=["/bin/echo", "started"], cwd="/work/deeper")
    spec["mounts"].append({"destination": "/run/file", "type": "bind", "source": "/etc/hostname", "options": ["bind", "ro"]})
    spec["linux"]["maskedPaths"] = ["/proc/kcore", "/dev/null", "/etc", "/work"]
    spec["linux"]["readonlyPaths"] = ["/proc/sys", "/tmp"]
    (bundle.path / "config.json").write_text(json.dumps(spec))
    victim = bundle.path / "victim"
    before = world()
    for number, path in enumerate(ODD):
        root = bundle.path / "odd"
        shutil.copytree(bundle.root, root, symlinks=True)
        target = root / path
        target.parent.mkdir(exist_ok=True)
        if kind == "file":
            target.write_text("file")
        elif kind == "fifo":
            os.mkfifo(target)
        else:
            links = {"absolute": str(victim), "upwards": "../" * 20 + str(victim)[1:], "magic": "/proc/self/root", "loop": target.name}
            target.symlink_to(links[kind])
        bundle.spec = {**spec, "root": {"path": "odd"}}
        done = runtime("run", "--bundle", bundle.save(), f"odd{number}", rc=None)  # asserts that there is no traceback
        assert (done.returncode, done.stdout) in ((0, "started\n"), (1, "")), (path, done)
        shutil.rmtree(root)
        assert world() == before, path


def test_a_setting_is_written_to_its_own_file_only(bundle: Bundle, runtime: Runtime) -> None:
    """A file of procfs lies where another one should be: the magic number alone does not tell them apart."""
    bundle.spec["linux"]["sysctl"] = {"kernel.msgmax": "77"}
    (bundle.path / "score").write_text("not procfs")
    for source in ("/proc/self/oom_score_adj", str(bundle.path / "score")):
        bundle.spec["mounts"][7:] = [{"destination": "/proc/sys/kernel/msgmax", "type": "bind", "source": source, "options": ["bind"]}]
        text = runtime("run", "--bundle", bundle.sh("cat /proc/sys/kernel/msgmax"), "covered", rc=1).stderr
        assert "cannot set sysctl kernel.msgmax=77: something is mounted over it" in text
    assert (bundle.path / "score").read_text() == "not procfs"


def test_no_process_is_left(bundle: Bundle, runtime: Runtime) -> None:
    """The runtime's own processes are named pyman:[...]: after runs that fail at different stages none is there, not even as a zombie."""

    def own() -> set[str]:
        lines = subprocess.run(["ps", "-u", str(os.getuid()), "-o", "pid=,comm="], capture_output=True, text=True, check=True).stdout
        return {line for line in lines.splitlines() if line.split()[1].startswith(("pyman:[init", "pyman:[join", "pyman:[hook"))}

    before = own()  # of other suites of this account
    for change in (
        lambda spec: spec["mounts"].append({"destination": "/x", "type": "nofs"}),
        lambda spec: spec["process"].update(args=["/none"]),
        lambda spec: spec["process"].update(user={"uid": 9, "gid": 9}),
        lambda spec: spec.update(hooks={"createContainer": [{"path": "/bin/false"}]}),
        lambda spec: spec["linux"].update(sysctl={"kernel.msgmax": "never"}),
    ):
        keep = copy.deepcopy(bundle.spec)
        change(bundle.spec)
        runtime("run", "--bundle", bundle.save(), "failing", rc=None)
        bundle.spec = keep
    until(lambda: own() <= before)
