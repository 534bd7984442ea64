"""policy.json: what is rejected or cannot be verified is refused, by the most specific scope."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.integration.test_push import raw
from tests.integration.test_registry import plain_registry

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
OCI = "application/vnd.oci.image"
# Requirements that name no key: both kinds of signatures refuse them.
NO_KEYS: list[dict[str, object]] = [
    {},
    {"keyPath": "/nonexistent"},
    {"keyPath": "/etc/passwd"},
    {"keyPath": 1},
    {"keyPaths": []},
    {"keyData": "not base64!"},
]


@pytest.fixture(scope="module")
def registry(base: Path, layout: str) -> Iterator[str]:
    with plain_registry(base / "policy-registry", layout, "team/demo:1", "team/demo:2", "other/demo:1") as address:
        yield address


@pytest.fixture(scope="module")
def keys(base: Path) -> Path:
    """KIND.key and KIND.pub of several kinds."""
    directory = base / "policy-keys"
    directory.mkdir()
    kinds = {
        "ec": ("EC", "ec_paramgen_curve:P-256"),
        "other": ("EC", "ec_paramgen_curve:P-384"),
        "rsa": ("RSA", "rsa_keygen_bits:2048"),
        "ed": ("ED25519", ""),
    }
    for name, (algorithm, option) in kinds.items():
        key = str(directory / f"{name}.key")
        made = ["openssl", "genpkey", "-algorithm", algorithm, *(["-pkeyopt", option] if option else []), "-out", key]
        subprocess.run(made, check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", str(directory / f"{name}.pub")], check=True)
    return directory


def put(registry: str, path: str, data: bytes, kind: str) -> None:
    """PUT a blob or manifest."""
    connection = http.client.HTTPConnection(registry)
    if "/blobs/" in path:
        connection.request("POST", path.rpartition("/")[0] + "/uploads/")
        answer = connection.getresponse()
        answer.read()
        location = str(answer.getheader("Location"))
        path = location.partition(registry)[2] + ("&" if "?" in location else "?") + "digest=" + path.rpartition("/")[2]
    connection.request("PUT", path, data, {"Content-Type": kind})
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    connection.close()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sign(
    registry: str, repository: str, digest: str, keys: Path, kind: str = "ec", *, name: str = "", says: str = "", spoil: bool = False
) -> None:
    """Add a signature to what `digest` names in the repository: of the name, and of the digest `says` where that is another."""
    identity = {"docker-reference": name or f"{registry}/{repository}:1"}
    critical = {"type": "cosign container image signature", "image": {"docker-manifest-digest": says or digest}, "identity": identity}
    payload = json.dumps({"critical": critical, "optional": None}).encode()
    text, signature = keys / "text", keys / "signature"
    text.write_bytes(payload)
    tool = ["dgst", "-sha256", "-sign", str(keys / f"{kind}.key"), "-out", str(signature), str(text)]
    if kind == "ed":
        tool = ["pkeyutl", "-sign", "-inkey", str(keys / "ed.key"), "-rawin", "-in", str(text), "-out", str(signature)]
    subprocess.run(["openssl", *tool], check=True)
    layer = {"mediaType": PAYLOAD, "digest": digest_of(payload + b" " * spoil), "size": len(payload) + spoil}
    layer["annotations"] = {"dev.cosignproject.cosign/signature": base64.b64encode(signature.read_bytes()).decode()}
    blobs = [(payload + b" " * spoil, layer), (b"{}", {"mediaType": f"{OCI}.config.v1+json", "digest": digest_of(b"{}"), "size": 2})]
    for data, descriptor in blobs:
        put(registry, f"/v2/{repository}/blobs/{descriptor['digest']}", data, "application/octet-stream")
    value: dict[str, Any] = {"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": blobs[1][1], "layers": [layer]}
    put(registry, f"/v2/{repository}/manifests/sha256-{digest[7:]}.sig", json.dumps(value).encode(), value["mediaType"])


@pytest.fixture
def policy(base: Path) -> Iterator[Path]:
    file = base / "home/.config/containers/policy.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    yield file
    file.unlink()


def test_the_most_specific_scope_decides(pyman: Run, layout: str, registry: str, policy: Path) -> None:
    accept, reject = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]
    scopes = {f"{registry}/team": accept, f"{registry}/team/demo:2": reject}
    policy.write_text(json.dumps({"default": reject, "transports": {"docker": scopes, "oci": {layout: accept}}}))
    pyman("pull", "-q", "--tls-verify=false", f"{registry}/team/demo:1")
    assert "rejects it" in pyman("pull", "--tls-verify=false", f"{registry}/team/demo:2", rc=125).stderr
    assert "rejects it" in pyman("pull", "--tls-verify=false", f"{registry}/other/demo:1", rc=125).stderr
    pyman("pull", "-q", f"oci:{layout}:latest")
    assert "rejects it" in pyman("pull", "docker-archive:/nonexistent", rc=125).stderr
    policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything", "keyType": "GPGKeys"}]}))
    assert "which insecureAcceptAnything does not know" in pyman("pull", f"oci:{layout}:latest", rc=125).stderr


def test_a_policy_for_one_command(pyman: Run, layout: str, base: Path) -> None:
    """Each command that has the option decides by the file, also the machine's policy for imports and saves; a push has nothing to decide."""
    reject, accept, archive, image = base / "reject.json", base / "accept.json", base / "by-policy.tar", f"oci:{layout}:latest"
    reject.write_text('{"default": [{"type": "reject"}]}')
    accept.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    identity = pyman("pull", "-q", "--signature-policy", str(accept), image).stdout.strip()
    pyman("save", "-q", "--signature-policy", str(accept), "-o", str(archive), identity)
    tree = base / "by-policy-tree.tar"
    subprocess.run(["tar", "-C", str(base), "-cf", str(tree), "accept.json"], check=True)
    uses = [
        ["pull", image],
        ["run", "--pull=always", image, "true"],
        ["create", "--pull=always", image],
        ["load", "-i", str(archive)],
        ["save", "-o", str(base / "never.tar"), identity],
        ["import", str(tree)],
    ]
    for verb, *rest in uses:
        assert "rejects it" in pyman(verb, "--signature-policy", str(reject), *rest, rc=125).stderr
    pyman("import", "-q", "--signature-policy", str(accept), str(tree))
    pyman("push", "-q", "--signature-policy", str(reject), identity, f"dir:{base / 'by-policy'}")
    for verb, *rest in [*uses, ["push", identity, f"dir:{base / 'never'}"], ["artifact", "push", "none"]]:
        words = [verb, rest.pop(0)] if verb == "artifact" else [verb]
        assert "/nonexistent" in pyman(*words, "--signature-policy", "/nonexistent", *rest, rc=125).stderr
    assert not (base / "never.tar").exists() and not (base / "never").exists()


