"""Pulls from a real registry through proxies that are slow, cut connections, answer with errors, and send blobs elsewhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import layouts
from tests.conftest import Run
from tests.integration.proxy import Proxy
from tests.integration.test_push import PLAIN, raw, skopeo
from tests.integration.test_registry import start_registry
from tests.integration.test_unpack_hostile import tar

LAYERS = 10


@pytest.fixture(scope="module")
def registry(base: Path) -> Iterator[str]:
    process, address = start_registry(base / "faults-registry", {})
    layers = [tar([("f", f"file{number}", hashlib.shake_256(bytes([number])).digest(300_000))]) for number in range(LAYERS)]
    source = layouts.write(base / "faults", *layers)
    skopeo("copy", "-q", "--insecure-policy", "--dest-tls-verify=false", source, f"docker://{address}/ten:1")
    yield address
    process.kill()
    process.wait()


@pytest.fixture
def proxies(registry: str) -> Iterator[tuple[Proxy, Proxy]]:
    made = Proxy(registry), Proxy(registry)
    yield made
    for proxy in made:
        proxy.close()


@pytest.mark.parametrize("fault", ["cut", "errors", "slow", "elsewhere", "all"])
def test_ten_layers_arrive(pyman: Run, registry: str, proxies: tuple[Proxy, Proxy], base: Path, fault: str) -> None:
    """The image is right, what had arrived is not fetched again, and no token leaves the registry's own host."""
    near, far = proxies
    near.token_for = lambda _query: "good"
    near.allowed = lambda token, _method, _path: token == "good"
    if fault in ("elsewhere", "all"):
        near.blobs_elsewhere = far.address
    last = far if near.blobs_elsewhere else near
    if fault in ("cut", "all"):
        last.cut_blobs = 5
    if fault in ("errors", "all"):
        near.fail = {"GET": [503, 429, 500]}
    if fault in ("slow", "all"):
        near.pause = far.pause = 0.05
    pyman("rmi", "-af")
    name = f"{near.address}/ten:1"
    image = pyman("pull", "-q", PLAIN, "--creds", "me:pass", "--retry", "4", "--retry-delay", "10ms", name).stdout.strip()
    assert f"sha256:{image}" == json.loads(raw(f"docker://{registry}/ten:1"))["config"]["digest"]
    assert last.cut_blobs == 0 and not near.fail.get("GET")
    assert all(not given for _, _, given, _ in far.requests)
    assert last.count("GET", "/blobs/sha256:") >= LAYERS + (5 if fault in ("cut", "all") else 0)
    out = base / "faults-out"
    pyman("save", "-q", "--format", "docker-archive", "-o", str(out), name)  # every byte of every layer is verified by that
    out.unlink()
    pyman("rmi", "-af")
