"""Try everything a start needs; for each: verdict, evidence, and the one command that mends it. CLI process, slow path."""

from __future__ import annotations

import os
import sys

from pyman import paths
from pyman.config import containers as containers_conf
from pyman.engine import cgroups
from pyman.errors import ConfigError, PymanError
from pyman.linux import libc, process, seccomp
from pyman.monitor import spawn
from pyman.network import helper as network_helper
from pyman.network import setup as network
from pyman.rootless import idmap, subids, userns
from pyman.runtime import cgroup
from pyman.state import store
from pyman.storage import driver, suitable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

OK, WARN, FAIL = "ok", "warn", "fail"


class Finding:
    """One check's outcome. `fix`: a command, empty where nothing is to be done."""

    __slots__ = ("evidence", "fix", "name", "verdict")

    def __init__(self, name: str, verdict: str, evidence: str, fix: str = "") -> None:
        self.name = name
        self.verdict = verdict
        self.evidence = evidence
        self.fix = fix


def examine() -> list[Finding]:
    """All checks, in the order in which a start meets them."""
    found: list[Finding] = []
    for check in CHECKS:
        try:
            found.append(check())
        except ConfigError as err:
            if check is _configuration:  # the others that need it need not say so again
                found.append(Finding("configuration", FAIL, str(err), err.hint))
        except PymanError as err:
            found.append(Finding(check.__name__.strip("_").replace("_", " "), FAIL, str(err), err.hint))
        except OSError as err:
            found.append(Finding(check.__name__.strip("_").replace("_", " "), FAIL, f"{err.filename or ''} {err.strerror or err}".strip()))
    return found


def _user() -> str:
    return idmap.user_name(os.getuid())


def _configuration() -> Finding:
    containers_conf.load()
    files = [path for path in containers_conf.sources() if os.path.exists(path)]
    return Finding("configuration", OK, ", ".join(files) or "no containers.toml: defaults count")


def _runtime_directory() -> Finding:
    path = paths.ensure_private(paths.runroot())
    if path.startswith("/tmp/"):
        return Finding(
            "runtime directory",
            WARN,
            f"{path}: XDG_RUNTIME_DIR is not usable, so a directory in /tmp serves",
            "log in through systemd (for example: machinectl shell), or set XDG_RUNTIME_DIR",
        )
    return Finding("runtime directory", OK, path)


def _store() -> Finding:
    root = paths.ensure_private(paths.graphroot())
    os.close(os.open(root, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600))  # what cannot be written shows here
    info = os.statvfs(root)
    free = info.f_bavail * info.f_frsize
    unsuitable = suitable.problem(root)
    if unsuitable:
        fix = suitable.HINT
        if info.f_flag & os.ST_NOEXEC:
            fix = f"as root: mount -o remount,exec $(findmnt -no TARGET -T {root}); or {fix}"
        return Finding("store", FAIL, f"{root}: {unsuitable}", fix)
    if free < 1 << 30 or (info.f_files and info.f_favail < 10000):
        return Finding("store", WARN, f"{root}: {free >> 20} MiB and {info.f_favail} inodes are free", "pyman image prune -a")
    return Finding("store", OK, f"{root}, {free >> 30} GiB free")


def _subordinate_ids() -> Finding:
    maps = idmap.load_idmap()
    if maps.single:
        return Finding(
            "subordinate ids",
            WARN,
            f"{_user()} has no range in /etc/subuid or /etc/subgid: containers have one id only",
            subids.mend(),
        )
    for path in ("/etc/subuid", "/etc/subgid"):
        overlap = _overlap(path)
        if overlap:
            return Finding("subordinate ids", WARN, f"{path}: {overlap}", f"as root: edit {path} so that no two users share ids")
    if maps.count() < 65536:
        return Finding(
            "subordinate ids",
            WARN,
            f"{maps.count()} ids; images may use up to 65536",
            subids.mend(),
        )
    return Finding("subordinate ids", OK, f"{maps.count()} user ids for {_user()}")


