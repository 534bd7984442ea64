"""pasta: the container shares the host's addresses and routes, by one process in the host's network. Process C."""

from __future__ import annotations

import os

from pyman.errors import NetworkError, UsageError
from pyman.linux import process
from pyman.network import helper
from pyman.network.setup import NetInfo, NetSetup
from pyman.state import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

DNS_FORWARD = "169.254.1.1"
GUEST_ADDR = "169.254.1.2"
_APART = ("-a", "169.254.2.2", "-n", "30", "-g", "169.254.2.1")
_HOLDS = "pyman runs pasta for the container's network namespace, and waits for its sign"
_OURS = {
    **dict.fromkeys(("--pid", "--foreground", "--fd", "--netns", "--userns", "--netns-only"), _HOLDS),
    "--runas": "pasta runs as the container's root, who is you",
    "--help": "it starts nothing",
    "--version": "it starts nothing",
}


def _features(program: str) -> str:
    """What `pasta --help` prints, cached by the program's date: Debian 12's lacks options of newer ones."""
    info = os.stat(program)
    key = f"{program} {info.st_mtime_ns} {info.st_size}"
    cached = cache.get("pasta.json", key)
    if cached is not None:
        return str(cached)
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
    cache.put("pasta.json", key, text)
    return text


def default_routes(device: str = "") -> set[int]:
    """The versions of IP for which this network namespace has a default route, by that device or by any but loopback."""
    found = set()
    for version, path, column, zero in ((4, "/proc/net/route", 1, "00000000"), (6, "/proc/net/ipv6_route", 0, "0" * 32)):
        try:
            with open(path) as file:
                lines = [line.split() for line in file]
        except OSError:
            continue
        for line in lines:
            if len(line) > column and line[column] == zero:
                name = line[0] if version == 4 else line[-1]
                whole = line[7] == zero if version == 4 else line[1] == "00"  # not half of everything, as VPNs have it
                if whole and name != "lo" and device in ("", name):
                    found.add(version)
    return found


def _value(given: list[str], option: str) -> str:
    """What the user's options set `option` to; empty if they do not."""
    found = ""
    for word, following in zip(given, [*given[1:], ""]):
        if word == option:
            found = following
        elif word.startswith(option + "="):
            found = word[len(option) + 1 :]
    return found


def _names(given: list[str], short: str, long: str) -> bool:
    """Whether one of the words is that option, alone or with its value."""
    return any(word == long or word.startswith((short, long + "=")) for word in given)


_LONG = {"-m": "--mtu", "-I": "--ns-ifname", "-i": "--interface", "-n": "--netmask", "-g": "--gateway", "-M": "--mac-addr"}


def merged(configured: list[str], given: list[str]) -> list[str]:
    """The options of the configuration, then those of the command, which replace the former: pasta refuses most of them twice."""

    def name(word: str) -> str:
        return _LONG.get(word.split("=")[0], word.split("=")[0])

    again = {name(word) for word in given if word.startswith("-")} - {"-t", "-u", "-T", "-U", "-a", "-D", "-o", "--dns", "--address"}
    result: list[str] = []
    dropping = False
    for word in configured:
        dropping = name(word) in again if word.startswith("-") else dropping
        if not dropping:
            result.append(word)
    return result + given


def check_options(given: list[str]) -> None:
    """UsageError for options of the user's that would take pasta away from the container that it is for."""
    for word in given:
        if word.split("=")[0] in _OURS or word[:2] in ("-P", "-f", "-F", "-h"):
            raise UsageError(f"cannot use pasta option {word}", _OURS.get(word.split("=")[0], _OURS["--pid"]), "leave it out")
        if word in ("-", "--"):
            raise UsageError(f"cannot use pasta option {word}", "what follows it would be no option", "leave it out")
    for before, word in zip(["", *given], given):
        if not word.startswith("-") and (not before.startswith("-") or "=" in before):
            name, _, value = word.partition("=")
            meant = f"--{name},{value}" if value else f"--{word}"
            raise UsageError(
                f"cannot use pasta option {word}", "it begins with no -", f"options are pasta's own: --network pasta:{meant}, for example"
            )


