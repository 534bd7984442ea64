"""A container's root for work from outside: copies, exports, commits. The CLI process decides, a child in U1 opens.

Of a running container the root is opened by descriptor; a stopped one's is mounted in the child's own mount namespace and goes with
it. Nothing of it is executed, and paths inside are resolved below the descriptor only (openat2).
"""

from __future__ import annotations

import os

from pyman.config import containers as containers_conf
from pyman.engine import launch, lost_root, spec_record, specgen, users
from pyman.engine import plan as plans
from pyman.engine.container import RUNNING, Container
from pyman.engine.container_list import list_containers
from pyman.errors import StateError
from pyman.linux import process
from pyman.rootless import idmap as idmaps
from pyman.rootless import userns
from pyman.storage import driver as drivers
from pyman.storage import layers, overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.mounts import Mount


def join_fd(container: Container) -> int:
    """A descriptor of the user namespace that a running container lives in; -1 for a stopped one: any of this user's will do.

    StateError if it ended just now.
    """
    state = container.state
    if state["status"] not in RUNNING or userns.in_userns():
        return -1
    fd = userns.userns_of(state["monitor_pid"], state["monitor_start"])
    if fd < 0:
        raise StateError(f"cannot reach the files of container {container.name}", "it ended just now", "try again")
    return fd


def living_userns() -> int:
    """A descriptor of the user namespace that a running container of this user lives in, or -1.

    For who comes to look at containers: the namespace that is remembered may have ended with its container while others live.
    """
    if userns.in_userns():
        return -1
    fd = userns.living(idmaps.load_idmap())
    for container in list_containers() if fd < 0 else ():
        if container.state["status"] in RUNNING and fd < 0:
            fd = userns.userns_of(container.state["monitor_pid"], container.state["monitor_start"])
    return fd


def open_running(container: Container) -> int:
    """The root of a running container with all its mounts. In U1. StateError."""
    state = container.state
    try:
        fd = os.open(f"/proc/{state['pid']}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as err:
        raise StateError(f"cannot reach the files of container {container.name}", err.strerror or str(err)) from err
    # Believed only after the open: the number may have been given to another process before.
    if not process.alive(state["pid"], state["pid_start"]):
        os.close(fd)
        raise StateError(f"cannot reach the files of container {container.name}", "it ended just now", "try again")
    if lost_root.found(container):
        os.close(fd)
        raise lost_root.error(container, "reach the files of")
    return fd


def plan(container: Container) -> plans.Plan:
    """How to mount the root of a stopped container with its volumes, for `mount`. The caller holds its lock."""
    from pyman.engine import volumes_from

    made = bare_plan(container)
    wanted, made.volumes = volumes_from.mounts_of(container)
    for name in ("upper", "work", "merged"):
        os.makedirs(os.path.join(container.dir, name), 0o755 if name == "upper" else 0o700, exist_ok=True)
    made.ctx.made = [mount for mount in wanted.values() if mount.made]
    made.ctx.copy_up = [mount for mount in wanted.values() if mount.copy_up and not mount.made]
    made.spec = {"mounts": [wanted[key].entry for key in sorted(wanted, key=lambda path: path.count("/"))]}
    return made


def bare_plan(container: Container) -> plans.Plan:
    """How to mount the root of a container without its volumes, for `mount_read_only`."""
    config = container.config
    found = plans.Plan()
    found.container = container
    found.conf = containers_conf.load()
    found.ctx = specgen.SpecContext()
    plain = config["rootfs"] and not config.get("rootfs_overlay")
    found.rootfs = config["rootfs"] if plain else os.path.join(container.dir, "merged")
    found.driver = drivers.choose_driver(found.conf)
    return found


def mount(made: plans.Plan) -> int:
    """Mount the root and what lies in it, writable; its descriptor. In U1, in a mount namespace of the caller's own."""
    from pyman.engine import sources, volume_fill, volume_mounts
    from pyman.runtime import mounts, rootfs

    launch.mount_rootfs(made)
    made.locks = volume_mounts.mount(made.volumes.mounted, made.container.id)
    if made.ctx.made:
        sources.prepare(made)
    root = rootfs.Root(made.rootfs)
    if made.ctx.copy_up:
        user = owner_ids(made.container, root.fd)
        for item in made.ctx.copy_up:
            volume_fill.prepare(_unowned(item), root.fd, {"uid": user[0], "gid": user[1]}, made.spec, made.ctx)
    mounts.make_all(root, made.spec)
    return root.fd


def _unowned(item: Mount) -> Mount:
    """A mount whose files keep their owners: what :U asks for is done when the container starts."""
    from pyman.engine.mounts import Mount

    return Mount(item.entry, item.volume, copy_up=True)


def mount_read_only(made: plans.Plan) -> int:
    """The root without its mounts, as it is now, running or not; its descriptor. In U1, in an own mount namespace.

    The container's own directory becomes the topmost of the layers below: nothing of it is locked or written.
    """
    container, config = made.container, made.container.config
    if config["rootfs"] and not config.get("rootfs_overlay"):
        return os.open(made.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    lowers = [config["rootfs"]] if config["rootfs"] else [layers.layer_path(diff_id) for diff_id in config["layers"]]
    upper = os.path.join(container.dir, "upper")
    if os.path.isdir(upper):
        lowers.append(upper)
    os.makedirs(made.rootfs, 0o700, exist_ok=True)
    overlay.mount_rootfs(made.driver, lowers, upper, "", made.rootfs, read_only=True)
    return os.open(made.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def workdir(container: Container) -> str:
    """What relative paths in the container begin at."""
    options = container.config["options"]
    return str(options.get("workdir") or container.config["image_config"].get("WorkingDir") or "/")


def owner_ids(container: Container, root_fd: int) -> tuple[int, int]:
    """The container's primary user and group, as the container counts. UsageError if it names a user it does not have."""
    text = str(container.config["options"].get("user") or container.config["image_config"].get("User") or "0")
    found = users.resolve(text, root_fd)
    return int(found["uid"]), int(found["gid"])


def id_maps(container: Container) -> tuple[Any, Any]:
    """(ids of the container -> ids in U1, the other way): functions of (uid, gid); None for both where they are equal.

    Only a running container with a user namespace of its own has others: a stopped one's root is mounted without the shift.
    """
    if container.state["status"] not in RUNNING:
        return None, None
    linux = (spec_record.read(container) or {}).get("linux") or {}
    if not linux.get("uidMappings"):
        return None, None
    tables = [
        [(item["containerID"], item["hostID"], item["size"]) for item in linux.get(key) or []] for key in ("uidMappings", "gidMappings")
    ]

    def outwards(uid: int, gid: int) -> tuple[int, int]:
        return _translate(tables[0], uid, 0), _translate(tables[1], gid, 0)

    def inwards(uid: int, gid: int) -> tuple[int, int]:
        return _translate(tables[0], uid, 1), _translate(tables[1], gid, 1)

    return outwards, inwards


def _translate(table: list[tuple[int, int, int]], number: int, side: int) -> int:
    for item in table:
        if item[side] <= number < item[side] + item[2]:
            return item[1 - side] + number - item[side]
    return 65534 if side else number  # nobody; or an id that chown(2) then refuses


def single_id() -> bool:
    """Whether there is one id only, so that owners cannot be set."""
    return idmaps.load_idmap().single