def test_what_cannot_be_verified_is_refused(pyman: Run, layout: str, registry: str, policy: Path, keys: Path) -> None:
    good = {"type": "sigstoreSigned", "keyPath": str(keys / "ec.pub")}
    policy.write_text(json.dumps({"default": [good]}))
    for args in (("pull", f"oci:{layout}:latest"), ("load", "-i", layout)):
        assert "cannot verify" in pyman(*args, rc=125).stderr
    unsigned = ("--tls-verify=false", f"docker://{registry}/other/demo:1")
    for args in (("manifest", "create", "--all", "l", *unsigned), ("manifest", "inspect", *unsigned)):
        assert "no sigstore signature" in pyman(*args, rc=125).stderr
    for wrong in (
        *NO_KEYS,
        {"keyPath": good["keyPath"], "keyData": "x"},
        {"fulcio": {}, "rekorPublicKeyPath": "/x"},
        {"pki": {}},
        {"keyPath": good["keyPath"], "rekorPublicKeyPath": "/x"},
        {"keyPath": good["keyPath"], "other": 1},
        {"keyPath": good["keyPath"], "signedIdentity": {"type": "any"}},
        {"keyPath": good["keyPath"], "signedIdentity": {"type": "exactReference"}},
    ):
        policy.write_text(json.dumps({"default": [{"type": "sigstoreSigned", **wrong}]}))
        said = pyman("pull", "--tls-verify=false", f"{registry}/team/demo:1", rc=125).stderr
        assert str(policy) in said, wrong
        for key in {"fulcio", "pki", "rekorPublicKeyPath"} & set(wrong):
            assert key in said and '{"type": "sigstoreSigned", "keyPath": ' in said


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"default": []}',
        '{"default": [{"type": "other"}]}',
        '{"default": [{"type": "reject"}], "x": 1}',
        '{"transports": {}}',
        '{"default": [{"type": "reject"}], "default": [{"type": "insecureAcceptAnything"}]}',
        '{"default": [{"type": "reject", "type": "insecureAcceptAnything"}]}',
    ],
)
def test_a_policy_that_is_not_understood_allows_nothing(pyman: Run, registry: str, policy: Path, text: str) -> None:
    policy.write_text(text)
    assert "policy.json" in pyman("pull", "--tls-verify=false", f"{registry}/team/demo:1", rc=125).stderr


