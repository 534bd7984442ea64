"""Every key of containers.toml: table, key, type, default, one line of comment. Data only; any process."""

from __future__ import annotations

from pyman.state import fastjson

# (table, key, type, default, comment); types: str, int, bool, list (of strings), map (name -> list of strings)
KEYS: tuple[tuple[str, str, str, object, str], ...] = (
    (
        "containers",
        "base_hosts_file",
        "str",
        "",
        "File that a container's /etc/hosts begins with; image: the image's own; none: an empty one; empty: the host's /etc/hosts",
    ),
    ("containers", "default_capabilities", "list", [], "Capabilities of a container; empty: the built-in list (as Podman's)"),
    ("containers", "default_ulimits", "list", [], 'Limits of a container, as for --ulimit: ["nofile=1024:2048"]'),
    (
        "containers",
        "default_sysctls",
        "list",
        ["net.ipv4.ping_group_range=0 0"],
        "Sysctls of a container that has the namespace they belong to, as for --sysctl; the default lets its root use ping",
    ),
    ("containers", "devices", "list", [], "Devices added to every container, as for --device"),
    ("containers", "dns_servers", "list", [], "Name servers of a container; empty: the host's"),
    ("containers", "dns_searches", "list", [], "Search domains of a container; empty: the host's"),
    ("containers", "dns_options", "list", [], "Resolver options of a container"),
    ("containers", "env", "list", [], 'Environment of every container: ["NAME=value"]'),
    (
        "containers",
        "host_containers_internal_ip",
        "str",
        "",
        "Address of host.containers.internal, and of --add-host NAME:host-gateway; none: no such name; empty: as the network has it",
    ),
    ("containers", "http_proxy", "bool", True, "Pass the host's http_proxy variables into containers"),
    ("containers", "init", "bool", False, "Run an init program in every container, as for --init"),
    ("containers", "init_path", "str", "", "The init program; empty: catatonit or tini, where they are found"),
    ("containers", "log_driver", "str", "k8s-file", "Log driver: k8s-file, json-file, journald, none, passthrough or passthrough-tty"),
    ("containers", "log_size_max", "int", 0, "Bytes after which a log file is rotated; 0: never"),
    (
        "containers",
        "netns",
        "str",
        "private",
        "Network of a container: private (the default program below), pasta, slirp4netns, bridge, a network's name, host, none",
    ),
    ("containers", "mounts", "list", [], 'Mounts of every container, as for --mount: ["type=tmpfs,dst=/scratch"]'),
    ("containers", "no_hosts", "bool", False, "Leave /etc/hosts of the image as it is"),
    ("containers", "pids_limit", "int", 2048, "Most processes in a container, where the controller pids was delegated; 0: no limit"),
    ("containers", "read_only", "bool", False, "Read-only root file system, as for --read-only"),
    ("containers", "seccomp_profile", "str", "", "Path of a seccomp profile; empty: the built-in one"),
    ("containers", "shm_size", "str", "64m", "Size of /dev/shm"),
    ("containers", "umask", "str", "0022", "umask of a container's processes"),
    ("containers", "userns", "str", "", "User namespace of a container: host, keep-id, nomap; empty: host"),
    ("containers", "volumes", "list", [], 'Volumes of every container, as for --volume: ["/srv/data:/data:ro"]'),
    (
        "engine",
        "cgroup_manager",
        "str",
        "",
        "Who makes control groups: systemd (scopes of the user's manager), cgroupfs, or empty: systemd where its manager is reachable",
    ),
    ("engine", "compression_format", "str", "gzip", "Compression of layers that are pushed: gzip, zstd or zstd:chunked"),
    ("engine", "compression_level", "int", 0, "Its level; 0: the one that is fastest for its size"),
    ("engine", "detach_keys", "str", "ctrl-p,ctrl-q", "Keys that detach from a container; empty: none"),
    ("engine", "events_logfile_max_size", "int", 4194304, "Bytes after which the log of events is rotated (one older file is kept)"),
    ("engine", "events_logger", "str", "file", "Where events are written: file or none"),
    ("engine", "healthcheck_events", "bool", True, "Note in the log of events when a container becomes healthy or unhealthy"),
    ("engine", "image_parallel_copies", "int", 0, "Layers downloaded or uploaded at a time; 0: twice as many as processors, 3 to 8"),
    ("engine", "network_cmd_options", "list", [], 'Options of every slirp4netns: ["mtu=1500", "enable_ipv6=false"]'),
    ("engine", "pull_policy", "str", "missing", "When run and create pull: always, missing, never or newer"),
    ("engine", "runtime", "str", "", "OCI runtime: empty for pyman's own, or a name from [engine.runtimes], or a path"),
    ("engine", "runtimes", "map", {}, 'Paths of other OCI runtimes: crun = ["/usr/bin/crun"]'),
    ("engine", "stop_smart", "bool", False, "As stop --stop-smart: do not wait for a process that has no handler for the stop signal"),
    ("engine", "stop_timeout", "int", 10, "Seconds from the stop signal to SIGKILL"),
    ("network", "default_host_ips", "list", [], "Host addresses of published ports that name none; empty: all"),
    ("network", "default_network", "str", "podman", "Name of the network that --network bridge means"),
    (
        "network",
        "default_rootless_network_cmd",
        "str",
        "",
        "Program that connects containers: pasta or slirp4netns; empty: pasta, or slirp4netns where pasta is not installed",
    ),
    ("network", "default_subnet", "str", "10.88.0.0/16", "Subnet of the default network"),
    (
        "network",
        "default_subnet_pools",
        "list",
        ["10.89.0.0/16:24", "10.90.0.0/15:24", "10.92.0.0/14:24", "10.96.0.0/11:24", "10.128.0.0/9:24"],
        "Where subnets of new networks come from, as SUBNET:PREFIX-LENGTH or {base, size}",
    ),
    ("network", "dns_bind_port", "int", 53, "Port of the name server of networks"),
    ("network", "pasta_options", "list", [], "Options added to every pasta command"),
    (
        "network",
        "setup_hooks",
        "list",
        [],
        "Programs run in a container's network namespace once its devices are set up, before its command: PATH [ARGUMENT...]",
    ),
    ("secrets", "driver", "str", "file", "Driver that keeps the values of secrets: file (encrypted), pass or shell"),
    ("secrets", "opts", "list", [], 'Options of that driver: ["root=/home/me/.password-store", "key=ID"]'),
    (
        "storage",
        "additional_image_stores",
        "list",
        [],
        "Directories of further stores (graphroots) whose images are used where they lie; they are never written",
    ),
    ("storage", "driver", "str", "", "overlay (the kernel's), fuse-overlayfs, or empty: overlay where it works"),
    (
        "storage",
        "partial_pulls",
        "str",
        "auto",
        "Fetch of zstd:chunked layers only the files that the store lacks: auto (not from registries of this machine), always, never",
    ),
    ("storage", "mount_program", "str", "", "Path of fuse-overlayfs; when set, it is used"),
    (
        "storage",
        "share_files",
        "str",
        "auto",
        "Equal files of different layers: auto (stored once where the file system has reflinks), link (hard links: containers see them), none",
    ),
)


def defaults() -> dict[str, dict[str, object]]:
    """All tables with their default values, lists and maps fresh."""
    result: dict[str, dict[str, object]] = {}
    for table, key, kind, default, _ in KEYS:
        value: object = default
        if isinstance(default, list):
            value = list(default)
        elif kind == "map":
            value = {}
        result.setdefault(table, {})[key] = value
    return result


def example() -> str:
    """The text of containers.toml.example."""
    lines = [
        "# pyman's configuration. Each key stands with its default; remove the # to change it.",
        "# Read in this order, later files win: /usr/share/pyman, /etc/pyman, $XDG_CONFIG_HOME/pyman,",
        "# each with containers.toml and then containers.toml.d/*.toml; then the modules that --module names, which are",
        "# looked for in containers.toml.modules of these directories. {append = true} in a list adds it to the earlier ones.",
    ]
    table = ""
    for name, key, kind, default, comment in KEYS:
        if name != table:
            table = name
            lines += ["", f"[{table}]"]
        text = {"str": f'"{default}"', "bool": str(default).lower(), "list": fastjson.dumps(default), "map": "{}"}.get(kind, str(default))
        lines += [f"# {comment}", f"#{key} = {text}"]
    return "\n".join(lines) + "\n"
