"""The bundle of `pyman-runtime`: config.json loaded and checked as a whole."""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure
from pyman.linux import seccomp
from pyman.runtime import hooks, tuning, validate
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def load(directory: str, name: str = "config.json") -> dict[str, Any]:
    """The spec of a bundle, checked as a whole. RuntimeFailure names what is wrong."""
    path = os.path.join(directory, name)
    spec = store.read_json(path, follow=True)  # the bundle is the caller's, as its root.path is
    if spec is None:
        raise RuntimeFailure(f"cannot use bundle {directory}", f"it has no {name}", "pyman-runtime spec writes a template")
    if os.geteuid() != 0:
        from pyman.runtime import id_maps

        id_maps.add_default(spec)
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
    for mount in spec["mounts"]:
        if mount.get("type") == "bind":  # config.md "Mounts": relative to the bundle
            mount["source"] = os.path.join(directory, mount["source"])
    if not os.path.isdir(spec["root"]["path"]):
        raise RuntimeFailure(
            f"cannot use bundle {directory}: root.path {spec['root']['path']}", "there is no such directory", stage="config"
        )
    return spec
