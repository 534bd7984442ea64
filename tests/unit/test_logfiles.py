"""Where the last lines of a log begin, over its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyman.monitor import logs
from pyman.monitor.logfiles import LogFiles

WHEN = "2026-01-31T12:00:00.000000000+00:00 stdout"


def tail(path: Path, number: int) -> list[bytes]:
    files = LogFiles(str(path), follow=False)
    files.seek_tail(number, lambda line: logs.is_end(line, False))
    found: list[bytes] = []
    while (lines := files.read()) is not None:
        found += lines
    files.close()
    return [line.rpartition(b" ")[2] for line in found]


@pytest.mark.parametrize(
    "number, expected", [(0, []), (1, [b"thr"]), (2, [b"two", b"thr"]), (3, [b"one", b"two", b"thr"]), (9, [b"one", b"two", b"thr"])]
)
def test_a_line_that_is_cut_by_a_rotation_counts_as_one(tmp_path: Path, number: int, expected: list[bytes]) -> None:
    """Its end will be in the new file: until then it is a line like the last one of a log of one file."""
    older, newest = tmp_path / "log.1", tmp_path / "log"
    older.write_text(f"{WHEN} F one\n{WHEN} F two\n{WHEN} P thr\n")
    newest.write_text("")
    assert tail(newest, number) == expected
    older.rename(newest)
    assert tail(newest, number) == expected
    newest.rename(older)
    newest.write_text(f"{WHEN} F ee\n")
    assert tail(newest, number) == [*expected, *[b"ee"] * bool(number)]
