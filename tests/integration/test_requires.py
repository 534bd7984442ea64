"""--requires: containers that are started before another one, and are not removed under it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Run

NONE = ("--network", "none")


def states(pyman: Run) -> dict[str, str]:
    lines = pyman("ps", "-a", "--format", "{{.Names}} {{.State}}").stdout.splitlines()
    return dict(line.split() for line in lines)  # type: ignore[misc]


@pytest.fixture
def chain(pyman: Run, image: str) -> Iterator[None]:
    """`app` needs `mid` and `db`, `mid` needs `db`; none runs."""
    for name, needs in (("db", ()), ("mid", ("--requires", "db")), ("app", ("--requires", "mid,db"))):
        pyman("create", "--name", name, *NONE, *needs, image, "sleep", "600")
    yield
    pyman("rm", "-f", "-t", "0", "--depend", "-i", "db", rc=None)


def test_start_begins_with_what_is_needed(pyman: Run, chain: None) -> None:
    assert pyman("start", "app").stdout == "app\n"
    assert states(pyman) == dict.fromkeys(("db", "mid", "app"), "running")
    needed = {pyman("inspect", name, "--format", "{{.Id}}").stdout.strip() for name in ("db", "mid")}
    assert set(pyman("inspect", "app", "--format", "{{range .Dependencies}}{{.}} {{end}}").stdout.split()) == needed
    # Its end is the user's business; a restart asks for it.
    pyman("rename", "db", "base")
    pyman("stop", "-t", "0", "base")
    assert states(pyman)["app"] == "running"
    told = pyman("restart", "-t", "0", "app", rc=125).stderr
    assert "do not run: base" in told and "pyman start app" in told
    pyman("start", "app")
    assert states(pyman) == dict.fromkeys(("base", "mid", "app"), "running")
    pyman("rename", "base", "db")


def test_what_is_needed_stays(pyman: Run, chain: None) -> None:
    pyman("start", "mid")
    assert "dependent containers" in pyman("rm", "-f", "-t", "0", "db", rc=125).stderr
    pyman("rm", "-f", "-t", "0", "--depend", "db")
    assert states(pyman) == {}


def test_what_needs_two_goes_with_the_first(pyman: Run, image: str, chain: None) -> None:
    """However the ids of `mid` and of `app`, which needs `mid` and `db`, are in order: both go before `db`."""
    known = [pyman("inspect", "mid", "--format", "{{.Id}}").stdout]
    while pyman("inspect", "app", "--format", "{{.Id}}").stdout < known[0]:
        pyman("rm", "app")
        pyman("create", "--name", "app", *NONE, "--requires", "mid,db", image, "sleep", "600")
    known += [pyman("inspect", name, "--format", "{{.Id}}").stdout for name in ("app", "db")]
    gone = pyman("rm", "--depend", "db").stdout
    assert sorted(gone.split()) == sorted(["db", *(line.strip() for line in known[:2])])
    assert states(pyman) == {}


def test_run_and_mistakes(pyman: Run, image: str, chain: None) -> None:
    assert "db" in pyman("run", "--rm", *NONE, "--requires", "db", image, "true", rc=126).stderr
    pyman("start", "db")
    assert pyman("run", "--rm", *NONE, "--requires", "db", image, "echo", "x").stdout == "x\n"
    assert "nosuch" in pyman("create", "--requires", "nosuch", image, "true", rc=125).stderr
    pyman("create", "--name", "bad", *NONE, image, "/nope")
    pyman("create", "--name", "over", *NONE, "--requires", "bad", image, "sleep", "600")
    told = pyman("start", "over", rc=125).stderr
    assert "needs container bad" in told and "/nope" in told
    pyman("rm", "--depend", "bad")


def test_namespaces_too(pyman: Run, image: str) -> None:
    """Podman's start begins with the container whose namespace is joined."""
    pyman("create", "--name", "base", *NONE, image, "sleep", "600")
    pyman("create", "--name", "joins", "--network", "container:base", image, "sh", "-c", "exit 7")
    pyman("start", "-a", "joins", rc=7)
    assert states(pyman) == {"base": "running", "joins": "exited"}
    pyman("rm", "-f", "-t", "0", "--depend", "base")
