"""Image names: the hand-written checks accept exactly what the grammars of distribution-spec accept, and never a line feed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyman.errors import UsageError
from pyman.image import reference

HOST = r"(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)(?::[0-9]{1,5})?"
WORDS = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"


@given(st.text("a0Z.:[]-\n", max_size=9))
def test_hosts(text: str) -> None:
    assert reference._is_host(text) == bool(re.fullmatch(HOST, text))


@given(st.text("a0Z._-/\n", max_size=9))
def test_repositories(text: str) -> None:
    assert reference._is_repository(text) == bool(re.fullmatch(rf"{WORDS}(?:/{WORDS})*", text))


@given(st.text("a0Z._-:\n", max_size=130))
def test_tags(text: str) -> None:
    assert reference.is_tag(text) == bool(re.fullmatch(TAG, text))


@pytest.mark.parametrize("end", ["\n", " ", "g", ""])
def test_digests_have_64_digits_and_nothing_else(end: str) -> None:
    digits = "0123456789abcdef" * 4
    assert reference.check_digest(f"sha256:{digits}", "it") == digits
    with pytest.raises(UsageError):
        reference.check_digest(f"sha256:{digits[: 64 - (not end)]}{end}", "it")


def test_lengths() -> None:
    assert reference.is_tag("a" * 128) and not reference.is_tag("a" * 129)
    assert reference._is_host("h:65535") and not reference._is_host("h:123456")
