"""Processes: the one fork helper, raw clone into namespaces, identity by start time. Any process."""

from __future__ import annotations

import os
import time

from pyman.linux import libc

# TYPE_CHECKING without importing typing: mypy honours the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from collections.abc import Callable
    from typing import Any
else:
    from pyman.linux import cabi as ctypes


_PF_EXITING = 4  # among a task's flags since Linux 2.6


def start_time(pid: int) -> int:
    """Start time of `pid` in clock ticks since boot (/proc/PID/stat, field 22); 0 if there is no such process.

    A zombie counts as gone: its pid still exists, but nothing runs.
    """
    found = _stat(pid)
    return 0 if not found or _over(found[1]) else int(found[1][19])


def _over(fields: list[bytes]) -> bool:
    """Whether nothing of a process runs. Where its first thread alone has ended (pthread_exit in main) others do, and count as its threads."""
    return fields[0] in (b"Z", b"X") and int(fields[17]) < 2


def runs(pid: int, started: int) -> bool:
    """As `alive`, and not on its way out.

    The first process of a pid namespace is that until all others in there have been reaped. What was executed in there from outside has a
    parent outside, in the end the host's first process, which may never reap it if the host is itself a container.
    """
    found = _stat(pid) if pid > 0 and started > 0 else None
    if found is None or _over(found[1]) or int(found[1][19]) != started:
        return False
    return not int(found[1][6]) & _PF_EXITING or int(found[1][17]) > 1


def began(pid: int) -> float:
    """When a process began, in seconds since 1970; 0 if there is none, see `start_time`."""
    ticks = start_time(pid)
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK") if ticks else 0.0


def alive(pid: int, started: int) -> bool:
    """Whether `pid` still is the process that started at `started` (never a recycled number)."""
    return pid > 0 and started > 0 and start_time(pid) == started


def kill(pid: int, started: int, number: int = 9) -> bool:
    """Send a signal to the process that started at `started`, and to none that has its number by now; false if it has ended. PermissionError."""
    try:
        pidfd = libc.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not alive(pid, started):
            return False
        libc.pidfd_send_signal(pidfd, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)


def state(pid: int) -> str:
    """What a process does, as ps has it (R, S, D, T stopped, t traced, Z); empty if there is none."""
    found = _stat(pid)
    return found[1][0].decode() if found else ""


def words(pid: int) -> list[str]:
    """What a process was called with, its name first; nothing if it has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().decode("utf-8", "surrogateescape").split("\0")[:-1]
    except OSError:
        return []


def children(parent: int) -> list[tuple[int, str, str]]:
    """(pid, name, state) of the living children of a process. It reads all of /proc: for slow paths."""
    found = []
    for entry in os.listdir("/proc"):
        seen = _stat(int(entry)) if entry.isdigit() else None
        if seen and int(seen[1][1]) == parent and not _over(seen[1]):
            found.append((int(entry), seen[0].decode(errors="replace"), seen[1][0].decode()))
    return found


def _stat(pid: int) -> tuple[bytes, list[bytes]] | None:
    """(name, the fields from the third on) of a process in /proc/PID/stat; None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            data = file.read()
    except OSError:
        return None
    end = data.rindex(b")")  # the name may contain anything, so count from its last ")"
    return data[data.index(b"(") + 1 : end], data[end + 2 :].split()


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


def reset_signals(ignored: tuple[int, ...] = ()) -> None:
    """Default action for every signal but those `ignored`, and an empty mask, as a new program expects them."""
    import _signal  # the C half of signal: no enum import

    for number in range(1, 65):
        # What the interpreter found at its start and was told since; None: not for it to know (two of libc's own).
        wanted = _signal.SIG_IGN if number in ignored else _signal.SIG_DFL
        if _signal.getsignal(number) not in (wanted, None):
            _signal.signal(number, wanted)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())


def await_children() -> None:
    """Have the ends of children told, whatever the caller ignores: with SIGCHLD ignored the kernel reaps them, and `wait` would find none."""
    import _signal

    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)


