"""Options of run about the process: descriptors, names in passwd, personality, working directory, harmless values."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.conftest import OTHER_RUNTIME, Run, command, environment

NONE = ("--rm", "--network", "none")


def with_fds(base: Path, fds: dict[int, str], *args: str) -> subprocess.CompletedProcess[str]:
    """pyman with further descriptors open for reading, each a file with the text given."""

    def prepare() -> None:
        for fd, text in fds.items():
            path = base / f"fd-{fd}"
            path.write_text(text)
            opened = os.open(path, os.O_RDONLY)
            os.dup2(opened, fd)
            if opened != fd:
                os.close(opened)

    return subprocess.run(
        [*command(), *args],
        env=environment(base),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        close_fds=False,
        preexec_fn=prepare,
        check=False,
    )


def test_descriptors_are_passed_and_no_others(base: Path, pyman: Run, image: str) -> None:
    fds = {3: "three\n", 4: "four\n", 7: "seven\n"}
    show = "ls /proc/self/fd | tr '\\n' ' '; cat <&3; cat <&7 2>/dev/null || echo closed"
    assert with_fds(base, fds, "run", *NONE, "--preserve-fds", "2", image, "sh", "-c", show).stdout == "0 1 2 3 4 5 three\nclosed\n"
    done = with_fds(base, fds, "run", *NONE, "--preserve-fd", "7,3", image, "sh", "-c", show)
    if OTHER_RUNTIME:
        assert done.returncode == 125 and "without a gap" in done.stderr
    else:
        assert done.stdout == "0 1 2 3 4 7 three\nseven\n"
    # What pyman itself has open must never go into a container, even if the number fits.
    done = with_fds(base, {3: "three\n"}, "run", *NONE, "--preserve-fds", "9", image, "true")
    assert done.returncode == 125 and "is not open" in done.stderr
    pyman("run", "-d", "--name", "e", "--network", "none", image, "sleep", "600")
    assert (
        with_fds(base, fds, "exec", "--preserve-fd", "7", "e", "sh", "-c", "cat <&7; cat <&3 2>/dev/null || echo closed").stdout
        == "seven\nclosed\n"
    )
    assert with_fds(base, {3: "x"}, "exec", "--preserve-fds", "9", "e", "true").returncode in (125, 255)
    pyman("rm", "-f", "-t", "0", "e")


def test_unknown_users_get_a_name(pyman: Run, image: str) -> None:
    run = ("run", *NONE)
    assert pyman(*run, "--user", "4321", image, "grep", ":4321:", "/etc/passwd").stdout == "4321:*:4321:0:container user:/:/bin/sh\n"
    assert pyman(*run, "--user", "4321:55", image, "tail", "-n1", "/etc/group").stdout == "55:x:55:\n"
    entry = "$USERNAME:x:$UID:$GID:me:/work:/bin/ash"
    assert (
        pyman(*run, "--user", "4321", "--passwd-entry", entry, image, "tail", "-n1", "/etc/passwd").stdout
        == "4321:x:4321:0:me:/work:/bin/ash\n"
    )
    for options, home in (
        (("-w", "/tmp"), "/tmp"),
        ((), "/"),
        (("-w", "/tmp", "-e", "HOME=/x"), "/x"),
        (("-w", "/tmp", "--passwd-entry", entry), "/work"),
        (("-w", "/tmp", "--passwd=false"), "/"),
    ):
        assert pyman(*run, "--user", "4321", *options, image, "sh", "-c", "echo $HOME").stdout == home + "\n", options
    assert "fields" in pyman(*run, "--user", "4321", "--passwd-entry", "a:b", image, "true", rc=125).stderr
    assert "4321" not in pyman(*run, "--user", "4321", "--passwd=false", image, "cat", "/etc/passwd").stdout
    assert pyman(*run, "--user", "4321:55", "--group-entry", "g:x:$GID:", image, "tail", "-n1", "/etc/group").stdout == "g:x:55:\n"
    assert pyman(*run, "--hostuser", "daemon", image, "grep", "^daemon:", "/etc/passwd").stdout.startswith("daemon:*:1:1:")
    assert "no such user" in pyman(*run, "--hostuser", "nobody-at-all", image, "true", rc=125).stderr


def test_personality(pyman: Run, image: str) -> None:
    assert pyman("run", *NONE, "--personality", "LINUX32", image, "uname", "-m").stdout in ("i686\n", "armv8l\n", "armv7l\n")
    assert "invalid personality" in pyman("run", *NONE, "--personality", "BSD", image, "true", rc=125).stderr


def test_a_directory_only_root_may_enter(pyman: Run, image: str) -> None:
    pyman("run", "--name", "w", "--network", "none", image, "sh", "-c", "mkdir -m 700 /closed")
    pyman("run", *NONE, "-v", "closed:/c", image, "sh", "-c", "mkdir -m 700 /c/d; chmod 755 /c")
    assert pyman("run", *NONE, "-v", "closed:/c", "-w", "/c/d", "--user", "99", image, "sh", "-c", "echo in").stdout == "in\n"
    pyman("rm", "w")


@pytest.mark.parametrize("option", ["--oom-kill-disable=false", "--memory-swappiness=-1"])
def test_values_that_ask_for_nothing_are_accepted(pyman: Run, image: str, option: str) -> None:
    pyman("run", *NONE, option, image, "true")
    name = option.split("=")[0]
    done = pyman("run", *NONE, f"{name}=42x", image, "true", rc=125)
    assert "accepted is" in done.stderr


@pytest.mark.parametrize("runtime", ["pyman-runtime", "crun", "runc"])
def test_devices(pyman: Run, image: str, tmp_path: Path, runtime: str) -> None:
    """--device is bound by every runtime; --privileged brings what the caller can open, and leaves places that mounts have taken."""
    base = ("run", *NONE, "--runtime", runtime)
    assert pyman(*base, "--device", "/dev/zero:/dev/mine", image, "sh", "-c", "head -c 3 /dev/mine | wc -c").stdout.strip() == "3"
    listed = "find /dev -type c -o -type b"
    usual = set(pyman(*base, image, "sh", "-c", listed).stdout.split())
    more = set(pyman(*base, "--privileged", image, "sh", "-c", listed).stdout.split())
    assert usual < more and {"/dev/fuse", "/dev/net/tun"} <= more - usual
    assert all(os.access(path, os.R_OK) or os.access(path, os.W_OK) for path in more - usual), more
    assert not any(path.startswith("/dev/tty") for path in more - usual)
    options = ("--device", "/dev/zero:/dev/fuse", "-v", f"{tmp_path}:/dev/net")
    found = pyman(*base, "--privileged", *options, image, "sh", "-c", "ls /dev/net; head -c 3 /dev/fuse | wc -c").stdout
    assert found.split() == ["3"]
    script = "ls /dev/fuse; head -c 3 /dev/zero | wc -c; head -c 3 /x | wc -c"
    assert pyman(*base, "-v", "/dev:/dev", "-v", "/dev/zero:/x", image, "sh", "-c", script).stdout.split() == ["/dev/fuse", "3", "3"]
    assert "nodev" in pyman(*base, "-v", f"{tmp_path}:/x", image, "grep", " /x ", "/proc/mounts").stdout


def test_limits_of_files_and_processes(pyman: Run, image: str) -> None:
    """As many as the caller may have, not the few that shells begin with; `host` and numbers change that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = min(soft, hard, 512)
    most = min(hard, 1 << 20) if hard != resource.RLIM_INFINITY else 1 << 20

    def limits(*options: str) -> list[int]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
        try:
            return [int(word) for word in pyman("run", *NONE, *options, image, "sh", "-c", "ulimit -n; ulimit -Hn").stdout.split()]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert limits() == [most, most]
    assert limits("--ulimit", "nofile=100:-1") == [100, hard]
    # runc is a program in Go, which raises its own limit, and older ones leave it so.
    assert limits("--ulimit", "host") in ([[few, hard]] if OTHER_RUNTIME != "runc" else [[few, hard], [hard, hard]])
    assert limits("--ulimit", "nofile=77:88") == [77, 88]
