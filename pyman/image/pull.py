"""Pull: from a source (registry, layout, archive) into the store. CLI process, slow path.

Everything is verified while it streams; the image's record is written last, so a killed pull leaves complete layers, which the next
one finds, and garbage, which it sweeps. Where a registry's name still leads to what the store has, one question is all that is sent.
"""

from __future__ import annotations

from pyman import paths, stages
from pyman.config import containers
from pyman.errors import ImageError, NoSuchImage, PymanError, RegistryError, UsageError
from pyman.image import manifest as manifests
from pyman.image import policy as trust
from pyman.image import reference
from pyman.state import events
from pyman.storage import image_config, images, intents, layers, partial, trash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MOST_PLATFORMS = 64  # that are noted of an image's index
_CONFIGS = (  # what configurations of images are called, by old tools too
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
    "application/octet-stream",
    "",
)
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
    layers.first_use()
    trash.sweep()
    intents.collect()
    partial.sweep()
    if policy == "never":
        return images.load().resolve(name)
    here = _known(name) if policy == "missing" else None
    if here:
        return here
    access = {"tls_verify": tls_verify, "creds": creds, "authfile": authfile, "cert_dir": cert_dir}
    try:
        added = _from_first(sources(name, retry=retry, retry_delay=retry_delay, **access), platform, reporter, conf or {})
    except PymanError as err:
        here = _known(name) if policy == "newer" else None
        if here:
            return here  # it is newer than nothing that could be had
        events.emit("image", "pull-error", "", name, Error=str(err)[:4096])
        raise
    events.emit("image", "pull", added["id"], name)
    return added


def _known(name: str) -> dict[str, Any] | None:
    """The image of the store with that name."""
    try:
        return images.load().resolve(name)
    except NoSuchImage:
        return None


def _from_first(found: list[Callable[[], Any]], platform: str, reporter: Any, conf: dict[str, Any]) -> dict[str, Any]:
    """The image from the first source that has it."""
    failures: list[PymanError] = []
    for make in found:
        source = make()
        try:
            same = _unchanged(source, platform) if source.remote and not source.demands else None
            if same:
                return same
            with intents.Pending(keep=source.remote) as pending, layers.storing():
                record, names = fetch(source, platform, reporter, conf, pending)
                added = images.add(record, names)
            stages.reach("pull:record")
            return added
        except (NoSuchImage, RegistryError) as err:
            failures.append(err)
        finally:
            source.close()
    last = failures[-1]
    if len(failures) > 1:  # which of them the user meant is not known, so each says why
        last.why = "; ".join(f"{err.what.removeprefix('cannot pull ')}: {err.why}" for err in failures)
        last.what = "cannot pull it from any of the registries that its short name may mean"
    raise last


def _unchanged(source: Any, platform: str) -> dict[str, Any] | None:
    """The store's image of the name that a registry is asked for, if the name still leads to it and nothing of it is missing."""
    index, names = images.load(), source.names()
    if names:
        record = index.by_name(names[0])
    else:
        wanted = source.reference.digest
        record = next((known for known in index.records.values() if wanted in (known["digest"], known.get("index"))), None)
    if not record or "list" in record or not all(layers.has_layer(diff_id) for diff_id in record["layers"]):
        return None
    asked = (platform or manifests.host_platform()).split("/")
    fits = [record["os"], record["architecture"]] == asked[:2] and record["variant"] in ("", *asked[2:])
    try:
        for blob in images.blobs_of(record):
            images.read_blob(blob, source.label)
    except ImageError:
        return None
    if platform and not fits:
        return None
    digest = source.leads_to()
    return record if digest and (digest == record["digest"] or (fits and digest == record.get("index"))) else None


def changed(name: str, record: dict[str, Any], **access: Any) -> bool:
    """Whether a registry's name leads to another image than `record`. RegistryError, NoSuchImage, UsageError."""
    source = sources(name, **access)[0]()  # nothing of the image is used
    try:
        return (source.leads_to() or source.manifest()[2]) not in (record["digest"], record.get("index"), *record["digests"])
    finally:
        source.close()


