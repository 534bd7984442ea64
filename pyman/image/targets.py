"""Where images can go: TRANSPORT:DETAILS to the target that writes there. CLI process, slow path."""

from __future__ import annotations

import os

from pyman.errors import UsageError
from pyman.image import reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TRANSPORTS = ("docker", "oci", "oci-archive", "docker-archive", "dir")
_ABSENT = ("docker-daemon", "containers-storage", "ostree", "sif", "tarball", "atomic")


def split(text: str) -> tuple[str, str]:
    """(transport, details); docker for a plain name. UsageError for a transport that cannot be written to."""
    transport, colon, rest = text.partition(":")
    if colon and transport in _ABSENT:
        raise UsageError(
            f"cannot push to {text}",
            f"the transport {transport}: is not part of this release",
            "use docker://, oci:, oci-archive:, docker-archive: or dir:",
        )
    if not colon or transport not in TRANSPORTS or (transport == "docker" and not rest.startswith("//")):
        return "docker", text
    rest = rest.removeprefix("//") if transport == "docker" else rest
    if not rest:
        raise UsageError(f"cannot push to {text}", f"{transport}: lacks what comes after it")
    return transport, rest


def open_target(text: str, *, compress: bool = False, **access: Any) -> Any:
    """The target that `text` names; `access`: see registry.Access. UsageError, RegistryError, StorageError."""
    transport, rest = split(text)
    if transport == "docker":
        from pyman.image import registry, upload  # oras and requests

        if reference.is_short(rest):
            rest = f"docker.io/{rest}"
        return upload.RegistryTarget(reference.parse(rest), registry.Access(**access))
    if transport in ("oci", "dir"):
        from pyman.image import directories, layout

        return directories.LayoutTarget(*layout.split(rest)) if transport == "oci" else directories.DirTarget(rest, compress)
    from pyman.image import archives, output

    path, _, name = rest.partition(":")
    if transport == "oci-archive":
        return archives.OciArchiveTarget(output.Output(os.path.abspath(path)), name, text)
    names = [reference.parse(name if not reference.is_short(name) else f"docker.io/{name}").name()] if name else []
    target = archives.DockerArchiveTarget(output.Output(os.path.abspath(path)), text)
    target.names = names
    return target
