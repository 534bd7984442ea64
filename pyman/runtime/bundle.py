"""The bundle of `pyman-runtime`: config.json loaded and checked, the template of `spec`, console socket, pid file."""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure, UsageError
from pyman.state import fastjson, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup", "user", "time")


def load(directory: str) -> dict[str, Any]:
    """The spec of a bundle. RuntimeFailure names what is missing or not supported."""
    path = os.path.join(directory, "config.json")
    spec = store.read_json(path)
    what = f"cannot use bundle {directory}"
    if spec is None:
        raise RuntimeFailure(what, "it has no config.json", "pyman-runtime spec writes a template")
    process, root = spec.get("process"), spec.get("root")
    if not isinstance(root, dict) or not isinstance(root.get("path"), str):
        raise RuntimeFailure(what, "root.path is missing")
    if not isinstance(process, dict) or not isinstance(process.get("args"), list) or not process["args"]:
        raise RuntimeFailure(what, "process.args is missing or empty")
    if not str(process.get("cwd", "")).startswith("/"):
        raise RuntimeFailure(what, "process.cwd is not absolute")
    linux = spec.setdefault("linux", {})
    linux.setdefault("namespaces", [])
    for section in ("intelRdt", "timeOffsets", "personality", "netDevices", "memoryPolicy"):
        if linux.get(section):
            raise RuntimeFailure(what, f"linux.{section} is not supported")
    if any(spec.get("hooks") or {}) and any((spec.get("hooks") or {}).values()):
        raise RuntimeFailure(what, "hooks are not supported by this version")
    for section in ("apparmorProfile", "selinuxLabel", "scheduler", "ioPriority", "execCPUAffinity"):
        if process.get(section):
            raise RuntimeFailure(what, f"process.{section} is not supported")
    spec["root"]["path"] = os.path.join(directory, root["path"])
    return spec


def features() -> dict[str, Any]:
    """What this runtime can do (runtime-spec, features.md)."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.2.0",
        "hooks": [],
        "linux": {
            "namespaces": list(NAMESPACES),
            "seccomp": {"enabled": True},
            "apparmor": {"enabled": False},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
        },
    }


def write_template(directory: str) -> int:
    """config.json for a shell in ./rootfs. UsageError if there is one already."""
    path = os.path.join(directory, "config.json")
    if os.path.exists(path):
        raise UsageError(f"cannot write {path}", "it exists already")
    spec = {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs"},
        "hostname": "pyman",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
            {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "user")],
            "uidMappings": [{"containerID": 0, "hostID": os.getuid(), "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": os.getgid(), "size": 1}],
        },
    }
    store.write_text(path, fastjson.dumps(spec, indent=2) + "\n", mode=0o644)
    return 0


def exec_process(spec: dict[str, Any], command: list[str], opts: dict[str, Any]) -> dict[str, Any]:
    """The process object of exec: --process FILE, or the container's own with the options applied. UsageError."""
    path = opts.get("process") or opts.get("p")
    if path:
        process = store.read_json(path)
        if process is None:
            raise UsageError(f"cannot read {path}", "no such file")
        return process
    if not command:
        raise UsageError("no command given", "exec needs --process FILE or a command")
    process = dict(spec["process"])
    process["args"] = command
    process["terminal"] = bool(opts.get("tty") or opts.get("t"))
    process["env"] = [*(process.get("env") or []), *(opts.get("env") or [])]
    if opts.get("cwd"):
        process["cwd"] = opts["cwd"]
    user = opts.get("user") or opts.get("u")
    if user:
        uid, _, gid = str(user).partition(":")
        if not uid.isdigit() or (gid and not gid.isdigit()):
            raise UsageError(f"invalid user {user!r}", "give numbers: UID[:GID]")
        process["user"] = {"uid": int(uid), "gid": int(gid or 0)}
    return process


def send_console(path: str, master: int) -> None:
    """Send the pty's master over the console socket (SCM_RIGHTS). RuntimeFailure."""
    import _socket

    if not path:
        raise RuntimeFailure("cannot create the container's terminal", "process.terminal needs --console-socket")
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.connect(path)
        sock.sendmsg([b"console"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, master.to_bytes(4, "little"))])
    except OSError as err:
        raise RuntimeFailure("cannot hand over the container's terminal", f"{path}: {err.strerror}") from err
    finally:
        sock.close()


def write_pid(path: str, pid: int) -> None:
    """--pid-file."""
    store.write_text(path, str(pid), mode=0o644)
