"""Signals by name or number, as the runtime program's kill takes them."""

from __future__ import annotations

import os

from pyman.digits import is_whole
from pyman.errors import StateError, UsageError
from pyman.linux import libc, process
from pyman.runtime import cgroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.runtime.store import Entry

_SIGNALS = {
    name: number
    for number, name in enumerate(
        "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM "
        "PROF WINCH IO PWR SYS".split(),
        1,
    )
} | {"IOT": 6, "CLD": 17, "POLL": 29, "RTMIN": 34, "RTMAX": 64}


def signal_number(text: str) -> int:
    """A signal by number (0 only asks whether there is somebody) or name (with or without SIG; RTMIN+n). UsageError."""
    name = text.upper().removeprefix("SIG")
    if is_whole(name, 3) and int(name) < 65:
        return int(name)
    if name in _SIGNALS:
        return _SIGNALS[name]
    base, sign, offset = name[:5], name[5:6], name[6:]
    if base in ("RTMIN", "RTMAX") and sign in ("+", "-") and is_whole(offset, 2) and int(offset) <= 30:
        number = _SIGNALS[base] + (int(offset) if sign == "+" else -int(offset))
        if 34 <= number <= 64:
            return number
    raise UsageError(f"invalid signal {text!r}", "give its number, or a common name such as TERM")


def kill(entry: Entry, signal: str, everyone: bool) -> None:
    """As Entry.kill."""
    number = signal_number(signal)
    if everyone and entry.cgroup and os.path.isdir(entry.cgroup):
        cgroup.kill(entry.cgroup, number)
        return
    if entry.status() not in ("created", "running", "paused"):
        raise StateError(f"cannot kill container {entry.record['id']}", "container not running")
    # Without a cgroup: init is all there is, or the kernel ends the others of its pid namespace with it.
    targets = process.in_namespace_of(entry.pid) if everyone else [entry.pid]
    for pid in targets or [entry.pid]:
        try:
            pidfd = libc.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            if pid != entry.pid or entry.alive():
                libc.pidfd_send_signal(pidfd, number)
        finally:
            os.close(pidfd)
