"""The exit code of `run` where the program does not begin: 126 and 127 for what start finds, as Podman; 125 for what is refused before."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Run

NONE = ("--rm", "--network", "none")


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        (("--sysctl", "kernel.shmmax=abc"), 126, "kernel.shmmax"),
        (("--sysctl", "net.no.such=1"), 127, "net.no.such"),
        (("--ulimit", "nofile=99999999:99999999"), 126, "nofile"),
        (("--pid", "ns:/etc/passwd"), 126, "no namespace"),
        (("-v", "/etc/passwd:/etc"), 126, "/etc"),
        (("-v", "/tmp:/proc/nothing"), 127, "/proc/nothing"),
        (("--tmpfs", "/x:size=foo"), 126, "size=foo"),
        (("-w", "relative"), 126, "not absolute"),
        (("-w", "/no/such"), 126, "/no/such"),
        (("-u", "-1"), 126, "-1"),
        (("-u", "99999999"), 126, "99999999"),
        (("--cgroup-parent", "/no/such/group"), 126, "/no/such/group"),
        (("--pidfile", "/no/such/file"), 127, "/no/such"),
        (("--conmon-pidfile", "/proc/file"), 126, "/proc"),
        (("--device", "/etc/passwd"), 125, "not a device node"),
        (("--device", "/no/such"), 125, "no such device"),
        (("--init", "--init-path", "/no/such"), 125, "/no/such"),
        (("--runtime", "nosuchruntime"), 125, "nosuchruntime"),
        (("--preserve-fd", "77"), 125, "77"),
        (("--userns", "keep-id:uid=foo"), 125, "uid=foo"),
        (("--runtime", "/bin/false"), 126, "false"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, tuple) else None,
)
def test_what_keeps_a_program_from_beginning(pyman: Run, image: str, options: tuple[str, ...], code: int, word: str) -> None:
    for more in ((), ("-d",)):
        done = pyman("run", *NONE, *more, *options, image, "true", rc=code)
        assert word in done.stderr and done.stdout == ""
    assert pyman("ps", "-aq").stdout == ""


@pytest.mark.parametrize("kind", ["network", "pid", "ipc", "uts", "userns", "cgroupns"])
def test_a_namespace_of_a_container_that_does_not_run(pyman: Run, image: str, kind: str) -> None:
    pyman("create", "--name", "still", "--network", "none", image, "true")
    assert "not running" in pyman("run", "--rm", f"--{kind}", "container:still", image, "true", rc=126).stderr
    pyman("rm", "still")


def test_who_starts_a_container_that_exists_is_told_125(pyman: Run, image: str) -> None:
    pyman("create", "--name", "bad", "--network", "none", "--sysctl", "kernel.shmmax=abc", image, "true")
    for verb in (("start",), ("start", "-a"), ("restart",), ("init",)):
        assert "kernel.shmmax" in pyman(*verb, "bad", rc=125).stderr
    told = json.loads(pyman("why", "--format", "json", "bad").stdout)[0]
    assert (told["ExitCode"], told["Cause"]) == (126, "start-failed"), "126 is for more than a command that cannot be run"
    pyman("rm", "bad")
