"""What a start needs, decided by the CLI process and carried out by C (engine/launch.py)."""

from __future__ import annotations

import os

from pyman.errors import UsageError
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.engine.container import Container
    from pyman.network.setup import NetSetup
    from pyman.state.lock import Lock


PRIVATE_MODES = ("pasta", "slirp4netns", "none", "host", "container", "ns", "pod", "private", "default", "")


WITH_PORTS = ("pasta", "slirp4netns", "bridge", "")


class VolumeStore:
    """Named and anonymous volumes that a container's mounts ask for.

    used: destination -> name; anonymous: the names of those that end with the container; mounted: records of volumes that
    are file systems of their own. options: name -> those that a volume is made with. make: missing volumes are made; without it names are
    chosen only.
    """

    __slots__ = ("anonymous", "make", "mounted", "options", "used")

    def __init__(self, state: dict[str, Any], make: bool = True) -> None:
        self.anonymous: list[str] = list(state.get("anonymous_volumes") or [])
        self.used: dict[str, str] = dict(state.get("volume_at") or {})
        self.mounted: list[dict[str, Any]] = []
        self.options: dict[str, list[str]] = {}
        self.make = make

    def __call__(
        self, name: str, destination: str = "", anonymous: bool = False, create_missing: bool = True, opts: list[str] | None = None
    ) -> str:
        """Path of the volume's data. The same anonymous volume for the same destination at each start."""
        from pyman.engine import volumes as volume_store  # with volumes only

        if anonymous or not name:
            name = self.used.get(destination) or os.urandom(32).hex()
            if name not in self.anonymous:
                self.anonymous.append(name)
        self.used[destination] = name
        if opts:
            self.options[name] = opts
        if self.make:
            record = volume_store.ensure(name, anonymous=name in self.anonymous, create_missing=create_missing, opts=opts)
            if record["options"].get("type") or "device" in record["options"] or record["driver"] != "local":
                self.mounted.append(record)
        else:
            volume_store.check_name(name)
            if opts and not volume_store.exists(name):
                from pyman.engine import volume_create  # with options only

                volume_create.parsed(name, opts)
            if not create_missing and not volume_store.exists(name):
                volume_store.get(name)
        return volume_store.data_path(name)


