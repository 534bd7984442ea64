"""pyman called by root: give the privileges away before anything else. CLI process of root only.

Host uid 0 must not be mapped into a container: its file rights alone (/proc/sys, /etc) would be host privileges. So the
command itself continues in a child as the first id of a range that belongs to nobody, with a store of its own in
/var/lib/pyman; the parent keeps root only to write the id maps of that child's user namespaces, and ends with it.
"""

from __future__ import annotations

import os

from pyman.linux import libc, process
from pyman.rootless.idmap import read_ranges
from pyman.rootless.userns import in_userns

# Above all ranges that login.defs and systemd give away (524288-1879048191 belong to systemd-nspawn).
DEFAULT_RANGE = (1879048192, 65536)


def drop_root() -> None:
    """If this process is real root, continue in an unprivileged child; returns only there (and for ordinary users)."""
    if os.geteuid() != 0 or in_userns():
        return
    first, count = next(iter(read_ranges("/etc/subuid", 0, "root")), DEFAULT_RANGE)
    env = {
        "PYMAN_GRAPHROOT": "/var/lib/pyman/store",
        "PYMAN_RUNROOT": "/run/pyman",
        "XDG_CACHE_HOME": "/var/cache/pyman",
        "HOME": "/var/lib/pyman/home",
    }
    for variable, path in env.items():
        path = os.environ.get(variable, path) if variable.startswith("PYMAN_") else path
        os.makedirs(path, 0o700, exist_ok=True)
        if os.stat(path).st_uid == 0:
            os.chown(path, first, first)
            os.chmod(path, 0o700)
        os.environ[variable] = path
    os.chmod("/var/lib/pyman", 0o711)
    os.environ.pop("XDG_RUNTIME_DIR", None)
    os.environ.pop("XDG_DATA_HOME", None)
    os.environ.pop("XDG_CONFIG_HOME", None)
    import _socket  # the C half of socket

    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        os._exit(_serve(ours, pid, first, count))
    ours.close()
    os.setgroups([])
    os.setresgid(first, first, first)
    os.setresuid(first, first, first)
    libc.prctl(libc.PR_SET_DUMPABLE, 1)  # the uid change cleared it, and /proc/PID/uid_map would belong to root
    os.environ["PYMAN_MAPPER_FD"] = str(theirs.detach())
    os.environ["PYMAN_ROOT_RANGE"] = f"{first}:{count}"
    try:
        os.stat(".")
        os.listdir(".")
    except OSError:
        os.chdir("/")


def _serve(sock: object, pid: int, first: int, count: int) -> int:
    """Root's part: answer map requests until the child has ended, pass signals on, end with its exit code."""
    import _signal

    for number in (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT):
        _signal.signal(number, lambda signum, _frame: os.kill(pid, signum))
    while True:
        request = sock.recv(32)  # type: ignore[attr-defined]
        if not request:
            return process.wait(pid)
        target = int(request)
        try:
            if os.stat(f"/proc/{target}").st_uid != first:
                raise PermissionError(1, "not a process of this command")
            for kind in ("uid_map", "gid_map"):
                with open(f"/proc/{target}/{kind}", "w") as file:
                    file.write(f"0 {first} {count}\n")
            sock.send(b"ok")  # type: ignore[attr-defined]
        except OSError as err:
            sock.send(str(err).encode()[:200])  # type: ignore[attr-defined]
