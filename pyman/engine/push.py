"""Push an image (or a list of images) to a registry, a layout, an archive or a directory. CLI process, slow path."""

from __future__ import annotations

from pyman import paths
from pyman.config import containers
from pyman.errors import UsageError
from pyman.state import events
from pyman.storage import images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.image.push import Choice


def push(
    name: str,
    destination: str,
    choice: Choice,
    *,
    compress: bool = False,
    everything: bool = True,
    signer: Any = None,
    reporter: Any = None,
    conf: dict[str, Any] | None = None,
    **access: Any,
) -> str:
    """Bring the image `name` to `destination` (its own name if empty); the digest of its manifest there.

    everything: of a list, push its images too; signer: sign.Signer or None; access: see registry.Access. NoSuchImage, ImageError, RegistryError, StorageError, UsageError.
    """
    from pyman.image import push as pushing
    from pyman.image import targets

    record = images.load().resolve(name)
    where = destination or own_name(record, name)
    if compress and targets.split(where)[0] != "dir":
        raise UsageError(
            "cannot use --compress", "it is for the target dir: alone", "others are compressed; choose by --compression-format"
        )
    if "list" in record:
        from pyman.engine import manifest_push

        return manifest_push.push_list(
            record["id"], where, choice, everything=everything, signer=signer, reporter=reporter, conf=conf, **access
        )
    paths.ensure_private(paths.graphroot())
    if signer:
        signer.check(where)
    target = targets.open_target(where, compress=compress, **access)
    try:
        parallel = containers.parallel_copies(conf)
        descriptor = pushing.push(record, target, choice, reporter=reporter, parallel=parallel)
        target.finish()
        if signer:
            signer.sign(target.reference, [descriptor["digest"]])
    finally:
        target.close()
    events.emit("image", "push", record["id"], where.removeprefix("docker://"))
    return str(descriptor["digest"])


def own_name(record: dict[str, Any], name: str) -> str:
    """The name by which an image is pushed where no destination is given. UsageError."""
    known = [candidate for candidate in [name, *images.candidates(name)] if candidate in record["names"]]
    known = known or [full for full in record["names"] if full.endswith("/" + name) or full.endswith(f"/{name}:latest")]
    if not known:
        raise UsageError(f"cannot push {name}", "an id does not say where to", "pyman push IMAGE DESTINATION")
    return known[0]
