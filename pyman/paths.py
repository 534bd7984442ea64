"""Where pyman keeps things: one function per XDG directory. Any process; no import beyond os.

Environment (for tests and systemd units): PYMAN_GRAPHROOT and PYMAN_RUNROOT override the first two.
"""

from __future__ import annotations

import os

from pyman.errors import MissingProgram, StorageError

umask = 0o022  # the caller's; all that pyman makes is made with this one


def home() -> str:
    """The caller's home directory: $HOME, else the password database."""
    value = os.environ.get("HOME")
    if value and value.startswith("/"):
        return value
    import pwd  # a C module; only for callers without $HOME

    return pwd.getpwuid(caller()[0]).pw_dir


def caller() -> tuple[int, int]:
    """The user's uid and gid on the host, also inside pyman's user namespace, where both are 0."""
    uid, _, gid = os.environ.get("PYMAN_CALLER", "").partition(":")
    return (int(uid), int(gid)) if os.getuid() == 0 and uid.isdigit() and gid.isdigit() else (os.getuid(), os.getgid())


def _xdg(variable: str, default: str) -> str:
    value = os.environ.get(variable)
    return value if value and value.startswith("/") else os.path.join(home(), default)


def graphroot() -> str:
    """Images, layers, containers, volumes: $XDG_DATA_HOME/pyman."""
    return os.environ.get("PYMAN_GRAPHROOT") or os.path.join(_xdg("XDG_DATA_HOME", ".local/share"), "pyman")


def runroot() -> str:
    """Sockets and other run state: $XDG_RUNTIME_DIR/pyman, else /run/user/UID, else a private directory in /tmp."""
    value = os.environ.get("PYMAN_RUNROOT")
    if value:
        return value
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and base.startswith("/") and os.access(base, os.W_OK):
        return os.path.join(base, "pyman")
    base = f"/run/user/{os.getuid()}"
    if os.access(base, os.W_OK):
        return os.path.join(base, "pyman")
    return f"/tmp/pyman-run-{os.getuid()}"


def service_manager() -> str:
    """The socket of the user's service manager (systemd --user): its private one, else the session bus; empty where there is neither."""
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{caller()[0]}"
    found = (f"{runtime}/systemd/private", f"{runtime}/bus")
    return next((path for path in found if os.access(path, os.W_OK)), "")


def native(name: str) -> str:
    """Path of one of the native programs beside the package. MissingProgram if it was not built."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_native", f"pyman-{name}")
    if not os.access(path, os.X_OK):
        raise MissingProgram(
            f"cannot find the program pyman-{name}",
            f"{path} does not exist or cannot be executed",
            "install pyman again with a C compiler present (gcc, libc6-dev)",
        )
    return path


def cachedir() -> str:
    """Compiled seccomp filters, parsed configuration, probe results: $XDG_CACHE_HOME/pyman."""
    return os.path.join(_xdg("XDG_CACHE_HOME", ".cache"), "pyman")


def confdir() -> str:
    """The user's configuration: $XDG_CONFIG_HOME (containers/ and pyman/ lie below it)."""
    return _xdg("XDG_CONFIG_HOME", ".config")


def ensure_private(path: str) -> str:
    """Create `path` (mode 0700) if needed, and refuse it if somebody else owns it or may write to it."""
    try:
        os.makedirs(path, 0o700, exist_ok=True)
    except OSError as err:
        raise StorageError(f"cannot create directory {path}", err.strerror or str(err), "check the owner and mode of its parent") from err
    refuse_foreign(path)
    return path


def refuse_foreign(path: str) -> None:
    """StorageError if the directory `path` exists and somebody else owns it or may write to it."""
    try:
        info = os.lstat(path)
        if info.st_mode & 0o170000 == 0o120000 and info.st_uid == os.geteuid():
            info = os.stat(path)  # a symbolic link of the user's own, to where there is room
    except OSError:
        return  # nothing there to be misled by
    if info.st_uid != os.geteuid() or info.st_mode & 0o022:
        raise StorageError(
            f"refusing to use directory {path}",
            f"it has owner {info.st_uid} and mode {info.st_mode & 0o7777:04o}, so others could write to it",
            "set XDG_DATA_HOME and XDG_RUNTIME_DIR to directories that only you can write to",
        )
    if info.st_mode & 0o700 != 0o700:
        raise StorageError(
            f"cannot use directory {path}", f"its mode {info.st_mode & 0o7777:04o} does not let you read and write it", f"chmod 700 {path}"
        )
