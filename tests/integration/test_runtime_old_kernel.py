"""Kernels without the newer mount calls: the same containers, behind a filter that answers them with ENOSYS."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, environment
from tests.integration.conftest import Bundle

# Installs a seccomp filter for itself and executes the rest of its command line: children inherit it.
HIDE = """
import os, sys
sys.path.insert(0, {root!r})
from pyman.linux import libc, seccomp
libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
rule = dict(names={names!r}, action="SCMP_ACT_ERRNO", errnoRet=38)
seccomp.load(seccomp.program(dict(defaultAction="SCMP_ACT_ALLOW", syscalls=[rule])))
os.execv(sys.argv[1], sys.argv[1:])
"""
CALLS = {"5.11": ["mount_setattr"], "5.1": ["open_tree", "move_mount", "fsopen", "fsmount", "mount_setattr"]}


@pytest.mark.parametrize("kernel", sorted(CALLS))
def test_the_same_container(bundle: Bundle, base: Path, tmp_path: Path, kernel: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("content")
    mounts = bundle.spec["mounts"]
    mounts.append({"destination": "/data", "type": "bind", "source": str(tmp_path / "data"), "options": ["rbind", "ro", "nosuid", "nodev"]})
    mounts.append({"destination": "/fresh/one", "type": "bind", "source": str(tmp_path / "data/file"), "options": ["bind", "ro"]})
    bundle.spec["root"]["readonly"] = True
    bundle.sh(
        "cat /data/file /fresh/one; touch /data/x 2>&1; touch /x 2>&1; grep ' /data ' /proc/mounts; cat /proc/kcore | head -c 3; "
        "echo 1 >/proc/sys/kernel/msgmax; : >/dev/null && echo null; grep ' /dev/zero ' /proc/mounts"
    )
    hide = HIDE.format(root=str(ROOT), names=CALLS[kernel])
    command = [sys.executable, "-c", hide, sys.executable, "-SI", str(ROOT / "pyman/runtime/__main__.py")]
    done = subprocess.run(
        [*command, "run", "--bundle", str(bundle.path), "old"],
        capture_output=True,
        text=True,
        env=environment(base),
        timeout=300,
        check=False,
    )
    text = done.stdout
    assert "contentcontent" in text and text.count("Read-only file system") == 2 and "nosuid" in text.split(" /data ")[1].splitlines()[0], (
        done
    )
    assert "Read-only" in done.stderr and text.splitlines()[-2] == "null" and "noexec" in text.splitlines()[-1], done
    mounts[-2]["options"].append("rnoexec")
    bundle.save()
    done = subprocess.run(
        [*command, "run", "--bundle", str(bundle.path), "old"],
        capture_output=True,
        text=True,
        env=environment(base),
        timeout=300,
        check=False,
    )
    assert done.returncode == 1 and "Linux 5.12" in done.stderr and done.stderr.count("\n") == 1
