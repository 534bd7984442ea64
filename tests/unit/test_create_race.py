"""A container's directory that was just made is not locked yet: a listing may take it for what a killed command has left."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyman.engine import container, create
from pyman.engine.container_list import list_containers
from pyman.state.lock import Lock


def test_a_listing_between_the_directory_and_its_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has got the lock has the directory that is there."""
    monkeypatch.setenv("PYMAN_GRAPHROOT", str(tmp_path))
    (tmp_path / "names").mkdir()
    seen: list[list[str]] = []

    class Late(Lock):
        def acquire(self) -> None:
            if len(seen) < 3:
                before = container.all_ids()
                assert list_containers() == []
                seen.append(before)
            super().acquire()

    monkeypatch.setattr(create, "Lock", Late)
    path = Path(container.containers_dir()) / ("e" * 64)
    lock = create.make_directory(str(path))
    assert seen == [["e" * 64]] * 3, "each listing has found the directory, and taken it away"
    assert path.is_dir()
    assert list_containers() == [] and path.is_dir(), "it is locked now"
    lock.release()
