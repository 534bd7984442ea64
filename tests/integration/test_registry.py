"""Images: a real registry on loopback, with and without TLS and authentication, archives, hostile answers."""

from __future__ import annotations

import base64
import contextlib
import errno
import http.server
import json
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run


def free_port() -> int:
    """A port that nobody has, by IPv4 or IPv6, below those that the kernel gives to connections: until it is used nobody gets it by chance, and
    who tries to reach it meanwhile never meets himself."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    among = range(lowest // 2, lowest) if lowest > 8192 else range(8192, 65536)
    while True:
        port = random.SystemRandom().choice(among)
        try:
            for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                with socket.socket(family) as sock:
                    sock.bind((address, port))
        except OSError as err:
            if err.errno != errno.EAFNOSUPPORT:
                continue
        if port not in _GIVEN:
            _GIVEN.add(port)
            return port


_GIVEN: set[int] = set()


def start_registry(directory: Path, settings: dict[str, object]) -> tuple[subprocess.Popen[bytes], str]:
    """Debian's docker-registry with a configuration; (process, host:port) once it listens."""
    directory.mkdir(exist_ok=True)
    port = free_port()
    address = f"127.0.0.1:{port}"
    config = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        **settings,
    }
    config["http"] = {"addr": address, **(settings.get("http") or {})}  # type: ignore[dict-item]
    (directory / "config.yml").write_text(json.dumps(config))  # JSON is YAML
    process = subprocess.Popen(
        ["docker-registry", "serve", str(directory / "config.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        if any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows):  # it listens
            return process, address
        time.sleep(0.01)
    raise AssertionError("docker-registry ended at once")


@contextlib.contextmanager
def plain_registry(directory: Path, layout: str = "", *names: str) -> Iterator[str]:
    """host:port of a registry without TLS that has the image of `layout` by each of these names (REPOSITORY:TAG)."""
    process, address = start_registry(directory, {})
    try:
        for name in names:
            copy(layout, f"docker://{address}/{name}", "--dest-tls-verify=false")
        yield address
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def registry(base: Path) -> Iterator[str]:
    with plain_registry(base / "registry") as address:
        yield address


def copy(layout: str, target: str, *args: str) -> None:
    subprocess.run(
        ["skopeo", "copy", "-q", "--insecure-policy", *args, f"oci:{layout}:latest", target],
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )


def test_pull_by_tag_and_digest(pyman: Run, layout: str, registry: str) -> None:
    copy(layout, f"docker://{registry}/team/demo:1", "--dest-tls-verify=false")
    first = pyman("pull", "-q", "--tls-verify=false", f"{registry}/team/demo:1").stdout.strip()
    digest = pyman("image", "inspect", first, "--format", "{{.Digest}}").stdout.strip()
    assert pyman("pull", "-q", "--tls-verify=false", f"{registry}/team/demo@{digest}").stdout.strip() == first
    assert pyman("run", "--rm", "--network", "none", f"{registry}/team/demo:1", "echo", "hi").stdout == "hi\n"
    wrong = "sha256:" + "0" * 64
    assert "404" in pyman("pull", "--tls-verify=false", f"{registry}/team/demo@{wrong}", rc=125).stderr
    assert "speaks http" in pyman("pull", f"{registry}/team/demo:1", rc=125).stderr
    pyman("rmi", f"{registry}/team/demo:1")


def test_all_tags(pyman: Run, layout: str, registry: str) -> None:
    for tag in ("1", "2", "latest"):
        copy(layout, f"docker://{registry}/many:{tag}", "--dest-tls-verify=false")
    pyman("rmi", "-af")
    assert len(pyman("pull", "-q", "-a", "--tls-verify=false", f"{registry}/many").stdout.split()) == 3
    assert sorted(pyman("images", "--format", "{{.Tag}}").stdout.split()) == ["1", "2", "latest"]
    assert "only a registry" in pyman("pull", "-a", f"oci:{layout}", rc=125).stderr


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_compressions(pyman: Run, layout: str, registry: str, compression: str) -> None:
    copy(layout, f"docker://{registry}/c/{compression}:1", "--dest-tls-verify=false", "--dest-compress-format", compression)
    pyman("rmi", "-af")
    pyman("pull", "-q", "--tls-verify=false", f"{registry}/c/{compression}:1")
    assert pyman("run", "--rm", "--network", "none", f"c/{compression}:1", "echo", compression).stdout == f"{compression}\n"


def test_basic_authentication_and_tls(pyman: Run, layout: str, base: Path) -> None:
    directory = base / "secure"
    directory.mkdir()
    key, cert, users = (str(directory / name) for name in ("key.pem", "cert.pem", "htpasswd"))
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", cert, *subject],
        check=True,
        capture_output=True,
    )
    Path(users).write_text(subprocess.run(["htpasswd", "-Bbn", "me", "pass"], check=True, capture_output=True, text=True).stdout)
    process, address = start_registry(
        directory, {"http": {"tls": {"certificate": cert, "key": key}}, "auth": {"htpasswd": {"realm": "test", "path": users}}}
    )
    try:
        copy(layout, f"docker://{address}/x:1", "--dest-tls-verify=false", "--dest-creds", "me:pass")
        assert "certificate" in pyman("pull", f"{address}/x:1", rc=125).stderr
        trust = {"REQUESTS_CA_BUNDLE": cert}
        assert "wants a user and password" in pyman("pull", f"{address}/x:1", rc=125, env=trust).stderr
        assert "refused the user and password given" in pyman("pull", "--creds", "me:wrong", f"{address}/x:1", rc=125, env=trust).stderr
        auth = base / "auth.json"
        auth.write_text(json.dumps({"auths": {address: {"auth": base64.b64encode(b"me:pass").decode()}}}))
        pyman("pull", "-q", "--authfile", str(auth), f"{address}/x:1", env=trust)
        left = subprocess.run(["grep", "-r", "pass", str(base / "home/.local/share/pyman/images.json")], capture_output=True, check=False)
        assert left.returncode == 1
    finally:
        process.kill()
        process.wait()


class Breaking(http.server.BaseHTTPRequestHandler):
    """A registry of one image that breaks every blob's connection half-way, and honours ranges."""

    layout = ""
    wrong = False
    served: list[tuple[str, str]] = []

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        Breaking.served.append((self.path, self.headers.get("Range") or ""))
        blobs = Path(self.layout) / "blobs/sha256"
        index = json.loads((Path(self.layout) / "index.json").read_text())["manifests"][0]
        if "/manifests/" in self.path:
            data, kind = (blobs / index["digest"][7:]).read_bytes(), index["mediaType"]
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return
        if "/blobs/" not in self.path:
            self.send_response(200)
            self.end_headers()
            return
        data = (blobs / self.path.rsplit(":", 1)[1]).read_bytes()
        if self.wrong:
            data = data[:-1] + bytes([data[-1] ^ 1])
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        part = data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part if len(part) < 200_000 or self.wrong else part[: len(part) // 2])
        self.close_connection = True


@pytest.fixture
def breaking(layout: str) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Breaking)
    Breaking.layout, Breaking.wrong, Breaking.served = layout, False, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_broken_download_goes_on_where_it_stopped(pyman: Run, breaking: str) -> None:
    pyman("rmi", "-af")
    pyman("pull", "-q", "--tls-verify=false", f"{breaking}/demo:latest")
    assert [entry for entry in Breaking.served if entry[1]], "no request with a range was made"
    assert pyman("run", "--rm", "--network", "none", "demo", "echo", "whole").stdout == "whole\n"


def test_a_wrong_blob_is_refused_and_leaves_nothing(pyman: Run, breaking: str, base: Path) -> None:
    pyman("rmi", "-af")
    Breaking.wrong = True
    done = pyman("pull", "-q", "--tls-verify=false", f"{breaking}/demo:latest", rc=125)
    assert "digest" in done.stderr
    assert pyman("images", "-q").stdout == ""
    store = base / "home/.local/share/pyman"
    assert not os.listdir(store / "tmp") and not os.listdir(store / "layers")


def test_archives_and_names(pyman: Run, layout: str, base: Path) -> None:
    for kind, name in (("docker-archive", "d.tar"), ("oci-archive", "o.tar")):
        (base / name).unlink(missing_ok=True)
        copy(layout, f"{kind}:{base}/{name}:docker.io/library/kept:3")
        pyman("rmi", "-af")
        pyman("pull", "-q", f"{kind}:{base}/{name}")
        assert pyman("images", "--format", "{{.Repository}}:{{.Tag}}").stdout == "docker.io/library/kept:3\n"
    pyman("tag", "kept:3", "other")
    assert pyman("image", "exists", "localhost/other").returncode == 0
    assert "Untagged" in pyman("rmi", "other").stdout
    pyman("image", "exists", "other", rc=1)
    pyman("rmi", "nosuch", rc=1)


def test_used_images_are_kept(pyman: Run, layout: str) -> None:
    pyman("rmi", "-af")
    pyman("pull", "-q", f"oci:{layout}:latest")
    pyman("create", "--name", "user", "demo")
    assert "used by container" in pyman("rmi", "demo", rc=2).stderr
    pyman("rm", "user")
    pyman("image", "prune", "-af")
    assert pyman("images", "-q").stdout == ""


def test_platforms_are_named(pyman: Run, layout: str, base: Path) -> None:
    index = base / "multi"
    shutil.copytree(layout, index, dirs_exist_ok=True)
    value = json.loads((index / "index.json").read_text())
    entry = value["manifests"][0]
    inner = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{**entry, "platform": {"os": "linux", "architecture": "riscv64"}}],
        }
    ).encode()
    import hashlib

    digest = hashlib.sha256(inner).hexdigest()
    (index / "blobs/sha256" / digest).write_bytes(inner)
    top = {
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": f"sha256:{digest}",
        "size": len(inner),
        "annotations": entry["annotations"],
    }
    (index / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    done = pyman("pull", f"oci:{index}:latest", rc=125)
    assert "linux/riscv64" in done.stderr and "--platform" in done.stderr


class Tokens(Breaking):
    """The same registry behind a token server; blobs are served whole."""

    def do_GET(self) -> None:
        address = f"127.0.0.1:{self.server.server_port}"  # type: ignore[attr-defined]
        given = self.headers.get("Authorization") or ""
        if self.path.startswith("/token"):
            good = given == "Basic " + base64.b64encode(b"me:pass").decode() and "scope=repository%3Ademo%3Apull" in self.path
            self.answer(200 if good else 401, b'{"token": "good"}' if good else b"{}")
        elif given != "Bearer good":
            self.send_response(401)
            self.send_header("Www-Authenticate", f'Bearer realm="{self.realm or "http://" + address}/token",service="s"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif "/blobs/" in self.path:
            self.answer(200, (Path(self.layout) / "blobs/sha256" / self.path.rsplit(":", 1)[1]).read_bytes())
        else:
            super().do_GET()

    realm = ""

    def answer(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def test_tokens(pyman: Run, layout: str) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
    Breaking.layout = layout
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name = f"127.0.0.1:{server.server_port}/demo:latest"
    try:
        assert "no anonymous token" in pyman("pull", "--tls-verify=false", name, rc=125).stderr
        assert "refused the user and password given" in pyman("pull", "--tls-verify=false", "--creds", "me:wrong", name, rc=125).stderr
        pyman("pull", "-q", "--tls-verify=false", "--creds", "me:pass", name)
        for realm in ("ftp://elsewhere", "http://elsewhere.example"):
            Tokens.realm = realm
            assert "not https" in pyman("pull", "--tls-verify=false", "--creds", "me:pass", name, rc=125).stderr
    finally:
        Tokens.realm = ""
        server.shutdown()
