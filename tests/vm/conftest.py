"""The fixture `vm`: a virtual machine with systemd and all control groups, one for all tests here.

The tests run where an image is: in PYMAN_VM_DIR (tests/run builds one), or in ~/.cache/pyman-vm, where the state after the boot is kept.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.machine import Machine
from tests.vm.units import FOLDER, GENERATORS, PATIENCE

KEPT = Path.home() / ".cache/pyman-vm"
IMAGE = Path(os.environ.get("PYMAN_VM_DIR") or KEPT)
collect_ignore_glob = [] if (IMAGE / "root.raw").exists() else ["test_*.py"]


def pytest_report_header() -> str:
    """Which image, or how to get one."""
    return f"virtual machine: {IMAGE}" + ("" if not collect_ignore_glob else " has none: tests/vm/build makes one")


@pytest.fixture(scope="session")
def vm() -> Iterator[Machine]:
    """The running machine: `vm(script)` runs a bash script as its unprivileged user. Containers of a test are the test's to remove."""
    with tempfile.TemporaryDirectory(prefix="pv-") as scratch:
        machine = Machine(IMAGE, Path(scratch), keep=IMAGE == KEPT)
        try:
            yield machine
        finally:
            machine.close()


@pytest.fixture(scope="module")
def quadlet(vm: Machine) -> Machine:
    """The machine with pyman's generator in systemd's place for them, Podman's hidden, the demo image, and FOLDER."""
    vm(
        f"mkdir -p {GENERATORS}; ln -sf /opt/pyman/bin/pyman-quadlet {GENERATORS}/pyman-user-generator;"
        f" ln -sf /dev/null {GENERATORS}/podman-user-generator",
        user="root",
    )
    vm(
        f"mkdir -p {FOLDER} ~/.config/systemd/user; pyman image exists localhost/demo:latest || pyman pull -q oci:/opt/demo:latest >/dev/null"
    )
    return vm


@pytest.fixture
def units(quadlet: Machine) -> Iterator[Machine]:
    yield quadlet
    quadlet(
        f"systemctl --user stop $(cd {FOLDER}; ls | sed -n 's/[.]container$/.service/p') || :\n"
        f"rm -f {FOLDER}/* ~/.config/systemd/user/act.socket; systemctl --user daemon-reload; systemctl --user reset-failed\n"
        "pyman rm -f -t 0 -a >/dev/null",
        timeout=PATIENCE,
    )
