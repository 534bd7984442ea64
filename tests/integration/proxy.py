"""A proxy of the tests in front of a registry: it notes requests, breaks connections, redirects, asks for tokens, adds pauses."""

from __future__ import annotations

import base64
import http.client
import http.server
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

Request = tuple[str, str, str, int]  # method, path, Authorization, bytes of the body


class Listening:
    """A port of this machine: `_answer` has each connection to it in a thread of its own, until `listener` is closed."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(line,), daemon=True).start()

    def _answer(self, line: socket.socket) -> None:
        raise NotImplementedError


class Proxy:
    """`requests`: what came. Faults are set as attributes and happen as often as they say."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.requests: list[Request] = []
        self.break_after: dict[str, int] = {}  # method -> bytes of a body after which the connection is cut, once
        self.lose_answer: dict[str, int] = {}  # method -> times that a request arrives and its answer does not
        self.fail: dict[str, list[int]] = {}  # method -> statuses to answer with, before requests get through
        self.redirect = 0  # times that an upload is sent to the same path with ?redirected=1 by a 307
        self.token_for: Callable[[str], str] | None = None  # query of a token request -> token, or nothing
        self.allowed: Callable[[str, str, str], bool] = lambda _token, _method, _path: True
        self.basic: threading.Barrier | None = None  # user and password are wanted; those without are told so together
        self.pause = 0.0  # seconds before each answer
        self.cut_blobs = 0  # times that a blob's answer is cut in the middle
        self.answers: list[tuple[str, int, int]] = []  # path, status, bytes of the body of each answer to a GET
        self.ranges = -1  # the most ranges of one request that are heeded; 0: the whole blob is sent
        self.blobs_elsewhere = ""  # host:port that blobs are redirected to
        self.guard = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def handle_any(self) -> None:
                outer.handle(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()

    def count(self, method: str, part: str = "") -> int:
        """How many requests there were."""
        return sum(1 for request in self.requests if request[0] == method and part in request[1])

    def sent(self) -> int:
        """Bytes of all uploads."""
        return sum(request[3] for request in self.requests if request[0] in ("PATCH", "PUT") and "/blobs/" in request[1])

    def _once(self, table: dict[str, int], method: str) -> int:
        with self.guard:
            return table.pop(method, 0)

    def handle(self, handler: Any) -> None:
        """Answer one request."""
        method, path = handler.command, handler.path
        size = int(handler.headers.get("Content-Length") or 0)
        cut = self._once(self.break_after, method) if size else 0
        body = handler.rfile.read(min(size, cut) if cut else size)
        given = handler.headers.get("Authorization") or ""
        self.requests.append((method, path, given, len(body)))
        time.sleep(self.pause)
        if path.startswith("/token"):
            self._token(handler, path, given)
            return
        if self.basic and given != "Basic " + base64.b64encode(b"me:pass").decode():
            try:
                self.basic.wait()
            except threading.BrokenBarrierError:
                pass  # one was alone
            self._answer(handler, 401, {"Www-Authenticate": 'Basic realm="proxy"'}, b"")
            return
        if self.token_for and not self.allowed(given.removeprefix("Bearer "), method, path):
            realm = f'Bearer realm="http://{self.address}/token",service="proxy"'
            self._answer(handler, 401, {"Www-Authenticate": realm}, b"")
            return
        with self.guard:
            status = self.fail.get(method, []).pop(0) if self.fail.get(method) else 0
            redirect = self.redirect > 0 and method in ("POST", "PATCH", "PUT") and "/uploads/" in path
            self.redirect -= redirect
        if status:
            self._answer(handler, status, {}, b"")
            return
        if self.blobs_elsewhere and method == "GET" and "/blobs/sha256:" in path:
            self._answer(handler, 307, {"Location": f"http://{self.blobs_elsewhere}{path}"}, b"")
            return
        if redirect:
            mark = ("&" if "?" in path else "?") + "redirected=1"
            self._answer(handler, 307, {"Location": path + mark}, b"")
            return
        headers = {key: value for key, value in handler.headers.items() if key.lower() not in ("authorization", "connection")}
        if self.ranges >= 0 and "Range" in headers:
            headers["Range"] = ",".join(headers["Range"].split(",")[: self.ranges])
            if not self.ranges:
                del headers["Range"]
        upstream = http.client.HTTPConnection(self.upstream)
        try:
            if cut and size > cut:  # the registry gets what arrived, as from a client whose line went dead
                upstream.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
                for key, value in headers.items():
                    upstream.putheader(key, value)
                upstream.endheaders()
                upstream.send(body)
                upstream.close()
                handler.close_connection = True
                handler.connection.close()
                return
            upstream.request(method, path, body or None, headers)
            answer = upstream.getresponse()
            data = answer.read()
            if self._once(self.lose_answer, method):
                handler.close_connection = True
                handler.connection.close()
                return
            kept = {
                key: value for key, value in answer.getheaders() if key.lower() not in ("connection", "transfer-encoding", "content-length")
            }
            length = answer.getheader("Content-Length") if method == "HEAD" else str(len(data))
            with self.guard:
                cut_here = self.cut_blobs > 0 and method == "GET" and "/blobs/" in path and len(data) > 1 << 15
                self.cut_blobs -= cut_here
            if cut_here:
                data = data[: len(data) // 2]
                handler.close_connection = True
            if method == "GET":
                self.answers.append((path, answer.status, len(data)))
            self._answer(handler, answer.status, {**kept, "Content-Length": length or "0"}, data)
        finally:
            upstream.close()

    def _token(self, handler: Any, path: str, given: str) -> None:
        good = given == "Basic " + base64.b64encode(b"me:pass").decode()
        token = self.token_for(path) if good and self.token_for else ""
        self._answer(handler, 200 if token else 401, {}, b'{"token": "%s"}' % token.encode())

    def _answer(self, handler: Any, status: int, headers: dict[str, str], data: bytes) -> None:
        try:
            handler.send_response(status)
            for key, value in headers.items():
                handler.send_header(key, value)
            if "Content-Length" not in headers and "content-length" not in {key.lower() for key in headers}:
                handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            if handler.command != "HEAD":
                handler.wfile.write(data)
        except OSError:
            handler.close_connection = True
