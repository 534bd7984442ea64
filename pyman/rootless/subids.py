"""The command that gives a user subordinate ids: only ids that nobody has may be named. CLI process, when something is missing."""

from __future__ import annotations

from pyman import paths
from pyman.digits import is_whole
from pyman.rootless.idmap import user_name

COUNT = 65536
_FIRST, _LAST = 100000, 2**32 - 2
_FILES = ("/etc/subuid", "/etc/subgid")


def free_range(files: tuple[str, ...] = _FILES) -> tuple[int, int]:
    """The first and the last id of the lowest range of COUNT ids that no line of the files touches."""
    taken = []
    for path in files:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                lines = [line.strip().split(":") for line in file]
        except OSError:
            continue
        taken += [(int(line[1]), int(line[2])) for line in lines if len(line) == 3 and is_whole(line[1]) and is_whole(line[2])]
    first = _FIRST
    for start, count in sorted(taken):
        if start < first + COUNT and first < start + count:
            first = start + count
    return first, min(first + COUNT - 1, _LAST)


def mend() -> str:
    """What root types to give the calling user a range of each kind."""
    first, last = free_range()
    return f"as root: usermod --add-subuids {first}-{last} --add-subgids {first}-{last} {user_name(paths.caller()[0])}"
