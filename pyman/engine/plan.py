"""What a start needs, decided by the CLI process and carried out by C (engine/launch.py)."""

from __future__ import annotations

import os

from pyman.engine import volumes as volume_store
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container
    from pyman.network.setup import NetSetup


class VolumeStore:
    """Named and anonymous volumes that specgen asks for; anonymous ones are noted in the container's state."""

    __slots__ = ("anonymous", "container", "used")

    def __init__(self, container: Container) -> None:
        self.container = container
        self.anonymous: list[str] = list(container.state.get("anonymous_volumes") or [])
        self.used: dict[str, str] = dict(container.state.get("volume_at") or {})

    def __call__(self, name: str, destination: str = "", anonymous: bool = False, options: dict[str, Any] | None = None) -> str:
        """Path of the volume's data; created if needed. The same anonymous volume for the same destination at each start."""
        if anonymous or not name:
            name = self.used.get(destination) or ""
            record = (
                volume_store.create(name or os.urandom(32).hex(), anonymous=True)
                if not name or not volume_store.exists(name)
                else volume_store.get(name)
            )
            if record["name"] not in self.anonymous:
                self.anonymous.append(record["name"])
            self.used[destination] = record["name"]
        else:
            record = volume_store.get(name) if volume_store.exists(name) else volume_store.create(name)
        return volume_store.data_path(record["name"])


class Plan:
    """Everything C needs. Descriptors are -1 where there is none."""

    __slots__ = (
        "attach_fd",
        "bpf",
        "cgroup",
        "cleanup",
        "conf",
        "container",
        "ctx",
        "driver",
        "idmap",
        "interactive",
        "joined",
        "net",
        "netns_fd",
        "network_mode",
        "opts",
        "pins",
        "ports",
        "preserve",
        "report_fd",
        "restart_wait",
        "restarts",
        "rootfs",
        "spec",
        "terminal",
        "userns_fd",
        "volumes",
        "warnings",
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
        self.attach_fd = self.netns_fd = self.report_fd = self.userns_fd = -1
        self.cleanup: list[str] = []
        self.conf: dict[str, Any] = {}
        self.opts: dict[str, Any] = {}
        self.joined: dict[str, str] = {}
        self.net: NetSetup | None = None
        self.pins: list[int] = []
        self.ports: list[dict[str, Any]] = []
        self.warnings: list[str] = []
        self.network_mode = self.rootfs = ""
        self.preserve: tuple[int, ...] = ()
        self.terminal = self.interactive = False
        self.restarts = 0  # by the restart policy, since a user started the container
        self.restart_wait = 0  # milliseconds until the next one

    def close(self) -> None:
        """Close the descriptors that pinned joined namespaces."""
        for fd in self.pins:
            os.close(fd)
        self.pins = []


def network_mode(opts: dict[str, Any], conf: dict[str, Any]) -> str:
    """The one network mode: --network, else containers.toml's netns, else pasta (or slirp4netns where configured). UsageError."""
    given = opts.get("network") or []
    given = [given] if isinstance(given, str) else list(given)
    if len(given) > 1:
        raise UsageError("cannot use several networks", "this release attaches a container to one network", "give --network once")
    mode = given[0] if given else conf["containers"].get("netns") or "private"
    if mode in ("private", "", "default"):
        mode = conf["network"].get("default_rootless_network_cmd") or "pasta"
    return str(mode)


def published(opts: dict[str, Any], image_config: dict[str, Any]) -> list[str]:
    """The specifications of -p, and with -P those of the exposed ports that have none."""
    specs = list(opts.get("publish") or [])
    if opts.get("publish_all"):
        exposed = list(opts.get("expose") or []) + list(image_config.get("ExposedPorts") or {})
        taken = {spec.rsplit(":", 1)[-1] for spec in specs}
        specs += [port for port in exposed if port not in taken and port.removesuffix("/tcp") not in taken]
    return specs
