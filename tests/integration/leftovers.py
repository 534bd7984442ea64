"""What killed commands may leave behind: processes, mounts, locks, control groups, entries and temporary files of the store."""

from __future__ import annotations

import os
from pathlib import Path

from tests.conftest import until

_PLACES = ("containers", "names", "trash", "tmp", "intents", "volumes")


def _owned() -> list[Path]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int(entry.name) != os.getpid() and entry.stat().st_uid == os.getuid():
                found.append(entry)
        except OSError:
            continue  # it has just ended
    return found


def _text(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""  # it has just ended, or is not to be looked into


def found(base: Path) -> list[str]:
    """One line for each thing that is there, now, of the store and the runtime directory below `base`."""
    store, run = base / "home/.local/share/pyman", base / "run/pyman"
    left = [f"entry {entry}" for name in _PLACES for entry in (store / name).glob("*")]
    left += [f"entry {entry}" for entry in (run / "containers").glob("*")]
    left += [f"temporary file {entry}" for place in (store, run) for entry in place.glob("*.tmp")]
    inodes = {os.lstat(entry).st_ino: entry for place in (store, run) for entry in (place, *place.glob("*")) if os.path.lexists(entry)}
    for line in Path("/proc/locks").read_text().splitlines():
        words = line.split()
        if "->" not in words and int(words[5].rpartition(":")[2]) in inodes and not words[4] == str(os.getpid()):
            left.append(f"lock on {inodes[int(words[5].rpartition(':')[2])]}: {line}")
    for process in _owned():
        line = _text(process / "cmdline")
        if str(base / "run") in line or str(store) in line or line.startswith("pyman-namespaces"):
            left.append(f"process {process.name}: {line}")
        if any(f"{place}/" in _text(process / "mountinfo") for place in (store / "containers", store / "volumes", run / "containers")):
            left.append(f"mount of process {process.name}: {line}")
    return left


def nothing(base: Path, before: list[str]) -> None:
    """AssertionError if something stays that was not there before. (Whoever was told to end may need a moment.)"""
    left: list[str] = []

    def none() -> bool:
        left[:] = [line for line in found(base) if line not in before]
        return not left

    until(none, f"left over: {left}")