def fork(body: Callable[[], int], name: str, keep: tuple[int, ...] = ()) -> int:
    """Fork a child that runs `body` and ends with its result; returns the child's pid.

    The child closes all descriptors but 0-2 and `keep`, resets signals and is named `name`. An exception that leaves
    `body` ends it with 125 and one line on stderr: bodies report errors through their own channel.
    It ignores SIGXFSZ, so that a limit of file sizes is an error that can be told; who executes a program calls `reset_signals`.
    """
    pid = os.fork()
    if pid == 0:
        _run_child(body, name, keep, ignored=(25,))
    return pid


def clone(flags: int, body: Callable[[], int], name: str, keep: tuple[int, ...] = (), cgroup_fd: int = -1) -> int:
    """Like `fork`, in new namespaces (`flags`: CLONE_NEW*). The caller's own namespaces stay as they are.

    cgroup_fd: directory of the cgroup v2 that the child is born in (clone3, Linux 5.7), or -1 for the caller's.
    unshare(CLONE_NEWPID) + fork would leave the caller's later children in the new pid namespace; the raw clone does
    not. PyDLL keeps the GIL over the call, so the child owns it; the PyOS functions are what os.fork calls around it.

    What is made here may be in a container's pid namespace, where everybody can read command lines: from its first moment on the child's says
    `name`, not what the caller was called with.
    """
    memory = libc.arguments()
    called = memory.raw if memory else b""
    raw = ctypes.PyDLL(None, use_errno=True)
    raw.syscall.restype = ctypes.c_long
    nothing = ctypes.c_void_p(None)
    if cgroup_fd >= 0:
        # struct clone_args: flags, three pointers we do not use, exit signal, stack, its size, tls, set_tid, its size, cgroup.
        # To move it afterwards would stop all forks of the machine for a moment; to be born there costs nothing.
        end_signal = 0 if flags & libc.CLONE_PARENT else 17  # a sibling inherits the caller's
        words = (flags | libc.CLONE_INTO_CGROUP, 0, 0, 0, end_signal, 0, 0, 0, 0, 0, cgroup_fd)
        arguments = ctypes.create_string_buffer(b"".join(word.to_bytes(8, "little") for word in words), 88)
        call: tuple[Any, ...] = (ctypes.c_long(libc.NR_clone3), arguments, ctypes.c_size_t(88))
    else:
        call = (ctypes.c_long(libc.NR_clone), ctypes.c_ulong(flags | 17), nothing, nothing, nothing, ctypes.c_ulong(0))
    if memory:
        memory.raw = name.encode()[: len(called) - 1].ljust(len(called), b"\0")
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = raw.syscall(*call)
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        _run_child(body, name, keep)
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if memory:
        memory.raw = called
    if pid < 0:
        libc.raise_errno("clone")
    return int(pid)


def _run_child(body: Callable[[], int], name: str, keep: tuple[int, ...], ignored: tuple[int, ...] = ()) -> None:
    code = 125
    try:
        close_other_fds(keep)
        reset_signals(ignored)
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


def leave_to_kernel(pid: int) -> None:
    """Let the kernel reap `pid` when it ends, even while this process is stopped; for the only child of one that makes no more. See `ended`.

    The first process of a pid namespace cannot finish ending before all others in there have been reaped: one with a parent outside that is
    stopped (Ctrl-Z) would keep it for ever. With other children nothing is changed, since only one of several ends might be told.
    """
    import _signal

    try:
        with open("/proc/thread-self/children") as file:
            if file.read().split() != [str(pid)]:
                return
    except OSError:
        return  # a kernel without that file
    _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGCHLD,))  # so that it waits, with what it tells
    libc.reap_children()


def ended(pid: int) -> int:
    """As `wait`, also after `leave_to_kernel`."""
    import _signal

    try:
        return wait(pid)
    except ChildProcessError:
        told = _signal.sigtimedwait((_signal.SIGCHLD,), 0)
    if told is None or told.si_pid != pid:
        return 137  # somebody else has sent this signal: nothing is known of its end
    return int(told.si_status) + (0 if told.si_code == 1 else 128)  # CLD_EXITED


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
