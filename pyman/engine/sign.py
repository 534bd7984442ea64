"""Sign images: simple signatures (OpenPGP) of what a registry has, into the directory where those who verify look. CLI process, slow path."""

from __future__ import annotations

import os
import time

from pyman.errors import ImageError, UsageError
from pyman.image import lookaside, openpgp, reference, signatures, targets
from pyman.image import manifest as manifests
from pyman.version import VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.image.reference import Reference


def passphrase_of(path: str) -> str:
    """The first line of a file. UsageError."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline(1 << 16).rstrip("\r\n")
    except (OSError, ValueError) as err:
        raise UsageError(f"cannot read the pass phrase in {path}", getattr(err, "strerror", None) or str(err)) from err


def in_registry(destination: str, why: str) -> str:
    """The name in a registry that a destination of a push is; UsageError with the reason if it is anything else."""
    transport, rest = targets.split(destination)
    if transport != "docker":
        raise UsageError(f"cannot sign what goes to {destination}", why, "push it to a registry")
    return rest


class Signer:
    """Who signs: a key of the user's keyring (any name that gpg knows it by), and its pass phrase, empty where the agent asks for it."""

    __slots__ = ("key", "passphrase")

    def __init__(self, key: str, passphrase_file: str = "") -> None:
        self.key = key
        self.passphrase = passphrase_of(passphrase_file) if passphrase_file else ""

    def check(self, destination: str) -> None:
        """Nothing if what is pushed to `destination` can be signed: asked before anything is sent. UsageError, ImageError, ConfigError."""
        rest = in_registry(destination, "only what lies in a registry has a name that can be signed")
        wanted = reference.parse(f"docker.io/{rest}" if reference.is_short(rest) else rest)
        lookaside.address(wanted, write=True)
        openpgp.check_key(self.key, f"cannot sign image {wanted.name()}")

    def sign(self, wanted: Reference, digests: list[str], directory: str = "") -> list[str]:
        """Sign that `wanted` leads to each of `digests`; the files with the signatures. ImageError, StorageError, ConfigError.

        directory: that of the signatures of all repositories; empty: that of registries.d.
        """
        base = f"{os.path.abspath(directory)}/{wanted.repository}" if directory else lookaside.address(wanted, write=True)[7:]
        what = f"cannot sign image {wanted.name()}"
        made = []
        for digest in dict.fromkeys(digests):
            text = signatures.payload(digest, wanted.name(), creator=f"pyman {VERSION}", timestamp=int(time.time()))
            data = openpgp.sign(text, self.key, self.passphrase, what)
            made.append(lookaside.write(f"{base}@sha256={reference.check_digest(digest, wanted.name())}", data))
        return made


def sign(names: list[str], signer: Signer, *, directory: str = "", everything: bool = False, **access: Any) -> list[str]:
    """Sign what names of registries lead to; the files with the signatures.

    everything: the images of lists instead of the lists themselves. UsageError, NoSuchImage, RegistryError, ImageError, StorageError.
    """
    wanted = [_parsed(name) for name in names]
    openpgp.check_key(signer.key, f"cannot sign image {wanted[0].name()}")
    made = []
    for one in wanted:
        made += signer.sign(one, _digests(one, everything, access), directory)
    return made


def _parsed(name: str) -> Reference:
    transport = name.partition(":")[0]
    if transport in ("oci", "oci-archive", "docker-archive", "dir", "docker-daemon", "containers-storage"):
        raise UsageError(f"cannot sign {name}", "only what lies in a registry has a name that can be signed", "docker://REGISTRY/NAME:TAG")
    plain = name.removeprefix("docker://")
    if reference.is_short(plain):
        raise UsageError(
            f"cannot sign {name}", "the name does not say its registry", f"write it in full, for instance docker.io/library/{plain}"
        )
    return reference.parse(plain)


def _digests(wanted: Reference, everything: bool, access: dict[str, Any]) -> list[str]:
    """What a name leads to: a digest, or those of all images of a list."""
    from pyman.image import registry, registry_source

    source = registry_source.RegistrySource(wanted, registry.Access(**access), "sign")
    try:
        data, media_type, digest = source.manifest()
    finally:
        source.close()
    if not everything:
        return [digest]
    value = manifests.loads(data, source.label, manifests.MAX_MANIFEST)
    if manifests.kind_of(value, media_type, source.label) != "index":
        raise ImageError(f"cannot sign all images of {wanted.name()}", "it is one image, not a list", "leave --all away")
    entries = value["manifests"] if isinstance(value["manifests"], list) else []
    return [manifests.descriptor(entry, source.label)["digest"] for entry in entries]
