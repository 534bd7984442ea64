"""The bridges' keeper as other processes see it."""

from __future__ import annotations

import subprocess

import pytest

from pyman.errors import NetworkError
from pyman.network import uplink


def test_a_keeper_that_was_killed_just_now_is_named() -> None:
    """A start that is under way while the keeper is killed fails with more than the name of a file."""
    child = subprocess.Popen(["true"])
    child.wait()
    with pytest.raises(NetworkError) as caught:
        uplink.open_netns({"pid": child.pid, "start": 1})
    assert "killed just now" in caught.value.why and "try again" in caught.value.hint
