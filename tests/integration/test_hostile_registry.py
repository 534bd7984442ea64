"""A registry of an attacker: what it may answer, where it sends the client, and who gets to see credentials."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.server
import json
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run, environment
from tests.integration.test_unpack_hostile import tar

SECRET = "s3cr3t-password"
BASIC = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = tar([("f", "a", b"x")])


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(LAYER)]}}).encode()
BLOBS = {digest(LAYER): LAYER, digest(CONFIG): CONFIG}


def manifest(**changes: Any) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(CONFIG), "size": len(CONFIG)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(LAYER), "size": len(LAYER)}],
        **changes,
    }


Answer = tuple[int, dict[str, str], bytes]


class Server:
    """An HTTP server whose `answer(path, headers)` is up to the test; `requests` is what came."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.requests: list[tuple[str, str, str, str]] = []
        self.answer: Callable[[str, Any], Answer | None] = lambda _path, _headers: None
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                outer.requests.append((self.command, self.path, self.headers.get("Authorization") or "", body))
                status, headers, data = outer.answer(self.path, self.headers) or outer.default(self.path)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in headers:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_POST = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.address = f"127.0.0.1:{self.server.server_port}"

    def default(self, path: str) -> Answer:
        if "/manifests/" in path:
            return 200, {"Content-Type": MANIFEST}, json.dumps(manifest()).encode()
        data = BLOBS.get(path.rsplit("/", 1)[1])
        return (200, {}, data) if data is not None else (404, {}, b"")

    def said(self) -> str:
        return "\n".join(" ".join(request) for request in self.requests)


@pytest.fixture
def servers() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(context: ssl.SSLContext | None = None) -> Server:
        made.append(Server(context))
        return made[-1]

    yield make
    for server in made:
        server.server.shutdown()
        server.server.server_close()


@pytest.fixture
def tls(base: Path) -> ssl.SSLContext:
    cert, key = base / "evil-cert.pem", base / "evil-key.pem"
    if not cert.exists():
        argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2"]
        subprocess.run([*argv, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


@pytest.fixture
def pull(pyman: Run, base: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """pull(server, rc=..., options): the store afterwards has no unfinished work, and the error has no secret."""

    environment(base)  # makes the home directory

    def run(server: Server, *options: str, rc: int = 125, name: str = "evil:1", **env: str) -> subprocess.CompletedProcess[str]:
        pyman("rmi", "-af", rc=None)
        done = pyman("pull", "-q", "--retry", "0", *(options or ("--tls-verify=false",)), f"{server.address}/{name}", rc=rc, env=env)
        assert "Traceback" not in done.stderr and SECRET not in done.stdout + done.stderr
        unfinished = base / "home/.local/share/pyman/tmp"
        assert not unfinished.exists() or not os.listdir(unfinished)
        if rc:
            assert pyman("images", "-aq").stdout == ""
        return done

    return run


Pull = Callable[..., subprocess.CompletedProcess[str]]
Servers = Callable[..., Server]


def authfile(base: Path, server: Server, **entry: str) -> str:
    path = base / "evil-auth.json"
    path.write_text(json.dumps({"auths": {server.address: entry or {"auth": base64.b64encode(f"me:{SECRET}".encode()).decode()}}}))
    path.chmod(0o600)
    return f"--authfile={path}"


def test_the_server_itself_is_good(servers: Servers, pull: Pull) -> None:
    assert pull(servers(), rc=0).returncode == 0


DESCRIPTOR = manifest()["layers"][0]
DOCUMENTS: dict[str, Any] = {
    "path for a digest": manifest(config={**manifest()["config"], "digest": "sha256:../../../etc/passwd"}),
    "upper case digest": manifest(layers=[{**DESCRIPTOR, "digest": digest(LAYER).upper()}]),
    "digest with a newline": manifest(layers=[{**DESCRIPTOR, "digest": digest(LAYER) + "\n"}]),
    "digest with a query": manifest(layers=[{**DESCRIPTOR, "digest": digest(LAYER) + "?x=1"}]),
    "other algorithm": manifest(layers=[{**DESCRIPTOR, "digest": "md5:" + "0" * 32}]),
    "digest is a list": manifest(layers=[{**DESCRIPTOR, "digest": [digest(LAYER)]}]),
    "negative size": manifest(layers=[{**DESCRIPTOR, "size": -1}]),
    "huge size": manifest(layers=[{**DESCRIPTOR, "size": 1 << 70}]),
    "size is text": manifest(layers=[{**DESCRIPTOR, "size": "10"}]),
    "size is true": manifest(layers=[{**DESCRIPTOR, "size": True}]),
    "wrong size": manifest(layers=[{**DESCRIPTOR, "size": len(LAYER) + 1}]),
    "smaller size": manifest(layers=[{**DESCRIPTOR, "size": 10}]),
    "huge configuration": manifest(config={**manifest()["config"], "size": 1 << 40}),
    "more layers than the configuration": manifest(layers=[DESCRIPTOR, DESCRIPTOR]),
    "a thousand layers": manifest(layers=[DESCRIPTOR] * 1000),
    "layers is an object": manifest(layers={"0": DESCRIPTOR}),
    "config is a list": manifest(config=[]),
    "foreign layer": manifest(layers=[{**DESCRIPTOR, "digest": "sha256:" + "1" * 64, "urls": ["http://127.0.0.1:1/x"]}]),
    "index and manifest": manifest(manifests=[]),
    "calls itself an index": manifest(mediaType=INDEX),
    "schema 1": {"schemaVersion": 1, "fsLayers": []},
    "a number": 1,
    "a list": [],
    "null": None,
    "not JSON": b"{",
    "not UTF-8": b'{"\xff\xfe": 1}',
    "deep": b"[" * 100_000,
    "five megabytes": b" " * (5 << 20),
}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_documents(servers: Servers, pull: Pull, name: str) -> None:
    server = servers()
    value = DOCUMENTS[name]
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    server.answer = lambda path, _headers: (200, {"Content-Type": MANIFEST}, data) if "/manifests/" in path else None
    assert "Error: " in pull(server).stderr
    assert ".." not in server.said() and "?" not in server.said()


@pytest.mark.parametrize(
    "header, value",
    [
        (INDEX, manifest()),
        (MANIFEST, {"schemaVersion": 2, "manifests": []}),
        (MANIFEST, {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}),
    ],
)
def test_header_and_content_disagree(servers: Servers, pull: Pull, header: str, value: dict[str, Any]) -> None:
    server = servers()
    value = {key: item for key, item in value.items() if key != "mediaType" or item == INDEX}
    server.answer = lambda path, _headers: (200, {"Content-Type": header}, json.dumps(value).encode()) if "/manifests/" in path else None
    assert "refused" in pull(server).stderr


def test_an_index_of_indexes_ends(servers: Servers, pull: Pull) -> None:
    server = servers()

    def answer(path: str, _headers: Any) -> Answer | None:
        inner = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
        top = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"mediaType": INDEX, "digest": digest(inner), "size": len(inner)}]}
        return 200, {"Content-Type": INDEX}, inner if digest(inner) in path else json.dumps(top).encode()

    server.answer = answer
    assert "another index" in pull(server).stderr


