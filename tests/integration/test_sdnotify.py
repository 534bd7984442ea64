"""--sdnotify: what a service manager hears of a container, and what it passes on to it; with real sockets."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run, command, environment
from tests.integration.test_restart_policies import field, until


class Manager:
    """A service manager's side: its socket, and the environment of the service."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + path[1:] if path.startswith("@") else path)
        self.socket.settimeout(300)
        self.env = {"NOTIFY_SOCKET": path}

    def hear(self) -> list[str]:
        """The lines of the next message."""
        return self.socket.recv(65536).decode().split("\n")

    def silent(self) -> bool:
        self.socket.setblocking(False)
        try:
            self.socket.recv(65536)
            return False
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(300)


@pytest.fixture
def manager(base: Path) -> Iterator[Manager]:
    path = base / "notify"
    made = Manager(str(path))
    yield made
    made.socket.close()
    path.unlink()


@pytest.fixture
def root(base: Path) -> str:
    """A root file system in which the host's Python runs."""
    path = base / "python-root"
    for directory in ("usr", "proc", "dev", "sys", "etc", "run", "tmp"):
        (path / directory).mkdir(parents=True, exist_ok=True)
    for link in ("bin", "lib", "lib64", "sbin"):
        if not (path / link).is_symlink():
            os.symlink(f"usr/{link}", path / link)
    return str(path)


SEND = """
import array, os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
"""


def python(pyman: Run, root: str, env: dict[str, str], code: str, *options: str) -> subprocess.CompletedProcess[str]:
    mounts = ("-v", "/usr:/usr:ro")
    return pyman(
        "run", "-d", "--name", "n", "--network", "none", *mounts, *options, "--rootfs", root, "/usr/bin/python3", "-c", SEND + code, env=env
    )


