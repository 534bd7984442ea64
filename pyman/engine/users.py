"""--user and the image's User: names and numbers resolved by the container's own passwd and group files, opened inside its root."""

from __future__ import annotations

import os
import stat

from pyman import exitcodes
from pyman.digits import is_whole
from pyman.errors import UsageError
from pyman.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LIMIT = 4 << 20  # bytes of passwd or group that are read
_MAX_ID = 2**32 - 2


def read_file(root_fd: int, path: str) -> list[list[str]]:
    """The colon-separated lines of a file inside the root; empty unless it is a regular file of sensible size."""
    try:
        fd = libc.openat2(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return []
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode) or info.st_size > _LIMIT:
        os.close(fd)
        return []
    with open(fd, "rb") as file:
        return [line.split(":") for line in file.read(_LIMIT).decode("utf-8", "replace").split("\n") if line]


def parse_id(text: str, what: str) -> int:
    """A decimal id, strictly: no sign, no space, no hexadecimal, at most 2^32-2. UsageError."""
    if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > _MAX_ID:
        why = f"an id is a decimal number from 0 to {_MAX_ID}"
        raise UsageError(f"invalid {what} {text!r}", why, exit_code=exitcodes.CANNOT_INVOKE)
    return int(text)


def _has_ids(entry: list[str], *fields: int) -> bool:
    """Whether these fields are ids, strictly: `isdigit` alone takes superscripts and numbers of any length."""
    return all(is_whole(entry[at], 10) for at in fields)


def _is_number(text: str) -> bool:
    return text[:1].isdigit() or text[:1] in "+-"


def resolve(user: str, root_fd: int) -> dict[str, Any]:
    """{"uid", "gid", "additionalGids", "home"} of NAME|UID[:GROUP|GID]. UsageError for an unknown name."""
    name, colon, group = user.partition(":")
    passwd = [entry for entry in read_file(root_fd, "etc/passwd") if len(entry) >= 6 and _has_ids(entry, 2, 3)]
    groups = [entry for entry in read_file(root_fd, "etc/group") if len(entry) >= 4 and _has_ids(entry, 2)]
    found = None
    if name and _is_number(name):
        uid = parse_id(name, "user id")
        found = next((entry for entry in passwd if int(entry[2]) == uid), None)
    elif name:
        found = next((entry for entry in passwd if entry[0] == name), None)
        if found is None:
            raise UsageError(
                f"cannot find user {name!r}",
                "the container's /etc/passwd has no such user",
                "give a numeric id, or a user that the image has",
                exit_code=exitcodes.CANNOT_INVOKE,
            )
        uid = parse_id(found[2], "user id in /etc/passwd")
    else:
        uid = 0
    result: dict[str, Any] = {
        "uid": uid,
        "gid": parse_id(found[3], "group id in /etc/passwd") if found else 0,
        "home": found[5] if found else "/",
        "name": found[0] if found else "",
    }
    if colon and group:
        result["gid"] = _group_id(group, groups)
        result["additionalGids"] = [result["gid"]]
    else:
        login = found[0] if found else None
        memberships = {parse_id(entry[2], "group id in /etc/group") for entry in groups if login and login in entry[3].split(",")}
        result["additionalGids"] = sorted({result["gid"], *memberships})
    return result


def _group_id(group: str, groups: list[list[str]]) -> int:
    if _is_number(group):
        return parse_id(group, "group id")
    for entry in groups:
        if entry[0] == group:
            return parse_id(entry[2], "group id in /etc/group")
    raise UsageError(
        f"cannot find group {group!r}",
        "the container's /etc/group has no such group",
        "give a numeric id, or a group that the image has",
        exit_code=exitcodes.CANNOT_INVOKE,
    )


def group_ids(names: list[str], root_fd: int) -> list[int]:
    """The ids of --group-add. UsageError for an unknown name."""
    groups = [entry for entry in read_file(root_fd, "etc/group") if len(entry) >= 4 and _has_ids(entry, 2)]
    return [_group_id(name, groups) for name in names]
