"""What `pyman info` shows: machine, store, programs, with the reason of each choice. CLI process, slow path."""

from __future__ import annotations

import os

from pyman import paths
from pyman.config import containers as containers_conf
from pyman.config import registries
from pyman.engine.container import list_states
from pyman.errors import PymanError
from pyman.network import setup as network
from pyman.rootless import idmap
from pyman.storage import driver, images
from pyman.version import COMPAT_VERSION, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def gather() -> dict[str, Any]:
    """Nested data; values are text, numbers, lists."""
    conf = containers_conf.load()
    paths.ensure_private(paths.graphroot())
    try:
        chosen = driver.choose_driver(conf)
        name, reason = chosen.name, chosen.reason
    except PymanError as err:
        name, reason = "none", str(err)
    states = list_states()
    maps = idmap.load_idmap()
    search = registries.load().search
    return {
        "host": {
            "arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
            "os": "linux",
            "kernel": os.uname().release,
            "hostname": os.uname().nodename,
            "cpus": os.cpu_count() or 1,
            "memTotal": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "cgroupVersion": "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "v1",
            "networkBackend": conf["network"]["default_rootless_network_cmd"],
            "pasta": {"executable": _program("pasta")},
            "slirp4netns": {"executable": _program("slirp4netns")},
            "ociRuntime": {"name": conf["engine"]["runtime"] or "pyman-runtime", "version": VERSION},
            "idMappings": {"uidmap": [_range(entry) for entry in maps.uids], "gidmap": [_range(entry) for entry in maps.gids]},
            "security": {
                "rootless": True,
                "seccompEnabled": True,
                "selinuxEnabled": os.path.isdir("/sys/fs/selinux/class"),
                "apparmorEnabled": os.path.isdir("/sys/kernel/security/apparmor"),
            },
        },
        "store": {
            "graphDriverName": name,
            "graphDriverReason": reason,
            "graphRoot": paths.graphroot(),
            "runRoot": paths.runroot(),
            "configFile": next((path for path in reversed(containers_conf.sources()) if os.path.exists(path)), ""),
            "imageStore": {"number": len(images.load().records)},
            "containerStore": {
                "number": len(states),
                "running": sum(state["status"] == "running" for state in states),
                "paused": sum(state["status"] == "paused" for state in states),
                "stopped": sum(state["status"] not in ("running", "paused") for state in states),
            },
        },
        "registries": {"search": search},
        "plugins": {
            "log": ["k8s-file", "json-file", "none", "passthrough"],
            "network": ["pasta", "slirp4netns", "none", "host"],
            "volume": ["local"],
        },
        "version": {"Version": VERSION, "APIVersion": COMPAT_VERSION, "OsArch": f"linux/{os.uname().machine}"},
    }


def _program(name: str) -> str:
    try:
        return network.find(name)
    except PymanError:
        return ""


def _range(entry: tuple[int, int, int]) -> dict[str, int]:
    return {"container_id": entry[0], "host_id": entry[1], "size": entry[2]}
