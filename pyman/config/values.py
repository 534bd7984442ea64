"""What the values of containers.toml may be, beyond their types. Data; CLI process, when a file changed."""

from __future__ import annotations

import re

_ADDRESS = r"[0-9A-Fa-f:.]+"
_SIZE = r"\d+(\.\d+)?\s*[bkmgBKMG]?[bB]?"
_KEY = r"(.|ctrl-[a-z@\[\\\]^_])"
# (table, key) -> (pattern of the value, or of each item; what it says)
PATTERNS: dict[tuple[str, str], tuple[str, str]] = {
    ("containers", "base_hosts_file"): (r"/.*|none|image|", "an absolute path, none, image, or empty"),
    ("containers", "host_containers_internal_ip"): (rf"none|{_ADDRESS}|", "an IP address, none, or empty"),
    ("containers", "default_sysctls"): (r"[^=\s]+=.*", "NAME=VALUE"),
    ("containers", "default_ulimits"): (r"host|\w+=(-1|unlimited|\d+)(:(-1|unlimited|\d+))?", "NAME=SOFT[:HARD]"),
    ("containers", "devices"): (r"/.*", "paths of devices"),
    ("containers", "dns_servers"): (rf"none|{_ADDRESS}", "IP addresses"),
    ("containers", "env"): (r"[^=]+=.*", "NAME=VALUE"),
    ("containers", "log_driver"): ("k8s-file|json-file|none|passthrough|passthrough-tty|journald", ""),
    ("containers", "shm_size"): (_SIZE, "a size such as 64m"),
    ("containers", "umask"): ("0?[0-7]{1,3}|", "an octal number up to 0777"),
    ("containers", "userns"): (
        r"host|private|keep-id(:.*)?|nomap|container:.+|auto(:.*)?|",
        "host, keep-id[:uid=N,gid=N], nomap or container:NAME",
    ),
    ("engine", "compression_format"): ("gzip|zstd|zstd:chunked", ""),
    ("engine", "detach_keys"): (rf"({_KEY}(,{_KEY})*)?", "single characters or ctrl-X, with commas between them"),
    ("engine", "events_logger"): ("file|none", ""),
    ("engine", "network_cmd_options"): (r"[a-z_0-9]+=.+", "NAME=VALUE"),
    ("engine", "pull_policy"): ("always|missing|never|newer", ""),
    ("network", "default_host_ips"): (_ADDRESS, "IP addresses"),
    ("network", "setup_hooks"): (r"/.*", "absolute paths, with their arguments"),
    ("network", "default_rootless_network_cmd"): ("pasta|slirp4netns|", "pasta, slirp4netns, or empty"),
    ("network", "default_subnet_pools"): (rf"{_ADDRESS}/\d+:\d+", "SUBNET:PREFIX-LENGTH, an IPv4 subnet and the length of its parts"),
    ("network", "default_subnet"): (rf"{_ADDRESS}/\d+", "a subnet such as 10.88.0.0/16"),
    ("secrets", "driver"): ("file|pass|shell", ""),
    ("secrets", "opts"): (r"[^=]+=.*", "NAME=VALUE"),
    ("storage", "additional_image_stores"): (r"/.*", "absolute paths"),
    ("storage", "driver"): ("overlay|fuse-overlayfs|", "overlay, fuse-overlayfs, or empty"),
    ("storage", "mount_program"): (r"(/.*)?", "an absolute path"),
    ("storage", "partial_pulls"): ("auto|always|never", ""),
    ("storage", "share_files"): ("auto|link|none", ""),
}
# Keys that Podman has and pyman has no use for: why.
ELSEWHERE: dict[tuple[str, str], str] = {
    ("network", "network_backend"): "bridges are made by pyman itself",
    ("network", "netavark_plugin_dirs"): "bridges are made by pyman itself",
    ("network", "cni_plugin_dirs"): "bridges are made by pyman itself",
    ("network", "network_config_dir"): "networks lie in networks/ of the directory that --root or XDG_DATA_HOME chooses",
    ("network", "firewall_driver"): "rules are always nftables', in the network namespace of the bridges",
}
# (table, key) -> least and most
RANGES: dict[tuple[str, str], tuple[int, int]] = {
    ("containers", "log_size_max"): (-1, 1 << 62),
    ("containers", "pids_limit"): (-1, 1 << 22),
    ("engine", "compression_level"): (0, 22),
    ("engine", "events_logfile_max_size"): (0, 1 << 62),
    ("engine", "image_parallel_copies"): (0, 64),
    ("engine", "stop_timeout"): (0, 1 << 31),
    ("network", "dns_bind_port"): (0, 65535),
}


def _is_usable(key: str, text: str) -> bool:
    """Whether a value of [network] that has the right characters is an address, or a subnet."""
    import ipaddress  # for such keys only

    try:
        if key == "default_host_ips":
            ipaddress.ip_address(text)
        elif key == "default_subnet":
            ipaddress.ip_network(text, strict=False)
        elif key == "default_subnet_pools":
            pool, _, size = text.rpartition(":")
            return ipaddress.IPv4Network(pool, strict=False).prefixlen <= int(size) <= 30
    except ValueError:
        return False
    return True


def problem(table: str, key: str, value: object) -> str:
    """Why a value of the right type cannot be used: what it must be. Empty for a good one."""
    if isinstance(value, int) and (table, key) in RANGES:
        least, most = RANGES[table, key]
        return "" if least <= value <= most else f"it must be {least} to {most}" if most < 1 << 31 else f"it must be {least} or more"
    if (table, key) not in PATTERNS:
        return ""
    pattern, words = PATTERNS[table, key]
    words = words or ", ".join(pattern.split("|"))
    for item in value if isinstance(value, list) else [value]:
        if not re.fullmatch(pattern, str(item), re.DOTALL) or (table == "network" and not _is_usable(key, str(item))):
            return f"{item!r} is not allowed: it must be {words}" if not isinstance(value, list) else f"{item!r} is not of the form {words}"
    return ""