def apart(given: list[str], program: str) -> list[str]:
    """Options that give the namespace an address of its own, where this pasta has no address for the host and the user's options none.

    The host's own address then leads out of the namespace, to the host: to what listens there for others, never to its loopback.
    """
    if "--map-guest-addr" in _features(program) or any(
        _names(given, *words) for words in (("-a", "--address"), ("-g", "--gateway"), ("-n", "--netmask"))
    ):
        return []
    from pyman.network import hosts

    return list(_APART) if hosts.host_address() else []


def _is_apart(given: list[str], own: str) -> bool:
    """Whether pasta gives the namespace another IPv4 address than the host's."""
    addresses = [following for word, following in zip(given, given[1:]) if word in ("-a", "--address")]
    addresses += [word.partition("=")[2] for word in given if word.startswith("--address=")]
    return any("." in address for address in addresses) and own not in addresses


def _address_for_host(given: list[str]) -> str:
    """By which address the namespace reaches the host with a pasta that offers none: one of the host's that is not the namespace's, too."""
    from pyman.network import hosts

    own = hosts.host_address()
    if any(word.startswith(("-a", "--address")) for word in given):
        return own if _is_apart(given, own) else ""
    if not own or any(_names(given, *words) for words in (("-i", "--interface"), ("-6", "--ipv6-only"))):
        return ""  # a copy of which address it gets is pasta's choice, or none
    return next((address for address in _addresses("self") if address != own and not address.startswith("169.254.")), "")


def silent(argv: list[str]) -> bool:
    """Whether datagrams that the host itself sends by its own address to published ports get no answer from a pasta run by `argv`.

    One that has no address of its own for the host takes them for the gateway's, and leads answers there.
    """
    from pyman.network import hosts

    return "--no-map-gw" in argv and "--map-guest-addr" not in argv and not _is_apart(argv, hosts.host_address())


def arguments(info: NetInfo, given: list[str], ports: list[dict[str, Any]], program: str) -> list[str]:
    """pasta's command line but for the namespace; what it offers is noted in `info`. given: options of the user's. UsageError."""
    check_options(given)
    known = _features(program)
    # The pid "file" is a pipe on its stdout: pasta writes it when it is ready, and the other descriptors it closes.
    # In the foreground it stays our child, and so ends with us even if we are killed.
    argv = ["pasta", "--config-net", "--foreground", "--pid", "/proc/self/fd/1"]
    if "--no-netns-quit" in known and "--no-netns-quit" not in given:
        argv.append("--no-netns-quit")  # a wiped runtime directory is no reason to leave the container without network
    for option, default in (("--dns-forward", DNS_FORWARD), ("--map-guest-addr", GUEST_ADDR)):
        address = _value(given, option)
        if not address and option in known:
            argv += [option, default]
            address = default
        if option == "--dns-forward":
            info.dns = [address] if address not in ("", "none") else []
        else:
            info.host_address = address if address != "none" else ""
    if not _value(given, "--map-guest-addr") and ("--map-guest-addr" not in known or _names(given, "-a", "--address")):
        # Its own address for the host stands for a copy of the host's address only.
        info.host_address = _address_for_host(given) or info.host_address
    # The automatic forwarding of whatever is bound is off, unless the user asks for it.
    for letter, long, protocol in (("-t", "--tcp-ports", "tcp"), ("-u", "--udp-ports", "udp")):
        specs = [_pasta_port(port) for port in _joined(ports) if port["protocol"] == protocol]
        for spec in specs or ([] if _names(given, letter, long) else ["none"]):
            argv += [letter, spec]
    for letter, long in (("-T", "--tcp-ns"), ("-U", "--udp-ns")):
        if not _names(given, letter, long):
            argv += [letter, "none"]
    if not any(option in ("--map-gw", "--no-map-gw") for option in given):
        argv.append("--no-map-gw")
    argv += [option for option in given if option != "--map-gw"]
    if not default_routes():
        argv += _without_uplink(given)
    quiet = not any(option in ("-d", "--debug", "--trace", "-q", "--quiet") for option in given)
    return [*argv, *(["--quiet"] if quiet else []), "--netns"]


