"""The door of oras and requests: a session as oras makes it, with our rules. Slow path: to import them takes a tenth of a second."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_PIECE = 1 << 18  # bytes read at a time, if so many have come
_CHUNK = 1 << 14  # the same where they are waited for: what at most is lost when a connection breaks
_LINES = 400  # in a row, of heads and trailers; http.client allows a head of 100


def make(host: str, insecure: bool, context: Any, redirected: Callable[[Any, Any], None]) -> Any:
    """A session for a registry. context: its TLS settings; redirected: called with request and response before a redirect is followed."""
    session = _import_oras().Registry(hostname=host, insecure=False, tls_verify=not insecure).session
    _bound_heads()
    session.trust_env = True  # the proxy variables
    session.max_redirects = 5
    session.headers["Accept-Encoding"] = "identity"  # what is transferred is what has the digest
    leads_to = session.get_redirect_target

    def target(response: Any) -> Any:
        url = leads_to(response)
        if url is not None:
            settle(response)  # requests would read all of it before it goes on
        return url

    session.get_redirect_target = target
    session.mount("https://", _adapter(context))
    # Credentials are those of auth.json: requests would take others from ~/.netrc, for the registry and for wherever it redirects to.
    session.auth = lambda request: request
    session.rebuild_auth = redirected
    return session


def settle(response: Any, most: int = 1 << 16) -> None:
    """Read the body of a streamed answer, up to `most` bytes and for a minute; a longer one is cut off."""
    data, end = b"", time.monotonic() + 60
    read = getattr(response.raw, "read1", response.raw.read)  # urllib3 2.1 has it: what has come
    try:
        while piece := read(most, decode_content=False):
            data += piece
            if len(data) >= most or time.monotonic() > end:
                response.close()
                break
    except Exception:  # whatever is wrong with it, status and headers are what matters
        response.close()
    # As requests keeps what it has read: content, json() and iter_content() go on with it.
    response._content = data
    response._content_consumed = True


def reader(response: Any) -> Callable[[], bytes]:
    """What returns the next bytes of a streamed answer, none at its end."""
    raw = response.raw
    if hasattr(raw, "read1"):  # urllib3 2.1; what has come, at once: half of the work of a download
        return lambda: bytes(raw.read1(_PIECE, decode_content=True))
    pieces = response.iter_content(_CHUNK)
    return lambda: next(pieces, b"")


def failures() -> Any:
    """requests.exceptions; once there is a session it can be found."""
    import requests.exceptions

    return requests.exceptions


def broken() -> Any:
    """What urllib3 raises while a body is read without requests between."""
    import urllib3.exceptions

    return urllib3.exceptions.HTTPError


def _import_oras() -> Any:
    import importlib
    import sys
    import types

    def loaded(name: str) -> Any:
        del sys.modules["jsonschema"]
        return getattr(importlib.import_module("jsonschema"), name)

    # oras checks with it what it writes itself, which is not done here: 40 of 130 ms. It is loaded when something of it is asked for.
    stand_in = types.ModuleType("jsonschema")
    stand_in.__getattr__ = loaded  # type: ignore[method-assign]
    sys.modules.setdefault("jsonschema", stand_in)
    try:
        import oras.provider
    except ImportError:
        import site  # the launcher starts without site-packages

        site.main()
        import oras.provider
    return oras.provider


def _bound_heads() -> None:
    """An answer's head, or what follows its last chunk, ends: http.client reads interim answers (100) and trailers without end."""
    import http.client
    import io

    import urllib3.connection

    class Lines(io.BufferedReader):
        row = 0

        def readline(self, size: Any = -1, /) -> bytes:
            self.row += 1
            if self.row > _LINES:
                raise http.client.HTTPException("the head of its answer has no end")
            return super().readline(size)

        def read(self, size: Any = -1, /) -> bytes:
            self.row = 0
            return super().read(size)

        def read1(self, size: Any = -1, /) -> bytes:
            self.row = 0
            return super().read1(size)

        def readinto(self, buffer: Any, /) -> int:
            self.row = 0
            return super().readinto(buffer)

    class Bounded(http.client.HTTPResponse):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.fp: Any = Lines(self.fp.detach())

    urllib3.connection.HTTPConnection.response_class = Bounded  # of https too, which inherits it


def _adapter(context: Any) -> Any:
    """A requests adapter whose connections have these TLS settings."""
    import requests.adapters

    class Adapter(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> Any:
            return super().init_poolmanager(*args, ssl_context=context, **kwargs)

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            return super().proxy_manager_for(*args, ssl_context=context, **kwargs)

    return Adapter(pool_maxsize=16)
