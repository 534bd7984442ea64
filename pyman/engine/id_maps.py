"""--uidmap and --gidmap: [+][u|g]CONTAINER:[@]ID[:COUNT]. CLI process, pure, with one of them only.

ID counts as the ids of the user namespace do: 0 is the caller, from 1 on the subordinate ones; @ID is an id of the host. With + the map
changes what the others (or keep-id's neighbours: everything in order) would say; u and g make it for users or groups alone.
"""

from __future__ import annotations

from pyman.digits import is_whole
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Range = tuple[int, int, int]  # first id in the container, first id in the user namespace, count


def explicit(uidmap: list[str], gidmap: list[str], idmap: Any) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    """The OCI mappings of users and groups. UsageError."""
    users = [item for item in uidmap if "g" not in _flags(item)] + [item for item in gidmap if "u" in _flags(item)]
    groups = [item for item in gidmap if "u" not in _flags(item)] + [item for item in uidmap if "g" in _flags(item)]
    shared = [item for item in uidmap if not {"u", "g"} & set(_flags(item))]
    if not groups:
        groups = shared
    elif not users:
        users = [item for item in gidmap if not {"u", "g"} & set(_flags(item))]
    return _maps(users, idmap.uids), _maps(groups, idmap.gids)


def of_names(user: str, group: str) -> tuple[list[str], list[str]]:
    """The maps of --subuidname and --subgidname (one stands for both): the ranges of these names, one after the other. UsageError."""
    from pyman.rootless import idmap

    found = []
    for name, path in ((user or group, "/etc/subuid"), (group or user, "/etc/subgid")):
        ranges = idmap.read_ranges(path, -1, name)
        if not ranges:
            raise UsageError(f"cannot map the ids of {name!r}", f"{path} has no range of that name", f"a line NAME:FIRST:COUNT, see {path}")
        inside, items = 0, []
        for first, count in ranges:
            items.append(f"{inside}:@{first}:{count}")
            inside += count
        found.append(items)
    return found[0], found[1]


def _flags(item: str) -> str:
    return item[: len(item) - len(item.lstrip("+ug"))]


def _maps(items: list[str], ranges: list[Range]) -> list[dict[str, int]]:
    count = sum(size for _, _, size in ranges)
    plain = [_parse(item, ranges, count) for item in items if "+" not in _flags(item)]
    added = [_parse(item, ranges, count) for item in items if "+" in _flags(item)]
    result = plain
    if added and not plain:
        result = _rest(added, count)
    elif added:
        for extra in added:
            result = _cut(_cut(result, extra, 0), extra, 1)
    result += added
    # The kernel wants each line of a map inside one line of the user namespace's own.
    for _, start, size in _lines(ranges):
        inside = (0, start, size)
        result = [part for entry in result for part in (*_cut([entry], inside, 1), *_within(entry, inside))]
    return [{"containerID": a, "hostID": b, "size": size} for a, b, size in sorted(result)]


def _lines(ranges: list[Range]) -> list[Range]:
    """The lines of the user namespace's map, by its own ids."""
    return [(first, first, size) for first, _, size in ranges]


def _within(entry: Range, line: Range) -> list[Range]:
    """The part of `entry` whose ids outside lie in `line`."""
    first, last = max(entry[1], line[1]), min(entry[1] + entry[2], line[1] + line[2])
    return [(entry[0] + first - entry[1], first, last - first)] if first < last else []


def check(items: list[str]) -> None:
    """UsageError for what is no map, whatever ids there are."""
    for item in items:
        _parts(item)


def _parts(item: str) -> list[str]:
    parts = item.lstrip("+ug").split(":")
    numbers = [part.removeprefix("@") if index == 1 else part for index, part in enumerate(parts)]
    if len(parts) not in (2, 3) or not all(is_whole(part, 10) for part in numbers):
        form = "the form is [+][u|g]CONTAINER-ID:[@]ID[:COUNT]"
        raise UsageError(f"invalid id map {item!r}", form, "for example: --uidmap 0:1:1000, or --uidmap +0:5:1 to change one id")
    return parts


def _parse(item: str, ranges: list[Range], count: int) -> Range:
    """UsageError for what is no map, or of ids that there are not."""
    parts = _parts(item)
    host = parts[1].startswith("@")
    numbers = [part.removeprefix("@") if index == 1 else part for index, part in enumerate(parts)]
    inside, outside, size = int(numbers[0]), int(numbers[1]), int(numbers[2]) if len(numbers) == 3 else 1
    if host:
        found = [first + outside - start for first, start, length in ranges if start <= outside and outside + size <= start + length]
        if not found:
            raise UsageError(f"cannot map {item!r}", f"the host's id {outside} is not one of yours", "see /etc/subuid and /etc/subgid")
        outside = found[0]
    if size < 1 or outside + size > count:
        raise UsageError(f"cannot map {item!r}", f"your user namespace has {count} ids only", "see /etc/subuid and /etc/subgid")
    return inside, outside, size


def _cut(maps: list[Range], hole: Range, side: int) -> list[Range]:
    """`maps` without the ids of `hole`, on the container's side (0) or the other (1)."""
    first, last = hole[side], hole[side] + hole[2]
    result = []
    for inside, outside, size in maps:
        start = (inside, outside)[side]
        before, after = min(max(first - start, 0), size), max(min(last - start, size), 0)
        if last <= start or first >= start + size:
            result.append((inside, outside, size))
            continue
        if before:
            result.append((inside, outside, before))
        if after < size:
            result.append((inside + after, outside + after, size - after))
    return result


def _rest(added: list[Range], count: int) -> list[Range]:
    """All ids that `added` leaves, in order: the container's free ones from 0 on get the free ones of the user namespace."""
    outside: list[Range] = [(0, 0, count)]
    for extra in added:
        outside = _cut(outside, extra, 1)
    result: list[Range] = []
    following = 0
    for _, start, size in sorted(outside, key=lambda entry: entry[1]):
        while size:
            clash = next((extra for extra in sorted(added) if extra[0] <= following < extra[0] + extra[2]), None)
            if clash:
                following = clash[0] + clash[2]
                continue
            gap = min((extra[0] - following for extra in added if extra[0] > following), default=size)
            part = min(size, gap)
            result.append((following, start, part))
            following, start, size = following + part, start + part, size - part
    return result
