"""Commands that change the store, killed at random moments (tests/bench/kills.py does it by the thousand)."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.kills import Lab, soak
from tests.conftest import command, environment
from tests.integration.test_registry import start_registry


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="pm-"))
    yield path
    subprocess.run([*command(), "system", "reset", "-f"], env=environment(path), check=True)
    subprocess.run(["rm", "-rf", str(path)], check=True)


def test_random_kills(place: Path, layout: str) -> None:
    process, address = start_registry(place / "registry", {})
    try:
        assert sum(soak(Lab(place, layout, address), 15, seed=7, deep_every=3).values()) == 15
    finally:
        process.kill()
        process.wait()
