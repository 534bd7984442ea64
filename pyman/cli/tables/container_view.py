"""What is to be seen of containers: lists, logs, processes, reasons. Data only."""

from __future__ import annotations

from pyman.cli.table import Command

LOGS = """
color bool Each container's lines in another colour
details bool What the log drivers here know beside a line: nothing
follow,f bool Go on with new lines until the container ends
latest,l bool The newest container
names,n bool Of several containers, print the names before the lines instead of the ids
raw bool On a terminal, pass control sequences on as they are
since str Lines since a time (2026-01-31T12:00:00) or a duration (10m)
tail str Number of last lines
timestamps,t bool Print the time of each line
until str Lines until a time or a duration; with --follow, for how long
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
CONTAINER_INSPECT = """
format,f str json or a Go template
latest,l bool The newest container
size,s bool Add SizeRw and SizeRootFs
"""
EXISTS = """
external bool Containers of other tools count too (the store holds none)
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
INSPECT = """
format,f str json or a Go template
latest,l bool The newest container
size,s bool Add SizeRw and SizeRootFs
type,t str=all artifact, container, image, network, volume or all
"""
CONTAINER = {
    "exists": Command(
        "container_exists",
        "CONTAINER",
        "Exit with 0 if the container exists, else with 1",
        EXISTS,
        ("pyman container exists web",),
        most=1,
    ),
    "inspect": Command(
        "container_inspect", "CONTAINER...", "Show everything about containers", CONTAINER_INSPECT, ("pyman container inspect web",)
    ),
    "logs": Command(
        "logs", "CONTAINER...", "Show what a container wrote", LOGS, ("pyman logs -f web", "pyman logs --since 10m --tail 100 web")
    ),
    "port": Command(
        "port",
        "[CONTAINER] [PORT[/PROTOCOL]]",
        "Show which ports of the host lead into a container",
        PORT,
        ("pyman port web", "pyman port web 80/tcp"),
        most=2,
    ),
    "ps": Command("ps", "", "List containers", PS, ("pyman ps -a", "pyman ps --filter status=exited --format '{{.Names}}'"), most=0),
    "stats": Command(
        "stats",
        "[CONTAINER...]",
        "Show what containers use of processor, memory, network and disk",
        STATS,
        ("pyman stats", "pyman stats --no-stream --format 'table {{.Name}} {{.CPUPerc}} {{.MemUsage}}'"),
    ),
    "top": Command(
        "top",
        "CONTAINER [DESCRIPTOR...]",
        "Show the processes of a container, by format descriptors or arguments of ps",
        TOP,
        ("pyman top web", "pyman top web pid,user,hpid,args", "pyman top web -o pid,pcpu,args --sort=-pcpu"),
        stop=True,
    ),
    "why": Command(
        "why",
        "CONTAINER...",
        "Tell why a container stopped, and what proves it",
        WHY,
        ("pyman why web", "pyman why --format json --latest"),
    ),
}
COMMANDS = {
    **{(name,): command for name, command in CONTAINER.items() if name != "exists"},
    ("inspect",): Command(
        "inspect",
        "NAME...",
        "Show everything about containers, images, volumes, networks and artifacts",
        INSPECT,
        ("pyman inspect web --format '{{.State.Status}}'",),
    ),
}
ALIASES = dict.fromkeys((("list",), ("ls",)), ("ps",))
