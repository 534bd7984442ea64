"""The processes of a running container, read from the host's /proc: nothing of the container is executed or entered. CLI process.

A process is a dict: hpid (its number here), pid, ppid, pgid, sid (its numbers in the container; 0 for what is outside), the
fields of /proc/PID/status as text (Name, State, Uid, Gid, Groups, CapEff, VmRSS ...), and those of /proc/PID/stat that are asked
for (utime, stime, start in ticks; nice, tty, vsize, threads, priority, processor).
"""

from __future__ import annotations

import fcntl
import os

from pyman.digits import is_whole
from pyman.engine.container import Container
from pyman.runtime import cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Process = dict[str, Any]

_NS_GET_PARENT = 0xB702  # ioctl_ns(2)
_MAX_ARGS = 32 << 10  # bytes of a command line that are read
TICKS = os.sysconf("SC_CLK_TCK")


def of_container(container: Container) -> list[Process]:
    """All processes in the container's pid namespace and those below it, by their number. Those that end meanwhile are left out."""
    init = int(container.state["pid"])
    first = read(init)
    if first is None:
        return []
    level = len(first["NSpid"].split()) - 1
    mine = _members(container, init)
    found = []
    for pid in mine:
        process = read(pid)
        if process is not None:
            found.append(process)
    inner = {process["hpid"]: _at(process["NSpid"], level) for process in found}
    for process in found:
        process["pid"] = process["tid"] = inner[process["hpid"]]
        process["ppid"] = inner.get(int(process["PPid"]), 0)
        process["pgid"], process["sid"] = _at(process["NSpgid"], level), _at(process["NSsid"], level)
    return sorted(found, key=lambda process: int(process["pid"]))


def threads(process: Process) -> list[Process]:
    """A process like this one for each of its threads: `tid` is its number in the container, times and state are its own."""
    level = process["NSpid"].split().index(str(process["pid"])) if str(process["pid"]) in process["NSpid"].split() else -1
    try:
        entries = sorted(int(entry) for entry in os.listdir(f"/proc/{process['hpid']}/task"))
    except OSError:
        return []
    found = []
    for entry in entries:
        thread = read(process["hpid"], f"{process['hpid']}/task/{entry}")
        if thread is not None:
            numbers = thread["NSpid"].split()
            own = {"tid": int(numbers[level]) if level < len(numbers) else entry, "rss": process["rss"]}
            found.append({**process, **thread, **{key: process[key] for key in ("pid", "ppid", "pgid", "sid")}, **own})
    return found


def _at(numbers: str, level: int) -> int:
    fields = numbers.split()
    return int(fields[level]) if level < len(fields) else 0