class Plan:
    """Everything C needs. Descriptors are -1 where there is none."""

    __slots__ = (
        "attach_fd",
        "attachments",
        "bpf",
        "cgroup",
        "channel_fd",
        "cleanup",
        "conf",
        "container",
        "ctx",
        "driver",
        "gate",
        "health",
        "idmap",
        "interactive",
        "joined",
        "joined_maps",
        "journal",
        "life_fd",
        "locks",
        "neighbour",
        "net",
        "netns_fd",
        "network_mode",
        "notice",
        "notify_fd",
        "notify_listen",
        "notify_mode",
        "opts",
        "pins",
        "ports",
        "preserve",
        "report_fd",
        "restart_wait",
        "restarts",
        "rootfs",
        "secret_env",
        "secrets",
        "shm_owner",
        "spec",
        "terminal",
        "userns_fd",
        "volumes",
        "warnings",
        "watchdog",
    )

    container: Container
    ctx: Any
    driver: Any
    idmap: Any
    spec: dict[str, Any]
    volumes: VolumeStore

    def __init__(self) -> None:
        self.bpf: bytes | None = None
        self.cgroup = ""
        self.notify_fd = self.notify_listen = -1  # connected to the service manager; bound, for the container
        self.notify_mode = ""
        self.watchdog = 0  # microseconds
        self.attach_fd = self.netns_fd = self.report_fd = self.userns_fd = self.shm_owner = -1
        self.channel_fd = self.life_fd = -1  # on bridges: to the process that attaches the container, and the keeper's pipe
        self.attachments: list[dict[str, Any]] = []
        self.cleanup: list[str] = []
        self.conf: dict[str, Any] = {}
        self.opts: dict[str, Any] = {}
        self.joined: dict[str, str] = {}
        self.joined_maps: tuple[list[dict[str, int]], list[dict[str, int]]] = [], []  # of a joined user namespace
        self.journal: list[str] = []  # NAME=VALUE, see engine/journal.py
        self.locks: list[Lock] = []  # held by C until it becomes the monitor
        self.net: NetSetup | None = None
        self.notice: Callable[[str], None] = lambda _text: None  # told at once what takes long
        self.pins: list[int] = []
        self.ports: list[dict[str, Any]] = []
        self.secrets: list[tuple[int, dict[str, Any], bytes]] = []  # files, see engine/secret_option.py
        self.secret_env: list[str] = []
        self.warnings: list[str] = []
        self.network_mode = self.rootfs = self.gate = ""
        self.neighbour = ""  # run directory of the container whose network is shared
        self.preserve: tuple[int, ...] = ()
        self.terminal = self.interactive = False
        self.health = False  # whether there is a health check
        self.restarts = 0  # by the restart policy, since a user started the container
        self.restart_wait = 0  # milliseconds until the next one

    @property
    def own_runtime(self) -> bool:
        """Whether pyman's own runtime starts the container, in process C."""
        return (self.opts.get("runtime") or self.conf["engine"].get("runtime") or "") in ("", "pyman-runtime", "pyman")

    def report(self, record: dict[str, Any]) -> None:
        """C tells the CLI process: "started", "error", "warning" or "notice"; one line of JSON."""
        os.write(self.report_fd, fastjson.dumps(record).encode() + b"\n")

    def close(self) -> None:
        """Close the descriptors that pinned joined namespaces, and those that C has taken over."""
        for fd in (*self.pins, self.notify_fd, self.notify_listen, self.life_fd):
            if fd >= 0:
                os.close(fd)
        self.pins = []
        self.notify_fd = self.notify_listen = self.life_fd = -1


def network_mode(opts: dict[str, Any], conf: dict[str, Any]) -> str:
    """The network mode: --network, else containers.toml's netns, else pasta (or slirp4netns where configured). UsageError.

    "bridge" stands for all networks with names.
    """
    given = opts.get("network") or []
    given = [given] if isinstance(given, str) else list(given)
    mode = str(given[0] if given else conf["containers"].get("netns") or "private")
    if mode.split(":", 1)[0] not in PRIVATE_MODES:
        return "bridge"
    if len(given) > 1:
        raise UsageError(
            f"cannot use network mode {mode} together with others", "only networks with names can be combined", "give --network once"
        )
    if any(opts.get(key) for key in ("ip", "ip6", "mac_address", "network_alias")):
        from pyman.network import attachments  # to refuse them

        attachments.refuse_companions(opts, mode)
    if mode in ("private", "", "default"):
        from pyman.network import helper  # C needs it for these modes anyway

        mode = helper.preferred(conf)
    return mode


def hostname(container: Container, mode: str) -> str:
    """The name of the machine as a container sees it: that of the host or of another container where it lives in their UTS namespace.

    mode: of its network. NoSuchContainer, StorageError.
    """
    opts = container.config["options"]
    while str(opts.get("uts") or "").startswith("container:"):
        from pyman.engine.container import lookup  # in another's namespace only

        container = lookup(opts["uts"][10:])
        opts, mode = container.config["options"], container.state.get("network_mode") or ""
    if opts.get("hostname"):
        return str(opts["hostname"])
    return os.uname().nodename if mode == "host" or str(opts.get("uts")).startswith(("host", "ns:")) else container.id[:12]


def published(opts: dict[str, Any], image_config: dict[str, Any]) -> list[str]:
    """The specifications of -p, and with -P those of the exposed ports that have none."""
    specs = list(opts.get("publish") or [])
    if opts.get("publish_all"):
        from pyman.engine import exposed  # with this option only

        specs += exposed.unpublished(image_config, opts, specs)
    return specs
