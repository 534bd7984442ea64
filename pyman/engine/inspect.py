"""Everything about a container under Podman's field names. CLI process."""

from __future__ import annotations

import os

from pyman.engine import exec_sessions, inspect_config, restart_policy, spec_record
from pyman.engine.container import Container, lookup, shown_status
from pyman.errors import NoSuchContainer, PymanError, StorageError
from pyman.storage import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.engine.mounts import Mount

_PROPAGATION = ("private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable")


def inspect_container(container: Container, rfc3339: Callable[[float], str]) -> dict[str, Any]:
    """The object that `inspect` shows; `rfc3339` formats times."""
    container.sync()
    config, state = container.config, container.state
    options = config["options"]
    try:
        spec = spec_record.read(container) or {}
    except PymanError:
        spec = {}
    if not spec:
        from pyman.engine import inspect_preview  # never started only

        spec = inspect_preview.spec(container)
        state = {**state, "network_mode": state.get("network_mode") or inspect_preview.network_mode(container)}
    process = spec.get("process") or {}
    args = process.get("args") or inspect_config.arguments(container)
    chosen = _chosen(container, spec)
    mounts = _mounts(chosen)
    network = _network(container, state["network_mode"])
    own_ports = {} if state["network_mode"].startswith("container:") else network["Ports"]
    value = {
        "Id": container.id,
        "Created": rfc3339(config["created"]),
        "Path": args[0] if args else "",
        "Args": args[1:],
        "State": _state(container, rfc3339),
        "Image": config["image"]["id"],
        "ImageDigest": config["image"]["digest"],
        "ImageName": config["image"]["name"],
        "Rootfs": config["rootfs"],
        "Pod": "",
        "ResolvConfPath": os.path.join(container.run_dir, "resolv.conf"),
        "HostnamePath": os.path.join(container.run_dir, "hostname"),
        "HostsPath": os.path.join(container.run_dir, "hosts"),
        "StaticDir": container.dir,
        "OCIConfigPath": spec_record.path(container),
        "OCIRuntime": state.get("runtime") or "pyman-runtime",
        "ConmonPidFile": options.get("conmon_pidfile", ""),
        "PidFile": options.get("pidfile", ""),
        "Name": state["name"],
        "RestartCount": state["restarts"],
        "Driver": state.get("driver") or "overlay",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "EffectiveCaps": sorted((process.get("capabilities") or {}).get("effective") or []) or None,
        "BoundingCaps": sorted((process.get("capabilities") or {}).get("bounding") or []) or None,
        "ExecIDs": [session["id"] for session in exec_sessions.known(container)],
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "LowerDir": ":".join(layers.layer_path(diff_id) for diff_id in reversed(config["layers"])),
                "MergedDir": os.path.join(container.dir, "merged"),
                "UpperDir": os.path.join(container.dir, "upper"),
                "WorkDir": os.path.join(container.dir, "work"),
            },
        },
        "Mounts": mounts,
        "Dependencies": config.get("depends") or [],
        "NetworkSettings": network,
        "Namespace": "",
        "IsInfra": False,
        "IsService": False,
        "KubeExitCodePropagation": "invalid",
        "lockNumber": 0,
        "Config": inspect_config.config(container, process, str(spec.get("hostname") or _hostname(container, state["network_mode"]))),
        "UseImageHosts": bool(options.get("no_hosts")),
        "UseImageHostname": bool(options.get("no_hostname")),
        "HostConfig": {
            **inspect_config.host_config(container, spec, mounts, own_ports, state["network_mode"]),
            **_id_mappings(spec.get("linux") or {}),
            "Tmpfs": {mount.entry["destination"]: ",".join(mount.entry["options"]) for mount in chosen if mount.entry["type"] == "tmpfs"},
        },
    }
    if any(options.get(key) for key in ("userns", "uidmap", "gidmap", "subuidname", "subgidname")):
        from pyman.engine import inspect_namespaces  # such containers only

        inspect_namespaces.amend(value, options)
    return value


