"""The network namespace of a user's bridges, and its way out: one pasta. CLI process finds it; a helper in U1 makes it.

A small process, the keeper (shims/network/keep.h), holds the namespace and runs pasta and the name servers. It ends with the last
container: each monitor on a bridge holds one end of a pipe whose other end the keeper reads. The monitors hold the namespace
too, so that a new keeper can take over when the old one was killed. All are found by processes, not by names in a file system:
runroot/networks/uplink.json only says where to look first. Under the lock of the networks.
"""

from __future__ import annotations

import os
import time

from pyman import paths, stages
from pyman.errors import NetworkError, PymanError
from pyman.linux import libc, netlink, process
from pyman.network import config, firewall, helper, pasta
from pyman.network.setup import NetInfo
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Keeper = dict[str, Any]

NETNS, LIFE = 9, 10  # the keeper's descriptors, as shims/network/keep.h has them
DEVICE, MTU = "uplink", 65520  # pasta's device in the namespace, and what it can carry
AARDVARK = ("/usr/lib/podman/aardvark-dns", "/usr/libexec/podman/aardvark-dns", "/usr/bin/aardvark-dns", "/usr/local/bin/aardvark-dns")


def directory() -> str:
    """runroot/networks: the hint, and the name servers' files."""
    path = os.path.join(paths.runroot(), "networks")
    if not os.path.isdir(path):
        paths.ensure_private(paths.runroot())
        os.makedirs(path, 0o700, exist_ok=True)
    return path


def _hint() -> str:
    return os.path.join(directory(), "uplink.json")


def _alive(keeper: Any) -> bool:
    """Whether that record names a living keeper with the two descriptors it must have."""
    if not isinstance(keeper, dict) or not isinstance(keeper.get("pid"), int) or not isinstance(keeper.get("start"), int):
        return False
    if not process.alive(keeper["pid"], keeper["start"]):
        return False
    try:
        return os.readlink(f"/proc/{keeper['pid']}/fd/{NETNS}").startswith("net:")
    except OSError:
        return False


def remembered() -> Any:
    """What the hint says of the keeper; None without one."""
    try:
        return store.read_json(_hint())
    except PymanError:
        return None


def find(noted: list[Any]) -> Keeper | None:
    """The living keeper, from the hint or from what containers have noted of theirs (`noted`)."""
    hint = remembered()
    for keeper in [hint, *noted]:
        if _alive(keeper):
            if keeper is not hint:
                remember(keeper)
            return dict(keeper)
    return None


def search(noted: list[Keeper]) -> Keeper | None:
    """As `find`, where the hint was lost after a keeper that no container has noted: by its name and its arguments. Slow."""
    for entry in os.listdir("/proc") if noted else ():
        if not entry.isdigit() or store.read_text(f"/proc/{entry}/comm") != "pyman:[net]\n":
            continue
        words = process.words(int(entry))
        keeper = {**noted[-1], "pid": int(entry), "start": process.start_time(int(entry))}
        if words[5:6] == [directory()] and _alive(keeper):
            keeper["dns_port"] = int(words[7])
            remember(keeper)
            return keeper
    return None


def await_end(noted: list[Any]) -> None:
    """Wait for keepers that are being killed just now: until they have ended, their pasta has the device that a successor's needs.

    The last one is the hint's: containers that were there before it need not have noted it.
    """
    deadline = time.monotonic() + 30
    for keeper in [remembered(), *noted]:
        if not isinstance(keeper, dict):
            continue
        while not _alive(keeper) and process.alive(keeper.get("pid", 0), keeper.get("start", 0)) and time.monotonic() < deadline:
            time.sleep(0.005)


def remember(keeper: Keeper) -> None:
    """Note where to look first."""
    store.write_json(_hint(), keeper)


def open_life(keeper: Keeper) -> int:
    """A descriptor that keeps the keeper alive, and with it pasta and the name servers. OSError if it has just ended."""
    return os.open(f"/proc/{keeper['pid']}/fd/{LIFE}", os.O_WRONLY | os.O_CLOEXEC)


