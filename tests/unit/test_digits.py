"""Whole numbers in texts of others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyman.digits import is_whole


@given(st.text(st.characters(categories=["Nd", "Nl", "No"]), max_size=40) | st.from_regex(r"[-+ _]?[0-9]{1,30}[ _.]?", fullmatch=True))
def test_what_is_a_number_is_one_to_int(text: str) -> None:
    if is_whole(text):
        assert str(int(text)) == (text.lstrip("0") or "0") and len(text) <= 18


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1_0", "1.0", "\u00b2", "\u0661", "1" * 19])
def test_what_is_none(text: str) -> None:
    assert not is_whole(text)


def test_so_many_digits_as_asked_for() -> None:
    assert is_whole("12345", 5) and not is_whole("123456", 5) and is_whole("1" * 20, 20)
