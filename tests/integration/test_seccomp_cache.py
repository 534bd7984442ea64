"""The cache of compiled seccomp filters: whatever lies in a file's place, the filter that is loaded is the one that was asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run

NONE = ("run", "--rm", "--network", "none")


def fill(path: Path, how: str) -> None:
    data = path.read_bytes()
    path.unlink()
    makers: dict[str, Callable[[], object]] = {
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
        "link": lambda: path.symlink_to("/dev/zero"),
        "huge": lambda: (path.touch(), os.truncate(path, 5 << 30)),
        "cut": lambda: path.write_bytes(data[:-8]),
    }
    makers[how]()


@pytest.mark.parametrize("how", ["fifo", "directory", "link", "huge", "cut"])
def test_what_is_no_filter_is_passed_over(pyman: Run, image: str, base: Path, how: str) -> None:
    own = {"XDG_CACHE_HOME": str(base / f"cache-{how}")}
    pyman(*NONE, image, "true", env=own)
    (cached,) = (base / f"cache-{how}" / "pyman/seccomp").glob("*.bpf")
    fill(cached, how)
    assert pyman(*NONE, image, "grep", "Seccomp:", "/proc/self/status", env=own).stdout.split() == ["Seccomp:", "2"]


def test_another_description_s_filter_is_not_taken(pyman: Run, image: str, base: Path) -> None:
    profile = base / "no-mkdir.json"
    profile.write_text(
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 33}]}'
    )
    own, cache = {"XDG_CACHE_HOME": str(base / "cache-two")}, base / "cache-two/pyman/seccomp"
    pyman(*NONE, image, "true", env=own)
    (usual,) = cache.glob("*.bpf")
    strict = (*NONE, "--security-opt", f"seccomp={profile}", image, "mkdir", "/made")
    pyman(*strict, rc=1, env=own)
    (mine,) = set(cache.glob("*.bpf")) - {usual}
    mine.write_bytes(usual.read_bytes())
    pyman(*strict, rc=1, env=own)
    link = base / "link-to-no-mkdir.json"  # as where configuration is managed by links
    link.symlink_to(profile.name)
    pyman(*NONE, "--security-opt", f"seccomp={link}", image, "mkdir", "/made", rc=1, env=own)


@pytest.mark.parametrize("left", ["", "0", "-1", "abc"])
def test_a_runtime_that_leaves_no_process(pyman: Run, image: str, base: Path, left: str) -> None:
    """0 and -1 mean whole groups of processes to kill(2), our own among them."""
    runtime = base / "odd-runtime"
    write = 'while [ $# -gt 0 ]; do [ "$1" = --pid-file ] && printf %s "$LEFT" >"$2"; shift; done; exit 0\n'
    runtime.write_text(f'#!/bin/sh\nLEFT="{left}"\n{write}')
    runtime.chmod(0o755)
    assert "its pid file has no process" in pyman("--runtime", str(runtime), *NONE, image, "true", rc=126).stderr
    assert not pyman("ps", "-aq").stdout
