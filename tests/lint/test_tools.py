"""The linters are tests: ruff, mypy --strict, the import contracts, shellcheck, the compiler's warnings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = os.path.dirname(sys.executable)


@pytest.mark.parametrize(
    "args",
    [
        ("ruff", "check", "--no-cache", "."),
        ("ruff", "format", "--no-cache", "--check", "."),
        ("mypy", "--cache-dir=/dev/null"),
        ("lint-imports", "--no-cache"),
    ],
)
def test_python_tools(args: tuple[str, ...]) -> None:
    done = subprocess.run(
        [os.path.join(BIN, args[0]), *args[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_shell_scripts() -> None:
    scripts = ["shims/install", "shims/docker", "shims/podman", "tests/run", "tests/as-root", "tests/delegate", "tests/vm/build", ".ci/run"]
    done = subprocess.run(["shellcheck", "-x", *scripts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("source", ["monitor.c", "namespaces.c", "network.c", "launcher.c"])
def test_c_programs_compile_without_warnings(source: str, tmp_path: Path) -> None:
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(tmp_path / "out"), str(ROOT / "shims" / source)], check=True)
