"""save and load: every format both ways, with other tools in between; streams, compressions, the web; archives of strangers."""

from __future__ import annotations

import bz2
import gzip
import http.server
import io
import json
import lzma
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests import layouts
from tests.conftest import Run, command, environment, peak_memory
from tests.integration.test_pull_resumed import write_layout
from tests.integration.test_push import digest, odd_layer, skopeo

NAME = "localhost/demo:latest"


@pytest.fixture
def other(pyman: Run, base: Path) -> Iterator[dict[str, str]]:
    """The environment of a second store, emptied afterwards."""
    env = {"PYMAN_GRAPHROOT": str(base / "second-store")}
    yield env
    pyman("rmi", "-af", env=env)
    for place in ("tmp", "trash", "layers", "partial", "blobs/sha256"):
        path = base / "second-store" / place
        assert not path.exists() or not os.listdir(path), place


def identity(pyman: Run, name: str, **env: str) -> str:
    return pyman("image", "inspect", "--format", "{{.Id}}", name, env=env).stdout.strip()


FORMATS = {"docker-archive": "docker-archive:{}", "oci-archive": "oci-archive:{}", "oci-dir": "oci:{}", "docker-dir": "dir:{}"}


@pytest.mark.parametrize("kind", FORMATS)
def test_formats(pyman: Run, image: str, base: Path, other: dict[str, str], kind: str) -> None:
    path = base / f"saved-{kind}"
    pyman("save", "-q", "--format", kind, "-o", str(path), "demo")
    where = FORMATS[kind].format(path)
    want = identity(pyman, image)
    assert digest(skopeo("inspect", "--config", "--raw", where).encode())[7:] == want
    done = pyman("load", "-i", str(path), env=other)
    name = f"sha256:{want}" if kind == "docker-dir" else NAME
    assert done.stdout == f"Loaded image: {name}\n"
    assert pyman("run", "--rm", "--network", "none", want, "echo", "loaded", env=other).stdout == "loaded\n"
    value = json.loads(skopeo("inspect", "--raw", where))
    assert ("docker" in value["mediaType"]) == kind.startswith("docker")
    again = base / f"skopeo-{kind}"
    skopeo("copy", where, f"docker-archive:{again}.tar:docker.io/library/by-skopeo:1")
    assert pyman("load", "-q", "-i", f"{again}.tar", env=other).stdout == "Loaded image: docker.io/library/by-skopeo:1\n"
    assert identity(pyman, "by-skopeo:1", **other) == want
    if kind.startswith("oci"):
        pyman("save", "-q", "--format", kind, "--uncompressed", "-o", f"{path}-plain", "demo")
        assert {layer["mediaType"][-4:] for layer in json.loads(skopeo("inspect", "--raw", f"{where}-plain"))["layers"]} == {".tar"}


def test_several_images_and_names(pyman: Run, image: str, base: Path, other: dict[str, str]) -> None:
    odd = pyman("pull", "-q", layouts.write(base / "save-odd", odd_layer())).stdout.strip()
    pyman("tag", odd, "odd:2", "odd:3")
    path = str(base / "many.tar")
    pyman("save", "-q", "-m", "-o", path, "demo", "odd:2", odd, "localhost/odd:3")
    lines = pyman("load", "-q", "-i", path, env=other).stdout.splitlines()
    assert lines == [f"Loaded image: localhost/{name}" for name in ("demo:latest", "odd:2", "odd:3")]
    with tarfile.open(path) as tar:
        assert len(tar.getnames()) == len(set(tar.getnames()))
    pyman("save", "-q", "-o", path, odd, "first:1", "second")
    env = {"PYMAN_GRAPHROOT": str(base / "third-store")}
    assert pyman("load", "-q", "-i", path, env=env).stdout == "Loaded image: localhost/first:1\nLoaded image: localhost/second:latest\n"
    pyman("save", "-q", "-o", path, odd)  # an id has no name; the file is replaced
    assert pyman("load", "-q", "--no-names", "-i", path, env=env).stdout == f"Loaded image: sha256:{odd}\n"
    assert sorted(pyman("images", "--format", "{{.Repository}}", env=env).stdout.split()) == ["localhost/first", "localhost/second"]
    for number, name in enumerate(("odd/er:1", "docker.io/odd/est:1")):
        pyman("push", "-q", odd, f"docker-archive:{base}/pushed{number}.tar:{name}")
        for text in (name.removeprefix("docker.io/"), f"docker.io/{name.removeprefix('docker.io/')}", "@0", ""):
            assert pyman("pull", "-q", f"docker-archive:{base}/pushed{number}.tar:{text}", env=env).stdout == f"{odd}\n"
    assert "0 images fit" in pyman("pull", f"docker-archive:{base}/pushed0.tar:@1", env=env, rc=125).stderr
    pyman("rmi", "-af", env=env)
    pyman("rmi", "-f", odd)


