"""Images made by hand, as OCI layouts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pyman.linux import machine


def write(path: Path, *layers: bytes, tag: str = "", config: dict[str, Any] | None = None) -> str:
    """An OCI layout with one image of plain layers, for this machine; how `pull` calls it. config: what its configuration says of containers."""
    blobs = path / "blobs/sha256"
    blobs.mkdir(parents=True)

    def add(content: bytes, kind: str) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    placed = [add(layer, "layer.v1.tar") for layer in layers]
    described: dict[str, Any] = {"architecture": machine.architecture(), "os": "linux", **({"config": config} if config else {})}
    described["rootfs"] = {"type": "layers", "diff_ids": [layer["digest"] for layer in placed]}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": add(json.dumps(described).encode(), "config.v1+json"),
        "layers": placed,
    }
    top = add(json.dumps(manifest).encode(), "manifest.v1+json")
    if tag:
        top["annotations"] = {"org.opencontainers.image.ref.name": tag}
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return f"oci:{path}:{tag}" if tag else f"oci:{path}"
