"""Small questions to a registry without the weight of an HTTP library: the front half of the door. CLI process, slow path.

To import oras takes longer than all the rest of a pull that finds nothing new. So what is asked first, and is most often all that is
asked (HEAD; GET of a manifest, a configuration, a token), goes over a plain connection here. Whatever is not plain is left to oras:
proxies, redirects, errors, odd answers, everything large. Who may see credentials is decided in tokens.py for both.
"""

from __future__ import annotations

import os
import time

from pyman.digits import is_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from ssl import SSLContext
    from typing import Any

_HEAD = 1 << 16  # bytes of an answer's head
_BODY = 1 << 20  # bytes of its body at most, whatever the caller allows
_CONNECT, _READ, _LONGEST = 10, 60, 300  # seconds: to connect, between two packets, for the whole answer
_PLAIN = (200, 401, 403, 404, 429, 500, 502, 503, 504)
_NOT_PLAIN = ("http_proxy", "https_proxy", "all_proxy", "requests_ca_bundle", "curl_ca_bundle")  # variables whose meaning oras knows


class NotPlain(Exception):
    """The question is not for here."""


class Headers(dict[str, str]):
    """Names without regard to case; the values of one that is there several times are joined."""

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a header."""
        return super().get(name.lower(), default)


class Answer:
    """What came back, with the part of requests' interface that callers use."""

    __slots__ = ("data", "headers", "status_code")

    def __init__(self, status_code: int, headers: Headers, data: bytes) -> None:
        self.status_code = status_code
        self.headers = headers
        self.data = data

    def iter_content(self, _size: int) -> Iterator[bytes]:
        """The body."""
        if self.data:
            yield self.data

    def json(self) -> Any:
        """The body as JSON. ValueError."""
        import json

        return json.loads(self.data)

    def close(self) -> None:
        """It is complete already."""


class Asker:
    """Connections that stay open between questions. Threads may share it."""

    def __init__(self, context: Callable[[], SSLContext]) -> None:
        """context: makes the TLS settings, which are needed for https alone."""
        self._context = context
        self._made: SSLContext | None = None
        self._idle: dict[str, list[Any]] = {}
        self._usable = not any(os.environ.get(form) for name in _NOT_PLAIN for form in (name, name.upper()))

    def close(self) -> None:
        """Close the connections."""
        for lines in self._idle.values():
            for line in lines:
                line.close()
        self._idle = {}

    def ask(self, method: str, url: str, headers: dict[str, str], limit: int) -> Answer:
        """HEAD or GET with a body of at most `limit` bytes. NotPlain; OSError where no answer came."""
        scheme, _, rest = url.partition("://")
        place, slash, path = rest.partition("/")
        lines = [f"{method} /{path} HTTP/1.1", f"Host: {place}", "Accept-Encoding: identity"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if not self._usable or not slash or "@" in place or " " in rest or not all(line.isascii() and line.isprintable() for line in lines):
            raise NotPlain
        data = "\r\n".join([*lines, "", ""]).encode()
        waiting = self._idle.setdefault(f"{scheme}://{place}", [])
        while True:
            try:
                line, fresh = waiting.pop(), False
            except IndexError:
                line, fresh = self._connect(scheme, place), True
            try:
                line.sendall(data)
                answer, again = _receive(line, method, min(limit, _BODY))
            except OSError as err:
                line.close()
                if fresh or isinstance(err, TimeoutError):
                    raise
                continue  # the registry had closed it meanwhile
            except BaseException:
                line.close()
                raise
            if again:
                waiting.append(line)
            else:
                line.close()
            return answer

    def _connect(self, scheme: str, place: str) -> Any:
        import socket  # 3 ms, ssl 5 ms more

        host, colon, port = place.rpartition(":")
        if not colon or port.endswith("]"):
            host, port = place, "443" if scheme == "https" else "80"
        if not is_whole(port) or not host:
            raise NotPlain
        name = host.strip("[]").encode()  # text would be encoded by a codec that takes 2 ms to import
        line = socket.create_connection((name, int(port)), _CONNECT)  # type: ignore[arg-type]
        try:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if scheme == "https":
                if self._made is None:
                    self._made = self._context()
                line = self._made.wrap_socket(line, server_hostname=name)
            line.settimeout(_READ)
        except BaseException:
            line.close()
            raise
        return line


def _receive(line: Any, method: str, limit: int) -> tuple[Answer, bool]:
    """(the answer, whether the connection can be used again)."""
    data, until = b"", time.monotonic() + _LONGEST
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _more(line, until)
        if len(data) > _HEAD:
            raise NotPlain
    status, headers = _head(data[:end])
    rest = data[end + 4 :]
    if status not in _PLAIN or headers.get("Content-Encoding", "identity") != "identity":
        raise NotPlain
    again = headers.get("Connection", "").lower() != "close"
    if method == "HEAD":
        return Answer(status, headers, b""), again and not rest
    if "transfer-encoding" not in headers:
        length = headers.get("Content-Length", "")
        if not is_whole(length, 12) or int(length) > limit:
            raise NotPlain
        while len(rest) < int(length):
            rest += _more(line, until)
        return Answer(status, headers, rest[: int(length)]), again and len(rest) == int(length)
    if headers["transfer-encoding"].lower() != "chunked":
        raise NotPlain
    body, rest = _chunks(line, rest, limit, until)
    return Answer(status, headers, body), again and not rest


def _more(line: Any, until: float) -> bytes:
    if time.monotonic() > until:
        raise TimeoutError(f"the answer is not complete after {_LONGEST} seconds")
    data: bytes = line.recv(_HEAD)
    if not data:
        raise ConnectionError("the registry closed the connection")
    return data


def _head(data: bytes) -> tuple[int, Headers]:
    first, *rest = data.decode("latin-1").split("\r\n")
    version, _, status = first.partition(" ")
    if version != "HTTP/1.1" or not is_whole(status[:3]):
        raise NotPlain
    headers = Headers()
    for text in rest:
        name, colon, value = text.partition(":")
        if not colon or not name or name != name.strip() or "\n" in text or "\r" in text:
            raise NotPlain  # a continued line, or none at all
        name, value = name.lower(), value.strip()
        if name in headers and name in ("content-length", "transfer-encoding", "location"):
            raise NotPlain
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    if "content-length" in headers and "transfer-encoding" in headers:
        raise NotPlain
    return int(status[:3]), headers


def _chunks(line: Any, data: bytes, limit: int, until: float) -> tuple[bytes, bytes]:
    """(a body in chunks, what follows it)."""
    body = b""
    while True:
        while (end := data.find(b"\r\n")) < 0:
            if len(data) > 1024:
                raise NotPlain
            data += _more(line, until)
        text = data[:end].partition(b";")[0].strip()
        try:
            size = int(text, 16) if text.isalnum() and len(text) < 9 else -1
        except ValueError:
            size = -1
        if size < 0 or len(body) + size > limit:
            raise NotPlain
        data = data[end + 2 :]
        while len(data) < size + 2:
            data += _more(line, until)
        if data[size : size + 2] != b"\r\n":
            raise NotPlain  # with a trailer behind the last chunk, for instance
        body, data = body + data[:size], data[size + 2 :]
        if not size:
            return body, data
