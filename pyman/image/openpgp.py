"""Signatures of OpenPGP, by GnuPG's programs: gpgv says whether one is good, gpg makes one. CLI process, slow path.

Keys, signatures and texts go in and out by memory files and pipes. gpgv sees the keys of the policy alone, nothing of the user's home; gpg
sees the user's own keyring. No verdict is read from what a person would read: only from the status lines, and all of them have to be there.
"""

from __future__ import annotations

import binascii
import os
import shutil
import subprocess
import sys

from pyman.errors import ConfigError, ImageError
from pyman.linux import memory

LARGEST = 1 << 18  # bytes of a signature, and of the text in it
_TIME = 60  # seconds that gpgv may take for one signature
_BEGIN, _END = b"-----BEGIN PGP PUBLIC KEY BLOCK-----", b"-----END PGP PUBLIC KEY BLOCK-----"
_BAD = ("BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NODATA", "UNEXPECTED", "FAILURE", "BADARMOR")


class Refused(Exception):
    """Why a signature does not count."""


def keyring(data: bytes) -> bytes:
    """Public keys as gpgv reads them, from their binary or armoured form. ValueError."""
    if _BEGIN not in data:
        return _packets(data)
    found = []
    for block in data.split(_BEGIN)[1:]:
        body, end, _ = block.partition(_END)
        lines = [line.strip() for line in body.replace(b"\r", b"").split(b"\n")]
        start = lines.index(b"", 1) if b"" in lines[1:] else 0  # headers end with an empty line
        text = b"".join(line for line in lines[start:] if not line.startswith(b"="))  # without the checksum
        if not end or not text:
            raise ValueError("its armour is damaged")
        found.append(_packets(binascii.a2b_base64(text)))
    return b"".join(found)


def _packets(data: bytes) -> bytes:
    """The same bytes, if OpenPGP's packets can begin like that (RFC 4880, 4.2). ValueError."""
    if not data or not data[0] & 0x80:
        raise ValueError("it holds no OpenPGP key")
    return data


def verify(signature: bytes, keys: bytes) -> bytes:
    """The text that a signed message holds, if one of `keys` (a keyring) has signed it, alone and now. Refused, ConfigError.

    Good means: gpgv ends with 0, has seen one text and one signature, and calls it good and valid; no expired or revoked key.
    """
    program = shutil.which("gpgv")
    if not program:
        raise ConfigError("cannot verify signatures", "the program gpgv is missing", "install gpgv")
    files = [memory.file(keys), memory.file(signature), memory.file(b"")]
    ring, message = (f"/proc/self/fd/{fd}" for fd in files[:2])
    argv = [program, "--homedir", "/nonexistent", "--keyring", ring, "--status-fd", str(files[2]), "--output", "-", message]
    try:
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=files,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        ) as process:
            assert process.stdout is not None
            text = _read(process)
            code = process.wait(timeout=_TIME)
        said = _status(os.pread(files[2], LARGEST, 0))
    except (OSError, subprocess.TimeoutExpired) as err:
        raise ConfigError("cannot verify signatures", f"gpgv: {err}") from err
    finally:
        for fd in files:
            os.close(fd)
    kinds = [line[0] for line in said]
    once = all(kinds.count(kind) == 1 for kind in ("NEWSIG", "GOODSIG", "VALIDSIG", "PLAINTEXT"))
    if code or not once or any(kind in _BAD for kind in kinds):
        raise Refused(_why(kinds))
    return text


def _read(process: subprocess.Popen[bytes]) -> bytes:
    """What gpgv unpacks, which may be far larger than the signature. Refused."""
    assert process.stdout is not None
    text = b""
    while data := os.read(process.stdout.fileno(), 1 << 16):
        text += data
        if len(text) > LARGEST:
            process.kill()
            raise Refused(f"what a signature of it signs has more than {LARGEST} bytes")
    return text


def _status(data: bytes) -> list[list[str]]:
    lines = data.decode("utf-8", "replace").split("\n")
    return [line.removeprefix("[GNUPG:] ").split(" ") for line in lines if line.startswith("[GNUPG:] ")]


def _why(kinds: list[str]) -> str:
    for kind, why in (
        ("EXPKEYSIG", "a signature of it is by a key that has expired"),
        ("REVKEYSIG", "a signature of it is by a key that was revoked"),
        ("EXPSIG", "a signature of it has expired"),
        ("BADSIG", "a signature of it does not fit what it signs"),
        ("NO_PUBKEY", "a signature of it is by another key"),
    ):
        if kind in kinds:
            return why
    return "what lies there is no OpenPGP signature of one text by one key"


def check_key(key: str, what: str) -> None:
    """Nothing if the user's keyring has this secret key. ImageError, ConfigError."""
    done = _gpg(["--with-colons", "--list-secret-keys", "--", key], b"", what)
    if done.returncode:
        raise ImageError(what, f"gpg has no secret key {key!r}", "gpg --list-secret-keys names those there are")


def sign(text: bytes, key: str, passphrase: str, what: str) -> bytes:
    """The signed message of a text, by a secret key of the user's keyring. ImageError, ConfigError.

    passphrase: that of the key; where it is empty, gpg's agent asks for it if it has to.
    """
    fds: list[int] = []
    more: list[str] = []
    if passphrase:
        fds = [memory.file(passphrase.encode() + b"\n")]
        os.lseek(fds[0], 0, os.SEEK_SET)
        more = ["--pinentry-mode", "loopback", "--passphrase-fd", str(fds[0])]
    try:
        done = _gpg([*more, f"--local-user={key}", "--output", "-", "--sign"], text, what, fds)
    finally:
        for fd in fds:
            os.close(fd)
    if done.returncode or not done.stdout:
        said = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
        raise ImageError(
            what, f"gpg cannot sign with the key {key!r}: " + "; ".join(said)[:500], "try it: gpg --sign --local-user KEY FILE"
        )
    return done.stdout


def _gpg(more: list[str], text: bytes, what: str, fds: list[int] | None = None) -> subprocess.CompletedProcess[bytes]:
    program = shutil.which("gpg")
    if not program:
        raise ConfigError(what, "the program gpg is missing", "install gnupg")
    env = dict(os.environ)
    if "GPG_TTY" not in env and sys.stdin and sys.stdin.isatty():
        env["GPG_TTY"] = os.ttyname(sys.stdin.fileno())  # where the agent asks for a pass phrase
    try:
        return subprocess.run(
            [program, "--batch", "--quiet", *more], input=text, capture_output=True, pass_fds=fds or [], env=env, check=False
        )
    except OSError as err:
        raise ConfigError(what, f"gpg: {err.strerror}") from err
