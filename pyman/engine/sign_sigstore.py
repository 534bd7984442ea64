"""Sign what is pushed by a key of sigstore: the signature lies beside the image, where cosign, skopeo and Podman look. CLI process, slow path."""

from __future__ import annotations

import binascii
import hashlib
import os
import sys
import time

from pyman.engine.sign import in_registry, passphrase_of
from pyman.errors import ImageError, NoSuchImage, UsageError
from pyman.image import manifest as manifests
from pyman.image import reference, sigstore, sigstore_key, targets
from pyman.state import fastjson
from pyman.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.image.reference import Reference

_MOST = 64  # signatures of one image


class Signer:
    """Who signs: the file with a private key, and its pass phrase; asked for at the terminal if no file has it. UsageError.

    access: see registry.Access.
    """

    __slots__ = ("_access", "_key")

    def __init__(self, path: str, passphrase_file: str, **access: Any) -> None:
        sealed, key = sigstore_key.read(path)
        self._access = access
        self._key = sigstore_key.opened(path, key, passphrase_of(passphrase_file) if passphrase_file else _ask(path)) if sealed else key

    def check(self, destination: str) -> None:
        """Nothing if what is pushed to `destination` can be signed: asked before anything is sent. UsageError, ImageError, ConfigError."""
        rest = in_registry(destination, "a sigstore signature lies in the registry beside the image")
        sigstore_key.sign(b"", self._key, f"cannot sign image {rest}")

    def sign(self, wanted: Reference, digests: list[str]) -> list[str]:
        """Sign that `wanted` leads to each of `digests`; the names of the signatures. ImageError, RegistryError, ConfigError."""
        return [self._one(wanted, digest) for digest in dict.fromkeys(digests)]

    def _one(self, wanted: Reference, digest: str) -> str:
        what = f"cannot sign image {wanted.name()}"
        text = sigstore.payload(digest, wanted.name(), creator=f"pyman {VERSION}", timestamp=int(time.time()))
        signature = sigstore_key.sign(text, self._key, what)
        beside = reference.parse(f"{wanted.registry}/{wanted.repository}:sha256-{reference.check_digest(digest, what)}.sig")
        entries = self._known(beside)
        if len(entries) >= _MOST:
            raise ImageError(what, f"it has {len(entries)} signatures", "remove some")
        annotations = {sigstore.ANNOTATION: binascii.b2a_base64(signature, newline=False).decode()}
        entries.append({"mediaType": sigstore.PAYLOAD, "digest": _digest(text), "size": len(text), "annotations": annotations})
        diffs = [entry["digest"] for entry in entries]
        config = fastjson.dumps({"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
        value = {
            "schemaVersion": 2,
            "mediaType": manifests.MANIFESTS[0],
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": _digest(config), "size": len(config)},
            "layers": entries,
        }
        target = targets.open_target(f"docker://{beside.name()}", **self._access)
        try:
            for blob in (text, config):
                target.put_blob(blob, _digest(blob))
            target.put_manifest(fastjson.dumps(value).encode(), manifests.MANIFESTS[0])
            target.finish()
        finally:
            target.close()
        return str(beside.name())

    def _known(self, beside: Reference) -> list[dict[str, Any]]:
        """The signatures that are there already."""
        from pyman.image import registry, registry_source

        source = registry_source.RegistrySource(beside, registry.Access(**self._access), "sign")
        try:
            data, media_type, _ = source.manifest()
        except NoSuchImage:
            return []
        finally:
            source.close()
        value = manifests.loads(data, source.label, manifests.MAX_MANIFEST)
        if manifests.kind_of(value, media_type, source.label) != "manifest":
            raise ImageError(f"cannot add to {source.label}", "signatures are in no list")
        manifests.parse_manifest(value, source.label)
        return list(value["layers"])


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _ask(path: str) -> str:
    if not (sys.stdin and sys.stdin.isatty()):
        raise UsageError(
            f"cannot sign with the key {path}", "it has a pass phrase, and there is no terminal", "--sign-passphrase-file FILE"
        )
    import getpass

    return getpass.getpass(f"Pass phrase of {os.path.basename(path)}: ")
