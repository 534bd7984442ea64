"""Connect a container's network namespace: pasta, slirp4netns, or nothing. Process C, in U1 and the host's network.

`begin` starts the helper while the root file system is mounted and init builds its mounts; `finish` waits until it works.
"""

from __future__ import annotations

import _socket
import os
import select

from pyman import paths
from pyman.errors import MissingProgram, NetworkError, UsageError
from pyman.linux import libc, process
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DNS_FORWARD = "169.254.1.1"
GUEST_ADDR = "169.254.1.2"
_PLACES = ("/usr/bin", "/usr/local/bin", "/bin", "/usr/sbin")
_PACKAGE = {"pasta": "passt", "slirp4netns": "slirp4netns"}


class NetInfo:
    """What a connected network offers: helpers to end, addresses, name servers, the ports as mapped."""

    __slots__ = ("dns", "host_address", "ip", "pids", "ports", "private")

    def __init__(self) -> None:
        self.pids: list[tuple[int, int]] = []
        self.ip = self.host_address = ""
        self.dns: list[str] = []
        self.ports: list[dict[str, Any]] = []
        self.private = False


class NetSetup:
    """A helper under way."""

    __slots__ = ("info", "log_fd", "mode", "name", "pid", "ready_fd", "socket_path")

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.info = NetInfo()
        self.name = mode.split(":", 1)[0]
        self.pid = 0
        self.ready_fd = self.log_fd = -1
        self.socket_path = ""


def check(mode: str) -> None:
    """UsageError for a --network value this release does not have, with the reason."""
    name = mode.split(":", 1)[0]
    if name in ("pasta", "slirp4netns", "none", "host", "container", "ns"):
        return
    if name in ("bridge", "macvlan", "ipvlan"):
        raise UsageError(
            f"cannot use network {mode!r}",
            "this release has no bridge networks",
            "use --network pasta (the default), or share one container's network: --network container:NAME",
        )
    raise UsageError(
        f"no network {mode!r}",
        "known are pasta, slirp4netns, none, host, container:NAME and ns:PATH",
        "user-defined networks are not part of this release",
    )


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


def begin(mode: str, netns: str, conf: dict[str, Any], ports: list[dict[str, Any]], run_dir: str = "") -> NetSetup:
    """Start what `mode` needs for the network namespace at path `netns` (as this process sees it).

    run_dir: of the container, for slirp4netns's socket. The helper dies with the calling process, whatever ends that.
    """
    check(mode)
    setup = NetSetup(mode)
    setup.info.ports = ports
    if setup.name == "pasta":
        _begin_pasta(setup, _bind_netns(netns), conf, ports)
    elif setup.name == "slirp4netns":
        _begin_slirp(setup, _bind_netns(netns), run_dir, ports)
    return setup


def finish(setup: NetSetup, init_pid: int) -> NetInfo:
    """Wait until the helper works for the container whose init is `init_pid`. NetworkError with its cause."""
    if setup.name == "pasta":
        _finish_pasta(setup, init_pid)
    elif setup.name == "slirp4netns":
        _finish_slirp(setup)
    return setup.info


def abort(setup: NetSetup) -> None:
    """End the helper of a start that failed, whether it was ready or not."""
    if setup.pid:
        os.kill(setup.pid, 9)
        process.wait(setup.pid)
        setup.pid = 0


def _options(mode: str) -> list[str]:
    return [option for option in mode.partition(":")[2].split(",") if option]


# ---- pasta ----


def _features(program: str) -> str:
    """What `pasta --help` prints, cached by the program's date: Debian 12's lacks options of newer ones."""
    info = os.stat(program)
    key = f"{program} {info.st_mtime_ns} {info.st_size}"
    path = os.path.join(paths.cachedir(), "pasta.json")
    cached = store.read_json(path)
    if cached and cached.get("key") == key:
        return str(cached["help"])
    read_end, write_end = os.pipe()

    def body() -> int:
        os.dup2(write_end, 1)
        os.dup2(write_end, 2)
        os.execv(program, ["pasta", "--help"])

    pid = process.fork(body, "pasta", (write_end,))
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        text = pipe.read(1 << 16).decode(errors="replace")
    process.wait(pid)
    paths.ensure_private(paths.cachedir())
    store.write_json(path, {"key": key, "help": text})
    return text


def _has_route() -> bool:
    """Whether the host has a default route: without one pasta has no interface to copy."""
    for path, column, zero in (("/proc/net/route", 1, "00000000"), ("/proc/net/ipv6_route", 0, "0" * 32)):
        try:
            with open(path) as file:
                lines = [line.split() for line in file]
        except OSError:
            continue
        for line in lines:
            if len(line) > column and line[column] == zero and line[-1] != "lo":
                return True
    return False


