"""Locks are flock(2) on the directory or file they protect, so a dead process holds nothing. Any process.

Order, where several are held: pod, container, volume, store.
"""

from __future__ import annotations

import fcntl
import os
import time

WAIT = 60.0  # seconds until a wait is given up: no two commands may deadlock for ever
TELL = 5.0  # seconds until it is said who is waited for
hurry = False  # whether a wait for a stopped process is given up then: for commands that are to end something (kill, rm --force)


class Lock:
    """`with Lock(path):` holds the lock of an existing directory or file; `shared` for readers.

    The descriptor (`fd`) may be handed to a forked child: the lock ends with its last copy.
    """

    __slots__ = ("fd", "path", "shared")

    def __init__(self, path: str, shared: bool = False) -> None:
        self.path = path
        self.shared = shared
        self.fd = -1

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock, waiting at most WAIT seconds. LockHeld (with the holder, if it can be seen), or FileNotFoundError."""
        if self.try_acquire():
            return
        began = time.monotonic()
        told = False
        pause = 0.001
        while not self.try_acquire():
            waited = time.monotonic() - began
            if waited > (WAIT if told else TELL):
                from pyman.state import lock_holder  # after such waits only

                if told or (hurry and lock_holder.look(self.path)[1]):
                    raise lock_holder.refusal(self.path, WAIT if told else TELL)
                lock_holder.tell(self.path)
                told = True
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    def try_acquire(self) -> bool:
        """Take the lock if it is free. FileNotFoundError if its directory has gone."""
        fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)  # not for ever, where a FIFO lies
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if self.shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd
        return True

    def held(self) -> bool:
        """Whether somebody holds it now, so that it could not be taken. False where there is nothing to lock."""
        try:
            return not self.try_acquire()
        except OSError:
            return False
        finally:
            self.release()

    def release(self) -> None:
        """Give the lock back; harmless if it is not held."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
