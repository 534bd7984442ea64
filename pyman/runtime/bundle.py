"""The bundle of `pyman-runtime`: config.json loaded and checked, the template of `spec`, console socket, pid file."""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure, UsageError
from pyman.linux import caps, libc, seccomp
from pyman.runtime import hooks, rootfs, tuning, validate
from pyman.state import fastjson, store
from pyman.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load(directory: str, name: str = "config.json") -> dict[str, Any]:
    """The spec of a bundle, checked as a whole. RuntimeFailure names what is wrong."""
    path = os.path.join(directory, name)
    spec = store.read_json(path)
    if spec is None:
        raise RuntimeFailure(f"cannot use bundle {directory}", f"it has no {name}", "pyman-runtime spec writes a template")
    try:
        validate.check(spec)
        seccomp_flags = (spec["linux"].get("seccomp") or {}).get("flags") or []
        if set(seccomp_flags) - set(seccomp.FLAGS):
            raise RuntimeFailure("linux.seccomp.flags is wrong", f"{seccomp_flags} are not all known", stage="config")
        hooks.check(spec["hooks"])
        tuning.check(spec["process"], spec["linux"])
    except RuntimeFailure as err:
        raise RuntimeFailure(f"cannot use bundle {directory}: {err.what}", err.why, err.hint, stage=err.stage or "config") from None
    spec["root"]["path"] = os.path.join(directory, spec["root"]["path"])
    if not os.path.isdir(spec["root"]["path"]):
        raise RuntimeFailure(
            f"cannot use bundle {directory}: root.path {spec['root']['path']}", "there is no such directory", stage="config"
        )
    return spec


def features() -> dict[str, Any]:
    """What this runtime can do (runtime-spec, features.md)."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": "1.2.0",
        "hooks": list(hooks.KINDS),
        "mountOptions": rootfs.option_names(),
        "linux": {
            "namespaces": sorted(validate.NAMESPACES),
            "capabilities": ["CAP_" + name for name in caps.NAMES],
            "cgroup": {"v1": False, "v2": True, "systemd": False, "systemdUser": False, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(seccomp.ACTIONS),
                "operators": sorted(seccomp.OPERATORS),
                "archs": sorted(seccomp.ARCHES),
                "knownFlags": list(seccomp.FLAGS),
                "supportedFlags": list(seccomp.FLAGS),
            },
            "apparmor": {"enabled": True},
            "selinux": {"enabled": True},
            "intelRdt": {"enabled": False},
            "memoryPolicy": {"modes": list(tuning.MEMORY_MODES), "flags": list(tuning.MEMORY_FLAGS)},
            "mountExtensions": {"idmap": {"enabled": True}},
            "netDevices": {"enabled": True},
        },
        "annotations": {"org.opencontainers.runtime.pyman.version": VERSION},
        "potentiallyUnsafeConfigAnnotations": [],
    }


def write_template(directory: str, rootless: bool) -> int:
    """config.json for a shell in ./rootfs; with `rootless`, or for a user, in a user namespace. UsageError if there is one already."""
    path = os.path.join(directory, "config.json")
    if os.path.exists(path):
        raise UsageError(f"cannot write {path}", "it exists already")
    store.write_text(path, fastjson.dumps(template(rootless or os.geteuid() != 0), indent=2) + "\n", mode=0o644)
    return 0


def template(rootless: bool) -> dict[str, Any]:
    """The spec of `pyman-runtime spec`."""
    allowed = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    private = ["nosuid", "noexec", "nodev"]
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")],
        "maskedPaths": [f"/proc/{name}" for name in "acpi asound kcore keys latency_stats timer_list timer_stats sched_debug scsi".split()]
        + ["/sys/firmware", "/sys/devices/virtual/powercap"],
        "readonlyPaths": [f"/proc/{name}" for name in "bus fs irq sys sysrq-trigger".split()],
    }
    system: dict[str, Any] = {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*private, "ro"]}
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    if rootless:
        # The host's network: who cannot set one up has at least that, as with other runtimes.
        linux["namespaces"] = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "cgroup", "user")]
        linux["uidMappings"] = [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": os.getegid(), "size": 1}]
        system = {"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", *private, "ro"]}
    else:
        linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
        pts.append("gid=5")
    return {
        "ociVersion": "1.2.0",
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {kind: allowed for kind in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "pyman",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": private},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": pts},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*private, "mode=1777", "size=65536k"]},
            {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": private},
            system,
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*private, "relatime", "ro"]},
        ],
        "linux": linux,
    }


def exec_process(spec: dict[str, Any], command: list[str], opts: dict[str, Any]) -> dict[str, Any]:
    """The process object of exec: --process FILE, or the container's own with the options applied. UsageError, RuntimeFailure."""
    path = opts.get("process")
    if path:
        if command:
            raise UsageError("cannot execute a command", "--process FILE and a command were both given")
        process = store.read_json(path)
        if process is None:
            raise UsageError(f"cannot read {path}", "no such file")
        process.setdefault("cwd", "/")
    else:
        if not command:
            raise UsageError("no command given", "exec needs --process FILE or a command")
        process = _from_options(spec, command, opts)
    validate.check_process(process)
    validate.unknown_capabilities(process)
    return process


