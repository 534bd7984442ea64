"""Mount sources for an init with a user namespace of its own, whose root has fewer rights than C. Process C; such containers only."""

from __future__ import annotations

import os

from pyman.engine import start_plan, volume_fill
from pyman.linux import libc
from pyman.runtime import rootfs_more
from pyman.runtime.extras import Extras

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.plan import Plan


def open_sources(plan: Plan, spec: dict[str, Any]) -> tuple[dict[str, Any], Any, list[int]]:
    """(the spec as init is to get it, what C does for init meanwhile or None, descriptors to close once init was cloned)."""
    if rootfs_more.leaves_out_caller(spec["linux"]):
        return *_for_strangers(plan, spec), []
    spec, trees = _opened(spec)
    return spec, None, trees


def own_by_root(directory: str, linux: dict[str, Any]) -> None:
    """Give generated files to the container's root: the caller's id may be that of a user in it, who is not to change them."""
    ids = [volume_fill.outside(linux[key], 0) for key in ("uidMappings", "gidMappings")]
    for name in start_plan.FILES:
        os.chown(os.path.join(directory, name), *ids)


def _for_strangers(plan: Plan, spec: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Without the caller's id in it (nomap, some --uidmap): what it needs of the caller's directories is opened for it."""
    state = {"ociVersion": spec["ociVersion"], "id": plan.container.id, "status": "creating", "bundle": plan.container.run_dir}
    spec = {**spec, "mounts": [dict(entry) for entry in spec["mounts"]]}  # descriptors are added, which spec.json is not to have
    # Unlike the runtime program it makes no working directory outside of mounts: who asks for one has it, or gets an error.
    return spec, Extras({**spec, "process": {**spec["process"], "cwd": "/"}}, state)


def _opened(spec: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
    """(the spec with descriptors of what is bound, these): the root of a user namespace of its own may not pass directories whose
    owner or group that does not have, though they are open to the caller."""
    mounts, trees = [], []
    for entry in spec["mounts"]:
        options = entry.get("options") or []
        if entry["type"] == "bind" and "copy-symlink" not in options and "tree_fd" not in entry:
            try:
                flags = libc.OPEN_TREE_CLONE | (libc.AT_RECURSIVE if "rbind" in options else 0)
                trees.append(libc.open_tree(libc.AT_FDCWD, entry["source"], flags))
                entry = {**entry, "tree_fd": trees[-1], "tree_optional": True}
            except OSError:
                pass  # init tries it, and its error names the mount
        mounts.append(entry)
    return {**spec, "mounts": mounts}, trees
