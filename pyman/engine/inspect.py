"""Everything about a container under Podman's field names. CLI process."""

from __future__ import annotations

import os

from pyman.engine.container import Container
from pyman.errors import PymanError
from pyman.state import store
from pyman.storage import layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def inspect_container(container: Container, rfc3339: Callable[[float], str]) -> dict[str, Any]:
    """The object that `inspect` shows; `rfc3339` formats times."""
    container.sync()
    config, state = container.config, container.state
    options, image = config["options"], config["image_config"]
    try:
        spec = store.read_json(os.path.join(container.dir, "spec.json")) or {}
    except PymanError:
        spec = {}
    process = spec.get("process") or {}
    args = process.get("args") or [*(image.get("Entrypoint") or []), *(config["command"] or image.get("Cmd") or [])]
    return {
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
        "OCIConfigPath": os.path.join(container.dir, "spec.json"),
        "OCIRuntime": state.get("runtime") or "pyman-runtime",
        "ConmonPidFile": options.get("conmon_pidfile", ""),
        "PidFile": options.get("pidfile", ""),
        "Name": state["name"],
        "RestartCount": state["restarts"],
        "Driver": state.get("driver") or "overlay",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "EffectiveCaps": (process.get("capabilities") or {}).get("effective"),
        "BoundingCaps": (process.get("capabilities") or {}).get("bounding"),
        "ExecIDs": [],
        "GraphDriver": {
            "Name": "overlay",
            "Data": {
                "LowerDir": ":".join(layers.layer_path(diff_id) for diff_id in reversed(config["layers"])),
                "MergedDir": os.path.join(container.dir, "merged"),
                "UpperDir": os.path.join(container.dir, "upper"),
                "WorkDir": os.path.join(container.dir, "work"),
            },
        },
        "Mounts": _mounts(container, spec),
        "Dependencies": [],
        "NetworkSettings": _network(state),
        "Namespace": "",
        "IsInfra": False,
        "IsService": False,
        "lockNumber": 0,
        "Config": _config(container, process, args),
        "HostConfig": _host_config(container, spec),
    }


def _state(container: Container, rfc3339: Callable[[float], str]) -> dict[str, Any]:
    state = container.state
    return {
        "OciVersion": "1.2.0",
        "Status": state["status"],
        "Running": state["status"] == "running",
        "Paused": state["status"] == "paused",
        "Restarting": False,
        "OOMKilled": bool(state.get("oom_killed")),
        "Dead": False,
        "Pid": state["pid"],
        "ConmonPid": state["monitor_pid"],
        "ExitCode": state["exit_code"],
        "Error": state.get("note", ""),
        "StartedAt": rfc3339(state["started"]),
        "FinishedAt": rfc3339(state["finished"]),
        "CheckpointedAt": rfc3339(0.0),
        "RestoredAt": rfc3339(0.0),
        "StoppedByUser": bool(state.get("stopped_by")),
    }


def _mounts(container: Container, spec: dict[str, Any]) -> list[dict[str, Any]]:
    result = []
    for mount in spec.get("mounts") or []:
        source = str(mount.get("source", ""))
        if (
            mount.get("type") != "bind"
            or source.startswith((container.run_dir, "/sys", "/proc"))
            or mount["destination"] in ("/dev/shm", "/run/podman-init")
        ):
            continue
        options = mount.get("options") or []
        volume = source.endswith("/_data") and "/volumes/" in source
        entry = {
            "Type": "volume" if volume else "bind",
            "Source": source,
            "Destination": mount["destination"],
            "Driver": "local" if volume else "",
            "Mode": "",
            "Options": [option for option in options if option not in ("ro", "rw", "rro") and "private" not in option],
            "RW": "ro" not in options,
            "Propagation": next((option for option in options if option.lstrip("r") in ("private", "shared", "slave")), "rprivate"),
        }
        if volume:
            entry["Name"] = source.split("/")[-2]
        result.append(entry)
    return result


