"""The ranges of subordinate ids that a hint proposes belong to nobody."""

from __future__ import annotations

from pathlib import Path

from pyman.rootless import subids


def test_a_free_range_touches_nobody(tmp_path: Path) -> None:
    uids, gids = tmp_path / "subuid", tmp_path / "subgid"
    files = (str(uids), str(gids), str(tmp_path / "missing"))
    assert subids.free_range(files) == (100000, 165535)
    uids.write_text("a:100000:65536\nb:231072:65536\ndamaged\n:x:y\n")
    assert subids.free_range(files) == (165536, 231071)
    gids.write_text("c:165537:1\n")
    assert subids.free_range(files) == (296608, 362143)
    gids.write_text("c:1:1000000\n")
    assert subids.free_range(files) == (1000001, 1065536)
