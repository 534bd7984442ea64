"""sigstoreSigned of policy.json: signatures beside the image, as cosign, skopeo and Podman put them there. CLI process, slow path.

The tag sha256-DIGEST.sig of the image's repository names a manifest whose layers are the signed texts. Each text says of which digest and
which name it is true; the mathematics are left to the openssl program. Signed with a key only: certificates of Fulcio and entries of Rekor
are refused, with the reason, as is everything in a requirement that is not understood.
"""

from __future__ import annotations

import binascii
import os

from pyman.errors import ConfigError, ImageError, NoSuchImage
from pyman.image import identities
from pyman.image import manifest as manifests
from pyman.image.reference import Reference, check_digest
from pyman.linux import memory
from pyman.state import fastjson

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
ANNOTATION = "dev.cosignproject.cosign/signature"
_KIND = "cosign container image signature"
_MOST = 64  # signatures of one image that are looked at
_LARGEST = 1 << 18  # bytes of a signed text, and of a key
_ONE, _SEVERAL = ("keyPath", "keyData"), ("keyPaths", "keyDatas")
_TIME = 30  # seconds that openssl may take for one signature


def payload(digest: str, name: str, *, creator: str, timestamp: int) -> bytes:
    """The text that is signed: that `digest` is what `name` (registry/repository:tag) leads to."""
    critical = {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": digest}, "type": _KIND}
    return fastjson.dumps({"critical": critical, "optional": {"creator": creator, "timestamp": timestamp}}).encode()


def keys(entry: dict[str, Any], what: str) -> list[bytes]:
    """The public keys (PEM) that a requirement names. ConfigError for one that cannot be met in full."""
    refused = [name for name in entry if name in ("fulcio", "pki") or name.startswith("rekor")]
    if refused:
        why = "certificates cannot be verified here" if refused[0] in ("fulcio", "pki") else "entries of the log cannot be verified here"
        line = '{"type": "sigstoreSigned", "keyPath": "/PATH/OF/cosign.pub"}'
        hint = f"verify such images with cosign verify, and sign them with a key of your own; the line for that is {line}"
        raise ConfigError(what, f"sigstoreSigned has {', '.join(refused)}: {why}", hint)
    unknown = sorted(set(entry) - {"type", "signedIdentity", *_ONE, *_SEVERAL})
    given = [name for name in _ONE + _SEVERAL if name in entry]
    if unknown or len(given) != 1:
        raise ConfigError(
            what, f"sigstoreSigned has {', '.join(unknown)}" if unknown else "sigstoreSigned needs one of keyPath and keyData"
        )
    values = [entry[given[0]]] if given[0] in _ONE else entry[given[0]]
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise ConfigError(what, f"{given[0]} of sigstoreSigned has the wrong type")
    identities.of(entry, what)
    return [_key(given[0], value, what) for value in values]


def _key(name: str, value: str, what: str) -> bytes:
    try:
        if name.startswith("keyData"):
            data = binascii.a2b_base64(value)
        else:
            with open(value, "rb") as file:
                data = file.read(_LARGEST)
        if b"-----BEGIN PUBLIC KEY-----" not in data:
            raise ValueError("it is no public key in PEM form")
        return data
    except (OSError, ValueError) as err:
        shown = value if name.startswith("keyPath") else "in keyData"
        raise ConfigError(what, f"the key {shown} cannot be used: {getattr(err, 'strerror', None) or err}") from err


def verify(source: Any, demands: list[dict[str, Any]], digests: list[str], policy: str) -> None:
    """Nothing if each demand is met by a signature of one of `digests` (the image's manifest, the list it is from). ImageError, ConfigError.

    source: the registry's, see registry_source.RegistrySource.
    """
    found = [signed for digest in dict.fromkeys(digests) for signed in _signatures(source, digest)]
    for entry in demands:
        what = f"cannot use {policy}"
        trusted, identity = keys(entry, what), identities.of(entry, what)
        reasons = []
        for digest, payload, signature in found:
            why = _wrong(payload, signature, digest, trusted, identity, source.reference)
            if not why:
                break
            reasons.append(why)
        else:
            why = "; ".join(dict.fromkeys(reasons)) or "it has no sigstore signature"
            raise ImageError(f"refused {source.label}", f"{policy} wants it signed, and {why}", "ask whoever made the image to sign it")


def _signatures(source: Any, digest: str) -> list[tuple[str, bytes, bytes]]:
    """(digest, signed text, signature) of all signatures of a manifest that its repository has."""
    place = source.sibling(f"sha256-{check_digest(digest, source.label)}.sig")
    found = []
    try:
        data, media_type, _ = place.manifest()
        value = manifests.loads(data, place.label, manifests.MAX_MANIFEST)
        if manifests.kind_of(value, media_type, place.label) != "manifest":
            raise ImageError(f"refused {place.label}", "signatures are in no list")
        _, layers = manifests.parse_manifest(value, place.label)
        for layer, entry in zip(layers[:_MOST], value["layers"]):
            notes = entry.get("annotations")
            text = notes.get(ANNOTATION) if isinstance(notes, dict) else None
            if layer["mediaType"] != PAYLOAD or not isinstance(text, str):
                continue
            try:
                signature = binascii.a2b_base64(text)
            except ValueError:
                continue
            found.append((digest, place.small_blob(layer, _LARGEST), signature))
    except NoSuchImage:
        pass
    finally:
        place.close()
    return found


def _wrong(payload: bytes, signature: bytes, digest: str, trusted: list[bytes], identity: dict[str, str], wanted: Reference) -> str:
    """Why a signature does not count; empty if it does. Nothing of the text is believed before the signature is good."""
    if not any(_good(key, payload, signature) for key in trusted):
        return "a signature of it is by another key"
    try:
        value = fastjson.loads_strictly(payload)
        critical = value["critical"]
        kind, signed = critical["type"], critical["image"]["docker-manifest-digest"]
        name = critical["identity"]["docker-reference"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "a signature of it signs something else"
    if set(value) - {"critical", "optional"} or kind != _KIND or signed != digest or not isinstance(name, str):
        return "a signature of it is for another image"
    if not identities.fits(name, identity, wanted):
        return f"a signature of it is for the name {name[:200]}"
    return ""


def _good(key: bytes, payload: bytes, signature: bytes) -> bool:
    """Whether a signature is that of the key for the text, as openssl finds it. ConfigError if there is no openssl."""
    import shutil
    import subprocess

    program = shutil.which("openssl")
    if not program:
        raise ConfigError("cannot verify signatures", "the program openssl is missing", "install openssl")
    files = [memory.file(data) for data in (key, payload, signature)]
    try:
        text, signed = (f"/proc/self/fd/{fd}" for fd in files[1:])
        argv = [program, "dgst", "-sha256", "-verify", f"/proc/self/fd/{files[0]}", "-signature", signed, text]
        if b"\x2b\x65\x70" in _der(key)[:16]:  # Ed25519, which has a digest of its own
            argv = [
                program,
                "pkeyutl",
                "-verify",
                "-pubin",
                "-inkey",
                f"/proc/self/fd/{files[0]}",
                "-rawin",
                "-in",
                text,
                "-sigfile",
                signed,
            ]
        done = subprocess.run(
            argv, pass_fds=files, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIME, check=False, env={"PATH": "/usr/bin:/bin"}
        )
        return done.returncode == 0
    except (OSError, subprocess.TimeoutExpired) as err:
        raise ConfigError("cannot verify signatures", f"openssl: {err}") from err
    finally:
        for fd in files:
            os.close(fd)


def _der(key: bytes) -> bytes:
    lines = key.partition(b"-----BEGIN PUBLIC KEY-----")[2].partition(b"-----END")[0]
    try:
        return binascii.a2b_base64(lines)
    except ValueError:
        return b""
