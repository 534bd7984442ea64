"""Requests to a registry (distribution-spec 1.1). Slow path.

oras gives the session (oras_session.py); retries, streaming and redirects are decided here, who may see credentials in tokens.py. Small
questions are asked by questions.py as long as nothing else has needed oras, whose import takes longer than a pull that finds nothing new.
"""

from __future__ import annotations

import _thread
import os
import time

from pyman.errors import ImageError, PymanError, RegistryError
from pyman.image import answers, auth, oras_session, questions, tokens, waiting
from pyman.image.answers import Unreachable
from pyman.image.waiting import Broken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pyman.config.registries import Endpoint

RETRIES = 4
_LONGEST = 300  # seconds for a small document, however slowly it comes
_PASSING = (429, 500, 502, 503, 504)


class Access:
    """How registries are reached, by the options that all commands share: retries, pauses in seconds, certificates, credentials."""

    __slots__ = ("authfile", "cert_dir", "creds", "pause", "retries", "tls_verify")

    def __init__(
        self,
        *,
        tls_verify: bool | None = None,
        creds: str = "",
        authfile: str = "",
        cert_dir: str = "",
        retry: int | None = None,
        retry_delay: float | None = None,
    ) -> None:
        self.tls_verify = tls_verify
        self.creds = creds
        self.authfile = authfile
        self.cert_dir = cert_dir
        self.retries = RETRIES if retry is None else max(1, retry + 1)
        self.pause = retry_delay

    def wait(self, attempt: int) -> None:
        """The pause before try number `attempt` (from 1): --retry-delay, else growing and never twice the same."""
        time.sleep(self.pause if self.pause is not None else min(8.0, 0.2 * 2**attempt) * (0.5 + os.urandom(1)[0] / 256))


