"""The arguments of ps(1) that `top` understands: -ef, aux, -o LIST, --sort and the like, as columns. CLI process."""

from __future__ import annotations

import os
import time

from pyman.digits import is_whole
from pyman.engine import processes
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Process = dict[str, Any]
    Cell = Callable[[Process, Any], str]
    Key = Callable[[Process], Any]
    Pick = Callable[[Process, Any], bool]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_FULL = ("uid_name", "pid", "ppid", "c", "stime", "tname", "cputime", "cmd")
_USER = ("user", "pid", "%cpu", "%mem", "vsz", "rss", "tt", "stat", "start", "bsdtime", "command")
_LONG = ("f", "s", "uid", "pid", "ppid", "c", "pri", "ni", "addr", "sz", "wchan", "tname", "cputime", "ucmd")
_JOBS = ("pid", "pgid", "sid", "tname", "cputime", "ucmd")
_PLAIN = ("pid", "tname", "cputime", "ucmd")
_LONG_PICKS = {"pid": "p", "ppid": "P", "user": "u", "User": "U"}


class Asked:
    """What arguments of ps(1) ask for: columns, the order of the rows (None: as they come), which processes (`picks`: any of these
    is enough; empty: all), whether each thread gets a row (`threads`), whether children stand indented below their parents (`tree`)."""

    __slots__ = ("columns", "order", "picks", "threads", "tree")

    def __init__(self) -> None:
        self.columns: list[tuple[str, Cell]] = []
        self.order: Key | None = None
        self.picks: list[Pick] = []
        self.threads = self.tree = False

    def rows(self, found: list[Process], context: Any) -> list[Process]:
        """The processes that get a row, in their order."""
        found = [process for process in found if not self.picks or any(pick(process, context) for pick in self.picks)]
        if self.threads:
            found = [thread for process in found for thread in processes.threads(process)]
        if self.order is not None:
            found.sort(key=self.order)
        return _as_tree(found) if self.tree else found


def _as_tree(found: list[Process]) -> list[Process]:
    """Each process before those that it has made; `depth` says how far below."""
    there = {process["pid"] for process in found}
    todo = [(process, 0) for process in reversed(found) if process["ppid"] not in there or process["ppid"] == process["pid"]]
    ordered = []
    while todo:
        process, depth = todo.pop()
        ordered.append({**process, "depth": depth})
        todo += [(child, depth + 1) for child in reversed(found) if child["ppid"] == process["pid"] and child["pid"] != process["pid"]]
    return ordered


def parse(words: list[str]) -> Asked:
    """What arguments of ps(1) ask for. UsageError."""
    asked = Asked()
    chosen: list[str] = []
    form: tuple[str, ...] = _PLAIN
    thread = ""  # the column that tells of threads, if each has a row
    left = list(words)
    while left:
        word = left.pop(0)
        if word.startswith("--sort"):
            asked.order = _order(word.partition("=")[2] or (left.pop(0) if left else ""))
            continue
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if name not in _LONG_PICKS:
                raise _unknown(word)
            asked.picks.append(_pick(_LONG_PICKS[name], value if equals else (left.pop(0) if left else "")))
            continue
        letters = word.lstrip("-")
        # ps -aux means aux, unless there is a user x.
        dashed = word.startswith("-") and not set("aux") <= set(letters) <= set("auxwf")
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter == "o" and (dashed or len(letters) + 1 == len(word)):
                chosen += (letters or (left.pop(0) if left else "")).replace(" ", ",").split(",")
                letters = ""
            elif letter in "pqCuU" and dashed:
                asked.picks.append(_pick(letter, letters or (left.pop(0) if left else "")))
                letters = ""
            elif letter in "TL" and dashed:
                thread = "spid" if letter == "T" else "lwp"
            elif letter == "H":
                asked.tree = asked.tree or dashed
                thread = thread if dashed else "pid"
            elif letter == "f" and dashed:
                form = _FULL
            elif letter == "u" and not dashed:
                form = _USER
            elif letter == "l":
                form = _LONG
            elif letter == "j":
                form = _JOBS
            elif letter not in ("aAexwdf" if dashed else "axwfe"):  # which processes, and how wide: always all
                raise _unknown(word)
    asked.threads = bool(thread)
    if thread and not chosen:
        chosen = [name for column in form for name in ((column, thread) if column == "pid" != thread else (column,))]
    asked.columns = [_column(name) for name in (chosen or form)]
    return asked