def test_wrong_options(pyman: Run, image: str, base: Path) -> None:
    for options, why in (
        (("--format", "x"), "docker-archive, oci-archive"),
        (("--format", "oci-dir"), "cannot go to stdout"),
        (("-m", "--format", "oci-archive", "-o", f"{base}/x"), "holds one"),
        (("--compress", "-o", f"{base}/x"), "docker-dir alone"),
        (("-o", f"{base}/nosuch/x"), "No such file"),
    ):
        assert why in pyman("save", *options, "demo", "demo", rc=125).stderr, options
    assert not (base / "x").exists()
    assert "no image nosuch" in pyman("save", "-o", f"{base}/x", "nosuch", rc=125).stderr
    assert "No such file" in pyman("load", "-i", f"{base}/nosuch", rc=125).stderr


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": lambda data: bz2.compress(data[:70000]) + bz2.compress(data[70000:]),
    "xz": lambda data: lzma.compress(data[:70000]) + lzma.compress(data[70000:]),
    "zstd": zstandard.ZstdCompressor().compress,
}


def test_streams(pyman: Run, image: str, base: Path, other: dict[str, str]) -> None:
    """save to stdout; load from stdin and from files in every compression; nothing of them stays in the store."""
    made = subprocess.run(
        [*command(), "save", "-q", "demo"], env=environment(base), capture_output=True, check=True, stdin=subprocess.DEVNULL
    )
    for name, compressed in COMPRESSIONS.items():
        data = compressed(made.stdout)
        done = subprocess.run([*command(), "load"], env=environment(base, **other), input=data, capture_output=True, check=False)
        assert done.stdout.decode() == f"Loaded image: {NAME}\n", (name, done.stderr)
        pyman("rmi", "demo", env=other)
        (base / "stream").write_bytes(data)
        assert pyman("load", "-q", "-i", str(base / "stream"), env=other).stdout == f"Loaded image: {NAME}\n"
        cut = data[: len(data) // 2]
        done = subprocess.run([*command(), "load", "-q"], env=environment(base, **other), input=cut, capture_output=True, check=False)
        assert done.returncode == 125 and b"ends in the middle" in done.stderr and b"Traceback" not in done.stderr, (name, done.stderr)
    for text in (b"", b"hello", b"\x1f\x8b" + b"x" * 100):
        done = subprocess.run([*command(), "load"], env=environment(base, **other), input=text, capture_output=True, check=False)
        assert done.returncode == 125 and b"Traceback" not in done.stderr, done.stderr


class Web(http.server.BaseHTTPRequestHandler):
    """A web server that breaks every connection after a while, and knows ranges."""

    data = b""
    starts: list[int] = []
    seen: list[str] = []

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        Web.seen.append(self.headers.get("Authorization") or "")
        if self.path != "/app.tar":
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        Web.starts.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.data) - start))
        self.end_headers()
        self.wfile.write(self.data[start : start + 700_000])


def test_the_web(pyman: Run, image: str, base: Path, other: dict[str, str]) -> None:
    pyman("save", "-q", "-o", str(base / "web.tar"), "demo")
    Web.data = (base / "web.tar").read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    auth = base / "web-auth.json"
    auth.write_text(json.dumps({"auths": {address[7:]: {"auth": "bWU6cGFzcw=="}}}))
    try:
        done = pyman("load", "-i", f"{address}/app.tar", env={**other, "REGISTRY_AUTH_FILE": str(auth)})
        assert done.stdout == f"Loaded image: {NAME}\n"
        assert Web.starts[0] == 0 and len(Web.starts) > 1 and not any(Web.seen)
        assert "404" in pyman("load", "-i", f"{address}/nosuch", rc=125, env=other).stderr
        done = pyman("load", "-i", f"http://me:s3cret@127.0.0.1:{server.server_port}/app.tar", rc=125, env=other)
        assert "seen by other processes" in done.stderr and "s3cret" not in done.stderr
    finally:
        server.shutdown()


def docker_archive(
    path: Path, entries: list[dict[str, Any]], files: dict[str, bytes], links: dict[str, tuple[bytes, str]] | None = None
) -> str:
    with tarfile.open(path, "w") as tar:
        for name, content in {**files, "manifest.json": json.dumps(entries).encode()}.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name, (kind, target) in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    return str(path)


LAYER = odd_layer()
CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(LAYER)]}}).encode()


