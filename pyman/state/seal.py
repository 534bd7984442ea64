"""Sealed bytes: encrypted and authenticated with a key of the user's that lies outside of the store. CLI process.

Encrypt-then-MAC with what every interpreter has: the key stream is SHAKE256 of key and nonce, the tag is keyed BLAKE2b.
docs/decisions/0006 says why, and what it protects against.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from pyman import paths
from pyman.errors import StorageError

_KEY, _NONCE, _TAG = 32, 24, 32  # bytes


def key_path() -> str:
    """The file with the key: $XDG_CONFIG_HOME/pyman/secrets.key."""
    return os.path.join(paths.confdir(), "pyman", "secrets.key")


def _derived(key: bytes, purpose: bytes, nonce: bytes, size: int) -> bytes:
    return hashlib.shake_256(b"pyman:" + purpose + b":1\0" + key + nonce).digest(size)


def seal(key: bytes, data: bytes, about: bytes) -> bytes:
    """`data` encrypted. about: what it belongs to, which `open_sealed` must be told again."""
    nonce = os.urandom(_NONCE)
    stream = _derived(key, b"stream", nonce, len(data))
    text = (int.from_bytes(data, "little") ^ int.from_bytes(stream, "little")).to_bytes(len(data), "little")
    return nonce + text + _tag(key, nonce, text, about)


def _tag(key: bytes, nonce: bytes, text: bytes, about: bytes) -> bytes:
    sealed = len(about).to_bytes(8, "little") + about + nonce + text
    return hashlib.blake2b(sealed, key=_derived(key, b"tag", b"", 64), digest_size=_TAG).digest()


def open_sealed(key: bytes, sealed: bytes, about: bytes) -> bytes:
    """What was sealed. ValueError if it, or what it is about, was changed, or the key is another one."""
    nonce, text, tag = sealed[:_NONCE], sealed[_NONCE:-_TAG], sealed[-_TAG:]
    if len(sealed) < _NONCE + _TAG or not hmac.compare_digest(tag, _tag(key, nonce, text, about)):
        raise ValueError("the seal is broken")
    stream = _derived(key, b"stream", nonce, len(text))
    return (int.from_bytes(text, "little") ^ int.from_bytes(stream, "little")).to_bytes(len(text), "little")


def read_key(create: bool = False) -> bytes:
    """The user's key; with `create` a new one is made and on disk before this returns. StorageError."""
    path = key_path()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        if not create:
            raise StorageError(
                "cannot read secrets",
                f"the key that they are encrypted with is missing: {path}",
                "restore the file from a backup; or remove what it was for: pyman secret rm -a",
            ) from None
        _make(path)
        return read_key()
    except OSError as err:
        raise StorageError("cannot read secrets", f"{path}: {err.strerror or err}") from err
    try:
        info = os.fstat(fd)
        if info.st_uid != os.geteuid() or info.st_mode & 0o077:
            raise StorageError(
                "refusing to use secrets", f"{path} has owner {info.st_uid} and mode {info.st_mode & 0o7777:04o}", f"chmod 600 {path}"
            )
        text = os.read(fd, 2 * _KEY + 2).strip()
    finally:
        os.close(fd)
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != _KEY:
        raise StorageError("cannot read secrets", f"{path} does not hold a key", "restore the file from a backup")
    return key


def _make(path: str) -> None:
    """A new key, unless somebody else has just made one; durable before a secret depends on it."""
    directory = os.path.dirname(path)
    temp = f"{path}.{os.getpid()}.tmp"
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.write(fd, os.urandom(_KEY).hex().encode() + b"\n")
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.link(temp, path)
        except FileExistsError:
            pass
        os.unlink(temp)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        os.fsync(fd)
        os.close(fd)
    except OSError as err:
        raise StorageError(f"cannot make the key for secrets {path}", err.strerror or str(err), errno=err.errno or 0) from err
