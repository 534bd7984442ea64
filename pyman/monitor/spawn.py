"""Become the monitor: C executes the native program with what it needs to know. Runs in process C."""

from __future__ import annotations

import os

from pyman import paths
from pyman.linux import libc
from pyman.state import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class MonitorArgs:
    """The monitor's arguments; descriptors are -1 where there is none.

    log_max_size: bytes until rotation (0: never); log_max_files: files kept; kill_pids: (pid, start time) of helpers; again: how the first of them
    is started again when it dies, program first; again_fd: the descriptor it then gets as 3;
    cgroup: directory of the container's cgroup, taken away at the end;
    oom_path: file with the kernel's count of out-of-memory kills; timeout: seconds until init is killed (0: never);
    cpu_limit: seconds of processor time at which the kernel kills it (0: none).
    exit_command: run after the end, with --rm if `remove` and the starting command is gone, with --restart if the file
    policy_path asks for it and the file stopped_path does not exist; restarts: how often it was run so since a user started
    the container; wait_ms: how long to wait before. events_path: the log of events; event: what its lines say of the container. keep_stdio: keep the caller's streams for the next start.
    journal: NAME=VALUE of the fields that all entries in the journal have (log driver journald).
    tidy: run exit_command after every end; kept_fds: descriptors that the monitor keeps open, for what they hold alive.
    """

    __slots__ = (
        "again",
        "again_fd",
        "attach_fd",
        "cgroup",
        "check",
        "console_fd",
        "cpu_limit",
        "event",
        "events_path",
        "exit_command",
        "exit_path",
        "health_path",
        "health_state",
        "init_pid",
        "journal",
        "keep_stdio",
        "kept_fds",
        "kill_pids",
        "log_driver",
        "log_fd",
        "log_max_files",
        "log_max_size",
        "log_path",
        "notify_fd",
        "notify_listen",
        "notify_mode",
        "oom_path",
        "policy_path",
        "remove",
        "restarts",
        "run_dir",
        "secret_env",
        "stderr_fd",
        "stdin_fd",
        "stdout_fd",
        "stopped_path",
        "tidy",
        "timeout",
        "wait_ms",
        "watchdog",
    )

    def __init__(self) -> None:
        self.attach_fd = self.console_fd = self.stdin_fd = self.stdout_fd = self.stderr_fd = -1
        self.init_pid = 0
        self.log_fd = -1
        self.log_driver = self.log_path = self.oom_path = self.run_dir = self.exit_path = self.cgroup = ""
        self.policy_path = self.stopped_path = self.events_path = self.event = ""
        self.log_max_size = self.timeout = self.cpu_limit = self.restarts = self.wait_ms = 0
        self.secret_env: list[str] = []
        self.journal: list[str] = []
        self.kept_fds: list[int] = []
        self.again: list[str] = []
        self.keep_stdio = self.remove = self.check = self.tidy = False
        self.health_path = self.health_state = self.notify_mode = ""
        self.notify_fd = self.notify_listen = self.again_fd = -1
        self.watchdog = 0
        self.log_max_files = 1
        self.kill_pids: list[tuple[int, int]] = []
        self.exit_command: list[str] = []


def oom_counter() -> str:
    """The file that counts out-of-memory kills for this process's control group, or for the whole machine without one.

    Without a control group of its own a container's kill is told by the count of the group it shares, and SIGKILL.
    """
    for line in (store.read_text("/proc/self/cgroup") or "").split("\n"):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        for name in (f"/sys/fs/cgroup{path}/memory.events", f"/sys/fs/cgroup/memory{path}/memory.oom_control"):
            if (not controllers or "memory" in controllers.split(",")) and path != "/" and os.access(name, os.R_OK):
                return name
    return "/proc/vmstat"


def reserve_exit(path: str) -> None:
    """Take the room for the exit record at `path` now: the container may fill the disk. StorageError."""
    store.write_text(path + ".tmp", " " * 512)


def _sealed(path: str) -> int:
    """A descriptor of the program that nobody can write through.

    The monitor's children execute health checks in the container: as `#!/proc/self/exe` they would get hold of the file, which
    often belongs to the container's root (CVE-2019-5736). Through a read-only mount that leads nowhere. The monitor keeps the
    descriptor: a mount that ends makes its last user wait for the kernel.
    """
    tree = libc.open_tree(libc.AT_FDCWD, path, libc.OPEN_TREE_CLONE)
    libc.mount_setattr(tree, "", libc.AT_EMPTY_PATH, attr_set=libc.MS_RDONLY)  # MOUNT_ATTR_RDONLY is the same bit
    os.set_inheritable(tree, True)
    return tree


