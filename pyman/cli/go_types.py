"""The types that templates see: the fields of Podman's structures in Go's order, so that a whole structure prints as Podman's. CLI process, pure.

A field is NAME, or NAME=KEY where JSON calls it otherwise, and a sign for what it holds where that is no text: `?` true or false, `#` number,
`@` time, `~` duration, `[]` list, `{}` map, `{.}` set (a map of empty structures), `*` pointer; `:TYPE` names the structure in it.
A field that begins with `&` is an embedded structure: its fields are those of the one around it, and it prints in braces of its own.
What differs from Podman: it prints the address of a structure within another one, where its fields are shown here.
"""

from __future__ import annotations

from pyman.cli.gotemplate_print import Map, Struct
from pyman.cli.gotemplate_time import Duration, Moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

TYPES = {
    "Container": "ID=Id Created@ Path Args[] State:State Image ImageDigest ImageName Rootfs Pod ResolvConfPath HostnamePath HostsPath StaticDir "
    "OCIConfigPath OCIRuntime ConmonPidFile PidFile Name RestartCount# Driver MountLabel ProcessLabel AppArmorProfile EffectiveCaps[] "
    "BoundingCaps[] ExecIDs[] GraphDriver:Driver SizeRw* SizeRootFs# Mounts[]:Mount Dependencies[] NetworkSettings:NetworkSettings Namespace "
    "IsInfra? IsService? KubeExitCodePropagation LockNumber=lockNumber# Config:Config HostConfig:HostConfig UseImageHosts? UseImageHostname?",
    "State": "OciVersion Status Running? Paused? Restarting? OOMKilled? Dead? Pid# ConmonPid# ExitCode# Error StartedAt@ FinishedAt@ "
    "Health:Health Checkpointed? CgroupPath CheckpointedAt@ RestoredAt@ CheckpointLog CheckpointPath RestoreLog Restored? StoppedByUser?",
    "Health": "Status FailingStreak# Log[]:HealthLog",
    "HealthLog": "Start End ExitCode# Output",
    "Driver": "Name Data{}",
    "Mount": "Type Name Source Destination Driver Mode Options[] RW? Propagation SubPath",
    "Config": "Hostname DomainName=Domainname User AttachStdin? AttachStdout? AttachStderr? Tty? OpenStdin? StdinOnce? Env[] Cmd[] Image "
    "Volumes{.} WorkingDir Entrypoint[] OnBuild* Labels{} Annotations{} StopSignal StartupHealthCheck:Startup Healthcheck:Healthcheck "
    "HealthcheckOnFailureAction HealthLogDestination HealthMaxLogCount=HealthcheckMaxLogCount# HealthMaxLogSize=HealthcheckMaxLogSize# "
    "CreateCommand[] Timezone SystemdMode? Umask Secrets[]:Secret Timeout# StopTimeout# Passwd? ChrootDirs[] SdNotifyMode=sdNotifyMode "
    "SdNotifySocket ExposedPorts{.} V4PodmanCompatMarshal?",
    "Healthcheck": "Test[] StartPeriod~ StartInterval~ Interval~ Timeout~ Retries#",
    "Startup": "&Healthcheck Successes#",
    "Secret": "Name ID UID# GID# Mode#",
    "HostConfig": "Binds[] CgroupManager CgroupMode ContainerIDFile LogConfig:LogConfig NetworkMode PortBindings{}[]:HostPort "
    "RestartPolicy:RestartPolicy AutoRemove? AutoRemoveImage? Annotations{} VolumeDriver VolumesFrom[] CapAdd[] CapDrop[] Dns[] DnsOptions[] "
    "DnsSearch[] ExtraHosts[] HostsFile GroupAdd[] IpcMode Cgroup Cgroups Links[] OomScoreAdj# PidMode Privileged? PublishAllPorts? "
    "ReadonlyRootfs? SecurityOpt[] Tmpfs{} UTSMode UsernsMode IDMappings:IDMappings ShmSize# Runtime ConsoleSize[] Isolation CpuShares# Memory# "
    "NanoCpus# CgroupParent BlkioWeight# BlkioWeightDevice[]:Weight BlkioDeviceReadBps[]:Rate BlkioDeviceWriteBps[]:Rate "
    "BlkioDeviceReadIOps[]:Rate BlkioDeviceWriteIOps[]:Rate CpuPeriod# CpuQuota# CpuRealtimePeriod# CpuRealtimeRuntime# CpusetCpus CpusetMems "
    "Devices[]:Device DiskQuota# KernelMemory# MemoryReservation# MemorySwap# MemorySwappiness# OomKillDisable? Init? PidsLimit# "
    "Ulimits[]:Ulimit CpuCount# CpuPercent# IOMaximumIOps# IOMaximumBandwidth# CgroupConf{} IntelRdtClosID",
    "LogConfig": "Type Config{} Path Tag Size",
    "RestartPolicy": "Name MaximumRetryCount#",
    "IDMappings": "UIDMap=UidMap[] GIDMap=GidMap[]",
    "Weight": "Path Weight#",
    "Rate": "Path Rate#",
    "Device": "PathOnHost PathInContainer CgroupPermissions",
    "Ulimit": "Name Soft# Hard#",
    "HostPort": "HostIP=HostIp HostPort",
    "Addresses": "EndpointID Gateway IPAddress IPPrefixLen# SecondaryIPAddresses[] IPv6Gateway GlobalIPv6Address GlobalIPv6PrefixLen# "
    "SecondaryIPv6Addresses[] MacAddress AdditionalMacAddresses[]",
    "NetworkSettings": "&Addresses Bridge SandboxID HairpinMode? LinkLocalIPv6Address LinkLocalIPv6PrefixLen# Ports{}[]:HostPort SandboxKey "
    "Networks{}:Network",
    "Network": "&Addresses NetworkID DriverOpts{} IPAMConfig{} Links[] Aliases[]",
    "ImageConfig": "User ExposedPorts{.} Env[] Entrypoint[] Cmd[] Volumes{.} WorkingDir Labels{} StopSignal ArgsEscaped?",
    "History": "Created=created@ CreatedBy=created_by Author=author Comment=comment EmptyLayer=empty_layer?",
}
# Go's names of them, for %T; those that Podman holds by pointers begin with *.
NAMES = {
    "Container": "*entities.ContainerInspectReport",
    "State": "*define.InspectContainerState",
    "Health": "*define.HealthCheckResults",
    "HealthLog": "define.HealthCheckLog",
    "Driver": "*define.DriverData",
    "Mount": "define.InspectMount",
    "Config": "*define.InspectContainerConfig",
    "Healthcheck": "*manifest.Schema2HealthConfig",
    "Startup": "*define.StartupHealthCheck",
    "Secret": "*define.InspectSecret",
    "HostConfig": "*define.InspectContainerHostConfig",
    "LogConfig": "*define.InspectLogConfig",
    "RestartPolicy": "*define.InspectRestartPolicy",
    "IDMappings": "*define.InspectIDMappings",
    "Weight": "define.InspectBlkioWeightDevice",
    "Rate": "define.InspectBlkioThrottleDevice",
    "Device": "define.InspectDevice",
    "Ulimit": "define.InspectUlimit",
    "HostPort": "define.InspectHostPort",
    "Addresses": "define.InspectBasicNetworkConfig",
    "NetworkSettings": "*define.InspectNetworkSettings",
    "Network": "*define.InspectAdditionalNetwork",
    "ImageConfig": "*v1.ImageConfig",
    "History": "v1.History",
}
INNER: dict[tuple[str, str], Callable[[str], Any]] = {}
"""(type, key): what makes the text of such a field one that prints otherwise within a structure."""
_SIGNS = "?#@~[{*:"
_ZERO: dict[str, Any] = {"": "", "?": False, "#": 0, "@": Moment("0001-01-01T00:00:00Z"), "~": Duration(0)}


