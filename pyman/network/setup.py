"""Connect a container's network namespace: pasta, slirp4netns, or nothing. Process C, in U1 and the host's network.

`begin` starts the helper while the root file system is mounted and init builds its mounts; `finish` waits until it works.
"""

from __future__ import annotations

import os

from pyman.errors import UsageError
from pyman.linux import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class NetInfo:
    """What a connected network offers: helpers to end, addresses, name servers, the ports as mapped."""

    __slots__ = ("again", "attached", "dns", "host_address", "ip", "keeper", "netns_fd", "only_dns", "pids", "ports", "private", "warning")

    def __init__(self) -> None:
        self.pids: list[tuple[int, int]] = []
        self.again: list[str] = []  # program and arguments by which the monitor starts it again
        self.ip = self.host_address = ""
        self.dns: list[str] = []
        self.ports: list[dict[str, Any]] = []
        self.private = False
        self.only_dns = False  # no other name servers than those of `dns`
        self.attached: list[dict[str, Any]] = []  # the bridge networks, as network/bridge.py tells of them
        self.keeper: dict[str, Any] = {}
        self.netns_fd = -1
        self.warning = ""


class NetSetup:
    """A helper under way."""

    __slots__ = ("channel_fd", "info", "log_fd", "mode", "name", "pid", "ready_fd", "run_dir", "socket_path")

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.info = NetInfo()
        self.name = mode.split(":", 1)[0]
        self.pid = 0
        self.ready_fd = self.log_fd = self.channel_fd = -1
        self.socket_path = self.run_dir = ""


def check(mode: str) -> None:
    """UsageError for a --network value this release does not have, with the reason."""
    name = mode.split(":", 1)[0]
    if name == "pod":
        raise UsageError(
            "cannot use network mode pod", "the container is in no pod", "use --network container:NAME to share a container's network"
        )
    if name in ("slirp4netns", "pasta"):
        _check_options(mode)
    if name in ("pasta", "slirp4netns", "none", "host", "container", "ns", "bridge"):
        return
    raise UsageError(f"no network {mode!r}", "known are pasta, slirp4netns, none, host, container:NAME, ns:PATH and networks")


def _check_options(mode: str) -> None:
    """Options that make no sense are refused before anything is made."""
    if ":" not in mode:
        return
    from pyman.network import helper, pasta, slirp4netns

    if mode.startswith("pasta:"):
        pasta.check_options(helper.options(mode))
    else:
        slirp4netns.arguments(helper.options(mode))


def begin(mode: str, netns: str, conf: dict[str, Any], ports: list[dict[str, Any]], run_dir: str = "", channel_fd: int = -1) -> NetSetup:
    """Start what `mode` needs for the network namespace at path `netns` (as this process sees it).

    run_dir: of the container, for sockets; channel_fd: to the process that attaches the container to bridges. The helper dies with the calling process, whatever ends that.
    """
    check(mode)
    setup = NetSetup(mode)
    setup.info.ports = ports
    if setup.name == "pasta":
        from pyman.network import pasta

        pasta.begin(setup, netns, conf, ports)
    elif setup.name == "slirp4netns":
        from pyman.network import slirp4netns

        slirp4netns.begin(setup, netns, conf, ports, run_dir)
    elif setup.name == "bridge":
        from pyman.network import bridged

        setup.channel_fd, setup.run_dir = channel_fd, run_dir
        bridged.begin(setup, netns)
    return setup


def finish(setup: NetSetup, init_pid: int) -> NetInfo:
    """Wait until the helper works for the container whose init is `init_pid`. NetworkError with its cause."""
    if setup.name == "pasta":
        from pyman.network import pasta

        pasta.finish(setup, init_pid)
    elif setup.name == "slirp4netns":
        from pyman.network import slirp4netns

        slirp4netns.finish(setup)
    elif setup.name == "bridge":
        from pyman.network import bridged

        bridged.finish(setup)
    return setup.info


def abort(setup: NetSetup) -> None:
    """End the helper of a start that failed, whether it was ready or not."""
    if setup.pid:
        os.kill(setup.pid, 9)
        process.wait(setup.pid)
        setup.pid = 0
