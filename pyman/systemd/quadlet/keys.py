"""The keys of Quadlet files as data: for each kind of file its section, and for each key what becomes of it. Data and its reader.

A line: `Key SINCE how [option] [!! reason]`. SINCE is the release of Podman that brought it. how:
one (the last value), each (every value), word (every word of every value), arg (the same with escapes), pair (NAME=VALUE words),
bool (--option or --option=false), code (a translator knows), and no: the key makes the unit fail with the reason.
"""

from __future__ import annotations

_ENCRYPTED = "encrypted images are not supported"

_COMMON = """\
ContainersConfModule 4.8 code
GlobalArgs 4.8 code
PodmanArgs 4.4 code
ServiceName 5.3 code
"""
_PULL = f"""\
AuthFile 4.8 one authfile
CertDir 4.8 one cert-dir
Creds 4.8 one creds
DecryptionKey 4.8 no !! {_ENCRYPTED}
Retry 5.5 one retry
RetryDelay 5.5 one retry-delay
TLSVerify 4.8 bool tls-verify
"""
_CONTAINER = """\
AddCapability 4.4 word cap-add
AddDevice 4.4 code
AddHost 5.3 each add-host
Annotation 4.4 pair annotation
AppArmor 5.8 one security-opt=apparmor=
AutoUpdate 4.6 one label=io.containers.autoupdate=
CgroupsMode 5.3 code
ContainerName 4.4 code
DNS 4.7 each dns
DNSOption 4.7 each dns-option
DNSSearch 4.7 each dns-search
DropCapability 4.4 word cap-drop
Entrypoint 5.0 code
Environment 4.4 pair env
EnvironmentFile 4.4 code
EnvironmentHost 4.4 bool env-host
Exec 4.4 code
ExposeHostPort 4.4 code
GIDMap 4.8 word gidmap
Group 4.4 code
GroupAdd 5.1 each group-add
HealthCmd 4.5 one health-cmd
HealthInterval 4.5 one health-interval
HealthLogDestination 5.3 one health-log-destination
HealthMaxLogCount 5.3 one health-max-log-count
HealthMaxLogSize 5.3 one health-max-log-size
HealthOnFailure 4.5 one health-on-failure
HealthRetries 4.5 one health-retries
HealthStartPeriod 4.5 one health-start-period
HealthStartupCmd 4.5 one health-startup-cmd
HealthStartupInterval 4.5 one health-startup-interval
HealthStartupRetries 4.5 one health-startup-retries
HealthStartupSuccess 4.5 one health-startup-success
HealthStartupTimeout 4.5 one health-startup-timeout
HealthTimeout 4.5 one health-timeout
HostName 4.6 one hostname
HttpProxy 5.7 bool http-proxy
IP 4.5 one ip
IP6 4.5 one ip6
Image 4.4 code
Label 4.4 pair label
LogDriver 4.5 one log-driver
LogOpt 5.2 word log-opt
Mask 4.6 arg security-opt=mask=
Memory 5.5 one memory
Mount 4.5 code
Network 4.4 code
NetworkAlias 5.2 each network-alias
NoNewPrivileges 4.4 code
Notify 4.4 code
PidsLimit 4.7 one pids-limit
Pod 5.0 no !! pods are not part of this release; put the containers on one network, or use Network=NAME.container
PublishPort 4.4 each publish
Pull 4.6 one pull
ReadOnly 4.4 bool read-only
ReadOnlyTmpfs 4.8 bool read-only-tmpfs
ReloadCmd 5.5 code
ReloadSignal 5.5 code
RemapGid 4.4 code
RemapUid 4.4 code
RemapUidSize 4.4 code
RemapUsers 4.4 code
Retry 5.5 one retry
RetryDelay 5.5 one retry-delay
Rootfs 4.5 code
RunInit 4.4 bool init
SeccompProfile 4.4 one security-opt=seccomp=
Secret 4.5 arg secret
SecurityLabelDisable 4.5 code
SecurityLabelFileType 4.5 one security-opt=label=filetype:
SecurityLabelLevel 4.5 one security-opt=label=level:
SecurityLabelNested 4.6 code
SecurityLabelType 4.5 one security-opt=label=type:
ShmSize 4.7 one shm-size
StartWithPod 5.3 code
StopSignal 5.2 one stop-signal
StopTimeout 5.0 one stop-timeout
SubGIDMap 4.8 one subgidname
SubUIDMap 4.8 one subuidname
Sysctl 4.6 word sysctl
Timezone 4.4 one tz
Tmpfs 4.5 each tmpfs
UIDMap 4.8 word uidmap
Ulimit 4.7 each ulimit
Unmask 4.6 arg security-opt=unmask=
User 4.4 code
UserNS 4.5 one userns
VolatileTmp 4.4 code
Volume 4.4 code
WorkingDir 4.6 one workdir
"""
_VOLUME = """\
Copy 4.4 code
Device 4.4 code
Driver 4.8 code
Group 4.4 code
Image 4.8 code
Label 4.4 pair label
Options 4.4 code
Type 4.4 code
User 4.4 code
VolumeName 4.7 code
"""
_NETWORK = """\
DNS 4.7 each dns
DisableDNS 4.4 bool disable-dns
Driver 4.4 one driver
Gateway 4.4 code
IPAMDriver 4.4 one ipam-driver
IPRange 4.4 code
IPv6 4.4 bool ipv6
InterfaceName 5.6 one interface-name
Internal 4.4 bool internal
Label 4.4 pair label
NetworkDeleteOnStop 5.5 code
NetworkName 4.7 code
Options 4.4 pair opt
Subnet 4.4 code
"""
_IMAGE = f"""\
AllTags 4.8 bool all-tags
Arch 4.8 one arch
Image 4.8 code
ImageTag 4.8 code
OS 4.8 one os
Policy 5.6 one policy
Variant 4.8 one variant
{_PULL}"""
_ARTIFACT = f"""\
Artifact 5.7 code
Quiet 5.7 bool quiet
{_PULL}"""
QUADLET = "DefaultDependencies 5.3 code\n"

