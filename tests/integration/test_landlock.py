"""The confinement of unpack workers, tried in a process of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pyman.linux import landlock
from tests.conftest import ROOT

TRY = """
import os, sys
from pyman.linux import libc
from pyman.storage import workers
store, outside = sys.argv[1:]
libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
workers.confine([], [store + "/tmp", store + "/layers"])
def attempt(name, action):
    try:
        action()
        print(name, "yes")
    except OSError as err:
        print(name, err.errno)
attempt("write inside", lambda: open(store + "/tmp/file", "w").write("x"))
attempt("rename inside", lambda: os.rename(store + "/tmp/file", store + "/layers/file"))
attempt("write outside", lambda: open(outside + "/file", "w"))
attempt("write the store's top", lambda: open(store + "/images.json", "w"))
attempt("read outside", lambda: open(outside + "/secret").read())
attempt("list outside", lambda: os.listdir(outside))
attempt("execute", lambda: os.execv("/bin/true", ["true"]))
import gzip
"""


def test_workers_are_confined(base: Path) -> None:
    store, outside = base / "confined", base / "outside"
    for path in (store, store / "tmp", store / "layers", outside):
        path.mkdir(mode=0o700)
    (outside / "secret").write_text("x")
    env = {"PYMAN_GRAPHROOT": str(store), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-c", TRY, str(store), str(outside)], env=env, capture_output=True, text=True, check=True)
    result = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert result.pop("write inside") == "yes" and result.pop("rename inside") == "yes"
    assert landlock.abi() > 0, "this kernel has no Landlock: the rest cannot be shown here"
    assert set(result.values()) == {"13"}, result
