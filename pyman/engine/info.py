"""What `pyman info` shows: machine, store, programs, with the reason of each choice. CLI process, slow path."""

from __future__ import annotations

import os

from pyman import paths
from pyman.config import containers as containers_conf
from pyman.config import registries
from pyman.engine import caps, logopts, machine
from pyman.engine.container_list import list_states
from pyman.errors import PymanError
from pyman.linux import fs
from pyman.linux.machine import architecture
from pyman.network import config, uplink
from pyman.network import helper as network
from pyman.rootless import idmap
from pyman.storage import driver, images
from pyman.version import VERSION

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
    maps = idmap.load_idmap()
    search = registries.load().search
    return {
        "host": {
            "arch": architecture(),
            "buildahVersion": "",
            "os": "linux",
            **machine.cgroups(),
            "conmon": {"path": paths.native("monitor"), "version": f"pyman-monitor {VERSION}", "package": ""},
            "cpus": os.cpu_count() or 1,
            "cpuUtilization": machine.cpu_utilization(),
            "databaseBackend": "files",
            "distribution": machine.distribution(),
            "eventLogger": "file",
            "hostname": os.uname().nodename,
            "kernel": os.uname().release,
            "logDriver": conf["containers"].get("log_driver") or "k8s-file",
            **machine.memory(),
            "networkBackend": network.preferred(conf),
            "networkBackendInfo": _backend(network.preferred(conf), config.default_name(conf)),
            "rootlessNetworkCmd": network.preferred(conf),
            "pasta": machine.program(_program("pasta")),
            "slirp4netns": machine.program(_program("slirp4netns")),
            "fuse-overlayfs": machine.program(driver.find_program(conf)),
            "ociRuntime": _runtime(conf),
            "remoteSocket": {"exists": False, "path": ""},
            "serviceIsRemote": False,
            "uptime": machine.uptime(),
            "variant": "",
            "linkmode": "dynamic",
            "idMappings": {"uidmap": [_range(entry) for entry in maps.uids], "gidmap": [_range(entry) for entry in maps.gids]},
            "security": {
                "capabilities": ",".join(caps.DEFAULT),
                "rootless": True,
                "seccompProfilePath": conf["containers"].get("seccomp_profile") or "built in",
                "seccompEnabled": True,
                "selinuxEnabled": os.path.isdir("/sys/fs/selinux/class"),
                "apparmorEnabled": False,  # profiles are not for a user without root, says Podman too
            },
        },
        "store": _store(name, reason),
        "registries": {"search": search},
        "plugins": {
            "log": list(logopts.DRIVERS),
            "network": ["bridge", "pasta", "slirp4netns", "none", "host"],
            "volume": ["local", "image"],
            "authorization": None,
        },
        "version": machine.release(),
    }


def _store(name: str, reason: str) -> dict[str, Any]:
    """The store, with its driver and why that was chosen."""
    states = list_states()
    return {
        "graphDriverName": name,
        "graphDriverReason": reason,
        "graphOptions": {},
        "graphRoot": paths.graphroot(),
        **machine.room(paths.graphroot()),
        "graphStatus": {
            "Backing Filesystem": _file_system(paths.graphroot()),
            "Native Overlay Diff": str(name == driver.OVERLAY).lower(),
        },
        "imageCopyTmpDir": os.path.join(paths.graphroot(), "tmp"),
        "volumePath": os.path.join(paths.graphroot(), "volumes"),
        "transientStore": False,
        "runRoot": paths.runroot(),
        "configFile": next((path for path in reversed(containers_conf.sources()) if os.path.exists(path)), ""),
        "imageStore": {"number": len(images.load().records)},
        "containerStore": {
            "number": len(states),
            "running": sum(state["status"] == "running" for state in states),
            "paused": sum(state["status"] == "paused" for state in states),
            "stopped": sum(state["status"] not in ("running", "paused") for state in states),
        },
    }


def _backend(name: str, default: str) -> dict[str, Any]:
    """The program that connects containers by default, and the server of their names in bridges."""
    server = machine.program(next((path for path in uplink.AARDVARK if os.access(path, os.X_OK)), ""))
    own = machine.program(_program(name))
    return {
        "backend": name,
        "version": own["version"],
        "package": own["package"],
        "path": own["executable"],
        "dns": {"version": server["version"], "package": server["package"], "path": server["executable"]},
        "defaultNetwork": default,
    }


def _runtime(conf: dict[str, Any]) -> dict[str, str]:
    name = str(conf["engine"]["runtime"] or "pyman-runtime")
    if name in ("pyman", "pyman-runtime"):
        return {"name": "pyman-runtime", "path": "in the process", "version": VERSION, "package": ""}
    from pyman.engine import external

    found = machine.program(external.find(name, conf))
    return {
        "name": os.path.basename(found["executable"]),
        "path": found["executable"],
        "version": found["version"],
        "package": found["package"],
    }


def _file_system(path: str) -> str:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        number = fs.magic(fd)
    finally:
        os.close(fd)
    return {0xEF53: "extfs", 0x9123683E: "btrfs", 0x58465342: "xfs", 0x01021994: "tmpfs", 0x794C7630: "overlayfs", 0x6969: "nfs"}.get(
        number, hex(number)
    )


def _program(name: str) -> str:
    try:
        return network.find(name)
    except PymanError:
        return ""


def _range(entry: tuple[int, int, int]) -> dict[str, int]:
    return {"container_id": entry[0], "host_id": entry[1], "size": entry[2]}
