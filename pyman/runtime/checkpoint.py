"""`pyman-runtime` checkpoint and restore: what stands in criu's way on this host, for this container. The runtime program.

criu freezes processes by ptrace(2) and makes them anew from inside their namespaces. Tried with criu 4.2.1 (--unprivileged) on
Linux 6.18, as root of the container's user namespace, which has all the rights that its owner can give:

- To run code in a process that has a seccomp filter the filter is suspended first (PTRACE_O_SUSPEND_SECCOMP). That needs
  CAP_SYS_ADMIN in the initial user namespace: EPERM, and the dump ends.
- What a process has mapped is opened through /proc/PID/map_files, which needs CAP_CHECKPOINT_RESTORE in the initial user namespace.
  Without it criu takes the names instead, and looks for them in its own root. So it would have to run in the container's root,
  and with it the programs that it executes (tar, iptables-save): the container chooses what they are.
- criu started in any other namespaces than ones made in that user namespace cannot come back into its own ("Can't restore ns back").
- A uts namespace is restored by writing /proc/sys/kernel/hostname, which belongs to root of the host: EACCES.

A container without a filter was dumped as a whole with criu in its root and in fresh namespaces; so a runtime could do the first half
for containers that are trusted. No dump of such a kind comes back as a container of its own uts namespace.
"""

from __future__ import annotations

import os

from pyman.errors import RuntimeFailure, UsageError
from pyman.runtime import bundle, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNPRIVILEGED_SINCE = (3, 18)  # criu --unprivileged
_CGROUP_MODES = ("soft", "full", "strict", "ignore", "none", "props")


def run(verb: str, settings: dict[str, Any], args: list[str], opts: dict[str, Any]) -> int:
    """Never returns: RuntimeFailure with everything that stands in the way; UsageError for a command line that makes no sense."""
    mode = opts.get("manage_cgroups_mode") or "soft"
    if mode not in _CGROUP_MODES:
        raise UsageError(f"invalid --manage-cgroups-mode {mode!r}", f"known are {', '.join(_CGROUP_MODES)}")
    root = store.Root(settings.get("root") or "")
    what = f"cannot {verb} container {args[0]}"
    found = criu()
    if verb == "checkpoint":
        entry = root.load(args[0])
        entry.require_running("checkpoint", created=True)
        found += of_processes(entry.pid)
    elif not os.path.isdir(opts.get("image_path") or "checkpoint"):
        raise UsageError(
            what, f"there is no directory {opts.get('image_path') or 'checkpoint'} with its images", "give it with --image-path"
        )
    else:
        spec = bundle.load(os.path.abspath(opts.get("bundle") or "."))
        if any(entry["type"] == "uts" and not entry.get("path") for entry in spec["linux"]["namespaces"]):
            found.append(
                "criu sets a container's host name through /proc/sys/kernel/hostname, which only the host's root may write (EACCES)"
            )
    found.append("this runtime does not drive criu")
    raise RuntimeFailure(what, "; ".join(found), "let runc or crun run it as the host's root, if it must move", stage=verb)


def criu() -> list[str]:
    """What is wrong with the criu of this host."""
    for directory in (os.environ.get("PATH") or os.defpath).split(":"):
        path = f"{directory}/criu"
        if directory and os.access(path, os.X_OK):
            break
    else:
        return ["criu is not installed"]
    output = os.memfd_create("criu", os.MFD_CLOEXEC)
    from pyman.linux import process

    process.wait(os.posix_spawn(path, ["criu", "--version"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, output, 1)]))
    words = os.pread(output, 4096, 0).decode(errors="replace").split()
    os.close(output)
    numbers = next((word for word in words if word[:1].isdigit()), "0.0").split(".")
    version = tuple(int(part) for part in numbers[:2] if part.isdigit())
    if version < _UNPRIVILEGED_SINCE:
        return [f"{path} {'.'.join(numbers)} has no mode for users without privileges (criu 3.18 has)"]
    return []


def of_processes(pid: int) -> list[str]:
    """What the kernel refuses about the processes of init `pid`."""
    found = []
    with open(f"/proc/{pid}/status") as file:
        fields = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
    if fields.get("Seccomp", "").strip() == "2":
        found.append("its seccomp filter cannot be suspended without the host's CAP_SYS_ADMIN (PTRACE_O_SUSPEND_SECCOMP: EPERM)")
    if os.stat(f"/proc/{pid}/ns/user").st_ino != os.stat("/proc/self/ns/user").st_ino:
        found.append(
            "the files that it has mapped can be told from others only with the host's CAP_CHECKPOINT_RESTORE (/proc/PID/map_files: EPERM); "
            "without it criu takes what has their names, in a root that the container made"
        )
    return found
