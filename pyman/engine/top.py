"""`top`: the processes of a container in columns, by AIX format descriptors or the arguments of ps(1). CLI process.

Everything is computed from the host's /proc: the container's ps is not executed, nor the host's in the container.
"""

from __future__ import annotations

import time

from pyman.engine import processes, top_ps
from pyman.engine.container import Container
from pyman.linux import caps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Process = dict[str, Any]
    Cell = Callable[[Process, "Context"], str]

DEFAULT = ("user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args")
_NANO = 10**9


class Context:
    """What cells need beside their process: names of ids, and the time."""

    __slots__ = ("boot", "ids", "now", "uptime")

    def __init__(self, init: int) -> None:
        self.ids = processes.Ids(init)
        self.now = time.time()
        self.uptime = processes.uptime()
        self.boot = processes.boot_time()

    def elapsed(self, process: Process) -> float:
        """Seconds since the process was started."""
        return max(0.0, self.uptime - int(process["start"]) / processes.TICKS)


def rows(container: Container, words: list[str]) -> list[list[str]]:
    """The heading and a row per process. words: descriptors, or arguments of ps(1). StateError, UsageError."""
    container.sync()
    container.require_running("show the processes of")
    chosen = [part.strip() for word in words for part in word.split(",")] or list(DEFAULT)
    by_name = {name: (heading, cell) for name, _, heading, cell in DESCRIPTORS}
    by_name.update({code: (heading, cell) for _, code, heading, cell in DESCRIPTORS if code})
    asked = top_ps.Asked()
    if all(name in by_name for name in chosen):
        asked.columns = [by_name[name] for name in chosen]
    else:
        asked = top_ps.parse(words)
    context = Context(int(container.state["pid"]))
    found = asked.rows(processes.of_container(container), context)
    return [[heading for heading, _ in asked.columns], *([cell(process, context) for _, cell in asked.columns] for process in found)]


def duration(nanoseconds: int) -> str:
    """1h2m12.497061672s, as Go prints a time.Duration."""
    if nanoseconds < 1000 * 1000 * 1000:
        for unit, size in (("ms", 10**6), ("µs", 1000)):
            if nanoseconds >= size:
                return f"{nanoseconds // size}.{nanoseconds % size:0{len(str(size)) - 1}d}".rstrip("0").rstrip(".") + unit
        return f"{nanoseconds}ns" if nanoseconds else "0s"
    whole, rest = divmod(nanoseconds, _NANO)
    text = f"{whole % 60}" + f".{rest:09d}".rstrip("0").rstrip(".") + "s"
    if whole >= 60:
        text = f"{whole // 60 % 60}m{text}"
    return f"{whole // 3600}h{text}" if whole >= 3600 else text


def _ids(process: Process, key: str, which: int) -> int:
    return int(process[key].split()[which])


def _name(kind: str, which: int) -> Cell:
    return lambda p, c: c.ids.name(kind, _ids(p, kind.capitalize(), which))


def _groups(p: Process, c: Context) -> str:
    return ",".join(c.ids.name("gid", int(group)) for group in p["Groups"].split())


def _host_groups(p: Process, c: Context) -> str:
    return ",".join(c.ids.host_name("gid", int(group)) for group in p["Groups"].split())


def _capabilities(key: str) -> Cell:
    def cell(p: Process, _: Context) -> str:
        mask = int(p.get(key, "0"), 16)
        if mask == (1 << len(caps.NAMES)) - 1:
            return "full"
        return ",".join(sorted(name for number, name in enumerate(caps.NAMES) if mask >> number & 1)) or "none"

    return cell


def _cpu_share(p: Process, c: Context) -> str:
    return f"{100 * processes.seconds_of_cpu(p) / max(c.elapsed(p), 0.01):.3f}"


def _started(p: Process, c: Context) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(int(c.boot + p["start"] / processes.TICKS)))


def _vm_rss(p: Process, _: Context) -> str:
    return str(p.get("VmRSS", "0")).split()[0]


# Name, AIX code, heading, and how the cell is worked out: those of Podman.
DESCRIPTORS: tuple[tuple[str, str, str, Cell], ...] = (
    ("args", "%a", "COMMAND", lambda p, c: processes.arguments(p)),
    ("capamb", "", "AMBIENT CAPS", _capabilities("CapAmb")),
    ("capbnd", "", "BOUNDING CAPS", _capabilities("CapBnd")),
    ("capeff", "", "EFFECTIVE CAPS", _capabilities("CapEff")),
    ("capinh", "", "INHERITED CAPS", _capabilities("CapInh")),
    ("capprm", "", "PERMITTED CAPS", _capabilities("CapPrm")),
    ("comm", "%c", "COMMAND", lambda p, c: str(p["Name"])),
    ("etime", "%t", "ELAPSED", lambda p, c: duration(round(c.elapsed(p) * processes.TICKS) * _NANO // processes.TICKS)),
    ("group", "%G", "GROUP", _name("gid", 1)),
    ("groups", "", "GROUPS", _groups),
    ("hgroup", "", "HGROUP", lambda p, c: c.ids.host_name("gid", _ids(p, "Gid", 1))),
    ("hgroups", "", "HGROUPS", _host_groups),
    ("hpid", "", "HPID", lambda p, c: str(p["hpid"])),
    ("huid", "", "HUID", lambda p, c: str(_ids(p, "Uid", 1))),
    ("huser", "", "HUSER", lambda p, c: c.ids.host_name("uid", _ids(p, "Uid", 1))),
    ("label", "", "LABEL", lambda p, c: processes.label(p)),
    ("nice", "%n", "NI", lambda p, c: str(p["nice"])),
    ("pcpu", "%C", "%CPU", _cpu_share),
    ("pgid", "%r", "PGID", lambda p, c: str(p["pgid"])),
    ("pid", "%p", "PID", lambda p, c: str(p["pid"])),
    ("ppid", "%P", "PPID", lambda p, c: str(p["ppid"])),
    ("rgroup", "%g", "RGROUP", _name("gid", 0)),
    ("rss", "", "RSS", _vm_rss),
    ("ruser", "%u", "RUSER", _name("uid", 0)),
    ("seccomp", "", "SECCOMP", lambda p, c: {"0": "disabled", "1": "strict", "2": "filter"}.get(p.get("Seccomp", ""), "?")),
    ("state", "", "STATE", lambda p, c: str(p["State"])[:1]),
    ("stime", "", "STIME", _started),
    ("time", "%x", "TIME", lambda p, c: duration(int(processes.seconds_of_cpu(p)) * _NANO)),
    ("tty", "%y", "TTY", lambda p, c: processes.terminal(p["tty"])),
    ("uid", "", "UID", lambda p, c: str(c.ids.number("uid", _ids(p, "Uid", 1)))),
    ("user", "%U", "USER", _name("uid", 1)),
    ("vsz", "%z", "VSZ", lambda p, c: str(p["vsize"] // 1024)),
)