def _hostname(container: Container, mode: str) -> str:
    from pyman.engine import inspect_namespaces  # in a UTS namespace that is not its own, or before its first start

    return inspect_namespaces.hostname(container, mode)


def _id_mappings(linux: dict[str, Any]) -> dict[str, Any]:
    """Those of a user namespace of its own, or of the one that it joins."""
    if not linux.get("uidMappings"):
        return {}
    named = (("UidMap", "uidMappings"), ("GidMap", "gidMappings"))
    return {
        "IDMappings": {
            name: [f"{item['containerID']}:{item['hostID']}:{item['size']}" for item in linux.get(key) or []] for name, key in named
        }
    }


def _cgroup_path(state: dict[str, Any]) -> str:
    """The control group from the top of its hierarchy, as the kernel writes it."""
    path = str(state.get("cgroup") or "") if state["status"] in ("running", "paused") else ""
    return path.removeprefix("/sys/fs/cgroup").removeprefix("/unified")


def _state(container: Container, rfc3339: Callable[[float], str]) -> dict[str, Any]:
    state = container.state
    if state.get("health"):
        from pyman.engine import health_state  # with a health check only
    status = shown_status(state)
    return {
        "OciVersion": "1.2.0",
        "Status": status,
        "Running": status == "running",
        "Paused": state["status"] == "paused",
        "Restarting": restart_policy.waiting(state),
        "OOMKilled": bool(state.get("oom_killed")),
        "Dead": False,
        "Pid": state["pid"],
        "ConmonPid": state["monitor_pid"],
        "CgroupPath": _cgroup_path(state),
        "ExitCode": state["exit_code"],
        "Error": state.get("note") or _start_error(state),
        "StartedAt": rfc3339(state["started"]),
        "FinishedAt": rfc3339(state["finished"]),
        "CheckpointedAt": rfc3339(0.0),
        "RestoredAt": rfc3339(0.0),
        "StoppedByUser": bool(state.get("stopped_by") or status == "stopping" or (state.get("end") or {}).get("asked")),
        **({"Health": health_state.results(container)} if state.get("health") else {}),
    }


def _start_error(state: dict[str, Any]) -> str:
    """Why the last start failed, if it did."""
    error = state.get("start_error") or {}
    return ": ".join(error[key] for key in ("what", "why") if error.get(key))


def _chosen(container: Container, spec: dict[str, Any]) -> list[Mount]:
    """The mounts that were asked for: as options say, or if these cannot be read any more (a source has gone), as they were made."""
    from pyman.engine import mount_plan, plan
    from pyman.engine.mounts import Mount

    config, store_of_names = container.config, plan.VolumeStore(container.state, make=False)
    try:
        found = list(mount_plan.chosen(config["options"], config["image_config"], store_of_names, look=False).values())
    except PymanError:
        own = (container.run_dir, "/sys", "/proc")
        found = [
            Mount(entry, container.state.get("volume_at", {}).get(entry["destination"], ""))
            for entry in spec.get("mounts") or []
            if entry.get("type") == "bind"
            and not str(entry.get("source", "")).startswith(own)
            and entry["destination"] not in ("/dev/shm", "/run/podman-init")
        ]
    kinds = {"volume": 0, "image": 1, "bind": 2, "artifact": 3}
    return sorted(found, key=lambda mount: (kinds[_kind(mount)], mount.entry["destination"] if mount.volume else ""))


def _kind(mount: Mount) -> str:
    return "volume" if mount.volume else next((kind for kind in ("image", "artifact") if mount.made.get(kind)), "bind")


def _driver(name: str) -> str:
    from pyman.engine import volumes  # with volumes only

    try:
        return str(volumes.get(name)["driver"])
    except PymanError:
        return "local"  # it is not there any more, or not yet


