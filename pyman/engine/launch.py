"""The child C of a start: rootfs, init, network, then it becomes the monitor. Runs in U1 with its own mounts.

Order: network helper started (its namespace was made ahead) -> rootfs mounted -> spec completed from it -> init cloned ->
init's mounts and the helper awaited -> init executes the command -> state saved -> C executes the monitor, so that the monitor is init's parent.
All mounts of the container live in C's mount namespace and end with the monitor: there is nothing to unmount, ever.
"""

from __future__ import annotations

import _signal  # the C half of signal
import os

from pyman import stages
from pyman.engine import cgroups, logopts, specgen_rootfs, started
from pyman.errors import PymanError, RuntimeFailure
from pyman.linux import fs, libc, process
from pyman.monitor import spawn
from pyman.network import hosts
from pyman.network import setup as network
from pyman.runtime import create as runtime_create
from pyman.runtime.channel import Created
from pyman.state import store
from pyman.storage import layers, overlay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.engine.container import Container
    from pyman.engine.plan import Plan


def run(plan: Plan) -> int:
    """C's body. Never returns after a good start: the monitor replaces it. Reports one JSON line to the CLI."""
    pids: list[int] = []  # what to kill when a later step fails
    failure: PymanError = RuntimeFailure(f"cannot start container {plan.container.name}", "its monitor was not executed")
    try:
        _run(plan, pids)
    except PymanError as err:
        failure = err
    except OSError as err:
        failure = failed(plan.container, err)
    # The report comes last: who reads it may take the container's directory away, and with it the place of its control group.
    try:
        _undo(plan, pids)
    finally:
        plan.report({"error": failure.to_record()})
    return 125


def failed(container: Container, err: OSError) -> RuntimeFailure:
    """The error of a start that the kernel refused something."""
    where = f"{err.filename}: " if err.filename else ""
    return RuntimeFailure(f"cannot start container {container.name}", f"{where}{err.strerror or err}", errno=err.errno or 0)


def _undo(plan: Plan, pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    if plan.net is not None:
        network.abort(plan.net)
    if plan.cgroup:
        for pid in pids:
            process.wait(pid)
        cgroups.discard(plan.container)


def _run(plan: Plan, pids: list[int]) -> None:
    container, spec = plan.container, plan.spec
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    if _uses_netns(plan):
        plan.net = _begin_network(plan, f"/proc/self/fd/{plan.netns_fd}")
    stages.reach("start:network")
    scope = cgroups.begin(container, plan.opts, plan.conf, [plan.net.pid] if plan.net is not None and plan.net.pid > 0 else [])
    made = _mount_sources(plan)
    stages.reach("start:rootfs")
    _finish_spec(plan)
    stdio, monitor_ends = _make_stdio(plan)
    limits = spec["linux"].get("resources") or {}
    plan.cgroup = cgroups.make(container, plan.opts, plan.conf, limits, lambda text: plan.report({"warning": text}), scope)
    stages.reach("start:cgroup")
    created = _begin(plan, spec, stdio)
    pids.append(created.pid)
    stages.reach("start:cloned")
    if plan.net is None:
        fd = created.netns_fd
        netns = f"/proc/self/fd/{fd}" if fd >= 0 else f"/proc/{created.pid}/ns/net"
        plan.net = _begin_network(plan, netns)
    for fd in set(stdio):
        os.close(fd)
    # While init builds its root: all that does not need it.
    _leave_fuse(plan.rootfs, *reversed(made))
    # exec and inspect read the spec; it lies with the container because the runtime directory may be wiped.
    store.write_json(os.path.join(container.dir, "spec.json"), spec)
    log = logopts.settings(plan.opts, plan.conf, os.path.join(container.dir, "ctr.log"))
    log_fd = logopts.open_log(log)
    spawn.reserve_exit(container.exit_path)
    if plan.health:
        from pyman.engine import health_plan  # with a health check only

        container.state["health"] = health_plan.write(container, plan.opts, spec)
    own = isinstance(created, Created)
    waits = own and not plan.net.pid  # with a helper the state is complete only when init and the helper are ready
    if own and not waits:
        runtime_create.wait_created(created)
    info = network.finish(plan.net, created.pid)
    if info.warning:
        plan.report({"warning": info.warning})
    if plan.conf["network"].get("setup_hooks"):
        from pyman.engine import network_hooks  # with such programs only

        network_hooks.run(plan, created, info)
    stages.reach("start:ready")
    _write_files(plan, info)
    # From the moment the state is saved a command may ask this process, as the monitor, for a new attach socket or health plan:
    # the signal waits until the monitor, which inherits the mask, reads it.
    _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGHUP, _signal.SIGUSR1, _signal.SIGUSR2))
    started.start(plan, created, info, waits)
    started.announce(plan, created)
    started.become_monitor(plan, created, info, {**monitor_ends, "log_fd": log_fd}, log)


