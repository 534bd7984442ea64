"""The commands that work with containers. Data only."""

from __future__ import annotations

from pyman.cli.table import Command
from pyman.cli.tables.create import CREATE, HEALTH, INIT_CTR, RUN

START = """
all bool Start all containers
attach,a bool Attach to stdout and stderr
detach-keys str Keys that detach from the container
filter,f list Containers that match, for instance name=web
interactive,i bool Attach stdin too
latest,l bool The newest container
sig-proxy bool=true Pass signals on to the container
"""
STOP = """
all,a bool All containers
cidfile list Read the id from this file
filter,f list Containers that match, for instance name=web
ignore,i bool No error for containers that do not exist
latest,l bool The newest container
service bool Stop for a shutdown: a restart policy starts the container again at the next boot
stop-smart bool Do not wait for a process that has no handler for the stop signal: kill it at once
time,t int Seconds until SIGKILL
"""
KILL = """
all,a bool All containers
cidfile list Read the id from this file
latest,l bool The newest container
signal,s str=KILL Signal to send
"""
RM = """
all,a bool All containers
cidfile list Read the id from this file
filter list Containers that match, for instance name=web
ignore,i bool No error for containers that do not exist
latest,l bool The newest container
depend bool Remove the containers that need it too
force,f bool Stop a running container first
time,t int Seconds until SIGKILL
volumes,v bool Remove its anonymous volumes too
"""
WAIT = """
condition list State to wait for (stopped)
exit-first-match bool End when the first container meets the condition
ignore bool Print -1 for containers that do not exist
interval,i str=250ms Time between two looks
latest,l bool The newest container
return-on-first bool The same as --exit-first-match
"""
EXEC = """
cidfile str Read the container's id from this file
detach,d bool Run in the background
detach-keys str Keys that detach
env,e list Set an environment variable
env-file list Read environment variables from a file
interactive,i bool Keep stdin open
latest,l bool The newest container
no-session bool Keep no session that inspect lists
wait int=0 Seconds to wait for a container that does not run yet
preserve-fd list Pass these file descriptors, for example 3,7
preserve-fds uint Pass this many descriptors, from 3 on
privileged bool All capabilities of the user namespace
tty,t bool Allocate a terminal
user,u str User[:group], by name or number
workdir,w str Working directory
"""
LOGS = """
color bool Each container's lines in another colour
follow,f bool Go on with new lines until the container ends
latest,l bool The newest container
names,n bool Of several containers, print the names before the lines instead of the ids
raw bool On a terminal, pass control sequences on as they are
since str Lines since a time (2026-01-31T12:00:00) or a duration (10m)
tail str Number of last lines
timestamps,t bool Print the time of each line
until str Lines until a time or a duration; with --follow, for how long
"""
ATTACH = """
detach-keys str Keys that detach
latest,l bool The newest container
no-stdin bool Do not attach stdin
sig-proxy bool=true Pass signals on
"""
PS = """
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
"""
PORT = """
all,a bool All running containers
latest,l bool The newest container
"""
INSPECT = """
format,f str json or a Go template
latest,l bool The newest container
size,s bool Add SizeRw and SizeRootFs
type,t str=all artifact, container, image, network, volume or all
"""
CONTAINER_INSPECT = """
format,f str json or a Go template
latest,l bool The newest container
size,s bool Add SizeRw and SizeRootFs
"""
COMMIT = """
author,a str Author of the image
change,c list Instruction to apply: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR
config str File with a configuration in JSON to merge in
format,f str=oci Format of manifest and configuration: oci or docker
iidfile str Write the image's id to this file
include-volumes bool Name the container's volumes in the image's configuration
message,m str Commit message (docker format only)
pause,p bool Pause the container meanwhile
quiet,q bool Print the id only
squash,s bool One layer with everything instead of a further one
"""
RESTART = """
all,a bool All containers, whatever their state
cidfile list Read the id from this file
filter,f list Containers that match, for instance name=web
latest,l bool The newest container
running bool All containers that run
time,t int Seconds until SIGKILL
"""
INIT = """
all,a bool All containers that are not initialized yet
latest,l bool The newest container
"""
PRUNE = """
filter list Containers that match: label=x, label!=x, until=24h
force,f bool Do not ask
"""
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
name str Name of the clone (ORIGINAL-clone)
pod str Pod to make the clone in !! pods are not part of this release
run bool Start the clone
"""
MOUNT = """
all,a bool All containers
format str json
latest,l bool The newest container
no-trunc bool Do not shorten ids
"""
UNMOUNT = """
all,a bool All containers that are mounted here
force,f bool Unmount even if something is in use there
latest,l bool The newest container
"""
CHECKPOINT = """
all,a bool All running containers
compress,c str=zstd Compression of the archive: zstd, none, gzip
create-image str Make an image of the checkpoint
export,e str Write the checkpoint to this archive
file-locks bool Keep file locks
ignore-rootfs bool Leave the container's files out of the archive
ignore-volumes bool Leave its volumes out of the archive
keep,k bool Keep the log of the checkpoint
latest,l bool The newest container
leave-running,R bool Let the container go on
pre-checkpoint,P bool Only its memory, while it goes on
print-stats bool Print how long each part took
tcp-established bool Keep established TCP connections
with-previous bool Add to an earlier --pre-checkpoint
"""
RESTORE = """
all,a bool All checkpointed containers
file-locks bool Restore file locks
ignore-rootfs bool Leave the files of the archive out
ignore-static-ip bool Take any IP address
ignore-static-mac bool Take any MAC address
ignore-volumes bool Leave the volumes of the archive out
import,i str Take the checkpoint from this archive
import-previous str Archive of an earlier --pre-checkpoint
keep,k bool Keep the log and the checkpoint
latest,l bool The newest container
name,n str Name of the restored container
pod str Pod to restore it in
print-stats bool Print how long each part took
publish,p list Publish these ports instead
tcp-close bool Close its TCP connections
tcp-established bool Restore established TCP connections
"""
PAUSE = """
all,a bool All containers
cidfile list Read the id from this file
filter,f list Containers that match, for instance name=web
latest,l bool The newest container
"""
CP = """
archive,a bool=true Files get the container's primary user as their owner; false: they keep the owners they have
extract bool Accepted for old scripts' sake
overwrite bool Replace directories by files and files by directories
pause bool=true Accepted for old scripts' sake: nothing is paused
"""
DIFF = """
format str json
latest,l bool The newest container
"""
EXPORT = """
output,o str Write to this file instead of stdout
"""
EXISTS = """
external bool Containers of other tools count too (the store holds none)
"""
CLEANUP = """
all,a bool All containers
exec str Clean up after this exec session of the container
exit-code int=0 Exit with this code, which the container has ended with
latest,l bool The newest container
restart bool Start it again, as the monitor does by the restart policy
rm bool Remove it if it has ended
rmi bool Remove its image too
stopped-only bool Accepted: a running container is never cleaned up
"""
STATS = """
all,a bool Containers that do not run too
format str json, table TEMPLATE or a Go template
interval,i int=5 Seconds between two looks
latest,l bool The newest container
no-reset bool Do not clear the screen before each look
no-stream bool Look once
no-trunc bool Do not shorten ids
"""
TOP = """
latest,l bool The newest container
list-descriptors bool Print the format descriptors
"""
WHY = """
format str=text text or json
latest,l bool The newest container
"""
UPDATE = f"""
blkio-weight str Weight of the container's block I/O: 10 to 1000
blkio-weight-device list Weight for one device: PATH:WEIGHT
cgroup-conf list Write a file of the control group: memory.high=1073741824
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
ulimit list Set a limit for later starts: NAME=SOFT[:HARD]
unsetenv list Remove an environment variable
"""
RUNLABEL = """
authfile str File with the registry credentials
cert-dir str Directory with the registry's certificates
creds str USER[:PASSWORD] for the registry
display bool Print the command instead of running it
name,n str What NAME stands for in the command (the image's name)
quiet,q bool Print nothing, neither of a pull nor of the command
replace bool Remove a container of the same name first
tls-verify bool=true Require a verified TLS connection to the registry
"""
_C = Command
_CONTAINER = {
    "attach": _C("attach", "CONTAINER", "Attach to a running container", ATTACH, ("pyman attach web",), most=1),
    "checkpoint": _C(
        "container_checkpoint",
        "CONTAINER...",
        "Write the state of running containers to disk",
        CHECKPOINT,
        ("pyman container checkpoint web",),
    ),
    "cleanup": _C(
        "container_cleanup",
        "CONTAINER...",
        "Take away what ended containers have left",
        CLEANUP,
        ("pyman container cleanup web", "pyman container cleanup --rm --all"),
    ),
    "clone": _C(
        "container_clone",
        "CONTAINER [NAME [IMAGE]]",
        "Create a container like another one",
        CLONE,
        ("pyman container clone web", "pyman container clone --memory 1g --destroy web web2"),
        most=3,
    ),
    "commit": _C(
        "commit",
        "CONTAINER [IMAGE]",
        "Make an image of a container",
        COMMIT,
        ("pyman commit web localhost/web", "pyman commit -q --change 'CMD [\"sh\"]' --change 'ENV A=1' web"),
        most=2,
    ),
    "cp": _C(
        "cp",
        "[CONTAINER:]SOURCE [CONTAINER:]DESTINATION",
        "Copy files between containers and the host",
        CP,
        ("pyman cp web:/etc/nginx .", "pyman cp site/. web:/srv", "tar c site | pyman cp - web:/srv"),
    ),
    "create": _C(
        "create",
        "IMAGE [COMMAND [ARG...]]",
        "Create a container without starting it",
        CREATE + INIT_CTR,
        ("pyman create --name web -p 8080:80 nginx",),
        stop=True,
    ),
    "diff": _C(
        "container_diff",
        "CONTAINER [CONTAINER|IMAGE]",
        "Show what has changed in a container since its image",
        DIFF,
        ("pyman container diff web",),
        most=2,
    ),
    "exec": _C(
        "exec",
        "CONTAINER COMMAND [ARG...]",
        "Run a command in a running container",
        EXEC,
        ("pyman exec -it web sh", "pyman exec -e LANG=C web env"),
        stop=True,
        enters=True,
    ),
    "exists": _C(
        "container_exists",
        "CONTAINER",
        "Exit with 0 if the container exists, else with 1",
        EXISTS,
        ("pyman container exists web",),
        most=1,
    ),
    "export": _C(
        "export",
        "CONTAINER",
        "Write the files of a container as an archive",
        EXPORT,
        ("pyman export web > web.tar", "pyman export -o web.tar web"),
        most=1,
    ),
    "inspect": _C(
        "container_inspect", "CONTAINER...", "Show everything about containers", CONTAINER_INSPECT, ("pyman container inspect web",)
    ),
    "init": _C("init", "CONTAINER...", "Make containers ready to start", INIT, ("pyman init web",), starts=True),
    "kill": _C("kill", "CONTAINER...", "Send a signal to containers", KILL, ("pyman kill -s HUP web",)),
    "logs": _C("logs", "CONTAINER...", "Show what a container wrote", LOGS, ("pyman logs -f web", "pyman logs --since 10m --tail 100 web")),
    "mount": _C(
        "mount",
        "[CONTAINER...]",
        "Mount the files of containers inside `pyman unshare`, or list what is mounted",
        MOUNT,
        ("pyman unshare sh -c 'ls $(pyman mount web)'",),
    ),
    "pause": _C("pause", "CONTAINER...", "Freeze all processes of containers", PAUSE, ("pyman pause web", "pyman pause --all")),
    "port": _C(
        "port",
        "[CONTAINER] [PORT[/PROTOCOL]]",
        "Show which ports of the host lead into a container",
        PORT,
        ("pyman port web", "pyman port web 80/tcp"),
        most=2,
    ),
    "prune": _C("container_prune", "", "Remove all containers that do not run", PRUNE, ("pyman container prune --force",), most=0),
    "ps": _C("ps", "", "List containers", PS, ("pyman ps -a", "pyman ps --filter status=exited --format '{{.Names}}'"), most=0),
    "rename": _C("rename", "CONTAINER NAME", "Give a container another name", "", ("pyman rename web old-web",), most=2),
    "restart": _C(
        "restart",
        "CONTAINER...",
        "Stop containers and start them again",
        RESTART,
        ("pyman restart web", "pyman restart --running"),
        starts=True,
    ),
    "restore": _C("container_restore", "CONTAINER...", "Let checkpointed containers go on", RESTORE, ("pyman container restore web",)),
    "rm": _C("rm", "CONTAINER...", "Remove containers", RM, ("pyman rm web", "pyman rm -f --all")),
    "run": _C(
        "run",
        "IMAGE [COMMAND [ARG...]]",
        "Create and start a container",
        RUN,
        ("pyman run --rm -it debian bash", "pyman run -d --name web -p 8080:80 nginx", "pyman run --rm -v .:/work -w /work gcc make"),
        stop=True,
        starts=True,
    ),
    "runlabel": _C(
        "container_runlabel",
        "LABEL IMAGE [ARG...]",
        "Run the pyman command that a label of an image holds",
        RUNLABEL,
        ("pyman container runlabel --display run localhost/web", "pyman container runlabel --name web run localhost/web"),
        stop=True,
    ),
    "start": _C("start", "CONTAINER...", "Start containers", START, ("pyman start web", "pyman start -a job"), starts=True),
    "stats": _C(
        "stats",
        "[CONTAINER...]",
        "Show what containers use of processor, memory, network and disk",
        STATS,
        ("pyman stats", "pyman stats --no-stream --format 'table {{.Name}} {{.CPUPerc}} {{.MemUsage}}'"),
    ),
    "stop": _C("stop", "CONTAINER...", "Stop containers", STOP, ("pyman stop web", "pyman stop -t 2 --all")),
    "top": _C(
        "top",
        "CONTAINER [DESCRIPTOR...]",
        "Show the processes of a container, by format descriptors or arguments of ps",
        TOP,
        ("pyman top web", "pyman top web pid,user,hpid,args", "pyman top web -o pid,pcpu,args --sort=-pcpu"),
        stop=True,
    ),
    "why": _C(
        "why",
        "CONTAINER...",
        "Tell why a container stopped, and what proves it",
        WHY,
        ("pyman why web", "pyman why --format json --latest"),
    ),
    "unmount": _C("unmount", "CONTAINER...", "Unmount the files of containers", UNMOUNT, ("pyman unmount web",)),
    "unpause": _C("unpause", "CONTAINER...", "Let paused containers go on", PAUSE, ("pyman unpause web",)),
    "update": _C(
        "update",
        "CONTAINER",
        "Change limits, restart policy, health checks and environment of a container",
        UPDATE,
        ("pyman update --memory 512m --cpus 2 web", "pyman update --restart always web"),
        most=1,
    ),
    "wait": _C("wait", "CONTAINER...", "Wait for containers and print their exit codes", WAIT, ("pyman wait job",)),
}
COMMANDS: dict[tuple[str, ...], Command] = {
    **{("container", name): command for name, command in _CONTAINER.items()},
    **{
        (name,): command
        for name, command in _CONTAINER.items()
        if name not in ("checkpoint", "cleanup", "clone", "diff", "exists", "prune", "restore", "runlabel")
    },
    ("diff",): _C(
        "diff",
        "CONTAINER|IMAGE [CONTAINER|IMAGE]",
        "Show what has changed in a container or image since the layer below",
        DIFF,
        ("pyman diff web", "pyman diff --format json web debian"),
        most=2,
    ),
    ("inspect",): _C(
        "inspect",
        "NAME...",
        "Show everything about containers, images, volumes, networks and artifacts",
        INSPECT,
        ("pyman inspect web --format '{{.State.Status}}'",),
    ),
}
ALIASES = {
    ("container", "remove"): ("rm",),
    ("container", "umount"): ("unmount",),
    ("umount",): ("unmount",),
    **dict.fromkeys((("list",), ("ls",), ("container", "ls"), ("container", "list")), ("ps",)),
}
