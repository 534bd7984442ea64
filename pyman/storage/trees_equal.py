"""What one file system tree has that another has not, or has otherwise. Verify workers in U1; the trees are hostile.

Directories' times are left out: members that come late change them. Access times and link counts do not belong to a layer.
"""

from __future__ import annotations

import os
import stat

from pyman.linux import trees
from pyman.storage.convert import OPAQUE
from pyman.storage.tarstream import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 5  # problems that are told
_TIMES = range(0, 2**31)  # seconds that every file system can keep


class Facts:
    """What an entry is. type: '0' file, '2' symlink, '5' directory, '6' FIFO, 'w' whiteout, 'd' a directory that may have any attributes,
    '?' something else; time: seconds; xattrs: None if there are none."""

    __slots__ = ("gid", "link", "mode", "size", "time", "type", "uid", "xattrs")

    def __init__(self, type: str, mode: int = 0, uid: int = 0, gid: int = 0, time: int = -1, size: int = 0, link: bytes = b"") -> None:
        self.type = type
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.time = time
        self.size = size
        self.link = link
        self.xattrs: dict[str, bytes] | None = None


def walk(top: str) -> Iterator[tuple[bytes, int, str, os.stat_result]]:
    """(path below `top`, descriptor of the parent directory, name in it, stat) of the directory itself (an empty path) and all below it."""
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield b"", fd, ".", os.fstat(fd)
        cursor = trees.Cursor(fd)
    finally:
        os.close(fd)
    try:
        levels = [(b"", os.listdir(cursor.fd))]
        while levels:
            path, names = levels[-1]
            if not names:
                levels.pop()
                if levels:
                    cursor.up()
                continue
            base = names.pop()
            name = (path + b"/" if path else b"") + os.fsencode(base)
            info = os.stat(base, dir_fd=cursor.fd, follow_symlinks=False)
            yield name, cursor.fd, base, info
            if stat.S_ISDIR(info.st_mode):
                cursor.down(base)
                levels.append((name, os.listdir(cursor.fd)))
    finally:
        cursor.close()


def facts_of(parent: int, base: str, info: os.stat_result) -> Facts:
    """The facts of an entry on disk. OSError."""
    mode = info.st_mode
    kinds = ((stat.S_ISREG, "0"), (stat.S_ISLNK, "2"), (stat.S_ISDIR, "5"), (stat.S_ISFIFO, "6"))
    kind = next((letter for test, letter in kinds if test(mode)), "?")
    if stat.S_ISCHR(mode) and info.st_rdev == 0:
        kind = "w"
    found = Facts(kind, stat.S_IMODE(mode), info.st_uid, info.st_gid, int(info.st_mtime_ns // 10**9), info.st_size)
    if kind == "2":
        found.link = os.fsencode(os.readlink(base, dir_fd=parent))
    elif kind in "05":
        where = f"/proc/self/fd/{parent}/{base}"
        names = [key for key in os.listxattr(where, follow_symlinks=False) if key.startswith(("user.", "security.capability"))]
        found.xattrs = {key: os.getxattr(where, key, follow_symlinks=False) for key in names} or None
    return found


class Comparison:
    """Collects what is different. single: owners were not kept."""

    __slots__ = ("_problems", "_single")

    def __init__(self, single: bool) -> None:
        self._single = single
        self._problems: list[str] = []

    def problem(self, name: bytes, text: str) -> None:
        """Note one."""
        self._problems.append(f"{show(name) or 'its top directory'} {text}")

    def full(self) -> bool:
        """Whether enough is known."""
        return len(self._problems) >= _MOST

    def problems(self) -> list[str]:
        """What was noted."""
        return self._problems[:_MOST]

    def compare(self, name: bytes, expected: Facts, found: Facts, opaque: bool = False) -> None:
        """Compare one entry. opaque: a directory that hides what lies below it in other layers."""
        kind = expected.type
        if found.type != ("5" if kind == "d" else kind):
            self.problem(name, "is something else than it was")
        elif kind == "w" or not name:
            if not name and stat.S_IMODE(expected.mode) != found.mode:
                self.problem(name, f"has the mode {found.mode:04o}, not {expected.mode:04o}")
        elif kind == "0" and expected.size != found.size:
            self.problem(name, f"has {found.size} bytes, not {expected.size}")
        elif kind == "2" and expected.link != found.link:
            self.problem(name, f"leads to {show(found.link)}, not to {show(expected.link)}")
        elif kind not in "2d" and expected.mode != found.mode:
            self.problem(name, f"has the mode {found.mode:04o}, not {expected.mode:04o}")
        elif kind in "026" and expected.time in _TIMES and expected.time != found.time:
            self.problem(name, "was changed at another time")
        elif not self._single and kind != "d" and (expected.uid, expected.gid) != (found.uid, found.gid):
            self.problem(name, f"belongs to {found.uid}:{found.gid}, not to {expected.uid}:{expected.gid}")
        else:
            self._attributes(name, expected.xattrs or {}, found.xattrs or {}, opaque)

    def _attributes(self, name: bytes, expected: dict[str, bytes], found: dict[str, bytes], opaque: bool) -> None:
        """Attributes that the file system did not take are missing since the pull; what is there must be right."""
        for key, value in found.items():
            if key in OPAQUE and opaque:
                continue
            if key not in expected:
                self.problem(name, f"has an attribute {show(key.encode('utf-8', 'surrogateescape'))} that does not belong to it")
            elif value[4:20] != expected[key][4:20] if key == "security.capability" else value != expected[key]:
                self.problem(name, f"has another value of the attribute {show(key.encode('utf-8', 'surrogateescape'))}")
        if opaque and OPAQUE[0] not in found:
            self.problem(name, "does not hide the directory below it any more")


def differences(expected: str, found: str, single: bool) -> list[str]:
    """What is different in the tree `found` from the tree `expected`, both walked side by side. OSError."""
    comparison = Comparison(single)
    ours, theirs = _cursor(expected), _cursor(found)
    try:
        levels = [(b"", _side_by_side(ours, theirs, b"", comparison))]
        while levels and not comparison.full():
            path, directories = levels[-1]
            if directories:
                base = directories.pop()
                ours.down(base)
                theirs.down(base)
                name = (path + b"/" if path else b"") + os.fsencode(base)
                levels.append((name, _side_by_side(ours, theirs, name, comparison)))
            else:
                levels.pop()
                if levels:
                    ours.up()
                    theirs.up()
    finally:
        ours.close()
        theirs.close()
    return comparison.problems()


def _cursor(top: str) -> trees.Cursor:
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return trees.Cursor(fd)
    finally:
        os.close(fd)


def _side_by_side(ours: trees.Cursor, theirs: trees.Cursor, path: bytes, comparison: Comparison) -> list[str]:
    """Compare one directory; the names of the directories that both have."""
    names, directories = set(os.listdir(theirs.fd)), []
    before = path + b"/" if path else b""
    for base in os.listdir(ours.fd):
        name = before + os.fsencode(base)
        if base not in names:
            comparison.problem(name, "is missing")
            continue
        names.discard(base)
        wanted = facts_of(ours.fd, base, os.stat(base, dir_fd=ours.fd, follow_symlinks=False))
        found = facts_of(theirs.fd, base, os.stat(base, dir_fd=theirs.fd, follow_symlinks=False))
        comparison.compare(name, wanted, found, opaque=bool(wanted.xattrs and OPAQUE[0] in wanted.xattrs))
        if wanted.type == found.type == "5":
            directories.append(base)
    for base in names:
        comparison.problem(before + os.fsencode(base), "does not belong there")
    return directories
