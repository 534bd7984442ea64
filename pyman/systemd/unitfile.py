"""Unit files: sections, keys with their lines, continuation lines, repeated keys, drop-ins. Any process.

The rules are systemd's (systemd.syntax(7)); where Podman's generator differs for the files it reads, its own: a backslash at the end
of a line joins the next line without a blank. What would end a line for systemd ends it here, so that no value holds a second line.
"""

from __future__ import annotations

import os
import stat

from pyman.systemd import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LARGEST = 1 << 20  # bytes of a file; systemd reads no longer lines either
_TRUE, _FALSE = ("1", "yes", "y", "true", "t", "on"), ("0", "no", "n", "false", "f", "off")


class Entry:
    """KEY=VALUE at a line of a file. `file` is empty for what pyman adds."""

    __slots__ = ("file", "key", "line", "value")

    def __init__(self, key: str, value: str, file: str = "", line: int = 0) -> None:
        self.key = key
        self.value = value
        self.file = file
        self.line = line


class Problem(Exception):
    """Something wrong in a file: its path, the line (0: the file as a whole), what, and whether it only deserves a warning."""

    def __init__(self, file: str, line: int, text: str, *, warning: bool = False) -> None:
        super().__init__(text)
        self.file = file
        self.line = line
        self.text = text
        self.warning = warning

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {'warning: ' if self.warning else ''}{self.text}"


class UnitFile:
    """One unit file with its drop-ins: sections in their order, each a list of entries; `problems`: what was found wrong so far."""

    __slots__ = ("lines", "name", "path", "problems", "sections")

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = os.path.basename(path)
        self.sections: dict[str, list[Entry]] = {}
        self.lines: dict[str, tuple[str, int]] = {}  # where each section begins
        self.problems: list[Problem] = []

    def complain(self, entry: Entry | None, text: str, *, warning: bool = False) -> None:
        """Note a problem at an entry, or with the file as a whole."""
        file, line = (entry.file, entry.line) if entry else (self.path, 0)
        self.problems.append(Problem(file, line, text, warning=warning))

    @property
    def broken(self) -> bool:
        """Whether a problem makes the file unusable."""
        return any(not problem.warning for problem in self.problems)

    def entries(self, section: str, key: str) -> list[Entry]:
        """All entries of a key in their order; an empty one takes back those before it."""
        found: list[Entry] = []
        for entry in self.sections.get(section, ()):
            if entry.key == key:
                found = [*found, entry] if entry.value else []
        return found

    def last(self, section: str, key: str) -> Entry | None:
        """The last entry of a key, even an empty one."""
        found = None
        for entry in self.sections.get(section, ()):
            if entry.key == key:
                found = entry
        return found

    def text(self, section: str, key: str) -> str:
        """The last value of a key, without a pair of double quotes around it; empty if there is none."""
        entry = self.last(section, key)
        return unquoted(entry.value) if entry else ""

    def boolean(self, section: str, key: str) -> bool | None:
        """The last value of a key as true or false; None if there is none. A problem is noted if it is neither."""
        entry = self.last(section, key)
        if entry is None:
            return None
        value = unquoted(entry.value).lower()
        if value not in _TRUE and value not in _FALSE:
            self.complain(entry, f"{key}= must be true or false, not {value[:40]!r}")
        return value in _TRUE

    def words(self, section: str, key: str, escapes: bool = False) -> list[tuple[Entry, str]]:
        """The words of all values of a key, each with its entry; problems are noted."""
        found: list[tuple[Entry, str]] = []
        for entry in self.entries(section, key):
            try:
                found += [(entry, word) for word in words.split(entry.value, escapes)]
            except ValueError as err:
                self.complain(entry, f"{key}=: {err}")
        return found

    def pairs(self, section: str, key: str) -> dict[str, str | None]:
        """NAME=VALUE words of all values of a key; the last one of a name counts, None for a NAME alone. Sorted by name."""
        found: dict[str, str | None] = {}
        for _, word in self.words(section, key, True):
            name, equals, value = word.partition("=")
            found[name] = value if equals else None
        return dict(sorted(found.items()))

    def merge(self, other: UnitFile) -> None:
        """Add what a drop-in says."""
        for section, entries in other.sections.items():
            self.sections.setdefault(section, []).extend(entries)
            self.lines.setdefault(section, other.lines[section])
        self.problems += other.problems


def unquoted(value: str) -> str:
    """`value` without one pair of double quotes around it."""
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] == '"' else value


def read(path: str) -> UnitFile:
    """The unit file at `path`; whatever is wrong with it is in its problems. Never waits for a pipe, never reads more than it must."""
    unit = UnitFile(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                unit.complain(None, "it is not a regular file")
                return unit
            content = _content(fd)
        finally:
            os.close(fd)
    except OSError as err:
        unit.complain(None, f"it cannot be read: {err.strerror}")
        return unit
    if len(content) > LARGEST:
        unit.complain(None, f"it is larger than {LARGEST >> 10} KiB")
        return unit
    parse(unit, content)
    return unit


def _content(fd: int) -> bytes:
    content = b""
    while len(content) <= LARGEST and (piece := os.read(fd, LARGEST + 1 - len(content))):
        content += piece
    return content


def parse(unit: UnitFile, content: bytes) -> None:
    """Read `content` into `unit`; problems are noted with their lines, without what stands there: it may be a link to something secret."""
    section = ""
    for number, line in _joined(unit, content):
        if line.startswith("["):
            name, _, rest = line[1:].partition("]")
            section = name if not rest.strip() and name and name.isprintable() and "[" not in name and "]" in line else ""
            if not section:
                unit.problems.append(Problem(unit.path, number, "this is no section; one is written [Name]"))
                section = "?"  # its keys belong nowhere, and say nothing new
            unit.sections.setdefault(section, [])
            unit.lines.setdefault(section, (unit.path, number))
            continue
        key, equals, value = line.partition("=")
        key = key.rstrip()
        if not equals or not key or not key.isprintable():
            unit.problems.append(Problem(unit.path, number, "this is neither [Section] nor Key=Value nor a # comment"))
        elif not section:
            unit.problems.append(Problem(unit.path, number, f"{key}= stands before the first [Section]"))
        else:
            unit.sections[section].append(Entry(key, value.strip(" \t"), unit.path, number))
    unit.sections.pop("?", None)


def _joined(unit: UnitFile, content: bytes) -> Iterator[tuple[int, str]]:
    """The lines without comments and blank ones, continued lines as one, each with the number of its first line."""
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    before, start = "", 0
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for number, raw in enumerate(lines, 1):
        if b"\0" in raw:
            unit.problems.append(Problem(unit.path, number, "it has a NUL byte"))
            continue
        try:
            line = raw.decode("utf-8").strip(" \t\v\f")
        except UnicodeDecodeError:
            unit.problems.append(Problem(unit.path, number, "it is not UTF-8"))
            continue
        if not line or line[0] in "#;":
            continue
        start = start or number
        if (len(line) - len(line.rstrip("\\"))) % 2:
            before += line[:-1]
            continue
        yield start, before + line
        before, start = "", 0
    if before.strip():
        yield start, before
