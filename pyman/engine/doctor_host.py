"""Checks of what a start finds: configuration, directories, ids, programs. CLI process, slow path."""

from __future__ import annotations

import errno
import os

from pyman import paths
from pyman.config import containers as containers_conf
from pyman.digits import is_whole
from pyman.engine.doctor_finding import FAIL, OK, WARN, Finding
from pyman.rootless import idmap, subids
from pyman.storage import suitable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def configuration() -> Finding:
    """Whether containers.toml can be read; other checks that need it fail as this one does. ConfigError."""
    containers_conf.load()
    files = [path for path in containers_conf.sources() if os.path.exists(path)]
    return Finding("configuration", OK, ", ".join(files) or "no containers.toml: defaults count")


def _runtime_directory() -> Finding:
    path = paths.ensure_private(paths.runroot())
    if path.startswith("/tmp/"):
        return Finding(
            "runtime directory",
            WARN,
            f"{path}: XDG_RUNTIME_DIR is not usable, so a directory in /tmp serves",
            "log in through systemd (for example: machinectl shell), or set XDG_RUNTIME_DIR",
        )
    return Finding("runtime directory", OK, path)


def _store() -> Finding:
    root = paths.ensure_private(paths.graphroot())
    try:
        os.close(os.open(root, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))  # what cannot be written shows here
    except OSError as err:
        if err.errno != errno.EOPNOTSUPP:  # as on NFS: why that will not do is said below
            raise
    info = os.statvfs(root)
    free = info.f_bavail * info.f_frsize
    unsuitable = suitable.problem(root)
    if unsuitable:
        fix = suitable.HINT
        if info.f_flag & os.ST_NOEXEC:
            fix = f"as root: mount -o remount,exec $(findmnt -no TARGET -T {root}); or {fix}"
        return Finding("store", FAIL, f"{root}: {unsuitable}", fix)
    if free < 1 << 30 or (info.f_files and info.f_favail < 10000):
        return Finding("store", WARN, f"{root}: {free >> 20} MiB and {info.f_favail} inodes are free", "pyman image prune -a")
    return Finding("store", OK, f"{root}, {free >> 30} GiB free")


def _subordinate_ids() -> Finding:
    maps = idmap.load_idmap()
    if maps.single:
        return Finding(
            "subordinate ids",
            WARN,
            f"{idmap.user_name(os.getuid())} has no range in /etc/subuid or /etc/subgid: containers have one id only",
            subids.mend(),
        )
    for path in ("/etc/subuid", "/etc/subgid"):
        overlap = _overlap(path)
        if overlap:
            return Finding("subordinate ids", WARN, f"{path}: {overlap}", f"as root: edit {path} so that no two users share ids")
    if maps.count() < 65536:
        return Finding(
            "subordinate ids",
            WARN,
            f"{maps.count()} ids; images may use up to 65536",
            subids.mend(),
        )
    return Finding("subordinate ids", OK, f"{maps.count()} user ids for {idmap.user_name(os.getuid())}")


def _overlap(path: str) -> str:
    mine = idmap.read_ranges(path, os.getuid(), idmap.user_name(os.getuid()))
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.strip().split(":") for line in file]
    for parts in lines:
        if (
            len(parts) != 3
            or parts[0] in (idmap.user_name(os.getuid()), str(os.getuid()))
            or not (is_whole(parts[1]) and is_whole(parts[2]))
        ):
            continue
        first, count = int(parts[1]), int(parts[2])
        for own, size in mine:
            if own < first + count and first < own + size:
                return f"your range {own}:{size} overlaps {parts[0]}'s {first}:{count}"
    return ""


def _id_mapping_programs() -> Finding:
    for tool in ("newuidmap", "newgidmap"):
        path = next(
            (f"{place}/{tool}" for place in (os.environ.get("PATH") or os.defpath).split(":") if os.access(f"{place}/{tool}", os.X_OK)), ""
        )
        if not path:
            return Finding("newuidmap and newgidmap", FAIL, f"{tool} is not installed", "as root: apt-get install uidmap")
        info = os.stat(path)
        try:
            caps = os.getxattr(path, "security.capability")
        except OSError:
            caps = b""
        if not (info.st_mode & 0o4000 and info.st_uid == 0) and not caps:
            return Finding(
                "newuidmap and newgidmap",
                FAIL,
                f"{path} is neither setuid root nor has file capabilities",
                "as root: apt-get install --reinstall uidmap",
            )
        if os.statvfs(path).f_flag & os.ST_NOSUID:
            return Finding(
                "newuidmap and newgidmap", FAIL, f"{path} lies on a file system mounted nosuid", "as root: mount -o remount,suid /usr"
            )
    return Finding("newuidmap and newgidmap", OK, "installed, with the privilege they need")


CHECKS: tuple[Callable[[], Finding], ...] = (configuration, _runtime_directory, _store, _subordinate_ids, _id_mapping_programs)
