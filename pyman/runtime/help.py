"""What `--help` of `pyman-runtime` says about its options. The runtime program, for --help only."""

from __future__ import annotations

# One sentence an option, whatever the command; options that mean different things carry the command's name.
OPTIONS = {
    "--additional-gids": "further groups of the process (may be repeated)",
    "--all": "to all processes of the container",
    "--apparmor": "AppArmor profile of the process",
    "--auto-dedup": "for criu",
    "--blkio-weight": "share of I/O, 10 to 1000",
    "--bundle": "directory of the bundle (the current one)",
    "--cap": "a capability the process gets beside the container's (may be repeated)",
    "--cgroup": "a cgroup below the container's for the process",
    "--cgroup-manager": "cgroupfs, systemd (as --systemd-cgroup) or disabled (none is made)",
    "--config": "name of the configuration in the bundle (config.json)",
    "--console-socket": "socket that gets the terminal's descriptor",
    "--cpu-burst": "microseconds that may be saved up",
    "--cpu-idle": "1: runs when nobody else wants to",
    "--cpu-period": "microseconds of a period",
    "--cpu-quota": "microseconds of CPU time in a period, -1 for no limit",
    "--cpu-share": "relative share of CPU time",
    "--cpu-shares": "relative share of CPU time",
    "--cpuset-cpus": "CPUs, such as 0-3,7",
    "--cpuset-mems": "memory nodes, such as 0-1",
    "--cwd": "working directory of the process",
    "--debug": "say more on stderr and in the log",
    "--detach": "return when the program runs",
    "--empty-ns": "for criu",
    "--env": "NAME=VALUE for the process (may be repeated)",
    "--ext-unix-sk": "for criu",
    "--file-locks": "for criu",
    "--force": "kill it if it runs; no error if there is none",
    "--format": "table or json",
    "--help": "this text",
    "--ignore-paused": "start the process in a paused container, too",
    "--image-path": "directory of the checkpoint's images (checkpoint)",
    "--interval": "time between two lines of statistics (5s)",
    "--keep": "do not forget the container when it has ended",
    "--lazy-pages": "for criu",
    "--leave-running": "for criu",
    "--link-remap": "for criu",
    "--log": "file for errors and warnings",
    "--log-format": "json or text",
    "--lsm-mount-context": "for criu",
    "--lsm-profile": "for criu",
    "--manage-cgroups-mode": "soft, full, strict, ignore, none or props",
    "--memory": "limit of memory, with b k m g t; -1 for none",
    "--memory-reservation": "memory that is kept from others, if possible",
    "--memory-swap": "limit of memory and swap together; -1 for none",
    "--no-new-keyring": "keep the caller's session keyring",
    "--no-new-privs": "set no_new_privs",
    "--no-pivot": "enter the root without pivot_root, for a host on a ramdisk",
    "--no-subreaper": "without effect here, as nothing stays behind",
    "--page-server": "for criu",
    "--parent-path": "for criu",
    "--pid-file": "file that gets the process's number",
    "--pidfd-socket": "socket that gets a descriptor of the process",
    "--pids-limit": "greatest number of processes, -1 for no limit",
    "--pre-dump": "for criu",
    "--preserve-fds": "number of descriptors from 3 on that the program keeps",
    "--process": "file with the process object",
    "--process-label": "SELinux label of the process",
    "--quiet": "ids only",
    "--regex": "CONTAINER is a regular expression",
    "--resources": "file with linux.resources, or - for stdin",
    "--root": "directory of the containers' states",
    "--rootless": "for spec: a user namespace; else of no effect, as rights are looked at",
    "--shell-job": "for criu",
    "--stats": "one line, then end",
    "--status-fd": "for criu",
    "--systemd-cgroup": "scopes of the service manager, where cgroupsPath is SLICE:PREFIX:NAME",
    "--tcp-established": "for criu",
    "--tcp-skip-in-flight": "for criu",
    "--tty": "give the process a terminal",
    "--user": "UID[:GID] of the process",
    "--version": "version and features",
    "--work-path": "for criu",
}


def lines(known: dict[str, bool], short: dict[str, str]) -> str:
    """The options of a command, a line each; `short` has the long name of each short one."""
    rows = []
    for name in sorted(name for name in known if name.startswith("--")):
        letters = sorted(letter for letter in known if short.get(letter) == name)
        rows.append((", ".join([*letters, name]) + (" VALUE" if known[name] else ""), OPTIONS[name]))
    width = max((len(row[0]) for row in rows), default=0)
    return "".join(f"  {left.ljust(width)}  {right}\n" for left, right in rows)
