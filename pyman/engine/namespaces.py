"""Which namespaces a container gets, shares or joins, and the id maps of its own user namespace. CLI process, pure."""

from __future__ import annotations

import os

from pyman import paths
from pyman.digits import is_whole
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.specgen import SpecContext

_OCI = {"pid": "pid", "ipc": "ipc", "uts": "uts", "cgroupns": "cgroup"}


class Namespaces:
    """OCI namespace entries, nested id maps (relative to U1), and what follows from them for the mounts."""

    __slots__ = ("default_user", "entries", "gid_mappings", "shares_host_pid", "shm_source", "uid_mappings")

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = [{"type": "mount"}]
        self.uid_mappings: list[dict[str, int]] = []
        self.gid_mappings: list[dict[str, int]] = []
        self.shares_host_pid = False
        self.shm_source = "/dev/shm"
        self.default_user = ""

    def own(self, kind: str) -> bool:
        """Whether the container gets a fresh namespace of this kind."""
        return any(entry["type"] == kind and "path" not in entry for entry in self.entries)

    def hosts(self, kind: str) -> bool:
        """Whether it lives in the host's namespace of this kind."""
        return not any(entry["type"] == kind for entry in self.entries)


def build(opts: dict[str, Any], ctx: SpecContext) -> Namespaces:
    """From --pid, --ipc, --uts, --cgroupns, --network and --userns. UsageError."""
    result = Namespaces()
    for option, kind in _OCI.items():
        mode = opts.get(option) or "private"
        if mode in ("private", "shareable", "none"):
            result.entries.append({"type": kind})
        elif mode == "host":
            result.shares_host_pid = result.shares_host_pid or kind == "pid"
        elif mode.startswith("ns:"):
            result.entries.append({"type": kind, "path": mode[3:]})
        elif option in ctx.joined:
            result.entries.append({"type": kind, "path": ctx.joined[option]})
        else:
            raise UsageError(f"invalid value {mode!r} for --{option}", "it must be private, host, container:NAME or ns:PATH")
    if "ipc" in ctx.joined:
        result.shm_source = os.path.join(ctx.run_dir, "shm")  # see engine/shared_shm.py
    _network(result, ctx)
    _user(result, opts, ctx)
    return result


def _network(result: Namespaces, ctx: SpecContext) -> None:
    name, _, rest = ctx.network_mode.partition(":")
    if name in ("pasta", "slirp4netns", "none", "bridge"):
        result.entries.append({"type": "network"})
    elif name == "ns":
        result.entries.append({"type": "network", "path": ctx.joined.get("network", rest)})
    elif name == "container":
        result.entries.append({"type": "network", "path": ctx.joined["network"]})


def _user(result: Namespaces, opts: dict[str, Any], ctx: SpecContext) -> None:
    mode = str(opts.get("userns") or ctx.conf["containers"].get("userns") or "host")
    name, _, rest = mode.partition(":")
    given = [f"--{option}" for option in ("uidmap", "gidmap", "subuidname", "subgidname") if opts.get(option)]
    if given:
        if opts.get("userns"):
            raise UsageError(f"cannot use --userns {mode} with {given[0]}", "both say which ids the container has")
        from pyman.engine import id_maps  # with these options only

        users, groups = list(opts.get("uidmap") or []), list(opts.get("gidmap") or [])
        if opts.get("subuidname") or opts.get("subgidname"):
            if users or groups:
                raise UsageError(f"cannot use {given[0]} with {given[-1]}", "both say which ids the container has")
            users, groups = id_maps.of_names(opts.get("subuidname") or "", opts.get("subgidname") or "")
        result.uid_mappings, result.gid_mappings = id_maps.explicit(users, groups, ctx.idmap)
    elif name in ("host", "private", ""):
        return
    elif name == "keep-id":
        uid, gid = _keep_id(rest)
        result.uid_mappings, result.gid_mappings = _kept(uid, _count(ctx.idmap.uids)), _kept(gid, _count(ctx.idmap.gids))
        result.default_user = f"{uid}:{gid}"
    elif name == "nomap":
        result.uid_mappings = [{"containerID": 0, "hostID": 1, "size": _count(ctx.idmap.uids) - 1}]
        result.gid_mappings = [{"containerID": 0, "hostID": 1, "size": _count(ctx.idmap.gids) - 1}]
    elif name == "container":
        if ctx.joined.get("userns"):
            result.entries.append({"type": "user", "path": ctx.joined["userns"]})
            result.uid_mappings, result.gid_mappings = ctx.joined_maps
            ctx.uid_shift, ctx.gid_shift = _shift(result.uid_mappings), _shift(result.gid_mappings)
        return
    elif name == "auto":
        raise UsageError(
            "cannot use --userns auto",
            "ranges of their own for each container are not part of this release",
            "use --userns keep-id, or --uidmap and --gidmap",
        )
    else:
        raise UsageError(f"invalid value {mode!r} for --userns", "it must be host, keep-id[:uid=N,gid=N], nomap or container:NAME")
    if any(entry["size"] < 1 for entry in result.uid_mappings + result.gid_mappings):
        from pyman.rootless import subids  # on the way to an error only

        raise UsageError(f"cannot use --userns {mode}", "you have no subordinate ids", subids.mend())
    result.entries.append({"type": "user"})
    ctx.uid_shift = _shift(result.uid_mappings)
    ctx.gid_shift = _shift(result.gid_mappings)


def _count(ranges: list[tuple[int, int, int]]) -> int:
    return sum(size for _, _, size in ranges)


def _keep_id(text: str) -> tuple[int, int]:
    values = dict(zip(("uid", "gid"), paths.caller()))
    for item in text.split(",") if text else []:
        key, _, value = item.partition("=")
        if key not in values or not is_whole(value, 10):
            raise UsageError(f"invalid keep-id option {item!r}", "known are uid=N and gid=N")
        values[key] = int(value)
    return values["uid"], values["gid"]


def _kept(own: int, count: int) -> list[dict[str, int]]:
    """Container id `own` is U1's 0 (the caller); the ids around it are U1's 1, 2, ..."""
    below = min(own, count - 1)
    maps = [{"containerID": 0, "hostID": 1, "size": below}] if below else []
    maps.append({"containerID": own, "hostID": 0, "size": 1})
    if count - 1 - below > 0:
        maps.append({"containerID": own + 1, "hostID": below + 1, "size": count - 1 - below})
    return maps


def _shift(mappings: list[dict[str, int]]) -> list[tuple[int, int, int]]:
    """(image id, count, id in U1): how the image's owners must appear so that the container sees them unshifted."""
    return [(entry["containerID"], entry["size"], entry["hostID"]) for entry in mappings]