def _network(state: dict[str, Any]) -> dict[str, Any]:
    ports: dict[str, Any] = {}
    for port in state["ports"]:
        for offset in range(port["range"]):
            key = f"{port['container_port'] + offset}/{port['protocol']}"
            ports.setdefault(key, []).append({"HostIp": port["host_ip"] or "0.0.0.0", "HostPort": str(port["host_port"] + offset)})
    return {
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": state.get("ip", ""),
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "MacAddress": "",
        "Bridge": "",
        "SandboxID": "",
        "Ports": ports,
        "SandboxKey": f"/proc/{state['pid']}/ns/net" if state["pid"] else "",
        "Networks": {},
    }


def _config(container: Container, process: dict[str, Any], args: list[str]) -> dict[str, Any]:
    config = container.config
    options, image = config["options"], config["image_config"]
    entrypoint = options.get("entrypoint") or image.get("Entrypoint") or []
    return {
        "Hostname": options.get("hostname") or container.id[:12],
        "Domainname": "",
        "User": options.get("user") or image.get("User") or "",
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": bool(options.get("tty")),
        "OpenStdin": bool(options.get("interactive")),
        "StdinOnce": False,
        "Env": process.get("env") or image.get("Env") or [],
        "Cmd": config["command"] or image.get("Cmd") or [],
        "Image": config["image"]["name"],
        "Volumes": None,
        "WorkingDir": process.get("cwd") or options.get("workdir") or image.get("WorkingDir") or "/",
        "Entrypoint": [entrypoint] if isinstance(entrypoint, str) else entrypoint,
        "OnBuild": None,
        "Labels": container.state["labels"],
        "Annotations": (dict(item.partition("=")[::2] for item in options.get("annotation") or [])) or None,
        "StopSignal": config.get("stop_signal") or image.get("StopSignal") or "SIGTERM",
        "StopTimeout": config.get("stop_timeout", 10),
        "CreateCommand": config.get("create_command") or [],
        "Umask": options.get("umask") or "0022",
        "Timeout": options.get("timeout") or 0,
    }


def _host_config(container: Container, spec: dict[str, Any]) -> dict[str, Any]:
    options = container.config["options"]
    state = container.state
    bindings: dict[str, Any] = _network(state)["Ports"]
    return {
        "Binds": list(options.get("volume") or []),
        "CgroupManager": "disabled",
        "CgroupMode": options.get("cgroupns") or "private",
        "ContainerIDFile": options.get("cidfile", ""),
        "LogConfig": {
            "Type": options.get("log_driver") or "k8s-file",
            "Config": None,
            "Path": os.path.join(container.dir, "ctr.log"),
            "Tag": "",
            "Size": "0B",
        },
        "NetworkMode": state.get("network_mode") or "",
        "PortBindings": bindings,
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "AutoRemove": state["auto_remove"],
        "CapAdd": list(options.get("cap_add") or []),
        "CapDrop": list(options.get("cap_drop") or []),
        "Dns": list(options.get("dns") or []),
        "DnsOptions": list(options.get("dns_option") or []),
        "DnsSearch": list(options.get("dns_search") or []),
        "ExtraHosts": list(options.get("add_host") or []),
        "GroupAdd": list(options.get("group_add") or []),
        "IpcMode": options.get("ipc") or "private",
        "PidMode": options.get("pid") or "private",
        "UTSMode": options.get("uts") or "private",
        "UsernsMode": options.get("userns") or "",
        "Privileged": bool(options.get("privileged")),
        "PublishAllPorts": bool(options.get("publish_all")),
        "ReadonlyRootfs": bool((spec.get("root") or {}).get("readonly") or options.get("read_only")),
        "SecurityOpt": list(options.get("security_opt") or []),
        "Tmpfs": {item.partition(":")[0]: item.partition(":")[2] for item in options.get("tmpfs") or []},
        "ShmSize": 65536000,
        "Runtime": "oci",
        "Init": bool(options.get("init")),
        "Ulimits": [
            {"Name": limit["type"], "Soft": limit["soft"], "Hard": limit["hard"]}
            for limit in (spec.get("process") or {}).get("rlimits") or []
        ],
    }