def _mount_sources(plan: Plan) -> list[str]:
    """Mount the root file system and what mounts in it are made from; the places that were made for those."""
    plan.ctx.notice = lambda text: plan.report({"notice": text})
    mount_rootfs(plan)
    if plan.volumes.mounted:
        from pyman.engine import volume_mounts  # volumes that are file systems of their own only

        plan.locks = volume_mounts.mount(plan.volumes.mounted, plan.container.id)
    if plan.shm_owner >= 0:
        from pyman.engine import shared_shm  # --ipc container:NAME only

        shared_shm.mount(plan)
    if plan.secrets:
        from pyman.engine import secret_option  # --secret only

        linux = plan.spec["linux"]
        secret_option.place(plan.secrets, plan.container.run_dir, (linux.get("uidMappings"), linux.get("gidMappings")))
    if plan.ctx.made:
        from pyman.engine import sources  # overlays, images, subpaths only

        return sources.prepare(plan)
    return []


def _finish_spec(plan: Plan) -> None:
    """Complete the spec by what only the mounted root file system tells; the caller of the command is told its warnings."""
    root_fd = os.open(plan.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if hosts.base_file(plan.opts, plan.conf) == "image":
        plan.ctx.image_hosts = specgen_rootfs.read_lines(root_fd, "etc/hosts")
    specgen_rootfs.finish(plan.spec, root_fd, plan.ctx, plan.opts)
    os.close(root_fd)
    for warning in getattr(plan.ctx, "warnings", None) or []:
        plan.report({"warning": warning})


def _leave_fuse(*paths: str) -> None:
    """Unmount our copies of FUSE mounts: init has its own, and the daemon is to end with init even if the monitor is killed.

    Other mounts may stay until the monitor ends: an unmount waits for a grace period of the kernel, up to a millisecond.
    """
    for path in paths:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        found = fs.magic(fd)
        os.close(fd)
        if found == fs.FUSE_SUPER_MAGIC:
            libc.umount2(path)


def _begin_network(plan: Plan, netns: str) -> network.NetSetup:
    return network.begin(plan.network_mode, netns, plan.conf, plan.ports, plan.container.run_dir, plan.channel_fd)


def _uses_netns(plan: Plan) -> bool:
    """Whether the network namespace made ahead fits; where not, it is forgotten.

    It belongs to U1. A container with a user namespace of its own needs one that its own root has rights over, and an
    external runtime makes its own.
    """
    fits = plan.netns_fd >= 0 and plan.own_runtime
    paths = {entry["type"]: entry.get("path", "") for entry in plan.spec["linux"]["namespaces"]}
    if fits and paths.get("network") == "" and "user" not in paths:
        return True
    plan.netns_fd = -1
    return False


def _begin(plan: Plan, spec: dict[str, Any], stdio: tuple[int, int, int]) -> Any:
    """Init, cloned by our runtime (it builds its rootfs meanwhile) or fully created by an external one."""
    container = plan.container
    if plan.own_runtime:
        if plan.secret_env:
            from pyman.engine import secret_option  # --secret only

            # For init alone: what is written to spec.json is the specification without them.
            spec = {**spec, "process": secret_option.with_secrets(spec["process"], plan.secret_env)}
        extras: Any = None
        trees: list[int] = []
        if spec["linux"].get("uidMappings"):
            from pyman.engine import own_userns  # such containers only

            spec, extras, trees = own_userns.open_sources(plan, spec)
        created = runtime_create.begin(
            spec,
            extras=extras,
            bundle=container.run_dir,
            container_id=container.id,
            stdio=stdio,
            netns_fd=plan.netns_fd,
            die_with_parent=True,
            preserve=plan.preserve,
            bpf=plan.bpf,
            cgroup=plan.cgroup,
            gate=plan.gate,
        )
        for fd in trees:
            os.close(fd)
        return created
    from pyman.engine import external  # --runtime crun or runc only

    name = plan.opts.get("runtime") or plan.conf["engine"].get("runtime") or ""
    runtime = external.Runtime(container.id, name, plan.conf, container.run_dir)
    runtime.create(spec, container.run_dir, stdio, plan.cgroup, plan.preserve)
    return runtime


def mount_rootfs(plan: Plan) -> None:
    """Mount the image's layers below the container's upper directory; a plain --rootfs needs only a bind mount."""
    container, config = plan.container, plan.container.config
    if config["rootfs"] and not config.get("rootfs_overlay"):
        libc.mount(config["rootfs"], plan.rootfs, None, libc.MS_BIND | libc.MS_REC)
        return
    last = container.state.get("driver")
    if last and last != plan.driver.name:
        from pyman.storage import convert  # only after a change of driver

        convert.normalise(os.path.join(container.dir, "upper"), last)
    lowers = [config["rootfs"]] if config["rootfs"] else [layers.layer_path(diff_id) for diff_id in config["layers"]]
    overlay.mount_rootfs(
        plan.driver,
        lowers,
        os.path.join(container.dir, "upper"),
        os.path.join(container.dir, "work"),
        plan.rootfs,
        uid_shift=plan.ctx.uid_shift or None,
        gid_shift=plan.ctx.gid_shift or None,
    )


def _make_stdio(plan: Plan) -> tuple[tuple[int, int, int], dict[str, int]]:
    """(stdin, stdout, stderr) of the container and the monitor's ends of them."""
    if plan.terminal:
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        return (null, null, null), {"stdin_fd": -1, "stdout_fd": -1, "stderr_fd": -1}
    if logopts.passed(plan.opts, plan.conf):
        return (os.dup(0), os.dup(1), os.dup(2)), {"stdin_fd": -1, "stdout_fd": -1, "stderr_fd": -1}
    if plan.interactive:
        stdin_r, stdin_w = os.pipe()
    else:
        stdin_r, stdin_w = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), -1
    out_r, out_w = os.pipe()
    err_r, err_w = os.pipe()
    for fd in (stdin_r, out_w, err_w):
        os.fchmod(fd, 0o666) if fd != stdin_r or stdin_w >= 0 else None  # a USER may open /dev/stdout by name
    return (stdin_r, out_w, err_w), {"stdin_fd": stdin_w, "stdout_fd": out_r, "stderr_fd": err_r}


