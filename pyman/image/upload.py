"""A registry as the target of a push: blobs found, mounted or uploaded in pieces, manifests put (distribution-spec, "Push"). Slow path."""

from __future__ import annotations

import hashlib
import threading

from pyman import stages
from pyman.config import registries
from pyman.digits import is_whole
from pyman.errors import ImageError, RegistryError
from pyman.image import answers, streams
from pyman.image.answers import Unreachable
from pyman.image.registry import Access, Connection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pyman.image.reference import Reference

    Start = Callable[[int], dict[str, Any]]

PIECE = 8 << 20  # bytes kept until the registry has them: what is sent again when a connection breaks
_MOST = 64 << 20  # bytes: the largest smallest piece that a registry may ask for
_TYPE = {"Content-Type": "application/octet-stream"}
_REDIRECTS = 5


class _Lost(Exception):
    """The registry has forgotten an upload: it begins again."""


class RegistryTarget:
    """The repository (and tag) that a reference names."""

    default_kind = "gzip"
    parallel = True
    plain = False

    def __init__(self, reference: Reference, access: Access) -> None:
        self.reference = reference
        self.label = f"image {reference.name()}"
        endpoint = registries.load().endpoints(reference.registry, reference.repository)[-1]
        if not endpoint.host:
            raise RegistryError(f"cannot push {reference.name()}", "registries.conf gives it an empty location")
        self._endpoint, self._key = endpoint, (reference.registry, reference.repository)
        self.connection = Connection(endpoint, access, name=reference.name(), key=self._key, verb="push")
        self._neighbours: dict[str, Connection | None] = {}
        self._guard = threading.Lock()
        self.place = f"{reference.registry}/{reference.repository}"
        self._sent = False  # whether anything was brought here

    def close(self) -> None:
        """Close the connections."""
        for connection in (self.connection, *self._neighbours.values()):
            if connection:
                connection.close()

    # ---- what is there already ----

    def has(self, digest: str) -> bool:
        """Whether the repository has the blob. RegistryError."""
        response = self.connection.request("HEAD", f"blobs/{digest}")
        response.close()
        if response.status_code in (401, 403):
            self.connection.check(response, f"blobs/{digest}")
        return bool(response.status_code == 200)

    def known(self, diff_id: str, candidates: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The first of `candidates` (descriptors with "places") that the repository has, or takes from a neighbour. RegistryError."""
        for candidate in candidates:
            if self.has(candidate["digest"]):
                return candidate
        for candidate in candidates:
            for place in candidate["places"]:
                registry, _, repository = place.partition("/")
                if registry == self.reference.registry and place != self.place and self._mount(candidate["digest"], repository):
                    return candidate
        return None

    def _mount(self, digest: str, repository: str) -> bool:
        """Take a blob over from another repository of the same registry; false if it does not allow that."""
        connection = self._neighbour(repository)
        if connection is None:
            return False
        try:
            response = connection.request("POST", f"blobs/uploads/?mount={digest}&from={repository}")
        except Unreachable:
            raise
        except RegistryError:
            self._neighbours[repository] = None  # no token for that repository: nobody asks again
            return False
        response.close()
        if response.status_code == 202:  # an upload has begun instead
            location = response.headers.get("Location")
            if location:
                connection.request("DELETE", self.connection.follow(location), again=False).close()
        return bool(response.status_code == 201)

    def _neighbour(self, repository: str) -> Connection | None:
        """A connection whose tokens are good for another repository too; what is denied there must not end the push."""
        with self._guard:
            if repository not in self._neighbours:
                made = Connection(self._endpoint, self.connection.access, name=self.reference.name(), key=self._key, verb="push")
                made.scheme = self.connection.scheme
                made.need(f"repository:{repository}:pull")
                self._neighbours[repository] = made
            return self._neighbours[repository]

    # ---- blobs ----

    def put(self, start: Start, diff_id: str) -> dict[str, Any]:
        """Upload the stream that `start(fd)` writes; what `start` returned, with the "digest" of what it wrote (64 hex digits).

        start is called once more if the registry loses the upload. RegistryError, ImageError.
        """
        self._sent = True
        for attempt in range(self.connection.access.retries):
            if attempt:
                self.connection.access.wait(attempt)
            try:
                return self._stream(start)
            except _Lost:
                continue
        raise RegistryError(self.connection.what, f"{self.connection.host} has lost the upload {self.connection.access.retries} times")

    def put_blob(self, data: bytes, digest: str) -> None:
        """A small blob as a whole, unless it is there. RegistryError."""
        if self.has(digest):
            return
        self._sent = True
        location, _ = self._begin()
        self._end(location, data, 0, digest)

    def _begin(self) -> tuple[str, int]:
        """(where to send an upload to, bytes of each piece)."""
        response = self._send("POST", "blobs/uploads/", b"", {})
        self.connection.check(response, "a place for uploads")
        response.close()
        try:
            wanted = int(response.headers.get("OCI-Chunk-Min-Length") or 0)
        except ValueError:
            wanted = 0
        return self._next(response, ""), min(_MOST, max(PIECE, wanted))

    def _next(self, response: Any, before: str) -> str:
        location = response.headers.get("Location") or before
        if not location:
            raise RegistryError(self.connection.what, f"{self.connection.host} does not say where to upload to")
        return self.connection.follow(location)

    def _stream(self, start: Start) -> dict[str, Any]:
        location, size = self._begin()
        sent = 0
        with streams.Running(start) as running:
            while len(piece := streams.read_full(running.fd, size)) == size:
                location = self._piece(location, piece, sent)
                stages.reach("push:uploading")
                sent += size
            done: dict[str, Any] = running.result()
        self._end(location, piece, sent, f"sha256:{done['digest']}")
        return done

    def _piece(self, location: str, data: bytes, at: int) -> str:
        """Send one piece, going on where a broken connection stopped; where the next one goes. _Lost, RegistryError."""
        connection = self.connection
        end = at + len(data)
        for attempt in range(connection.access.retries):
            headers = {**_TYPE, "Content-Range": f"{end - len(data)}-{end - 1}"}
            try:
                response = self._send("PATCH", location, data, headers, again=False)
                response.close()
                if response.status_code in (202, 204, 201):
                    return self._next(response, location)
                if response.status_code == 404:
                    raise _Lost
                if response.status_code not in (408, 416, 429, 499) and response.status_code < 500:
                    connection.check(response, "the upload")
            except Unreachable as err:
                if not err.passing:
                    raise
            connection.access.wait(attempt)
            location, have = self._where(location)
            if not at <= have <= end:
                raise _Lost
            if have == end:
                return location
            data = data[len(data) - (end - have) :]
        raise RegistryError(
            connection.what,
            f"the upload to {connection.host} broke {connection.access.retries} times at byte {at}",
            "run the command again",
        )

    def _where(self, location: str) -> tuple[str, int]:
        """(location, bytes the registry has) of an upload that broke. _Lost if it knows nothing of it."""
        response = self._send("GET", location, b"", {})
        response.close()
        if response.status_code not in (200, 202, 204):
            raise _Lost
        _, dash, last = (response.headers.get("Range") or "").rpartition("-")
        if not dash or not is_whole(last):
            raise _Lost
        # "0-0" is what some registries say where nothing has arrived; one byte alone never is a piece.
        return self._next(response, location), int(last) + 1 if int(last) else 0

    def _end(self, location: str, data: bytes, sent: int, digest: str) -> None:
        """The last piece, and the digest of the whole. _Lost, RegistryError."""
        connection = self.connection
        path = location + ("&" if "?" in location else "?") + f"digest={digest}"
        headers = {**_TYPE, **({"Content-Range": f"{sent}-{sent + len(data) - 1}"} if sent and data else {})}
        for attempt in range(connection.access.retries):
            try:
                response = self._send("PUT", path, data, headers, again=False)
            except Unreachable as err:
                if not err.passing:
                    raise
            else:
                if response.status_code < 500 and response.status_code not in (404, 416, 429):
                    connection.check(response, "the end of the upload")
                    response.close()
                    return
                response.close()
                if response.status_code in (404, 416) and not self.has(digest):
                    raise _Lost
            connection.access.wait(attempt)
            if self.has(digest):
                return  # it had arrived, only the answer had not
        raise _Lost

    def _send(self, method: str, location: str, data: bytes, headers: dict[str, str], *, again: bool = True) -> Any:
        """One request with a body, to where the registry redirects it (307, 308). RegistryError."""
        for _ in range(_REDIRECTS):
            response = self.connection.request(method, location, headers, data=data, again=again)
            if response.status_code not in (307, 308):
                return response
            response.close()
            location = self._next(response, "")
        raise RegistryError(self.connection.what, f"{self.connection.host} redirects the upload for ever")

    # ---- manifests ----

    def put_manifest(self, data: bytes, media_type: str, *, top: bool = True) -> None:
        """Store a manifest: under the tag, or (one of an index) under its digest alone. RegistryError."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if top and self.reference.digest and self.reference.digest != digest:
            raise ImageError(
                self.connection.what, f"the image's manifest has the digest {digest}", "push it to a tag: a digest cannot be chosen"
            )
        name = (self.reference.tag or digest) if top else digest
        if not self._sent and self._leads_to(name, digest, media_type):
            return
        response = self._send("PUT", f"manifests/{name}", data, {"Content-Type": media_type})
        if response.status_code not in (200, 201, 202, 204):
            said = answers.said(response)
            raise answers.refusal(self.connection, response.status_code, "a place for the manifest", said)
        response.close()
        told = response.headers.get("Docker-Content-Digest") or digest
        if told != digest:
            raise RegistryError(self.connection.what, f"{self.connection.host} has stored it as {told}, it is {digest}")
        stages.reach("push:manifest")

    def _leads_to(self, name: str, digest: str, media_type: str) -> bool:
        """Whether the registry says that a name leads to this very manifest already."""
        response = self.connection.request("HEAD", f"manifests/{name}", {"Accept": media_type})
        response.close()
        told = response.headers.get("Docker-Content-Digest"), (response.headers.get("Content-Type") or "").partition(";")[0]
        return bool(response.status_code == 200 and told == (digest, media_type))

    def finish(self) -> None:
        """Nothing is left to be done."""
