"""What pasta and slirp4netns have in common: their programs, how they are started, why they fail. Process C."""

from __future__ import annotations

import _socket
import os

from pyman import paths
from pyman.errors import MissingProgram, NetworkError
from pyman.linux import libc
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PLACES = ("/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin")
_PACKAGE = {"pasta": "passt", "slirp4netns": "slirp4netns"}
_OPEN_FROM = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def find(name: str) -> str:
    """Path of a network helper. MissingProgram names its package."""
    for place in _PLACES:
        if os.access(f"{place}/{name}", os.X_OK):
            return f"{place}/{name}"
    raise MissingProgram(
        f"cannot find the program {name}",
        "it connects the container to the network",
        f"as root: apt-get install {_PACKAGE[name]}; or run with --network none or host",
    )


def preferred(conf: dict[str, Any]) -> str:
    """The helper of private networks: the configured one, else pasta, else slirp4netns where only that is installed."""
    configured = str(conf["network"].get("default_rootless_network_cmd") or "")
    if configured:
        return configured
    found = [name for name in ("pasta", "slirp4netns") if any(os.access(f"{place}/{name}", os.X_OK) for place in _PLACES)]
    return found[0] if found else "pasta"


def options(mode: str) -> list[str]:
    """The comma-separated options after a mode's colon."""
    return [option for option in mode.partition(":")[2].split(",") if option]


def bind_netns(netns: str) -> str:
    """The network namespace at a path of our own mount namespace (of which only our children know).

    pasta drops its capabilities before it opens the namespace, and may then no longer look into another process's /proc
    entry; slirp4netns has none of our descriptors.
    """
    path = os.path.join(paths.ensure_private(paths.runroot()), "netns")
    try:
        libc.umount2(path)  # a restart begins with the mounts of the run before
    except OSError:
        pass
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    libc.mount(netns, path, None, libc.MS_BIND)
    return path


def spawn(program: str, argv: list[str], stdio: tuple[int, int, int]) -> int:
    """Start a helper that dies with this process, even if that is killed; -1 in stdio: /dev/null.

    posix_spawn through a native program, which asks for the parent's death signal: a fork of the interpreter costs 1 ms.
    """
    wrapper = paths.native("namespaces")
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    actions = [(os.POSIX_SPAWN_DUP2, null if fd < 0 else fd, number) for number, fd in enumerate(stdio)]
    try:
        return os.posix_spawn(
            wrapper,
            ["pyman-namespaces", "child", str(os.getpid()), program, *argv],
            os.environ,
            file_actions=actions,
            setsigmask=(),
            setsigdef=(2, 13, 15, 25),  # Python ignores SIGPIPE and SIGXFSZ
        )
    finally:
        os.close(null)


def _limit() -> int:
    return int((store.read_text(_OPEN_FROM) or "1024").strip())


def refusal(port: dict[str, Any], number: int, code: int) -> NetworkError:
    """Why the host's port `number` cannot be had: errno `code` of bind(2)."""
    limit = _limit()
    if number < limit:
        return NetworkError(
            f"cannot publish port {number}",
            f"ports below {limit} are closed to unprivileged users (net.ipv4.ip_unprivileged_port_start is {limit})",
            f"as root: sysctl -w net.ipv4.ip_unprivileged_port_start={number}; or publish a higher port",
        )
    return NetworkError(
        f"cannot publish port {number}/{port['protocol']}",
        os.strerror(code),
        "stop what uses it, or publish another port" if code == 98 else "publish it on an address of this machine",
        stage=f"port {number} {port['protocol']}" if code == 98 else "port",
    )


def check_ports(ports: list[dict[str, Any]]) -> None:
    """NetworkError for a host port that cannot be had. This process is in the host's network.

    A mapping without an address is for all of them: pasta is content with the half of it that it gets.
    """
    for port in ports:
        for offset in range(port["range"]):
            number = port["host_port"] + offset
            if number < _limit():
                raise refusal(port, number, 13)
            for address in [port["host_ip"]] if port["host_ip"] else ["0.0.0.0", "::"]:
                try:
                    bind(address, port["protocol"], number)
                except OSError as err:
                    if port["host_ip"] or err.errno in (98, 13):  # with neither, the host has no such version of IP
                        raise refusal(port, number, err.errno or 1) from err


def bind(address: str, protocol: str, port: int) -> int:
    """Bind a port of the host and give it back; its number, which the kernel chooses for 0. OSError if it is not to be had."""
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    sock = _socket.socket(family, _socket.SOCK_STREAM if protocol == "tcp" else _socket.SOCK_DGRAM)
    try:
        if protocol == "tcp":
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)  # connections that have ended are in nobody's way
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        return int(sock.getsockname()[1])
    finally:
        sock.close()


def explain(helper: str, text: str, ports: list[dict[str, Any]]) -> NetworkError:
    """The helper's failure in the user's terms: port taken, port too low, no interface."""
    what = f"cannot connect the container's network with {helper}"
    try:
        check_ports(ports)
    except NetworkError as err:
        return err
    hint = "look at what it says; run with --network none to do without a network"
    if "tun" in text.lower():
        hint = "as root: modprobe tun; chmod 0666 /dev/net/tun"
    if "Too many open files" in text:
        hint = "publish fewer ports: each takes descriptors of it; see: ulimit -Hn"
    # The first line is the cause; with an option it does not know its whole help follows. Of a missing log we do not care.
    lines = [line.strip() for line in text.split("\n") if line.strip() and not line.startswith("Failed to send ")]
    if lines and lines[0].startswith("Usage:"):
        lines, hint = [f"{helper} does not understand its options"], f"look at those after the colon of --network {helper}:..."
    return NetworkError(what, lines[0] if lines else "", hint, stage="network")