# Kind of file: (its section, what is appended to the service's name, its keys).
KINDS = {
    "container": ("Container", "", _CONTAINER + _COMMON),
    "volume": ("Volume", "-volume", _VOLUME + _COMMON),
    "network": ("Network", "-network", _NETWORK + _COMMON),
    "image": ("Image", "-image", _IMAGE + _COMMON),
    "artifact": ("Artifact", "-artifact", _ARTIFACT + _COMMON),
}
# Kinds that Podman has and this release has not: (section, what is appended, why).
LATER = {
    "pod": ("Pod", "-pod", "pods are not part of this release: there are no .pod units yet"),
    "kube": ("Kube", "", "pyman does not read Kubernetes' files yet: there are no .kube units"),
    "build": ("Build", "-build", "pyman does not build images yet: there are no .build units"),
}


class Key:
    """What becomes of a key: `how` (see above), the option, the reason of a refusal, the release of Podman that brought it."""

    __slots__ = ("how", "name", "option", "reason", "since")

    def __init__(self, line: str) -> None:
        head, _, self.reason = line.partition(" !! ")
        self.name, self.since, self.how, *option = head.split(" ")
        self.option = option[0] if option else ""


_read: dict[str, dict[str, Key]] = {}


def of(kind: str) -> dict[str, Key]:
    """The keys of a kind's own section, by name; "quadlet" for those of [Quadlet]."""
    if kind not in _read:
        text = QUADLET if kind == "quadlet" else KINDS[kind][2]
        _read[kind] = {key.name: key for key in map(Key, text.splitlines())}
    return _read[kind]


def kind_of(name: str) -> str:
    """The kind of a file by its name's suffix; empty if it is no Quadlet file."""
    stem, _, suffix = name.rpartition(".")
    return suffix if stem and (suffix in KINDS or suffix in LATER) else ""


def suffix(kind: str) -> str:
    """What is appended to the name of a kind's services."""
    return KINDS[kind][1] if kind in KINDS else LATER[kind][1]


def section(kind: str) -> str:
    """The section that belongs to a kind."""
    return KINDS[kind][0] if kind in KINDS else LATER[kind][0]
