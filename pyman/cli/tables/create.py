"""The commands that make containers of options, and change them. Data only."""

from __future__ import annotations

from pyman.cli.table import Command

HEALTH = """\
health-cmd str Command that tells whether the container is healthy: a line for the shell, a JSON list, or none
health-interval str Time between two health checks, or disable (30s)
health-log-destination str Where results are kept: local, events_logger, or a directory
health-max-log-count int Results kept; 0: as many as 16 MiB hold (5)
health-max-log-size int Bytes kept of what each check wrote; 0: up to 16 MiB (500)
health-on-failure str What follows when the container becomes unhealthy: none, kill, restart or stop
health-retries int Failures in a row that make the container unhealthy (3)
health-start-period str Time in which failures do not count (0s)
health-startup-cmd str Command that must succeed before the health checks begin
health-startup-interval str Time between two startup checks, or disable (30s)
health-startup-retries int Failures of the startup check that restart the container; 0: none do
health-startup-success int Successes of the startup check that are needed; 0: one
health-startup-timeout str Time after which a startup check is killed (30s)
health-timeout str Time after which a health check is killed (30s)
"""

CREATE = f"""
add-host commas Add NAME:IP to /etc/hosts; host-gateway stands for the host's address
annotation list Add an annotation KEY=VALUE to the OCI configuration
arch str Use this architecture instead of the host's
attach,a commas Attach to stdin, stdout or stderr only
authfile str File with the registry credentials
blkio-weight str Weight of the container's block I/O: 10 to 1000
blkio-weight-device list Weight for one device: PATH:WEIGHT
cap-add commas Add a capability, or ALL
cap-drop commas Drop a capability, or ALL
cert-dir str Directory with the registry's certificates
cgroup-conf commas Write a file of the control group: memory.high=1073741824
cgroup-parent str Make the container's control group below this one
cgroupns str Control group namespace: private, host, container:NAME, ns:PATH
cgroups str=enabled Control group of its own: enabled, disabled, no-conmon, or split (below the caller's)
chrootdirs list Directory in the container that also gets /etc/hosts, resolv.conf and hostname
cidfile str Write the container's id to this file, which is removed with the container
conmon-pidfile str Write the monitor's process id to this file
cpu-period uint Microseconds of the period that --cpu-quota divides
cpu-quota int Microseconds of processor time in each period
cpu-rt-period int Real-time CPU period !! (0) cgroup v2 does not divide real-time processor time
cpu-rt-runtime int Real-time CPU time !! (0) cgroup v2 does not divide real-time processor time
cpu-shares,c uint Share of processor time (1024 is the usual one)
cpus float Number of processors, for example 1.5
cpuset-cpus str Processors that may be used, for example 0-2,4
cpuset-mems str Memory nodes that may be used
creds str USER[:PASSWORD] for the registry
decryption-key list Key for encrypted images !! encrypted images are not supported
detach-keys str Keys that detach from the container (ctrl-p,ctrl-q)
device list Add a host device: HOST[:CONTAINER]
device-cgroup-rule list Rule of the device control group !! unprivileged users have no device control group
device-read-bps list Bytes read per second: PATH:RATE, for example /dev/sda:10m
device-read-iops list Reads per second: PATH:RATE
device-write-bps list Bytes written per second: PATH:RATE
device-write-iops list Writes per second: PATH:RATE
disable-content-trust bool Accepted for Docker's sake; Docker content trust does not exist here
dns commas Name server of the container
dns-option commas Resolver option of the container
dns-search commas Search domain of the container
entrypoint str Program that replaces the image's entrypoint
env,e list Set an environment variable: NAME=VALUE, or NAME to pass the host's
env-file list Read environment variables from a file
env-host bool Pass the whole environment of the host
env-merge list Set a variable from the image's values: PATH=/opt/bin:${{PATH}}
expose commas Note a port that the container offers
gidmap commas Map group ids: CONTAINER:ID:COUNT
gpus list Add GPUs !! CDI devices are not part of this release
group-add commas Add a supplementary group of the container
group-entry str Line for /etc/group: $GROUPNAME, $GID, $USERLIST are replaced
{HEALTH}hostname,h str Host name in the container
hosts-file str File that /etc/hosts begins with; image: the image's; none: an empty one
hostuser commas Add a user of the host to /etc/passwd, by name or number
http-proxy bool=true Pass the host's proxy variables
image-volume str Volumes of the image: anonymous, tmpfs or ignore
init bool Run an init program that reaps zombies
init-path str Path of that init program
interactive,i bool Keep stdin open
ip str IPv4 address
ip6 str IPv6 address
ipc str IPC namespace: private, host, container:NAME, ns:PATH
kernel-memory str Most memory of the kernel !! the kernel counts its memory with the rest; --memory limits both
label,l list Set a label KEY=VALUE
label-file list Read labels from a file
limits str=strict What becomes of a limit that cannot be set: strict (an error) or best-effort (a warning)
link-local-ip str Link-local address !! no network gives out link-local addresses; --ip takes one of a network
log-driver str Log driver: k8s-file, json-file, journald, none, passthrough or passthrough-tty
log-opt list Log option: max-size=10m, max-file=3, path=FILE; for journald: tag=TEXT, label=NAME=VALUE
mac-address str MAC address
memory,m str Most memory, for example 512m
memory-reservation str Memory that is kept for the container under pressure
memory-swap str Most memory and swap together; -1: no limit of swap (twice --memory)
memory-swappiness str Swappiness !! (-1) cgroup v2 has no swappiness
mount list Mount: type=bind|volume|tmpfs|image|artifact|glob|ramfs|devpts,src=...,dst=...
name str Name of the container
network list Network: pasta, slirp4netns, none, host, container:NAME, ns:PATH, bridge, or a name with options: NAME:ip=ADDRESS,alias=NAME
net list The same as --network
network-alias commas Further name on the network
no-healthcheck bool Run no health check, not even that of the image
no-hostname bool Leave /etc/hostname of the image as it is
no-hosts bool Leave /etc/hosts of the image as it is
oom-kill-disable bool Disable the out-of-memory killer !! (false) cgroup v2 cannot switch the out-of-memory killer off; use --oom-score-adj
oom-score-adj int Preference of the out-of-memory killer
os str Use this operating system instead of linux
passwd bool=true Add a user that the image does not know to /etc/passwd and /etc/group
passwd-entry str Line for /etc/passwd: $USERNAME, $UID, $GID, $NAME, $HOME are replaced
personality str Execution domain: LINUX or LINUX32
pid str Process namespace: private, host, container:NAME, ns:PATH
pidfile str Write the process id of the container's init to this file
pids-limit str Most processes; 0 or -1: no limit
platform str Platform: os/arch[/variant]
pod str Pod to join !! pods are not part of this release
pod-id-file str File with the pod's id !! pods are not part of this release
privileged bool Give all capabilities in the user namespace and the devices that you can open, mask nothing
publish,p commas Publish a port: [[IP:]HOST:]CONTAINER[/tcp|/udp]
publish-all,P bool Publish all exposed ports on random host ports
pull str Pull policy: always, missing, never, newer
quiet,q bool Print no progress of a pull
rdt-class str RDT class !! it needs privileges
read-only bool Mount the root file system read-only
read-only-tmpfs bool=true With --read-only: temporary file systems on /run, /tmp, /var/tmp, and /dev writable
replace bool Replace a container of the same name
requires commas Containers that start starts first, and that must run otherwise
restart str Restart policy: no, on-failure[:N], always or unless-stopped
retry uint Times a failed pull is tried again
retry-delay str Time between two tries
rm bool Remove the container after its end
rmi bool With --rm: remove the image too, if nothing else uses it
rootfs bool The first argument is a directory, not an image; DIR:O leaves it as it is
runtime str OCI runtime: pyman-runtime, crun, runc, or a path
sdnotify str Who tells the service manager that the service is ready: container, conmon, healthy, or ignore (nobody)
seccomp-policy str Seccomp policy !! (default) use --security-opt seccomp=FILE
secret list Give it a secret: NAME[,type=mount|env,target=,uid=,gid=,mode=]
security-opt list Security option: no-new-privileges, seccomp=FILE, mask=, unmask=
shm-size str Size of /dev/shm
shm-size-systemd str Size of each of systemd's temporary file systems: /run, /run/lock, /tmp, /var/log/journal
signature-policy str Policy file for a pull instead of policy.json
sig-proxy bool=true Pass signals on to the container
stop-signal str Signal that stops the container
stop-timeout uint Seconds from that signal to SIGKILL
subgidname str Map groups to the ranges of this name in /etc/subgid, which must be yours
subuidname str Map users to the ranges of this name in /etc/subuid, which must be yours
sysctl commas Set a namespaced kernel parameter: NAME=VALUE
systemd str Prepare the container for systemd: true (if its command is systemd), always or false (true)
timeout uint Seconds after which the container is killed
tls-verify bool=true Require a verified TLS connection to the registry
tmpfs list Mount a temporary file system: PATH[:OPTIONS]
tty,t bool Allocate a terminal
tz str Time zone of the container, for example Europe/Berlin, or local
uidmap commas Map user ids: CONTAINER:ID:COUNT
ulimit commas Set a limit: NAME=SOFT[:HARD], or host
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
"""
INIT_CTR = "init-ctr str Begin a pod with it !! pods are not part of this release\n"
PRESERVE = """
preserve-fd list Pass these file descriptors, for example 3,7
preserve-fds uint Pass this many file descriptors, from 3 on
"""
RUN = CREATE + PRESERVE + "detach,d bool Run in the background and print the id\n"
CLONE = """
blkio-weight str Weight of the container's block I/O: 10 to 1000
blkio-weight-device list Weight for one device: PATH:WEIGHT
cpu-period str Length of a period of processor time, in microseconds
cpu-quota str Processor time per period, in microseconds
cpu-rt-period str Real-time period !! the kernel's cgroup v2 has no real-time limits
cpu-rt-runtime str Real-time runtime !! the kernel's cgroup v2 has no real-time limits
cpu-shares,c int Share of processor time (1024 is the usual one)
cpus str Number of processors that the container may use
cpuset-cpus str Processors that it may use: 0-2,4
cpuset-mems str Memory nodes that it may use
destroy bool Remove the original
device-read-bps list Limit of reading from a device: PATH:RATE
device-write-bps list Limit of writing to a device: PATH:RATE
force,f bool Remove the original even if it runs (with --destroy)
memory,m str Memory limit
memory-reservation str Memory that is kept under pressure
memory-swap str Memory and swap together
memory-swappiness str How readily memory is swapped out !! the kernel's cgroup v2 has no swappiness per group
name str Name of the clone (ORIGINAL-clone, with a number where that is taken or the original is a clone)
pod str Pod to make the clone in !! pods are not part of this release
run bool Start the clone
"""
UPDATE = f"""
blkio-weight str Weight of the container's block I/O: 10 to 1000
blkio-weight-device list Weight for one device: PATH:WEIGHT
cgroup-conf commas Write a file of the control group: memory.high=1073741824
cpu-period uint Microseconds of the period that --cpu-quota divides
cpu-quota int Microseconds of processor time in each period
cpu-rt-period int Real-time CPU period !! (0) cgroup v2 does not divide real-time processor time
cpu-rt-runtime int Real-time CPU time !! (0) cgroup v2 does not divide real-time processor time
cpu-shares,c uint Share of processor time (1024 is the usual one)
cpus float Number of processors, for example 1.5
cpuset-cpus str Processors that may be used, for example 0-2,4
cpuset-mems str Memory nodes that may be used
device-read-bps list Bytes read per second: PATH:RATE, for example /dev/sda:10m
device-read-iops list Reads per second: PATH:RATE
device-write-bps list Bytes written per second: PATH:RATE
device-write-iops list Writes per second: PATH:RATE
env,e list Set an environment variable: NAME=VALUE, or NAME to pass the host's
{HEALTH}latest,l bool The newest container
memory,m str Most memory, for example 512m
memory-reservation str Memory that is kept for the container under pressure
memory-swap str Most memory and swap together; -1: no limit of swap (twice --memory)
memory-swappiness str Swappiness !! (-1) cgroup v2 has no swappiness
no-healthcheck bool Run no health check any more
pids-limit str Most processes; 0 or -1: no limit
restart str Restart policy: no, on-failure[:N], always or unless-stopped
ulimit commas Set a limit for later starts: NAME=SOFT[:HARD]
unsetenv list Remove an environment variable
"""
CONTAINER = {
    "clone": Command(
        "container_clone",
        "CONTAINER [NAME [IMAGE]]",
        "Create a container like another one",
        CLONE,
        ("pyman container clone web", "pyman container clone --memory 1g --destroy web web2"),
        most=3,
    ),
    "create": Command(
        "create",
        "IMAGE [COMMAND [ARG...]]",
        "Create a container without starting it",
        CREATE + INIT_CTR,
        ("pyman create --name web -p 8080:80 nginx",),
        stop=True,
    ),
    "run": Command(
        "run",
        "IMAGE [COMMAND [ARG...]]",
        "Create and start a container",
        RUN,
        ("pyman run --rm -it debian bash", "pyman run -d --name web -p 8080:80 nginx", "pyman run --rm -v .:/work -w /work gcc make"),
        stop=True,
        starts=True,
    ),
    "update": Command(
        "update",
        "CONTAINER",
        "Change limits, restart policy, health checks and environment of a container",
        UPDATE,
        ("pyman update --memory 512m --cpus 2 web", "pyman update --restart always web"),
        most=1,
    ),
}
COMMANDS = {(name,): command for name, command in CONTAINER.items() if name != "clone"}
ALIASES: dict[tuple[str, ...], tuple[str, ...]] = {}