def _overlap(path: str) -> str:
    mine = idmap.read_ranges(path, os.getuid(), _user())
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.strip().split(":") for line in file]
    for parts in lines:
        if len(parts) != 3 or parts[0] in (_user(), str(os.getuid())) or not (parts[1].isdigit() and parts[2].isdigit()):
            continue
        first, count = int(parts[1]), int(parts[2])
        for own, size in mine:
            if own < first + count and first < own + size:
                return f"your range {own}:{size} overlaps {parts[0]}'s {first}:{count}"
    return ""


def _id_mapping_programs() -> Finding:
    for tool in ("newuidmap", "newgidmap"):
        path = next(
            (f"{place}/{tool}" for place in (os.environ.get("PATH") or os.defpath).split(":") if os.access(f"{place}/{tool}", os.X_OK)), ""
        )
        if not path:
            return Finding("newuidmap and newgidmap", FAIL, f"{tool} is not installed", "as root: apt-get install uidmap")
        info = os.stat(path)
        try:
            caps = os.getxattr(path, "security.capability")
        except OSError:
            caps = b""
        if not (info.st_mode & 0o4000 and info.st_uid == 0) and not caps:
            return Finding(
                "newuidmap and newgidmap",
                FAIL,
                f"{path} is neither setuid root nor has file capabilities",
                "as root: apt-get install --reinstall uidmap",
            )
        if os.statvfs(path).f_flag & os.ST_NOSUID:
            return Finding(
                "newuidmap and newgidmap", FAIL, f"{path} lies on a file system mounted nosuid", "as root: mount -o remount,suid /usr"
            )
    return Finding("newuidmap and newgidmap", OK, "installed, with the privilege they need")


def _user_namespace() -> Finding:
    text = userns.call_in_userns(lambda: " ".join(open("/proc/self/uid_map").read().split()))
    return Finding("user namespace", OK, f"made; map: {text}")


def _container_namespaces() -> Finding:
    flags = libc.CLONE_NEWPID | libc.CLONE_NEWNET | libc.CLONE_NEWIPC | libc.CLONE_NEWUTS | libc.CLONE_NEWCGROUP | libc.CLONE_NEWNS

    def body() -> int:
        return process.wait(process.clone(flags, _mount_proc, "probe"))

    code = userns.call_in_userns(body)
    if code:
        return Finding(
            "container namespaces",
            FAIL,
            "a procfs cannot be mounted in new namespaces (is this a container whose /proc is masked?)",
            "run the outer container with --security-opt unmask=ALL",
        )
    return Finding("container namespaces", OK, "pid, net, ipc, uts, cgroup and mount namespaces work")


def _mount_proc() -> int:
    libc.mount(None, "/", None, libc.MS_REC | libc.MS_PRIVATE)
    libc.mount("proc", "/proc", "proc", 0)
    return 0


def _root_file_system() -> Finding:
    conf = containers_conf.load()
    chosen = driver.choose_driver(conf)
    verdict = OK if chosen.name == driver.OVERLAY or not chosen.reason.startswith("the kernel's overlay does not") else WARN
    return Finding("root file system", verdict, f"{chosen.name}: {chosen.reason}")


def _fuse_device() -> Finding:
    if not driver.find_program(containers_conf.load()):
        return Finding("fuse-overlayfs", WARN, "not installed; --userns keep-id needs it", "as root: apt-get install fuse-overlayfs")
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as err:
        return Finding("fuse-overlayfs", WARN, f"/dev/fuse: {err.strerror}", "as root: modprobe fuse; chmod 0666 /dev/fuse")
    return Finding("fuse-overlayfs", OK, "installed, /dev/fuse can be opened")


def _network() -> Finding:
    conf = containers_conf.load()
    mode = network_helper.preferred(conf)
    run_dir = os.path.join(paths.ensure_private(paths.runroot()), f"doctor-{os.getpid()}")
    os.mkdir(run_dir, 0o700)

    def body() -> str:
        pid = process.clone(libc.CLONE_NEWNET, _wait_for_kill, "probe")
        try:
            info = network.finish(network.begin(mode, f"/proc/{pid}/ns/net", conf, [], run_dir), pid)
            for helper, _ in info.pids:
                os.kill(helper, 15)
            return info.ip
        finally:
            os.kill(pid, 9)

    try:
        address = userns.call_in_userns(body)
    finally:
        for entry in os.listdir(run_dir):
            os.unlink(os.path.join(run_dir, entry))
        os.rmdir(run_dir)
    return Finding("network", OK, f"{mode} connected a namespace (address {address})")