class RawList(list):  # type: ignore[type-arg]
    """A list, perhaps a nil one; {{json}} prints what it was made of."""

    __slots__ = ("_raw",)

    def __init__(self, items: list[Any], raw: Any) -> None:
        super().__init__(items)
        self._raw = raw

    def plain(self) -> Any:
        """What {{json}} prints."""
        return self._raw


class RawMap(Map):
    """The same of a map."""

    __slots__ = ("_raw",)

    def __init__(self, items: dict[str, Any], raw: Any) -> None:
        super().__init__(items)
        self._raw = raw

    def plain(self) -> Any:
        """What {{json}} prints."""
        return self._raw


def typed(value: dict[str, Any], name: str) -> Struct:
    """A record of JSON as the structure `name`; JSON shows the record itself."""
    shown: dict[str, Any] = {}
    for item in TYPES[name].split():
        if item[0] == "&":
            sort, _, called = item[1:].partition("=")
            shown[f"({called or sort})"] = typed(value, sort)
            continue
        at = next((number for number, char in enumerate(item) if char in _SIGNS), len(item))
        field, _, key = item[:at].partition("=")
        raw, inner = value.get(key or field), INNER.get((name, key))
        shown[field] = inner(raw) if inner and isinstance(raw, str) else _value(raw, item[at:])
    return Struct(value, shown, ordered=True, type=NAMES.get(name, ""))


def _value(raw: Any, sign: str) -> Any:
    sort, _, inner = sign.partition(":")
    if sort[:1] == "{":
        return _map(raw, sort, inner)
    if sort == "[]":
        items = raw if isinstance(raw, list) else []
        return RawList([typed(item, inner) if inner and isinstance(item, dict) else item for item in items], raw)
    if raw is None:
        return _ZERO.get(sort) if not inner else None
    if inner:
        return typed(raw, inner) if isinstance(raw, dict) else raw
    if sort == "~":
        return Duration(raw) if isinstance(raw, int) else raw
    return Moment(raw) if sort == "@" and isinstance(raw, str) else raw


def _map(raw: Any, sort: str, inner: str) -> RawMap:
    items = raw if isinstance(raw, dict) else {}
    if sort == "{.}":
        return RawMap({key: Struct(item, {}, ordered=True) if isinstance(item, dict) else item for key, item in items.items()}, raw)
    if inner:
        below = f"{sort[2:]}:{inner}"
        return RawMap({key: _value(item, below) for key, item in items.items()}, raw)
    return RawMap(items, raw)
