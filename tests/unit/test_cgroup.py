"""Control groups that vanish while they are waited for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyman.errors import RuntimeFailure
from pyman.runtime import cgroup


@pytest.mark.parametrize("left", ["directory", "processes"])
def test_what_has_gone_is_not_waited_for(tmp_path: Path, left: str) -> None:
    """The directory is removed after the file was written, or its last process ended: "frozen" will never be 1."""
    (tmp_path / "cgroup.freeze").write_text("0")
    if left == "processes":
        (tmp_path / "cgroup.events").write_text("populated 0\nfrozen 0\n")
    with pytest.raises(RuntimeFailure, match="it has ended meanwhile") as caught:
        cgroup.freeze(str(tmp_path), True, timeout=0.1)
    assert cgroup.ended(caught.value)


def test_other_failures_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFailure, match="it has ended meanwhile") as gone:
        cgroup.freeze(str(tmp_path / "none"), False)
    (tmp_path / "cgroup.freeze").write_text("0")
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    with pytest.raises(RuntimeFailure, match="not done after 0 s") as late:
        cgroup.freeze(str(tmp_path), True, timeout=0.0)
    assert cgroup.ended(gone.value) and not cgroup.ended(late.value)
