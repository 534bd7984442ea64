"""The caller's umask: nothing that pyman makes gives away more, or less, for it; the container's processes have their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment
from tests.integration.conftest import Bundle, Runtime, runner

LOOK = """
stat -c '%a %n' / /run /etc/hosts /etc/hostname /etc/resolv.conf /run/.containerenv /v /new/deep
echo evil >>/etc/hosts && echo written
echo evil >>/etc/resolv.conf && echo written
id -u; umask
"""
SEEN = """\
755 /
755 /run
644 /etc/hosts
644 /etc/hostname
644 /etc/resolv.conf
644 /run/.containerenv
755 /v
755 /new/deep
1000
0022
"""


@pytest.fixture(params=[0, 0o27, 0o77], ids=oct)
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    """The umask of this process, and so of what it calls."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_what_a_container_sees(pyman: Run, image: str, mask: int) -> None:
    name = f"umask-{mask:o}"
    volumes = ("-v", f"{name}:/v", "-v", f"{name}-2:/new/deep")
    done = pyman("run", "--rm", "--user", "1000", "--hostname", "h", *volumes, image, "sh", "-c", LOOK)
    assert done.stdout == SEEN
    pyman("volume", "rm", name, f"{name}-2")


def test_a_shared_root_is_for_all_users(bundle: Bundle, runtime: Runtime, mask: int) -> None:
    """What the runtime program makes in a container's root: mount points and the working directory."""
    bundle.spec["mounts"].append({"destination": "/new/deep", "type": "tmpfs", "source": "none"})
    bundle.save(args=["/bin/busybox", "stat", "-c", "%a", "/new", "/cwd"], cwd="/cwd")
    assert runtime("run", "--bundle", bundle.path, "masked").stdout == "755\n755\n"


@pytest.mark.parametrize("mask", [0], indirect=True)
def test_nobody_else_may_change_the_configuration(mask: int, tmp_path: Path) -> None:
    home = tmp_path / "store"
    home.mkdir(mode=0o700)
    run = runner(home)
    run("secret", "create", "s", "/etc/hostname")
    run("volume", "create", "v")
    loose = [place for place, _, _ in os.walk(home / "home") if os.stat(place).st_mode & 0o22]
    assert loose == []
    subprocess.run([*command(), "system", "reset", "-f"], env=environment(home), check=True)


def test_files_for_the_user(pyman: Run, image: str, tmp_path: Path, mask: int) -> None:
    """As with Podman, the mode of what is written for the user is the same whatever his umask is."""
    tmp_path.chmod(0o700)
    pyman("create", "--name", "masked", "--cidfile", str(tmp_path / "cid"), image)
    try:
        pyman("export", "-o", str(tmp_path / "tar"), "masked")
        pyman("save", "-q", "-o", str(tmp_path / "image"), image)
        pyman("save", "-q", "--format", "oci-dir", "-o", str(tmp_path / "layout"), image)
        modes = {entry.name: oct(entry.stat().st_mode & 0o777) for entry in tmp_path.iterdir()}
    finally:
        pyman("rm", "masked")
    assert modes == {"cid": "0o644", "tar": "0o644", "image": "0o644", "layout": "0o755"}


def test_the_users_own_programs_keep_it(pyman: Run, mask: int) -> None:
    assert pyman("unshare", "sh", "-c", "umask").stdout == f"{mask:04o}\n"


def test_the_containers_umask_is_that_of_its_sessions(pyman: Run, image: str, mask: int) -> None:
    pyman("run", "-d", "--name", "own", "--umask", "0077", "--network", "none", "--init", image, "sleep", "1000")
    try:
        for user in ((), ("--user", "1000"), ("--user", "root")):
            assert pyman("exec", *user, "own", "sh", "-c", "umask").stdout == "0077\n"
    finally:
        pyman("rm", "-f", "-t", "0", "own")