def test_the_container_says_when_it_is_ready(pyman: Run, root: str, manager: Manager) -> None:
    code = """
s.send(b"STATUS=warming up")
s.send(b"FDSTORE=1\\nMAINPID=1\\nNOTIFYACCESS=all\\nSTATUS=a\\x1b[2Jb")
s.send(b"READY=1\\nMAINPID=1\\nSTATUS=serving\\nX_UNKNOWN=1")
r, w = os.pipe()
s.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [w]))])
os.close(w)
os.read(r, 1)
s.send(b"x" * 8000)
s.send(b"WATCHDOG=1\\nEXTEND_TIMEOUT_USEC=1000000")
s.send(b"WATCHDOG_USEC=" + os.environ["WATCHDOG_USEC"].encode())
s.send(b"STOPPING=1")
sys.exit(42)
"""
    python(pyman, root, {**manager.env, "WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}, code)
    first = manager.hear()
    monitor = first[0].removeprefix("MAINPID=")
    assert len(first) == 1 and monitor.isdigit()
    assert manager.hear() == ["STATUS=warming up"]
    assert manager.hear() == ["READY=1", "STATUS=serving", f"MAINPID={monitor}"]
    assert manager.hear() == ["WATCHDOG=1", "EXTEND_TIMEOUT_USEC=1000000"]
    assert manager.hear() == ["WATCHDOG_USEC=5000000"]
    assert manager.hear() == ["STOPPING=1"]
    until(lambda: field(pyman, "n", "{{.State.Status}}") == "exited")
    assert field(pyman, "n", "{{.State.ExitCode}} {{.Config.sdNotifyMode}}") == "42 container"
    assert manager.silent()


@pytest.mark.parametrize("options", [(), ("--read-only",), ("--user", "1234")])
def test_every_user_may_send(pyman: Run, root: str, manager: Manager, options: tuple[str, ...]) -> None:
    python(pyman, root, manager.env, "s.send(b'READY=1'); time.sleep(600)", *options)
    main = manager.hear()
    assert main == [f"MAINPID={field(pyman, 'n', '{{.State.ConmonPid}}')}"]
    assert manager.hear() == ["READY=1", *main]


def test_conmon_and_the_watchdog(pyman: Run, image: str, manager: Manager) -> None:
    env = {**manager.env, "WATCHDOG_USEC": "100000"}
    script = "echo socket=$NOTIFY_SOCKET; exec sleep 600"
    pyman("run", "-d", "--name", "n", "--network", "none", "--sdnotify", "conmon", image, "sh", "-c", script, env=env)
    assert manager.hear() == [f"MAINPID={field(pyman, 'n', '{{.State.ConmonPid}}')}", "READY=1"]
    assert [manager.hear() for _ in range(3)] == [["WATCHDOG=1"]] * 3
    until(lambda: pyman("logs", "n").stdout == "socket=\n")
    pyman("rm", "-f", "-t", "0", "n")


def test_healthy(pyman: Run, image: str, manager: Manager) -> None:
    check = ("--health-cmd", "test -e /ok", "--health-interval", "disable", "--health-retries", "1", "--sdnotify", "healthy")
    env = {**manager.env, "WATCHDOG_USEC": "600000000"}  # one sign of life at once: others would fill the socket before READY
    pyman("run", "-d", "--name", "n", "--network", "none", *check, image, "sleep", "600", env=env)
    assert manager.hear() == [f"MAINPID={field(pyman, 'n', '{{.State.ConmonPid}}')}"]
    assert manager.hear() == ["WATCHDOG=1"]
    pyman("exec", "n", "touch", "/ok")
    pyman("healthcheck", "run", "n")
    while (heard := manager.hear()) == ["WATCHDOG=1"]:
        pass
    assert heard == ["READY=1"]
    assert "no health check" in pyman("create", "--sdnotify", "healthy", image, "true", rc=125).stderr
    assert "container, conmon, healthy, ignore" in pyman("create", "--sdnotify", "maybe", image, "true", rc=125).stderr
    pyman("rm", "-f", "-t", "0", "n")


def test_ignore(pyman: Run, image: str, manager: Manager) -> None:
    pyman("run", "-d", "--name", "n", "--network", "none", "--sdnotify", "ignore", image, "sleep", "600", env=manager.env)
    pyman("rm", "-f", "-t", "0", "n")
    assert manager.silent()
    # A name that nobody listens at, as in a shell that outlives its service: said, and no reason not to start.
    done = pyman("run", "--rm", "--network", "none", image, "echo", "fine", env={"NOTIFY_SOCKET": "/nosuch/socket"})
    assert done.stdout == "fine\n" and "/nosuch/socket" in done.stderr


def test_an_abstract_socket(pyman: Run, image: str, base: Path) -> None:
    manager = Manager(f"@pyman-test-{base.name}")
    pyman("run", "-d", "--name", "n", "--network", "none", "--sdnotify", "conmon", image, "sleep", "600", env=manager.env)
    assert manager.hear()[1] == "READY=1"
    pyman("rm", "-f", "-t", "0", "n")
    manager.socket.close()


@pytest.mark.parametrize("remove", [(), ("--rm",)])
def test_the_main_process_ends_with_the_containers_exit_code(
    pyman: Run, image: str, base: Path, manager: Manager, remove: tuple[str, ...]
) -> None:
    argv = [*command(), "run", "-d", *remove, "--network", "none", "--sdnotify", "conmon", image, "sh", "-c", "exit 37"]
    # The test takes the manager's place as the parent of what a service leaves behind.
    script = (
        "import ctypes, os, subprocess, sys\n"
        "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"
        "subprocess.run(sys.argv[1:], check=True)\n"
        "codes = {}\n"
        "try:\n"
        "    while True:\n"
        "        pid, status = os.wait()\n"
        "        codes[pid] = os.waitstatus_to_exitcode(status)\n"
        "except ChildProcessError:\n"
        "    print(codes)\n"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-c", script, *argv],
        env=environment(base, **manager.env),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    main = int(manager.hear()[0].removeprefix("MAINPID="))
    codes: dict[int, Any] = eval(done.stdout.splitlines()[-1])
    assert codes[main] == 37


def test_socket_activation(pyman: Run, root: str, base: Path) -> None:
    """The listening socket of the manager answers its first request inside the container."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.bind(("127.0.0.1", 0))
    server.listen(4)
    code = """
import os, socket
assert os.environ["LISTEN_PID"] == str(os.getpid()) and os.environ["LISTEN_FDNAMES"] == "web:extra"
assert os.environ["LISTEN_FDS"] == "2"
s = socket.socket(fileno=3)
print(os.read(4, 100), sorted(os.listdir("/proc/self/fd")), flush=True)
c, _ = s.accept()
c.sendall(b"hello from " + c.recv(100))
c.close()
"""
    argv = [*command(), "run", "--rm", "--network", "none", "-v", "/usr:/usr:ro", "--rootfs", root, "/usr/bin/python3", "-c", code]
    read, write = os.pipe()
    os.write(write, b"extra")
    # As a manager does it: the descriptors become 3 and 4, and LISTEN_PID names the process that is executed.
    start = f"import os, sys; os.dup2({server.fileno()}, 1003); os.dup2({read}, 1004); os.dup2(1003, 3); os.dup2(1004, 4); " + (
        "os.closerange(5, 2000); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2', LISTEN_FDNAMES='web:extra'); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = subprocess.Popen(
        ["/usr/bin/python3", "-c", start, *argv], env=environment(base), pass_fds=(server.fileno(), read), stdout=subprocess.PIPE, text=True
    )
    with socket.create_connection(server.getsockname(), 300) as client:
        client.sendall(b"the manager's socket")
        assert client.recv(100) == b"hello from the manager's socket"
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0 and out == "b'extra' ['0', '1', '2', '3', '4', '5']\n"
    # Not meant for this process: not passed.
    env = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    assert pyman("run", "--rm", "--network", "none", "--rootfs", root, "/usr/bin/env", rc=None, env=env).stdout.find("LISTEN") < 0
