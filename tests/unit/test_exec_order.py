"""When an exec may do without the process between: see runtime/exec.py."""

from __future__ import annotations

import socket
from typing import Any

from pyman.linux import libc
from pyman.runtime import channel, exec


def _init(process: dict[str, Any]) -> exec.ExecInit:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        return exec.ExecInit(process, channel.Channel(ours), (0, 1, 2), b"", ())


def test_who_shares_the_containers_user_namespace_joins_its_files_before_it_is_seen() -> None:
    """A container's process with CAP_SYS_PTRACE may trace whoever has no other user namespace: it must not find the host's files there."""
    inside = libc.CLONE_NEWNS | libc.CLONE_NEWPID | libc.CLONE_NEWNET
    assert not exec._is_plain(_init({}), inside)
    assert not exec._is_plain(_init({}), libc.CLONE_NEWPID)
    assert exec._is_plain(_init({}), inside | libc.CLONE_NEWUSER)
    assert not exec._is_plain(_init({"oomScoreAdj": 5}), inside | libc.CLONE_NEWUSER)
