"""The caller's id ranges: /etc/subuid, /etc/subgid, and the map of pyman's user namespace. CLI process."""

from __future__ import annotations

import os

from pyman.digits import is_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    Range = tuple[int, int, int]


class IdMap:
    """Maps of the user namespace U1: lists of (id inside, id on the host, count); `single` when there is one id only."""

    __slots__ = ("gids", "single", "uids")

    def __init__(self, uids: list[Range], gids: list[Range], single: bool) -> None:
        self.uids = uids
        self.gids = gids
        self.single = single

    def key(self) -> str:
        """Text that is equal for equal maps."""
        return f"{self.uids}{self.gids}"

    def count(self) -> int:
        """How many consecutive ids from 0 exist inside, for users (groups have their own list)."""
        return sum(size for _, _, size in self.uids)


def read_ranges(path: str, uid: int, name: str) -> list[tuple[int, int]]:
    """(first id, count) of each line of subuid(5) file `path` that belongs to user `name` or number `uid`."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
    except OSError:
        return []
    found = []
    for line in lines:
        parts = line.strip().split(":")
        if len(parts) == 3 and parts[0] in (name, str(uid)) and is_whole(parts[1]) and is_whole(parts[2]) and int(parts[2]) > 0:
            found.append((int(parts[1]), int(parts[2])))
    return found


def user_name(uid: int) -> str:
    """The login name of `uid`, or the number as text."""
    import pwd  # a C module: under 1 ms

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _build(own: int, ranges: list[tuple[int, int]]) -> list[Range]:
    result = [(0, own, 1)]
    inside = 1
    for first, count in ranges:
        # An id cannot be mapped twice: a range that contains the caller's own id is cut around it.
        for part_first, part_count in _cut(first, count, own):
            result.append((inside, part_first, part_count))
            inside += part_count
    return result


def _cut(first: int, count: int, own: int) -> list[tuple[int, int]]:
    if not first <= own < first + count:
        return [(first, count)]
    parts = [(first, own - first), (own + 1, first + count - own - 1)]
    return [part for part in parts if part[1] > 0]


def _of_this_namespace() -> IdMap:
    """Inside U1 (pyman unshare, the monitor's clean-up): the map it has."""
    maps = []
    for file in ("uid_map", "gid_map"):
        with open(f"/proc/self/{file}") as lines:
            first, outside, count = zip(*((int(number) for number in line.split()) for line in lines))
        maps.append(list(zip(first, outside, count)))
    return IdMap(maps[0], maps[1], sum(count for _, _, count in maps[0]) == 1)


def load_idmap() -> IdMap:
    """The map of the calling user, from the two files; only the own id (single-id mode) where either has no range."""
    if os.environ.get("PYMAN_USERNS") and os.environ["PYMAN_USERNS"] == str(os.stat("/proc/self/ns/user").st_ino):
        return _of_this_namespace()
    uid, gid = os.getuid(), os.getgid()
    mapper = os.environ.get("PYMAN_ROOT_RANGE")
    if mapper:  # started by root: see rootless/asroot.py
        first, count = (int(part) for part in mapper.split(":"))
        return IdMap([(0, first, count)], [(0, first, count)], False)
    name = user_name(uid)
    uids, gids = read_ranges("/etc/subuid", uid, name), read_ranges("/etc/subgid", uid, name)
    if not uids or not gids:
        return IdMap([(0, uid, 1)], [(0, gid, 1)], True)
    return IdMap(_build(uid, uids), _build(gid, gids), False)
