"""Somebody who may write the root exchanges directories of it while containers start: what is to be hidden in the kernel's files is hidden."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Bundle, Runtime

_EXCHANGE = 2  # RENAME_EXCHANGE
LOOK = """
for top in proc sys data other; do
    [ -e /$top/sys/kernel/msgmax ] && (echo 8001 >/$top/sys/kernel/msgmax) 2>/dev/null && echo open /$top/sys
    [ -e /$top/keys ] && [ -s /$top/keys ] && echo open /$top/keys
    [ -e /$top/kernel/notes ] && [ -s /$top/kernel/notes ] && echo open /$top/kernel/notes
    [ -e /$top/secret ] && [ -s /$top/secret ] && echo open /$top/secret
    [ -e /$top/fixed ] && (echo new >/$top/fixed) 2>/dev/null && echo open /$top/fixed
done
echo seen
"""


@pytest.fixture(params=["proc", "sys", "data"])
def exchanging(request: pytest.FixtureRequest, bundle: Bundle, tmp_path: Path) -> Iterator[Path]:
    """A bundle whose mount point of that name is a directory and, half of the time, a link to what cannot be."""
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "secret").write_text("secret")
    (volume / "fixed").write_text("fixed")
    for name in ("proc", "sys", "data"):
        (bundle.root / name).mkdir(exist_ok=True)
    (bundle.root / "other").symlink_to("/bin/busybox/nowhere")
    mounts = bundle.spec["mounts"]
    mounts.append({"destination": "/data", "type": "bind", "source": str(volume), "options": ["rbind"]})
    linux = bundle.spec["linux"]
    linux["maskedPaths"] = [*linux["maskedPaths"], "/proc/keys", "/sys/kernel/notes", "/data/secret"]
    linux["readonlyPaths"] = [*linux["readonlyPaths"], "/proc/sys", "/data/fixed"]
    libc = ctypes.CDLL(None)
    one, two = bytes(bundle.root / request.param), bytes(bundle.root / "other")
    stop = threading.Event()

    def exchange() -> None:
        while not stop.is_set():
            libc.renameat2(-100, one, -100, two, _EXCHANGE)
            time.sleep(0.002)  # as long as the mounts take, so that it comes between them and the masks

    thread = threading.Thread(target=exchange)
    thread.start()
    yield bundle.sh(LOOK)
    stop.set()
    thread.join()


def test_masks_lie_in_the_mount_wherever_its_directory_is_by_then(runtime: Runtime, exchanging: Path) -> None:
    for number in range(15):
        done = runtime("run", "--bundle", exchanging, f"masks{number}", rc=None)
        # A link where the mount must go is an error; whatever runs sees nothing.
        assert done.stdout in ("", "seen\n"), done
        assert done.returncode in (0, 1), done
