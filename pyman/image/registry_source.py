"""A registry as a source of images: its mirrors first, blobs resumed where a connection broke. Slow path."""

from __future__ import annotations

import hashlib
import os

from pyman.config import registries
from pyman.errors import ImageError, NoSuchImage, RegistryError
from pyman.image import manifest
from pyman.image.reference import Reference, is_tag
from pyman.image.registry import Access, Connection
from pyman.image.waiting import Broken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_TAGS = 100_000  # of a repository; the largest public ones have some ten thousand


class RegistrySource:
    """The image a reference names, from its registry. `remote`: blobs come slowly, in pieces, and can be resumed.

    verb: what is being done, for messages.
    """

    remote = True

    def __init__(self, reference: Reference, access: Access, verb: str = "pull") -> None:
        self.verb = verb
        self.reference = reference
        self.label = f"image {reference.name()}"
        self.access = access
        self.demands: list[dict[str, Any]] = []  # what the policy wants verified before anything is used
        self._ready: list[Connection] = []
        self._left = registries.load().endpoints(reference.registry, reference.repository, digest=bool(reference.digest))
        if not self._left[-1].host:
            raise RegistryError(f"cannot {verb} {reference.name()}", "registries.conf gives it an empty location")

    def _connection(self, number: int) -> Connection | None:
        """The connection to the endpoint with this number; made when it is needed first."""
        while number >= len(self._ready) and self._left:
            endpoint = self._left.pop(0)
            key = (endpoint.host, endpoint.repository) if endpoint.mirror else (self.reference.registry, self.reference.repository)
            self._ready.append(Connection(endpoint, self.access, name=self.reference.name(), key=key, verb=self.verb))
        return self._ready[number] if number < len(self._ready) else None

    def _first(self, action: Callable[[Connection], Any]) -> Any:
        """What `action` returns for the first endpoint that has it; the last one's error if none has."""
        number = 0
        while True:
            connection = self._connection(number)
            assert connection is not None
            try:
                return action(connection)
            except (RegistryError, NoSuchImage):
                if not connection.mirror:
                    raise
            number += 1

    def names(self) -> list[str]:
        """The name the image gets: as asked for, unless by digest."""
        reference = self.reference
        return [f"{reference.registry}/{reference.repository}:{reference.tag}"] if reference.tag and not reference.digest else []

    def sibling(self, tag: str) -> RegistrySource:
        """Another tag of the same repository."""
        return RegistrySource(Reference(self.reference.registry, self.reference.repository, tag, ""), self.access)

    def simple_signatures(self, digest: str) -> list[bytes]:
        """The simple signatures of a manifest, which lie beside the registry. ImageError, RegistryError, ConfigError."""
        from pyman.image import lookaside

        return lookaside.read(self.reference, digest)

    def signatures_place(self) -> str:
        """Where they are looked for. ConfigError."""
        from pyman.image import lookaside

        return lookaside.address(self.reference).rpartition("/" + self.reference.repository)[0]

    def close(self) -> None:
        """Close the connections."""
        for connection in self._ready:
            connection.close()

    def tags(self) -> list[str]:
        """All tags of the repository, page by page (distribution-spec, "Listing Tags"). RegistryError."""
        result: list[str] = self._first(self._tags)
        return result

    def _tags(self, connection: Connection) -> list[str]:
        found: dict[str, None] = {}
        last = ""
        while True:
            path = "tags/list?n=1000" + (f"&last={last}" if last else "")
            response = connection.get(path, what=f"repository {self.reference.repository}", small=manifest.MAX_MANIFEST)
            value = manifest.loads(connection.read(response, manifest.MAX_MANIFEST), self.label, manifest.MAX_MANIFEST)
            page = value.get("tags") or []
            if not isinstance(page, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in page):
                raise RegistryError(f"cannot list the tags of {self.reference.name()}", f"{connection.host} sent something else")
            new = [tag for tag in page if tag not in found]
            found.update(dict.fromkeys(new))
            if len(found) > _TAGS:
                raise RegistryError(
                    f"cannot list the tags of {self.reference.name()}", f"{connection.host} has sent more than {_TAGS} of them"
                )
            # The next page is asked for by its last tag, never by an address that the registry chooses.
            if "next" not in (response.headers.get("Link") or "") or not new:
                return list(found)
            last = new[-1]

    def leads_to(self) -> str:
        """The digest of what the name leads to now, as the registry tells it without sending it; empty if it does not tell. RegistryError."""

        def ask(connection: Connection) -> str:
            response = connection.request("HEAD", f"manifests/{self.reference.target()}", {"Accept": manifest.ACCEPT})
            response.close()
            if response.status_code == 404 and connection.mirror:
                raise NoSuchImage(connection.what, f"{connection.host} does not have it")
            return str(response.headers.get("Docker-Content-Digest") or "") if response.status_code == 200 else ""

        told: str = self._first(ask)
        return told

    # ---- the source's interface ----

    def manifest(self, descriptor: dict[str, Any] | None = None) -> tuple[bytes, str, str]:
        """(bytes, media type, digest), verified against the digest asked for."""
        result: tuple[bytes, str, str] = self._first(lambda connection: self._manifest(connection, descriptor))
        return result

    def _manifest(self, connection: Connection, descriptor: dict[str, Any] | None) -> tuple[bytes, str, str]:
        wanted = descriptor["digest"] if descriptor else self.reference.digest
        accept = {"Accept": manifest.ACCEPT}
        response = connection.get(f"manifests/{wanted or self.reference.tag}", accept, small=manifest.MAX_MANIFEST)
        data = connection.read(response, manifest.MAX_MANIFEST)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if wanted and digest != wanted:
            raise ImageError(f"refused {self.label}", f"{connection.host} sent a manifest with digest {digest} for {wanted}")
        if descriptor and len(data) != descriptor["size"]:
            raise ImageError(f"refused {self.label}", f"a manifest has {len(data)} bytes, its index says {descriptor['size']}")
        return data, response.headers.get("Content-Type") or "", digest

    def small_blob(self, descriptor: dict[str, Any], limit: int) -> bytes:
        """A whole small blob, verified. ImageError."""
        if descriptor["size"] > limit:
            raise ImageError(f"refused {self.label}", f"its configuration has {descriptor['size']} bytes, at most {limit} are allowed")
        path = f"blobs/{descriptor['digest']}"
        data: bytes = self._first(lambda connection: connection.read(connection.get(path, small=limit), limit))
        if len(data) != descriptor["size"]:
            raise ImageError(f"damaged {self.label}", f"the blob {descriptor['digest']} has {len(data)} bytes, not {descriptor['size']}")
        if hashlib.sha256(data).hexdigest() != descriptor["hex"]:
            raise ImageError(f"damaged {self.label}", f"the blob {descriptor['digest']} arrived with another digest")
        return data

    def parts(self, descriptor: dict[str, Any], action: Callable[[Connection], None]) -> None:
        """`action` with a connection to the endpoint that has a blob."""
        self._first(action)

    def copy_blob(self, descriptor: dict[str, Any], fd: int, done: int = 0, keep: Callable[[bytes], None] | None = None) -> None:
        """Stream a blob from byte `done` to `fd`, going on where a broken connection stopped, if need be at the next endpoint.

        keep: called with all that arrives, before it goes to `fd`. RegistryError after too many breaks.
        """
        at = [done]
        self._first(lambda connection: self._copy(connection, descriptor, fd, at, keep))

    def _copy(
        self, connection: Connection, descriptor: dict[str, Any], fd: int, at: list[int], keep: Callable[[bytes], None] | None
    ) -> None:
        breaks = 0
        while at[0] < descriptor["size"]:
            before, broken = at[0], Broken("")
            response = connection.get(f"blobs/{descriptor['digest']}", {"Range": f"bytes={before}-"} if before else {})
            skip = before - _start(response, before) if before else 0  # a registry without ranges starts again
            try:
                for piece in connection.pieces(response):
                    if skip:
                        piece, skip = piece[skip:], max(0, skip - len(piece))
                    if keep:
                        keep(piece)
                    view = memoryview(piece)
                    while view:
                        view = view[os.write(fd, view) :]
                    at[0] += len(piece)
                    if at[0] > descriptor["size"]:
                        raise ImageError(
                            f"refused {self.label}", f"the blob {descriptor['digest'][:19]} is longer than its {descriptor['size']} bytes"
                        )
            except BrokenPipeError:
                return  # the unpacker refused the layer and says why
            except Broken as err:
                broken = err
            finally:
                response.close()
            if at[0] >= descriptor["size"]:
                return
            breaks = 0 if at[0] > before else breaks + 1
            if breaks >= self.access.retries:
                raise RegistryError(
                    connection.what,
                    f"the connection to {connection.host} broke {breaks} times in a row at {at[0]} of {descriptor['size']} bytes",
                    "run the command again",
                )
            broken.again()
            self.access.wait(breaks - 1)


def _start(response: Any, asked: int) -> int:
    """The first byte of an answer to a request for what comes from `asked` on. ImageError if it begins later."""
    if response.status_code == 200:
        return 0
    told = response.headers.get("Content-Range")
    if not told:
        return asked
    from pyman.image import ranges  # where a download goes on only

    first, _ = ranges.content_range(told)
    if first > asked:
        raise ImageError("cannot go on with a blob", f"the registry sent what comes from byte {first} on, asked was {asked}")
    return first