def _from_options(spec: dict[str, Any], command: list[str], opts: dict[str, Any]) -> dict[str, Any]:
    process = dict(spec["process"])
    process["args"] = command
    process["terminal"] = bool(opts.get("tty"))
    process["env"] = [*(process.get("env") or []), *(opts.get("env") or [])]
    if opts.get("cwd"):
        process["cwd"] = opts["cwd"]
    if opts.get("no_new_privs"):
        process["noNewPrivileges"] = True
    for option, key in (("apparmor", "apparmorProfile"), ("process_label", "selinuxLabel")):
        if opts.get(option):
            process[key] = opts[option]
    if opts.get("cap"):
        process["capabilities"] = _with_caps(process.get("capabilities") or {}, opts["cap"])
    user = opts.get("user")
    if user:
        uid, colon, gid = str(user).partition(":")
        process["user"] = {"uid": _id(uid, user), "gid": _id(gid, user) if colon else 0}
    if opts.get("additional_gids"):
        gids = [_id(text, text) for item in opts["additional_gids"] for text in item.split(",")]
        process["user"] = {**(process.get("user") or {}), "additionalGids": gids}
    return process


def _id(text: str, whole: object) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > (1 << 32) - 2:
        raise UsageError(f"invalid user or group {whole!r}", "give numbers: UID[:GID]")
    return int(text)


def _with_caps(sets: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """--cap: into bounding, effective and permitted; not into the inheritable set, which a later exec would take over."""
    wanted = []
    for name in (text.strip().upper() for item in names for text in item.split(",")):
        full = name if name.startswith("CAP_") else "CAP_" + name
        if full not in caps.NUMBERS:
            raise UsageError(f"unknown capability {name}", "see capabilities(7)")
        wanted.append(full)
    return {
        kind: sorted({*(value or []), *(wanted if kind in ("bounding", "effective", "permitted") else [])})
        for kind, value in {"bounding": [], "effective": [], "permitted": [], **sets}.items()
    }


def read_resources(path: str) -> dict[str, Any]:
    """The linux.resources object in a file, or on stdin for "-". UsageError, RuntimeFailure."""
    try:
        resources = fastjson.loads(os.read(0, 1 << 20)) if path == "-" else store.read_json(path)
    except ValueError as err:
        raise UsageError("cannot use the resources on stdin", f"they are no JSON: {err}") from None
    if resources is None:
        raise UsageError(f"cannot read {path}", "no such file")
    validate.check_shape(resources, validate.RESOURCES, "")
    return dict(resources)


def sub_cgroup(directory: str, name: str) -> str:
    """exec --cgroup: a cgroup below the container's own. UsageError."""
    path = os.path.join(directory, name.partition(":")[2].strip("/") if ":" in name else name.strip("/"))
    if ".." in path.split("/") or not os.path.isdir(path):
        raise UsageError(f"cannot use cgroup {name}", "there is no such cgroup below the container's")
    return path


def send_pidfd(path: str, pid: int) -> None:
    """Send a pidfd of the process over a socket (--pidfd-socket). RuntimeFailure."""
    fd = libc.pidfd_open(pid)
    try:
        _send(path, fd, "the process's pidfd", b"pidfd")
    finally:
        os.close(fd)


def send_console(path: str, master: int) -> None:
    """Send the pty's master over the console socket. RuntimeFailure."""
    _send(path, master, "the container's terminal", b"/dev/ptmx")


def _send(path: str, fd: int, what: str, name: bytes) -> None:
    import _socket

    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(path)
        sock.sendmsg([name], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))])
    except OSError as err:
        raise RuntimeFailure(f"cannot hand over {what}", f"{path}: {err.strerror}") from err
    finally:
        sock.close()


def write_pid(path: str, pid: int) -> None:
    """--pid-file."""
    store.write_text(path, str(pid), mode=0o644)
