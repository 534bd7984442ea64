"""Simple signatures beside a registry: files DIRECTORY/REPOSITORY@sha256=DIGEST/signature-N at an address of registries.d. CLI process, slow path."""

from __future__ import annotations

import os
import stat

from pyman.config import registries_d
from pyman.config.registries import Endpoint
from pyman.errors import ConfigError, ImageError, NoSuchImage, StorageError
from pyman.image import openpgp, policy
from pyman.image.reference import Reference, check_digest
from pyman.image.registry import Access, Connection

_MOST = 64  # signatures of one image that are looked at


def address(reference: Reference, *, write: bool = False) -> str:
    """file:///..., http://... or https://... of an image's repository, without a digest. ConfigError."""
    base = registries_d.lookaside(policy.docker_scopes(reference), write=write)
    if not base.startswith(("file:///", "http://", "https://")) or (write and not base.startswith("file:///")):
        which = "a directory can be written: file:///DIRECTORY" if write else "it must begin with file:///, http:// or https://"
        raise ConfigError(
            f"cannot use {registries_d.directory()}", f"it gives {reference.registry}/{reference.repository} the address {base}", which
        )
    return f"{base.rstrip('/')}/{reference.repository}"


def read(reference: Reference, digest: str) -> list[bytes]:
    """All signatures of a manifest. ImageError, RegistryError, ConfigError."""
    place = f"{address(reference)}@sha256={check_digest(digest, reference.name())}"
    what = f"cannot read the signatures of {reference.name()}"
    if place.startswith("file://"):
        return files(place[7:], what)
    found: list[bytes] = []
    host = place.split("/", 3)[2]
    connection = Connection(Endpoint(host, "", False), Access(), name=place, key=(host, ""), verb="read")
    connection.credentials = None
    try:
        while len(found) < _MOST:
            response = connection.get(f"{place}/signature-{len(found) + 1}", small=openpgp.LARGEST)
            found.append(connection.read(response, openpgp.LARGEST))
    except NoSuchImage:
        pass
    finally:
        connection.close()
    return found


def files(directory: str, what: str, prefix: str = "") -> list[bytes]:
    """The signatures in a directory, which may be anybody's. ImageError."""
    found: list[bytes] = []
    try:
        while len(found) < _MOST:
            fd = os.open(f"{directory}/{prefix}signature-{len(found) + 1}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
            with open(fd, "rb") as file:
                if not stat.S_ISREG(os.fstat(fd).st_mode) or len(data := file.read(openpgp.LARGEST + 1)) > openpgp.LARGEST:
                    raise ImageError(what, f"{directory}/{prefix}signature-{len(found) + 1} is no signature")
                found.append(data)
    except FileNotFoundError:
        pass
    except OSError as err:
        raise ImageError(what, f"{err.filename or directory}: {err.strerror}") from err
    return found


def write(directory: str, data: bytes, prefix: str = "") -> str:
    """Put a signature beside those that are there; its path. StorageError.

    It has its name only when it is complete, and takes no other's.
    """
    temp = f"{directory}/.{os.urandom(8).hex()}.tmp"
    try:
        os.makedirs(directory, exist_ok=True)
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            with open(fd, "wb") as file:
                file.write(data)
            number = 1
            while True:
                try:
                    os.link(temp, path := f"{directory}/{prefix}signature-{number}", follow_symlinks=False)
                    return path
                except FileExistsError:
                    number += 1
        finally:
            os.unlink(temp)
    except OSError as err:
        raise StorageError(
            f"cannot write a signature to {directory}",
            err.strerror or str(err),
            f"choose a directory: --directory of image sign, or lookaside-staging in {registries_d.directory()}",
            errno=err.errno or 0,
        ) from err