def _begin_pasta(setup: NetSetup, netns: str, conf: dict[str, Any], ports: list[dict[str, Any]]) -> None:
    program = find("pasta")
    known = _features(program)
    given = _options(setup.mode) + list(conf["network"].get("pasta_options") or [])
    # The pid "file" is a pipe on its stdout: pasta writes it when it is ready, and the other descriptors it closes.
    # In the foreground it stays our child, and so ends with us even if we are killed.
    argv = ["pasta", "--config-net", "--foreground", "--pid", "/proc/self/fd/1"]
    if "--no-netns-quit" in known:
        argv.append("--no-netns-quit")  # a wiped runtime directory is no reason to leave the container without network
    if "--dns-forward" in known and not any(option.startswith("--dns-forward") for option in given):
        argv += ["--dns-forward", DNS_FORWARD]
        setup.info.dns = [DNS_FORWARD]
    if "--map-guest-addr" in known and not any(option.startswith("--map-guest-addr") for option in given):
        argv += ["--map-guest-addr", GUEST_ADDR]
        setup.info.host_address = GUEST_ADDR
    # What the user forwards by hand replaces the published ports and the closed defaults.
    for letter, protocol in (("-t", "tcp"), ("-u", "udp")):
        specs = [_pasta_port(port) for port in ports if port["protocol"] == protocol]
        if not any(option.startswith((letter, "--tcp-ports" if letter == "-t" else "--udp-ports")) for option in given):
            for spec in specs or ["none"]:
                argv += [letter, spec]
    for letter in ("-T", "-U"):
        if not any(option.startswith(letter) for option in given):
            argv += [letter, "none"]
    if not any(option in ("--map-gw", "--no-map-gw") for option in given):
        argv.append("--no-map-gw")
    argv += [option for option in given if option != "--map-gw"]
    if not _has_route():
        argv += _without_uplink(given)
    argv += ["--quiet", "--netns", netns]
    setup.log_fd, write_end = os.pipe()
    # What it says later fills the pipe, which the monitor keeps open, and then gets lost: it must neither wait nor die of it.
    os.set_blocking(write_end, False)
    setup.ready_fd, ready_w = os.pipe()
    setup.pid = _spawn(program, argv, (-1, ready_w, write_end))
    os.close(write_end)
    os.close(ready_w)


def _spawn(program: str, argv: list[str], stdio: tuple[int, int, int]) -> int:
    """Start a helper that dies with this process, even if that is killed; -1 in stdio: /dev/null.

    posix_spawn through a native program, which asks for the parent's death signal: a fork of the interpreter costs 1 ms.
    """
    wrapper = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "_native", "pyman-namespaces")
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


def _bind_netns(netns: str) -> str:
    """The network namespace at a path of our own mount namespace (of which only our children know).

    pasta drops its capabilities before it opens the namespace, and may then no longer look into another process's /proc
    entry; slirp4netns has none of our descriptors.
    """
    path = os.path.join(paths.ensure_private(paths.runroot()), "netns")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    libc.mount(netns, path, None, libc.MS_BIND)
    return path


def _without_uplink(given: list[str]) -> list[str]:
    """A host without a default route: pasta may not find an interface by itself, so it gets loopback and an address."""
    if any(option.startswith(("-a", "--address", "-i", "--interface")) for option in given):
        return []
    return ["--ipv4-only", "-i", "lo", "-a", "10.0.2.100", "-n", "24", "-g", "10.0.2.2"]


def _pasta_port(port: dict[str, Any]) -> str:
    first, last = port["host_port"], port["host_port"] + port["range"] - 1
    target, target_last = port["container_port"], port["container_port"] + port["range"] - 1
    address = f"{port['host_ip']}/" if port["host_ip"] else ""
    return f"{address}{first}-{last}:{target}-{target_last}" if first != last else f"{address}{first}:{target}"


def _finish_pasta(setup: NetSetup, init_pid: int) -> None:
    """pasta writes its pid when it is ready."""
    text = os.read(setup.ready_fd, 32).strip()
    os.close(setup.ready_fd)
    if not text:
        code = process.wait(setup.pid)
        with open(setup.log_fd, "rb") as pipe:
            reason = pipe.read(4096).decode(errors="replace").strip()
        setup.pid = 0
        raise _explain("pasta", reason or f"exit code {code}", setup.info.ports)
    os.set_inheritable(setup.log_fd, True)
    setup.info.pids = [(setup.pid, process.start_time(setup.pid))]
    setup.info.private = True
    setup.info.ip = _address_in(init_pid)


def _address_in(init_pid: int) -> str:
    """The container's first address that is not loopback, from /proc/PID/net/fib_trie (no netlink needed)."""
    try:
        with open(f"/proc/{init_pid}/net/fib_trie") as file:
            lines = file.read().split("\n")
    except OSError:
        return ""
    for line, following in zip(lines, lines[1:]):
        if "|--" in line and "host LOCAL" in following:
            address = line.split()[-1]
            if not address.startswith("127."):
                return address
    return ""


