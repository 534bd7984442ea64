"""Whole rows of listings, and what the inspect commands of volumes, networks, secrets, info and version show, as Podman's structures. CLI process.

The types are written as in go_types.py; only a template that prints a whole structure loads them.
"""

from __future__ import annotations

from pyman.cli import go_types
from pyman.cli.gotemplate_print import Inner
from pyman.digits import is_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.cli.gotemplate_print import Struct


class Net(Inner):
    """A subnet, or an address with its length: 10.88.0.0/16."""

    def inside(self, names: bool) -> str:
        """{{10.88.0.0 ffff0000}}: a structure in a structure; the mask is in hexadecimal."""
        address, _, bits = self.partition("/")
        width = 128 if ":" in address else 32
        length = int(bits) if is_whole(bits) and int(bits) <= width else width
        mask = f"{(1 << width) - (1 << width - length):0{width // 4}x}"
        return f"{{IPNet:{{IP:{address} Mask:{mask}}}}}" if names else f"{{{{{address} {mask}}}}}"


class Hardware(Inner):
    """An address of Ethernet."""

    def inside(self, names: bool) -> str:
        """[154 30 215 132 122 154]: its bytes."""
        try:
            return "[" + " ".join(str(int(part, 16)) for part in self.split(":")) + "]"
        except ValueError:
            return str(self)