def _link(pid: int | str, kind: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/{kind}")
    except OSError:
        return ""


def _members(container: Container, init: int) -> list[int]:
    """The processes of the container, by host number."""
    namespace = _link(init, "pid")
    everything = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    if namespace == _link("self", "pid"):
        # The host's own: what shares init's root, and what the container's control group holds.
        grouped = set(cgroup.processes(container.state["cgroup"])) if container.state.get("cgroup") else set()
        root = _link(init, "mnt")
        return [pid for pid in everything if pid in grouped or _link(pid, "mnt") == root]
    inside: dict[str, bool] = {namespace: True, _link("self", "pid"): False, "": False}
    return [pid for pid in everything if _within(pid, _link(pid, "pid"), inside)]


def _within(pid: int, link: str, inside: dict[str, bool]) -> bool:
    """Whether a process's pid namespace is one of those known to be inside, or has one of them above it."""
    if link not in inside:
        chain, fds = [link], []
        try:
            fds.append(os.open(f"/proc/{pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC))
            while chain[-1] not in inside and len(fds) < 34:
                fds.append(fcntl.ioctl(fds[-1], _NS_GET_PARENT))
                chain.append(f"pid:[{os.fstat(fds[-1]).st_ino}]")
        except OSError:
            pass  # EPERM: it lies outside of what this process may see
        finally:
            for fd in fds:
                os.close(fd)
        known = inside.get(chain[-1], False)
        inside.update({name: known for name in chain})
    return inside[link]


def read(pid: int, place: str = "") -> Process | None:
    """What /proc tells of one process, or of its thread at `place` there; None if it has ended."""
    place = place or str(pid)
    try:
        with open(f"/proc/{place}/status", encoding="utf-8", errors="replace") as file:
            lines = [line.partition(":\t") for line in file.read().split("\n")]
        with open(f"/proc/{place}/stat", "rb") as file:
            data = file.read()
    except OSError:
        return None
    if b")" not in data:
        return None
    process: Process = {key: value for key, _, value in lines}
    # The name (field 2) may contain anything, so count from its last ")".
    stat = data[data.rindex(b")") + 2 :].split()
    names = {
        "utime": 11,
        "stime": 12,
        "priority": 15,
        "nice": 16,
        "threads": 17,
        "start": 19,
        "vsize": 20,
        "rss": 21,
        "tty": 4,
        "processor": 36,
    }
    process.update({name: int(stat[field]) for name, field in names.items()})
    process["hpid"], process["Name"] = pid, data[data.index(b"(") + 1 : data.rindex(b")")].decode("utf-8", "replace")
    for key in ("NSpid", "NSpgid", "NSsid", "PPid"):
        process.setdefault(key, "0")
    return process


def arguments(process: Process) -> str:
    """Its command line, or its name in brackets if it has none."""
    try:
        with open(f"/proc/{process['hpid']}/cmdline", "rb") as file:
            text = file.read(_MAX_ARGS).rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        text = ""
    return text or f"[{process['Name']}]"


def label(process: Process) -> str:
    """What the kernel's security module calls it; ? without one."""
    try:
        with open(f"/proc/{process['hpid']}/attr/current", encoding="utf-8", errors="replace") as file:
            return file.read(4096).rstrip("\0\n") or "?"
    except OSError:
        return "?"


def terminal(number: int) -> str:
    """pts/0, tty1, or ? for a process without a terminal."""
    major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    if not number:
        return "?"
    if 136 <= major <= 143:
        return f"pts/{(major - 136 << 8) + minor}"
    return {4: f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}", 5: "console" if minor == 1 else "tty"}.get(major, "?")


def seconds_of_cpu(process: Process) -> float:
    """Processor time it has used."""
    return float(process["utime"] + process["stime"]) / TICKS


def boot_time() -> float:
    """When the machine started, in seconds since 1970."""
    with open("/proc/stat") as file:
        return float(next(line for line in file if line.startswith("btime ")).split()[1])


def uptime() -> float:
    """Seconds since the machine started, in the clock of start times."""
    with open("/proc/uptime") as file:
        return float(file.read().split()[0])


class Ids:
    """Names and numbers of users and groups, inside a container and on the host. The container's files are read by descriptor."""

    __slots__ = ("_host", "_maps", "_names")

    def __init__(self, init: int) -> None:
        from pyman.engine import users

        self._maps: dict[str, list[tuple[int, int, int]]] = {}
        self._names: dict[str, dict[int, str]] = {"uid": {}, "gid": {}}
        self._host: dict[tuple[str, int], str] = {}
        for kind in ("uid", "gid"):
            try:
                with open(f"/proc/{init}/{kind}_map") as file:
                    self._maps[kind] = [(int(a), int(b), int(c)) for a, b, c in (line.split() for line in file)]
            except OSError:
                self._maps[kind] = [(0, 0, 1 << 32)]
        try:
            root = os.open(f"/proc/{init}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            for kind, path in (("uid", "etc/passwd"), ("gid", "etc/group")):
                for entry in reversed(users.read_file(root, path)):  # of several the first counts
                    if len(entry) > 2 and is_whole(entry[2], 10):
                        self._names[kind][int(entry[2])] = entry[0]
        finally:
            os.close(root)

    def number(self, kind: str, host_id: int) -> int:
        """The id in the container of an id here; 65534 for one that it does not have."""
        for inside, outside, count in self._maps[kind]:
            if outside <= host_id < outside + count:
                return inside + host_id - outside
        return 65534

    def name(self, kind: str, host_id: int) -> str:
        """The container's name for an id here, or its number there."""
        number = self.number(kind, host_id)
        return self._names[kind].get(number) or str(number)

    def host_name(self, kind: str, host_id: int) -> str:
        """The host's name for an id, or the number."""
        key = kind, host_id
        if key not in self._host:
            import grp
            import pwd

            try:
                self._host[key] = pwd.getpwuid(host_id).pw_name if kind == "uid" else grp.getgrgid(host_id).gr_name
            except KeyError:
                self._host[key] = str(host_id)
        return self._host[key]