def _pick(kind: str, text: str) -> Pick:
    """Whether a process is one of a list: by number (p), command (C), effective or real user (u, U), parent's number (P). UsageError."""
    words = text.replace(",", " ").split()
    if not words or (kind in "pqP" and not all(is_whole(word, 11) for word in words)):
        what = "their numbers in the container" if kind in "pqP" else "names"
        raise UsageError(f"invalid list {text!r} of processes to show", f"it must be {what}, separated by commas", "for example: -p 1,7")
    if kind == "C":
        return lambda p, c: str(p["Name"]) in [word[:15] for word in words]
    if kind in "uU":
        which = 1 if kind == "u" else 0
        return lambda p, c: bool({_who("uid", which)(p, c), str(c.ids.number("uid", int(p["Uid"].split()[which])))} & set(words))
    numbers = {int(word) for word in words}
    return lambda p, c: p["ppid" if kind == "P" else "pid"] in numbers


def _shown(text: str, p: Process) -> str:
    """A command, indented where it stands below its parent."""
    return "  " * int(p.get("depth", 0)) + text


def _unknown(word: str) -> UsageError:
    return UsageError(
        f"cannot show processes by {word!r}",
        "it is neither a format descriptor nor an argument of ps that pyman knows",
        "descriptors are shown by --list-descriptors; of ps there are -ef, aux, -l, -j, -T, -H, -p, -C, -u, -o COLUMNS and --sort",
    )


def _column(text: str) -> tuple[str, Cell]:
    name, equals, heading = text.strip().partition("=")
    known = _ALIASES.get(name, name)
    if known not in _COLUMNS:
        raise UsageError(f"unknown column {name!r} for -o", "columns are " + ", ".join(sorted([*_COLUMNS, *_ALIASES])))
    default, cell = _COLUMNS[known]
    return heading if equals else default, cell


def _order(text: str) -> Key:
    name = text.lstrip("+-")
    key = _KEYS.get(_ALIASES.get(name, name))
    if key is None:
        raise UsageError(f"invalid value {text!r} for --sort", "it is one of " + ", ".join(sorted(_KEYS)))
    return (lambda process: -key(process)) if text.startswith("-") else key


def _cpu(p: Process, c: Any) -> float:
    return 100 * processes.seconds_of_cpu(p) / max(float(c.elapsed(p)), 0.01)


def _clock(seconds: float) -> str:
    """00:00:00, with days before it."""
    whole = int(seconds)
    days = f"{whole // 86400}-" if whole >= 86400 else ""
    return f"{days}{whole // 3600 % 24:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _elapsed(p: Process, c: Any) -> str:
    text = _clock(c.elapsed(p))
    return text[3:] if text.startswith("00:") else text


def _start(p: Process, c: Any) -> str:
    moment = c.boot + p["start"] / processes.TICKS
    return time.strftime("%H:%M" if c.now - moment < 86400 else "%b%d", time.localtime(moment))


def _long_start(p: Process, c: Any) -> str:
    return time.strftime("%a %b %e %H:%M:%S %Y", time.localtime(c.boot + p["start"] / processes.TICKS))


def _state(p: Process, _: Any) -> str:
    extra = "<" if p["nice"] < 0 else "N" if p["nice"] > 0 else ""
    return str(p["State"])[:1] + extra + ("s" if p["sid"] == p["pid"] else "") + ("l" if p["threads"] > 1 else "")


def _memory(p: Process, _: Any) -> str:
    total = os.sysconf("SC_PHYS_PAGES") or 1
    return f"{100 * p['rss'] / total:.1f}"


def _who(kind: str, which: int) -> Cell:
    return lambda p, c: str(c.ids.name(kind, int(p[kind.capitalize()].split()[which])))


def _bsd_time(p: Process, _: Any) -> str:
    seconds = int(processes.seconds_of_cpu(p))
    return f"{seconds // 60}:{seconds % 60:02d}"