_TYPES = {
    "VolumeListReport": "&VolumeConfigResponse",
    "VolumeInspectReport": "&VolumeConfigResponse",
    "VolumeConfigResponse": "&InspectVolumeData",
    "InspectVolumeData": "Name Driver Mountpoint CreatedAt@ Status{} Labels{} Scope Options{} UID# GID# Anonymous? MountCount# NeedsCopyUp? "
    "NeedsChown? Timeout# StorageID LockNumber#",
    "ListPrintReports": "&NetworkConfig=Network",
    "NetworkInspectReport": "&NetworkConfig=Network Containers=containers{}:NetworkContainer",
    "NetworkConfig": "Name=name ID=id Driver=driver NetworkInterface=network_interface Created=created@ Subnets=subnets[]:Subnet "
    "Routes=routes[]:Route IPv6Enabled=ipv6_enabled? Internal=internal? DNSEnabled=dns_enabled? NetworkDNSServers=network_dns_servers[] "
    "Labels=labels{} Options=options{} IPAMOptions=ipam_options{}",
    "Subnet": "Subnet=subnet Gateway=gateway LeaseRange=lease_range:LeaseRange",
    "LeaseRange": "StartIP=start_ip EndIP=end_ip",
    "Route": "Destination=destination Gateway=gateway Metric=metric*",
    "NetworkContainer": "Name=name Interfaces=interfaces{}:Interface",
    "Interface": "Subnets=subnets[]:Address MacAddress=mac_address",
    "Address": "IPNet=ipnet Gateway=gateway",
    "infoReport": "&Info Err*",
    "Info": "Host=host:HostInfo Store=store:StoreInfo Registries=registries{} Plugins=plugins:Plugins Version=version:Version",
    "HostInfo": "Arch=arch BuildahVersion=buildahVersion CgroupManager=cgroupManager CgroupsVersion=cgroupVersion "
    "CgroupControllers=cgroupControllers[] Conmon=conmon:Program CPUs=cpus# CPUUtilization=cpuUtilization:CPUUsage "
    "DatabaseBackend=databaseBackend Distribution=distribution:Distribution EventLogger=eventLogger FreeLocks=freeLocks* Hostname=hostname "
    "IDMappings=idMappings:IDMaps Kernel=kernel LogDriver=logDriver MemFree=memFree# MemTotal=memTotal# NetworkBackend=networkBackend "
    "NetworkBackendInfo=networkBackendInfo:Backend OCIRuntime=ociRuntime:Runtime OS=os RemoteSocket=remoteSocket:Socket "
    "RootlessNetworkCmd=rootlessNetworkCmd RuntimeInfo=runtimeInfo{} ServiceIsRemote=serviceIsRemote? Security=security:Security "
    "Slirp4NetNS=slirp4netns:Helper Pasta=pasta:Helper SwapFree=swapFree# SwapTotal=swapTotal# Uptime=uptime Variant=variant "
    "Linkmode=linkmode EmulatedArchitectures=emulatedArchitectures[]",
    "Program": "Package=package Path=path Version=version",
    "CPUUsage": "UserPercent=userPercent# SystemPercent=systemPercent# IdlePercent=idlePercent#",
    "Distribution": "Distribution=distribution Variant=variant Version=version Codename=codename",
    "IDMaps": "GIDMap=gidmap[]:IDMap UIDMap=uidmap[]:IDMap",
    "IDMap": "ContainerID=container_id# HostID=host_id# Size=size#",
    "Backend": "Backend=backend Version=version Package=package Path=path DNS=dns:DNS DefaultNetwork=defaultNetwork",
    "DNS": "Version=version Package=package Path=path",
    "Runtime": "Name=name Package=package Path=path Version=version",
    "Socket": "Path=path Exists=exists?",
    "Security": "AppArmorEnabled=apparmorEnabled? DefaultCapabilities=capabilities Rootless=rootless? SECCOMPEnabled=seccompEnabled? "
    "SECCOMPProfilePath=seccompProfilePath SELinuxEnabled=selinuxEnabled?",
    "Helper": "Executable=executable Package=package Version=version",
    "StoreInfo": "ContainerStore=containerStore:ContainerStore GraphDriverName=graphDriverName GraphOptions=graphOptions{} GraphRoot=graphRoot "
    "GraphRootAllocated=graphRootAllocated# GraphRootUsed=graphRootUsed# GraphStatus=graphStatus{} ImageCopyTmpDir=imageCopyTmpDir "
    "ImageStore=imageStore:ImageStore RunRoot=runRoot VolumePath=volumePath TransientStore=transientStore?",
    "ContainerStore": "Number=number# Paused=paused# Running=running# Stopped=stopped#",
    "ImageStore": "Number=number#",
    "Plugins": "Volume=volume[] Network=network[] Log=log[] Authorization=authorization[]",
    "Version": "APIVersion Version GoVersion GitCommit BuiltTime Built# BuildOrigin OsArch Os",
    "SystemVersionReport": "Client:Version Server:Version",
    "SecretInfoReport": "ID CreatedAt@ UpdatedAt@ Spec:SecretSpec SecretData",
    "SecretSpec": "Name Driver:SecretDriver Labels{}",
    "SecretDriver": "Name Options{}",
    "SecretListReport": "ID Name Driver CreatedAt UpdatedAt",
    "psReporter": "&ListContainer",
    "ListContainer": "AutoRemove? Command[] Created@ CreatedAt CIDFile Exited? ExitedAt# ExitCode# ExposedPorts{} ID=Id Image ImageID IsInfra? "
    "Labels{} Mounts[] Names[] Namespaces:Namespaces Networks[] Pid# Pod PodName Ports[]:PortMapping Restarts# Size:Size StartedAt# State Status",
    "Namespaces": "MNT=Mnt Cgroup IPC=Ipc NET=Net PIDNS=Pidns UTS=Uts User",
    "PortMapping": "HostIP=host_ip ContainerPort=container_port# HostPort=host_port# Range=range# Protocol=protocol",
    "Size": "RootFsSize=rootFsSize# RwSize=rwSize#",
    "imageReporter": "Repository Tag &ImageSummary",
    "ImageSummary": "ID=Id ParentId RepoTags[] RepoDigests[] Created# Size# SharedSize# VirtualSize# Labels{} Containers# ReadOnly? Dangling? "
    "Arch Digest History[] IsManifestList* Names[] Os",
    "historyReporter": "&ImageHistoryLayer",
    "ImageHistoryLayer": "ID=id Created=created@ CreatedBy Tags=tags[] Size=size# Comment=comment",
    "dfSummary": "Type Total# Active# RawSize# RawReclaimable#",
    "Event": "ContainerExitCode* ID Image Name Network Status Time# TimeNano# Type HealthStatus Error &Details",
    "Details": "ContainerInspectData PodID Attributes{}",
    "containerStats": "&ContainerStats",
    "ContainerStats": "AvgCPU# ContainerID Name PerCPU[] CPU# CPUNano# CPUSystemNano# SystemNano# MemUsage# MemLimit# MemPerc# Network{}:Traffic "
    "BlockInput# BlockOutput# PIDs# UpTime~ Duration#",
    "Traffic": "RxBytes# RxDropped# RxErrors# RxPackets# TxBytes# TxDropped# TxErrors# TxPackets#",
}
# Go's names, where Podman prints them.
_NAMES = {
    "VolumeListReport": "*types.VolumeListReport",
    "VolumeInspectReport": "*types.VolumeInspectReport",
    "NetworkInspectReport": "types.NetworkInspectReport",
    "ListPrintReports": "network.ListPrintReports",
    "infoReport": "system.infoReport",
    "HostInfo": "*define.HostInfo",
    "StoreInfo": "*define.StoreInfo",
    "Version": "*define.Version",
    "SecretInfoReport": "*types.SecretInfoReport",
    "SecretListReport": "*types.SecretListReport",
    "dfSummary": "*system.dfSummary",
}
_INNER = {"Subnet": ("subnet", Net), "Route": ("destination", Net), "Address": ("ipnet", Net), "Interface": ("mac_address", Hardware)}


def report(record: dict[str, Any], name: str) -> Struct:
    """A record of JSON as one of these structures; JSON shows the record itself."""
    if name not in go_types.TYPES:
        go_types.TYPES.update(_TYPES)
        go_types.NAMES.update(_NAMES)
        for kind, (key, make) in _INNER.items():
            go_types.INNER[kind, key] = make
    return go_types.typed(record, name)