def begin(setup: NetSetup, netns: str, conf: dict[str, Any], ports: list[dict[str, Any]]) -> None:
    """Start pasta for the network namespace at path `netns`. MissingProgram."""
    program = helper.find("pasta")
    given = merged(list(conf["network"].get("pasta_options") or []), helper.options(setup.mode))
    argv = [*arguments(setup.info, given, ports, program), helper.bind_netns(netns)]
    if ports:
        helper.check_ports(ports)
    setup.info.again = [program, *argv]
    setup.log_fd, write_end = os.pipe()
    # What it says later fills the pipe, which the monitor keeps open, and then gets lost: it must neither wait nor die of it.
    os.set_blocking(write_end, False)
    setup.ready_fd, ready_w = os.pipe()
    setup.pid = helper.spawn(program, argv, (-1, ready_w, write_end))
    os.close(write_end)
    os.close(ready_w)


def _without_uplink(given: list[str]) -> list[str]:
    """A host without a default route: pasta may not find an interface by itself, so it gets loopback and an address.

    Loopback has neither a hardware address nor a name that a device in the namespace could have.
    """
    if any(option.startswith(("-a", "--address", "-i", "--interface")) for option in given):
        return []
    found = ["--ipv4-only", "-i", "lo", "-a", "10.0.2.100", "-n", "24", "-g", "10.0.2.2"]
    for letter, long, value in (("-M", "--mac-addr", "9a:55:9a:55:9a:55"), ("-I", "--ns-ifname", "eth0")):
        if not _names(given, letter, long):
            found += [letter, value]
    return found


def _joined(ports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The mappings, of which one at 0.0.0.0 and its like at :: are one at all addresses: pasta takes a port once."""
    result: list[dict[str, Any]] = []
    for port in ports:
        like = {**port, "host_ip": {"0.0.0.0": "::", "::": "0.0.0.0"}.get(port["host_ip"])}
        if like in result:
            result[result.index(like)] = {**port, "host_ip": ""}
        else:
            result.append(port)
    return result


def _overlapping(program: str, reason: str, ports: list[dict[str, Any]]) -> NetworkError:
    """What this pasta refuses, and who would take it: a port at several addresses, or one that an option of its own names as well."""
    seen: dict[tuple[str, int], str] = {}
    for port in ports:
        for number in range(port["host_port"], port["host_port"] + port["range"]):
            first = seen.setdefault((port["protocol"], number), port["host_ip"])
            if first != port["host_ip"]:
                return NetworkError(
                    f"cannot publish port {number}/{port['protocol']} at {first} and at {port['host_ip']} with pasta",
                    "this pasta takes a port at one address, or at all",
                    "use --network bridge or another network, slirp4netns (IPv4 only), or one address (-p, network.default_host_ips)",
                    stage="network",
                )
    return helper.explain(program, reason, ports)


def _pasta_port(port: dict[str, Any]) -> str:
    first, last = port["host_port"], port["host_port"] + port["range"] - 1
    target, target_last = port["container_port"], port["container_port"] + port["range"] - 1
    address = f"{port['host_ip']}/" if port["host_ip"] else ""
    return f"{address}{first}-{last}:{target}-{target_last}" if first != last else f"{address}{first}:{target}"


def finish(setup: NetSetup, init_pid: int) -> None:
    """pasta writes its pid when it is ready."""
    text = os.read(setup.ready_fd, 32).strip()
    os.close(setup.ready_fd)
    if not text:
        code = process.wait(setup.pid)
        with open(setup.log_fd, "rb") as pipe:
            reason = pipe.read(4096).decode(errors="replace").strip()
        setup.pid = 0
        explain = _overlapping if "Overlapping port specifier" in reason else helper.explain
        raise explain("pasta", reason or f"exit code {code}", setup.info.ports)
    os.set_inheritable(setup.log_fd, True)
    setup.info.pids = [(setup.pid, process.start_time(setup.pid))]
    setup.info.private = True
    setup.info.ip = next(_addresses(str(init_pid)), "")


def _addresses(pid: str) -> Iterator[str]:
    """The IPv4 addresses of a process's network namespace that are not loopback, from /proc/PID/net/fib_trie (no netlink needed)."""
    try:
        with open(f"/proc/{pid}/net/fib_trie") as file:
            lines = file.read().split("\n")
    except OSError:
        return
    for line, following in zip(lines, lines[1:]):
        if "|--" in line and "host LOCAL" in following:
            address = line.split()[-1]
            if not address.startswith("127."):
                yield address
