"""The tests of the common container once more with crun and with runc instead of our own runtime, in a test run of their own.

`PYMAN_TEST_RUNTIME=runc pytest tests/integration/test_lifecycle.py` does the same by hand, for any file.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import OTHER_RUNTIME, ROOT

FILES = ("test_run_basics.py", "test_lifecycle.py", "test_run_process.py", "test_run_mounts.py")


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_the_same_tests_pass_with(runtime: str) -> None:
    assert not OTHER_RUNTIME, "this test is not for a run with another runtime"
    args = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/integration/{name}" for name in FILES)]
    done = subprocess.run(
        args, cwd=ROOT, env={**os.environ, "PYMAN_TEST_RUNTIME": runtime}, capture_output=True, text=True, timeout=2400, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