def _write_files(plan: Plan, info: Any) -> None:
    """/etc/hosts, /etc/resolv.conf and /etc/hostname, in place: they are bound into the rootfs already."""
    run_dir = plan.container.run_dir
    names, mode = (plan.ctx.hostname, plan.container.name), plan.network_mode
    path = os.path.join(run_dir, "hosts")
    if not plan.neighbour or not hosts.copy(os.path.join(plan.neighbour, "hosts"), path, names):
        hosts.write_hosts(path, names, info, plan.opts, mode, plan.conf, plan.ctx.image_hosts)
    path = os.path.join(run_dir, "resolv.conf")
    if not plan.neighbour or not hosts.copy(os.path.join(plan.neighbour, "resolv.conf"), path):
        hosts.write_resolv_conf(path, info, plan.opts, plan.conf, mode)
    with open(os.path.join(run_dir, "hostname"), "w") as file:
        file.write(plan.ctx.hostname + "\n")
    if plan.opts.get("privileged"):
        from pyman.engine import privileged  # such containers only

        with open(os.path.join(run_dir, ".containerenv"), "w") as file:
            file.write(privileged.containerenv(plan.container))
    linux = plan.spec["linux"]
    if linux.get("uidMappings"):
        from pyman.engine import own_userns  # with a user namespace of its own only

        own_userns.own_by_root(run_dir, linux)
