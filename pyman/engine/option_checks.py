"""Values of create's and run's options that make no sense, refused before anything is made. CLI process, with one of them given only.

`create.CHECKED` lists the options; what a start finds out anyway (specgen) is called here too, so that `create` refuses it as well.
"""

from __future__ import annotations

import _socket
import errno
import os
import stat

from pyman.digits import is_whole
from pyman.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_STREAMS = ("stdin", "stdout", "stderr")
_PROTOCOLS = ("tcp", "udp", "sctp")


def check(opts: dict[str, Any], conf: dict[str, Any]) -> None:
    """UsageError for the first value that cannot be used."""
    _contradictions(opts)
    for stream in opts.get("attach") or []:
        if stream.lower() not in _STREAMS:
            raise _invalid(stream, "attach", "it must be stdin, stdout or stderr")
    for option in ("pid", "ipc", "uts", "cgroupns"):
        mode = opts.get(option) or "private"
        if mode not in ("private", "shareable", "none", "host") and not mode.startswith(("ns:/", "container:")):
            raise _invalid(mode, option, "it must be private, host, container:NAME or ns:PATH")
        if mode.startswith("ns:") and not os.path.exists(mode[3:]):
            raise UsageError(f"cannot use --{option} {mode}", f"{mode[3:]}: No such file or directory", errno=2)
    if (opts.get("userns") or "host").partition(":")[0] not in ("host", "private", "keep-id", "nomap", "container", "auto", "ns"):
        raise _invalid(opts["userns"], "userns", "it must be host, keep-id[:uid=N,gid=N], nomap or container:NAME")
    for item in opts.get("expose") or []:
        _port(item)
    for item in opts.get("add_host") or []:
        names, _, address = item.partition(":")
        if not all(names.split(";")) or not address:
            raise _invalid(item, "add-host", "the form is NAME[;NAME...]:IP", "for example: --add-host db:10.0.0.5")
        if address != "host-gateway" and not is_address(address.strip("[]")):
            raise _invalid(item, "add-host", f"{address!r} is neither an IP address nor host-gateway")
        if any(char <= " " or char == "\x7f" or char == "#" for char in names):
            raise _invalid(item, "add-host", "a host name has no blanks and no control characters")
    for server in opts.get("dns") or []:
        if server != "none" and not is_address(server):
            raise _invalid(server, "dns", "it is neither an IP address nor none")
    if "." in (opts.get("dns_search") or []) and len(opts["dns_search"]) > 1:
        raise _invalid(".", "dns-search", "it stands for no search domain, and others are given")
    for option, least, why in (("dns_search", "!", "blanks and control characters"), ("dns_option", " ", "control characters")):
        for item in opts.get(option) or []:
            if not item or any(char < least or char == "\x7f" for char in item):
                raise _invalid(item, option.replace("_", "-"), f"{why} cannot be in it")
    for item in opts.get("annotation") or []:
        if "=" not in item.lstrip("="):
            raise _invalid(item, "annotation", "the form is KEY=VALUE")
    for item in opts.get("env_merge") or []:
        if "=" not in item.lstrip("="):
            raise _invalid(item, "env-merge", "the form is NAME=VALUE", "for example: --env-merge 'PATH=/opt/bin:${PATH}'")
    if opts.get("image_volume") not in (None, "", "anonymous", "ignore", "tmpfs"):
        raise _invalid(opts["image_volume"], "image-volume", "it must be anonymous, tmpfs or ignore")
    if not -1000 <= int(opts.get("oom_score_adj") or 0) <= 1000:
        raise _invalid(str(opts["oom_score_adj"]), "oom-score-adj", "it must be -1000 to 1000")
    if int(opts.get("timeout") or 0) >= 1 << 31:
        raise _invalid(str(opts["timeout"]), "timeout", "it must be 68 years at most")
    if any(char <= " " or char == "\x7f" for char in opts.get("hostname") or ""):
        raise _invalid(opts["hostname"], "hostname", "a host name has no blanks and no control characters")
    if len((opts.get("hostname") or "").encode()) > 64:
        raise _invalid(opts["hostname"], "hostname", "a host name has 64 bytes at most")
    hosts = opts.get("hosts_file") or conf["containers"].get("base_hosts_file") or "none"
    if hosts not in ("none", "image"):
        try:
            fd = os.open(hosts, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # the open of a FIFO waits for a writer
            kind = os.fstat(fd).st_mode
            os.close(fd)
            if not stat.S_ISREG(kind) and not os.path.samefile(hosts, os.devnull):
                raise OSError(errno.EINVAL, "it is not a regular file")
        except OSError as err:
            raise UsageError(
                f"cannot read hosts file {hosts}",
                err.strerror or str(err),
                "--hosts-file none begins with an empty one",
                errno=err.errno or 0,
            ) from err
    if opts.get("authfile") and not os.path.exists(opts["authfile"]):
        raise UsageError(f"cannot read {opts['authfile']}", "no such file", "--authfile names it", errno=2)
    _parsed(opts, conf)


def _parsed(opts: dict[str, Any], conf: dict[str, Any]) -> None:
    """What has a parser of its own."""
    from pyman.engine import caps, devices, limits, logopts, mount_option, security, specgen, sysctls
    from pyman.monitor import terminal
    from pyman.runtime import program

    terminal.parse_detach_keys(opts.get("detach_keys") or "")
    if opts.get("retry_delay"):
        from pyman.engine import health

        health.duration("--retry-delay", opts["retry_delay"])
    devices.entries(opts.get("device") or [])
    for item in opts.get("sysctl") or []:
        sysctls.parse(item)
    for limit in specgen.rlimits(opts, {}) if opts.get("ulimit") else ():
        if limit["type"].removeprefix("RLIMIT_") not in program.RLIMITS:
            name = limit["type"].removeprefix("RLIMIT_").lower()
            raise UsageError(
                f"invalid ulimit {name!r}", "no limit has this name", f"known are {', '.join(sorted(program.RLIMITS)).lower()}"
            )
    specgen.umask(opts, {})
    if opts.get("personality"):
        specgen.personality(opts["personality"])
    if opts.get("tz"):
        from pyman.engine import timezone

        timezone.mount(opts["tz"])
    if opts.get("uidmap") or opts.get("gidmap"):
        from pyman.engine import id_maps

        id_maps.check([*(opts.get("uidmap") or []), *(opts.get("gidmap") or [])])
    caps.bounding(list(opts.get("cap_add") or []), list(opts.get("cap_drop") or []), False, [])
    if opts.get("shm_size"):
        logopts.parse_size(opts["shm_size"], "--shm-size")
    for item in opts.get("tmpfs") or []:
        mount_option.parse_tmpfs(item)
    if any(opts.get(key) for key in specgen.LIMITS):
        limits.resources(opts)
    if opts.get("security_opt"):
        security.apply({"process": {}, "linux": {}, "mounts": []}, opts, conf["containers"], [], bool(opts.get("privileged")))


def _contradictions(opts: dict[str, Any]) -> None:
    """Options that cannot be used together. UsageError."""
    if opts.get("no_hosts") and opts.get("add_host"):
        raise UsageError("cannot use --add-host and --no-hosts together", "there is no file to add the name to")
    dns = [name for name in ("dns", "dns_option", "dns_search") if opts.get(name)]
    network = (opts.get("network") or [""])[-1]
    if dns and (network == "none" or network.startswith("container:")):
        why = "the container has no network" if network == "none" else "the other container's resolv.conf counts"
        raise UsageError(f"cannot use --{dns[0].replace('_', '-')} with --network {network}", why)
    if opts.get("add_host") and network.startswith("container:"):
        raise UsageError(f"cannot use --add-host with --network {network}", "the other container's /etc/hosts counts", "add the name there")
    if opts.get("hosts_file") and network.startswith("container:"):
        raise UsageError(f"cannot use --hosts-file with --network {network}", "the other container's /etc/hosts counts", "give it there")
    if opts.get("no_hosts") and opts.get("hosts_file"):
        raise UsageError("cannot use --hosts-file and --no-hosts together", "there is no file to base it on")
    if "none" in (opts.get("dns") or []) and (len(dns) > 1 or len(opts["dns"]) > 1):
        raise UsageError("cannot use --dns none with other resolver options", "none leaves the image's /etc/resolv.conf as it is")
    if opts.get("shm_size") and opts.get("ipc") == "host":
        raise UsageError("cannot use --shm-size with --ipc host", "the container uses the host's /dev/shm")
    if opts.get("replace") and not opts.get("name"):
        raise UsageError("cannot use --replace without --name", "it replaces the container of that name")
    if opts.get("platform") and (opts.get("arch") or opts.get("os")):
        raise UsageError(f"cannot use --platform together with --{'arch' if opts.get('arch') else 'os'}", "both say the same")
    if opts.get("init") and opts.get("pid") not in (None, "", "private"):
        raise UsageError(f"cannot use --init with --pid {opts['pid']}", "the init program must be the first process, and another one is")
    if opts.get("hostname") and opts.get("uts") not in (None, "", "private"):
        raise UsageError(f"cannot use --hostname with --uts {opts['uts']}", "the host name is not the container's own")


def _port(item: str) -> None:
    ports, slash, protocol = item.partition("/")
    first, dash, last = ports.partition("-")
    numbers = [int(text) if is_whole(text, 5) else 0 for text in (first, last if dash else first)]
    if not 1 <= numbers[0] <= numbers[1] <= 65535:
        raise _invalid(item, "expose", "it is neither a port nor a range of ports", "for example: --expose 8000-8010/udp")
    if slash and protocol.lower() not in _PROTOCOLS:
        raise _invalid(item, "expose", f"{protocol!r} is none of {', '.join(_PROTOCOLS)}")


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    for family in (_socket.AF_INET, _socket.AF_INET6):
        try:
            _socket.inet_pton(family, text)
            return True
        except (OSError, ValueError):
            pass
    return False


def _invalid(value: str, option: str, why: str, hint: str = "") -> UsageError:
    return UsageError(f"invalid value {value!r} for --{option}", why, hint)
