"""A registry (distribution-spec 1.1) as a source of images: the door of oras. Slow path.

oras gives the session and the request loop; resuming, streaming, retries and where credentials may go are decided here.
"""

from __future__ import annotations

import hashlib
import os
import random
import time

from pyman.config import registries
from pyman.errors import ImageError, NoSuchImage, PymanError, RegistryError
from pyman.image import auth, manifest
from pyman.image.reference import Reference, is_tag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_RETRIES = 4
_TIMEOUT = (10, 60)  # seconds: to connect, between two packets
_CHUNK = 1 << 14  # bytes: what at most is lost when a connection breaks


def _import_oras() -> Any:
    try:
        import oras.provider
    except ImportError:
        import site  # the launcher starts without site-packages

        site.main()
        import oras.provider
    return oras.provider


class RegistrySource:
    """The image a reference names, from its registry. `remote`: blobs come slowly, in pieces, and can be resumed."""

    remote = True

    def __init__(
        self, reference: Reference, *, tls_verify: bool | None = None, creds: str = "", authfile: str = "", retry: int | None = None
    ) -> None:
        self.reference = reference
        self.label = f"image {reference.name()}"
        self.retries = _RETRIES if retry is None else max(1, retry + 1)
        table = registries.load().find(f"{reference.registry}/{reference.repository}")
        if table.get("blocked"):
            raise RegistryError(f"cannot pull {reference.name()}", f"registries.conf blocks {table.get('prefix') or table.get('location')}")
        host, _, path = str(table.get("location") or "").partition("/")
        self.host = host or reference.registry
        self.repository = reference.repository
        if path:
            prefix = str(table.get("prefix") or table.get("location")).partition("/")[2]
            self.repository = (path + "/" + reference.repository.removeprefix(prefix).lstrip("/")).strip("/")
        if self.host == "docker.io":
            self.host = "registry-1.docker.io"
        self.insecure = bool(table.get("insecure")) if tls_verify is None else not tls_verify
        self.credentials = auth.find(reference.registry, reference.repository, creds, authfile)
        self.scheme = "https"
        self.token = ""
        self.basic = False
        provider = _import_oras()
        self.client = provider.Registry(hostname=self.host, insecure=False, tls_verify=not self.insecure)
        self.session: Any = self.client.session
        self.session.trust_env = True
        self.session.max_redirects = 5
        # Credentials are those of auth.json: requests would take others from ~/.netrc, for the registry and for wherever it redirects to.
        self.session.auth = lambda request: request
        self.session.rebuild_auth = self._redirected

    def names(self) -> list[str]:
        """The name the image gets: as asked for, unless by digest."""
        reference = self.reference
        return [f"{reference.registry}/{reference.repository}:{reference.tag}"] if reference.tag and not reference.digest else []

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    # ---- requests ----

    def _url(self, path: str) -> str:
        return f"{self.scheme}://{self.host}/v2/{self.repository}/{path}"

    def _once(self, path: str, headers: dict[str, str], stream: bool) -> Any:
        """One request, authenticated if the registry asks for it; http only for registries declared insecure."""
        import requests

        headers = {"User-Agent": "pyman", **headers}
        for attempt in (0, 1):
            sent = {**headers, **self._authorization()}
            try:
                response = self.session.get(
                    self._url(path), headers=sent, stream=stream, timeout=_TIMEOUT, verify=not self.insecure, allow_redirects=True
                )
            except (requests.exceptions.SSLError, requests.exceptions.ConnectionError) as err:
                if self.insecure and self.scheme == "https":
                    self.scheme = "http"
                    return self._once(path, headers, stream)
                raise self._unreachable(err) from err
            except (requests.exceptions.RequestException, ValueError) as err:  # ValueError: a redirect to what is no URL
                raise self._unreachable(err) from err
            if response.status_code != 401 or attempt:
                return response
            self._authenticate(response.headers.get("Www-Authenticate") or "")
        raise AssertionError("unreachable")

    def _redirected(self, prepared: Any, response: Any) -> None:
        """Called before a redirect is followed: without credentials if scheme, host or port change, and never out of TLS."""
        from urllib.parse import urlsplit

        old, new = urlsplit(response.request.url), urlsplit(prepared.url)
        if old.scheme == "https" and new.scheme != "https":
            raise RegistryError(
                f"refused {self.label}", f"{self.host} redirects from https to {new.scheme}", "report it to whoever runs the registry"
            )
        if (old.scheme, old.hostname, old.port) != (new.scheme, new.hostname, new.port):
            prepared.headers.pop("Authorization", None)

    def _authorization(self) -> dict[str, str]:
        if self.token:
            return {"Authorization": f"Bearer {self.token}"}
        if self.basic and self.credentials:
            import base64

            return {"Authorization": "Basic " + base64.b64encode(":".join(self.credentials).encode()).decode()}
        return {}

    def _authenticate(self, challenge: str) -> None:
        """Answer a 401: basic, or a token from the declared realm. RegistryError."""
        import oras.auth.utils as utils

        kind = challenge.split(" ", 1)[0].lower()
        what = f"cannot pull {self.reference.name()}"
        if kind == "basic":
            if not self.credentials:
                raise RegistryError(
                    what,
                    f"{self.host} wants a user and password (401), and no credentials are stored for it",
                    f"pyman pull --creds USER:PASSWORD ..., or an entry for {self.reference.registry} in auth.json",
                )
            if self.basic:
                raise RegistryError(what, f"{self.host} refused the stored credentials (401)", "correct them in auth.json")
            self.basic = True
            return
        if kind != "bearer":
            raise RegistryError(what, f"{self.host} asks for an authentication pyman does not know: {challenge[:80]!r}")
        header = utils.parse_auth_header(challenge)
        realm = str(header.realm or "")
        secure = realm.startswith("https://")
        # Without TLS, or with a certificate nobody verifies, credentials go to the very host that was declared insecure, and to no other.
        same_host = _host_of(realm) == _host_of(f"http://{self.host}") != ""
        if not secure and (self.scheme == "https" or not same_host or not realm.startswith("http://")):
            raise RegistryError(
                what,
                f"{self.host} wants its tokens fetched from {realm!r}, which is not https",
                "credentials are never sent without TLS to another place",
            )
        self.token = self._fetch_token(realm, str(header.service or ""), what, not (self.insecure and same_host))

    def _fetch_token(self, realm: str, service: str, what: str, verify: bool) -> str:
        import requests

        parameters = {"scope": f"repository:{self.repository}:pull", **({"service": service} if service else {})}
        try:
            if self.credentials and self.credentials[0] == "<token>":
                form = {**parameters, "grant_type": "refresh_token", "refresh_token": self.credentials[1], "client_id": "pyman"}
                # A redirect could carry the form, with the token in it, anywhere.
                response = self.session.post(realm, data=form, timeout=_TIMEOUT, verify=verify, allow_redirects=False)
            else:
                response = self.session.get(realm, params=parameters, auth=self.credentials, timeout=_TIMEOUT, verify=verify)
        except (requests.exceptions.RequestException, ValueError) as err:
            raise RegistryError(what, f"its token server {realm} does not answer: {_cause(err)}") from err
        if response.status_code != 200:
            who = "refused the stored credentials" if self.credentials else "gives no anonymous token"
            raise RegistryError(
                what, f"its token server {who} ({response.status_code})", f"check the entry for {self.reference.registry} in auth.json"
            )
        try:
            value = response.json()
            token = value.get("token") or value["access_token"]
            if not isinstance(token, str) or not (token.isascii() and token.isprintable()):
                raise ValueError("it would not fit into a header")
            return token
        except (ValueError, KeyError, AttributeError, RecursionError) as err:
            raise RegistryError(what, "its token server sent no token") from err

    def _unreachable(self, err: Exception) -> RegistryError:
        text = _cause(err)
        what = f"cannot pull {self.reference.name()}"
        if "CERTIFICATE_VERIFY_FAILED" in text:
            return RegistryError(
                what,
                f"the certificate of {self.host} cannot be verified: {text}",
                "add its CA to the system's store, or use --tls-verify=false if you trust the network",
            )
        if "WRONG_VERSION_NUMBER" in text or "wrong version number" in text or "record layer failure" in text:
            return RegistryError(
                what,
                f"{self.host} speaks http, not https",
                f'--tls-verify=false, or in registries.conf: [[registry]] location = "{self.host}" insecure = true',
            )
        return RegistryError(what, f"{self.host} cannot be reached: {text}", "check the name, the network and the proxy variables")

    def _request(self, path: str, headers: dict[str, str], stream: bool = False) -> Any:
        """With retries and growing pauses for what may pass: broken connections, 429, 5xx."""
        failure: PymanError | None = None
        for attempt in range(self.retries):
            if attempt:
                time.sleep(min(8.0, 0.2 * 2**attempt) * (0.5 + random.random()))
            try:
                response = self._once(path, headers, stream)
            except RegistryError as err:
                failure = err
                if "cannot be reached" in err.why and "refused" not in err.why.lower() and "resolve" not in err.why:
                    continue
                raise
            if response.status_code in (429, 500, 502, 503, 504):
                failure = RegistryError(
                    f"cannot pull {self.reference.name()}",
                    f"{self.host} answers {response.status_code}" + (" (too many requests)" if response.status_code == 429 else ""),
                    "try again later",
                )
                continue
            return response
        assert failure is not None
        raise failure

    def _check(self, response: Any, path: str) -> None:
        status = response.status_code
        if status in (200, 206):
            return
        what = f"cannot pull {self.reference.name()}"
        if status == 404:
            raise NoSuchImage(
                what,
                f"{self.host} has no {'such image' if path.startswith('manifests') else 'blob ' + path[6:25]} (404)",
                "check the name and the tag",
            )
        if status == 401 and self.credentials:
            raise RegistryError(
                what, f"{self.host} refused the stored credentials (401)", f"correct the entry for {self.reference.registry} in auth.json"
            )
        if status in (401, 403):
            raise RegistryError(
                what, f"{self.host} denies access ({status})", f"check the name, and the credentials for {self.reference.registry}"
            )
        raise RegistryError(what, f"{self.host} answers {status}")

    def tags(self) -> list[str]:
        """All tags of the repository, page by page (distribution-spec, "Listing Tags"). RegistryError."""
        found: list[str] = []
        last = ""
        while True:
            path = "tags/list?n=1000" + (f"&last={last}" if last else "")
            response = self._request(path, {}, stream=True)
            self._check(response, path)
            value = manifest.loads(self._read_limited(response, manifest.MAX_MANIFEST), self.label, manifest.MAX_MANIFEST)
            page = value.get("tags") or []
            if not isinstance(page, list) or not all(isinstance(tag, str) and is_tag(tag) for tag in page):
                raise RegistryError(f"cannot list the tags of {self.reference.name()}", f"{self.host} sent something else")
            new = [tag for tag in page if tag not in found]
            found += new
            # The next page is asked for by its last tag, never by an address that the registry chooses.
            if "next" not in (response.headers.get("Link") or "") or not new:
                return found
            last = new[-1]

    # ---- the source's interface ----

    def manifest(self, descriptor: dict[str, Any] | None = None) -> tuple[bytes, str, str]:
        """(bytes, media type, digest), verified against the digest asked for."""
        wanted = descriptor["digest"] if descriptor else self.reference.digest
        path = f"manifests/{wanted or self.reference.tag}"
        response = self._request(path, {"Accept": manifest.ACCEPT}, stream=True)
        self._check(response, path)
        data = self._read_limited(response, manifest.MAX_MANIFEST)
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if wanted and digest != wanted:
            raise ImageError(f"refused {self.label}", f"{self.host} sent a manifest with digest {digest} for {wanted}")
        if descriptor and len(data) != descriptor["size"]:
            raise ImageError(f"refused {self.label}", f"a manifest has {len(data)} bytes, its index says {descriptor['size']}")
        return data, response.headers.get("Content-Type") or "", digest

    def _read_limited(self, response: Any, limit: int) -> bytes:
        data = b""
        for piece in response.iter_content(_CHUNK):
            data += piece
            if len(data) > limit:
                response.close()
                raise ImageError(f"refused {self.label}", f"{self.host} sent more than {limit} bytes for a small document")
        return data

    def small_blob(self, descriptor: dict[str, Any], limit: int) -> bytes:
        """A whole small blob, verified. ImageError."""
        if descriptor["size"] > limit:
            raise ImageError(f"refused {self.label}", f"its configuration has {descriptor['size']} bytes, at most {limit} are allowed")
        path = f"blobs/{descriptor['digest']}"
        response = self._request(path, {}, stream=True)
        self._check(response, path)
        data = self._read_limited(response, limit)
        if hashlib.sha256(data).hexdigest() != descriptor["hex"]:
            raise ImageError(f"damaged {self.label}", f"the blob {descriptor['digest']} arrived with another digest")
        return data

    def copy_blob(self, descriptor: dict[str, Any], fd: int, done: int = 0, keep: Callable[[bytes], None] | None = None) -> None:
        """Stream a blob from byte `done` to `fd`, going on where a broken connection stopped.

        keep: called with all that arrives, before it goes to `fd`. RegistryError after too many breaks.
        """
        import requests

        path = f"blobs/{descriptor['digest']}"
        breaks = 0
        while done < descriptor["size"]:
            response = self._request(path, {"Range": f"bytes={done}-"} if done else {}, stream=True)
            self._check(response, path)
            skip = done if done and response.status_code == 200 else 0  # a registry without ranges starts again
            before = done
            try:
                for piece in response.iter_content(_CHUNK):
                    if skip:
                        piece, skip = piece[skip:], max(0, skip - len(piece))
                    if keep:
                        keep(piece)
                    view = memoryview(piece)
                    while view:
                        view = view[os.write(fd, view) :]
                    done += len(piece)
                    if done > descriptor["size"]:
                        raise ImageError(
                            f"refused {self.label}", f"the blob {descriptor['digest'][:19]} is longer than its {descriptor['size']} bytes"
                        )
            except (requests.exceptions.RequestException, OSError) as err:
                if isinstance(err, BrokenPipeError):
                    return  # the unpacker refused the layer and says why
                if not isinstance(err, requests.exceptions.RequestException):
                    raise
            finally:
                response.close()
            if done >= descriptor["size"]:
                return
            breaks = 0 if done > before else breaks + 1
            if breaks >= self.retries:
                raise RegistryError(
                    f"cannot pull {self.reference.name()}",
                    f"the connection to {self.host} broke {breaks} times in a row at {done} of {descriptor['size']} bytes",
                    "run the command again",
                )
            time.sleep(0.1 * 2**breaks * (0.5 + random.random()))


def _host_of(url: str) -> str:
    """The host a URL really leads to: what stands before an @ is a user's name. Empty if it cannot be told."""
    from urllib.parse import urlsplit

    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _cause(err: BaseException) -> str:
    """The innermost reason of a requests error, without its layers of wrapping."""
    while True:
        inner = (
            getattr(err, "reason", None) or err.__cause__ or (err.args[0] if err.args and isinstance(err.args[0], BaseException) else None)
        )
        if not isinstance(inner, BaseException) or inner is err:
            text = str(err)
            return text.split(": ", 1)[1] if text.startswith(("HTTPSConnection", "HTTPConnection")) and ": " in text else text
        err = inner
