"""Manifests, indexes, configurations and archives of strangers, made and mutated by hypothesis: a clean refusal or a result, nothing else.

And tars of all kinds: what is unpacked is made into the same bytes again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pyman.config import registries_d
from pyman.errors import PymanError
from pyman.image import archive, indexes, openpgp
from pyman.image import manifest as manifests
from pyman.storage import skeleton, unpack

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
# The same examples each time; $PYMAN_FUZZ asks for so many others.
MANY = settings(
    max_examples=int(os.environ.get("PYMAN_FUZZ", "150")),
    derandomize="PYMAN_FUZZ" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


LAYER = io.BytesIO()
with tarfile.open(fileobj=LAYER, mode="w") as _tar:
    _tar.addfile(tarfile.TarInfo("file"))
CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "created": "2026-01-01T00:00:00Z",
    "config": {"Env": ["A=b"], "Cmd": ["x"], "Labels": {"a": "b"}, "Volumes": {"/v": {}}, "User": "me"},
    "rootfs": {"type": "layers", "diff_ids": [digest(LAYER.getvalue())]},
    "history": [{"created_by": "x"}],
}
BLOB = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(b"x"), "size": 1}
MANIFEST: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": manifests.MANIFESTS[0],
    "config": BLOB,
    "layers": [BLOB],
    "annotations": {"a": "b"},
}
INDEX: dict[str, Any] = {
    "schemaVersion": 2,
    "mediaType": manifests.INDEXES[0],
    "manifests": [
        {**BLOB, "platform": {"os": "linux", "architecture": "amd64"}},
        {**BLOB, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}, "annotations": {"x": "y"}},
    ],
}
ENTRY: dict[str, Any] = {"Config": "c", "RepoTags": ["a/b:1"], "Layers": ["l"]}


def paths_in(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all nodes of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for key, child in inner for path in paths_in(child, (*here, key)))]


def with_node(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_node(value[path[0]], path[1:], new)
    return copy


def mutated(value: Any) -> st.SearchStrategy[Any]:
    """The value with one node replaced by something else."""
    return st.tuples(st.sampled_from(paths_in(value)), VALUES).map(lambda pair: with_node(value, *pair))


@MANY
@given(mutated(MANIFEST) | mutated(INDEX) | VALUES, st.sampled_from(["", *manifests.MANIFESTS, *manifests.INDEXES, "text/plain"]))
def test_manifests_and_indexes(value: Any, media_type: str) -> None:
    try:
        read = manifests.loads(json.dumps(value).encode(), "it", 1 << 20)
        if manifests.kind_of(read, media_type, "it") == "manifest":
            config, layers = manifests.parse_manifest(read, "it")
            assert all(len(blob["hex"]) == 64 and blob["size"] >= 0 for blob in [config, *layers])
        else:
            indexes.checked(read, "it")
            assert len(manifests.choose(read, "linux/arm64", "it")["hex"]) == 64
            indexes.dump(indexes.converted(read, "v2s2"))
    except PymanError:
        pass


@MANY
@given(mutated(CONFIG) | VALUES)
def test_configurations(value: Any) -> None:
    try:
        config, diff_ids = manifests.parse_config(json.dumps(value).encode(), 1, "it")
        assert len(diff_ids) == 1 and isinstance(config.get("config") or {}, dict)
    except PymanError:
        pass


def made_archive(entries: Any, config: Any) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in (("c", json.dumps(config).encode()), ("l", LAYER.getvalue()), ("manifest.json", json.dumps(entries).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return data.getvalue()


def read_everything(data: bytes, directory: Path) -> int:
    """Read an archive as load does, up to where layers are unpacked; the number of images in it."""
    path = directory / "archive"
    path.write_bytes(data)
    try:
        sources = archive.everything(str(path), "it")
    except PymanError:
        return 0
    good = 0
    for source in sources:
        try:
            source.names()
            document, media_type, _ = source.manifest()
            value = manifests.loads(document, "it", manifests.MAX_MANIFEST)
            assert manifests.kind_of(value, media_type, "it") == "manifest"
            config, layers = manifests.parse_manifest(value, "it")
            manifests.parse_config(source.small_blob(config, manifests.MAX_CONFIG), len(layers), "it")
            for layer in layers:
                fd = os.memfd_create("layer")
                source.copy_blob(layer, fd)
                os.close(fd)
            good += 1
        except PymanError:
            pass
        finally:
            source.close()
    return good


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYMAN_GRAPHROOT", str(tmp_path / "store"))
    return tmp_path


def test_the_archive_is_good_as_it_is(place: Path) -> None:
    assert read_everything(made_archive([ENTRY, ENTRY], CONFIG), place) == 2


@MANY
@given(entries=mutated([ENTRY]) | VALUES, config=st.just(CONFIG) | mutated(CONFIG))
def test_archives_with_other_documents(place: Path, entries: Any, config: Any) -> None:
    read_everything(made_archive(entries, config), place)


GOOD = made_archive([ENTRY], CONFIG)


@MANY
@given(
    changes=st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8), cut=st.integers(0, len(GOOD)) | st.none()
)
def test_archives_with_other_bytes(place: Path, changes: list[tuple[int, int]], cut: int | None) -> None:
    data = bytearray(GOOD)
    for at, byte in changes:
        data[at] = byte
    read_everything(bytes(data[:cut]), place)


NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=30).filter(
    lambda name: name not in (".", "..") and not name.startswith(".wh.") and len(name.encode()) < 200
)
MEMBERS = st.lists(
    st.tuples(
        st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]),
        st.lists(NAMES, min_size=1, max_size=3).map("/".join),
        st.binary(max_size=1500),
        st.sampled_from([0o644, 0o755, 0o4711, 0o600]),
        st.integers(0, 2**33),
    ),
    max_size=8,
    unique_by=lambda member: member[1],
)


@MANY
@given(members=MEMBERS, form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), tail=st.binary(max_size=600), dots=st.booleans())
def test_a_tar_is_made_again_bit_for_bit(members: list[Any], form: int, tail: bytes, dots: bool) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=form) as tar:
        for kind, name, content, mode, mtime in members:
            info = tarfile.TarInfo(("./" if dots else "") + name)
            info.type, info.mode, info.mtime, info.linkname = kind, mode, mtime, "target" if kind == tarfile.SYMTYPE else ""
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(content))
    plain = data.getvalue() + tail
    with tempfile.TemporaryDirectory() as directory:
        source = os.memfd_create("tar")
        os.write(source, plain)
        os.lseek(source, 0, os.SEEK_SET)
        os.mkdir(f"{directory}/diff")
        record = os.open(f"{directory}/{skeleton.NAME}", os.O_WRONLY | os.O_CREAT)
        try:
            found = unpack.unpack_layer(source, f"{directory}/diff", media_type="", single=True, skeleton_fd=record)
        except PymanError:
            return  # a file where a directory must be
        finally:
            os.close(source)
            os.close(record)
        again = b"".join(skeleton.plain(directory)) if replaced_nothing(members) else plain
        assert again == plain and found["diff_id"] == digest(plain)[7:]


def replaced_nothing(members: list[Any]) -> bool:
    """Whether no member takes the place of a file that came before: its content is gone then, and a push says so."""
    names = [member[1] for member in members]
    return not any(other != name and (other + "/").startswith(name + "/") for name in names for other in names)


HOSTILE_NAMES = st.sampled_from(
    [
        "a",
        "a/b",
        "../out/file",
        "/etc/x",
        "a/../../out/file",
        "link",
        "link/file",
        "up/file",
        "up",
        ".wh.a",
        "a/.wh..wh..opq",
        ".wh...",
        ".",
        "",
    ]
)
TYPES = [
    tarfile.REGTYPE,
    tarfile.DIRTYPE,
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.FIFOTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    b"7",
    b"S",
    b"Z",
]
HOSTILE = st.lists(
    st.tuples(
        st.sampled_from(TYPES),
        HOSTILE_NAMES | NAMES,
        st.sampled_from(["../out", "/", "..", "a", "link", "../out/kept", "../../../../../../tmp"]) | NAMES,
        st.binary(max_size=600),
        st.sampled_from(
            [
                "",
                "path",
                "linkpath",
                "size",
                "uid",
                "mtime",
                "GNU.sparse.major",
                "SCHILY.xattr.user.x",
                "SCHILY.xattr.trusted.overlay.opaque",
            ]
        ),
        HOSTILE_NAMES | st.integers(-(2**70), 2**70).map(str),
    ),
    max_size=8,
)


@MANY
@given(
    members=HOSTILE,
    changes=st.lists(st.tuples(st.integers(0, 1 << 14), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 1 << 14) | st.none(),
)
def test_tar_streams(members: list[Any], changes: list[tuple[int, int]], cut: int | None) -> None:
    """Hostile members, records that overrule them, flipped bytes, a stream that ends too soon: nothing outside the layer is touched."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for kind, name, link, content, key, value in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.mode = kind, link if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else "", 0o6777
            info.size = len(content) if kind in (tarfile.REGTYPE, b"7", b"S") else 0
            info.pax_headers = {key: value} if key else {}
            tar.addfile(info, io.BytesIO(content))
    plain = bytearray(data.getvalue())
    for at, byte in changes:
        plain[at % len(plain)] = byte
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        os.mkdir(f"{directory}/out")
        Path(f"{directory}/out/kept").write_text("kept")
        os.mkdir(f"{directory}/diff")
        source = os.memfd_create("tar")
        os.write(source, plain[:cut])
        os.lseek(source, 0, os.SEEK_SET)
        record = os.open(f"{directory}/{skeleton.NAME}", os.O_WRONLY | os.O_CREAT)
        try:
            unpack.unpack_layer(source, f"{directory}/diff", media_type="", single=True, skeleton_fd=record)
        except PymanError:
            pass
        finally:
            os.close(source)
            os.close(record)
        assert sorted(os.listdir(directory)) == ["diff", "out", skeleton.NAME]
        assert os.listdir(f"{directory}/out") == ["kept"] and Path(f"{directory}/out/kept").read_text() == "kept"


@MANY
@given(
    text=st.lists(
        st.sampled_from(["docker:", "  a:", "    lookaside: x", "'", '"', "#", " ", "-", "b: {", "\n", "\t", ": "]) | st.text(max_size=5)
    ).map("".join)
)
def test_registries_d(text: str) -> None:
    try:
        for settings_of in registries_d.parse(text, "it").values():
            assert isinstance(settings_of, dict)
    except PymanError:
        pass


@example(data=b"-----BEGIN PGP PUBLIC KEY BLOCK-----\0-----END PGP PUBLIC KEY BLOCK-----")
@MANY
@given(
    data=st.lists(
        st.sampled_from([b"-----BEGIN PGP PUBLIC KEY BLOCK-----", b"-----END PGP PUBLIC KEY BLOCK-----", b"\n", b"\n\n", b"=ab", b"aGk="])
        | st.binary(max_size=9)
    ).map(b"".join)
)
def test_keys(data: bytes) -> None:
    try:
        assert openpgp.keyring(data)
    except ValueError:
        pass
