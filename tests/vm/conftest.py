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
