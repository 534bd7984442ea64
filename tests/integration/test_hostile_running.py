"""A running container that has exchanged its own /proc, /dev and /etc: what works on it from outside neither waits for it nor believes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, until

# FIFOs that nobody writes to, where processes of the kernel's or of the image's are looked for; links to other files of the container.
PROC = (
    "mount -t tmpfs x /proc; mkdir -p /proc/self/fd /proc/self/attr /proc/1 /proc/thread-self; ln -s /etc/passwd /proc/self/oom_score_adj; "
    "ln -s /bin/sh /proc/self/exe; mkfifo /proc/self/uid_map /proc/self/status /proc/1/status /proc/mounts /proc/self/attr/exec; "
)
DEV = (
    "umount /dev/pts /dev/null; rm -f /dev/ptmx /dev/null; mkfifo /dev/ptmx /dev/pts/ptmx /dev/pts/0 /dev/null; "
    "rm /etc/passwd /etc/group; mkfifo /etc/passwd /etc/group; "
)


@pytest.fixture(params=[PROC, DEV], ids=["proc", "dev and etc"])
def hostile(pyman: Run, image: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """The container; gives what it has exchanged."""
    script = request.param + "echo exchanged; exec sleep 600"
    pyman("run", "-d", "--name", "odd", "--network", "none", "--privileged", image, "sh", "-c", script)
    until(lambda: "exchanged" in pyman("logs", "odd").stdout)
    yield str(request.param)
    pyman("rm", "-f", "-t", "0", "odd")


def test_commands_on_it_end(pyman: Run, hostile: str, tmp_path: Path) -> None:
    assert pyman("exec", "odd", "echo", "in").stdout == "in\n"
    assert pyman("exec", "-u", "1000:2000", "odd", "echo", "as user").stdout == "as user\n"
    pyman("exec", "-d", "odd", "true")
    named, terminal = pyman("exec", "-u", "user", "odd", "id", "-u", rc=None), pyman("exec", "-t", "odd", "tty", rc=None)
    if hostile == PROC:
        assert named.stdout == "1000\n" and terminal.stdout.strip() == "/dev/pts/0"
    else:
        assert named.returncode == 255 and "no such user" in named.stderr
        assert terminal.returncode == 255 and "/dev/pts is not devpts" in terminal.stderr
    until(lambda: "sleep" in pyman("top", "odd").stdout)
    (tmp_path / "file").write_text("text")
    pyman("cp", str(tmp_path / "file"), "odd:/tmp/file")
    assert pyman("exec", "odd", "cat", "/tmp/file").stdout == "text"
    assert "A /tmp/file" in pyman("diff", "odd").stdout
    assert "odd" in pyman("stats", "--no-stream", "odd").stdout
    pyman("export", "-o", str(tmp_path / "files.tar"), "odd")
    assert pyman("inspect", "-s", "odd", "--format", "{{.State.Status}}").stdout == "running\n"
    pyman("stop", "-t", "0", "odd")
    assert pyman("inspect", "odd", "--format", "{{.State.Status}}").stdout == "exited\n"
