"""Containers in namespaces of others, whichever user namespaces these and those have."""

from __future__ import annotations

import pytest

from tests.conftest import Run

NONE = ("--rm", "--network", "none")


@pytest.mark.parametrize("option", [(), ("--userns", "keep-id")])
def test_posix_shared_memory_is_that_of_the_ipc_namespace(pyman: Run, image: str, option: tuple[str, ...]) -> None:
    pyman("run", "-d", "--name", "there", *option, "--network", "none", image, "sleep", "600")
    pyman("exec", "there", "touch", "/dev/shm/its")
    done = pyman("run", *NONE, "--ipc", "container:there", image, "sh", "-c", "ls /dev/shm; touch /dev/shm/ours; cat /proc/mounts")
    assert done.stdout.startswith("its\n") and " /dev/mqueue mqueue " in done.stdout
    assert pyman("exec", "there", "ls", "/dev/shm").stdout.split() == ["its", "ours"]
    pyman("rm", "-f", "-t", "0", "there")


def test_no_shared_memory_of_a_container_without_it(pyman: Run, image: str) -> None:
    """What the host has there is nobody's."""
    pyman("run", "-d", "--name", "there", "--ipc", "none", "--network", "none", image, "sleep", "600")
    assert " /dev/shm " not in pyman("run", *NONE, "--ipc", "container:there", image, "cat", "/proc/mounts").stdout
    pyman("rm", "-f", "-t", "0", "there")
