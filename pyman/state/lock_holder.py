"""Who holds a lock that another process has waited for too long. Any process; only then."""

from __future__ import annotations

import os

from pyman import errors
from pyman.linux import process

_SHOWN = 40  # characters of a command


def look(path: str) -> tuple[int, bool]:
    """(the process that holds the lock of a file or directory, whether it is stopped); 0 if it cannot be seen."""
    try:
        info = os.stat(path)
    except OSError:
        return 0, False
    pids = _owners(info.st_ino) or _openers(info)
    stopped = [pid for pid in pids if process.state(pid) in ("T", "t")]
    return (stopped or pids or [0])[0], bool(stopped)


def _owners(inode: int) -> list[int]:
    """From the kernel's list of locks: who took one, and still lives. (Its column of the device is another one on some file systems.)"""
    try:
        with open("/proc/locks", encoding="ascii", errors="replace") as file:
            rows = [line.split() for line in file]
    except OSError:
        return []
    found = [int(row[4]) for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5].rpartition(":")[2] == str(inode)]
    return [pid for pid in found if pid != os.getpid() and process.start_time(pid)]


def _openers(wanted: os.stat_result) -> list[int]:
    """Who has the file open: the lock's owner has ended, and left it to a child."""
    found = []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            for fd in os.listdir(f"/proc/{pid}/fd") if pid != os.getpid() else ():
                info = os.stat(f"/proc/{pid}/fd/{fd}")
                if (info.st_dev, info.st_ino) == (wanted.st_dev, wanted.st_ino):
                    found.append(pid)
                    break
        except OSError:
            continue  # it has ended, or is another user's
    return found


def described(path: str) -> str:
    """The holder in words: `process 12 (pyman run), which is stopped,`."""
    pid, stopped = look(path)
    if not pid:
        return "a process that cannot be seen from here"
    return f"process {pid} ({_command(pid)}){', which is stopped (SIGSTOP, or Ctrl-Z),' if stopped else ''}"


def _command(pid: int) -> str:
    """The program, or the command of pyman: what follows that may be secret (`run -e`), and errors are kept in logs."""
    words = process.words(pid)
    name = os.path.basename(words[0]) if words else ""
    for number, word in enumerate(words):
        if word.endswith("/pyman/__main__.py"):
            verbs = [later for later in words[number + 1 :] if later.isalpha()] + ["", ""]
            name = " ".join(("pyman", *verbs[: 2 if verbs[0] == "container" else 1])).strip()
            break
    return "".join(letter if letter.isprintable() else "?" for letter in name[:_SHOWN])


def _about(path: str) -> str:
    directory, name = os.path.split(path)
    return f"container {name[:12]}" if os.path.basename(directory) == "containers" else path


def tell(path: str) -> None:
    """Say whom this process waits for."""
    if errors.tell:
        errors.tell(f"this waits for {described(path)} to let go of {_about(path)}")


def refusal(path: str, seconds: float) -> errors.LockHeld:
    """The error of a wait that is given up."""
    pid, stopped = look(path)
    hint = f"see which: fuser {path}"
    if pid:
        hint = f"let it go on: kill -CONT {pid}; or end it: kill -KILL {pid}" if stopped else f"wait for its end, or end it: kill {pid}"
    return errors.LockHeld(f"cannot lock {_about(path)}", f"{described(path)} has held it for more than {seconds:.0f} seconds", hint)
