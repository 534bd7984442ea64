"""`network rm` beside what uses the network: one of the two wins, the other one says so."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Run, command, environment, until
from tests.integration.test_bridge import nothing_left  # noqa: F401 (a fixture)


@contextmanager
def locked(base: Path) -> Iterator[Path]:
    """The networks' directory, while nobody else can lock it."""
    place = base / "home/.local/share/pyman/networks"
    fd = os.open(place, os.O_RDONLY)
    try:
        until(lambda: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB) is None)  # type: ignore[func-returns-value]
        yield place
    finally:
        os.close(fd)


def beside(base: Path, *args: str) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*command(), *args], text=True, env=environment(base), cwd=base, **pipes)  # type: ignore[call-overload,no-any-return]


def test_a_start_on_a_network_that_is_removed_meanwhile(pyman: Run, image: str, base: Path) -> None:
    pyman("network", "create", "gone")
    pyman("network", "create", "other")
    pyman("run", "-d", "--name", "mate", "--network", "other", image, "sleep", "600")
    containers = base / "home/.local/share/pyman/containers"
    with locked(base) as place:
        run = beside(base, "run", "-d", "--name", "late", "--network", "gone", "--network", "other", image, "sleep", "600")
        until(lambda: len(list(containers.glob("*/config.json"))) == 2)
        (place / "gone.json").unlink()
    error = run.communicate()[1]
    assert run.returncode == 126 and "no network with name or ID 'gone' found" in error, error
    assert pyman("ps", "-a", "--filter", "name=late", "--format", "{{.Status}}").stdout.strip() in ("Created", "")
    pyman("network", "create", "gone")
    with locked(base) as place:
        connect = beside(base, "network", "connect", "gone", "mate")
        record = json.loads((place / "gone.json").read_text())
        (place / "gone.json").unlink()
    error = connect.communicate()[1]
    assert connect.returncode == 125 and "gone" in error, error
    assert list(json.loads(pyman("inspect", "mate").stdout)[0]["NetworkSettings"]["Networks"]) == ["other"]
    assert pyman("network", "ls", "-q").stdout.split() and record["network_interface"]


def test_a_network_that_is_used_meanwhile_is_not_removed(pyman: Run, image: str, base: Path) -> None:
    """By force it is, with the container."""
    pyman("network", "create", "used")
    with locked(base):
        remove = beside(base, "network", "rm", "used")
        pyman("create", "--name", "late", "--network", "used", image, "true")
    error = remove.communicate()[1]
    # Whether it looked before the container was there or after.
    assert remove.returncode == 2 and "containers are attached to it: late" in error, error
    with locked(base):
        remove = beside(base, "network", "rm", "-f", "used")
        pyman("create", "--name", "later", "--network", "used", image, "true")
    assert remove.communicate()[0] == "used\n" and remove.returncode == 0
    assert pyman("ps", "-aq").stdout == ""


def test_one_of_both_wins(pyman: Run, image: str, base: Path) -> None:
    for number in range(6):
        pyman("network", "create", "net")
        run = beside(base, "run", "-d", "--name", "c", "--network", "net", image, "sleep", "600")
        remove = beside(base, "network", "rm", "net")
        outputs = [one.communicate() for one in (run, remove)]
        running = pyman("ps", "-q").stdout.strip()
        there = pyman("network", "exists", "net", rc=None).returncode == 0
        assert there == (remove.returncode != 0), (number, outputs)
        assert bool(running) == (run.returncode == 0), (number, outputs)
        assert there or not running, (number, outputs)
        if not running:
            assert "no network with name" in outputs[0][1], (number, outputs)
        pyman("rm", "-f", "-t", "0", "--ignore", "c")
        pyman("network", "rm", "net", rc=None)


def test_a_container_that_has_not_started_shows_its_networks(pyman: Run, image: str) -> None:
    """The one that has lost its network, too."""
    pyman("network", "create", "net")
    identity = pyman("network", "inspect", "-f", "{{.ID}}", "net").stdout.strip()
    pyman("create", "--name", "c", "--network", identity[:12], image, "true")
    assert pyman("ps", "-a", "--format", "{{.Status}} {{.Networks}}").stdout == "Created net\n"
    assert pyman("inspect", "-f", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}", "c").stdout == "net\n"
    assert pyman("ps", "-aq", "--filter", "network=net").stdout
    pyman("network", "disconnect", "net", "c")
    assert pyman("ps", "-a", "--format", "{{.Networks}}").stdout == "\n"
