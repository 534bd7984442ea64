"""Pass data between the caller and an exec's pipes or terminal, without a monitor between: one poll loop. CLI process; C modules only."""

from __future__ import annotations

import _signal
import fcntl
import os
import select

from pyman.linux import libc, process
from pyman.monitor.terminal import CHUNK, PROXIED, Keys, Signals, Terminal, parse_detach_keys, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TIOCSWINSZ = 0x5414


def relay(started: Any, *, tty: bool, stdin: bool, detach_keys: str) -> int:
    """Pass data between the caller and an exec's pipes or pty until its process ends, our child or the watcher's; its exit code."""
    keys = Keys(parse_detach_keys(detach_keys) if tty else b"")
    terminal = Terminal(0, tty, stdin)
    signals = Signals((*(PROXIED if tty else ()), _signal.SIGWINCH))
    pidfd = started.pidfd if started.pidfd >= 0 else libc.pidfd_open(started.pid)
    if started.watcher is None:
        process.leave_to_kernel(started.pid)
    try:
        detached = _relay_loop(started, pidfd, tty, stdin, keys, terminal, signals)
    finally:
        terminal.restore()
        signals.restore()
        os.close(pidfd)
    if detached:
        return 0
    if started.watcher is not None:
        message, _ = started.watcher.receive()
        started.pid, started.lost = 0, message is None
        return int(message["code"]) if message else 137
    pid, started.pid = started.pid, 0
    return process.ended(pid)


def _relay_loop(started: Any, pidfd: int, tty: bool, stdin: bool, keys: Keys, terminal: Terminal, signals: Signals) -> bool:
    poll = select.poll()
    sinks = {started.console: 1} if tty else {started.stdout: 1, started.stderr: 2}
    into = started.console if tty else started.stdin
    for fd in (pidfd, signals.read_fd, *sinks):
        poll.register(fd, select.POLLIN)
    if stdin:
        poll.register(0, select.POLLIN)
    if tty and terminal.size():
        fcntl.ioctl(started.console, _TIOCSWINSZ, terminal.size() + b"\0" * 4)
    ended = False
    line_ended = True
    while sinks:
        ready = dict(poll.poll(0 if ended else -1))
        if ended and not any(fd in ready for fd in sinks):
            return False  # the process has ended and nothing more lies in its pipes: a grandchild may hold them open
        if pidfd in ready:
            ended = True
            poll.unregister(pidfd)
        for number in signals.read() if signals.read_fd in ready else b"":
            if number == _signal.SIGWINCH and tty and terminal.size():
                fcntl.ioctl(started.console, _TIOCSWINSZ, terminal.size() + b"\0" * 4)
            elif number != _signal.SIGWINCH:
                libc.pidfd_send_signal(pidfd, number)
        for fd in [fd for fd in sinks if fd in ready]:
            try:
                data = os.read(fd, 65536)
            except OSError:  # EIO: the pty's last slave was closed
                data = b""
            if not data or not write_all(sinks[fd], data):
                poll.unregister(fd)
                del sinks[fd]
                if data:  # its reader has gone: the process is to learn it (SIGPIPE, or SIGHUP of a terminal), rather than wait for ever
                    os.close(fd)
        if stdin and 0 in ready:
            data = os.read(0, CHUNK)
            passed, detached = keys.feed(data)
            if detached:
                return True
            if not data:
                poll.unregister(0)
                if not tty:
                    os.close(into)
                else:
                    write_all(into, b"\4" if line_ended else b"\4\4")  # as in `attach`
            elif not write_all(into, passed):
                poll.unregister(0)
            line_ended = passed.endswith(b"\n") or (line_ended and not passed)
    return False
