"""Fixtures: pyman in hermetic directories of the test session, an image made on the spot, a leak check at the end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from pyman.runtime import cgroup

ROOT = Path(__file__).resolve().parent.parent
TOOLS = (
    "newuidmap",
    "fuse-overlayfs",
    "pasta",
    "slirp4netns",
    "nft",
    "docker-registry",
    "crun",
    "runc",
    "strace",
    "skopeo",
    "busybox",
    "cc",
    "gpg",
    "ssh",
)
# The same examples in every run, however long one takes; PYMAN_TEST_RANDOM=1 looks for others.
settings.register_profile(
    "pyman", deadline=None, database=None, derandomize=not os.environ.get("PYMAN_TEST_RANDOM"), suppress_health_check=list(HealthCheck)
)
settings.load_profile("pyman")
OTHER_RUNTIME = os.environ.get("PYMAN_TEST_RUNTIME", "")  # crun or runc: the same tests with it, see test_other_runtimes.py
Run = Callable[..., subprocess.CompletedProcess[str]]


def until(condition: Callable[[], Any], why: str = "", seconds: float = 120) -> Any:
    """Ask again until the answer is true, and give it; the time is for machines that stand still, not for what is slow.

    An OSError is no answer yet: what is looked at comes and goes.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            found, last = condition(), ""
        except OSError as err:
            found, last = None, str(err)
        if found:
            return found
        assert time.monotonic() < deadline, why or last or "it did not come"
        time.sleep(0.01)


def pytest_sessionstart() -> None:
    """Interrupts are for the tests to send: who started them in the background has them ignored, and what they start inherits that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> list[str]:
    """What the tests find on this machine."""
    found = [f"{tool}: {'yes' if shutil.which(tool) else 'MISSING'}" for tool in TOOLS]
    return [f"uid {os.getuid()}, kernel {os.uname().release}", ", ".join(found)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A missing prerequisite fails the run: a test that was skipped has shown nothing."""
    needs = [item for item in items if "integration" in str(item.fspath)]
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if needs and missing:
        raise pytest.UsageError(
            f"missing for the integration tests: {', '.join(missing)}; tests/run installs them on Debian 12, Ubuntu 24.04 and later"
        )
    if needs and os.getuid() == 0:
        raise pytest.UsageError("the integration tests run as an unprivileged user; tests/run makes one")