_COLUMNS: dict[str, tuple[str, Cell]] = {
    "%cpu": ("%CPU", lambda p, c: f"{_cpu(p, c):.1f}"),
    "%mem": ("%MEM", _memory),
    "addr": ("ADDR", lambda p, c: "-"),
    "bsdtime": ("TIME", _bsd_time),
    "c": ("C", lambda p, c: str(int(_cpu(p, c)))),
    "cmd": ("CMD", lambda p, c: _shown(processes.arguments(p), p)),
    "command": ("COMMAND", lambda p, c: _shown(processes.arguments(p), p)),
    "comm": ("COMMAND", lambda p, c: _shown(str(p["Name"]), p)),
    "cputime": ("TIME", lambda p, c: _clock(processes.seconds_of_cpu(p))),
    "etime": ("ELAPSED", _elapsed),
    "etimes": ("ELAPSED", lambda p, c: str(int(c.elapsed(p)))),
    "f": ("F", lambda p, c: "4"),
    "gid": ("GID", lambda p, c: str(c.ids.number("gid", int(p["Gid"].split()[1])))),
    "group": ("GROUP", _who("gid", 1)),
    "lstart": ("STARTED", _long_start),
    "lwp": ("LWP", lambda p, c: str(p["tid"])),
    "ni": ("NI", lambda p, c: str(p["nice"])),
    "nlwp": ("NLWP", lambda p, c: str(p["threads"])),
    "pgid": ("PGID", lambda p, c: str(p["pgid"])),
    "pid": ("PID", lambda p, c: str(p["pid"])),
    "ppid": ("PPID", lambda p, c: str(p["ppid"])),
    "pri": ("PRI", lambda p, c: str(60 + p["priority"])),
    "psr": ("PSR", lambda p, c: str(p["processor"])),
    "rgroup": ("RGROUP", _who("gid", 0)),
    "rss": ("RSS", lambda p, c: str(p["rss"] * _PAGE // 1024)),
    "ruser": ("RUSER", _who("uid", 0)),
    "s": ("S", lambda p, c: p["State"][:1]),
    "sid": ("SID", lambda p, c: str(p["sid"])),
    "spid": ("SPID", lambda p, c: str(p["tid"])),
    "start": ("START", _start),
    "stat": ("STAT", _state),
    "stime": ("STIME", _start),
    "sz": ("SZ", lambda p, c: str(p["vsize"] // _PAGE)),
    "tname": ("TTY", lambda p, c: processes.terminal(p["tty"])),
    "tt": ("TT", lambda p, c: processes.terminal(p["tty"])),
    "ucmd": ("CMD", lambda p, c: _shown(str(p["Name"]), p)),
    "uid": ("UID", lambda p, c: str(c.ids.number("uid", int(p["Uid"].split()[1])))),
    "uid_name": ("UID", _who("uid", 1)),
    "user": ("USER", _who("uid", 1)),
    "vsz": ("VSZ", lambda p, c: str(p["vsize"] // 1024)),
    "wchan": ("WCHAN", lambda p, c: "-"),
}
_ALIASES = {
    "args": "command",
    "egid": "gid",
    "egroup": "group",
    "euid": "uid",
    "euser": "user",
    "nice": "ni",
    "pcpu": "%cpu",
    "pgrp": "pgid",
    "pmem": "%mem",
    "rssize": "rss",
    "sess": "sid",
    "session": "sid",
    "start_time": "stime",
    "state": "s",
    "thcount": "nlwp",
    "tid": "lwp",
    "time": "cputime",
    "tty": "tt",
    "ucomm": "comm",
    "uname": "user",
    "vsize": "vsz",
}
_KEYS: dict[str, Key] = {
    "%cpu": processes.seconds_of_cpu,
    "%mem": lambda p: p["rss"],
    "cputime": processes.seconds_of_cpu,
    "etime": lambda p: -p["start"],
    "nlwp": lambda p: p["threads"],
    "pid": lambda p: p["pid"],
    "ppid": lambda p: p["ppid"],
    "rss": lambda p: p["rss"],
    "start": lambda p: p["start"],
    "vsz": lambda p: p["vsize"],
}
