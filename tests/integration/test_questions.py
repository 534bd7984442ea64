"""What is unchanged costs one small question: no HTTP library is loaded, nothing is fetched; whatever is out of the ordinary is noticed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import layouts
from tests.conftest import Run
from tests.integration.proxy import Proxy
from tests.integration.test_push import PLAIN, odd_layer, raw, skopeo
from tests.integration.test_registry import plain_registry

HEAVY = {"oras", "requests", "urllib3", "http.client", "tomli", "subprocess", "pyman.image.pull_layers"}


@pytest.fixture(scope="module")
def registry(base: Path, layout: str) -> Iterator[str]:
    with plain_registry(base / "question-registry", layout, "demo:1") as address:
        yield address


@pytest.fixture
def proxy(registry: str, pyman: Run) -> Iterator[Proxy]:
    made = Proxy(registry)
    yield made
    made.close()
    pyman("rmi", "-af")


def light(pyman: Run, base: Path, *args: str) -> str:
    """What a command prints that must not load anything heavy."""
    modules = base / "question-modules"
    done = pyman(*args, env={"PYMAN_DEBUG_MODULES": str(modules)})
    assert not set(modules.read_text().split("\n")) & HEAVY
    return done.stdout


def test_an_unchanged_image_is_one_question(pyman: Run, proxy: Proxy, registry: str, base: Path) -> None:
    name = f"{proxy.address}/demo:1"
    made = pyman("pull", "-q", PLAIN, name).stdout
    by_digest = f"{proxy.address}/demo@sha256:{hashlib.sha256(raw(f'docker://{registry}/demo:1')).hexdigest()}"
    for asked in (name, f"docker://{name}", by_digest):
        proxy.requests.clear()
        assert light(pyman, base, "pull", "-q", PLAIN, asked) == made
        assert [request[:2] for request in proxy.requests] == [("HEAD", "/v2/demo/manifests/" + asked[-71 if "@" in asked else -1 :])]
    # The same for `run`, which then does the rest.
    proxy.requests.clear()
    assert pyman("run", "--rm", "--network", "none", "--pull=always", "--tls-verify=false", name, "echo", "hi").stdout == "hi\n"
    assert [request[0] for request in proxy.requests] == ["HEAD"]
    # And with tokens: the realm is asked, with the credentials, and the registry with the token.
    proxy.token_for = lambda _query: "good"
    proxy.allowed = lambda token, _method, _path: token == "good"
    proxy.requests.clear()
    assert light(pyman, base, "pull", "-q", PLAIN, "--creds", "me:pass", name) == made
    assert [(method, path.partition("?")[0], given[:6]) for method, path, given, _ in proxy.requests] == [
        ("HEAD", "/v2/demo/manifests/1", ""),
        ("GET", "/token", "Basic "),
        ("HEAD", "/v2/demo/manifests/1", "Bearer"),
    ]
    assert "refused the user and password given" in pyman("pull", PLAIN, "--creds", "me:wrong", name, rc=125).stderr


def test_a_push_of_what_is_there_sends_nothing(pyman: Run, proxy: Proxy, registry: str, base: Path) -> None:
    name = f"{proxy.address}/demo:1"
    pyman("pull", "-q", PLAIN, name)
    pyman("tag", name, "localhost/mine:1")
    pyman("push", "-q", PLAIN, "--compression-format", "zstd", "localhost/mine:1", f"{proxy.address}/mine:1")
    before = raw(f"docker://{registry}/mine:1")
    for target in (name, f"{proxy.address}/mine:1"):
        proxy.requests.clear()
        light(pyman, base, "push", "-q", PLAIN, "localhost/mine:1", target)
        assert {request[0] for request in proxy.requests} == {"HEAD"}
    # A tag that leads elsewhere, or nowhere, is put.
    skopeo("copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--dest-tls-verify=false",
           f"docker://{registry}/demo:1", f"docker://{registry}/mine:1")  # fmt: skip
    for tag in ("1", "2"):
        pyman("push", "-q", PLAIN, "--compression-format", "zstd", "localhost/mine:1", f"{proxy.address}/mine:{tag}")
        assert raw(f"docker://{registry}/mine:{tag}") == before


def test_what_has_changed_is_pulled(pyman: Run, proxy: Proxy, registry: str, base: Path) -> None:
    """A tag that moved, a store that lost something, another platform."""
    store = base / "home/.local/share/pyman"
    name = f"{proxy.address}/moving:1"
    plain = ["--insecure-policy", "--dest-tls-verify=false"]
    for number, layer in enumerate((odd_layer(), odd_layer() + bytes(512))):
        skopeo("copy", "-q", *plain, layouts.write(base / f"moving{number}", layer), f"docker://{registry}/moving:1")
        wanted = json.loads(raw(f"docker://{registry}/moving:1"))["config"]["digest"][7:]
        assert pyman("pull", "-q", PLAIN, name).stdout.strip() == wanted
    name = f"{proxy.address}/demo:1"
    made = pyman("pull", "-q", PLAIN, name).stdout.strip()
    record = json.loads((store / "images.json").read_text())["images"][made]
    for damage in ("layer", "manifest", "config"):
        if damage == "layer":
            shutil.rmtree(store / "layers" / record["layers"][0])
        else:
            (store / "blobs/sha256" / record[damage]).write_text("{}")
        assert pyman("pull", "-q", PLAIN, name).stdout.strip() == made
        assert pyman("run", "--rm", "--network", "none", name, "echo", "healed").stdout == "healed\n"
        for blob in (record["manifest"], record["config"]):
            assert hashlib.sha256((store / "blobs/sha256" / blob).read_bytes()).hexdigest() == blob


def test_platforms_of_a_list(pyman: Run, proxy: Proxy, registry: str, base: Path) -> None:
    name = f"{proxy.address}/multi:1"
    copied = base / "multi-question"
    pyman("pull", "-q", PLAIN, f"{proxy.address}/demo:1")
    (copied / "x").mkdir(parents=True)
    pyman("import", "-q", "--arch", "arm64", "-", "other:1", input=shutil.make_archive(str(copied / "t"), "tar", copied / "x") and
          (copied / "t.tar").read_bytes(), text=False)  # fmt: skip
    pyman("manifest", "create", "multi:1", f"{proxy.address}/demo:1", "localhost/other:1")
    pyman("manifest", "push", "-q", PLAIN, "multi:1", f"{registry}/multi:1")
    pyman("rmi", "-af")
    host = pyman("pull", "-q", PLAIN, name).stdout
    arm = pyman("pull", "-q", PLAIN, "--platform", "linux/arm64", name).stdout
    assert host != arm
    foreign = pyman("create", "--network", "none", arm.strip(), "true")
    handler = "the image is for linux/arm64, this machine is linux/amd64, and no handler qemu-aarch64 is registered in "
    if not os.path.exists("/proc/sys/fs/binfmt_misc/qemu-aarch64"):
        assert handler in foreign.stderr and "; the image also exists for linux/amd64\n" in foreign.stderr
    pyman("rm", foreign.stdout.strip())
    for word in ("aarch64", "AArch64"):
        assert pyman("pull", "-q", PLAIN, "--arch", word, name).stdout == arm
    proxy.requests.clear()
    assert light(pyman, base, "pull", "-q", PLAIN, "--platform", "linux/arm64", name) == arm
    assert [request[0] for request in proxy.requests] == ["HEAD"]
    assert pyman("pull", "-q", PLAIN, name).stdout == host
    assert light(pyman, base, "pull", "-q", PLAIN, name) == host
    assert "it has: " in pyman("pull", PLAIN, "--platform", "linux/s390x", name, rc=125).stderr
    # A single image is taken as it is, with a warning, as scripts expect: many say the wrong platform.
    name = f"{registry}/demo:1"
    for args in (("pull", "-q", "--platform", "linux/arm64", name), ("run", "--rm", "--network=none", "--arch", "arm64", name, "true")):
        assert "does not match the expected platform (linux/arm64)" in pyman(args[0], PLAIN, *args[1:]).stderr


def test_newer_is_content_with_what_is_here(pyman: Run, proxy: Proxy) -> None:
    name = f"{proxy.address}/demo:1"
    made = pyman("pull", "-q", PLAIN, name).stdout
    proxy.fail = {"HEAD": [503] * 9, "GET": [503] * 9}
    assert pyman("pull", "-q", PLAIN, "--retry", "0", "--policy", "newer", name).stdout == made
    before = len(proxy.requests)
    assert (
        pyman("run", "--rm", "--network", "none", "--retry", "0", "--tls-verify=false", "--pull", "newer", name, "echo", "x").stdout
        == "x\n"
    )
    assert len(proxy.requests) == before + 1
    assert "503" in pyman("pull", "-q", PLAIN, "--retry", "0", name, rc=125).stderr
    pyman("pull", "-q", PLAIN, "--retry", "0", "--policy", "newer", f"{proxy.address}/not:here", rc=125)


def test_an_edited_registries_conf_counts_at_once(pyman: Run, proxy: Proxy, registry: str, base: Path) -> None:
    """It is read from a parsed copy only as long as the files are the same."""
    file = base / "home/.config/containers/registries.conf"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = '[[registry]]\nlocation = "{}"\ninsecure = true\n[aliases]\nquestion = "{}/demo"\n'
    try:
        file.write_text(text.format(registry, registry))
        made = pyman("pull", "-q", "question:1").stdout
        assert light(pyman, base, "pull", "-q", "question:1") == made
        file.write_text(text.format(proxy.address, proxy.address))
        assert pyman("pull", "-q", "question:1").stdout == made and proxy.count("HEAD") + proxy.count("GET", "manifests") == 1
        file.write_text(text + "[[[")
        assert "registries.conf" in pyman("pull", "-q", "question:1", rc=125).stderr
    finally:
        file.unlink()