@pytest.fixture(autouse=True)
def no_hang(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that waits for ever fails with its traceback, and the others run: a hang says nothing and ends everything."""

    def tell(number: int, frame: object) -> None:
        pytest.fail("the test waits for something that does not come")

    before = signal.signal(signal.SIGALRM, tell)
    signal.alarm(2400 if request.node.path.parent.name == "vm" else 900)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def command() -> list[str]:
    """pyman as the user would call it: the launcher of this environment, else the package in the tree."""
    launcher = os.path.join(os.path.dirname(sys.executable), "pyman")
    if os.environ.get("PYMAN_TEST_INSTALLED") and os.access(launcher, os.X_OK):
        return [launcher]
    return [sys.executable, "-SI", str(ROOT / "pyman" / "__main__.py")]


@pytest.fixture(scope="session")
def base() -> Iterator[Path]:
    """A short private directory for all of the session's state (socket paths are short)."""
    path = Path(tempfile.mkdtemp(prefix="pm-"))
    yield path
    subprocess.run([*command(), "unshare", "rm", "-rf", str(path / "home")], env=environment(path), check=False)
    shutil.rmtree(path, ignore_errors=True)


def environment(base: Path, **extra: str) -> dict[str, str]:
    """A clean environment with private XDG directories."""
    for name in ("home", "run"):
        (base / name).mkdir(mode=0o700, exist_ok=True)
    if OTHER_RUNTIME:
        configuration = base / "home/.config/pyman/containers.toml"
        configuration.parent.mkdir(parents=True, exist_ok=True)
        configuration.write_text(f'[engine]\nruntime = "{OTHER_RUNTIME}"\n')
    return {
        "HOME": str(base / "home"),
        "XDG_RUNTIME_DIR": str(base / "run"),
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "LANG": "C.UTF-8",
        "TERM": "xterm",
        **extra,
    }


@pytest.fixture(scope="session")
def pyman(base: Path) -> Run:
    """pyman(*args, rc=0, input=None, timeout=300, env={}) runs the command and checks its exit code (rc=None: any).

    text=False: its input and output are bytes.
    """

    def run(
        *args: str,
        rc: int | None = 0,
        input: str | bytes | None = None,
        timeout: float = 300,
        env: dict[str, str] | None = None,
        text: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        stdin = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(
            [*command(), *args],
            capture_output=True,
            text=text,
            timeout=timeout,
            env=environment(base, **(env or {})),
            cwd=base,
            check=False,
            **stdin,  # type: ignore[call-overload]
        )
        if rc is not None and done.returncode != rc:
            pytest.fail(f"pyman {' '.join(args)}: exit code {done.returncode}, expected {rc}\nstdout: {done.stdout}\nstderr: {done.stderr}")
        return done

    return run


def peak_memory(base: Path, *args: str, env: dict[str, str] | None = None) -> int:
    """Most memory that one process of a pyman command had, in MiB; the command must succeed.

    A small process stands between: what a child has before it executes its program counts too, and that is its parent's.
    """
    script = "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]); print(); "
    script += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
    argv = [sys.executable, "-SIc", script, *command(), *args]
    done = subprocess.run(argv, env=environment(base, **(env or {})), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (args, done.stderr)
    return int(done.stdout.split()[-1]) >> 10


def beside(base: Path, image: str, *shell: str) -> str:
    """Run a shell with its script in the user namespace of `pyman unshare`, for services that tests bring along; its stdout. $image: the image."""
    done = subprocess.run(
        [*command(), "unshare", *shell],
        env=environment(base, image=image, XDG_RUNTIME_DIR="/run/pm"),
        cwd=base,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="session")
def layout(base: Path) -> str:
    """An OCI image layout made from busybox-static, tag `latest`."""
    path = base / "demo"
    subprocess.run([sys.executable, str(ROOT / "shims" / "make-demo-image.py"), str(path)], check=True)
    return str(path)


@pytest.fixture
def image(pyman: Run, layout: str) -> str:
    """Name of the demo image, in the session's store."""
    if pyman("image", "exists", "localhost/demo:latest", rc=None).returncode:
        pyman("pull", "-q", f"oci:{layout}:latest")
    return "localhost/demo:latest"


def _groups() -> set[str]:
    """The control groups of containers below the tests' own. Others' come and go while they are listed."""
    found = set()
    for place, _, _ in os.walk(os.path.dirname(cgroup.path_of() or "/nowhere/at-all")):
        try:
            if re.search(r"/pyman-[0-9a-f]{64}$", place) and os.stat(place).st_uid == os.getuid():
                found.add(place)
        except FileNotFoundError:
            pass
    return found


@pytest.fixture(scope="session")
def groups_before() -> set[str]:
    """Control groups of containers that were there before the first test: those of other stores, or of a run that was killed."""
    return _groups()


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """After an integration test no container is left, so no process, mount or directory of one can be."""
    before = request.getfixturevalue("groups_before") if "integration" in str(request.node.fspath) else set()
    yield
    if "integration" not in str(request.node.fspath) or "pyman" not in request.fixturenames:
        return
    run = request.getfixturevalue("pyman")
    where = request.getfixturevalue("base")
    left = run("ps", "-aq").stdout.split()
    if left:
        run("rm", "-f", "-t", "0", *left, rc=None)

    def nothing() -> bool:
        """(Whoever was asked to end may need a moment.)"""
        kept.clear()
        for path in (where / "home/.local/share/pyman/containers", where / "run/pyman/containers"):
            kept.extend(f"{path}/{entry}" for entry in (os.listdir(path) if path.exists() else []))
        kept.extend(_groups() - before)
        return not kept

    kept: list[str] = []
    try:
        until(nothing)
    except AssertionError:
        pytest.fail(f"{request.node.name} left {kept}")