def _explain(helper: str, text: str, ports: list[dict[str, Any]]) -> NetworkError:
    """The helper's failure in the user's terms: port taken, port too low, no interface."""
    what = f"cannot connect the container's network with {helper}"
    for port in ports:
        for offset in range(port["range"]):
            number = port["host_port"] + offset
            limit = int((store.read_text("/proc/sys/net/ipv4/ip_unprivileged_port_start") or "1024").strip())
            if number < limit:
                return NetworkError(
                    f"cannot publish port {number}",
                    f"ports below {limit} are closed to unprivileged users (net.ipv4.ip_unprivileged_port_start is {limit})",
                    f"as root: sysctl -w net.ipv4.ip_unprivileged_port_start={number}; or publish a higher port",
                )
            family = _socket.AF_INET6 if ":" in port["host_ip"] else _socket.AF_INET
            sock = _socket.socket(family, _socket.SOCK_STREAM if port["protocol"] == "tcp" else _socket.SOCK_DGRAM)
            try:
                sock.bind((port["host_ip"], number))
            except OSError as err:
                return NetworkError(
                    f"cannot publish port {number}/{port['protocol']}",
                    err.strerror or str(err),
                    "stop what uses it, or publish another port",
                    stage=f"port {number} {port['protocol']}",
                )
            finally:
                sock.close()
    hint = "look at its message; run with --network none to do without a network"
    if "tun" in text.lower():
        hint = "as root: modprobe tun; chmod 0666 /dev/net/tun"
    return NetworkError(what, text.split("\n")[-1], hint, stage="network")


# ---- slirp4netns ----


def _begin_slirp(setup: NetSetup, netns: str, run_dir: str, ports: list[dict[str, Any]]) -> None:
    program = find("slirp4netns")
    setup.ready_fd, ready_w = os.pipe()
    setup.log_fd, write_end = os.pipe()
    setup.socket_path = os.path.join(run_dir, "slirp.sock")  # given to it relative to run_dir: sockets' paths have 107 bytes
    argv = [
        "slirp4netns",
        "--configure",
        "--mtu=65520",
        "--disable-host-loopback",
        "--ready-fd",
        str(ready_w),
        "--netns-type=path",
        "--api-socket",
        "slirp.sock",
    ]
    for option in _options(setup.mode):
        name, _, value = option.partition("=")
        if name == "allow_host_loopback" and value == "true":
            argv.remove("--disable-host-loopback")
        elif name == "mtu" and value.isdigit():
            argv[2] = f"--mtu={value}"
        elif name == "cidr":
            argv.append(f"--cidr={value}")
        elif name == "enable_ipv6":
            argv += ["--enable-ipv6"] if value == "true" else []
        elif name in ("outbound_addr", "outbound_addr6"):
            argv.append(f"--{name.replace('_', '-')}={value}")
        elif name != "port_handler":
            raise UsageError(
                f"invalid slirp4netns option {option!r}",
                "known are allow_host_loopback, mtu, cidr, enable_ipv6, outbound_addr, outbound_addr6, port_handler",
            )
    argv += [netns, "tap0"]
    os.set_blocking(write_end, False)
    os.set_inheritable(ready_w, True)
    directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.chdir(run_dir)
    setup.pid = _spawn(program, argv, (-1, -1, write_end))
    os.fchdir(directory)
    os.close(directory)
    os.close(write_end)
    os.close(ready_w)


def _finish_slirp(setup: NetSetup) -> None:
    if os.read(setup.ready_fd, 1) != b"1":
        with open(setup.log_fd, "rb") as pipe:
            text = pipe.read(4096).decode(errors="replace").strip()
        raise _explain("slirp4netns", text or "it ended without a message", setup.info.ports)
    os.close(setup.ready_fd)
    os.set_inheritable(setup.log_fd, True)
    setup.info.pids = [(setup.pid, process.start_time(setup.pid))]
    setup.info.ip, setup.info.dns, setup.info.host_address, setup.info.private = "10.0.2.100", ["10.0.2.3"], "10.0.2.2", True
    for port in setup.info.ports:
        for offset in range(port["range"]):
            _slirp_forward(setup, port, offset)


def _slirp_forward(setup: NetSetup, port: dict[str, Any], offset: int) -> None:
    from pyman.state import fastjson

    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    directory = os.open(os.path.dirname(setup.socket_path), os.O_PATH)
    sock.connect(f"/proc/self/fd/{directory}/slirp.sock")
    os.close(directory)
    request = {
        "execute": "add_hostfwd",
        "arguments": {
            "proto": port["protocol"],
            "host_addr": port["host_ip"] or "0.0.0.0",
            "host_port": port["host_port"] + offset,
            "guest_port": port["container_port"] + offset,
        },
    }
    sock.send(fastjson.dumps(request).encode())
    sock.shutdown(_socket.SHUT_WR)
    select.select([sock.fileno()], [], [], 10)
    answer = sock.recv(4096).decode(errors="replace")
    sock.close()
    if '"error"' in answer:
        os.kill(setup.pid, 15)
        raise _explain("slirp4netns", answer, [dict(port, host_port=port["host_port"] + offset, range=1)])
