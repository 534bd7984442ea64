"""Root file systems whose directories are not what they seem: a start succeeds safely or is refused; the host stays as it is."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment

NONE = ("--rm", "--network", "none")


def make_root(base: Path, name: str) -> Path:
    root = base / name
    shutil.rmtree(root, ignore_errors=True)
    (root / "bin").mkdir(parents=True)
    (root / "bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (root / "bin/busybox").chmod(0o755)
    (root / "bin/sh").symlink_to("busybox")
    return root


@pytest.mark.parametrize("kind", ["absolute", "upwards", "loop", "file", "fifo"])
@pytest.mark.parametrize(
    "path", ["proc", "sys", "dev", "etc", "run", "tmp", "etc/resolv.conf", "etc/hosts", "etc/passwd", "dev/null", "dev/console", "dev/pts"]
)
def test_odd_roots_do_not_reach_the_host(pyman: Run, base: Path, path: str, kind: str) -> None:
    root = make_root(base, "odd-root")
    victim = base / "victim"
    shutil.rmtree(victim, ignore_errors=True)
    victim.mkdir()
    (victim / "null").write_text("host")
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if kind == "file":
        target.write_text("file")
    elif kind == "fifo":
        os.mkfifo(target)
    else:
        target.symlink_to({"absolute": str(victim), "upwards": "../" * 20 + str(victim).lstrip("/"), "loop": target.name}[kind])
    done = pyman("run", *NONE, "--rootfs", str(root), "/bin/sh", "-c", "echo started", rc=None)
    assert done.returncode in (0, 125, 126, 127) and "Traceback" not in done.stderr
    assert done.stdout == ("started\n" if done.returncode == 0 else "")
    assert sorted(os.listdir(victim)) == ["null"] and (victim / "null").read_text() == "host"


def test_two_hundred_leaked_descriptors_stay_outside(pyman: Run, image: str, base: Path) -> None:
    leaked = [os.open("/etc", os.O_RDONLY) for _ in range(200)]
    try:
        done = subprocess.run(
            [*command(), "run", *NONE, image, "sh", "-c", "ls -l /proc/self/fd | grep -c /etc; ls /proc/self/fd | wc -l"],
            pass_fds=leaked,
            capture_output=True,
            text=True,
            env=environment(base),
            stdin=subprocess.DEVNULL,
            check=False,
        )
    finally:
        for fd in leaked:
            os.close(fd)
    assert done.stdout.split()[0] == "0" and int(done.stdout.split()[1]) <= 4


PROBE = r"""
#include <stdio.h>
#include <errno.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
static void say(const char *name, long result) { printf("%s %d\n", name, result < 0 ? errno : 0); }
int main(void) {
    say("keyctl", syscall(SYS_keyctl, 0, -3, 0));
    say("io_uring", syscall(425, 1, 0));
    say("bpf", syscall(SYS_bpf, 0, 0, 0));
    say("userfaultfd", syscall(SYS_userfaultfd, 0));
    say("perf", syscall(SYS_perf_event_open, 0, 0, -1, -1, 0));
    say("alg", socket(38, SOCK_SEQPACKET, 0));
    say("vsock", socket(40, SOCK_STREAM, 0));
    say("inet", socket(AF_INET, SOCK_STREAM, 0));
    return 0;
}
"""


def test_dangerous_calls_are_closed(pyman: Run, image: str, base: Path) -> None:
    (base / "probe.c").write_text(PROBE)
    subprocess.run(["cc", "-static", "-o", str(base / "probe"), str(base / "probe.c")], check=True)
    lines = pyman("run", *NONE, "-v", f"{base}/probe:/probe:ro", image, "/probe").stdout.split("\n")
    result = dict(line.split() for line in lines if line)
    assert result.pop("inet") == "0"
    assert set(result.values()) <= {"1", "38"}, result
