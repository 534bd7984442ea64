"""Images of other tools come in and go out digest for digest: umoci's layers, layers with annotations, skopeo's copies of everything."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tests import layouts
from tests.conftest import Run
from tests.integration.test_push import PLAIN, digest, raw, skopeo
from tests.integration.test_registry import plain_registry
from tests.integration.test_unpack_hostile import tar


@pytest.fixture(scope="module")
def registry(base: Path) -> Iterator[str]:
    with plain_registry(base / "foreign-registry") as address:
        yield address


def tool(*args: object) -> None:
    done = subprocess.run([str(arg) for arg in args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_images_of_umoci(pyman: Run, registry: str, base: Path) -> None:
    """Two layers and a configuration made by umoci; pulled, pushed and saved, they are the same, and umoci reads them."""
    made, bundle = base / "umoci-made", base / "umoci-bundle"
    tool("umoci", "init", "--layout", made)
    tool("umoci", "new", "--image", f"{made}:v1")
    for number in ("one", "two"):
        tool("umoci", "unpack", "--rootless", "--image", f"{made}:v1", bundle / number)
        (bundle / number / "rootfs" / number).write_text(f"layer {number}")
        (bundle / number / "rootfs/one").write_text(number)
        tool("umoci", "repack", "--image", f"{made}:v1", bundle / number)
    tool("umoci", "config", "--image", f"{made}:v1", "--config.label", "a=b", "--config.cmd", "/one", "--history.comment", "by umoci")
    skopeo("copy", "-q", "--insecure-policy", "--dest-tls-verify=false", f"oci:{made}:v1", f"docker://{registry}/umoci:1")
    wanted = raw(f"docker://{registry}/umoci:1")
    name = f"{registry}/umoci:1"
    image = pyman("pull", "-q", PLAIN, name).stdout.strip()
    shown = json.loads(pyman("image", "inspect", name).stdout)[0]
    assert shown["ManifestType"].endswith("manifest.v1+json")
    assert shown["Digest"] == digest(wanted) and shown["Labels"] == {"a": "b"} and len(shown["RootFS"]["Layers"]) == 2
    pyman("push", "-q", PLAIN, name, f"{registry}/umoci/back:1")
    assert raw(f"docker://{registry}/umoci/back:1") == wanted
    out = base / "umoci-saved"
    pyman("save", "-q", "--format", "oci-dir", "-o", str(out), name)
    tag = json.loads((out / "index.json").read_text())["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
    tool("umoci", "unpack", "--rootless", "--image", f"{out}:{tag}", base / "umoci-read")
    assert (base / "umoci-read/rootfs/one").read_text() == "two" and (base / "umoci-read/rootfs/two").read_text() == "layer two"
    for transport in ("oci-archive", "docker-archive"):
        pyman("save", "-q", "--format", transport, "-o", str(base / f"umoci.{transport}"), name)
        config = skopeo("inspect", "--config", "--raw", f"{transport}:{base}/umoci.{transport}").encode()
        assert digest(config) == f"sha256:{image}"
    pyman("rmi", "-af")


def test_annotations_of_layers_stay_with_their_form(pyman: Run, registry: str, base: Path) -> None:
    """zstd:chunked: the layer is used as a plain zstd one. Pushed as it is, it keeps its notes; compressed anew, they would be wrong."""
    plain = tar([("f", "file", b"x" * 5000)])
    packed = zstandard.ZstdCompressor().compress(plain) + b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"toc!"
    path = base / "chunked"
    layouts.write(path, plain)
    top = json.loads((path / "index.json").read_text())["manifests"][0]
    value = json.loads((path / "blobs/sha256" / top["digest"][7:]).read_text())
    notes = {"io.github.containers.zstd-chunked.manifest-position": "1:2:3:1"}
    value["annotations"] = {"x": "y"}
    value["layers"] = [
        {"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd", "digest": digest(packed), "size": len(packed), "annotations": notes}
    ]
    data = json.dumps(value).encode()
    for content in (packed, data):
        (path / "blobs/sha256" / digest(content)[7:]).write_bytes(content)
    top = {**top, "digest": digest(data), "size": len(data)}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    skopeo("copy", "-q", "--insecure-policy", "--dest-tls-verify=false", f"oci:{path}", f"docker://{registry}/chunked:1")
    name = f"{registry}/chunked:1"
    pyman("pull", "-q", PLAIN, name)
    assert json.loads(pyman("image", "inspect", name).stdout)[0]["Annotations"] == {"x": "y"}
    for target, kept in ((f"{registry}/chunked:2", True), (f"{registry}/chunked/other:1", True), (f"oci:{base}/chunked-out:1", False)):
        pyman("push", "-q", PLAIN, name, target)
        layer = json.loads(raw(f"docker://{target}" if kept else target))["layers"][0]
        assert (layer.get("annotations") == notes) == kept and (layer["digest"] == digest(packed)) == kept
    pyman("rmi", "-af")
