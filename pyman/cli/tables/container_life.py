"""Containers from their start to their end, and what is run in them. Data only."""

from __future__ import annotations

from pyman.cli.table import Command

START = """
all bool Start all containers
attach,a bool Attach to stdout and stderr
detach-keys str Keys that detach from the container
filter,f list Containers that match, for instance name=web
interactive,i bool Accepted; --attach attaches the stdin of a container that was made with --interactive
latest,l bool The newest container
sig-proxy bool=true With --attach, pass signals on to the container
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
condition commas State to wait for (stopped)
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
ATTACH = """
detach-keys str Keys that detach
latest,l bool The newest container
no-stdin bool Do not attach stdin
sig-proxy bool=true Pass signals on
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
RUNLABEL = """
authfile str File with the registry credentials
cert-dir str Directory with the registry's certificates
creds str USER[:PASSWORD] for the registry
display bool Print the command instead of running it
name,n str What NAME stands for in the command (the image's name)
quiet,q bool Print nothing, neither of a pull nor of the command
replace bool Remove a container of the same name first
signature-policy str Policy file instead of policy.json
tls-verify bool=true Require a verified TLS connection to the registry
"""
CONTAINER = {
    "attach": Command("attach", "CONTAINER", "Attach to a running container", ATTACH, ("pyman attach web",), most=1),
    "checkpoint": Command(
        "container_checkpoint",
        "CONTAINER...",
        "Write the state of running containers to disk",
        CHECKPOINT,
        ("pyman container checkpoint web",),
    ),
    "cleanup": Command(
        "container_cleanup",
        "CONTAINER...",
        "Take away what ended containers have left",
        CLEANUP,
        ("pyman container cleanup web", "pyman container cleanup --rm --all"),
        enters=True,
    ),
    "exec": Command(
        "exec",
        "CONTAINER COMMAND [ARG...]",
        "Run a command in a running container",
        EXEC,
        ("pyman exec -it web sh", "pyman exec -e LANG=C web env"),
        stop=True,
        enters=True,
    ),
    "init": Command("init", "CONTAINER...", "Make containers ready to start", INIT, ("pyman init web",), starts=True),
    "kill": Command("kill", "CONTAINER...", "Send a signal to containers", KILL, ("pyman kill -s HUP web",)),
    "pause": Command("pause", "CONTAINER...", "Freeze all processes of containers", PAUSE, ("pyman pause web", "pyman pause --all")),
    "prune": Command("container_prune", "", "Remove all containers that do not run", PRUNE, ("pyman container prune --force",), most=0),
    "rename": Command("rename", "CONTAINER NAME", "Give a container another name", "", ("pyman rename web old-web",), most=2),
    "restart": Command(
        "restart",
        "CONTAINER...",
        "Stop containers and start them again",
        RESTART,
        ("pyman restart web", "pyman restart --running"),
        starts=True,
    ),
    "restore": Command("container_restore", "CONTAINER...", "Let checkpointed containers go on", RESTORE, ("pyman container restore web",)),
    "rm": Command("rm", "CONTAINER...", "Remove containers", RM, ("pyman rm web", "pyman rm -f --all")),
    "runlabel": Command(
        "container_runlabel",
        "LABEL IMAGE [ARG...]",
        "Run the pyman command that a label of an image holds",
        RUNLABEL,
        ("pyman container runlabel --display run localhost/web", "pyman container runlabel --name web run localhost/web"),
        stop=True,
    ),
    "start": Command("start", "CONTAINER...", "Start containers", START, ("pyman start web", "pyman start -a job"), starts=True),
    "stop": Command("stop", "CONTAINER...", "Stop containers", STOP, ("pyman stop web", "pyman stop -t 2 --all")),
    "unpause": Command("unpause", "CONTAINER...", "Let paused containers go on", PAUSE, ("pyman unpause web",)),
    "wait": Command("wait", "CONTAINER...", "Wait for containers and print their exit codes", WAIT, ("pyman wait job",)),
}
COMMANDS = {
    **{(name,): command for name, command in CONTAINER.items() if name not in ("checkpoint", "cleanup", "prune", "restore", "runlabel")},
}
ALIASES: dict[tuple[str, ...], tuple[str, ...]] = {}
