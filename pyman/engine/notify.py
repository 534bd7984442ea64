"""What a service manager passes to a service, passed on to the container: NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS. CLI process and C.

The monitor is the main process of the unit; it stands between the container and the manager's socket (shims/monitor/notify.h).
"""

from __future__ import annotations

import _socket
import os

from pyman.digits import is_whole
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.plan import Plan

MODES = ("container", "conmon", "healthy", "ignore")
_INSIDE = "/run/notify"
_NAME = "notify.sock"
_FIRST = 3  # of LISTEN_FDS
_MOST = 1024


def check(opts: dict[str, Any], health: bool) -> None:
    """UsageError for a --sdnotify that cannot be meant. health: whether the container has a health check."""
    mode = opts.get("sdnotify") or "container"
    if mode not in MODES:
        raise UsageError(f"invalid value {mode!r} for option --sdnotify", f"it must be one of {', '.join(MODES)}")
    if mode == "healthy" and not health:
        raise UsageError("cannot use --sdnotify=healthy", "the container has no health check", "give it one: --health-cmd")


def prepare(plan: Plan, environ: Any) -> None:
    """Add to the plan what the environment `environ` of this start asks for. UsageError."""
    _listen(plan, environ)
    # PYMAN_SDNOTIFY: set by units for containers that were made without them (engine/generate_systemd.py).
    address, mode = environ.get("NOTIFY_SOCKET"), environ.get("PYMAN_SDNOTIFY") or plan.opts.get("sdnotify") or "container"
    if mode not in MODES:
        raise UsageError(f"invalid value {mode!r} of PYMAN_SDNOTIFY", f"it must be one of {', '.join(MODES)}")
    if not address or mode == "ignore":
        return
    plan.notify_fd = _connect(address)
    if plan.notify_fd < 0:
        plan.warnings.append(f"the service manager cannot be reached at NOTIFY_SOCKET={address}: it is told nothing")
        return
    plan.notify_mode = mode
    plan.watchdog = _number(environ.get("WATCHDOG_USEC"))
    if mode != "container":
        return
    directory = os.path.join(plan.container.run_dir, "notify")
    plan.spec["mounts"].append(
        {"destination": _INSIDE, "type": "bind", "source": directory, "options": ["bind", "rprivate", "nosuid", "nodev", "noexec"]}
    )
    plan.spec["process"]["env"].append(f"NOTIFY_SOCKET={_INSIDE}/{_NAME}")
    if plan.watchdog:
        plan.spec["process"]["env"].append(f"WATCHDOG_USEC={plan.watchdog}")
    plan.notify_listen = _bind(directory)


def begin(fd: int, mode: str) -> None:
    """Tell the manager that this process, which becomes the monitor, is the main one; with mode conmon that it is ready.

    Before the command that was called ends: the manager takes the end of a main process that has named no other for a failure.
    """
    sock = _socket.socket(fileno=os.dup(fd))
    try:
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, (2).to_bytes(8, "little") + bytes(8))
        sock.send(b"MAINPID=%d%s" % (os.getpid(), b"\nREADY=1" if mode == "conmon" else b""))
    except OSError:
        pass  # whoever waits for it will say so
    finally:
        sock.close()


def _number(text: str | None) -> int:
    return int(text) if text and is_whole(text, 15) else 0


def _listen(plan: Plan, environ: Any) -> None:
    """Socket activation (sd_listen_fds(3)): the descriptors keep their numbers, and the first process is who they are for."""
    count = _number(environ.get("LISTEN_FDS"))
    if not count or environ.get("LISTEN_PID") != str(os.getpid()):
        return
    fds = range(_FIRST, _FIRST + min(count, _MOST))
    for fd in fds:
        try:
            os.fstat(fd)
        except OSError:
            raise UsageError("cannot pass the sockets of LISTEN_FDS on", f"descriptor {fd} is not open") from None
    plan.preserve = tuple(sorted({*plan.preserve, *fds}))
    env = plan.spec["process"]["env"]
    env += [f"LISTEN_FDS={count}", "LISTEN_PID=1"]
    if environ.get("LISTEN_FDNAMES"):
        env.append(f"LISTEN_FDNAMES={environ['LISTEN_FDNAMES']}")


def _connect(address: str) -> int:
    """A socket connected to the manager's, so that no path has to be found later; -1 if nobody listens."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        sock.close()
        return -1
    return int(sock.detach())


def _bind(directory: str) -> int:
    """The container's socket. Anybody in the container may send to it; outside, its directory lies in a private one."""
    os.makedirs(directory, 0o755, exist_ok=True)
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            os.unlink(_NAME, dir_fd=fd)
        except FileNotFoundError:
            pass
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
        path = f"/proc/self/fd/{fd}/{_NAME}"  # a socket's path may have 107 bytes only
        sock.bind(path)
        os.chmod(path, 0o666)
        return int(sock.detach())
    finally:
        os.close(fd)
