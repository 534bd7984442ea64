"""Commands and their options as data: where each command is declared, and the form of an option's line. CLI process.

The declarations lie in cli/tables/, one module per group of commands; a command line loads only the one it needs, and
reads only its own options.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    Row = tuple[str, str, str, object, str, str]


def rows(text: str) -> list[Row]:
    """Option rows (long name, short letter, kind, default, help, reason of refusal), one per line of `text`:

    `name[,x] kind[=default] help [!! reason of refusal]`. Kinds: bool, str, int, uint (not below 0), float, list (repeatable),
    commas (a list whose values are separated by commas, too). A row with a
    reason is known, and using it is an error with that reason: nothing is silently ignored. A reason that begins with
    (a|b) accepts these values, which ask for nothing.
    """
    found: list[Row] = []
    for line in text.split("\n"):
        if not line:
            continue
        head, _, reason = line.partition(" !! ")
        names, kind, help_text = head.split(" ", 2)
        name, _, short = names.partition(",")
        kind, _, default = kind.partition("=")
        value: object = {"bool": default == "true", "list": [], "commas": []}.get(kind, default)
        if kind in ("int", "uint", "float"):
            value = None if not default else int(default)
        found.append((name, short, kind, value, help_text.strip(), reason.strip()))
    return found


class Command:
    """One command. `stop`: options end at the first positional (what follows belongs to the container); `starts`: it
    starts one; `enters`: its processes enter one; `most`: positionals at most, -1 for any number."""

    __slots__ = ("_rows", "arguments", "enters", "examples", "hidden", "module", "most", "options", "starts", "stop", "summary")

    def __init__(
        self,
        module: str,
        arguments: str,
        summary: str,
        options: str,
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
        self.options = options
        self.examples = examples
        self.stop = stop
        self.starts = starts
        self.enters = enters or starts
        self.hidden = hidden
        self.most = most
        self._rows: list[Row] | None = None

    @property
    def rows(self) -> list[Row]:
        """Its options."""
        if self._rows is None:
            self._rows = rows(self.options)
        return self._rows


# First words that have commands of their own below them: (module in cli/tables, help).
GROUPS = {
    "container": ("containers", "Work with containers"),
    "healthcheck": ("health", "Check the health of containers"),
    "artifact": ("artifacts", "Work with artifacts"),
    "image": ("images", "Work with images"),
    "manifest": ("manifests", "Work with lists of images"),
    "system": ("system", "Work with pyman itself"),
    "network": ("networks", "Work with networks"),
    "generate": ("generate", "Make files from what there is"),
    "quadlet": ("quadlets", "Work with Quadlet files (units of systemd)"),
    "secret": ("secrets", "Work with secrets"),
    "volume": ("volumes", "Work with volumes"),
}
# Every other first word, by the module that declares it.
VERBS = {
    "generate": "auto-update",
    "create": "create run update",
    "container_life": "attach exec init kill pause rename restart rm start stop unpause wait",
    "container_view": "inspect list logs ls port ps stats top why",
    "container_files": "commit cp diff export mount umount unmount",
    "images": "history images import load pull push rmi save tag untag",
    "registries": "login logout search",
    "system": "__complete completion doctor events help info unshare version",
}


def home(word: str) -> str:
    """The module in cli/tables that declares the commands beginning with `word`; empty if there is none."""
    if word in GROUPS:
        return GROUPS[word][0]
    for module, verbs in VERBS.items():
        if word in verbs.split(" "):
            return module
    return ""


def find(path: tuple[str, ...]) -> tuple[tuple[str, ...], Command | None]:
    """The command that `path` (one or two words) names, with its own name where `path` is another spelling of it."""
    module = home(path[0])
    if not module:
        return path, None
    table = __import__(f"pyman.cli.tables.{module}", fromlist=["COMMANDS"])
    meant = table.ALIASES.get(path)
    return find(meant) if meant else (path, table.COMMANDS.get(path))


def _modules() -> list[str]:
    return sorted({*VERBS, *(module for module, _ in GROUPS.values())})


def everything() -> dict[tuple[str, ...], Command]:
    """All commands of all groups, for help, completion and documentation."""
    found: dict[tuple[str, ...], Command] = {}
    for module in _modules():
        found.update(__import__(f"pyman.cli.tables.{module}", fromlist=["COMMANDS"]).COMMANDS)
    return found


def aliases() -> dict[tuple[str, ...], tuple[str, ...]]:
    """Other spellings of commands: written -> meant."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for module in _modules():
        found.update(__import__(f"pyman.cli.tables.{module}", fromlist=["ALIASES"]).ALIASES)
    return found


def all_names() -> set[tuple[str, ...]]:
    """All names of all commands, with their other spellings."""
    found = set(everything())
    for module in _modules():
        found.update(__import__(f"pyman.cli.tables.{module}", fromlist=["ALIASES"]).ALIASES)
    return found