def _wait_for_kill() -> int:
    import _signal

    _signal.pause()
    return 0


def _monitor() -> Finding:
    return Finding("monitor", OK, spawn.program())


def _seccomp() -> Finding:
    seccomp.program({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]})
    return Finding("seccomp", OK, "a filter was compiled")


def _cgroups() -> Finding:
    if paths.service_manager():
        delegated = set((store.read_text(f"{cgroups.managers()}/cgroup.controllers") or "").split())
        return _controllers(f"scopes of your service manager, with the controllers {' '.join(sorted(delegated)) or 'none'}", delegated)
    group = cgroups.own()
    if not group:
        why = "the one you are in is not yours" if cgroup.hierarchy() else "no cgroup v2 is mounted"
        return Finding("control groups", WARN, f"{why}: limits and pause need one", cgroup.delegation_hint([]))
    delegated = set((store.read_text(f"{group}/cgroup.controllers") or "").split())
    return _controllers(f"{group} is yours, with the controllers {' '.join(sorted(delegated)) or 'none'}", delegated)


def _controllers(text: str, delegated: set[str]) -> Finding:
    missing = [name for name in ("cpu", "cpuset", "io", "memory", "pids") if name not in delegated]
    if not missing:
        return Finding("control groups", OK, text)
    return Finding("control groups", WARN, f"{text}; limits that need {' '.join(missing)} are errors", cgroup.delegation_hint(missing))


def _lingering() -> Finding:
    if not os.path.isdir("/run/systemd/system"):
        return Finding("lingering", OK, "no systemd here: containers outlive your session")
    if os.path.exists(f"/var/lib/systemd/linger/{_user()}"):
        return Finding("lingering", OK, "on: containers outlive your session")
    return Finding("lingering", WARN, "off: containers end when you log out", f"loginctl enable-linger {_user()}")


def _after_a_reboot() -> Finding:
    from pyman.engine import reboot

    needed = reboot.missing()
    if not needed:
        return Finding("restart at boot", OK, "containers with --restart=always are started again after a reboot")
    commands = [each for each in needed if not each.startswith("(")]
    reasons = [each.strip("()") for each in needed if each.startswith("(")]
    verdict = OK if not os.path.isdir("/run/systemd/system") else WARN
    said = "containers with --restart=always are not started again after a reboot"
    return Finding("restart at boot", verdict, ": ".join([said, *reasons]), "; ".join(commands))


def _quadlet_files() -> Finding:
    from pyman.systemd.quadlet import convert, generator, installed, sources

    quadlets = sources.Quadlets(sources.folders(True))
    if not quadlets.units:
        return Finding("quadlet files", OK, "there are none")
    convert.convert_all(quadlets, True)
    broken = [name for name, unit in sorted(quadlets.units.items()) if unit.broken]
    if broken:
        return Finding("quadlet files", WARN, f"cannot be used: {', '.join(broken)}", "pyman quadlet check -q")
    if not os.path.isdir("/run/systemd/system"):
        return Finding("quadlet files", OK, f"{len(quadlets.units)}, and no systemd here that would start them")
    podmans = generator.installed_generator("podman-user-generator")
    if podmans:
        fix = "sudo ln -s /dev/null /etc/systemd/user-generators/podman-user-generator"
        return Finding("quadlet files", WARN, f"{podmans} makes Podman's units of them", fix)
    if not installed.has_generator():
        program = os.path.join(os.path.dirname(sys.executable), "pyman-quadlet")
        fix = f"sudo ln -s {program} /etc/systemd/user-generators/{installed.GENERATOR}"
        return Finding(
            "quadlet files", WARN, "systemd does not call pyman's generator: only quadlet install and rm make units of them", fix
        )
    return Finding("quadlet files", OK, f"{len(quadlets.units)} become units")


CHECKS: tuple[Callable[[], Finding], ...] = (
    _configuration,
    _runtime_directory,
    _store,
    _subordinate_ids,
    _id_mapping_programs,
    _user_namespace,
    _container_namespaces,
    _root_file_system,
    _fuse_device,
    _network,
    _seccomp,
    _monitor,
    _cgroups,
    _lingering,
    _after_a_reboot,
    _quadlet_files,
)
