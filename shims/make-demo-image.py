#!/usr/bin/env python3
"""Make an OCI image layout from Debian's busybox-static: make-demo-image DIRECTORY [TAG]. Needs nothing but Python."""

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile


def layer(busybox: str) -> bytes:
    """A tar with /bin/busybox, its applets as links, and the few files programs expect."""
    out = io.BytesIO()
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode in (
            ("bin", 0o755),
            ("etc", 0o755),
            ("tmp", 0o1777),
            ("root", 0o700),
            ("var", 0o755),
            ("home", 0o755),
            ("usr", 0o755),
            ("usr/demo", 0o755),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        with open(busybox, "rb") as file:
            data = file.read()
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = len(data), 0o755
        tar.addfile(entry, io.BytesIO(data))
        for applet in sorted(set(applets) - {"busybox"}):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        for name, text in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n"),
            ("etc/group", "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n"),
            ("usr/demo/a", "a\n"),
            ("usr/demo/b", "b\n"),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o644
            tar.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def blob(directory: str, data: bytes, media_type: str) -> dict[str, object]:
    """Write a blob; its descriptor."""
    digest = hashlib.sha256(data).hexdigest()
    with open(os.path.join(directory, "blobs", "sha256", digest), "wb") as file:
        file.write(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def main() -> None:
    """Write the layout."""
    directory, tag = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "latest"
    os.makedirs(os.path.join(directory, "blobs", "sha256"), exist_ok=True)
    busybox = next(path for path in ("/bin/busybox", "/usr/bin/busybox") if os.access(path, os.X_OK))
    tar = layer(busybox)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {
        "architecture": machine,
        "os": "linux",
        "created": "2026-01-01T00:00:00Z",
        "config": {"Cmd": ["sh"], "Env": ["PATH=/bin"], "Labels": {"title": "demo"}},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]},
        "history": [{"created_by": "make-demo-image"}],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(directory, json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
        "layers": [blob(directory, gzip.compress(tar, 6, mtime=0), "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    entry = blob(directory, json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
    with open(os.path.join(directory, "index.json"), "w") as file:
        json.dump({"schemaVersion": 2, "manifests": [entry]}, file)
    with open(os.path.join(directory, "oci-layout"), "w") as file:
        json.dump({"imageLayoutVersion": "1.0.0"}, file)


main()
