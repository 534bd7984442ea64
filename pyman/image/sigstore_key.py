"""Private keys of sigstore, as cosign and skopeo make them, and signatures by them. CLI process, slow path.

Such a key lies in a file, sealed with a pass phrase: scrypt makes a key of that, which opens a box of NaCl (XSalsa20 and Poly1305). The box
holds a few hundred bytes, so what opens it may be slow. The signature itself is openssl's.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import re
import shutil
import subprocess

from pyman.errors import ConfigError, ImageError, UsageError
from pyman.linux import memory
from pyman.state import fastjson

_LARGEST = 1 << 16  # bytes of a key's file
_MEMORY = 1 << 28  # bytes that scrypt may take
_TIME = 30  # seconds that openssl may take
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,60})-----\s(.*?)-----END \1-----", re.DOTALL)
_SEALED = (b"ENCRYPTED SIGSTORE PRIVATE KEY", b"ENCRYPTED COSIGN PRIVATE KEY")
_PLAIN = (b"PRIVATE KEY", b"EC PRIVATE KEY", b"RSA PRIVATE KEY")
_WORD = 0xFFFFFFFF
_CONSTANT = b"expand 32-byte k"


def read(path: str) -> tuple[bool, bytes]:
    """(whether it is sealed, the key's content) of a file. UsageError."""
    what = f"cannot sign with the key {path}"
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST)
    except OSError as err:
        raise UsageError(what, err.strerror or str(err)) from err
    found = _PEM.search(data)
    if not found or found[1] not in _SEALED + _PLAIN:
        raise UsageError(what, "it is no private key of sigstore", "cosign generate-key-pair, or skopeo generate-sigstore-key, makes one")
    if found[1] in _PLAIN:
        return False, found[0] + b"\n"
    try:
        return True, binascii.a2b_base64(found[2])
    except ValueError as err:
        raise UsageError(what, "it is damaged") from err


def opened(path: str, sealed: bytes, passphrase: str) -> bytes:
    """The private key (PEM) that a sealed one holds. UsageError."""
    what = f"cannot sign with the key {path}"
    try:
        value = fastjson.loads(sealed)
        kdf, cipher = value["kdf"], value["cipher"]
        if (kdf["name"], cipher["name"]) != ("scrypt", "nacl/secretbox"):
            raise ValueError
        cost = [int(kdf["params"][name]) for name in ("N", "r", "p")]
        salt, nonce, box = (binascii.a2b_base64(text) for text in (kdf["salt"], cipher["nonce"], value["ciphertext"]))
        if len(nonce) != 24:
            raise ValueError
        key = hashlib.scrypt(passphrase.encode(), salt=salt, n=cost[0], r=cost[1], p=cost[2], maxmem=_MEMORY, dklen=32)
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as err:
        raise UsageError(what, "it is damaged, or sealed in a way that is not known here") from err
    der = open_box(box, nonce, key)
    if der is None:
        raise UsageError(what, "the pass phrase is wrong", "--sign-passphrase-file names a file with it")
    return b"-----BEGIN PRIVATE KEY-----\n" + binascii.b2a_base64(der) + b"-----END PRIVATE KEY-----\n"


def sign(text: bytes, key: bytes, what: str) -> bytes:
    """The signature of a text (ECDSA or RSA over its SHA-256) by a private key in PEM form. ImageError, ConfigError."""
    program = shutil.which("openssl")
    if not program:
        raise ConfigError(what, "the program openssl is missing", "install openssl")
    files = [memory.file(data) for data in (key, text)]
    try:
        paths = [f"/proc/self/fd/{fd}" for fd in files]
        argv = [program, "dgst", "-sha256", "-sign", paths[0], paths[1]]
        done = subprocess.run(
            argv, pass_fds=files, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIME, check=False, env={"PATH": "/usr/bin:/bin"}
        )
    except (OSError, subprocess.TimeoutExpired) as err:
        raise ConfigError(what, f"openssl: {err}") from err
    finally:
        for fd in files:
            os.close(fd)
    if done.returncode or not done.stdout:
        raise ImageError(what, "openssl cannot sign with the key: it is no ECDSA or RSA key")
    return done.stdout


def open_box(box: bytes, nonce: bytes, key: bytes) -> bytes | None:
    """What a secretbox of NaCl holds; None if it was not sealed with this key."""
    inner = _words(_rounds(_state(key, nonce[:16])), (0, 5, 10, 15, 6, 7, 8, 9))  # HSalsa20: a key of key and half of the nonce
    stream = b"".join(_block(inner, nonce[16:], number) for number in range((len(box) + 16) // 64 + 1))
    if len(box) < 16 or not hmac.compare_digest(_poly1305(box[16:], stream[:32]), box[:16]):
        return None
    return bytes(one ^ other for one, other in zip(box[16:], stream[32:]))


def _state(key: bytes, middle: bytes) -> list[int]:
    """The 16 words of Salsa20: constants on the diagonal, the key, and 16 bytes of nonce and counter."""
    text = _CONSTANT[:4] + key[:16] + _CONSTANT[4:8] + middle + _CONSTANT[8:12] + key[16:] + _CONSTANT[12:]
    return [int.from_bytes(text[at : at + 4], "little") for at in range(0, 64, 4)]


def _rounds(words: list[int]) -> list[int]:
    """Twenty rounds."""
    x = list(words)
    columns = ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11))
    rows = ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14))
    for a, b, c, d in (columns + rows) * 10:
        for target, one, other, turn in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
            total = (x[one] + x[other]) & _WORD
            x[target] ^= ((total << turn) | (total >> (32 - turn))) & _WORD
    return x


def _words(words: list[int], which: tuple[int, ...]) -> bytes:
    return b"".join(words[number].to_bytes(4, "little") for number in which)


def _block(key: bytes, nonce: bytes, number: int) -> bytes:
    """64 bytes of the stream."""
    before = _state(key, nonce + number.to_bytes(8, "little"))
    return b"".join(((one + other) & _WORD).to_bytes(4, "little") for one, other in zip(before, _rounds(before)))


def _poly1305(text: bytes, key: bytes) -> bytes:
    factor, total = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF, 0
    for at in range(0, len(text), 16):
        total = (total + int.from_bytes(text[at : at + 16] + b"\1", "little")) * factor % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")
