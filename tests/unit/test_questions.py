"""The plain connection that small questions go over: what is read of an answer, whatever a registry sends."""

from __future__ import annotations

import socket
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyman.image import answers, questions

OK = b"HTTP/1.1 200 OK\r\n"


def receive(data: bytes, method: str = "GET", limit: int = 1000) -> tuple[questions.Answer, bool]:
    """What an answer of these bytes is read as."""
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def send() -> None:
            try:
                theirs.sendall(data)
            except OSError:
                pass  # the reader has seen enough
            theirs.close()

        sender = threading.Thread(target=send)
        sender.start()
        try:
            return questions._receive(ours, method, limit)
        finally:
            ours.close()
            sender.join()


@pytest.mark.parametrize(
    ("data", "method", "body", "again"),
    [
        (OK + b"Content-Length: 2\r\n\r\nok", "GET", b"ok", True),
        (OK + b"Content-Length: 2\r\n\r\nokay", "GET", b"ok", False),
        (OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nok", "GET", b"ok", False),
        (OK + b"Content-Length: 99\r\n\r\n", "HEAD", b"", True),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "GET", b"", True),
        (OK + b"transfer-encoding: Chunked\r\n\r\n2\r\nok\r\n3;x=y\r\nay!\r\n0\r\n\r\n", "GET", b"okay!", True),
    ],
)
def test_plain_answers(data: bytes, method: str, body: bytes, again: bool) -> None:
    answer, reusable = receive(data, method)
    assert b"".join(answer.iter_content(1)) == body and reusable == again


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 307 Go\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok",
        OK + b"\r\nuntil the end",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        OK + b"Content-Length: -2\r\n\r\nok",
        OK + b"Content-Length: \xb2\r\n\r\nok",
        b"HTTP/1.1 2\xb20 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001,
        OK + b"Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\nok",
        OK + b"X: y\r\n continued\r\nContent-Length: 2\r\n\r\nok",
        OK + b"X" * (1 << 17),
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"fff\r\n" + b"x" * 0xFFF + b"\r\n0\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
)
def test_what_is_not_plain_is_left_to_oras(data: bytes) -> None:
    with pytest.raises(questions.NotPlain):
        receive(data)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from([OK, b"\r\n", b"Content-Length: ", b"7", b"Transfer-Encoding: chunked", b"a", b"\0", b":", b";", b"\xff"]),
        max_size=30,
    )
)
def test_any_bytes(parts: list[bytes]) -> None:
    try:
        answer, _ = receive(OK + b"".join(parts))
    except (questions.NotPlain, OSError):
        return
    assert len(answer.data) <= 1000


@pytest.mark.parametrize(
    "url", ["http://h", "http://u@h/x", "http://h/a b", "http://h/\r\nX: y", "http://h:port/x", "http:///x", "http://[::1/x", "http://ü/x"]
)
def test_odd_addresses_are_left_to_oras(url: str) -> None:
    with pytest.raises((questions.NotPlain, OSError)):
        questions.Asker(lambda: pytest.fail("no TLS")).ask("GET", url, {}, 10)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('Bearer realm="https://a/t",service="s"', {"realm": "https://a/t", "service": "s"}),
        ('bearer  Realm = "a\\"b, c" , scope=x y', {"realm": 'a"b, c', "scope": "x y"}),
        ('Bearer realm="a", Basic realm="b"', {"realm": "a"}),
        ('Bearer realm="a",realm="b"', {"realm": "a"}),
        ('Bearer realm="never ends', {"realm": "never ends"}),
        ("Bearer", {}),
        ("Bearer a b=c", {}),
    ],
)
def test_challenges(text: str, found: dict[str, str]) -> None:
    assert answers.challenge(text) == found


@given(st.text(max_size=60))
def test_any_challenge(text: str) -> None:
    assert all(name == name.lower().strip() and name for name in answers.challenge("Bearer " + text))
