"""From lines of a log to what is printed: prefix, time, colour, escapes; a thousand lines at a time where that can be. CLI process."""

from __future__ import annotations

import itertools

from pyman.monitor import logs as reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    Outputs = list[tuple[int, bytes]]

# Of k8s-file, up to the text: time (35 bytes), stream, F or P.
_TEXT_AT, _KIND_AT = 45, 36
_FEW = 8  # one line in so many
_FULL = {b"stdout F ": 1, b"stderr F ": 2}
# Of json-file, as the monitor writes it, from the end: what stands between the text and the time (30 bytes), the time and its end.
_JSON_KIND, _JSON_TIME = -62, -32
_JSON_FULL = {b'\\n","stream":"stdout","time":"': 1, b'\\n","stream":"stderr","time":"': 2}
COLORS = (b"\x1b[37m", b"\x1b[31m", b"\x1b[33m", b"\x1b[34m", b"\x1b[35m", b"\x1b[36m", b"\x1b[32m")
_RESET = b"\x1b[0m"


class Printer:
    """How the lines of one container are printed. prefix: what stands before each; color: the sequence that begins each, or
    nothing; escaped: the streams (1, 2) that are terminals.

    What goes on with a line after one of the other stream has a prefix and a time again, as with Podman: where both streams are read
    as one, it stands in a line of its own.
    """

    __slots__ = ("_at_start", "_color", "_escaped", "_json", "_last", "_prefix", "_timestamps")

    def __init__(self, prefix: bytes, color: bytes, timestamps: bool, escaped: set[int], json_format: bool) -> None:
        self._prefix = prefix
        self._color = color
        self._timestamps = timestamps
        self._escaped = escaped
        self._json = json_format
        self._at_start = {1: True, 2: True}
        self._last = 0  # the stream of the last piece

    def render(self, lines: list[bytes]) -> Outputs:
        """(stream, bytes) in the order in which they are to be written."""
        if self._escaped:
            return self._one_by_one(lines)
        streams = _JSON_FULL if self._json else _FULL
        place = slice(_JSON_KIND, _JSON_TIME) if self._json else slice(_KIND_AT, _TEXT_AT)
        kinds = [line[place] for line in lines]
        single = [] if streams.keys() >= set(kinds) else [number for number, kind in enumerate(kinds) if kind not in streams]
        if self._json:
            single = sorted({*single, *_not_simple(lines)})
        # The monitor cuts a line where what it reads at a time ends: one in a hundred is in two parts, and no reason to be slow with all.
        if len(single) * _FEW > len(lines):
            return self._one_by_one(lines)
        found: Outputs = []
        at = 0
        for number in [*single, len(lines)]:
            while at < number and not all(self._at_start.values()):
                found += self._one_by_one(lines[at : at + 1])
                at += 1
            if at < number:
                found += self._whole(lines[at:number], kinds[at:number], streams)
            found += self._one_by_one(lines[number : number + 1])
            at = number + 1
        return [(stream, b"".join([data for _, data in group])) for stream, group in itertools.groupby(found, lambda part: part[0])]

    def finish(self) -> Outputs:
        """The ends of lines that the container has begun and not ended: another container's lines come next."""
        open_ones = [stream for stream, at_start in self._at_start.items() if not at_start]
        self._at_start = {1: True, 2: True}
        return [(stream, (_RESET if self._color else b"") + b"\n") for stream in open_ones]

    def _whole(self, lines: list[bytes], kinds: list[bytes], streams: dict[bytes, int]) -> Outputs:
        """Whole lines."""
        if len(set(kinds)) == 1:
            return [(streams[kinds[0]], self._of_one_stream(lines))]
        groups = itertools.groupby(zip(kinds, lines), lambda pair: pair[0])
        return [(streams[kind], self._of_one_stream([line for _, line in group])) for kind, group in groups]

    def _of_one_stream(self, lines: list[bytes]) -> bytes:
        head, tail = self._color + self._prefix, (_RESET if self._color else b"") + b"\n"
        if self._json:
            stamps = self._timestamps
            texts = [(line[_JSON_TIME:-3] + b"Z " if stamps else b"") + line[8:_JSON_KIND] for line in lines]
        elif self._timestamps:
            texts = [line[:29] + b"Z " + line[_TEXT_AT:] for line in lines]
        else:
            texts = [line[_TEXT_AT:] for line in lines]
        return head + (tail + head).join(texts) + tail

    def _one_by_one(self, lines: list[bytes]) -> Outputs:
        found: Outputs = []
        for line in lines:
            entry = reader.parse_line(line, self._json)
            if entry is None:
                continue
            stream = 2 if entry.stream == "stderr" else 1
            head = b""
            if self._at_start[stream] or stream != self._last:
                time = entry.when.removesuffix("+00:00").removesuffix("Z").encode() + b"Z " if self._timestamps else b""
                head = self._color + self._prefix + time
            text = visible(entry.text) if stream in self._escaped else entry.text
            end = ((_RESET if self._color else b"") + b"\n") if entry.whole else b""
            self._at_start[stream], self._last = entry.whole, stream
            found.append((stream, head + text + end))
        return found


def _not_simple(lines: list[bytes]) -> list[int]:
    """Which lines of json-file do not hold their text as it is: with escapes but that of its own end, or without that."""
    return [number for number, line in enumerate(lines) if line.count(b"\\") != 1 or not line.startswith(b'{"log":"')]


def visible(text: bytes) -> bytes:
    """Text for a terminal: colours (CSI ... m) are kept, every other control or formatting character becomes a visible escape."""
    if text.isascii() and text.decode().isprintable():
        return text
    parts = text.decode("utf-8", "replace").rstrip("\r").split("\x1b[")
    found = [_escape(parts[0])]
    for part in parts[1:]:
        digits = len(part) - len(part.lstrip("0123456789;:"))
        if part[digits : digits + 1] == "m" and digits <= 32:
            found.append("\x1b[" + part[: digits + 1] + _escape(part[digits + 1 :]))
        else:
            found.append("\\x1b[" + _escape(part))
    # What a container has coloured ends with its line: the next one is another's.
    return "".join(found).encode("utf-8", "replace") + (_RESET if "\x1b[" in "".join(found) else b"")


def _escape(text: str) -> str:
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in text)
