"""Seccomp filters with flags, or with calls that another process decides about (SCMP_ACT_NOTIFY). The caller; init and exec-init."""

from __future__ import annotations

import _socket
import os

from pyman.errors import RuntimeFailure
from pyman.linux import seccomp
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def connect(description: dict[str, Any]) -> int:
    """A connection to linux.seccomp.listenerPath, made while the host's paths are in reach. RuntimeFailure."""
    path = description.get("listenerPath") or ""
    if not path:
        raise RuntimeFailure("cannot use SCMP_ACT_NOTIFY", "linux.seccomp.listenerPath is missing", stage="seccomp")
    for rule in description.get("syscalls") or []:
        if rule.get("action") == "SCMP_ACT_NOTIFY" and "sendmsg" in (rule.get("names") or []):
            raise RuntimeFailure("cannot use SCMP_ACT_NOTIFY for sendmsg", "the listener is told by that very call", stage="seccomp")
    from pyman.runtime import handover  # for listeners only

    try:
        return int(handover.connect(path).detach())
    except OSError as err:
        raise RuntimeFailure(f"cannot reach the seccomp listener {path}", err.strerror or str(err), stage="seccomp") from err


def load_filter(bpf: bytes, description: dict[str, Any], listener: int, state: dict[str, Any]) -> None:
    """seccomp(2) with the description's flags; with a listener, the container's state and the notification descriptor go there
    (config-linux.md "The Container Process State")."""
    fd = seccomp.load_with(bpf, description, listener >= 0)
    if listener < 0:
        return
    message = {
        "ociVersion": "1.2.0",
        "fds": ["seccompFd"],
        "pid": state["pid"],
        "metadata": description.get("listenerMetadata") or "",
        "state": {**state, "status": "creating" if state.get("status") == "creating" else state.get("status", "running")},
    }
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, fileno=listener)
    ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))]
    sock.sendmsg([fastjson.dumps(message).encode()], ancillary)
    sock.close()
    os.close(fd)