class Connection:
    """Requests about one repository at one endpoint.

    name: what messages call the image; key: the registry and repository that credentials are stored for; verb: pull, push, ...
    """

    def __init__(self, endpoint: Endpoint, access: Access, *, name: str, key: tuple[str, str], verb: str = "pull") -> None:
        self.host, self.repository = endpoint.host, endpoint.repository
        self.mirror = endpoint.mirror
        self.access = access
        self.what = f"cannot {verb} {name}"
        self.label = f"image {name}"
        self.registry = key[0]
        self.insecure = endpoint.insecure if access.tls_verify is None else not access.tls_verify
        self.credentials = auth.find(*key, access.creds if not endpoint.mirror else "", access.authfile)
        self.given = bool(access.creds) and not endpoint.mirror  # --creds, rather than what is stored
        self.scopes = [f"repository:{self.repository}:{'pull,push' if verb == 'push' else 'pull'}"] if self.repository else []
        self.scheme = "https"
        self.token = ""
        self.basic = False
        self._cert_dir = access.cert_dir
        self._guard = _thread.allocate_lock()
        self._session: Any = None
        self.asker = questions.Asker(lambda: self._context(quick=True))

    def _context(self, *, quick: bool = False) -> Any:
        from pyman.image import certs  # ssl: 8 ms

        return certs.context(self.host, self._cert_dir, not self.insecure, quick=quick)

    @property
    def session(self) -> Any:
        """oras's session, made when it is needed first."""
        with self._guard:
            if self._session is None:
                self._session = oras_session.make(self.host, self.insecure, self._context(), self._redirected)
            return self._session

    @property
    def has_session(self) -> bool:
        """Whether something has needed oras already."""
        return self._session is not None

    def close(self) -> None:
        """Close the connections."""
        self.asker.close()
        if self._session is not None:
            self._session.close()

    def need(self, scope: str) -> None:
        """Ask for a token with a further scope from now on."""
        if scope not in self.scopes:
            self.scopes.append(scope)
            self.token = ""

    def _url(self, path: str) -> str:
        if path.startswith(("https://", "http://")):
            return path
        if path.startswith("/"):
            return f"{self.scheme}://{self.host}{path}"
        return f"{self.scheme}://{self.host}/v2/{self.repository}/{path}"

    def follow(self, location: str) -> str:
        """The address that a Location header means; never out of TLS. RegistryError."""
        from urllib.parse import urljoin, urlsplit

        try:
            url = urljoin(self._url("/"), location)
            scheme = urlsplit(url).scheme
        except ValueError:
            url = scheme = ""
        if scheme not in ("http", "https") or (self.scheme == "https" and scheme == "http"):
            raise RegistryError(self.what, f"{self.host} sends the upload to {location[:200]!r}, which is no https address")
        return url

    def _once(self, method: str, path: str, headers: dict[str, str], data: Any, stream: bool, small: int) -> Any:
        """One request, authenticated if the registry asks for it; http only for registries declared insecure."""
        headers = {"User-Agent": "pyman", **headers}
        for attempt in (0, 1):
            shown = self.basic  # another thread may be the first to be asked for the password
            response, url = self._send(method, path, headers, data, stream, small)
            if response.status_code != 401 or attempt or not self._is_own(url):
                return response
            response.close()
            tokens.answer(self, response.headers.get("Www-Authenticate") or "", shown)
        raise AssertionError("unreachable")

    def _send(self, method: str, path: str, headers: dict[str, str], data: Any, stream: bool, small: int) -> tuple[Any, str]:
        """(the response, the address that was asked). Unreachable."""
        if small or method == "HEAD":
            answered = self._ask(method, path, headers, small)
            if answered:
                return answered
        session = self.session
        failures = oras_session.failures()
        while True:
            scheme, url = self.scheme, self._url(path)
            try:
                response = session.request(
                    method,
                    url,
                    headers={**headers, **(tokens.header(self) if self._is_own(url) else {})},
                    data=data,
                    stream=True,
                    timeout=tokens.TIMEOUT,
                    verify=not self.insecure,
                    allow_redirects=method in ("GET", "HEAD"),
                )
                if not stream:
                    oras_session.settle(response)
                return response, url
            except (failures.SSLError, failures.ConnectionError) as err:
                if self.insecure and scheme == "https" and not path.startswith("http"):
                    self.scheme = "http"  # perhaps another thread has found that out already
                    continue
                raise answers.unreachable(self.host, self.what, err) from err
            except (failures.RequestException, ValueError) as err:  # ValueError: a redirect to what is no URL
                raise answers.unreachable(self.host, self.what, err) from err

    def _ask(self, method: str, path: str, headers: dict[str, str], small: int) -> tuple[Any, str] | None:
        """As _send, by a plain connection; None if oras is to ask. Unreachable: no answer came in time."""
        while self._session is None:
            scheme, url = self.scheme, self._url(path)
            sent = {"Accept": "*/*", **headers, **(tokens.header(self) if self._is_own(url) else {})}
            try:
                return self.asker.ask(method, url, sent, small), url
            except TimeoutError as err:
                raise answers.unreachable(self.host, self.what, err) from err
            except OSError:
                if not (self.insecure and scheme == "https" and not path.startswith("http")):
                    return None
                self.scheme = "http"
            except questions.NotPlain:
                return None
        return None

    def _is_own(self, url: str) -> bool:
        """Whether a URL is the registry's own: scheme, host and port."""
        return url.startswith(f"{self.scheme}://{self.host}/")

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

    def request(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        *,
        data: Any = None,
        stream: bool = False,
        again: bool = True,
        small: int = 0,
    ) -> Any:
        """The response, with retries for what may pass (broken connections, 429, 5xx) unless `again` is false. RegistryError.

        path: below the repository, or from the host's root with a slash, or a whole URL; small: the bytes that the caller will read
        at most, where that is little.
        """
        failure: PymanError | None = None
        tries = self.access.retries if again else 1
        wait = waiting.Wait(self.host, 0, tries)
        for attempt in range(tries):
            if failure:
                wait.again(failure.why)
                self.access.wait(attempt)
                wait = waiting.Wait(self.host, attempt, tries)
            try:
                with wait:
                    response = self._once(method, path, headers or {}, waiting.Body(data, wait) if data else data, stream, small)
            except Unreachable as err:
                failure = err
                if err.passing:
                    continue
                raise
            if response.status_code in _PASSING and again:
                response.close()
                failure = Unreachable(
                    self.what,
                    f"{self.host} answers {response.status_code}" + (" (too many requests)" if response.status_code == 429 else ""),
                    "try again later",
                )
                continue
            return response
        assert failure is not None
        raise failure

    def get(self, path: str, headers: dict[str, str] | None = None, *, what: str = "", small: int = 0) -> Any:
        """A streamed GET that has succeeded. NoSuchImage for 404, RegistryError."""
        response = self.request("GET", path, headers, stream=True, small=small)
        self.check(response, what or path)
        return response

    def pieces(self, response: Any) -> Iterator[bytes]:
        """The body as it arrives. Broken."""
        if isinstance(response, questions.Answer):
            yield response.data
            return
        take, wait = oras_session.reader(response), waiting.Wait(self.host)
        try:
            with wait:
                while data := take():
                    wait.heard(False)  # who takes it may take long
                    yield data
                    wait.heard()
        except (oras_session.failures().RequestException, oras_session.broken(), OSError) as err:
            raise Broken(answers.cause(err), wait) from err

    def read(self, response: Any, limit: int) -> bytes:
        """A whole small body. ImageError if it is larger than `limit`, RegistryError if the connection breaks."""
        data, end = b"", time.monotonic() + _LONGEST
        try:
            for piece in self.pieces(response):
                data += piece
                if time.monotonic() > end:
                    raise RegistryError(self.what, f"{self.host} has sent {len(data)} bytes of a small document in {_LONGEST} seconds")
                if len(data) > limit:
                    raise ImageError(f"refused {self.label}", f"{self.host} sent more than {limit} bytes for a small document")
        except Broken as err:
            raise Unreachable(self.what, f"the connection to {self.host} broke: {err}", "run the command again") from err
        finally:
            response.close()
        return data

    def check(self, response: Any, path: str) -> None:
        """Nothing for a success, else what it means. NoSuchImage, RegistryError."""
        if response.status_code not in (200, 201, 202, 204, 206):
            said = answers.said(response)
            response.close()
            raise answers.refusal(self, response.status_code, path, said)
