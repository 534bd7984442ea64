"""Rows of `network test`, and the child that finds them out in another network namespace. CLI process and a child in U1."""

from __future__ import annotations

import os

from pyman.errors import PymanError
from pyman.linux import libc, process
from pyman.rootless import userns
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    Row = dict[str, str]


def row(check: str, target: str, why: str, detail: str = "") -> Row:
    """A row: `why` it fails, or nothing."""
    return {"check": check, "target": target, "result": "fail" if why else "ok", "detail": why or detail}


def inside(owner: int, netns: int, body: Callable[[], list[Row]]) -> list[Row]:
    """The rows that `body` gives in the network namespace `netns` (-1: the caller's), as root of the user namespace `owner`.

    Both descriptors are closed.
    """
    read_end, write_end = os.pipe()

    def child() -> int:
        try:
            if netns >= 0:
                libc.setns(netns, libc.CLONE_NEWNET)
            rows = body()
        except (OSError, PymanError) as err:
            rows = [row("namespace", "the container's network", str(err))]
        with open(write_end, "wb") as pipe:
            pipe.write(fastjson.dumps(rows).encode())
        return 0

    pid = userns.fork_in_userns(child, "pyman:[nettest]", tuple(fd for fd in (netns, write_end) if fd >= 0), owner)
    for fd in (write_end, netns, owner):
        if fd >= 0:
            os.close(fd)
    with open(read_end, "rb") as pipe:
        data = pipe.read()
    process.wait(pid)
    if not data:
        return [row("namespace", "the container's network", "the testing process was killed")]
    rows: list[Row] = fastjson.loads(data)
    return rows
