"""The parts Config and HostConfig of `inspect`: what a container was made with, under Podman's names. CLI process."""

from __future__ import annotations

import os

from pyman.config import containers as containers_conf
from pyman.digits import is_whole
from pyman.engine import kill, logopts
from pyman.engine.container import Container
from pyman.errors import PymanError, UsageError
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What Podman shows for every container and no kernel with cgroup v2 can do.
_NEVER: dict[str, Any] = {
    "CpuRealtimePeriod": 0,
    "CpuRealtimeRuntime": 0,
    "DiskQuota": 0,
    "KernelMemory": 0,
    "MemorySwappiness": -1,
    "OomKillDisable": False,
    "CpuCount": 0,
    "CpuPercent": 0,
    "IOMaximumIOps": 0,
    "IOMaximumBandwidth": 0,
}
_HEALTH = ("Test", "StartPeriod", "StartInterval", "Interval", "Timeout", "Retries", "Successes")
_RATES = {
    "BlkioDeviceReadBps": "device_read_bps",
    "BlkioDeviceWriteBps": "device_write_bps",
    "BlkioDeviceReadIOps": "device_read_iops",
    "BlkioDeviceWriteIOps": "device_write_iops",
}


def _limits(spec: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The limits as the container has them, or will have."""
    found = (spec.get("linux") or {}).get("resources") or {}
    cpu, memory, block = (found.get(name) or {} for name in ("cpu", "memory", "blockIO"))
    rates = {}
    for name, option in _RATES.items():
        rates[name] = [
            {"Path": path, "Rate": _rate(text)} for path, _, text in (item.rpartition(":") for item in options.get(option) or [])
        ]
    return {
        "CpuShares": cpu.get("shares", 0),
        "Memory": max(memory.get("limit", 0), 0),
        "NanoCpus": int(float(options.get("cpus") or 0) * 1e9),
        "CgroupParent": options.get("cgroup_parent") or "",
        "BlkioWeight": block.get("weight", 0),
        "BlkioWeightDevice": [
            {"Path": path, "Weight": int(text)}
            for path, _, text in (item.rpartition(":") for item in options.get("blkio_weight_device") or [])
        ]
        or None,
        **{name: value or None for name, value in rates.items()},
        "CpuPeriod": cpu.get("period", 0),
        "CpuQuota": cpu.get("quota", 0),
        "CpusetCpus": cpu.get("cpus", ""),
        "CpusetMems": cpu.get("mems", ""),
        "MemoryReservation": memory.get("reservation", 0),
        "MemorySwap": memory.get("swap", 0),
        "PidsLimit": max((found.get("pids") or {}).get("limit", 0), -1 if str(options.get("pids_limit") or 0)[0] == "-" else 0),
        "CgroupConf": found.get("unified"),
        **_NEVER,
    }


def _rate(text: str) -> int:
    from pyman.engine import limits

    return limits.size("rate", text)


def exposed_ports(container: Container) -> list[str]:
    """PORT/PROTOCOL of what the image and --expose expose."""
    config = container.config
    if not config["image_config"].get("ExposedPorts") and not config["options"].get("expose"):
        return []
    from pyman.engine import exposed  # with such ports only

    return [f"{number}/{protocol}" for protocol, number in exposed.ports(exposed.names(config["image_config"], config["options"]))]


def published(container: Container) -> list[str]:
    """PORT/PROTOCOL of what is published."""
    return [f"{port['container_port'] + offset}/{port['protocol']}" for port in container.state["ports"] for offset in range(port["range"])]


def _signal_name(text: str) -> str:
    """SIGTERM for 15, TERM and SIGTERM."""
    try:
        number = kill.parse_signal(text)
    except UsageError:
        return text  # an image may name what does not exist; stop says so
    name = next((name for name, value in kill.SIGNALS.items() if value == number), "")
    return f"SIG{name}" if name else f"SIGRTMIN+{number - 34}" if number > 34 else str(number)


def arguments(container: Container) -> list[str]:
    """The command line a container will have that never ran; empty if neither it nor its image names one."""
    from pyman.engine import specgen  # containers that were started have their OCI configuration

    options = {**container.config["options"], "_command": container.config["command"]}
    try:
        return specgen.arguments(options, container.config["image_config"])
    except UsageError:
        return []


def entrypoint(container: Container) -> list[str] | None:
    """--entrypoint, else the image's."""
    options = container.config["options"]
    if "entrypoint" not in options:
        return container.config["image_config"].get("Entrypoint") or None
    text = str(options["entrypoint"])
    try:
        return [str(part) for part in fastjson.loads(text)] if text.startswith("[") else [text] if text else None
    except ValueError:
        return [text]  # the start says what is wrong with it


def _environment(made: dict[str, Any], entries: list[str]) -> list[str]:
    if not made.get("secrets"):
        return entries
    from pyman.engine import secret_option  # --secret only

    return secret_option.with_environment(entries, secret_option.masked(made["secrets"]))


def _secrets(made: dict[str, Any]) -> dict[str, Any]:
    if not made.get("secrets"):
        return {}
    from pyman.engine import secret_option  # --secret only

    return {"Secrets": secret_option.shown(made["secrets"])}


def config(container: Container, process: dict[str, Any], hostname: str) -> dict[str, Any]:
    """Config. process: that of the OCI configuration, before the first start a preview; hostname: as the container sees it."""
    made = container.config
    options, image = made["options"], made["image_config"]
    exposed = [*exposed_ports(container), *published(container)]
    return {
        "Hostname": hostname,
        "Domainname": "",
        "User": options.get("user") or image.get("User") or "",
        "AttachStdin": False,
        "AttachStdout": False,
        "AttachStderr": False,
        "Tty": bool(options.get("tty")),
        "OpenStdin": bool(options.get("interactive")),
        "StdinOnce": False,
        "Env": _environment(made, list(process.get("env") or image.get("Env") or [])),
        "Cmd": made["command"] or ([] if "entrypoint" in options else image.get("Cmd") or []),
        "Image": made["image"]["name"],
        "Volumes": image.get("Volumes") or None,
        "WorkingDir": process.get("cwd") or options.get("workdir") or image.get("WorkingDir") or "/",
        "Entrypoint": entrypoint(container),
        "OnBuild": None,
        "Labels": container.state["labels"],
        "Annotations": dict(sorted(item.partition("=")[::2] for item in options.get("annotation") or [])),
        "StopSignal": _signal_name(str(made.get("stop_signal") or image.get("StopSignal") or "SIGTERM")),
        **_health(options, image),
        "CreateCommand": made.get("create_command") or [],
        "Umask": options.get("umask") or "0022",
        "Timeout": options.get("timeout") or 0,
        "StopTimeout": made.get("stop_timeout", 10),
        "sdNotifyMode": options.get("sdnotify") or "container",
        "Passwd": options.get("passwd") is not False,
        **_secrets(made),
        **({"ExposedPorts": {name: {} for name in exposed}} if exposed else {}),
        **({"Timezone": options["tz"]} if options.get("tz") else {}),
    }


def _health(options: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "HealthcheckOnFailureAction": options.get("health_on_failure") or "none",
        "HealthLogDestination": options.get("health_log_destination") or "local",
        "HealthcheckMaxLogCount": options.get("health_max_log_count", 5),
        "HealthcheckMaxLogSize": options.get("health_max_log_size", 500),
    }
    if not (options.get("health_cmd") or options.get("no_healthcheck") or image.get("Healthcheck")):
        return found
    from pyman.engine import health  # with a check only

    try:
        check, startup = health.of(options, image)
    except PymanError:
        return found  # the next start says what is wrong with it
    # In Go's order; as in its JSON, what is 0 is left out.
    for key, value in (("Healthcheck", check), ("StartupHealthCheck", startup)):
        if value:
            found[key] = {name: value[name] for name in _HEALTH if value.get(name)}
    return found


def _capabilities(names: list[str]) -> list[str]:
    full = [name.strip().upper() for item in names for name in item.split(",")]
    return [name if name.startswith("CAP_") or name == "ALL" else f"CAP_{name}" for name in full]


def _bind(mount: dict[str, Any]) -> str:
    special = [word for word in mount["Options"] if word in ("O", "U") or word.startswith(("upperdir=", "workdir="))]
    flags = [*([] if mount["RW"] else ["ro"]), mount["Propagation"], *mount["Options"][len(special) :]]
    if mount["Type"] == "bind" and "O" in special:
        flags = []  # which takes no others: as it was written it can be given again
    flags = special + ([mount["Mode"]] if mount["Mode"] else []) + flags
    return f"{mount.get('Name') or mount['Source']}:{mount['Destination']}:{','.join(flags)}"


def _device(spec: str) -> dict[str, str]:
    source, _, rest = spec.partition(":")
    target, _, permissions = rest.partition(":")
    return {"PathOnHost": source, "PathInContainer": target or source, "CgroupPermissions": permissions or "rwm"}


def _shm_size(spec: dict[str, Any]) -> int:
    for mount in spec.get("mounts") or []:
        if mount["destination"] == "/dev/shm":
            size = next((option[5:] for option in mount.get("options") or [] if option.startswith("size=")), "")
            if is_whole(size):
                return int(size)
    return 65536000


def _restart_policy(state: dict[str, Any]) -> dict[str, Any]:
    name, _, most = state.get("restart_policy", "no").partition(":")
    return {"Name": name, "MaximumRetryCount": int(most or 0)}


def _log_config(container: Container) -> dict[str, Any]:
    options = container.config["options"]
    driver, path, size, _ = logopts.settings(options, containers_conf.load(), os.path.join(container.dir, "ctr.log"))
    given = [item.partition("=")[2] for item in options.get("log_opt") or [] if item.startswith("tag=")]
    path = path if driver in ("k8s-file", "json-file") else ""
    return {"Type": driver, "Config": None, "Path": path, "Tag": given[-1] if given else "", "Size": _human(size) if size > 0 else "-1B"}


def _human(size: float) -> str:
    """Bytes in powers of 1000, as Podman has them there: 1.5MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.4g}{unit}"
        size /= 1000
    return f"{size:.4g}TB"


def host_config(
    container: Container, spec: dict[str, Any], mounts: list[dict[str, Any]], ports: dict[str, Any], network_mode: str
) -> dict[str, Any]:
    """HostConfig. spec: the OCI configuration, before the first start a preview; mounts, ports: as inspect shows them."""
    options, state = container.config["options"], container.state
    process = spec.get("process") or {}
    return {
        "Binds": [_bind(mount) for mount in mounts if mount["Type"] != "image"],
        "CgroupManager": "disabled",
        "CgroupMode": options.get("cgroupns") or "private",
        "ContainerIDFile": options.get("cidfile", ""),
        "LogConfig": _log_config(container),
        "NetworkMode": network_mode,
        "PortBindings": {name: bound for name, bound in ports.items() if bound},
        "RestartPolicy": _restart_policy(state),
        "AutoRemove": state["auto_remove"],
        "AutoRemoveImage": bool(options.get("rmi")),
        "Annotations": dict(sorted(item.partition("=")[::2] for item in options.get("annotation") or [])),
        "VolumeDriver": "",
        "VolumesFrom": list(options.get("volumes_from") or []) or None,
        "CapAdd": _capabilities(options.get("cap_add") or []),
        "CapDrop": _capabilities(options.get("cap_drop") or []),
        "Dns": list(options.get("dns") or []),
        "DnsOptions": list(options.get("dns_option") or []),
        "DnsSearch": list(options.get("dns_search") or []),
        "ExtraHosts": list(options.get("add_host") or []),
        "HostsFile": options.get("hosts_file") or "",
        "GroupAdd": list(options.get("group_add") or []),
        "IpcMode": options.get("ipc") or "shareable",
        "Cgroup": "",
        "Cgroups": "disabled" if options.get("cgroups") == "disabled" else "default",
        "Links": None,
        "OomScoreAdj": int(process.get("oomScoreAdj") or options.get("oom_score_adj") or 0),
        "PidMode": options.get("pid") or "private",
        "Privileged": bool(options.get("privileged")),
        "PublishAllPorts": bool(options.get("publish_all")),
        "ReadonlyRootfs": bool((spec.get("root") or {}).get("readonly") or options.get("read_only")),
        "SecurityOpt": list(options.get("security_opt") or []),
        "UTSMode": options.get("uts") or "private",
        "UsernsMode": options.get("userns") or "",
        "ShmSize": _shm_size(spec),
        "Runtime": "oci",
        "ConsoleSize": [0, 0],
        "Isolation": "",
        **_limits(spec, options),
        "Devices": [_device(item) for item in options.get("device") or []],
        "Init": bool(options.get("init")),
        "Ulimits": [{"Name": limit["type"], "Soft": limit["soft"], "Hard": limit["hard"]} for limit in process.get("rlimits") or []],
    }
