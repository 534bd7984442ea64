"""What an error of a full disk lacks: which disk it is, how much of it is free, and what to do; and one of a file that may not grow. CLI process, after such an error only."""

from __future__ import annotations

import os

from pyman import paths
from pyman.linux import fs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.errors import PymanError

_HINT = "make room there: pyman system df shows what the store has, pyman system prune removes what nobody needs; XDG_DATA_HOME moves it"
_ELSEWHERE = "make room there, or choose a place on another disk"


def explain(err: PymanError) -> None:
    """Add it. Where no function has said which disk it was, it may be the store's. EFBIG has a limit of the caller's as its cause."""
    if err.errno == fs.EFBIG:
        err.hint = (
            err.hint or "this shell limits the size of files: ulimit -f shows it, and ulimit -f unlimited ends that where it is allowed"
        )
        return
    room, store = err.room, paths.graphroot()
    while not os.path.exists(store) and len(store) > 1:
        store = os.path.dirname(store)
    if not room and (err.errno == fs.EDQUOT or fs.free(store) < fs.SHORT):
        room = fs.room(store)
    if room and room not in err.why:
        err.why = f"{err.why} ({room})"
        here = not err.room or err.room.startswith(f"{store}: ") or "container" in err.room.partition(":")[0]
        err.hint = _HINT if here else _ELSEWHERE
    elif not err.hint:
        err.hint = _HINT
