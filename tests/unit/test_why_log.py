"""Which lines of a log `why` takes for those of a run, in logs of any size."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyman.engine import why_log
from pyman.monitor.logs import stamp

START = 1_700_000_000.0


def line(second: float, text: str, json: bool) -> bytes:
    when = stamp(START + second)
    return (f'{{"log":"{text}\\n","stream":"stdout","time":"{when}Z"}}\n' if json else f"{when}+00:00 stdout F {text}\n").encode()


def texts(path: Path, json: bool, first: float, last: float) -> list[str]:
    return [entry.text.decode()[:20] for entry in why_log._of_files(str(path), json, stamp(START + first), stamp(START + last))]


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize("length", [1, 200, 30_000])
def test_runs_in_a_long_log(tmp_path: Path, json: bool, length: int) -> None:
    """Three lines a second; a run is ten seconds, of which each fourth writes nothing."""
    path = tmp_path / "log"
    seconds = [n / 3 for n in range(max(120, 1_800_000 // (length + 60))) if n // 30 % 4 != 3]
    path.write_bytes(b"".join(line(second, f"{second:.2f} ".ljust(length, "x"), json) for second in seconds))
    runs = int(seconds[-1] // 10)
    for run in {0, 1, 2, 3, 4, runs // 2, runs - 1, runs}:
        wanted = [f"{second:.2f}" for second in seconds if run * 10 <= second < run * 10 + 9.9]
        assert [text.split()[0] for text in texts(path, json, run * 10 - 0.01, run * 10 + 9.9)] == wanted[-20:]


def test_rotated_files(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for number, first in ((2, 0), (1, 6), (0, 12)):
        name = f"{path}.{number}" if number else str(path)
        Path(name).write_bytes(b"".join(line(second, str(second), False) for second in range(first, first + 6)))
    assert texts(path, False, 4, 13) == [str(second) for second in range(4, 14)]
    assert texts(path, False, 7, 8) == ["7", "8"] and texts(path, False, 18, 30) == texts(path, False, -5, -1) == []
    path.unlink()  # between two steps of a rotation
    assert texts(path, False, 10, 13) == ["10", "11"]


def test_one_line_longer_than_all_others(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(line(1, "first", False) + line(5, "second" + "x" * 400_000, False) + line(9, "third", False))
    assert texts(path, False, 0, 2) == ["first"] and texts(path, False, 8, 9) == ["third"]
    assert texts(path, False, 4, 6) == ["second" + "x" * 14]
    path.write_bytes(path.read_bytes() + b"cut")
    assert texts(path, False, 8, 9) == ["third"]
    path.write_bytes(b"")
    assert texts(path, False, 0, 9) == []