def _mounts(chosen: list[Mount]) -> list[dict[str, Any]]:
    result = []
    for mount in chosen:
        entry, options = mount.entry, mount.entry.get("options") or []
        if entry.get("type") != "bind":
            continue
        shown = [option for option in options if option not in ("ro", "rw", "rro", "bind", "rbind", *_PROPAGATION)]
        kind = _kind(mount)
        result.append(
            {
                "Type": kind,
                **({"Name": mount.volume} if mount.volume else {}),
                "Source": mount.made.get("image") or mount.made.get("artifact") or entry["source"],
                "Destination": entry["destination"],
                "Driver": _driver(mount.volume) if mount.volume else "",
                "Mode": mount.relabel,
                "Options": _special(mount) + shown + [option for option in options if option in ("bind", "rbind")],
                "RW": "ro" not in options,
                "Propagation": next((option for option in options if option in _PROPAGATION), "rprivate"),
                **({"SubPath": mount.made["subpath"]} if mount.made.get("subpath") else {}),
            }
        )
    return result


def _special(mount: Mount) -> list[str]:
    """The options of a mount that are no flags of the kernel's."""
    beside = [f"{key}={mount.made[key]}" for key in ("upperdir", "workdir") if mount.made.get(key)]
    return [*(["O"] if mount.made.get("overlay") else []), *beside, *(["U"] if mount.chown else [])]


def _network(container: Container, mode: str) -> dict[str, Any]:
    kind, _, other = mode.partition(":")
    if kind == "container":
        from pyman.engine import inspect_preview  # such a container only

        try:
            owner = lookup(other)
            owner.sync()
            return _network(owner, owner.state.get("network_mode") or inspect_preview.network_mode(owner))
        except (NoSuchContainer, StorageError):
            pass  # it was removed by force, or is damaged
    state = container.state
    ports: dict[str, Any] = dict.fromkeys(inspect_config.exposed_ports(container))
    for port in state["ports"]:
        for offset in range(port["range"]):
            key = f"{port['container_port'] + offset}/{port['protocol']}"
            bound = {"HostIp": port["host_ip"] or "0.0.0.0", "HostPort": str(port["host_port"] + offset)}
            ports[key] = [*(ports.get(key) or []), bound]
    networks = {status["name"]: _endpoint(container, status) for status in state.get("attached") or []}
    if not networks and state.get("networks"):
        from pyman.engine import networks as objects  # such a container only

        networks = {status["name"]: _endpoint(container, status) for status in objects.to_come(container)}
    if not networks and (mode in ("none", "host") or (mode in ("pasta", "slirp4netns") and not state["pid"])):
        # As in Podman (with a helper that has given it an address none is named there), for scripts that take the first one.
        empty = {"name": mode, "addresses": [], "mac": "", "id": mode, "aliases": []}
        networks = {mode: {key: value for key, value in _endpoint(container, empty).items() if key != "Aliases"}}
    return {
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "" if networks or state.get("attachments") is not None else state.get("ip", ""),
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "MacAddress": "",
        "Bridge": "",
        "SandboxID": "",
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "Ports": ports,
        "SandboxKey": f"/proc/{state['pid']}/ns/net" if state["pid"] and mode != "host" else "",
        "Networks": networks,
    }


def _endpoint(container: Container, status: dict[str, Any]) -> dict[str, Any]:
    """What a container has on one network."""
    empty = {"address": "", "prefix": 0, "gateway": ""}
    v4 = next((entry for entry in status["addresses"] if ":" not in entry["address"]), empty)
    v6 = next((entry for entry in status["addresses"] if ":" in entry["address"]), empty)
    return {
        "EndpointID": "",
        "Gateway": v4["gateway"],
        "IPAddress": v4["address"],
        "IPPrefixLen": v4["prefix"],
        "IPv6Gateway": v6["gateway"],
        "GlobalIPv6Address": v6["address"],
        "GlobalIPv6PrefixLen": v6["prefix"],
        "MacAddress": status["mac"],
        "NetworkID": status["id"],
        "DriverOpts": None,
        "IPAMConfig": None,
        "Links": None,
        "Aliases": [*status["aliases"], container.id[:12]],
    }