def open_netns(keeper: Keeper) -> int:
    """A descriptor of the bridges' network namespace. NetworkError if the keeper was killed just now."""
    try:
        return os.open(f"/proc/{keeper['pid']}/fd/{NETNS}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        what = "cannot enter the network namespace of the bridges"
        raise NetworkError(what, "the process that keeps it was killed just now", "try again: the next start gives it a new one") from err


def dns_port(keeper: Keeper) -> int:
    """Where the name servers of a living keeper listen: the configuration may have changed since its start."""
    return int(keeper.get("dns_port") or 53)


def name_server() -> str:
    """Path of aardvark-dns, or an empty text."""
    return next((path for path in AARDVARK if os.access(path, os.X_OK)), "")


def start(conf: dict[str, Any], life_fd: int, netns_fd: int) -> Keeper:
    """Start a keeper and set its namespace up; returns when packets find their way out. Runs in U1, in the host's network.

    life_fd: the reading end of the pipe; netns_fd: the namespace of a keeper that was killed, or -1. The caller holds the lock and
    has a mount namespace of its own, which becomes the keeper's; its network namespace is the bridges' afterwards. MissingProgram,
    NetworkError.
    """
    firewall.find()
    place, info = directory(), NetInfo()
    uplink = helper.find("pasta")
    given = ["-I", DEVICE, *(conf["network"].get("pasta_options") or [])]
    apart = pasta.apart(given, uplink)
    given += apart
    argv = [uplink, *pasta.arguments(info, given, [], uplink), os.path.join(place, "netns")]
    from pyman.network import hosts, names  # of which one imports this module

    servers = hosts.usual_servers(info.dns)
    names.write_files(place, servers)
    for entry in os.listdir(place) if netns_fd < 0 else ():
        if entry.startswith("bridge-"):  # of a namespace whose keeper was killed
            os.unlink(os.path.join(place, entry))
    port = str(conf["network"].get("dns_bind_port") or 53)
    log_r, log_w = os.pipe()
    up_r, up_w = os.pipe()
    ready_r, ready_w = os.pipe()
    os.set_blocking(log_w, False)
    passed = [fd for fd in (life_fd, ready_w, netns_fd) if fd >= 0]
    for fd in passed:
        os.set_inheritable(fd, True)
    words = ["keep", str(life_fd), str(ready_w), str(netns_fd), place, config.networks_dir(), port, name_server() or "-", "--", *argv]
    actions = [(os.POSIX_SPAWN_DUP2, up_w, 1), (os.POSIX_SPAWN_DUP2, log_w, 2)]
    child = os.posix_spawn(
        paths.native("network"), ["pyman-network", *words], os.environ, file_actions=actions, setsigmask=(), setsigdef=(2, 13, 15, 25)
    )
    for fd in (up_w, log_w, ready_w, *([life_fd] if life_fd >= 0 else [])):
        os.close(fd)
    with open(ready_r, "rb") as pipe:
        text = pipe.read(32)
    process.wait(child)
    if not text.isdigit():
        raise _failed(log_r)
    stages.reach("bridge:keeper")
    keeper: Keeper = {"pid": int(text), "start": process.start_time(int(text)), "dns": info.dns, "servers": servers}
    keeper |= {"dns_port": int(port), "host_address": info.host_address, "apart": bool(apart)}
    _prepare(keeper)
    if not os.read(up_r, 32).strip():  # pasta's pid, when it is ready
        os.kill(keeper["pid"], 9)
        raise _failed(log_r)
    os.close(up_r)
    os.close(log_r)
    fd = open_netns(keeper)
    libc.setns(fd, libc.CLONE_NEWNET)
    os.close(fd)
    keeper["versions"] = sorted(pasta.default_routes(DEVICE))
    remember(keeper)
    stages.reach("bridge:uplink")
    return keeper


def _failed(log_r: int) -> NetworkError:
    with open(log_r, "rb") as pipe:
        text = pipe.read(4096).decode(errors="replace").strip()
    return helper.explain("pasta", text or "its keeper was killed", [])


def _prepare(keeper: Keeper) -> None:
    """Forwarding, rules and the firewall's table, in a child that enters the namespace: its owner has no way back."""
    fd = open_netns(keeper)

    def body() -> None:
        set_up()
        firewall.load((), dns_port(keeper))

    try:
        run_inside(fd, body, "pyman:[netns]")
    finally:
        os.close(fd)


def run_inside(netns_fd: int, body: Any, name: str) -> None:
    """Run `body` in a child inside a network namespace; its PymanError is raised here, an OSError as NetworkError."""
    from pyman import errors
    from pyman.state import fastjson

    read_end, write_end = os.pipe()

    def child() -> int:
        try:
            libc.setns(netns_fd, libc.CLONE_NEWNET)
            body()
        except PymanError as err:
            os.write(write_end, fastjson.dumps(err.to_record()).encode())
            return 1
        except OSError as err:
            failure = NetworkError("cannot set up the network namespace of the bridges", f"{err.filename or ''} {err.strerror}".strip())
            os.write(write_end, fastjson.dumps(failure.to_record()).encode())
            return 1
        return 0

    pid = process.fork(child, name, (netns_fd, write_end))
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        text = pipe.read()
    if process.wait(pid) or text:
        raise errors.from_record(fastjson.loads(text)) if text else NetworkError("cannot set up the network", "a helper process was killed")


_SYSCTLS = (
    ("ipv4/ip_forward", "1"),
    ("ipv6/conf/all/forwarding", "1"),
    ("ipv4/tcp_tw_reuse", "1"),  # the port forwarder imitates peers that come again with the same port
    ("bridge/bridge-nf-call-iptables", "0"),  # packets inside a bridge are no business of the firewall's
    ("bridge/bridge-nf-call-ip6tables", "0"),
)


def forwarding_fault() -> str:
    """Which sysctl of this network namespace is not as `set_up` has set it; empty if all are."""
    for key, value in _SYSCTLS:
        have = (store.read_text(f"/proc/sys/net/{key}") or value).strip()
        if have != value:
            return f"the sysctl net.{key.replace('/', '.')} is {have}, not {value}"
    return ""


def set_up() -> None:
    """Forwarding, and the routing rule of the port forwarders; harmless if they are there. OSError."""
    for key, value in _SYSCTLS:
        try:
            with open(f"/proc/sys/net/{key}", "w") as file:
                file.write(value)
        except FileNotFoundError:
            continue  # no such thing in this kernel
    sock = netlink.open_socket()
    netlink.set_up(sock, 1)
    for version in (4, 6):
        try:
            netlink.add_mark_rule(sock, version, firewall.MARK, firewall.TABLE)
            netlink.add_route(sock, bytes(4 if version == 4 else 16), 0, device=1, local_table=firewall.TABLE)
        except FileExistsError:
            pass
        except OSError:
            if version == 4:
                raise  # a host without IPv6 has no rules for it
    sock.close()
