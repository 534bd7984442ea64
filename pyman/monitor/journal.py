"""A container's lines in the journal, by journalctl, in the form of the driver k8s-file. CLI process; imported for this driver only.

Entries count if this user sent them: anybody may write entries that bear the container's id. journald works through its socket one by
one, so that what a container has just written may not be there yet: `complete` waits for it.
"""

from __future__ import annotations

import os
import time

from pyman.errors import MissingProgram, StateError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 1 << 18  # bytes read at a time
_FIELDS = "MESSAGE,PRIORITY,CONTAINER_PARTIAL_MESSAGE,_SOURCE_REALTIME_TIMESTAMP"
_STREAMS = {b"6": b" stdout ", b"3": b" stderr "}
_PATIENCE = 30.0  # seconds for journald to have worked through its socket
_MAX_ENTRY = 64 << 20  # bytes


class Journal:
    """A position in a container's entries; the same methods as LogFiles.

    since, until: seconds since 1970, 0: no limit. last: when the container, having ended, sent its last entry (microseconds; 0: unknown).
    """

    __slots__ = (
        "_data",
        "_ended",
        "_follow",
        "_last",
        "_match",
        "_newest",
        "_pid",
        "_seen",
        "_since",
        "_start",
        "_stop",
        "_until",
        "fd",
        "lost",
    )

    def __init__(self, container_id: str, since: float, until: float, follow: bool, last: Callable[[], int]) -> None:
        self._match = [f"CONTAINER_ID_FULL={container_id}", f"_UID={os.getuid()}"]
        self._since, self._until, self._follow, self._last = since, until, follow, last
        self._start: list[str] = ["--no-tail"] if follow else []
        self._stop = b""  # the cursor of the last entry that counts
        self._data = b""
        self._newest = 0  # when the newest entry that was read was sent
        self._seen = self._ended = self.lost = False
        self._pid = 0
        self.fd = -1

    def _run(self, *options: str) -> None:
        self.close()
        argv = ["journalctl", "--no-pager", "-o", "export", "--all", *options]
        argv += [f"--since=@{self._since:.6f}"] if self._since and not any(word.startswith("--cursor=") for word in options) else []
        # journald's time of an entry, by which journalctl chooses, may be later than that of its being sent.
        argv += [f"--until=@{self._until + 1:.6f}"] if self._until else []
        self.fd, out = os.pipe()
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, out, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
        try:
            self._pid = os.posix_spawnp(argv[0], [*argv, *self._match], {**os.environ, "LC_ALL": "C"}, file_actions=actions)
        except FileNotFoundError:
            raise MissingProgram("cannot read the journal", "there is no journalctl in PATH", "install the package systemd") from None
        finally:
            os.close(out)
            os.close(null)

    def close(self) -> None:
        """End journalctl."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self._pid:
            os.kill(self._pid, 15)
            os.waitpid(self._pid, 0)
            self._pid = 0

    def seek_tail(self, lines: int, ends: Callable[[bytes], bool]) -> None:
        """Go to where the last `lines` lines begin: entries are read from the end until enough of them are, or end, lines."""
        if not lines:
            self._start = ["--lines=0"]
            return
        self._await_last()
        self._run("--reverse", "--output-fields=CONTAINER_PARTIAL_MESSAGE,PRIORITY,MESSAGE")
        cursor, first = b"", True
        while True:
            data = os.read(self.fd, PIECE)
            self._data += data
            for entry, line in self._parse():
                if first and not self._follow:
                    self._stop = entry  # what is written from now on would be lines too many
                lines -= first or line[43:45] == b"F "
                if lines < 0:
                    break
                cursor, first = entry, False
            if lines < 0 or not data:
                break
        self.close()
        self._data, self._newest = b"", 0
        if cursor and lines < 0:
            self._start = [*(["--no-tail"] if self._follow else []), "--cursor=" + cursor.decode("ascii", "replace")]

    def _await_last(self) -> None:
        """Of a container that has just ended: until its last entry is in the journal."""
        last, end = self._last(), time.monotonic() + _PATIENCE
        if last < (time.time() - _PATIENCE) * 10**6 or (self._until and last > self._until * 10**6):
            return  # long ago, or never
        while self._newest < last and time.monotonic() < end:
            self._run("--lines=1", f"--output-fields={_FIELDS}")
            while data := os.read(self.fd, PIECE):
                self._data += data
            self._parse()
            self.close()
            self._data = b""
            if self._newest < last:
                time.sleep(0.02)
        self._newest = 0

    def complete(self) -> None:
        """The container has ended: until its last line is here, or cannot be expected any more."""
        self._ended = True

    def read(self) -> list[bytes] | None:
        """Some of the next lines; None if there are no more for now."""
        if not self._seen:
            self._seen = True
            self._await_last()
            self._run(*self._start, *(["--follow"] if self._follow else []), f"--output-fields={_FIELDS}")
            os.set_blocking(self.fd, not self._follow)
        end = time.monotonic() + _PATIENCE
        while self.fd >= 0:
            try:
                data = os.read(self.fd, PIECE)
            except BlockingIOError:
                if not self._ended or self._newest >= self._last() or time.monotonic() > end:
                    return None
                time.sleep(0.01)
                continue
            if not data:
                self._finish()
                return None
            self._data += data
            found = self._parse()
            lines = [line for _, line in found]
            for index, (cursor, _) in enumerate(found if self._stop else ()):
                if cursor == self._stop:
                    self.close()
                    return lines[: index + 1]
            if lines:
                return lines
        return None

    def _finish(self) -> None:
        """journalctl has ended; with nothing found, perhaps because nothing may be read."""
        pid, self._pid = self._pid, 0
        os.waitpid(pid, 0)
        self.close()
        if not self._newest and not _readable():
            why = "this user may not read the journal, and has none of its own"
            hint = "keep journals on disk (mkdir /var/log/journal), or add the user to the group systemd-journal"
            raise StateError("cannot read the log of the container", why, hint)

    def _parse(self) -> list[tuple[bytes, bytes]]:
        """The complete entries in what was read, as (cursor, line)."""
        found: list[tuple[bytes, bytes]] = []
        data, at = self._data, 0
        while True:
            end = data.find(b"\n\n", at)
            if end < 0:
                break
            block = data[at:end]
            if b"\nMESSAGE\n" in block:  # with its length before it: what follows may hold anything
                end, fields = _slowly(data, at)
                if end < 0:
                    break
                block = b"\n".join([name + b"=" + value.replace(b"\n", b" ") for name, value in fields.items()])
            else:
                end += 2
            at = end
            block = b"\n" + block + b"\n"  # every field has both around it
            moment = int(_field(block, b"\n_SOURCE_REALTIME_TIMESTAMP=") or _field(block, b"\n__REALTIME_TIMESTAMP=") or 0)
            if moment > self._newest:
                self._newest = moment
            stream = _STREAMS.get(_field(block, b"\nPRIORITY="))
            if stream:
                kind = b"P " if b"\nCONTAINER_PARTIAL_MESSAGE=" in block else b"F "
                found.append((_field(block, b"\n__CURSOR="), _stamp(moment) + stream + kind + _field(block, b"\nMESSAGE=")))
        self._data = data[at:]
        if len(self._data) > _MAX_ENTRY:
            raise StorageError("cannot read the journal", "an entry is larger than any that a container can write")
        return found


def _field(block: bytes, name: bytes) -> bytes:
    """A field's value; its name stands between the line's begin and =."""
    at = block.find(name)
    return block[at + len(name) : block.index(b"\n", at + len(name))] if at >= 0 else b""


def _slowly(data: bytes, at: int) -> tuple[int, dict[bytes, bytes]]:
    """(where the next entry begins, or -1 for an entry that is not complete yet; the fields of the one at `at`)."""
    fields: dict[bytes, bytes] = {}
    while True:
        end = data.find(b"\n", at)
        if end < 0:
            return -1, fields
        line = data[at:end]
        at = end + 1
        if not line:
            return at, fields
        if b"=" in line:
            name, _, fields[name] = line.partition(b"=")
            continue
        size = int.from_bytes(data[at : at + 8], "little")
        if len(data) < at + 8 + size + 1:
            return -1, fields
        fields[line] = data[at + 8 : at + 8 + size]
        at += 8 + size + 1


_second: tuple[int, bytes] = (0, b"")


def _stamp(moment: int) -> bytes:
    """Microseconds since 1970 as the driver k8s-file writes them."""
    global _second
    if moment // 10**6 != _second[0]:
        _second = (moment // 10**6, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 10**6)).encode())
    return _second[1] + b".%06d000+00:00" % (moment % 10**6)


def _readable() -> bool:
    """Whether any journal can be read by this user."""
    out, into = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, into, 1), (os.POSIX_SPAWN_DUP2, into, 2)]
    pid = os.posix_spawnp("journalctl", ["journalctl", "--no-pager", "--lines=0"], {**os.environ, "LC_ALL": "C"}, file_actions=actions)
    os.close(into)
    text = os.read(out, 4096)
    os.close(out)
    os.waitpid(pid, 0)
    return b"insufficient permissions" not in text
