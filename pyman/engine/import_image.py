"""Make an image of one layer of a root file system's archive: a file, stdin or an address. CLI process; unpacks in U1.

The archive is unpacked as a layer is, by a confined child; no name is given or taken but the one asked for.
"""

from __future__ import annotations

import hashlib
import os
import time

from pyman import paths, stages
from pyman.engine import commit, image_changes
from pyman.errors import ImageError, NoSuchImage, UsageError
from pyman.image import download, policy, reference
from pyman.image.manifest import MANIFESTS, host_platform
from pyman.rootless import idmap, userns
from pyman.state import events, fastjson
from pyman.storage import decompress, image_config, images, intents, layers, sharing, trash, unpacker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def import_image(
    source: str,
    name: str = "",
    *,
    changes: list[str] | None = None,
    message: str = "",
    architecture: str = "",
    system: str = "",
    variant: str = "",
    reporter: Any = None,
) -> str:
    """Make an image of the archive `source` (a path, "-" for stdin, or an address); its id.

    UsageError, NoSuchImage, ImageError, RegistryError, StorageError.
    """
    full = reference.normalise_tag(name) if name else ""
    policy.check("tarball", [""], f"archive {source}")
    inner: dict[str, Any] = {}
    image_changes.apply(inner, list(changes or []))
    for path in (paths.graphroot(), paths.runroot()):
        paths.ensure_private(path)
    layers.first_use()
    trash.sweep()
    commit.collect()
    decompress.prepare()
    fd = _open(source, reporter)
    intent, sweepless = intents.Intent(), layers.storing()
    sweepless.acquire()
    try:
        single = idmap.load_idmap().single
        sharing.how()
        info = dict(userns.start_call(lambda: _store_layer(fd, single, intent), "pyman:[import]", (fd, intent.fd)).finish())
        stages.reach("import:layer")
        host = host_platform().split("/")
        platform = (architecture or host[1], system or host[0], variant or ("" if architecture else "".join(host[2:])))
        record, blobs = _describe(info, inner, message or "imported from tarball", platform)
        intent.note([str(info["diff_id"])], list(blobs))
        for digest, data in blobs.items():
            images.write_blob(digest, data)
        stages.reach("import:blobs")
        images.add(record, [full] if full else [])
        stages.reach("import:record")
    except ImageError as err:
        intent.release()
        sweepless.release()
        commit.collect()
        why = f"{err.what}: {err.why}".replace("layer", "archive")
        hint = err.hint or ("it must be a tar archive, plain or compressed" if err.what.startswith("damaged") else "")
        raise ImageError(f"cannot import {source}", why, hint) from err
    except BaseException:
        intent.release()
        sweepless.release()
        commit.collect()
        raise
    finally:
        sweepless.release()
        os.close(fd)
    intent.done()
    events.emit("image", "import", str(record["id"]), full or source)
    return str(record["id"])


def _open(source: str, reporter: Any) -> int:
    if download.is_url(source):
        return download.download(source, reporter)
    if source == "-":
        if os.isatty(0):
            raise UsageError("cannot read from the terminal", "an archive is no text", "redirect stdin")
        return os.dup(0)
    try:
        return os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as err:
        raise NoSuchImage(f"cannot import {source}", err.strerror or str(err)) from err


def _store_layer(fd: int, single: bool, intent: intents.Intent) -> dict[str, Any]:
    """In U1: unpack into a staging directory, make it a layer."""
    with layers.Staging() as staging:
        info = unpacker.unpack_layer(fd, staging.path, media_type="", single=single)
        stages.reach("import:unpacked")
        intent.note([str(info["diff_id"])], [])
        staging.commit(str(info["diff_id"]), info)
    return info


def _describe(
    info: dict[str, Any], inner: dict[str, Any], message: str, platform: tuple[str, str, str]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """(the image's record, its blobs by digest)."""
    now = time.time()
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1e9):09d}Z"
    diff_id = str(info["diff_id"])
    document: dict[str, Any] = {
        "created": moment,
        "architecture": platform[0],
        "os": platform[1],
        **({"variant": platform[2]} if platform[2] else {}),
        "config": inner,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        "history": [{"created": moment, "created_by": f"/bin/sh -c #(nop) ADD file:{diff_id} in /", "comment": message}],
    }
    config = fastjson.dumps(document).encode()
    image_id = hashlib.sha256(config).hexdigest()
    manifest = fastjson.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFESTS[0],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": f"sha256:{image_id}", "size": len(config)},
            "layers": [
                {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": f"sha256:{diff_id}", "size": int(info["plain_size"])}
            ],
        }
    ).encode()
    digest = hashlib.sha256(manifest).hexdigest()
    size = layers.sizes([diff_id])
    record = image_config.new_record(document, config=image_id, manifest=digest, layers=[diff_id], size=size, created=now)
    return record, {image_id: config, digest: manifest}
