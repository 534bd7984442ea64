"""Artifacts: files in and out, from and to a registry, names of strangers, other tools."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run
from tests.integration.proxy import Proxy
from tests.integration.test_push import PLAIN, digest, raw
from tests.integration.test_registry import plain_registry


@pytest.fixture(scope="module")
def registry(base: Path) -> Iterator[str]:
    with plain_registry(base / "artifact-registry") as address:
        yield address


@pytest.fixture
def files(tmp_path: Path, pyman: Run) -> Iterator[Path]:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.bin").write_bytes(bytes(range(256)) * 5000)
    yield tmp_path
    pyman("artifact", "rm", "--all", rc=None)


def shown(pyman: Run, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(pyman("artifact", "inspect", name).stdout)
    return value


def blobs(base: Path) -> list[str]:
    return sorted(os.listdir(base / "home/.local/share/pyman/artifacts/blobs/sha256"))


def test_files_go_in_and_out(pyman: Run, files: Path, base: Path) -> None:
    name = "quay.io/me/art:1"
    made = pyman("artifact", "add", "--type", "application/x.test", "--annotation", "a=b", name, str(files / "a.txt")).stdout.strip()
    value = shown(pyman, name)
    assert value["Digest"] == f"sha256:{made}" and value["Name"] == name
    manifest = value["Manifest"]
    assert manifest["artifactType"] == "application/x.test" and manifest["annotations"]["a"] == "b"
    assert manifest["layers"][0]["mediaType"] == "text/plain; charset=utf-8"
    assert manifest["layers"][0]["annotations"] == {"org.opencontainers.image.title": "a.txt", "a": "b"}
    assert "already exists" in pyman("artifact", "add", name, str(files / "b.bin"), rc=125).stderr
    assert "already exists" in pyman("artifact", "add", "--append", name, str(files / "a.txt"), rc=125).stderr
    pyman("artifact", "add", "--append", "--file-type", "x/y", name, str(files / "b.bin"))
    assert [layer["mediaType"] for layer in shown(pyman, name)["Manifest"]["layers"]] == ["text/plain; charset=utf-8", "x/y"]
    out = files / "out"
    out.mkdir()
    pyman("artifact", "extract", name, str(out))
    assert (out / "b.bin").read_bytes() == (files / "b.bin").read_bytes() and (out / "a.txt").read_text() == "text"
    assert "several blobs" in pyman("artifact", "extract", name, str(files / "one"), rc=125).stderr
    assert "no blob" in pyman("artifact", "extract", "--title", "nosuch", name, str(files / "one"), rc=125).stderr
    pyman("artifact", "extract", "--title", "a.txt", made[:0] + name, str(files / "one"))
    pyman("artifact", "extract", "--digest", digest(b"text"), name, str(out))
    assert (files / "one").read_text() == "text"
    heading, row = pyman("artifact", "ls").stdout.splitlines()
    assert heading.split() == ["REPOSITORY", "TAG", "DIGEST", "CREATED", "SIZE"] and row.startswith("quay.io/me/art  1")
    assert pyman("artifact", "ls", "--format", "{{.Repository}} {{.Tag}} {{.VirtualSize}}").stdout == "quay.io/me/art 1 1280004\n"
    assert len(blobs(base)) == 4
    replaced = pyman("artifact", "add", "--replace", name, str(files / "a.txt")).stdout.strip()
    assert len(blobs(base)) == 3
    assert pyman("artifact", "rm", replaced[:12]).stdout.strip() == replaced
    assert blobs(base) == [] and pyman("artifact", "ls", "-n").stdout == ""
    assert "does not exist" in pyman("artifact", "rm", "nosuch", rc=125).stderr
    assert pyman("artifact", "rm", "--ignore", "nosuch").stdout == ""
    for args, why in (
        (("UPPER", str(files / "a.txt")), "lower case"),
        (("x", str(files / "nosuch")), "No such file"),
        (("x", str(files)), "directory"),
        (("--append", "--type", "t", "x", str(files / "a.txt")), "keeps its type"),
        (("--append", "x", str(files / "a.txt")), "does not exist"),
    ):
        assert why in pyman("artifact", "add", *args, rc=125).stderr, args
    assert blobs(base) == []


def test_registries(pyman: Run, files: Path, registry: str, base: Path) -> None:
    """push and pull keep the digest; a broken connection costs no more than its piece; files that are there are not sent."""
    proxy = Proxy(registry)
    try:
        name = f"{proxy.address}/art/one:1"
        made = pyman("artifact", "add", name, str(files / "a.txt"), str(files / "b.bin")).stdout.strip()
        proxy.lose_answer = {"PUT": 1}
        file = files / "digest"
        assert pyman("artifact", "push", "-q", PLAIN, "--retry-delay", "10ms", "--digestfile", str(file), name).stdout.strip() == made
        assert file.read_text() == f"sha256:{made}" == digest(raw(f"docker://{registry}/art/one:1"))
        before = proxy.sent()
        pyman("artifact", "push", "-q", PLAIN, name)
        assert proxy.sent() == before
        env = {"PYMAN_GRAPHROOT": str(base / "artifact-store")}
        assert pyman("artifact", "pull", "-q", PLAIN, name, env=env).stdout.strip() == made
        out = files / "pulled"
        out.mkdir()
        pyman("artifact", "extract", name, str(out), env=env)
        assert (out / "b.bin").read_bytes() == (files / "b.bin").read_bytes()
        assert "it is no image but an artifact of the type" in pyman("pull", "-q", PLAIN, name, rc=125).stderr
        pyman("artifact", "rm", "-a", env=env)
        assert "404" in pyman("artifact", "pull", PLAIN, f"{proxy.address}/art/nosuch:1", rc=125).stderr
        assert "in full" in pyman("artifact", "pull", "short", rc=125).stderr
        assert "not an artifact" not in pyman("artifact", "pull", PLAIN, name, env=env).stderr
        pyman("artifact", "rm", "-a", env=env)
    finally:
        proxy.close()


@pytest.mark.parametrize("title", ["../out", "/etc/x", "a/b", "..", "x" * 300])
def test_names_of_strangers_lead_nowhere(pyman: Run, image: str, files: Path, registry: str, title: str) -> None:
    """An artifact whose file has a name that leads out of the directory is not extracted or mounted, unless the user names the file."""
    layout = files / "evil"
    (layout / "blobs/sha256").mkdir(parents=True)

    def put(data: bytes, kind: str, **more: Any) -> dict[str, Any]:
        (layout / "blobs/sha256" / digest(data)[7:]).write_bytes(data)
        return {"mediaType": kind, "digest": digest(data), "size": len(data), **more}

    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "a/b",
        "config": put(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [put(b"evil", "a/b", annotations={"org.opencontainers.image.title": title})],
    }
    top = put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [top]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    subprocess.run(
        ["skopeo", "copy", "-q", "--insecure-policy", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{registry}/evil:1"],
        check=True,
        timeout=60,
    )
    pyman("artifact", "pull", "-q", PLAIN, f"{registry}/evil:1")
    out = files / "dir"
    out.mkdir()
    done = pyman("artifact", "extract", f"{registry}/evil:1", str(out), rc=125)
    assert "one of its files is called" in done.stderr and os.listdir(out) == [] and not (files / "out").exists()
    pyman("artifact", "extract", f"{registry}/evil:1", str(files / "chosen"))
    assert (files / "chosen").read_text() == "evil"
    option = f"type=artifact,src={registry}/evil:1,dst=/tmp"
    done = pyman("run", "--rm", "--network", "none", "--mount", option, image, "true", rc=126)
    assert "one of its files is called" in done.stderr
    assert pyman("run", "--rm", "--network", "none", "--mount", option + ",name=x", image, "cat", "/tmp/x").stdout == "evil"


def test_files_of_an_artifact_in_a_container(pyman: Run, image: str, files: Path, base: Path) -> None:
    """type=artifact of --mount: a directory gets the files by their titles, a place with a file or nothing takes one."""
    pyman("artifact", "add", "art:1", str(files / "a.txt"), str(files / "b.bin"))
    made = blobs(base)

    def run(mount: str, *command: str, rc: int = 0) -> subprocess.CompletedProcess[str]:
        return pyman("run", "--rm", "--network", "none", "--user", "1000", "--mount", f"type=artifact,{mount}", image, *command, rc=rc)

    assert run("src=art:1,dst=/tmp", "sh", "-c", "cd /tmp; cat a.txt; wc -c < b.bin").stdout.split() == ["text1280000"]
    assert run("src=art:1,dst=/new/place", "ls", "/new/place").stdout.split() == ["a.txt", "b.bin"]
    assert run("src=art:1,dst=/one,title=a.txt", "cat", "/one").stdout == "text"
    assert run("src=art:1,dst=/etc/group,title=a.txt", "cat", "/etc/group").stdout == "text"
    assert run("src=art:1,dst=/tmp,name=x", "ls", "/tmp").stdout.split() == ["x-0", "x-1"]
    assert run("src=art:1,dst=/tmp,title=a.txt,name=x", "cat", "/tmp/x").stdout == "text"
    digest_of_a = shown(pyman, "art:1")["Manifest"]["layers"][0]["digest"]
    assert run(f"src=art:1,dst=/one,digest={digest_of_a}", "cat", "/one").stdout == "text"
    done = pyman(
        "run", "--rm", "--network", "none", "--mount", "type=artifact,src=art:1,dst=/tmp", image, "sh", "-c", "echo > /tmp/a.txt", rc=1
    )
    assert "Read-only" in done.stderr and blobs(base) == made
    assert "2 files" in run("src=art:1,dst=/etc/group", "true", rc=125).stderr
    assert "artifact does not exist" in run("src=none:1,dst=/tmp", "true", rc=126).stderr
    assert "no blob with the title" in run("src=art:1,dst=/tmp,title=zz", "true", rc=126).stderr
    for wrong in ("dst=/tmp", "src=art:1,dst=/tmp,rw=true", "src=art:1,dst=/tmp,title=a,digest=b", "src=art:1,dst=/tmp,name=../x"):
        run(wrong, "true", rc=125)
    pyman("create", "--name", "shown", "--mount", "type=artifact,src=art:1,dst=/tmp", image)
    mounts = json.loads(pyman("inspect", "shown").stdout)[0]["Mounts"]
    assert [(mount["Type"], mount["Source"], mount["Destination"], mount["RW"]) for mount in mounts] == [
        ("artifact", "art:1", "/tmp", False)
    ]
    pyman("rm", "shown")
