"""The main job, end to end."""

from __future__ import annotations

from tests.conftest import Run


def test_run_prints_and_returns_the_exit_code(pyman: Run, image: str) -> None:
    done = pyman("run", "--rm", "--network", "none", image, "sh", "-c", "echo hello; exit 7", rc=7)
    assert done.stdout == "hello\n"
