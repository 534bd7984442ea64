"""Lists of images: made, annotated, pushed with their images to a registry and a layout, read by skopeo and pulled again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.integration.test_push import PLAIN, digest, raw, skopeo
from tests.integration.test_registry import copy, plain_registry


@pytest.fixture(scope="module")
def registry(base: Path) -> Iterator[str]:
    with plain_registry(base / "manifest-registry") as address:
        yield address


def shown(pyman: Run, name: str, *options: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(pyman("manifest", "inspect", *options, name).stdout)
    return value


@pytest.fixture
def arm(pyman: Run, base: Path) -> str:
    """A second image, for arm64."""
    (base / "arm.txt").write_text("arm")
    import subprocess

    subprocess.run(["tar", "-C", str(base), "-cf", str(base / "arm.tar"), "arm.txt"], check=True)
    pyman("import", "-q", "--arch", "arm64", "--variant", "v8", str(base / "arm.tar"), "arm:1")
    return "localhost/arm:1"


def test_a_list_from_its_making_to_its_end(pyman: Run, image: str, arm: str, registry: str, base: Path) -> None:
    made = pyman("manifest", "create", "--annotation", "a=b", "all:1", image).stdout.strip()
    assert len(made) == 64 and pyman("manifest", "exists", "all:1").returncode == 0
    assert pyman("manifest", "add", "--annotation", "x=y", "all:1", arm).stdout.strip() == made
    value = shown(pyman, "all:1")
    assert value["mediaType"] == "application/vnd.oci.image.index.v1+json" and value["annotations"] == {"a": "b"}
    first, second = value["manifests"]
    assert first["platform"] == {"architecture": "amd64", "os": "linux"}
    assert second["platform"] == {"architecture": "arm64", "os": "linux", "variant": "v8"} and second["annotations"] == {"x": "y"}

    pyman("manifest", "annotate", "--arch", "arm", "--variant", "v7", "--os-version", "1", "--os-features", "q", "all:1", second["digest"])
    pyman("manifest", "annotate", "--index", "--annotation", "c=d", "all:1")
    value = shown(pyman, "all:1")
    assert value["manifests"][1]["platform"] == {
        "architecture": "arm",
        "os": "linux",
        "variant": "v7",
        "os.version": "1",
        "os.features": ["q"],
    }
    assert value["annotations"] == {"a": "b", "c": "d"}
    assert (
        pyman("images", "--filter", "manifest=true", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").stdout
        == f"localhost/all:1 {made[:12]}\n"
    )
    # run takes the image for this machine; what is not there is named.
    assert pyman("run", "--rm", "--network", "none", "all:1", "echo", "mine").stdout == "mine\n"
    assert "linux/arm/v7" in pyman("run", "--rm", "--platform", "linux/s390x", "all:1", "true", rc=125).stderr
    assert "list of images" in pyman("image", "inspect", "all:1", rc=125).stderr
    assert "list of images" in pyman("save", "-o", str(base / "x.tar"), "all:1", rc=125).stderr

    file = base / "list-digest"
    pyman("manifest", "push", "-q", PLAIN, "--digestfile", str(file), "all:1", f"docker://{registry}/all:1")
    there = raw(f"docker://{registry}/all:1")
    assert digest(there) == file.read_text()
    entries = json.loads(there)["manifests"]
    assert [entry["platform"]["architecture"] for entry in entries] == ["amd64", "arm"]
    for entry in entries:
        assert digest(raw(f"docker://{registry}/all@{entry['digest']}")) == entry["digest"]
    skopeo("copy", "--all", "--src-tls-verify=false", f"docker://{registry}/all:1", f"oci:{base}/all-copy:1")
    env = {"PYMAN_GRAPHROOT": str(base / "list-store")}
    want = pyman("image", "inspect", "--format", "{{.Id}}", image).stdout
    assert pyman("pull", "-q", PLAIN, f"{registry}/all:1", env=env).stdout == want
    pyman("rmi", "-af", env=env)
    pyman("push", "-q", "all:1", f"oci:{base}/all-layout:1")
    inner = json.loads((base / "all-layout/index.json").read_text())["manifests"][0]
    assert inner["mediaType"] == "application/vnd.oci.image.index.v1+json"

    assert pyman("manifest", "remove", "all:1", second["digest"]).stdout.strip() == made
    assert len(shown(pyman, "all:1")["manifests"]) == 1
    assert "it has:" in pyman("manifest", "remove", "all:1", second["digest"], rc=125).stderr
    assert pyman("manifest", "rm", "all:1").stdout == f"Untagged: localhost/all:1\nDeleted: {made}\n"
    pyman("manifest", "exists", "all:1", rc=1)
    pyman("manifest", "rm", "all:1", rc=1)
    pyman("manifest", "rm", "--ignore", "all:1")
    pyman("rmi", arm)
    assert pyman("image", "exists", image).returncode == 0


def test_names_and_errors(pyman: Run, image: str, registry: str) -> None:
    pyman("manifest", "create", "names:1")
    assert "already associated" in pyman("manifest", "create", "names:1", rc=125).stderr
    assert "already associated" in pyman("manifest", "create", "--amend", image, rc=125).stderr
    pyman("manifest", "create", "--amend", "names:1", image)
    assert len(shown(pyman, "names:1")["manifests"]) == 1
    assert "it is an image" in pyman("manifest", "rm", image, rc=125).stderr
    assert "oci:" in pyman("manifest", "create", "names:2", f"oci:{registry}-nosuch", rc=125).stderr
    pyman("manifest", "exists", "names:2", rc=1)
    for args, why in (
        (("add", "names:1"), "needs a list and an image"),
        (("add", "--artifact-type", "x", "names:1", image), "--artifact"),
        (("add", "--annotation", "novalue", "names:1", image), "KEY=VALUE"),
        (("annotate", "--arch", "x", "names:1", "sha256:" + "0" * 64), "no image"),
        (("remove", "names:1", "nodigest"), "not sha256"),
        (("push", "--sign-by", "x", "names:1", "oci:x"), "only what lies in a registry"),
        (("push", "names:1", f"docker-archive:{registry}"), "no lists"),
    ):
        assert why in pyman("manifest", *args, rc=125).stderr, args
    pyman("rmi", "names:1")
    pyman("manifest", "exists", "names:1", rc=1)


def test_images_of_registries(pyman: Run, image: str, registry: str, base: Path) -> None:
    """Images that lie elsewhere are listed by their digests, and copied (or mounted) byte for byte by a push."""
    copy(str(base / "demo"), f"docker://{registry}/far/one:1", "--dest-tls-verify=false", "--dest-compress-format", "zstd")
    far = raw(f"docker://{registry}/far/one:1")
    pyman("manifest", "create", "far:1")
    pyman("manifest", "add", PLAIN, "far:1", f"docker://{registry}/far/one:1")
    entry = shown(pyman, "far:1")["manifests"][0]
    assert entry["digest"] == digest(far) and entry["platform"]["architecture"] == "amd64"
    pyman("manifest", "push", "-q", PLAIN, "far:1", f"{registry}/near/list:1")
    assert raw(f"docker://{registry}/near/list@{digest(far)}") == far
    pyman("manifest", "push", "-q", "--insecure", "--purge", "far:1", f"oci:{base}/far-layout:1")
    assert (base / "far-layout/blobs/sha256" / digest(far)[7:]).read_bytes() == far
    pyman("manifest", "exists", "far:1", rc=1)
    # A list of a registry: one image for this machine, or all of them.
    pyman("manifest", "create", "again:1")
    pyman("manifest", "add", PLAIN, "--all", "again:1", f"docker://{registry}/near/list:1")
    assert shown(pyman, "again:1")["manifests"] == json.loads(raw(f"docker://{registry}/near/list:1"))["manifests"]
    assert shown(pyman, f"docker://{registry}/near/list:1", PLAIN) == json.loads(raw(f"docker://{registry}/near/list:1"))
    pyman("manifest", "rm", "again:1")


def test_formats_compressions_and_artifacts(pyman: Run, image: str, registry: str, base: Path) -> None:
    pyman("manifest", "create", "kinds:1", image)
    pyman("manifest", "push", "-q", PLAIN, "--format", "v2s2", "kinds:1", f"{registry}/kinds:docker")
    value = json.loads(raw(f"docker://{registry}/kinds:docker"))
    assert value["mediaType"] == "application/vnd.docker.distribution.manifest.list.v2+json"
    assert value["manifests"][0]["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    pyman("manifest", "push", "-q", PLAIN, "--add-compression", "zstd", "kinds:1", f"{registry}/kinds:both")
    both = json.loads(raw(f"docker://{registry}/kinds:both"))["manifests"]
    assert len(both) == 2 and both[1]["annotations"] == {"io.github.containers.compression.zstd": "true"}
    layers = json.loads(raw(f"docker://{registry}/kinds@{both[1]['digest']}"))["layers"]
    assert all(layer["mediaType"].endswith("+zstd") for layer in layers)
    (base / "sbom.json").write_text('{"sbom": true}')
    pyman("manifest", "add", "--artifact", "--artifact-type", "text/sbom", "--artifact-subject", image, "kinds:1", str(base / "sbom.json"))
    pyman("manifest", "push", "-q", PLAIN, "kinds:1", f"{registry}/kinds:art")
    entry = json.loads(raw(f"docker://{registry}/kinds:art"))["manifests"][1]
    assert entry["artifactType"] == "text/sbom" and "platform" not in entry
    artifact = json.loads(raw(f"docker://{registry}/kinds@{entry['digest']}"))
    assert artifact["layers"][0]["annotations"] == {"org.opencontainers.image.title": "sbom.json"} and artifact["subject"]
    assert "has an artifact" in pyman("manifest", "push", PLAIN, "--format", "v2s2", "kinds:1", f"{registry}/kinds:x", rc=125).stderr
    pyman("manifest", "rm", "kinds:1")
    blobs = base / "home/.local/share/pyman/blobs/sha256"
    assert not (blobs / entry["digest"][7:]).exists()


def test_a_foreign_program_names_the_handler(pyman: Run, base: Path) -> None:
    """An image for another machine is said to be one, with the binfmt handler that is missing."""
    import subprocess

    program = bytearray(Path("/bin/busybox").read_bytes())
    program[18:20] = (0x16).to_bytes(2, "little")  # s390x
    (base / "foreign").write_bytes(program)
    (base / "foreign").chmod(0o755)
    subprocess.run(["tar", "-C", str(base), "-cf", str(base / "foreign.tar"), "foreign"], check=True)
    pyman("import", "-q", "--arch", "s390x", str(base / "foreign.tar"), "foreign")
    done = pyman("run", "--rm", "--network", "none", "--platform", "linux/s390x", "foreign", "/foreign", rc=126)
    assert "s390x" in done.stderr and "qemu-s390x" in done.stderr and "binfmt_misc" in done.stderr
    pyman("rmi", "foreign")
