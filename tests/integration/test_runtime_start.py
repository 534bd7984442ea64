"""create and start as two commands: what cannot work fails where managers look for it, with its cause and in the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import until
from tests.integration.conftest import Bundle, Runtime


def one_line(done: Any, log: Path) -> str:
    """The error's only line, which the log has too."""
    assert done.stderr.count("\n") == 1, done
    entry = json.loads(log.read_text().splitlines()[-1])
    assert entry["level"] == "error" and entry["msg"] in done.stderr
    return str(entry["msg"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cwd": "/bin/sh"}, ["/bin/sh", "Not a directory"]),
        ({"cwd": "/proc/self/fd/1"}, ["/proc/self/fd/1"]),
        ({"user": {"uid": 4000000, "gid": 0}}, ["4000000:0", "not mapped"]),
        ({"user": {"uid": 0, "gid": 4000000}}, ["0:4000000", "not mapped"]),
        ({"user": {"uid": 0, "gid": 0, "additionalGids": [4000000]}}, ["groups", "4000000"]),
        ({"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1 << 40, "hard": 1 << 40}]}, ["nofile"]),
        ({"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 1, "period": 1}}, ["process.scheduler"]),
    ],
    ids=["cwd-file", "cwd-link", "uid", "gid", "groups", "rlimit", "scheduler"],
)
def test_what_the_process_cannot_have_fails_at_create(bundle: Bundle, runtime: Runtime, changes: dict[str, Any], words: list[str]) -> None:
    log = bundle.path / "log"
    done = runtime("--log", log, "--log-format", "json", "create", "--bundle", bundle.save(args=["/bin/true"], **changes), "never", rc=1)
    text = one_line(done, log)
    assert all(word in text for word in words), text
    assert runtime("list", "-q").stdout == ""
    # Created and started in one it says the same.
    assert text == runtime("run", "--bundle", bundle.path, "never", rc=1).stderr.removeprefix("pyman-runtime: ").rstrip("\n")


def deny_exec(bundle: Bundle) -> None:
    rule = {"names": ["execve"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    bundle.spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}


@pytest.mark.parametrize("no_new_privs", [False, True])
@pytest.mark.parametrize("kind", ["too long", "denied", "hook", "gone"])
def test_what_fails_later_is_told_by_start(bundle: Bundle, runtime: Runtime, kind: str, no_new_privs: bool) -> None:
    log = bundle.path / "log"
    bundle.spec["process"].update(noNewPrivileges=no_new_privs, args=["/program"])
    (bundle.root / "program").write_text("#!/bin/sh\n")
    (bundle.root / "program").chmod(0o755)
    words = ["cannot run /program"]
    if kind == "too long":
        bundle.spec["process"]["args"].append("x" * (1 << 18))
        words.append("Argument list too long")
    elif kind == "denied":
        deny_exec(bundle)
        words.append("Operation not permitted")
    elif kind == "hook":
        (bundle.root / "hook").write_text("#!/bin/sh\necho not today\nexit 3\n")
        (bundle.root / "hook").chmod(0o755)
        bundle.spec["hooks"] = {"startContainer": [{"path": "/hook"}]}
        words = ["startContainer hook", "exit code 3", "not today"]
    runtime("create", "--bundle", bundle.save(), "late")
    if kind == "gone":
        (bundle.root / "program").unlink()
        words.append("no such file")
    done = runtime("--log", log, "--log-format", "json", "start", "late", rc=1)
    text = one_line(done, log)
    assert all(word in text for word in words), text
    until(lambda: json.loads(runtime("state", "late").stdout)["status"] == "stopped")
    assert "stopped" in runtime("start", "late", rc=1).stderr
    runtime("delete", "late")


def test_start_ends_when_the_program_runs(bundle: Bundle, runtime: Runtime) -> None:
    """Not before: what asks next must find it; and not later: it does not wait for its end."""
    (bundle.root / "hook").write_text("#!/bin/sh\nsleep 0.2; echo hooked >/seen\n")
    (bundle.root / "hook").chmod(0o755)
    bundle.spec["hooks"] = {"startContainer": [{"path": "/hook"}]}
    runtime("create", "--bundle", bundle.save(args=["/bin/sleep", "1000"]), "long")
    runtime("start", "long")
    assert (bundle.root / "seen").read_text() == "hooked\n"
    assert json.loads(runtime("state", "long").stdout)["status"] == "running"
    runtime("delete", "--force", "long")


def test_one_process_is_enough(bundle: Bundle, runtime: Runtime) -> None:
    """The steps that are tried ahead need a second one; who may have none is created all the same."""
    bundle.spec["process"]["rlimits"] = [{"type": "RLIMIT_NPROC", "soft": 1, "hard": 1}]
    runtime("create", "--bundle", bundle.save(args=["/bin/true"]), "single")
    runtime("start", "single")
    runtime("delete", "--force", "single")
