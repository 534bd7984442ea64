"""What `logs` prints of many lines at once is what it prints of them one at a time."""

from __future__ import annotations

import json
import random

import pytest

from pyman.cli.log_lines import Printer


def _log(json_format: bool, number: int, dice: random.Random, cut: float) -> list[bytes]:
    """Lines as the monitor writes them, with a share `cut` of parts of lines."""
    lines = []
    for index in range(number):
        when = f"2026-01-31T12:00:00.{index // 7:09d}"
        stream = "stderr" if dice.random() < 0.2 else "stdout"
        text = dice.choice(["", "plain", 'a "quoted" \\ one', "stdout F stdout P ", f"{when}+00:00 stdout F inner", "x" * 300])
        whole = dice.random() >= cut
        if json_format:
            line = json.dumps({"log": text + "\n" * whole, "stream": stream, "time": when + "Z"}, separators=(",", ":"))
        else:
            line = f"{when}+00:00 {stream} {'F' if whole else 'P'} {text}"
        lines.append(line.encode())
    lines[number // 2 : number // 2] = [b"", b"damaged", b"2026-01-31T12:00:00.000000000+00:00 stdout F"]
    return lines


def _joined(parts: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    found: list[tuple[int, bytes]] = []
    for stream, data in parts:
        if found and found[-1][0] == stream:
            found[-1] = (stream, found[-1][1] + data)
        else:
            found.append((stream, data))
    return found


@pytest.mark.parametrize("json_format", [False, True])
@pytest.mark.parametrize("cut", [0.0, 0.02, 0.5])
@pytest.mark.parametrize("look", [(b"", b"", False), (b"name ", b"\x1b[31m", True)])
def test_many_lines_at_once(json_format: bool, cut: float, look: tuple[bytes, bytes, bool]) -> None:
    dice = random.Random(4)
    for number in (1, 2, 9, 400):
        lines = _log(json_format, number, dice, cut)
        together, alone = (Printer(look[0], look[1], look[2], set(), json_format) for _ in range(2))
        for _ in range(2):  # the second time it may begin within a line
            expected = [part for line in lines for part in alone._one_by_one([line])]
            assert _joined(together.render(lines)) == _joined(expected)
        assert together.finish() == alone.finish()


@pytest.mark.parametrize("json_format", [False, True])
def test_a_line_that_goes_on_after_another_streams(json_format: bool) -> None:
    """It has its name and time again, as with Podman; pieces that follow each other have them once, and without either nothing is added."""

    def line(stream: str, text: str, whole: bool, second: int) -> bytes:
        when = f"2026-01-31T12:00:0{second}.000000000"
        if json_format:
            return json.dumps({"log": text + "\n" * whole, "stream": stream, "time": when + "Z"}, separators=(",", ":")).encode()
        return f"{when}+00:00 {stream} {'F' if whole else 'P'} {text}".encode()

    lines = [line("stdout", "a", False, 1), line("stdout", "b", False, 2), line("stderr", "e", True, 3)]
    lines += [line("stdout", "c", False, 4), line("stdout", "d", True, 5), line("stdout", "f", True, 6)]
    printer = Printer(b"name ", b"", True, set(), json_format)
    shown = b"".join(data for part in (lines[:3], lines[3:]) for _, data in printer.render(part)).decode()
    first, third, fourth, sixth = (f"name 2026-01-31T12:00:0{second}.000000000Z " for second in (1, 3, 4, 6))
    assert shown == f"{first}ab{third}e\n{fourth}cd\n{sixth}f\n"
    assert b"".join(data for _, data in Printer(b"", b"", False, set(), json_format).render(lines)) == b"abe\ncd\nf\n"
