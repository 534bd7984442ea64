"""Pull: from a source (registry, layout, archive) into the store, several layers at a time. CLI process, slow path.

Unpack workers are forked before any thread exists. Everything is verified while it streams; the image's record is
written last, so a killed pull leaves complete layers, which the next one finds, and garbage, which it sweeps.
"""

from __future__ import annotations

import os
import threading

from pyman import paths, stages
from pyman.errors import ImageError, NoSuchImage, PymanError, RegistryError, UsageError
from pyman.image import lanes, reference
from pyman.image import manifest as manifests
from pyman.image import policy as trust
from pyman.state import events
from pyman.storage import images, layers, partial, trash
from pyman.storage.unpacker import Unpacker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

POLICIES = ("always", "missing", "never", "newer")


def pull(
    name: str,
    *,
    policy: str = "always",
    platform: str = "",
    tls_verify: bool | None = None,
    creds: str = "",
    authfile: str = "",
    cert_dir: str = "",
    reporter: Any = None,
    conf: dict[str, Any] | None = None,
    retry: int | None = None,
    retry_delay: float | None = None,
) -> dict[str, Any]:
    """Bring an image into the store and return its record. RegistryError, ImageError, NoSuchImage, StorageError."""
    if policy not in POLICIES:
        raise UsageError(f"invalid pull policy {policy!r}", "it must be one of " + ", ".join(POLICIES))
    for path in (paths.graphroot(), paths.runroot()):
        paths.ensure_private(path)
    trash.sweep()
    partial.sweep()
    if policy in ("missing", "never"):
        try:
            return images.load().resolve(name)
        except NoSuchImage:
            if policy == "never":
                raise
    access = {"tls_verify": tls_verify, "creds": creds, "authfile": authfile, "cert_dir": cert_dir}
    try:
        added = _from_first(sources(name, retry=retry, retry_delay=retry_delay, **access), platform, reporter, conf or {})
    except PymanError as err:
        events.emit("image", "pull-error", "", name, Error=str(err)[:4096])
        raise
    events.emit("image", "pull", added["id"], name)
    return added


def _from_first(found: list[Callable[[], Any]], platform: str, reporter: Any, conf: dict[str, Any]) -> dict[str, Any]:
    """The image from the first source that has it."""
    for left in range(len(found) - 1, -1, -1):
        source = found.pop(0)()
        try:
            with layers.storing():
                record, names = fetch(source, platform, reporter, conf)
                added = images.add(record, names)
            stages.reach("pull:record")
            return added
        except (NoSuchImage, RegistryError):
            if not left:
                raise
        finally:
            source.close()
    raise AssertionError("unreachable")


def tags(name: str, **options: Any) -> list[str]:
    """The names of all tagged images of a repository, for --all-tags. RegistryError, UsageError."""
    source = sources(name, **options)[0]()
    if not source.remote:
        raise UsageError(f"cannot pull all tags of {name}", "only a registry has tags to list")
    base = source.reference
    return [f"docker://{base.registry}/{base.repository}:{tag}" for tag in source.tags()]


def sources(name: str, **options: Any) -> list[Callable[[], Any]]:
    """What makes the source of a name; more than one only for a short name that may be tried at several registries.

    UsageError for an unknown transport, NoSuchImage for a short name nobody resolves.
    """
    transport, colon, rest = name.partition(":")
    if colon and transport == "oci":
        from pyman.image import layout

        trust.check(transport, trust.path_scopes(rest), f"image {name}")
        return [lambda: layout.LayoutSource(rest)]
    if colon and transport in ("oci-archive", "docker-archive"):
        from pyman.image import archive

        trust.check(transport, trust.path_scopes(rest), f"image {name}")
        return [lambda: archive.open_archive(transport, rest)]
    if colon and transport == "dir":
        from pyman.image import layout

        trust.check(transport, trust.path_scopes(rest), f"image {name}")
        return [lambda: layout.DirSource(rest)]
    if transport in ("docker-daemon", "containers-storage", "sif", "ostree"):
        raise UsageError(
            f"cannot pull {name}",
            f"the transport {transport}: is not part of this release",
            "use docker://, oci:, oci-archive:, docker-archive: or dir:",
        )
    plain = name.removeprefix("docker://")
    full = [plain]
    if reference.is_short(plain):
        from pyman.image import shortnames

        reference.parse(f"localhost/{plain}")  # the grammar first: no registry has a name that is none
        full = shortnames.resolve(plain, shortnames.asker())
    from pyman.image import registry, registry_source

    access = registry.Access(**options)

    def opened(one: str) -> Any:
        parsed = reference.parse(one)
        trust.check("docker", trust.docker_scopes(parsed), f"image {parsed.name()}")
        return registry_source.RegistrySource(parsed, access)

    return [lambda one=one: opened(one) for one in full]  # type: ignore[misc]


