"""Mount sources that must be made first: overlays (:O), images, subpaths. Process C, in U1, before init is cloned.

Each is mounted below the container's own directory; the OCI mount then is a plain bind of that. Rare, so loaded only then.
"""

from __future__ import annotations

import os
import stat

from pyman import exitcodes
from pyman.errors import RuntimeFailure, UsageError
from pyman.linux import libc
from pyman.storage import layers, overlay, trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.engine.mounts import Mount
    from pyman.engine.plan import Plan


def prepare(plan: Plan) -> list[str]:
    """Make the sources of plan.ctx.made and put them into their mounts; returns where something was mounted.

    UsageError for a subpath that does not exist; StorageError.
    """
    mounted: list[str] = []
    for index, mount in enumerate(plan.ctx.made):
        if mount.made.get("artifact"):
            from pyman.engine import artifact_mounts  # artifacts only

            artifact_mounts.place(plan.spec["mounts"], mount, plan.rootfs)
            continue
        base = os.path.join(plan.container.dir, "sources", str(index))
        if os.path.lexists(base):
            trash.discard(base)  # what was written through :O ends with the container's run
        os.makedirs(base, 0o700)
        source = mount.entry["source"]
        if mount.made.get("overlay") and mount.copy_up:
            _fill(plan, mount)
        if mount.made.get("overlay") or mount.made.get("layers"):
            source = _overlay(plan, mount, base)
            mounted.append(source)
        if mount.made.get("subpath"):
            source = _subpath(source, str(mount.made["subpath"]), base, mount)
            mounted.append(source)
        mount.entry["source"] = source
    return mounted


def _fill(plan: Plan, mount: Mount) -> None:
    from pyman.engine import volume_fill  # overlays of volumes only

    root_fd = os.open(plan.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        volume_fill.fill(mount, root_fd, plan.ctx)
    finally:
        os.close(root_fd)


def _overlay(plan: Plan, mount: Mount, base: str) -> str:
    made = mount.made
    lowers = [layers.layer_path(diff_id) for diff_id in made["layers"]] if made.get("layers") else [mount.entry["source"]]
    upper, work, merged = (os.path.join(base, name) for name in ("upper", "work", "merged"))
    for path in (upper, work, merged):
        os.mkdir(path, 0o755 if path == upper else 0o700)
    if not made.get("layers"):
        info = os.stat(lowers[0])
        if not stat.S_ISDIR(info.st_mode):
            raise RuntimeFailure(f"cannot mount {lowers[0]} as an overlay", "it is not a directory", "leave :O away", stage="mounts")
        os.chown(upper, info.st_uid, info.st_gid)
        os.chmod(upper, stat.S_IMODE(info.st_mode))
    if made.get("upperdir"):
        upper, work = str(made["upperdir"]), str(made["workdir"])
    overlay.mount_rootfs(plan.driver, lowers, upper, work, merged, volatile=not made.get("upperdir"))
    return merged


def _subpath(source: str, subpath: str, base: str, mount: Mount) -> str:
    """A bind mount of a path inside `source`; its symlinks cannot lead out of `source` (openat2, RESOLVE_IN_ROOT)."""
    root = os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = libc.openat2(root, subpath.strip("/") or ".", os.O_PATH)
    except OSError as err:
        raise UsageError(
            f"cannot mount subpath {subpath} at {mount.entry['destination']}",
            err.strerror or str(err),
            "create it in the volume first",
            exit_code=exitcodes.NOT_FOUND if err.errno == 2 else None,
        ) from err
    finally:
        os.close(root)
    target = os.path.join(base, "subpath")
    try:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            os.mkdir(target, 0o700)
        else:
            os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        tree = libc.open_tree(fd, "", libc.OPEN_TREE_CLONE | libc.AT_EMPTY_PATH | libc.AT_RECURSIVE)
        place = os.open(target, os.O_PATH | os.O_CLOEXEC)
        libc.move_mount(tree, place)
        os.close(tree)
        os.close(place)
    except OSError as err:
        raise RuntimeFailure(f"cannot mount subpath {subpath}", err.strerror or str(err), stage="mounts", errno=err.errno or 0) from err
    finally:
        os.close(fd)
    return target
