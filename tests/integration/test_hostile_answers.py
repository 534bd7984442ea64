"""Answers without an end: a registry that speaks HTTP badly costs neither memory nor patience."""

from __future__ import annotations

import gzip
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.proxy import Listening
from tests.integration.test_hostile_registry import CONFIG, LAYER, MANIFEST, Server, digest, manifest

MOST = 256 << 20  # bytes after which a server gives up: the client has not
HERE = b"HTTP/1.1 200 OK\r\n"
FOUND = b"HTTP/1.1 302 Found\r\nLocation: /v2/\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
A = b"a" * 65536
CHUNK = b"10000\r\n" + A + b"\r\n"
Say = Callable[[str, str], "tuple[bytes, bytes] | None"]


def packed(size: int) -> bytes:
    return gzip.compress(bytes(size), 1)


class Raw(Listening):
    """A server that writes what `say(path, authorization)` returns: a beginning, and what follows it for ever. `sent`: the most bytes of one answer."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.sent = 0
        super().__init__()

    def _answer(self, line: socket.socket) -> None:
        with line:
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    data = line.recv(65536)
                    if not data or data.startswith(b"\x16"):  # TLS
                        return
                    head += data
                text = head.decode("latin-1")
                given = text.partition("Authorization: ")[2].partition("\r\n")[0]
                begin, more = self.say(text.split(" ")[1], given) or (self.good(text.split(" ")[1]), b"")
                line.sendall(begin)
                sent = 0
                while more and not text.startswith("HEAD") and sent < MOST:
                    line.sendall(more)
                    sent += len(more)
                    self.sent = max(self.sent, sent)
            except OSError:
                pass

    def good(self, path: str) -> bytes:
        """The answer of a good registry."""
        status, headers, data = Server.default(self, path)  # type: ignore[arg-type]
        lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(data)}", "Connection: close", *(f"{k}: {v}" for k, v in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + data


@pytest.fixture
def raw() -> Iterator[Callable[[Say], Raw]]:
    made: list[Raw] = []

    def make(say: Say) -> Raw:
        made.append(Raw(say))
        return made[-1]

    yield make
    for server in made:
        server.listener.close()


def at(part: str, begin: bytes, more: bytes = b"") -> Say:
    return lambda path, _given: (begin, more) if part in path else None


def refused(pyman: Run, base: Path, server: Raw, *options: str) -> str:
    """The error of a pull that fails soon and leaves nothing."""
    args = ("--tls-verify=false", "--creds", "me:s3cr3t", "--retry", "1", "--retry-delay", "10ms", *options)
    before = pyman("images", "-aq").stdout
    done = pyman("pull", "-q", *args, f"{server.address}/evil", rc=125)
    assert "Traceback" not in done.stderr and "s3cr3t" not in done.stderr
    assert pyman("images", "-aq").stdout == before and not os.listdir(base / "home/.local/share/pyman/tmp")
    assert server.sent < MOST / 2
    return done.stderr


ENDLESS: dict[str, Say] = {
    "redirect": at("/blobs/", FOUND + b"\r\n", A),
    "chunked redirect": at("/manifests/", FOUND + CHUNKED, CHUNK),
    "header": at("/manifests/", HERE + b"X: ", A),
    "headers": at("/manifests/", HERE, b"X-A: b\r\n" * 1000),
    "interim answers": at("/manifests/", b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "interim answers for a layer": at(digest(LAYER), b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000),
    "trailers": at("/manifests/", HERE + CHUNKED + b"2\r\n{}\r\n0\r\n", b"X-A: b\r\n" * 1000),
    "extension of a chunk": at("/manifests/", HERE + CHUNKED + b"1;", A),
    "manifest": at("/manifests/", HERE + CHUNKED, CHUNK),
    "configuration": at(digest(CONFIG), HERE + b"\r\n", A),
    "layer": at(digest(LAYER), HERE + CHUNKED, CHUNK),
    "refusal": at("/manifests/", b"HTTP/1.1 403 No\r\n" + CHUNKED, CHUNK),
    "failure": at("/manifests/", b"HTTP/1.1 500 No\r\n\r\n", A),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_an_answer_without_an_end(pyman: Run, base: Path, raw: Callable[[Say], Raw], name: str) -> None:
    assert "Error: " in refused(pyman, base, raw(ENDLESS[name]))


@pytest.mark.parametrize("answer", [HERE + CHUNKED, HERE + b"\r\n", b"HTTP/1.1 302 No\r\nLocation: /token2\r\n" + CHUNKED])
def test_a_token_without_an_end(pyman: Run, base: Path, raw: Callable[[Say], Raw], answer: bytes) -> None:
    def say(path: str, given: str) -> tuple[bytes, bytes] | None:
        if path.startswith("/token"):
            return answer, CHUNK if CHUNKED in answer else A
        realm = f'Bearer realm="http://{server.address}/token"'
        return f"HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\nWww-Authenticate: {realm}\r\n\r\n".encode(), b""

    server = raw(say)
    assert "token" in refused(pyman, base, server)


def test_compressed_answers_are_not_unpacked_without_bounds(pyman: Run, base: Path, raw: Callable[[Say], Raw]) -> None:
    bomb = packed(MOST)
    for status in ("200 OK", "403 No", "302 Found"):
        head = f"HTTP/1.1 {status}\r\nLocation: /v2/\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\nConnection: close\r\n\r\n"
        for part in ("/manifests/", digest(LAYER)):
            refused(pyman, base, raw(at(part, head.encode() + bomb)))


def test_tags_without_an_end(pyman: Run, base: Path, raw: Callable[[Say], Raw]) -> None:
    pages = [0]

    def say(path: str, _given: str) -> tuple[bytes, bytes] | None:
        if "/tags/list" not in path:
            return None
        pages[0] += 1
        body = '{"tags": [' + ",".join(f'"t{pages[0]}-{number}"' for number in range(20_000)) + "]}"
        head = f'HTTP/1.1 200 OK\r\nLink: </v2/evil/tags/list?x>; rel="next"\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n'
        return (head + body).encode(), b""

    assert "more than 100000" in refused(pyman, base, raw(say), "-a") and pages[0] < 10


def test_ranges_and_digests_that_lie(pyman: Run, base: Path, raw: Callable[[Say], Raw]) -> None:
    cut = f"HTTP/1.1 200 OK\r\nContent-Length: {len(LAYER)}\r\nConnection: close\r\n\r\n".encode() + LAYER[:512]
    part = b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-99/100\r\nContent-Length: 100\r\nConnection: close\r\n\r\n" + bytes(100)
    for answer in (cut, part, b"HTTP/1.1 416 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"):
        refused(pyman, base, raw(at(digest(LAYER), answer)))
    lie = f"HTTP/1.1 200 OK\r\nContent-Type: {MANIFEST}\r\nContent-Length: 2\r\nConnection: close\r\n"
    refused(pyman, base, raw(at("/manifests/", f"{lie}Docker-Content-Digest: {digest(str(manifest()).encode())}\r\n\r\n{{}}".encode())))