def fetch(source: Any, platform: str, reporter: Any, conf: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Verify and store everything the image consists of; (record, names it gets)."""
    what = source.label
    names = source.names()
    data, media_type, digest = source.manifest()
    value = manifests.loads(data, what, manifests.MAX_MANIFEST)
    top_digest = digest
    if manifests.kind_of(value, media_type, what) == "index":
        chosen = manifests.choose(value, platform, what)
        data, media_type, digest = source.manifest(chosen)
        value = manifests.loads(data, what, manifests.MAX_MANIFEST)
        if manifests.kind_of(value, media_type, what) != "manifest":
            raise ImageError(f"cannot use {what}", "its index points to another index")
    config_descriptor, layer_descriptors = manifests.parse_manifest(value, what)
    config_data = source.small_blob(config_descriptor, manifests.MAX_CONFIG)
    config, diff_ids = manifests.parse_config(config_data, len(layer_descriptors), what)
    _check_platform(config, platform, what)
    stages.reach("pull:manifest")
    missing = {}
    for layer, diff_id in zip(layer_descriptors, diff_ids):
        if not layers.has_layer(diff_id):
            missing[diff_id] = layer
    if missing:
        _fetch_layers(source, missing, reporter, int((conf.get("engine") or {}).get("image_parallel_copies", 3)))
    stages.reach("pull:layers")
    images.write_blob(config_descriptor["hex"], config_data)
    images.write_blob(digest[7:], data)
    stages.reach("pull:blobs")
    created = epoch(config.get("created") or "")
    sizes = layers.sizes(diff_ids)
    record = images.new_record(config, config=config_descriptor["hex"], manifest=digest[7:], layers=diff_ids, size=sizes, created=created)
    record["digests"] = sorted({digest, top_digest})
    return record, names


def _check_platform(config: dict[str, Any], platform: str, what: str) -> None:
    if not platform:
        return  # an image of another platform may be meant to be looked at, or run by an emulator
    wanted = platform.split("/")
    found = [config.get("os") or "linux", config.get("architecture") or wanted[1], config.get("variant") or ""]
    if found[:2] != wanted[:2] or (len(wanted) > 2 and found[2] not in ("", wanted[2])):
        have = "/".join(part for part in found if part)
        raise ImageError(f"cannot use {what}", f"it is for {have}, not for {platform}", "choose another --platform")


def epoch(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time; 0 if it is none."""
    import datetime

    try:
        cleaned = text.replace("Z", "+00:00")
        head, dot, tail = cleaned.partition(".")
        if dot:
            digits = tail.rstrip("+-:0123456789")
            zone_at = max(tail.rfind("+"), tail.rfind("-"))
            cleaned = f"{head}.{tail[:zone_at][:6].ljust(6, '0')}{tail[zone_at:]}{digits}"
        return max(0.0, datetime.datetime.fromisoformat(cleaned).timestamp())
    except (ValueError, OverflowError):
        return 0.0


def _fetch_layers(source: Any, missing: dict[str, dict[str, Any]], reporter: Any, parallel: int) -> None:
    """Download and unpack all missing layers; the first error ends the others."""
    count = max(1, min(parallel, len(missing), 8))
    unpacker = Unpacker(count)
    try:
        lanes.run(unpacker.workers, list(missing.items()), lambda worker, item: _one_layer(source, worker, *item, reporter))
    finally:
        unpacker.close()


def _one_layer(source: Any, worker: Any, diff_id: str, layer: dict[str, Any], reporter: Any) -> None:
    """One layer into the store; from a registry, beginning with what a broken pull has left of it."""
    key = layer["hex"]
    if reporter:
        reporter.start(key, f"layer {key[:12]}", layer["size"])
    while True:
        kept = partial.open_partial(key, layer["size"]) if source.remote else None
        reused = kept.size if kept else 0
        try:
            _transfer(source, worker, diff_id, layer, reporter, kept)
        except RegistryError:
            raise  # the bytes that came are good as far as anybody knows
        except PymanError as err:
            if kept:
                kept.discard()  # wrong bytes, or a full disk that needs their room
            if reused and isinstance(err, ImageError):
                continue  # perhaps only the old bytes were wrong: once more, from the registry alone
            err.what = err.what.replace("layer", f"layer {key[:12]} of {source.label}", 1)
            raise
        else:
            if kept:
                kept.discard()
            break
        finally:
            if kept:
                kept.close()
    if reporter:
        reporter.finish(key, "done")


def _transfer(source: Any, worker: Any, diff_id: str, layer: dict[str, Any], reporter: Any, kept: partial.Partial | None) -> None:
    read_end, write_end = os.pipe()
    download_error: list[BaseException] = []

    def arrived(data: bytes) -> None:
        if kept:
            kept.append(data)
        stages.reach("pull:download")

    def download() -> None:
        try:
            if kept:
                kept.replay(write_end)
            if source.remote:
                source.copy_blob(layer, write_end, kept.size if kept else 0, arrived)
                if kept:
                    kept.discard()  # before the layer's files are synced: these bytes would go to the disk with them
            else:
                source.copy_blob(layer, write_end)
        except BaseException as err:  # handed over: the unpacker will report a truncated layer, this is why
            download_error.append(err)
        finally:
            os.close(write_end)

    thread = threading.Thread(target=download, daemon=True)
    thread.start()
    job = {"media_type": layer["mediaType"], "digest": layer["hex"], "size": layer["size"], "diff_id": diff_id}
    try:
        worker.unpack(read_end, job, (lambda done: reporter.update(layer["hex"], done)) if reporter else None)
    except PymanError:
        os.close(read_end)
        read_end = -1
        thread.join()
        # A refused layer closes the pipe under the download; only a download's own failure is the cause.
        causes = [err for err in download_error if isinstance(err, PymanError)]
        if causes:
            raise causes[0] from None
        raise
    finally:
        if read_end >= 0:
            os.close(read_end)
    thread.join()
