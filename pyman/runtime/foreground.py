"""What `run` and `exec` share: descriptors to pass on; in the foreground signals, the terminal, the exit code."""

from __future__ import annotations

import _signal
import os

from pyman.digits import is_whole
from pyman.errors import RuntimeFailure, UsageError
from pyman.runtime import arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HANDED_OVER = ("console_socket", "pidfd_socket", "pid_file")  # options of runtime/handover.py
_ENDING = (1, 2, 3, 15)  # HUP INT QUIT TERM
_NOT_FORWARDED = (9, 17, 19, 20, 21, 22, 23, 28)  # KILL CHLD STOP TSTP TTIN TTOU URG WINCH


def preserved(opts: dict[str, Any]) -> tuple[int, ...]:
    """Descriptors 3.. of --preserve-fds N and, as systemd passes them, of LISTEN_FDS; those that are open, as crun does."""
    asked = arguments.number(opts, "preserve_fds")
    if asked < 0:
        raise UsageError(f"invalid --preserve-fds {asked}", "it must be 0 or more")
    count = asked + listen_fds()
    if count == 0:
        return ()
    return tuple(fd for fd in sorted(int(name) for name in os.listdir("/proc/self/fd")) if 3 <= fd < 3 + count and _inherited(fd))


def _inherited(fd: int) -> bool:
    try:
        return os.get_inheritable(fd)  # what we opened ourselves is close-on-exec
    except OSError:
        return False  # it was the list's own


def listen_fds() -> int:
    """How many descriptors systemd passes."""
    text = os.environ.get("LISTEN_FDS") or ""
    return int(text) if is_whole(text, 4) and int(text) < 1024 and os.environ.get("LISTEN_PID") in (None, "", str(os.getpid())) else 0


def hold_signals() -> None:
    """Signals for a process in the foreground wait until there is one to forward them to."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, (*_ENDING, 10, 12))


def release_signals() -> None:
    """The end of `hold_signals`: what follows may wait for others, who may never come."""
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, (*_ENDING, 10, 12))


def end_with_an_error(what: str) -> None:
    """Let signals that would end this process raise RuntimeFailure, so that what it has begun is undone. what: "cannot create ..."."""

    def end(number: int, _: object) -> None:
        ignore_ends()
        name = {1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 15: "SIGTERM"}[number]
        raise RuntimeFailure(what, f"it was ended by {name}")

    for number in _ENDING:
        if _signal.getsignal(number) is not _signal.SIG_IGN:  # nohup
            _signal.signal(number, end)


def ignore_ends() -> None:
    """What is being undone is undone to the end."""
    for number in _ENDING:
        _signal.signal(number, _signal.SIG_IGN)


def attend(pid: int, console: int, notified: Any = None) -> int:
    """Wait for child `pid`; `console`: its pty's master, copied to our streams, or -1; notified: see notify.py. Its exit code (128 + n for a signal)."""

    def forward(number: int, _: object) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    for number in range(1, 32):
        if number not in _NOT_FORWARDED:
            _signal.signal(number, forward)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    if notified is not None:
        from pyman.runtime import notify

        notify.pass_on(notified, pid)
    if console >= 0:
        _copy(console)
    _, status = os.waitpid(pid, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _copy(master: int) -> None:
    """Copy until the last process has left the terminal. Ours is raw meanwhile, and its size is theirs."""
    import errno  # with a terminal only
    import fcntl
    import select
    import termios
    import tty

    before = None
    if os.isatty(0):
        before = termios.tcgetattr(0)
        tty.setraw(0)

        def resize(number: int, _: object) -> None:
            fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))

        resize(0, None)
        _signal.signal(28, resize)
    sources = [0, master]
    try:
        while True:
            for fd in select.select(sources, [], [])[0]:
                try:
                    data = os.read(fd, 1 << 16)
                except OSError as err:
                    if err.errno != errno.EIO:  # how a pty says that nobody is left
                        raise
                    data = b""
                if not data and fd == master:
                    return
                if not data:
                    sources.remove(0)
                    os.write(master, b"\4")
                while data:
                    data = data[os.write(1 if fd == master else master, data) :]
    finally:
        if before is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
        os.close(master)
