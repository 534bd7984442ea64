"""Processes: the one fork helper, raw clone into namespaces, identity by start time. Any process."""

from __future__ import annotations

import os

from pyman.linux import libc

# TYPE_CHECKING without importing typing: mypy honours the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable
else:
    from pyman.linux import cabi as ctypes


def start_time(pid: int) -> int:
    """Start time of `pid` in clock ticks since boot (/proc/PID/stat, field 22); 0 if there is no such process.

    A zombie counts as gone: its pid still exists, but nothing runs.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
    except OSError:
        return 0
    # The name (field 2) may contain anything, so count from its last ")".
    fields = data[data.rindex(b")") + 2 :].split()
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def alive(pid: int, started: int) -> bool:
    """Whether `pid` still is the process that started at `started` (never a recycled number)."""
    return pid > 0 and started > 0 and start_time(pid) == started


def boot_id() -> str:
    """The kernel's boot id: start times compare only within one boot."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def close_other_fds(keep: tuple[int, ...]) -> None:
    """Close every descriptor above 2 that is not in `keep`."""
    first = 3
    for fd in sorted(set(keep)):
        if fd < first:
            continue
        if fd > first:
            libc.close_range(first, fd - 1)
        first = fd + 1
    libc.close_range(first)


def reset_signals() -> None:
    """Default action for every signal and an empty mask, as a new program expects them."""
    import _signal  # the C half of signal: no enum import

    for number in range(1, 65):
        if number in (9, 19, 32, 33):
            continue
        try:
            _signal.signal(number, _signal.SIG_DFL)
        except (OSError, ValueError):
            continue
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def fork(body: Callable[[], int], name: str, keep: tuple[int, ...] = ()) -> int:
    """Fork a child that runs `body` and ends with its result; returns the child's pid.

    The child closes all descriptors but 0-2 and `keep`, resets signals and is named `name`. An exception that leaves
    `body` ends it with 125 and one line on stderr: bodies report errors through their own channel.
    """
    pid = os.fork()
    if pid == 0:
        _run_child(body, name, keep)
    return pid


def clone(flags: int, body: Callable[[], int], name: str, keep: tuple[int, ...] = ()) -> int:
    """Like `fork`, in new namespaces (`flags`: CLONE_NEW*). The caller's own namespaces stay as they are.

    unshare(CLONE_NEWPID) + fork would leave the caller's later children in the new pid namespace; the raw clone does
    not. PyDLL keeps the GIL over the call, so the child owns it; the PyOS functions are what os.fork calls around it.
    """
    raw = ctypes.PyDLL(None, use_errno=True)
    raw.syscall.restype = ctypes.c_long
    nothing = ctypes.c_void_p(None)
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = raw.syscall(ctypes.c_long(libc.NR_clone), ctypes.c_ulong(flags | 17), nothing, nothing, nothing, ctypes.c_ulong(0))
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        _run_child(body, name, keep)
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        libc.raise_errno("clone")
    return int(pid)


def _run_child(body: Callable[[], int], name: str, keep: tuple[int, ...]) -> None:
    code = 125
    try:
        close_other_fds(keep)
        reset_signals()
        libc.set_process_name(name)
        code = body()
    except BaseException as err:  # the process edge: nothing may unwind into the parent's frames
        os.write(2, f"{name}: {type(err).__name__}: {err}\n".encode(errors="replace"))
    finally:
        os._exit(code)


def wait(pid: int) -> int:
    """Exit code of child `pid` (128+n for a signal)."""
    _, status = os.waitpid(pid, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def in_namespace_of(pid: int) -> list[int]:
    """The processes in the pid namespace of `pid`; none but itself if that is the caller's own."""
    try:
        wanted = os.readlink(f"/proc/{pid}/ns/pid")
        if wanted == os.readlink("/proc/self/ns/pid"):
            return [pid]
    except OSError:
        return []
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.readlink(f"/proc/{name}/ns/pid") == wanted:
                    found.append(int(name))
            except OSError:
                continue
    return sorted(found)
