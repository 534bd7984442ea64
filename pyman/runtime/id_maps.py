"""Maps of a container's user namespace: written by ourselves or by newuidmap(1), and the map of a user who asked for none."""

from __future__ import annotations

import os

from pyman.errors import RootlessError, RuntimeFailure
from pyman.linux import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FILES = (("uid_map", "uidMappings", "newuidmap"), ("gid_map", "gidMappings", "newgidmap"))


def add_default(spec: Any) -> bool:
    """For a caller without privileges: the user namespace and the maps that `spec` lacks, all his ids from 0 on, as crun does.

    `spec` is not checked yet: what has a wrong shape is left alone. Returns whether the namespace was added.
    """
    linux = spec.setdefault("linux", {}) if isinstance(spec, dict) else None
    namespaces = linux.setdefault("namespaces", []) if isinstance(linux, dict) else None
    if not isinstance(linux, dict) or not isinstance(namespaces, list) or not all(isinstance(entry, dict) for entry in namespaces):
        return False
    present = [entry for entry in namespaces if entry.get("type") == "user"]
    if any(entry.get("path") for entry in present):
        return False
    if not linux.get("uidMappings") and not linux.get("gidMappings"):
        from pyman.rootless import idmap

        found = idmap.load_idmap()
        for key, ranges in (("uidMappings", found.uids), ("gidMappings", found.gids)):
            linux[key] = [{"containerID": inside, "hostID": outside, "size": count} for inside, outside, count in ranges]
    if not present:
        namespaces.append({"type": "user"})
    return not present


def write(pid: int, linux: dict[str, Any]) -> None:
    """Write the maps of the user namespace of `pid`, which is killed where that fails. RuntimeFailure, MissingProgram."""
    try:
        for file, key, tool in _FILES:
            entries = linux.get(key) or []
            if os.geteuid() == 0 or _own_id_only(entries, os.geteuid() if file == "uid_map" else os.getegid()):
                _write(pid, file, entries)
            else:
                _ask(pid, file, entries, tool)
    except BaseException:
        os.kill(pid, 9)
        raise


def namespace(uids: list[dict[str, int]], gids: list[dict[str, int]]) -> int:
    """Descriptor of a user namespace with these mappings and no process in it, for a caller who is root. RuntimeFailure, RootlessError (no process can be started), MissingProgram, OSError."""
    from pyman.rootless import namespaces

    holder = namespaces.begin_own()
    try:
        try:
            userns_fd = namespaces.claim(holder).userns_fd
        except RootlessError as err:
            raise RuntimeFailure("cannot map ids", err.why, err.hint, stage="userns", errno=err.errno) from err
        _write(holder.pid, "uid_map", uids)
        _write(holder.pid, "gid_map", gids)
        return os.dup(userns_fd)
    finally:
        namespaces.release(holder)


def _own_id_only(entries: list[dict[str, int]], own: int) -> bool:
    return len(entries) == 1 and entries[0]["size"] == 1 and entries[0]["hostID"] == own


def _failed(file: str, why: str) -> RuntimeFailure:
    return RuntimeFailure(f"cannot write the container's {file}", why, "the ids must lie inside your subordinate ranges", stage="userns")


def _write(pid: int, file: str, entries: list[dict[str, int]]) -> None:
    if file == "gid_map" and os.geteuid() != 0:
        # An unprivileged caller may map its own group only after it has given setgroups(2) up (user_namespaces(7)).
        with open(f"/proc/{pid}/setgroups", "w") as out:
            out.write("deny")
    text = "".join(f"{entry['containerID']} {entry['hostID']} {entry['size']}\n" for entry in entries)
    try:
        with open(f"/proc/{pid}/{file}", "w") as out:
            out.write(text)
    except OSError as err:
        raise _failed(file, f"{err.strerror}: {text.strip()}") from err


def _ask(pid: int, file: str, entries: list[dict[str, int]], tool: str) -> None:
    """The set-uid programs that may map subordinate ids."""
    from pyman.rootless import namespaces

    numbers = [str(entry[key]) for entry in entries for key in ("containerID", "hostID", "size")]
    output = os.memfd_create(tool, os.MFD_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
    child = os.posix_spawn(namespaces.find_program(tool), [tool, str(pid), *numbers], os.environ, file_actions=actions)
    failed = process.wait(child) != 0
    text = os.pread(output, 4096, 0).decode(errors="replace").strip()
    os.close(output)
    if failed:
        raise _failed(file, text or f"{tool} failed")
