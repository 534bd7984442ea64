"""Every command: module, arguments, summary, options, examples. Data only; importing it imports no command."""

from __future__ import annotations

from pyman.cli import options as o

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pyman.cli.options import Row


class Command:
    """One command. `stop`: options end at the first positional (what follows belongs to the container); `starts`: it
    starts one; `enters`: its processes enter one."""

    __slots__ = ("arguments", "enters", "examples", "hidden", "module", "most", "rows", "starts", "stop", "summary")

    def __init__(
        self,
        module: str,
        arguments: str,
        summary: str,
        rows: list[Row],
        examples: tuple[str, ...] = (),
        *,
        stop: bool = False,
        starts: bool = False,
        enters: bool = False,
        hidden: bool = False,
        most: int = -1,
    ) -> None:
        self.module = module
        self.arguments = arguments
        self.summary = summary
        self.rows = rows
        self.examples = examples
        self.stop = stop
        self.starts = starts
        self.enters = enters or starts
        self.hidden = hidden
        self.most = most  # positionals at most; -1: any number


_C = Command
_CONTAINER = {
    "attach": _C("attach", "CONTAINER", "Attach to a running container", o.ATTACH, ("pyman attach web",), most=1),
    "cleanup": _C("container_cleanup", "CONTAINER...", "Sync containers after their end", o.CLEANUP, hidden=True),
    "create": _C(
        "create",
        "IMAGE [COMMAND [ARG...]]",
        "Create a container without starting it",
        o.CREATE,
        ("pyman create --name web -p 8080:80 nginx",),
        stop=True,
    ),
    "exec": _C(
        "exec",
        "CONTAINER COMMAND [ARG...]",
        "Run a command in a running container",
        o.EXEC,
        ("pyman exec -it web sh", "pyman exec -e LANG=C web env"),
        stop=True,
        enters=True,
    ),
    "exists": _C(
        "container_exists",
        "CONTAINER",
        "Exit with 0 if the container exists, else with 1",
        o.EXISTS,
        ("pyman container exists web",),
        most=1,
    ),
    "inspect": _C(
        "container_inspect", "CONTAINER...", "Show everything about containers", o.CONTAINER_INSPECT, ("pyman container inspect web",)
    ),
    "kill": _C("kill", "CONTAINER...", "Send a signal to containers", o.KILL, ("pyman kill -s HUP web",)),
    "logs": _C(
        "logs", "CONTAINER...", "Show what a container wrote", o.LOGS, ("pyman logs -f web", "pyman logs --since 10m --tail 100 web")
    ),
    "port": _C(
        "port",
        "[CONTAINER] [PORT[/PROTOCOL]]",
        "Show which ports of the host lead into a container",
        o.PORT,
        ("pyman port web", "pyman port web 80/tcp"),
        most=2,
    ),
    "ps": _C("ps", "", "List containers", o.PS, ("pyman ps -a", "pyman ps --filter status=exited --format '{{.Names}}'"), most=0),
    "rename": _C("rename", "CONTAINER NAME", "Give a container another name", [], ("pyman rename web old-web",), most=2),
    "rm": _C("rm", "CONTAINER...", "Remove containers", o.RM, ("pyman rm web", "pyman rm -f --all")),
    "run": _C(
        "run",
        "IMAGE [COMMAND [ARG...]]",
        "Create and start a container",
        o.RUN,
        ("pyman run --rm -it debian bash", "pyman run -d --name web -p 8080:80 nginx", "pyman run --rm -v .:/work -w /work gcc make"),
        stop=True,
        starts=True,
    ),
    "start": _C("start", "CONTAINER...", "Start containers", o.START, ("pyman start web", "pyman start -a job"), starts=True),
    "stop": _C("stop", "CONTAINER...", "Stop containers", o.STOP, ("pyman stop web", "pyman stop -t 2 --all")),
    "wait": _C("wait", "CONTAINER...", "Wait for containers and print their exit codes", o.WAIT, ("pyman wait job",)),
}
_IMAGE = {
    "exists": _C("image_exists", "IMAGE", "Exit with 0 if the image exists, else with 1", [], ("pyman image exists debian",), most=1),
    "inspect": _C("image_inspect", "IMAGE...", "Show everything about images", o.IMAGE_INSPECT, ("pyman image inspect debian",)),
    "ls": _C("images", "[IMAGE]", "List images", o.IMAGES, ("pyman images", "pyman images --format '{{.Repository}}:{{.Tag}}'"), most=1),
    "prune": _C("image_prune", "", "Remove images without a name, or all unused ones", o.IMAGE_PRUNE, ("pyman image prune -af",), most=0),
    "pull": _C(
        "pull",
        "IMAGE...",
        "Pull images from a registry, a directory or an archive",
        o.PULL,
        ("pyman pull debian:13", "pyman pull oci:./layout:latest"),
    ),
    "rm": _C("rmi", "IMAGE...", "Remove images", o.RMI, ("pyman rmi debian:12",)),
    "tag": _C("tag", "IMAGE NAME...", "Give an image further names", [], ("pyman tag debian:13 localhost/base",)),
    "untag": _C("untag", "IMAGE [NAME...]", "Take names from an image", [], ("pyman untag localhost/base",)),
}
COMMANDS: dict[tuple[str, ...], Command] = {
    **{("container", name): command for name, command in _CONTAINER.items()},
    **{(name,): command for name, command in _CONTAINER.items() if name not in ("cleanup", "exists")},
    **{("image", name): command for name, command in _IMAGE.items()},
    **{(name,): _IMAGE[name] for name in ("pull", "tag", "untag")},
    ("images",): _IMAGE["ls"],
    ("rmi",): _IMAGE["rm"],
    ("completion",): _C(
        "completion",
        "bash|zsh|fish",
        "Print the completion script for a shell",
        [],
        ("pyman completion bash > ~/.local/share/bash-completion/completions/pyman",),
        most=1,
    ),
    ("__complete",): _C("complete", "[WORD...]", "Candidates for the last word", [], hidden=True, stop=True),
    ("doctor",): _C(
        "doctor",
        "",
        "Try everything that a start needs, and say what to mend",
        o.DOCTOR,
        ("pyman doctor", "pyman doctor --format json"),
        most=0,
    ),
    ("info",): _C(
        "info",
        "",
        "Show the machine, the store and the programs in use",
        o.INFO,
        ("pyman info", "pyman info --format '{{.store.graphDriverName}}'"),
        most=0,
    ),
    ("unshare",): _C(
        "unshare", "[COMMAND [ARG...]]", "Run a command in the user namespace", o.UNSHARE, ("pyman unshare ls -ln ~/data",), stop=True
    ),
    ("version",): _C("version", "", "Show the version", o.FORMAT, ("pyman version",), most=0),
}
COMMANDS[("inspect",)] = _C(
    "inspect", "NAME...", "Show everything about containers or images", o.INSPECT, ("pyman inspect web --format '{{.State.Status}}'",)
)
ALIASES = {
    ("container", "ls"): ("ps",),
    ("container", "list"): ("ps",),
    ("ls",): ("ps",),
    ("list",): ("ps",),
    ("image", "list"): ("images",),
    ("image", "remove"): ("rmi",),
    ("container", "remove"): ("rm",),
}
GROUPS = {"container": "Work with containers", "image": "Work with images"}