@pytest.mark.parametrize("kind", ["ec", "rsa", "ed"])
def test_signed_images_are_pulled(pyman: Run, registry: str, policy: Path, keys: Path, kind: str) -> None:
    """By the keys of a file or in the policy, one of several; every time, also where nothing is new; by tag and by digest."""
    name = f"{registry}/team/demo:1"
    digest = digest_of(raw(f"docker://{name}"))
    sign(registry, "team/demo", digest, keys, kind)
    data = [base64.b64encode((keys / f"{one}.pub").read_bytes()).decode() for one in ("other", kind)]
    for source in ({"keyPath": str(keys / f"{kind}.pub")}, {"keyDatas": data}):
        policy.write_text(json.dumps({"default": [{"type": "sigstoreSigned", **source}]}))
        for asked in (name, f"{registry}/team/demo@{digest}"):
            pyman("pull", "-q", "--tls-verify=false", asked)
    policy.write_text(json.dumps({"default": [{"type": "sigstoreSigned", "keyPath": str(keys / "other.pub")}]}))
    assert "by another key" in pyman("pull", "--tls-verify=false", name, rc=125).stderr
    both = [{"type": "sigstoreSigned", "keyPath": str(keys / f"{one}.pub")} for one in (kind, "other")]
    policy.write_text(json.dumps({"default": both}))  # all of them are asked for, not one
    assert "by another key" in pyman("run", "--rm", "--pull=always", "--tls-verify=false", name, "true", rc=125).stderr


@pytest.mark.parametrize(
    ("how", "identity", "word"),
    [
        ({}, {"type": "matchExact"}, ""),
        ({"name": "{r}/team/demo"}, {"type": "matchRepository"}, ""),
        ({"name": "{r}/team/demo:other"}, {"type": "matchRepository"}, ""),
        ({"name": "quay.io/x:7"}, {"type": "exactReference", "dockerReference": "quay.io/x:7"}, ""),
        ({"name": "quay.io/x:7"}, {"type": "exactRepository", "dockerRepository": "quay.io/x"}, ""),
        ({"name": "quay.io/y/demo:1"}, {"type": "remapIdentity", "prefix": "{r}/team", "signedPrefix": "quay.io/y"}, ""),
        ({"name": "{r}/team/demo"}, {"type": "matchRepoDigestOrExact"}, "for the name"),
        ({"name": "{r}/team/demo:2"}, {"type": "matchRepoDigestOrExact"}, "for the name"),
        ({"name": "{r}/team/demo2"}, {"type": "matchRepository"}, "for the name"),
        ({"name": "{r}/team"}, {"type": "matchRepository"}, "for the name"),
        ({"name": "quay.io/y/demo:1"}, {"type": "remapIdentity", "prefix": "{r}/tea", "signedPrefix": "quay.io/y"}, "for the name"),
        ({"says": "sha256:" + "0" * 64}, {"type": "matchExact"}, "for another image"),
        ({"spoil": True}, {"type": "matchExact"}, "by another key"),
    ],
)
def test_what_a_signature_is_good_for(
    pyman: Run, registry: str, policy: Path, keys: Path, how: dict[str, Any], identity: dict[str, str], word: str
) -> None:
    how = {key: value.replace("{r}", registry) if isinstance(value, str) else value for key, value in how.items()}
    sign(registry, "team/demo", digest_of(raw(f"docker://{registry}/team/demo:1")), keys, **how)
    entry = {"type": "sigstoreSigned", "keyPath": str(keys / "ec.pub"), "signedIdentity": identity}
    policy.write_text(json.dumps({"default": [entry]}).replace("{r}", registry))
    done = pyman("pull", "-q", "--tls-verify=false", f"{registry}/team/demo:1", rc=125 if word else 0)
    assert word in done.stderr
    assert "no sigstore signature" in pyman("pull", "-q", "--tls-verify=false", f"{registry}/other/demo:1", rc=125).stderr


@pytest.mark.parametrize("signed", ["image", "list"])
def test_an_image_of_a_list(pyman: Run, registry: str, policy: Path, keys: Path, signed: str) -> None:
    """The image's own signature counts, or that of the list, which names the image by its digest."""
    repository = f"listed/{signed}"
    copied = [
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        f"docker://{registry}/team/demo:1",
        f"docker://{registry}/{repository}:plain",
    ]
    subprocess.run(["skopeo", "copy", "-q", "--insecure-policy", *copied], check=True)
    inner = raw(f"docker://{registry}/{repository}:plain")
    entry = {"mediaType": f"{OCI}.manifest.v1+json", "digest": digest_of(inner), "size": len(inner)}
    entry["platform"] = {"os": "linux", "architecture": json.loads(pyman("info", "-f", "json").stdout)["host"]["arch"]}
    index = json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [entry]}).encode()
    put(registry, f"/v2/{repository}/manifests/1", index, f"{OCI}.index.v1+json")
    policy.write_text(json.dumps({"default": [{"type": "sigstoreSigned", "keyPath": str(keys / "ec.pub")}]}))
    assert "no sigstore signature" in pyman("pull", "--tls-verify=false", f"{registry}/{repository}:1", rc=125).stderr
    sign(registry, repository, digest_of(inner if signed == "image" else index), keys)
    pyman("pull", "-q", "--tls-verify=false", f"{registry}/{repository}:1")