def test_archives_of_other_tools(pyman: Run, base: Path, other: dict[str, str]) -> None:
    """Old archives with links, layers that are compressed inside, names without a registry."""
    entry = {"Config": "c.json", "RepoTags": ["app:1", "quay.io/team/app:2"], "Layers": ["x/layer.tar"]}
    links = {"x/layer.tar": (tarfile.SYMTYPE, "../real/layer.tar"), "real/layer.tar": (tarfile.LNKTYPE, "data")}
    path = docker_archive(base / "old.tar", [entry], {"c.json": CONFIG, "data": LAYER}, links)
    want = ["Loaded image: docker.io/library/app:1", "Loaded image: quay.io/team/app:2"]
    assert pyman("load", "-q", "-i", path, env=other).stdout.splitlines() == want
    packed = {"c.json": CONFIG, "l": gzip.compress(LAYER)}
    path = docker_archive(base / "packed.tar", [{**entry, "Layers": ["l"]}], packed)
    pyman("rmi", "-af", env=other)
    assert pyman("load", "-q", "-i", path, env=other).stdout.splitlines() == want
    subprocess.run(["umoci", "init", "--layout", str(base / "by-umoci")], check=True, capture_output=True)
    subprocess.run(["umoci", "new", "--image", f"{base}/by-umoci:fresh"], check=True, capture_output=True)
    assert "sha256:" in pyman("load", "-q", "-i", str(base / "by-umoci"), env=other).stdout


def test_names_that_move_are_said(pyman: Run, image: str, base: Path) -> None:
    """load takes the names in the archive, says whose they were, and --no-names takes none."""
    path = docker_archive(base / "steal.tar", [{"Config": "c", "RepoTags": [NAME], "Layers": ["l"]}], {"c": CONFIG, "l": LAYER})
    before = identity(pyman, image)
    assert pyman("load", "-q", "--no-names", "-i", path).stderr == "" and identity(pyman, image) == before
    assert f"{NAME} was the name of image {before[:12]}" in pyman("load", "-q", "-i", path).stderr
    pyman("rmi", "-af")


def hostile() -> dict[str, tuple[list[dict[str, Any]], dict[str, bytes], dict[str, tuple[bytes, str]], str]]:
    good = {"Config": "c", "RepoTags": [], "Layers": ["l"]}
    files = {"c": CONFIG, "l": LAYER}
    sym = tarfile.SYMTYPE
    return {
        "config outside": ([{**good, "Config": "/etc/passwd"}], files, {}, "no file"),
        "config above": ([{**good, "Config": "../../../etc/passwd"}], files, {}, "no file"),
        "layer by a link out": ([{**good, "Layers": ["out"]}], files, {"out": (sym, "/etc/passwd")}, "no file"),
        "links in a circle": ([{**good, "Layers": ["a"]}], files, {"a": (sym, "b"), "b": (sym, "a")}, "no file"),
        "names that are none": ([{**good, "RepoTags": [1]}], files, {}, "no list of names"),
        "a bad name": ([{**good, "RepoTags": ["UPPER case:1"]}], files, {}, "invalid image name"),
        "a name that is an option": ([{**good, "RepoTags": ["--help"]}], files, {}, "invalid image name"),
        "other layers than it says": ([{**good, "Layers": []}], files, {}, "different numbers"),
        "a wrong layer": ([good], {**files, "l": LAYER + bytes(512)}, {}, "digest"),
        "no config": ([{"Layers": []}], files, {}, "no file"),
        "a member above": ([good], {**files, "../x": b"x"}, {}, ".. component"),
        "no images": ([], files, {}, "neither"),
        "a list as config": ([{**good, "Config": ["c"]}], files, {}, "no file"),
    }


@pytest.mark.parametrize("case", hostile())
def test_hostile_archives(pyman: Run, base: Path, other: dict[str, str], case: str) -> None:
    entries, files, links, why = hostile()[case]
    done = pyman("load", "-q", "-i", docker_archive(base / "hostile.tar", entries, files, links), rc=125, env=other)
    assert why in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert "root:" not in done.stderr
    assert pyman("images", "-aq", env=other).stdout == ""


def test_memory_stays_small(pyman: Run, base: Path, other: dict[str, str]) -> None:
    """A layer of 150 MB goes through save and load with less than 64 MB in any process."""
    write_layout(base / "fat", 150 << 20)
    pyman("pull", "-q", f"oci:{base}/fat:latest")
    name = "localhost/fat:latest"
    for args, env in ((("save", "-q", "-o", str(base / "fat.tar"), name), {}), (("load", "-q", "-i", str(base / "fat.tar")), other)):
        assert peak_memory(base, *args, env=env) < 64
    pyman("rmi", "-af")
    (base / "fat.tar").unlink()
