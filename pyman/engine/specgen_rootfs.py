"""What the spec needs from the mounted root: users, home, working directory, volumes' first content. Process C.

All look-ups go through the root's descriptor with openat2, so the image's symlinks cannot lead out.
"""

from __future__ import annotations

import os

from pyman import exitcodes
from pyman.engine import caps, users
from pyman.errors import UsageError
from pyman.linux import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.specgen import SpecContext


def finish(spec: dict[str, Any], root_fd: int, ctx: SpecContext, opts: dict[str, Any]) -> None:
    """Complete `spec` in place. UsageError for an unknown user or group, or an id outside the container's map."""
    user = users.resolve(ctx.user, root_fd) if ctx.user else users.resolve("0", root_fd)
    extra = [name for item in opts.get("group_add") or [] for name in item.split(",")]
    process = spec["process"]
    if "keep-groups" in extra:
        ctx.warnings.append("--group-add keep-groups: the groups stay, shown as nogroup in the container")
        extra = [name for name in extra if name != "keep-groups"]
    # With a user that was asked for his own group is one of them, as login(1) has it: a file mode that shuts the group out must hold.
    groups = sorted({*(user["additionalGids"] if ctx.user else ()), *users.group_ids(extra, root_fd)})
    _check_mapped(spec, ctx, user["uid"], user["gid"], groups)
    process["user"] = {
        "uid": user["uid"],
        "gid": user["gid"],
        "umask": process["user"]["umask"],
        **({"additionalGids": groups} if groups and not ctx.idmap.single else {}),
    }
    if user["uid"] != 0:
        process["capabilities"] = caps.process_sets(
            process["capabilities"]["bounding"], False, list(opts.get("cap_add") or []) if not opts.get("privileged") else []
        )
    if not opts.get("workdir"):
        _make_workdir(root_fd, ctx.workdir, user["uid"], user["gid"], spec)
    if (user["uid"] != 0 and not user.get("name")) or opts.get("hostuser"):
        from pyman.engine import identity  # only for users that the image does not know

        user["home"] = identity.add(spec, root_fd, ctx, user, opts) or user["home"]
    if not any(entry.startswith("HOME=") for entry in process["env"]):
        process["env"].append(f"HOME={user.get('home') or '/'}")
    if ctx.copy_up:
        from pyman.engine import volume_fill  # volumes, :U, :z only

        for mount in ctx.copy_up:
            volume_fill.prepare(mount, root_fd, user, spec, ctx)
    if not any(entry["destination"] == "/etc" for entry in spec["mounts"]):
        _make_mtab(root_fd)


def _check_mapped(spec: dict[str, Any], ctx: SpecContext, uid: int, gid: int, groups: list[int]) -> None:
    linux = spec["linux"]
    for kind, wanted, ranges in (("user", [uid], ctx.idmap.uids), ("group", [gid, *groups], ctx.idmap.gids)):
        key = "uidMappings" if kind == "user" else "gidMappings"
        inside = [(m["containerID"], m["size"]) for m in linux[key]] if linux.get(key) else [(first, count) for first, _, count in ranges]
        for number in wanted:
            if not any(first <= number < first + count for first, count in inside):
                last = max(first + count for first, count in inside) - 1
                if ctx.idmap.single and number != 0 and kind == "group" and number in groups:
                    continue
                from pyman.rootless import subids  # on the way to an error only

                why = f"your user namespace has ids up to {last} only"
                raise UsageError(f"cannot run as {kind} {number}", why, subids.mend(), exit_code=exitcodes.CANNOT_INVOKE)


def read_lines(root_fd: int, path: str) -> list[str]:
    """The lines of a small file of the image, none if it has none; what is no plain file, or lies beyond a megabyte, is not read."""
    try:
        fd = libc.openat2(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return []
    try:
        if os.fstat(fd).st_mode & 0o170000 != 0o100000:
            return []
        return os.read(fd, 1 << 20).decode(errors="replace").split("\n")
    finally:
        os.close(fd)


def _make_mtab(root_fd: int) -> None:
    """/etc/mtab, which programs list mounts from, where the image has an /etc and none in it."""
    try:
        etc = libc.openat2(root_fd, "etc", os.O_PATH | os.O_DIRECTORY, 0, libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_SYMLINKS)
    except OSError:
        return
    try:
        os.symlink("/proc/mounts", "mtab", dir_fd=etc)
    except OSError:
        pass  # it is there, or the root is read-only
    finally:
        os.close(etc)


def _make_workdir(root_fd: int, path: str, uid: int, gid: int, spec: dict[str, Any]) -> None:
    """Create a missing working directory inside the root, owned by the user; mounts over it are made later."""
    if any(path == m["destination"] or path.startswith(m["destination"] + "/") for m in spec["mounts"]):
        return
    parts = [part for part in path.split("/") if part]
    fd = os.dup(root_fd)
    try:
        for index in range(len(parts)):
            so_far = "/".join(parts[: index + 1])
            try:
                step = libc.openat2(root_fd, so_far, os.O_PATH | os.O_DIRECTORY)
            except FileNotFoundError:
                parent = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    os.mkdir(parts[index], 0o755, dir_fd=parent)
                    os.chown(parts[index], uid, gid, dir_fd=parent, follow_symlinks=False)
                finally:
                    os.close(parent)
                step = libc.openat2(root_fd, so_far, os.O_PATH | os.O_DIRECTORY)
            os.close(fd)
            fd = step
    except OSError:
        return  # a symlink that leads nowhere, a read-only root: entering it will give the error
    finally:
        os.close(fd)