def tags(name: str, **options: Any) -> list[str]:
    """The names of all tagged images of a repository, for --all-tags. RegistryError, UsageError."""
    source = sources(name, **options)[0]()  # each is verified when it is pulled
    if not source.remote:
        raise UsageError(f"cannot pull all tags of {name}", "only a registry has tags to list")
    base = source.reference
    return [f"docker://{base.registry}/{base.repository}:{tag}" for tag in source.tags()]


def sources(name: str, **options: Any) -> list[Callable[[], Any]]:
    """What makes the source of a name; more than one only for a short name that may be tried at several registries.

    The caller uses nothing of it before `verify` has verified what the policy wants verified.
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

        demands = trust.check(transport, trust.path_scopes(rest), f"image {name}", verifies=("signedBy",))
        return [lambda: layout.DirSource(rest, demands)]
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
        demands = trust.check("docker", trust.docker_scopes(parsed), f"image {parsed.name()}", verifies=trust.SIGNED)
        source = registry_source.RegistrySource(parsed, access)
        source.demands = demands
        return source

    return [lambda one=one: opened(one) for one in full]  # type: ignore[misc]


def verify(source: Any, *digests: str) -> None:
    """Nothing if what the policy demands of the source is met by signatures of one of `digests` (an image's, its list's). ImageError, ConfigError."""
    if getattr(source, "demands", None):
        from pyman.image import signatures

        signatures.verify(source, source.demands, list(digests), trust.path())


def fetch(source: Any, platform: str, reporter: Any, conf: dict[str, Any], pending: intents.Pending) -> tuple[dict[str, Any], list[str]]:
    """Verify and store everything the image consists of, noted as `pending` first; (record, names it gets)."""
    what = source.label
    names = source.names()
    data, media_type, digest = source.manifest()
    value = manifests.loads(data, what, manifests.MAX_MANIFEST)
    top_digest = digest
    platforms: list[str] = []
    if manifests.kind_of(value, media_type, what) == "index":
        platforms = manifests.platforms(value)[:_MOST_PLATFORMS]
        chosen = manifests.choose(value, platform, what)
        data, media_type, digest = source.manifest(chosen)
        value = manifests.loads(data, what, manifests.MAX_MANIFEST)
        if manifests.kind_of(value, media_type, what) != "manifest":
            raise ImageError(f"cannot use {what}", "its index points to another index")
    verify(source, digest, top_digest)
    config_descriptor, layer_descriptors = manifests.parse_manifest(value, what)
    if config_descriptor["mediaType"] not in _CONFIGS:
        kind = str(value.get("artifactType") or config_descriptor["mediaType"])[:100]
        raise ImageError(f"cannot use {what}", f"it is no image but an artifact of the type {kind}", "use pyman artifact pull")
    config_data = source.small_blob(config_descriptor, manifests.MAX_CONFIG)
    config, diff_ids = manifests.parse_config(config_data, len(layer_descriptors), what)
    stages.reach("pull:manifest")
    missing = {}
    for layer, entry, diff_id in zip(layer_descriptors, value["layers"], diff_ids):
        if not layers.has_layer(diff_id):
            missing[diff_id] = {**layer, "notes": entry.get("annotations")}
            continue
        here = layers.read_info(diff_id)  # what it calls a layer that is here is believed, unless it is known to be wrong (known.arrived)
        if here.get("digest") == layer["hex"] and here.get("compressed_size", layer["size"]) != layer["size"]:
            raise ImageError(
                f"damaged {what}", f"its layer {layer['hex'][:12]} has {here['compressed_size']} bytes, it says {layer['size']}"
            )
    if missing:
        pending.note(list(missing), [config_descriptor["hex"], digest[7:]])
        from pyman.image import pull_layers  # threads and workers, where there is something for them

        pull_layers.fetch(source, missing, reporter, containers.parallel_copies(conf))
    stages.reach("pull:layers")
    images.write_blob(config_descriptor["hex"], config_data)
    images.write_blob(digest[7:], data)
    stages.reach("pull:blobs")
    created = epoch(config.get("created") or "")
    sizes = layers.sizes(diff_ids)
    record = image_config.new_record(
        config, config=config_descriptor["hex"], manifest=digest[7:], layers=diff_ids, size=sizes, created=created
    )
    record["digests"] = sorted({digest, top_digest})
    if top_digest != digest:
        record["index"], record["platforms"] = top_digest, platforms
    return record, names


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