def _memory(variables: list[str]) -> int:
    """A descriptor of the variables in memory: health checks get them, and no file or argument may hold them."""
    fd = os.memfd_create("pyman-secrets", 0)
    os.write(fd, b"".join(text.encode("utf-8", "surrogateescape") + b"\0" for text in variables))
    return fd


def exec_monitor(args: MonitorArgs) -> NoReturn:
    """Replace this process by the monitor; the caller is init's parent. OSError if that fails."""
    path = paths.native("monitor")
    sealed = _sealed(path)
    argv = ["pyman-monitor", "--init", str(args.init_pid), "--run-dir", args.run_dir, "--exit-file", args.exit_path]
    for option, fd in (
        ("--stdin", args.stdin_fd),
        ("--stdout", args.stdout_fd),
        ("--stderr", args.stderr_fd),
        ("--console", args.console_fd),
        ("--attach", args.attach_fd),
        ("--notify", args.notify_fd),
        ("--notify-listen", args.notify_listen),
    ):
        if fd >= 0:
            os.set_inheritable(fd, True)
            argv += [option, str(fd)]
    if args.log_driver in ("k8s-file", "json-file"):
        os.set_inheritable(args.log_fd, True)
        argv += ["--log", args.log_path, "--log-fd", str(args.log_fd), "--log-json", str(int(args.log_driver == "json-file"))]
        argv += ["--log-max", str(args.log_max_size), "--log-files", str(args.log_max_files)]
    for field in args.journal:
        argv += ["--journal", field]
    if args.oom_path:
        argv += ["--oom", args.oom_path]
    if args.cgroup:
        argv += ["--cgroup", args.cgroup]
    if args.events_path:
        argv += ["--events", args.events_path, "--event", args.event]
    argv += ["--health", args.health_path, "--health-state", args.health_state, "--check", str(int(args.check))]
    if args.secret_env:
        argv += ["--secrets", str(_memory(args.secret_env))]
    if args.notify_fd >= 0:
        # A sign of life twice in the time that the manager waits for one.
        argv += ["--notify-mode", str(("container", "conmon", "healthy").index(args.notify_mode)), "--watchdog", str(args.watchdog // 2000)]
    if args.timeout:
        argv += ["--timeout", str(args.timeout)]
    if args.cpu_limit:
        argv += ["--cpu-limit", str(args.cpu_limit)]
    for pid, started in args.kill_pids:
        argv += ["--kill", f"{pid}:{started}"]
    for word in args.again:
        argv += ["--again", word]
    if args.again_fd >= 0:
        argv += ["--again-fd", str(args.again_fd)]
    for fd in args.kept_fds:
        os.set_inheritable(fd, True)
    if args.tidy:
        argv += ["--tidy", "1"]
    if args.keep_stdio:
        argv += ["--keep-stdio", "1"]
    if args.exit_command:
        argv += [
            "--policy",
            args.policy_path,
            "--stopped",
            args.stopped_path,
            "--restarts",
            str(args.restarts),
            "--wait",
            str(args.wait_ms),
        ]
        argv += ["--cleanup-alone", str(int(args.remove)), "--", *args.exit_command]
    os.execve(sealed, argv, os.environ)


def exec_later(wait_ms: int, alive: str, stopped: str, command: list[str]) -> NoReturn:
    """Replace this process by one that waits and then executes `command` with --restart: as long as the file `alive` exists, and `stopped` does not."""
    argv = ["pyman-monitor", "--later", str(wait_ms), alive, stopped, "--", *command]
    os.execve(paths.native("monitor"), argv, os.environ)


def exec_session(
    pid: int, record: str, exit_path: str, events_path: str, event: str, session: str, *, console: int, client: int
) -> NoReturn:
    """Replace this process, the parent of an exec's process, by the program that waits for it (shims/monitor/session.h).

    record: file for its end; event: what the log of events says of the container, empty: nothing. Descriptors, or -1: console: of its
    terminal; client: of a channel to who is attached to that.
    """
    argv = ["pyman-monitor", "--exec", str(pid), "--record", record, "--exit-file", exit_path, "--session", session]
    for option, fd in (("--console", console), ("--client", client)):
        if fd >= 0:
            os.set_inheritable(fd, True)
            argv += [option, str(fd)]
    if event:
        argv += ["--events", events_path, "--event", event]
    os.execve(paths.native("monitor"), argv, os.environ)
