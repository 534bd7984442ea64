"""The exit code of a start that failed: 127 is for what the user named and is not there."""

from __future__ import annotations

import pytest

from pyman import paths
from pyman.engine import start
from pyman.errors import CommandNotFound, RuntimeFailure, StorageError


@pytest.mark.parametrize(
    ("err", "code"),
    [
        (RuntimeFailure("cannot mount /etc/hosts from {run}/containers/1/hosts", "open_tree: No such file or directory", errno=2), 126),
        (RuntimeFailure("cannot mount /d from /d", "open_tree: No such file or directory", errno=2), 127),
        (StorageError("cannot mount the image's layer 1", "it is missing from the store", stage="layer"), 126),
        (CommandNotFound("cannot execute {run}/containers/x", "not found", errno=2), 127),
    ],
)
def test_code(err: RuntimeFailure, code: int) -> None:
    err.what = err.what.replace("{run}", paths.runroot())
    assert start._failed_code(err) == code