def test_another_manifest_than_the_one_asked_for(servers: Servers, pull: Pull) -> None:
    server = servers()
    assert "digest" in pull(server, name="evil@sha256:" + "2" * 64).stderr


@pytest.mark.parametrize(
    "headers, data",
    [
        ({}, b"wrong"),
        ({"Content-Encoding": "gzip"}, b"not gzip"),
        ({"Content-Encoding": "gzip"}, gzip.compress(b"\0" * (64 << 20))),
        ({"Content-Length": "99999999999"}, CONFIG),
        ({}, b"x" * (9 << 20)),
    ],
    ids=["wrong", "encoding", "bomb", "length", "longer"],
)
def test_blobs(servers: Servers, pull: Pull, headers: dict[str, str], data: bytes) -> None:
    server = servers()

    def answer(path: str, _headers: Any) -> Answer | None:
        return (200, headers, data) if path.endswith(digest(CONFIG)) else None

    def close(path: str, request: Any) -> Answer | None:
        found = answer(path, request)
        return (found[0], {**found[1], "Connection": "close"}, found[2]) if found else None

    server.answer = close
    pull(server)


@pytest.mark.parametrize("part", ["manifests", "blobs"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_to_another_port_carries_no_credentials(servers: Servers, pull: Pull, base: Path, part: str, status: int) -> None:
    registry, other = servers(), servers()

    def answer(path: str, headers: Any) -> Answer | None:
        if not headers.get("Authorization"):
            return 401, {"Www-Authenticate": 'Basic realm="x"'}, b""
        return (status, {"Location": f"http://{other.address}{path}"}, b"") if f"/{part}/" in path else None

    registry.answer = answer
    (base / "home/.netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    try:
        pull(registry, "--tls-verify=false", authfile(base, registry), rc=0)
    finally:
        (base / "home/.netrc").unlink()
    assert BASIC in registry.said()
    assert other.requests and "Basic" not in other.said() and SECRET not in other.said()


def test_netrc_is_not_for_registries(servers: Servers, pull: Pull, base: Path) -> None:
    registry = servers()
    (base / "home/.netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    try:
        pull(registry, rc=0)
    finally:
        (base / "home/.netrc").unlink()
    assert "Basic" not in registry.said()


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "/v2/evil/manifests/1", "http://", "gopher://127.0.0.1/x", "http://[::1", "//", "\x00", "http://a" + "b" * 300],
)
def test_redirects_to_odd_places(servers: Servers, pull: Pull, location: str) -> None:
    registry = servers()
    registry.answer = lambda path, _headers: (302, {"Location": location}, b"") if "/manifests/" in path else None
    pull(registry)
    assert len(registry.requests) < 10


def challenge(text: str) -> Callable[[str, Any], Answer | None]:
    return lambda path, headers: None if headers.get("Authorization") == "Bearer good" else (401, {"Www-Authenticate": text}, b"")


@pytest.mark.parametrize(
    "realm",
    [
        "http://{registry}:x@{other}/token",
        "http://{registry}@{other}/token",
        "http://127.0.0.1.evil.invalid:1/token",
        "http://localhost:{port}/token",
        "ftp://{other}/token",
        "file:///etc/passwd",
        "//{other}/token",
        "{other}/token",
        "",
    ],
)
def test_tokens_from_another_host(servers: Servers, pull: Pull, base: Path, realm: str) -> None:
    """Without TLS credentials go to the very host that the user declared insecure."""
    registry, other = servers(), servers()
    other.answer = lambda _path, _headers: (200, {}, b'{"token": "good"}')
    host = registry.address.split(":")[0]
    text = realm.format(registry=host, other=other.address.replace("127.0.0.1", "localhost"), port=other.address.split(":")[1])
    registry.answer = challenge(f'Bearer realm="{text}",service="s"')
    pull(registry, "--tls-verify=false", authfile(base, registry))
    assert not other.requests and BASIC not in registry.said()


def test_a_foreign_token_server_must_have_a_good_certificate(servers: Servers, pull: Pull, base: Path, tls: ssl.SSLContext) -> None:
    """--tls-verify=false is about the registry, not about whom it sends the password to."""
    registry, other = servers(), servers(tls)
    other.answer = lambda _path, _headers: (200, {}, b'{"token": "good"}')
    registry.answer = challenge(f'Bearer realm="https://{other.address.replace("127.0.0.1", "localhost")}/token",service="s"')
    pull(registry, "--tls-verify=false", authfile(base, registry))
    assert not other.requests


def test_a_redirected_refresh_token_stays(servers: Servers, pull: Pull, base: Path) -> None:
    registry, other = servers(), servers()

    def answer(path: str, headers: Any) -> Answer | None:
        if path.startswith("/token"):
            return 307, {"Location": f"http://{other.address}/token"}, b""
        return 401, {"Www-Authenticate": f'Bearer realm="http://{registry.address}/token",service="s"'}, b""

    registry.answer = answer
    pull(registry, "--tls-verify=false", authfile(base, registry, identitytoken=SECRET))
    assert SECRET in registry.said() and not other.requests


@pytest.mark.parametrize("text", ["", "Bearer", "Bearer realm", 'Bearer realm="', "Negotiate x", "Basic", "x" * 10000, 'Bearer realm="\t"'])
def test_odd_challenges(servers: Servers, pull: Pull, text: str) -> None:
    registry = servers()
    registry.answer = challenge(text)
    pull(registry)


@pytest.mark.parametrize(
    "data", [b"", b"1", b"[]", b"{}", b'{"token": null}', b"[" * 100_000, b'{"token": "a\\nX-Evil: 1"}', b'{"token": "\\ud800"}']
)
def test_odd_tokens(servers: Servers, pull: Pull, data: bytes) -> None:
    registry = servers()

    def answer(path: str, headers: Any) -> Answer | None:
        if path.startswith("/token"):
            return 200, {}, data
        return 401, {"Www-Authenticate": f'Bearer realm="http://{registry.address}/token",service="s"'}, b""

    registry.answer = answer
    pull(registry)


def test_tls_is_not_given_up(servers: Servers, pull: Pull, base: Path, tls: ssl.SSLContext) -> None:
    """Neither a wrong certificate nor a redirect nor a plain server makes the client speak http."""
    plain = servers()
    assert "http, not https" in pull(plain, "--tls-verify=true", authfile(base, plain)).stderr
    assert not plain.requests
    secure = servers(tls)
    assert "certificate" in pull(secure, "--tls-verify=true", authfile(base, secure)).stderr
    assert not secure.requests

    def answer(path: str, headers: Any) -> Answer | None:
        if not headers.get("Authorization"):
            return 401, {"Www-Authenticate": 'Basic realm="x"'}, b""
        return 302, {"Location": f"http://{plain.address}{path}"}, b""

    secure.answer = answer
    trusted = {"REQUESTS_CA_BUNDLE": str(base / "evil-cert.pem")}
    done = pull(secure, "--tls-verify=true", authfile(base, secure), **trusted)
    assert "from https to http" in done.stderr
    assert BASIC in secure.said() and not plain.requests


def test_secrets_are_in_no_error_and_no_debug_output(servers: Servers, pull: Pull, pyman: Run, base: Path) -> None:
    registry = servers()
    registry.answer = lambda _path, headers: (401, {"Www-Authenticate": 'Basic realm="x"'}, b"")
    pull(registry, "--tls-verify=false", authfile(base, registry))
    done = pyman("--log-level=debug", "pull", "--tls-verify=false", f"--creds=me:{SECRET}", f"{registry.address}/evil:1", rc=125)
    assert BASIC in registry.said() and SECRET not in done.stdout + done.stderr
