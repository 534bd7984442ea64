"""What policy.json wants signed, looked for and verified: sigstoreSigned and signedBy. CLI process, slow path.

A simple signature (signedBy) is an OpenPGP message that holds a small JSON text: the digest of a manifest, and a name that is true of it.
"""

from __future__ import annotations

import binascii

from pyman.errors import ConfigError, ImageError
from pyman.image import identities, openpgp
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pyman.image.reference import Reference

_KIND = "atomic container signature"
_LARGEST = 4 << 20  # bytes of a keyring
_GIVEN = ("keyPath", "keyPaths", "keyData")


def verify(source: Any, demands: list[dict[str, Any]], digests: list[str], policy: str) -> None:
    """Nothing if each demand is met by a signature of one of `digests` (the image's manifest, the list it is from). ImageError, ConfigError.

    source: a registry's (registry_source.RegistrySource) or a directory's (layout.DirSource).
    """
    sigstore = [entry for entry in demands if entry["type"] == "sigstoreSigned"]
    if sigstore:
        from pyman.image import sigstore as verifier

        verifier.verify(source, sigstore, digests, policy)
    simple = [entry for entry in demands if entry["type"] == "signedBy"]
    if simple:
        _verify_simple(source, simple, list(dict.fromkeys(digests)), policy)


def _verify_simple(source: Any, demands: list[dict[str, Any]], digests: list[str], policy: str) -> None:
    what = f"cannot use {policy}"
    wanted = [(keys(entry, what), identities.of(entry, what)) for entry in demands]
    found = [(digest, signature) for digest in digests for signature in source.simple_signatures(digest)]
    for ring, identity in wanted:
        reasons = []
        for digest, signature in found:
            why = _wrong(signature, digest, ring, identity, source.reference)
            if not why:
                break
            reasons.append(why)
        else:
            why = "; ".join(dict.fromkeys(reasons)) or f"it has no simple signature in {source.signatures_place()}"
            raise ImageError(f"refused {source.label}", f"{policy} wants it signed, and {why}", "ask whoever made the image to sign it")


def keys(entry: dict[str, Any], what: str) -> bytes:
    """The keyring that a signedBy requirement names. ConfigError for one that cannot be met in full."""
    given = [name for name in _GIVEN if name in entry]
    unknown = sorted(set(entry) - {"type", "keyType", "signedIdentity", *_GIVEN})
    if unknown or len(given) != 1:
        raise ConfigError(what, f"signedBy has {', '.join(unknown)}" if unknown else "signedBy needs one of keyPath, keyPaths and keyData")
    if entry.get("keyType") != "GPGKeys":
        raise ConfigError(what, f"signedBy has the keyType {str(entry.get('keyType'))[:40]!r}", "GPGKeys is the one that can be verified")
    values = entry[given[0]] if given[0] == "keyPaths" else [entry[given[0]]]
    if not isinstance(values, list) or not values or not all(isinstance(value, str) and value for value in values):
        raise ConfigError(what, f"{given[0]} of signedBy has the wrong type")
    return b"".join(_key(given[0], value, what) for value in values)


def _key(name: str, value: str, what: str) -> bytes:
    try:
        if name == "keyData":
            return openpgp.keyring(binascii.a2b_base64(value))
        with open(value, "rb") as file:
            return openpgp.keyring(file.read(_LARGEST))
    except (OSError, ValueError) as err:
        shown = "in keyData" if name == "keyData" else value
        raise ConfigError(what, f"the key {shown} cannot be used: {getattr(err, 'strerror', None) or err}") from err


def _wrong(signature: bytes, digest: str, ring: bytes, identity: dict[str, str], wanted: Reference | None) -> str:
    """Why a signature does not count; empty if it does. Nothing of the text is believed before the signature is good."""
    if signature[:1] == b"\0":
        return "a signature of it is of another kind"  # those begin with a zero byte
    try:
        value = fastjson.loads_strictly(openpgp.verify(signature, ring))
        critical = value["critical"]
        kind, signed, name = critical["type"], critical["image"]["docker-manifest-digest"], critical["identity"]["docker-reference"]
        exact = set(value) == {"critical", "optional"} and set(critical) == {"type", "image", "identity"}
        exact = exact and isinstance(value["optional"], dict) and len(critical["image"]) == len(critical["identity"]) == 1
    except openpgp.Refused as err:
        return str(err)
    except (ValueError, KeyError, TypeError, RecursionError):
        return "a signature of it signs something else"
    if not exact or kind != _KIND or signed != digest or not isinstance(name, str):
        return "a signature of it is for another image"
    return "" if identities.fits(name, identity, wanted) else f"a signature of it is for the name {name[:200]}"


def payload(digest: str, name: str, *, creator: str, timestamp: int) -> bytes:
    """The text of a simple signature: that `digest` is what `name` (registry/repository:tag) leads to."""
    critical = {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": digest}, "type": _KIND}
    return fastjson.dumps({"critical": critical, "optional": {"creator": creator, "timestamp": timestamp}}).encode()
