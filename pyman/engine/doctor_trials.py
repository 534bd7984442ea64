"""Checks that do what a start does: namespaces, root file system, network, filter, monitor. CLI process, slow path."""

from __future__ import annotations

import os

from pyman import paths
from pyman.config import containers as containers_conf
from pyman.engine.doctor_finding import FAIL, OK, WARN, Finding
from pyman.linux import libc, process, seccomp
from pyman.network import helper as network_helper
from pyman.network import setup as network
from pyman.rootless import userns
from pyman.storage import driver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


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
    return Finding("monitor", OK, paths.native("monitor"))


def _seccomp() -> Finding:
    seccomp.program({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}]})
    return Finding("seccomp", OK, "a filter was compiled")


CHECKS: tuple[Callable[[], Finding], ...] = (
    _user_namespace,
    _container_namespaces,
    _root_file_system,
    _fuse_device,
    _network,
    _seccomp,
    _monitor,
)
