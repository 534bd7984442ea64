"""Simple signatures: made by pyman and by skopeo, verified by pyman and by skopeo; what is not good in every respect is refused."""

from __future__ import annotations

import base64
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.integration.test_policy import NO_KEYS
from tests.integration.test_push import digest, raw
from tests.integration.test_registry import plain_registry

ME, OTHER, LOCKED, OLD = "me@signing.test", "other@signing.test", "locked@signing.test", "old@signing.test"
WORD = "a pass phrase"
OCI = "application/vnd.oci.image"


class Place:
    """A registry, keys, and the configuration under which pyman runs."""

    def __init__(self, registry: str, gnupg: Path, home: Path, run: Run, base: Path) -> None:
        self.blobs = base / "home/.local/share/pyman/blobs/sha256"
        self.registry, self.gnupg, self.home, self._run = registry, gnupg, home, run
        self.store = home / "signatures"
        self.conf = home / "containers"
        self.env = {"GNUPGHOME": str(gnupg), "XDG_CONFIG_HOME": str(home), "CONTAINERS_REGISTRIES_CONF": str(home / "registries.conf")}
        (home / "registries.conf").write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
        (self.conf / "registries.d").mkdir(parents=True, exist_ok=True)
        self.looks(f"file://{self.store}")

    def looks(self, lookaside: str, staging: str = "") -> None:
        """Where registries.d says that signatures lie."""
        more = f"    lookaside-staging: {staging}\n" if staging else ""
        (self.conf / "registries.d/a.yaml").write_text(f"# signatures\ndocker:\n  {self.registry}:\n    lookaside: {lookaside}\n{more}")

    def wants(self, *entries: dict[str, Any], **scopes: list[dict[str, Any]]) -> None:
        """The policy of the registry's images, and of what dir: has."""
        made = [{"type": "signedBy", "keyType": "GPGKeys", **entry} for entry in entries]
        value = {"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {self.registry: made}, **({"dir": {"": made}})}}
        (self.conf / "policy.json").write_text(json.dumps(value))

    def wants_sigstore(self, key: Path) -> None:
        """The policy of everything."""
        default = [{"type": "sigstoreSigned", "keyPath": str(key)}]
        accept = {"": [{"type": "insecureAcceptAnything"}]}
        (self.conf / "policy.json").write_text(json.dumps({"default": default, "transports": {"oci": accept}}))

    def __call__(self, *args: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return self._run(*args, env=self.env, **more)

    def key(self, name: str) -> str:
        """The file with a public key."""
        return str(self.gnupg / name)

    def gpg(self, *args: str, data: bytes = b"") -> bytes:
        """What gpg answers."""
        env = {**os.environ, "GNUPGHOME": str(self.gnupg)}
        return subprocess.run(["gpg", "--batch", "--quiet", *args], input=data, stdout=subprocess.PIPE, env=env, check=True).stdout

    def signatures(self, repository: str, data: bytes) -> list[Path]:
        """The signatures of a manifest."""
        return sorted((self.store / f"{repository}@{digest(data).replace(':', '=')}").glob("signature-*"))


@pytest.fixture(scope="module")
def keys() -> Iterator[Path]:
    """A keyring with several keys, and their public halves in files. The path is short: gpg's agent has a socket there."""
    place = Path(tempfile.mkdtemp(prefix="g-", dir="/tmp"))
    env = {**os.environ, "GNUPGHOME": str(place)}
    for name, word, until, more in (
        (ME, "", "never", []),
        (OTHER, "", "never", []),
        (LOCKED, WORD, "never", []),
        (OLD, "", "20010401T000000", ["--faked-system-time", "20010101T000000"]),
    ):
        made = ["--passphrase", word, "--pinentry-mode", "loopback", *more, "--quick-generate-key", name, "rsa2048", "sign", until]
        subprocess.run(["gpg", "--batch", "--quiet", *made], env=env, check=True)
        armour = ["--armor"] if name == OTHER else []
        data = subprocess.run(["gpg", "--batch", *armour, "--export", name], env=env, check=True, stdout=subprocess.PIPE).stdout
        (place / name).write_bytes(data)
    yield place
    subprocess.run(["gpgconf", "--kill", "all"], env=env, check=False)
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def registry(base: Path, layout: str) -> Iterator[str]:
    with plain_registry(base / "signing-registry", layout, "team/demo:1", "other/demo:1", "bare/demo:1") as address:
        yield address


@pytest.fixture
def place(registry: str, keys: Path, tmp_path: Path, pyman: Run, base: Path) -> Place:
    return Place(registry, keys, tmp_path, pyman, base)


def text_of(name: str, manifest: str, **changes: Any) -> dict[str, Any]:
    """What a signature signs."""
    critical = {"identity": {"docker-reference": name}, "image": {"docker-manifest-digest": manifest}, "type": "atomic container signature"}
    return {"critical": {**critical, **changes}, "optional": {"creator": "a test", "timestamp": 1}}


def test_signed_images_are_pulled(place: Place, tmp_path: Path) -> None:
    """`image sign` makes what pull and skopeo accept, by keys in all forms; nothing of another key, name or digest does."""
    name = f"{place.registry}/team/demo:1"
    place.wants({"keyPath": place.key(ME)})
    assert f"no simple signature in file://{place.store}\n" in place("pull", name, rc=125).stderr
    place("image", "sign", "--sign-by", ME, f"docker://{name}")
    for source in (
        {"keyPath": place.key(ME)},
        {"keyPaths": [place.key(OTHER), place.key(ME)]},
        {"keyData": base64.b64encode(Path(place.key(ME)).read_bytes()).decode()},
        {"keyPath": place.key(ME), "signedIdentity": {"type": "matchExact"}},
        {"keyPath": place.key(ME), "signedIdentity": {"type": "exactRepository", "dockerRepository": f"{place.registry}/team/demo"}},
    ):
        place.wants(source)
        place("pull", "-q", name)
    place("pull", "-q", "--all-tags", f"{place.registry}/team/demo")
    place("pull", "-q", f"{place.registry}/team/demo@{digest(raw(f'docker://{name}'))}")
    skopeo = ["skopeo", "--policy", str(place.conf / "policy.json"), "--registries.d", str(place.conf / "registries.d")]
    place.wants({"keyPath": place.key(ME)})
    subprocess.run([*skopeo, "copy", "-q", "--src-tls-verify=false", f"docker://{name}", f"dir:{tmp_path}/signed"], check=True)
    manifest = place("image", "inspect", "-f", "{{.Digest}}", name).stdout.strip()
    (place.blobs / manifest.removeprefix("sha256:")).unlink()
    assert "pulled again" in place("system", "check", "--repair", "--quick").stdout
    place.wants({"keyPath": place.key(OTHER)})
    assert "by another key" in place("pull", name, rc=125).stderr
    place.wants({"keyPath": place.key(ME)}, {"keyPath": place.key(OTHER)})  # all are asked for
    assert "by another key" in place("run", "--rm", "--pull=always", name, "true", rc=125).stderr
    place("image", "sign", "--sign-by", OTHER, name)
    place("pull", "-q", name)
    assert [path.name for path in place.signatures("team/demo", raw(f"docker://{name}"))] == ["signature-1", "signature-2"]
    place.wants({"keyPath": place.key(ME), "signedIdentity": {"type": "exactReference", "dockerReference": "quay.io/x:1"}})
    assert "for the name" in place("pull", name, rc=125).stderr
    # dir: has no name: only one that the policy names can fit.
    place.wants({"keyPath": place.key(ME), "signedIdentity": {"type": "exactReference", "dockerReference": name}})
    place("pull", "-q", f"dir:{tmp_path}/signed")
    place.wants({"keyPath": place.key(ME)})
    assert "for the name" in place("pull", f"dir:{tmp_path}/signed", rc=125).stderr
    place("rmi", "-af")


def test_signatures_of_others(place: Place, tmp_path: Path) -> None:
    """skopeo signs, pyman verifies, also where an http server has the signatures."""
    name = f"{place.registry}/skopeo/demo:1"
    argv = ["skopeo", "--registries.d", str(place.conf / "registries.d"), "copy", "-q", "--insecure-policy", "--sign-by", ME]
    argv += ["--dest-tls-verify=false", "--src-tls-verify=false", f"docker://{place.registry}/team/demo:1", f"docker://{name}"]
    subprocess.run(argv, check=True, env={**os.environ, "GNUPGHOME": str(place.gnupg)})
    place.wants({"keyPath": place.key(ME)})
    place("pull", "-q", name)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(place.store))

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        place.looks(f"http://127.0.0.1:{server.server_address[1]}", f"file://{place.store}")
        place("pull", "-q", name)
        assert "no simple signature" in place("pull", f"{place.registry}/other/demo:1", rc=125).stderr
        place("image", "sign", "--sign-by", ME, f"{place.registry}/other/demo:1")  # into the staging directory
        place("pull", "-q", f"{place.registry}/other/demo:1")
        place.looks(f"http://127.0.0.1:{server.server_address[1]}")
        assert "lookaside-staging" not in place("pull", "-q", name).stderr
        assert "a directory can be written" in place("image", "sign", "--sign-by", ME, name, rc=125).stderr
    finally:
        server.shutdown()
        server.server_close()
    place("rmi", "-af")


def bad(place: Place) -> list[tuple[str, Callable[[str, str], bytes]]]:
    """(word of the refusal, maker of a signature that is not good for NAME and DIGEST)."""

    def signed(value: Any, *more: str, key: str = ME) -> bytes:
        return place.gpg(*more, f"--local-user={key}", "--sign", data=value if isinstance(value, bytes) else json.dumps(value).encode())

    zero = "sha256:" + "0" * 64
    return [
        ("for another image", lambda name, manifest: signed(text_of(name, zero))),
        ("for another image", lambda name, manifest: signed(text_of(name, manifest, type="cosign container image signature"))),
        ("for another image", lambda name, manifest: signed({**text_of(name, manifest), "more": 1})),
        ("for another image", lambda name, manifest: signed(text_of(name, manifest, more=1))),
        ("for the name", lambda name, manifest: signed(text_of("quay.io/x:1", manifest))),
        ("for the name", lambda name, manifest: signed(text_of(name.rpartition(":")[0], manifest))),
        ("something else", lambda name, manifest: signed(b"not json")),
        ("something else", lambda name, manifest: signed(b"[1]")),
        ("by another key", lambda name, manifest: signed(text_of(name, manifest), key=OTHER)),
        ("has expired", lambda name, manifest: signed(text_of(name, manifest), "--faked-system-time", "20010201T000000", key=OLD)),
        ("no OpenPGP signature", lambda name, manifest: b"rubbish"),
        ("no OpenPGP signature", lambda name, manifest: b""),
        ("no OpenPGP signature", lambda name, manifest: place.gpg("--store", data=json.dumps(text_of(name, manifest)).encode())),
        ("refused", lambda name, manifest: signed(text_of(name, manifest), "-z0") * 2),
        ("by another key", lambda name, manifest: signed(text_of(name, manifest), f"--local-user={OTHER}")),
        ("another kind", lambda name, manifest: b"\0sigstore-json\n{}"),
        ("more than", lambda name, manifest: signed(b" " * (1 << 26))),  # a small signature of much
    ]


def test_what_is_not_good_in_every_respect_is_refused(place: Place) -> None:
    name = f"{place.registry}/bare/demo:1"
    manifest = digest(raw(f"docker://{name}"))
    directory = place.store / f"bare/demo@{manifest.replace(':', '=')}"
    directory.mkdir(parents=True)
    place.wants({"keyPaths": [place.key(ME), place.key(OLD)]})
    for number, (word, make) in enumerate(bad(place)):
        print(number, word)  # shown where it fails
        (directory / "signature-1").write_bytes(make(name, manifest))
        assert word in place("pull", name, rc=125).stderr, word
    good = place.gpg(f"--local-user={ME}", "--sign", data=json.dumps(text_of(name, manifest)).encode())
    (directory / "signature-1").write_bytes(good[:60] + bytes([good[60] ^ 1]) + good[61:])
    assert "refused" in place("pull", name, rc=125).stderr
    (directory / "signature-1").write_bytes(b"x" * (1 << 19))
    assert "is no signature" in place("pull", name, rc=125).stderr
    (directory / "signature-1").unlink()
    os.mkfifo(directory / "signature-1")
    assert "is no signature" in place("pull", name, rc=125).stderr
    (directory / "signature-1").unlink()
    (directory / "signature-1").write_bytes(b"rubbish")  # one that is good among others is enough
    (directory / "signature-2").write_bytes(good)
    place("pull", "-q", name)
    place("rmi", "-af")


def test_policies_and_registries_d_that_are_not_understood_allow_nothing(place: Place) -> None:
    name = f"{place.registry}/team/demo:1"
    good = {"keyPath": place.key(ME)}
    for wrong in (
        *NO_KEYS,
        {**good, "keyData": "x"},
        {**good, "keyType": "signedByGPGKeys"},
        {**good, "other": 1},
        {**good, "signedIdentity": {"type": "any"}},
    ):
        place.wants(wrong)
        assert "policy.json" in place("pull", name, rc=125).stderr, wrong
    place.wants(good)
    file = place.conf / "registries.d/a.yaml"
    for text in (
        "docker: [x]\n",
        "dockers:\n  a:\n    lookaside: file:///x\n",
        "docker:\n  a:\n    lookasides: file:///x\n",
        "docker:\n  a: &x\n",
        "docker:\n  a:\n   lookaside: file:///x\n  a:\n",
        f"docker:\n  {place.registry}:\n    lookaside: ftp://x/y\n",
    ):
        file.write_text(text)
        assert "registries.d" in place("pull", name, rc=125).stderr, text
    place.looks(f"file://{place.store}")
    (place.conf / "registries.d/b.yaml").write_text(file.read_text())
    assert "stands in" in place("pull", name, rc=125).stderr
    (place.conf / "registries.d/b.yaml").write_text("default-docker:\n  sigstore: 'file:///nonexistent' # not used\n")
    place("image", "sign", "--sign-by", ME, name)
    place("pull", "-q", name)
    place("rmi", "-af")


def test_lists_are_made_of_signed_images(place: Place, layout: str) -> None:
    """manifest create, add, inspect and push verify what they take from a registry as pull does, by the image's signature or its list's."""
    place("pull", "-q", f"oci:{layout}:latest")
    unsigned, one, many = (f"{place.registry}/lists/{name}:1" for name in ("unsigned", "one", "many"))
    place("push", "-q", "localhost/demo:latest", unsigned)
    place("push", "-q", "--sign-by", ME, "localhost/demo:latest", one)
    place("manifest", "create", "inner", "localhost/demo:latest")
    place("manifest", "push", "-q", "inner", f"docker://{many}")
    place("image", "sign", "--sign-by", ME, many)  # the list, not its image
    place.wants({"keyPath": place.key(ME)})
    place("manifest", "create", "taken", f"docker://{one}")
    place("manifest", "add", "taken", f"docker://{many}")
    place("manifest", "create", "--all", "all", f"docker://{many}")
    assert json.loads(place("manifest", "inspect", f"docker://{one}").stdout)["layers"]
    assert json.loads(place("manifest", "inspect", f"docker://{many}").stdout)["manifests"]
    for number, name in enumerate(("taken", "all")):
        place("manifest", "push", "-q", name, f"docker://{place.registry}/lists/pushed:{number}")
    for args in (("create", "no", f"docker://{unsigned}"), ("add", "taken", f"docker://{unsigned}"), ("inspect", f"docker://{unsigned}")):
        assert "no simple signature" in place("manifest", *args, rc=125).stderr, args
    place.wants({"keyPath": place.key(OTHER)})
    for args in (
        ("add", "taken", f"docker://{many}"),
        ("inspect", f"docker://{many}"),
        ("push", "taken", f"docker://{place.registry}/x:1"),
    ):
        assert "by another key" in place("manifest", *args, rc=125).stderr, args
    place("rmi", "-af")


def test_pushes_sign(place: Place, layout: str) -> None:
    """push, manifest push and artifact push --sign-by: what they put is signed, and nothing is sent if it could not be."""
    place("pull", "-q", f"oci:{layout}:latest")
    image, one, many = "localhost/demo:latest", f"{place.registry}/pushed/demo:1", f"{place.registry}/pushed/list:1"
    place.wants({"keyPath": place.key(LOCKED)})
    word = place.home / "word"
    word.write_text(WORD + "\nmore\n")
    locked = ("--sign-by", LOCKED, "--sign-passphrase-file", str(word))
    place("push", "-q", *locked, image, one)
    place("pull", "-q", one)
    place("manifest", "create", "signed-list", image)
    place("manifest", "push", "-q", *locked, "signed-list", f"docker://{many}")
    index = raw(f"docker://{many}")
    inner = json.loads(index)["manifests"][0]["digest"].replace(":", "=")
    assert len(place.signatures("pushed/list", index)) == 1 and (place.store / f"pushed/list@{inner}/signature-1").exists()
    place("pull", "-q", many)
    (place.home / "file").write_text("x")
    artifact = f"{place.registry}/pushed/artifact:1"
    place("artifact", "add", artifact, str(place.home / "file"))
    place("artifact", "push", "-q", *locked, artifact)
    place("artifact", "rm", artifact)
    place("artifact", "pull", "-q", artifact)
    place.wants({"keyPath": place.key(ME)})
    assert "by another key" in place("artifact", "pull", artifact, rc=125).stderr
    # --all: the images, not the list
    before = len(place.signatures("pushed/list", index))
    place("image", "sign", "--all", "--sign-by", ME, "-d", str(place.store), f"docker://{many}")
    assert (place.store / f"pushed/list@{inner}/signature-2").exists() and len(place.signatures("pushed/list", index)) == before
    unsent = f"{place.registry}/unsent/demo:1"
    (place.home / "wrong").write_text("another\n")
    for args, why in (
        (("push", "--sign-by", "nobody@signing.test", image, unsent), "no secret key"),
        (("push", "--sign-passphrase-file", str(word), image, unsent), "no key to sign with"),
        (("push", "--sign-by", ME, "--sign-passphrase-file", "/nonexistent", image, unsent), "pass phrase"),
        (("push", "--sign-by", ME, image, f"oci:{place.home}/out:1"), "only what lies in a registry"),
        (("image", "sign", one), "no key given"),
        (("image", "sign", "--sign-by", ME), "no image given"),
        (("image", "sign", "--sign-by", ME, "short"), "does not say its registry"),
        (("image", "sign", "--sign-by", ME, "oci:/x"), "only what lies in a registry"),
        (("image", "sign", "--sign-by", ME, f"{place.registry}/none:1"), "cannot sign"),
        (("image", "sign", "--all", "--sign-by", ME, one), "not a list"),
        (("image", "sign", "--sign-by", ME, "-d", "/proc/nowhere", one), "cannot write a signature"),
    ):
        assert why in place(*args, rc=125).stderr, args
    assert subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{unsent}"], capture_output=True, check=False).returncode
    subprocess.run(
        ["gpgconf", "--kill", "gpg-agent"], env={**os.environ, "GNUPGHOME": str(place.gnupg)}, check=True
    )  # it remembers the word
    assert (
        "gpg cannot sign"
        in place("push", "-q", "--sign-by", LOCKED, "--sign-passphrase-file", str(place.home / "wrong"), image, one, rc=125).stderr
    )
    place("rmi", "-af")
    place("artifact", "rm", "-a")


SEALED = """\
-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----
eyJrZGYiOnsibmFtZSI6InNjcnlwdCIsInBhcmFtcyI6eyJOIjo2NTUzNiwiciI6
OCwicCI6MX0sInNhbHQiOiJTS2dLN3RLazVzRXVmNjZoc0xZNWNRN1U5OUl6ZU1L
VGdwNzJUa2hBMnRRPSJ9LCJjaXBoZXIiOnsibmFtZSI6Im5hY2wvc2VjcmV0Ym94
Iiwibm9uY2UiOiJHNDJ1U0IxWlREc3k0R1FMNUdncE96SnhoU2RtU21GYyJ9LCJj
aXBoZXJ0ZXh0IjoiUXduRUZzM1FoV0RyTXd0QllqR0twWjg4ZjRDMWhwYm9BNFlG
bW9ZcVhaWUNoTWhLVVRhanNJbERtTkNGZlljWlNFWkNENFAzM0syYlBFTDU4b0Uz
OWtXazNpUWhuUVpzaHB3NG40ZFNlODZFNk1POVRGOWtTM2Z0Q25CT0hNdjU2RFp1
SlZMcFRXNkVkWlowNWowbzEzaUJVaXMwUTRlOGMrcnpvSXZ3V2ZiL29sV1FXcVFX
VE5iNzJLYkQrQ05GRW9vb0VQdVpGK2M1Ymc9PSJ9
-----END ENCRYPTED COSIGN PRIVATE KEY-----
"""  # made by skopeo generate-sigstore-key
PUBLIC = """\
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEZihWpgdDdLMSOElEN46L0Kt0tVzE
KoR+MLE/FPB/NJSPcWeLQ3jlyy9hJ2rSjpyiyBVJ5C1GVMrG+z7u9SNz3w==
-----END PUBLIC KEY-----
"""


def test_pushes_sign_by_a_sigstore_key(place: Place, layout: str) -> None:
    """push, manifest push and artifact push: what they put is accepted by pull's policy; sealed keys of others, plain ones; nothing is sent if it cannot be."""
    place("pull", "-q", f"oci:{layout}:latest")
    image, one, many = "localhost/demo:latest", f"{place.registry}/sigstore/demo:1", f"{place.registry}/sigstore/list:1"
    files = {name: place.home / name for name in ("key", "pub", "word", "wrong", "plain", "rubbish", "damaged")}
    files["key"].write_text(SEALED)
    files["pub"].write_text(PUBLIC)
    files["word"].write_text("geheim\n")
    files["wrong"].write_text("another\n")
    files["rubbish"].write_text("x")
    lines = SEALED.splitlines()
    files["damaged"].write_text("\n".join([*lines[:2], *lines[3:]]))
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-out", str(files["plain"])], check=True, stderr=subprocess.DEVNULL)
    public = subprocess.run(["openssl", "pkey", "-in", str(files["plain"]), "-pubout"], check=True, stdout=subprocess.PIPE).stdout
    (place.home / "plain.pub").write_bytes(public)
    good = ("--sign-by-sigstore-private-key", str(files["key"]), "--sign-passphrase-file", str(files["word"]))
    place.wants_sigstore(files["pub"])
    place("push", "-q", *good, image, one)
    place("pull", "-q", one)
    place("push", "-q", "--sign-by-sigstore-private-key", str(files["plain"]), image, one)
    place("push", "-q", *good, image, f"{place.registry}/sigstore/demo:2")
    manifest = digest(raw(f"docker://{one}"))[7:]
    assert len(json.loads(raw(f"docker://{place.registry}/sigstore/demo:sha256-{manifest}.sig"))["layers"]) == 3
    place("pull", "-q", one)
    place.wants_sigstore(place.home / "plain.pub")
    place("pull", "-q", one)
    assert "for the name" in place("pull", f"{place.registry}/sigstore/demo:2", rc=125).stderr  # only the other key has signed that
    place("manifest", "create", "sigstore-list", image)
    place("manifest", "push", "-q", *good, "sigstore-list", f"docker://{many}")
    assert "by another key" in place("pull", many, rc=125).stderr
    place.wants_sigstore(files["pub"])
    place("pull", "-q", many)
    (place.home / "file").write_text("x")
    artifact = f"{place.registry}/sigstore/artifact:1"
    place("artifact", "add", artifact, str(place.home / "file"))
    place("artifact", "push", "-q", *good, artifact)
    place("artifact", "rm", artifact)
    place("artifact", "pull", "-q", artifact)
    unsent, option = f"{place.registry}/sigstore/unsent:1", "--sign-by-sigstore-private-key"
    word = ("--sign-passphrase-file", str(files["word"]))
    for args, why in (
        ((option, str(files["key"]), "--sign-passphrase-file", str(files["wrong"])), "the pass phrase is wrong"),
        ((option, str(files["key"])), "no terminal"),
        ((option, "/nonexistent"), "No such file"),
        ((option, str(files["rubbish"])), "no private key of sigstore"),
        ((option, str(files["damaged"]), *word), "damaged"),
        ((*good, "--sign-by", ME), "together"),
    ):
        assert why in place("push", *args, image, unsent, rc=125).stderr, args
    assert "beside the image" in place("push", *good, image, f"oci:{place.home}/out:1", rc=125).stderr
    assert subprocess.run(["skopeo", "inspect", "--tls-verify=false", f"docker://{unsent}"], capture_output=True, check=False).returncode
    place("rmi", "-af")
    place("artifact", "rm", "-a")
