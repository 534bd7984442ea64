"""Option rows: (long name, short letter, kind, default, help, reason of refusal). Data only; CLI process.

Kinds: bool, str, int, float, list (repeatable). A row with a reason is known, and using it is an error with that reason:
nothing is silently ignored. A reason that begins with (a|b) accepts these values, which ask for nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    Row = tuple[str, str, str, object, str, str]


def _rows(text: str) -> list[Row]:
    """One row per line: `name[,x] kind[=default] help [!! reason of refusal]`."""
    rows: list[Row] = []
    for line in text.strip().split("\n"):
        head, _, reason = line.partition(" !! ")
        names, kind, help_text = head.strip().split(" ", 2)
        name, _, short = names.partition(",")
        kind, _, default = kind.partition("=")
        value: object = {"bool": default == "true", "list": []}.get(kind, default)
        if kind in ("int", "float"):
            value = None if not default else int(default)
        rows.append((name, short, kind, value, help_text.strip(), reason.strip()))
    return rows


_LIMITS = "limits of control groups are not part of this release"
_HEALTH = "health checks are not part of this release"
_BRIDGE = "bridge networks are not part of this release"

CREATE = _rows(f"""
add-host list Add NAME:IP to /etc/hosts; host-gateway stands for the host's address
annotation list Add an annotation KEY=VALUE to the OCI configuration
arch str Use this architecture instead of the host's
attach,a list Attach to stdin, stdout or stderr only
authfile str File with the registry credentials
blkio-weight str Block I/O weight !! {_LIMITS}
blkio-weight-device list Block I/O weight of a device !! {_LIMITS}
cap-add list Add a capability, or ALL
cap-drop list Drop a capability, or ALL
cert-dir str Directory with the registry's certificates !! use the system's certificate store
cgroup-conf list Settings of control group files !! {_LIMITS}
cgroup-parent str Parent control group !! {_LIMITS}
cgroupns str Control group namespace: private, host, container:NAME, ns:PATH
cgroups str Whether the container gets a control group of its own !! (enabled|disabled|no-conmon) {_LIMITS}
chrootdirs list Directory in the container that also gets /etc/hosts, resolv.conf and hostname
cidfile str Write the container's id to this new file
conmon-pidfile str Write the monitor's process id to this file
cpu-period int CPU period !! {_LIMITS}
cpu-quota int CPU quota !! {_LIMITS}
cpu-rt-period int Real-time CPU period !! {_LIMITS}
cpu-rt-runtime int Real-time CPU time !! {_LIMITS}
cpu-shares int CPU shares !! {_LIMITS}
cpus float Number of CPUs !! {_LIMITS}
cpuset-cpus str CPUs that may be used !! {_LIMITS}
cpuset-mems str Memory nodes that may be used !! {_LIMITS}
creds str USER[:PASSWORD] for the registry
decryption-key list Key for encrypted images !! encrypted images are not supported
detach-keys str Keys that detach from the container (ctrl-p,ctrl-q)
device list Add a host device: HOST[:CONTAINER]
device-cgroup-rule list Rule of the device control group !! unprivileged users have no device control group
device-read-bps list Read rate of a device !! {_LIMITS}
device-read-iops list Read operations of a device !! {_LIMITS}
device-write-bps list Write rate of a device !! {_LIMITS}
device-write-iops list Write operations of a device !! {_LIMITS}
disable-content-trust bool Accepted for Docker's sake; Docker content trust does not exist here
dns list Name server of the container
dns-option list Resolver option of the container
dns-search list Search domain of the container
entrypoint str Program that replaces the image's entrypoint
env,e list Set an environment variable: NAME=VALUE, or NAME to pass the host's
env-file list Read environment variables from a file
env-host bool Pass the whole environment of the host
env-merge list Set a variable from the image's values: PATH=/opt/bin:${{PATH}}
expose list Note a port that the container offers
gidmap list Map group ids: CONTAINER:ID:COUNT
gpus list Add GPUs !! CDI devices are not part of this release
group-add list Add a supplementary group of the container
group-entry str Line for /etc/group: $GROUPNAME, $GID, $USERLIST are replaced
health-cmd str Health check command !! (none) {_HEALTH}
health-interval str Time between health checks !! {_HEALTH}
health-log-destination str Health log !! {_HEALTH}
health-max-log-count int Health log entries !! {_HEALTH}
health-max-log-size int Health log size !! {_HEALTH}
health-on-failure str Action on failing health !! {_HEALTH}
health-retries int Health check retries !! {_HEALTH}
health-start-period str Health start period !! {_HEALTH}
health-startup-cmd str Startup check command !! {_HEALTH}
health-startup-interval str Startup check interval !! {_HEALTH}
health-startup-retries int Startup check retries !! {_HEALTH}
health-startup-success int Startup check successes !! {_HEALTH}
health-startup-timeout str Startup check time !! {_HEALTH}
health-timeout str Health check time !! {_HEALTH}
hostname,h str Host name in the container
hosts-file str File to base /etc/hosts on, or none
hostuser list Add a user of the host to /etc/passwd, by name or number
http-proxy bool=true Pass the host's proxy variables
image-volume str Volumes of the image: anonymous, tmpfs or ignore
init bool Run an init program that reaps zombies
init-path str Path of that init program
interactive,i bool Keep stdin open
ip str IPv4 address !! {_BRIDGE}
ip6 str IPv6 address !! {_BRIDGE}
ipc str IPC namespace: private, host, container:NAME, ns:PATH
label,l list Set a label KEY=VALUE
label-file list Read labels from a file
link-local-ip str Link-local address !! {_BRIDGE}
log-driver str Log driver: k8s-file, json-file, none or passthrough
log-opt list Log option: max-size=10m, max-file=3, path=FILE
mac-address str MAC address !! {_BRIDGE}
memory,m str Memory limit !! {_LIMITS}
memory-reservation str Soft memory limit !! {_LIMITS}
memory-swap str Swap limit !! {_LIMITS}
memory-swappiness str Swappiness !! {_LIMITS}
mount list Mount: type=bind|volume|tmpfs|image|glob|ramfs|devpts,src=...,dst=...
name str Name of the container
network list Network: pasta, slirp4netns, none, host, container:NAME, ns:PATH
net list The same as --network
network-alias list Further name on the network !! {_BRIDGE}
no-healthcheck bool Run no health check of the image
no-hostname bool Leave /etc/hostname of the image as it is
no-hosts bool Leave /etc/hosts of the image as it is
oom-kill-disable bool Disable the out-of-memory killer !! {_LIMITS}
oom-score-adj int Preference of the out-of-memory killer
os str Use this operating system instead of linux
passwd bool=true Add a user that the image does not know to /etc/passwd and /etc/group
passwd-entry str Line for /etc/passwd: $USERNAME, $UID, $GID, $NAME, $HOME are replaced
personality str Execution domain: LINUX or LINUX32
pid str Process namespace: private, host, container:NAME, ns:PATH
pidfile str Write the process id of the container's init to this file
pids-limit str Most processes !! (0|-1) {_LIMITS}
platform str Platform: os/arch[/variant]
pod str Pod to join !! pods are not part of this release
pod-id-file str File with the pod's id !! pods are not part of this release
privileged bool Give all capabilities in the user namespace, mask nothing
publish,p list Publish a port: [[IP:]HOST:]CONTAINER[/tcp|/udp]
publish-all,P bool Publish all exposed ports on random host ports
pull str Pull policy: always, missing, never, newer
quiet,q bool Print no progress of a pull
rdt-class str RDT class !! it needs privileges
read-only bool Mount the root file system read-only
read-only-tmpfs bool=true With --read-only: temporary file systems on /run, /tmp, /var/tmp
replace bool Replace a container of the same name
requires list Containers that must run before !! pods are not part of this release
restart str Restart policy: no !! (no) restart policies are not part of this release
retry int Times a failed pull is tried again
retry-delay str Time between two tries
rm bool Remove the container after its end
rmi bool With --rm: remove the image too, if nothing else uses it
rootfs bool The first argument is a directory, not an image; DIR:O leaves it as it is
runtime str OCI runtime: pyman-runtime, crun, runc, or a path
sdnotify str Service notification !! (ignore) units of systemd are not part of this release
seccomp-policy str Seccomp policy !! use --security-opt seccomp=FILE
secret list Secret !! secrets are not part of this release
security-opt list Security option: no-new-privileges, seccomp=FILE, mask=, unmask=
shm-size str Size of /dev/shm
shm-size-systemd str Size of systemd's temporary file systems !! systemd in containers is not part of this release
sig-proxy bool=true Pass signals on to the container
stop-signal str Signal that stops the container
stop-timeout int Seconds from that signal to SIGKILL
subgidname str Name in /etc/subgid !! only your own ranges can be used
subuidname str Name in /etc/subuid !! only your own ranges can be used
sysctl list Set a namespaced kernel parameter: NAME=VALUE
systemd str Support systemd in the container: false !! (false) systemd in containers is not part of this release
timeout int Seconds after which the container is killed
tls-verify bool=true Require a verified TLS connection to the registry
tmpfs list Mount a temporary file system: PATH[:OPTIONS]
tty,t bool Allocate a terminal
tz str Time zone of the container, for example Europe/Berlin, or local
uidmap list Map user ids: CONTAINER:ID:COUNT
ulimit list Set a limit: NAME=SOFT[:HARD], or host
umask str umask of the processes
unsetenv list Remove an environment variable of the image
unsetenv-all bool Remove all environment variables of the image
user,u str User[:group], by name or number
userns str User namespace: host, keep-id[:uid=N,gid=N], nomap, container:NAME
uts str UTS namespace: private, host, container:NAME, ns:PATH
variant str Use this variant of the architecture
volume,v list Mount: [SOURCE:]PATH[:OPTIONS]
volumes-from list Mount the volumes of another container: NAME[:ro|rw|z]
workdir,w str Working directory in the container
""")
PRESERVE = _rows("""
preserve-fd list Pass these file descriptors, for example 3,7
preserve-fds int Pass this many file descriptors, from 3 on
""")
RUN = CREATE + PRESERVE + _rows("detach,d bool Run in the background and print the id")
START = _rows("""
all bool Start all containers
attach,a bool Attach to stdout and stderr
detach-keys str Keys that detach from the container
filter,f list Containers that match, for instance name=web
interactive,i bool Attach stdin too
latest,l bool The newest container
sig-proxy bool=true Pass signals on to the container
""")
SELECT = _rows("""
all,a bool All containers
cidfile list Read the id from this file
filter,f list Containers that match, for instance name=web
ignore,i bool No error for containers that do not exist
latest,l bool The newest container
""")
STOP = SELECT + _rows("time,t int Seconds until SIGKILL")
KILL = [row for row in SELECT if row[0] in ("all", "cidfile", "latest")] + _rows("signal,s str=KILL Signal to send")
RM = SELECT + _rows("""
depend bool Remove containers that depend on it !! pods are not part of this release
force,f bool Stop a running container first
time,t int Seconds until SIGKILL
volumes,v bool Remove its anonymous volumes too
""")
RM = [row if row[0] != "filter" else (row[0], "", *row[2:]) for row in RM]
WAIT = _rows("""
condition list State to wait for (stopped)
exit-first-match bool End when the first container meets the condition
ignore bool Print -1 for containers that do not exist
interval,i str=250ms Time between two looks
latest,l bool The newest container
""")
EXEC = _rows("""
cidfile str Read the container's id from this file
detach,d bool Run in the background
detach-keys str Keys that detach
env,e list Set an environment variable
env-file list Read environment variables from a file
interactive,i bool Keep stdin open
latest,l bool The newest container
no-session bool Accepted: this release keeps no exec sessions
preserve-fd list Pass these file descriptors, for example 3,7
preserve-fds int Pass this many descriptors, from 3 on
privileged bool All capabilities of the user namespace
tty,t bool Allocate a terminal
user,u str User[:group], by name or number
workdir,w str Working directory
""")
LOGS = _rows("""
color bool Colour the names before the lines
follow,f bool Go on with new lines until the container ends
latest,l bool The newest container
names,n bool Print the container's name before each line
since str Lines since a time (2026-01-31T12:00:00) or a duration (10m)
tail str Number of last lines
timestamps,t bool Print the time of each line
until str Lines until a time or a duration
""")
ATTACH = _rows("""
detach-keys str Keys that detach
latest,l bool The newest container
no-stdin bool Do not attach stdin
sig-proxy bool=true Pass signals on
""")
PS = _rows("""
all,a bool Show containers in every state
external bool Show containers of other tools too (the store holds none)
filter,f list Containers that match, for instance status=running
format str json, table TEMPLATE or a Go template
last,n int The newest N containers, in every state
latest,l bool The newest container
no-trunc bool Do not shorten ids and commands
noheading bool Print no heading
namespace bool Show the namespaces
ns bool The same as --namespace
pod,p bool Show the pods' columns (there are no pods yet)
quiet,q bool Print ids only
size,s bool Show the room that each takes
sort str=created Order: command, created, id, image, names, runningfor, size, status
sync bool Sync the state with the runtime (always done)
watch,w int Repeat every N seconds
""")
PORT = _rows("""
all,a bool All running containers
latest,l bool The newest container
""")
INSPECT = _rows("""
format,f str json or a Go template
latest,l bool The newest container
size,s bool Add SizeRw and SizeRootFs
type,t str=all container, image or all
""")
CONTAINER_INSPECT = [row for row in INSPECT if row[0] != "type"]
EXISTS = _rows("external bool Containers of other tools count too (the store holds none)")
PULL = _rows("""
all-tags,a bool Pull all tags of the repository
arch str Use this architecture instead of the host's
authfile str File with the registry credentials
cert-dir str Directory with the registry's certificates !! use the system's certificate store
creds str USER[:PASSWORD] for the registry
decryption-key list Key for encrypted images !! encrypted images are not supported
disable-content-trust bool Accepted for Docker's sake
os str Use this operating system
platform str Platform: os/arch[/variant]
policy str=always Pull policy: always, missing, never, newer
quiet,q bool Print no progress
retry int Times a failed pull is tried again
retry-delay str Time between two tries
tls-verify bool=true Require a verified TLS connection
variant str Use this variant of the architecture
""")
IMAGES = _rows("""
all,a bool Show all images
digests bool Show digests
filter,f list Images that match, for instance reference=debian, label!=x, until=24h
format str json, table TEMPLATE or a Go template
history bool Show all names that each ever had
no-trunc bool Do not shorten ids
noheading,n bool Print no heading
quiet,q bool Print ids only
sort str=created Order: created, id, repository, size, tag
""")
RMI = _rows("""
all,a bool Remove all images
force,f bool Remove containers that use it, and all its names
ignore,i bool No error for images that do not exist
no-prune bool Accepted: layers other images need are always kept
""")
IMAGE_INSPECT = _rows("format,f str json or a Go template")
IMAGE_PRUNE = _rows("""
all,a bool Remove all images that no container uses
build-cache bool Remove the build cache !! there is none
external bool Remove containers of other tools !! the store holds none
filter list Images that match, for instance label=x
force,f bool Do not ask
""")
FORMAT = _rows("format,f str json or a Go template")
INFO = _rows("""
debug,D bool Accepted: everything is always shown
format,f str json or a Go template
""")
DOCTOR = _rows("format str table or json")
UNSHARE = _rows("rootless-netns bool Enter the shared network namespace !! there is none in this release")
CLEANUP = _rows("""
all,a bool All containers
latest,l bool The newest container
rm bool Remove it if it has ended
rmi bool Remove its image too !! use rmi
""")
GLOBAL = _rows("""
log-level str=warn debug prints tracebacks of failures
root str Directory of images and containers (graphroot)
runroot str Directory of sockets and run state
storage-driver str overlay or fuse-overlayfs
runtime str OCI runtime
help,h bool Print help
version,v bool Print the version
""")
