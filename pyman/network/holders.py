"""Who holds a port: /proc/net and /proc/PID/fd, as far as the user may look. Slow path of an error."""

from __future__ import annotations

import os


def describe(port: int, protocol: str) -> str:
    """` by NAME (pid N)` for the holder of a listening port, or an empty text if it cannot be seen."""
    inodes = set()
    for path in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
        try:
            with open(path) as file:
                next(file)
                for line in file:
                    fields = line.split()
                    if int(fields[1].rsplit(":", 1)[1], 16) == port and (protocol == "udp" or fields[3] == "0A"):
                        inodes.add(fields[9])
        except (OSError, StopIteration, IndexError):
            continue
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        try:
            for fd in os.listdir(f"/proc/{pid}/fd"):
                link = os.readlink(f"/proc/{pid}/fd/{fd}")
                if link.startswith("socket:[") and link[8:-1] in inodes:
                    with open(f"/proc/{pid}/comm") as file:
                        return f", by {file.read().strip()} (pid {pid})"
        except OSError:
            continue
    return ", by a process of another user" if inodes else ""
