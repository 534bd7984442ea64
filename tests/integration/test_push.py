"""Push: to a real registry (straight and through a proxy that misbehaves), to layouts, archives and directories, read by other tools."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import layouts
from tests.conftest import Run
from tests.integration.proxy import Proxy
from tests.integration.test_pull_resumed import write_layout
from tests.integration.test_registry import copy, plain_registry, start_registry

PLAIN = "--tls-verify=false"
MIB = 1 << 20


@pytest.fixture(scope="module")
def registry(base: Path) -> Iterator[str]:
    with plain_registry(base / "push-registry") as address:
        yield address


@pytest.fixture
def proxy(registry: str) -> Iterator[Proxy]:
    made = Proxy(registry)
    yield made
    made.close()


def skopeo(*args: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    done = subprocess.run(["skopeo", *args], env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def raw(name: str) -> bytes:
    return skopeo("inspect", "--raw", *([PLAIN] if name.startswith("docker:") else []), name).encode()


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def add_member(tar: tarfile.TarFile, name: str, content: bytes = b"", **fields: Any) -> None:
    """A member with this content; fields: attributes of its TarInfo."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(content))


def odd_layer() -> bytes:
    """A tar with all that is easily lost when it is made again: PAX, GNU long names, whiteouts with content, links, odd ends."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        add = functools.partial(add_member, tar)
        add("./", type=tarfile.DIRTYPE, mode=0o755)
        add("./dir/", type=tarfile.DIRTYPE, mode=0o700, mtime=1.25, pax_headers={"mtime": "1.250000000"})
        add("./dir/secret", b"s" * 777, mode=0o000, uname="nobody", gname="users")
        add("dir//hard", type=tarfile.LNKTYPE, linkname="./dir/secret")
        add("sym", type=tarfile.SYMTYPE, linkname="../../etc/passwd")
        add("ü" * 90, b"x" * 513, pax_headers={"SCHILY.xattr.user.note": "kept", "comment": "für alle"})
        add("fifo", type=tarfile.FIFOTYPE)
        add("dir/.wh.gone", b"a whiteout need not be empty")
        add("empty")
        add("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3)
        tar.format = tarfile.GNU_FORMAT
        add("n" * 200 + "/" + "m" * 200, b"long")
    return data.getvalue()[:-512] + b"after the end" + b"\0" * 4096


@pytest.fixture(scope="module")
def big(base: Path) -> str:
    """A layout whose layer takes several pieces of an upload."""
    write_layout(base / "push-big", 20 * MIB)
    return f"oci:{base}/push-big:latest"


def test_what_came_from_a_registry_goes_back_unchanged(pyman: Run, layout: str, registry: str, proxy: Proxy, base: Path) -> None:
    """The manifest keeps its digest, nothing is uploaded again, and another repository gets its blobs by mounts."""
    copy(layout, f"docker://{registry}/from/demo:1", "--dest-tls-verify=false", "--dest-compress-format", "zstd")
    before = raw(f"docker://{registry}/from/demo:1")
    pyman("pull", "-q", PLAIN, f"{proxy.address}/from/demo:1")
    proxy.requests.clear()
    file = base / "digest"
    pyman("push", "-q", PLAIN, "--digestfile", str(file), f"{proxy.address}/from/demo:1")
    pyman("push", PLAIN, f"{proxy.address}/from/demo:1", f"docker://{proxy.address}/from/demo:2")
    assert proxy.sent() == 0 and proxy.count("POST") == 0
    done = pyman("push", PLAIN, f"{proxy.address}/from/demo:1", f"{proxy.address}/to/other/demo:3")
    assert "already there" in done.stderr and done.stdout == ""
    assert proxy.count("POST", "mount=sha256") == len(json.loads(before)["layers"])
    assert proxy.sent() < 2000  # the configuration alone
    for name in ("from/demo:1", "from/demo:2", "to/other/demo:3"):
        assert raw(f"docker://{registry}/{name}") == before
    assert file.read_text() == digest(before)
    pyman("rmi", "-af")


def test_manifests_that_lie_about_layers_that_are_here(pyman: Run, image: str, layout: str, registry: str, base: Path) -> None:
    """What was never seen to be a layer is not pushed as one: neither for the image that says so nor for others with that layer."""
    from tests.integration.test_policy import put

    blobs = Path(layout) / "blobs/sha256"
    good = json.loads((blobs / json.loads((Path(layout) / "index.json").read_text())["manifests"][0]["digest"][7:]).read_text())
    config = json.loads((blobs / good["config"]["digest"][7:]).read_text())
    other = b"something else"
    put(registry, f"/v2/liar/blobs/{digest(other)}", other, "application/octet-stream")

    def lie(**layer: Any) -> str:
        """A layout of the same image with another label, whose manifest says that of its layer."""
        path = base / "liar"
        subprocess.run(["rm", "-rf", str(path)], check=True)
        (path / "blobs/sha256").mkdir(parents=True)
        (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')

        def add(value: Any) -> dict[str, Any]:
            data = json.dumps(value).encode()
            (path / "blobs/sha256" / digest(data)[7:]).write_bytes(data)
            return {"digest": digest(data), "size": len(data)}

        labelled = {**config, "config": {**config.get("config", {}), "Labels": {"liar": json.dumps(layer)}}}
        top = {**good, "config": {**good["config"], **add(labelled)}, "layers": [{**good["layers"][0], **layer}]}
        entry = {"mediaType": "application/vnd.oci.image.manifest.v1+json", **add(top)}
        (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        return f"oci:{path}"

    for size in (5, 1 << 62):
        assert f"it says {size}" in pyman("pull", lie(size=size), rc=125).stderr
    assert "lacks its size" in pyman("pull", lie(size=1 << 80), rc=125).stderr
    pyman("pull", "-q", lie(digest=digest(other), size=len(other)))
    for name in ("localhost/liar", image):
        pyman("push", "-q", PLAIN, name, f"{registry}/liar:1")
        assert digest(other) not in raw(f"docker://{registry}/liar:1").decode()
        skopeo("copy", "--src-tls-verify=false", f"docker://{registry}/liar:1", f"dir:{base}/liar-copy")
    pyman("rmi", "localhost/liar")


def test_layers_are_made_again_bit_for_bit(pyman: Run, registry: str, base: Path) -> None:
    """An odd tar comes out as it went in: another store pulls it with the same id, and other tools read it."""
    name = layouts.write(base / "odd", odd_layer(), odd_layer()[:512])
    image = pyman("pull", "-q", name).stdout.strip()
    for number, options in enumerate(([], ["--compression-level", "9"], ["--compression-format", "zstd", "--compression-level", "19"])):
        pyman("push", "-q", PLAIN, *options, image, f"{registry}/odd:{number}")
        manifest = json.loads(raw(f"docker://{registry}/odd:{number}"))
        assert {layer["mediaType"].rpartition("+")[2] for layer in manifest["layers"]} == {"zstd" if number == 2 else "gzip"}
        env = {"PYMAN_GRAPHROOT": str(base / f"odd-store-{number}")}
        assert pyman("pull", "-q", PLAIN, f"{registry}/odd:{number}", env=env).stdout.strip() == image
        pyman("rmi", "-af", env=env)
        skopeo("copy", "--src-tls-verify=false", f"docker://{registry}/odd:{number}", f"dir:{base}/odd-dir-{number}")
    pyman("rmi", "-af")


def test_formats_and_levels(pyman: Run, image: str, registry: str) -> None:
    pyman("push", "-q", PLAIN, "--format", "v2s2", image, f"{registry}/f:docker")
    assert json.loads(raw(f"docker://{registry}/f:docker"))["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    layers = len(json.loads(raw(f"docker://{registry}/f:docker"))["layers"])
    assert skopeo("inspect", "--config", PLAIN, f"docker://{registry}/f:docker")
    pyman("push", "-q", PLAIN, "--compression-format", "zstd", image, f"{registry}/f:zstd")
    value = json.loads(raw(f"docker://{registry}/f:zstd"))
    assert [layer["mediaType"] for layer in value["layers"]] == ["application/vnd.oci.image.layer.v1.tar+zstd"] * layers
    # Without a wish for a compression, what lies there already is good.
    pyman("push", "-q", PLAIN, image, f"{registry}/f:any")
    assert json.loads(raw(f"docker://{registry}/f:any"))["layers"] != []
    for options, why in (
        (("--format", "v2s1"), "v2s2 or oci"),
        (("--format", "x"), "oci or v2s2"),
        (("--compression-format", "lz4"), "gzip, zstd or zstd:chunked"),
        (("--compression-format", "zstd", "--format", "v2s2"), "only has gzip"),
        (("--compression-level", "99"), "levels 1 to 9"),
        (("--sign-by-sq-fingerprint", "me"), "by cosign or skopeo"),
        (("--encryption-key", "jwe:x"), "encrypted images"),
        (("--compress",), "target dir"),
    ):
        assert why in pyman("push", PLAIN, *options, image, f"{registry}/f:no", rc=125).stderr, options
    assert "does not say where to" in pyman("push", pyman("images", "-q", image).stdout.strip(), rc=125).stderr
    assert "not part of this release" in pyman("push", image, "containers-storage:x", rc=125).stderr
    pyman("push", "nosuch", f"{registry}/f:x", rc=125)


@pytest.mark.parametrize("target", ["oci:{}:v1", "oci-archive:{}.tar:v1", "docker-archive:{}.dtar:docker.io/library/kept:3", "dir:{}-dir"])
def test_other_targets(pyman: Run, image: str, base: Path, target: str) -> None:
    """What is written is read by skopeo and umoci, and by pyman with the same id."""
    where = target.format(base / "target")
    want = pyman("image", "inspect", "--format", "{{.Id}}", image).stdout.strip()
    pyman("push", "-q", image, where)
    config = skopeo("inspect", "--config", "--raw", where)
    assert digest(config.encode())[7:] == want
    skopeo("copy", where, f"oci:{base}/again-{target.split(':')[0]}:x")
    if target.startswith("oci:"):
        pyman("push", "-q", image, where)  # again: the tag is replaced, not doubled
        pyman("push", "-q", image, where.replace(":v1", ":v2"))
        index = json.loads((base / "target/index.json").read_text())
        assert [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in index["manifests"]] == ["v1", "v2"]
        subprocess.run(
            ["umoci", "unpack", "--rootless", "--image", f"{base}/target:v1", f"{base}/unpacked"], check=True, capture_output=True
        )
        assert (base / "unpacked/rootfs/bin/busybox").exists()
        assert not [path for path in (base / "target/blobs/sha256").iterdir() if len(path.name) != 64]
    if target.startswith("dir:"):
        assert "not empty" in pyman("push", image, f"dir:{base}", rc=125).stderr
        pyman("push", "-q", "--compress", image, where)
        assert all(layer["mediaType"].endswith("gzip") for layer in json.loads((base / "target-dir/manifest.json").read_text())["layers"])
    else:
        env = {"PYMAN_GRAPHROOT": str(base / "target-store")}
        assert pyman("pull", "-q", where, env=env).stdout.strip() == want
        pyman("rmi", "-af", env=env)


def test_broken_uploads_go_on(pyman: Run, registry: str, proxy: Proxy, big: str, base: Path) -> None:
    """A cut connection costs one piece at most; lost answers, lost uploads, 5xx and redirects cost no more than another request."""
    image = pyman("pull", "-q", big).stdout.strip()
    push = ("push", "-q", PLAIN, "--retry-delay", "10ms", "--force-compression", image)
    proxy.break_after = {"PATCH": 3 * MIB}
    pyman(*push, f"{proxy.address}/big:1")
    assert 20 * MIB < proxy.sent() < 20 * MIB + 9 * MIB
    want = raw(f"docker://{registry}/big:1")

    def forget() -> None:
        for noted in (base / "home/.local/share/pyman/layers").glob("*/pushed.json"):
            noted.unlink()  # else the blob is mounted from the repository before

    faults: list[dict[str, Any]] = [
        {"lose_answer": {"PATCH": 1, "PUT": 1}},
        {"fail": {"PATCH": [500, 503], "POST": [503, 429], "PUT": [502]}},
        {"fail": {"PATCH": [404]}},  # the registry has forgotten the upload
        {"redirect": 4},
    ]
    for number, fault in enumerate(faults):
        forget()
        for key, value in fault.items():
            setattr(proxy, key, value)
        pyman(*push, f"{proxy.address}/big{number}:1")
        assert raw(f"docker://{registry}/big{number}:1") == want
        assert not any(getattr(proxy, key) for key in fault if key not in ("fail",)), fault
    forget()
    proxy.fail = {"PATCH": [403]}
    assert "denies access" in pyman(*push, f"{proxy.address}/denied:1", rc=125).stderr
    proxy.fail = {"PATCH": [503] * 99}
    assert "broke 2 times" in pyman(*push, "--retry", "1", f"{proxy.address}/down:1", rc=125).stderr
    pyman("rmi", "-af")


def test_tokens_for_pushes_and_mounts(pyman: Run, image: str, proxy: Proxy) -> None:
    """The token is asked for with push; a mount adds the other repository; credentials go to the token server alone."""

    def allowed(token: str, method: str, path: str) -> bool:
        repository = path.removeprefix("/v2/").split("/blobs/")[0].split("/manifests/")[0]
        return f"repository:{repository}:pull,push" in token

    from urllib.parse import unquote

    proxy.token_for = lambda query: unquote(query).replace("&", " ").replace("/token?", "")
    proxy.allowed = allowed
    assert "no anonymous token" in pyman("push", PLAIN, image, f"{proxy.address}/t/one:1", rc=125).stderr
    pyman("push", "-q", PLAIN, "--creds", "me:pass", image, f"{proxy.address}/t/one:1")
    pyman("push", "-q", PLAIN, "--creds", "me:pass", image, f"{proxy.address}/t/two:1")
    assert proxy.count("POST", "from=t/one") >= 1
    assert any("repository%3At%2Fone%3Apull" in path and "repository%3At%2Ftwo%3Apull%2Cpush" in path for _, path, _, _ in proxy.requests)
    # A token server that gives none for the neighbour ends no push: the layer is uploaded.
    proxy.token_for = lambda query: "" if "one" in query or "two" in query else unquote(query).replace("&", " ").replace("/token?", "")
    pyman("push", "-q", PLAIN, "--creds", "me:pass", image, f"{proxy.address}/t/three:1")
    proxy.token_for = lambda query: unquote(query).replace("&", " ").replace("/token?", "")
    for _, path, given, _ in proxy.requests:
        assert given.startswith("Basic") == path.startswith("/token") or not given
    done = pyman("push", PLAIN, "--creds", "me:wrong", image, f"{proxy.address}/t/one:1", rc=125)
    assert "refused the user and password given" in done.stderr and "wrong" not in done.stderr


def test_what_was_committed_and_imported_can_be_pushed(pyman: Run, image: str, registry: str, base: Path) -> None:
    pyman("run", "--name", "source", "--network", "none", image, "sh", "-c", "rm /etc/group; echo mine > /file; truncate -s 3000000 /holes")
    pyman("commit", "-q", "source", "committed")
    pyman("rm", "source")
    subprocess.run(["tar", "-C", "/etc", "-czf", str(base / "i.tar.gz"), "hostname", "os-release"], check=True)
    pyman("import", "-q", str(base / "i.tar.gz"), "imported")
    for name in ("committed", "imported"):
        pyman("push", "-q", PLAIN, name, f"{registry}/{name}:1")
        env = {"PYMAN_GRAPHROOT": str(base / "made-store")}
        want = pyman("image", "inspect", "--format", "{{.Id}}", name).stdout
        assert pyman("pull", "-q", PLAIN, f"{registry}/{name}:1", env=env).stdout == want
    assert pyman("run", "--rm", "--network", "none", f"{registry}/committed:1", "cat", "/file", env=env).stdout == "mine\n"
    pyman("rmi", "-af", env=env)
    pyman("rmi", "committed", "imported")


def test_what_is_no_archive_and_what_is_refused_are_told_apart(pyman: Run, base: Path) -> None:
    climbing = subprocess.run(["tar", "-C", "/etc", "-cP", "--transform=s,^,a/../,", "hostname"], check=True, capture_output=True).stdout
    done = pyman("import", "-q", "-", rc=125, input=climbing, text=False).stderr.decode()
    assert "has a .. component" in done and "must be a tar" not in done
    assert "it must be a tar archive" in pyman("import", "-q", "-", rc=125, input="none at all").stderr


def test_a_damaged_store_pushes_nothing(pyman: Run, registry: str, base: Path) -> None:
    """A file of a layer that was changed is noticed by the diff id; the archive does not appear."""
    image = pyman("pull", "-q", layouts.write(base / "hurt", odd_layer() + bytes(512))).stdout.strip()
    store = base / "home/.local/share/pyman/layers"
    diff_id = pyman("image", "inspect", "--format", "{{index .RootFS.Layers 0}}", image).stdout.strip()[7:]
    pyman("unshare", "sh", "-c", f"printf X >> '{store}/{diff_id}/diff/empty'; printf Y > '{store}/{diff_id}/diff/dir/secret'")
    for where in (f"{registry}/hurt:1", f"docker-archive:{base}/hurt.tar", f"oci-archive:{base}/hurt.tar"):
        assert "damaged layer" in pyman("push", PLAIN, image, where, rc=125).stderr
    assert not (base / "hurt.tar").exists()
    (store / diff_id / "skeleton").unlink()
    assert "does not know the tar" in pyman("push", PLAIN, image, f"{registry}/hurt:1", rc=125).stderr
    pyman("rmi", "-af")


def test_a_hundred_layers(pyman: Run, registry: str, base: Path) -> None:
    """Each goes out once, and the image comes back with all of them in order."""

    def layer(number: int) -> bytes:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as tar:
            info = tarfile.TarInfo(f"file{number % 90}")
            info.size = 4
            tar.addfile(info, io.BytesIO(f"{number:04}".encode()))
        return data.getvalue()

    layers = [layer(number) for number in range(99)]
    image = pyman("pull", "-q", layouts.write(base / "hundred", *layers, layers[3])).stdout.strip()  # one layer twice
    proxy = Proxy(registry)
    try:
        pyman("push", "-q", PLAIN, image, f"{proxy.address}/hundred:1")
        assert proxy.count("POST") == 100 and proxy.count("PUT", "/blobs/") == 100  # 99 layers and the configuration
    finally:
        proxy.close()
    manifest = json.loads(raw(f"docker://{registry}/hundred:1"))
    assert len(manifest["layers"]) == 100 and manifest["layers"][99] == manifest["layers"][3]
    env = {"PYMAN_GRAPHROOT": str(base / "hundred-store")}
    assert pyman("pull", "-q", PLAIN, f"{registry}/hundred:1", env=env).stdout.strip() == image
    pyman("rmi", "-af", env=env)
    pyman("rmi", image)


def test_tls_and_basic_authentication(pyman: Run, image: str, base: Path) -> None:
    """Certificates by --cert-dir, credentials by option, file and helper; what is refused says why."""
    directory = base / "push-secure"
    (directory / "certs").mkdir(parents=True)
    key, cert, users = str(directory / "key.pem"), str(directory / "certs/ca.crt"), directory / "htpasswd"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", cert, *subject]
    subprocess.run(argv, check=True, capture_output=True)
    users.write_text(subprocess.run(["htpasswd", "-Bbn", "me", "pass"], check=True, capture_output=True, text=True).stdout)
    settings = {"http": {"tls": {"certificate": cert, "key": key}}, "auth": {"htpasswd": {"realm": "test", "path": str(users)}}}
    process, address = start_registry(directory, settings)
    helper = directory / "docker-credential-ours"
    helper.write_text('#!/bin/sh\nread host; echo "$host" >> "$0.asked"; echo \'{"Username": "me", "Secret": "pass"}\'\n')
    helper.chmod(0o755)
    try:
        name, certs = f"{address}/x:1", f"--cert-dir={directory}/certs"
        assert "certificate" in pyman("push", "--creds", "me:pass", image, name, rc=125).stderr
        assert "wants a user and password" in pyman("push", certs, image, name, rc=125).stderr
        assert "refused the user and password given" in pyman("push", certs, "--creds", "me:no", image, name, rc=125).stderr
        pyman("push", "-q", certs, "--creds", "me:pass", image, name)
        auth = base / "push-auth.json"
        auth.write_text(json.dumps({"credHelpers": {address: "ours"}}))
        env = {"PATH": f"{directory}:/usr/bin:/bin:/usr/sbin:/sbin"}
        pyman("push", "-q", certs, "--authfile", str(auth), image, f"{address}/y:1", env=env)
        assert set((directory / "docker-credential-ours.asked").read_text().split()) == {address}
    finally:
        process.kill()
        process.wait()


def test_threads_that_are_asked_for_the_password_together(pyman: Run, registry: str, base: Path) -> None:
    """None of them takes what another has learned meanwhile for its own refused password."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        add_member(tar, "file", b"x")
    layers = [made.getvalue() + bytes(512 * number) for number in range(6)]
    image = pyman("pull", "-q", layouts.write(base / "several", *layers)).stdout.strip()
    proxy = Proxy(registry)
    proxy.basic = threading.Barrier(2, timeout=3)
    try:
        pyman("push", "-q", PLAIN, "--creds", "me:pass", image, f"{proxy.address}/several:1")
        assert sum(not given for _, _, given, _ in proxy.requests) >= 2
        assert "refused the user and password" in pyman("push", PLAIN, "--creds", "me:no", image, f"{proxy.address}/x:1", rc=125).stderr
    finally:
        proxy.close()
    assert len(json.loads(raw(f"docker://{registry}/several:1"))["layers"]) == 6


def test_the_proxy_variables(pyman: Run, image: str, registry: str, proxy: Proxy) -> None:
    """Registries are reached through http_proxy, except those of no_proxy."""
    env = {"http_proxy": f"http://{proxy.address}"}
    pyman("push", "-q", PLAIN, image, f"{registry}/by/proxy:1", env=env)
    assert proxy.requests and all(path.startswith(f"http://{registry}/v2/") for _, path, _, _ in proxy.requests)
    proxy.requests.clear()
    dead = pyman("push", "-q", PLAIN, "--retry", "0", image, f"{registry}/x:1", env={"http_proxy": "http://127.0.0.1:1"}, rc=125)
    assert "by the proxy" in dead.stderr and "check http_proxy" in dead.stderr
    pyman("push", "-q", PLAIN, image, f"{registry}/by/none:1", env={**env, "no_proxy": "127.0.0.1"})
    assert not proxy.requests and raw(f"docker://{registry}/by/none:1") == raw(f"docker://{registry}/by/proxy:1")
