"""cp: every form and rule of where things go; hostile containers and archives reach nothing outside."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment, until


@pytest.fixture
def files(base: Path) -> Iterator[Path]:
    """A directory of the host with something to copy; relative paths of the command begin in its parent."""
    path = base / "cp"
    (path / "tree" / "sub").mkdir(parents=True)
    (path / "tree" / "sub" / "leaf").write_text("leaf")
    (path / "file").write_text("content")
    (path / "file").chmod(0o4750)
    (path / "link").symlink_to("file")
    yield path
    subprocess.run([*command(), "unshare", "rm", "-rf", str(path)], env=environment(base), check=True)


@pytest.fixture(params=["running", "stopped"])
def box(request: pytest.FixtureRequest, pyman: Run, image: str) -> str:
    pyman("create", "--name", "box", "--network", "none", "-w", "/tmp", "-v", "/vol", image, "sleep", "600")
    if request.param == "running":
        pyman("start", "box")
    return "box"


def listing(pyman: Run, path: str) -> dict[str, tarfile.TarInfo]:
    """What `cp box:PATH -` gives."""
    done = pyman("cp", f"box:{path}", "-", text=False)
    return {member.name: member for member in tarfile.open(fileobj=io.BytesIO(done.stdout))}  # type: ignore[arg-type]


def test_where_things_go(pyman: Run, box: str, files: Path) -> None:
    pyman("cp", "cp/file", "box:new")  # relative: to the working directory, as in Podman
    found = listing(pyman, "/tmp/new")["new"]
    assert (found.uid, found.gid, found.mode, found.size) == (0, 0, 0o4750, 7)
    pyman("cp", "cp/link", "box:/tmp/")
    assert listing(pyman, "/tmp/link")["link"].isreg()
    pyman("cp", "cp/tree", "box:/tmp/a")
    pyman("cp", "cp/tree", "box:/tmp/a")
    pyman("cp", "cp/tree/.", "box:/tmp/b")
    pyman("cp", "cp/tree/.", "box:/tmp/b")
    assert set(listing(pyman, "/tmp/a")) == {"a", "a/sub", "a/sub/leaf", "a/tree", "a/tree/sub", "a/tree/sub/leaf"}
    assert set(listing(pyman, "/tmp/b/.")) == {"sub", "sub/leaf"}
    pyman("cp", "cp/file", "box:/vol/x")
    assert listing(pyman, "/vol")["vol/x"].size == 7
    pyman("cp", "box:/vol/x", "cp/out")
    assert (files / "out").read_text() == "content" and (files / "out").stat().st_mode & 0o7777 == 0o750
    assert (files / "out").stat().st_uid == os.getuid()
    pyman("cp", "box:/tmp/a", "cp/copied")
    assert (files / "copied/tree/sub/leaf").read_text() == "leaf"
    pyman("cp", "box:/tmp/a/.", "cp/copied")
    assert (files / "copied/sub/leaf").exists()
    pyman("cp", "box:/tmp", "box:/tmp/within")
    assert "within/a/sub/leaf" in listing(pyman, "/tmp/within")
    pyman("cp", "box:/etc/passwd", "box:/tmp/passwd")
    whole = listing(pyman, "/")
    assert "etc/passwd" in whole and not any(name.split("/")[0] in ("proc", "sys", "dev") for name in whole)


@pytest.mark.parametrize("box", ["stopped"], indirect=True)
def test_refusals(pyman: Run, box: str, files: Path) -> None:
    for args, text in (
        (("cp/file", "box:/no/x"), '"/no/x" could not be found on container box: no such file or directory'),
        (("cp/file", "box:/no/"), '"/no/" could not be found on container box'),
        (("cp/none", "box:/"), '"cp/none" could not be found on the host'),
        (("box:/none", "."), '"/none" could not be found on container box'),
        (("box:/etc", "cp/none/x"), '"cp/none/x" could not be found on the host'),
        (("cp/tree", "box:/etc/passwd"), "destination must be a directory when copying a directory"),
        (("box:/etc", "cp/file"), "destination must be a directory when copying a directory"),
        (("cp/file", "nobody:/x"), 'container "nobody" does not exist'),
        (("cp/file", "cp/x"), "neither argument is CONTAINER:PATH"),
        (("cp/file", "box:"), "the path in the container is missing"),
    ):
        assert text in pyman("cp", *args, rc=125).stderr
    assert "it is a pipe or a socket" in pyman("cp", "/dev/stdin", "box:/tmp/stdin", input="x", rc=125).stderr
    said = pyman("cp", "box:/dev/null", "cp/null", rc=125).stderr
    assert "it is a device" in said or '"/dev/null" could not be found' in said  # a stopped one has none
    assert "destination must be a directory" in pyman("cp", "-", "box:/etc/passwd", input="x", rc=125).stderr
    assert "must be a (compressed) tar archive" in pyman("cp", "-", "box:/", input="x" * 600, rc=125).stderr
    (files / "dir/file").mkdir(parents=True)
    pyman("cp", "cp/dir", "box:/tmp/dir")
    assert "there is a directory of that name" in pyman("cp", "cp/file", "box:/tmp/dir", rc=125).stderr
    pyman("cp", "--overwrite", "cp/file", "box:/tmp/dir")
    assert listing(pyman, "/tmp/dir")["dir/file"].isreg()
    assert "there is a file of that name" in pyman("cp", "cp/dir/file", "box:/tmp/dir/", rc=125).stderr
    pyman("cp", "--overwrite", "cp/dir/file", "box:/tmp/dir/")
    assert listing(pyman, "/tmp/dir")["dir/file"].isdir()


def test_devices_and_mounts_stay(pyman: Run, image: str, files: Path) -> None:
    """Neither is replaced by a file; into a mounted file is written, whether its container runs or not."""
    shared = files / "shared"
    shared.write_text("old")
    os.mkfifo(files / "fifo")
    pyman("create", "--name", "box", "--network", "none", "-v", "/vol", "-v", f"{shared}:/shared", image, "sleep", "600")
    for running in (False, True):
        shared.write_text("what was longer")
        pyman("cp", "cp/file", "box:/shared")
        assert shared.read_text() == "content", running
        for name, kind, value in (("shared", tarfile.SYMTYPE, "x"), ("shared", tarfile.DIRTYPE, ""), ("vol", tarfile.REGTYPE, "x")):
            data = archive((name, kind, value, 0))
            said = pyman("cp", "--overwrite", "-", "box:/", input=data, text=False, rc=125).stderr
            assert f"cannot write {name}: something is mounted" in str(said)
        for place in ("cp/fifo", "/dev/null"):
            assert "neither a directory nor a regular file" in pyman("cp", "box:/etc/passwd", place, rc=125).stderr
        assert (files / "fifo").is_fifo()
        pyman("start", "box")
    assert "a device of that name" in pyman("cp", "cp/file", "box:/dev/null", rc=125).stderr
    data = archive(("zero", tarfile.REGTYPE, "x", 0))
    assert "a device of that name" in str(pyman("cp", "--overwrite", "-", "box:/dev", input=data, text=False, rc=125).stderr)
    pyman("exec", "box", "sh", "-c", "test -c /dev/null && test -c /dev/zero && mkfifo /fifo && echo more >>/shared")
    assert shared.read_text() == "contentmore\n"
    pyman("cp", "cp/file", "box:/fifo")  # which Podman replaces, too
    assert listing(pyman, "/fifo")["fifo"].isreg()


def test_files_of_the_kernel(pyman: Run, image: str, files: Path) -> None:
    """Their size is not known before they are read: no empty or padded copy of one is made."""
    pyman("run", "-d", "--name", "box", "--network", "none", image, "sleep", "600")
    for path in ("/proc/version", "/proc/sys/kernel", "/sys/kernel/fscaps", "/sys/fs/cgroup/cgroup.procs"):
        for place in ("cp/copy", "-", "box:/copy"):
            assert f"pyman exec box cat {path}" in pyman("cp", f"box:{path}", place, rc=125).stderr
    assert not (files / "copy").exists()
    assert "cat /proc/version >COPY" in pyman("cp", "/proc/version", "box:/copy", rc=125).stderr
    assert "could not be found" in pyman("cp", "box:/copy", "cp/copy", rc=125).stderr


def test_files_with_holes(pyman: Run, image: str, box: str, files: Path, base: Path) -> None:
    """A file of a terabyte that has 20 bytes takes no room on its way: in, out, within a container, exported, committed."""
    path = files / "sparse"
    with path.open("wb") as file:
        for at in (0, 1 << 20, (1 << 40) - 10):
            file.seek(at)
            file.write(b"0123456789")
    (files / "hole").touch()
    os.truncate(files / "hole", 1 << 40)

    def right(copy: Path) -> bool:
        with copy.open("rb") as file:
            parts = [file.read(10), file.seek((1 << 20) - 3), file.read(16), file.seek((1 << 40) - 12), file.read()]
        info = copy.stat()
        return (
            info.st_size == 1 << 40
            and info.st_blocks < 4096
            and parts[::2] == [b"0123456789", b"\0\0\x000123456789\0\0\0", b"\0\x000123456789"]
        )

    assert right(path)
    pyman("cp", str(path), f"{box}:/tmp/sparse")
    pyman("cp", str(files / "hole"), f"{box}:/tmp/hole")
    pyman("cp", f"{box}:/tmp/sparse", f"{box}:/tmp/second")
    pyman("cp", f"{box}:/tmp/second", str(files / "back"))
    pyman("cp", f"{box}:/tmp/hole", str(files / "nothing"))
    assert right(files / "back")
    assert (files / "nothing").stat().st_size == 1 << 40 and (files / "nothing").stat().st_blocks == 0
    pyman("cp", f"{box}:/tmp/sparse", str(files / "back"))  # over what is there
    assert right(files / "back")
    pyman("rm", "-f", "-t", "0", box)

    # What others can read has no holes: there a smaller one is written as a file with holes itself, and read back as one.
    os.truncate(files / "hole", 1 << 28)
    pyman("create", "--name", box, "--network", "none", image, "true")
    pyman("cp", str(files / "hole"), f"{box}:/hole")
    pyman("export", "-o", str(files / "export.tar"), box)
    info = (files / "export.tar").stat()
    assert info.st_size > 1 << 28 and info.st_blocks * 512 < 1 << 27
    with tarfile.open(files / "export.tar") as tar:
        assert tar.getmember("hole").size == 1 << 28 and "etc/passwd" in tar.getnames()
    pyman("commit", "-q", box, "localhost/holes")
    layer = json.loads(pyman("image", "inspect", "localhost/holes").stdout)[0]["RootFS"]["Layers"][-1].partition(":")[2]
    made = (base / "home/.local/share/pyman/layers" / layer / "diff/hole").stat()
    assert made.st_size == 1 << 28 and made.st_blocks * 512 < 1 << 20
    pyman("rm", box)
    pyman("rmi", "localhost/holes")


def archive(*entries: tuple[str, bytes, str, int]) -> bytes:
    """(name, type, link or content, owner) members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as written:
        for name, kind, value, owner in entries:
            member = tarfile.TarInfo(name)
            member.type, member.uid, member.gid, member.mode = kind, owner, owner, 0o755
            member.size = len(value) if kind == tarfile.REGTYPE else 0
            member.linkname = value if kind != tarfile.REGTYPE else ""
            written.addfile(member, io.BytesIO(value.encode()))
    return out.getvalue()


def test_archives_from_stdin(pyman: Run, box: str, base: Path, files: Path) -> None:
    def send(*options: str, data: bytes, rc: int = 0) -> str:
        return str(pyman("cp", *options, "-", "box:/tmp", input=data, text=False, rc=rc).stderr)

    good = archive(("d", tarfile.DIRTYPE, "", 7), ("d/f", tarfile.REGTYPE, "x", 7), ("h", tarfile.LNKTYPE, "d/f", 7))
    send(data=good)
    found = listing(pyman, "/tmp/d")["d/f"]
    assert (found.uid, found.gid) == (0, 0)
    send("--archive=false", data=good)
    assert listing(pyman, "/tmp/d")["d/f"].uid == 7
    # The host's file is reached neither by names nor by links.
    outside = base / "cp/file"
    assert ".. component" in send(data=archive(("../../x", tarfile.REGTYPE, "x", 0)), rc=125)
    evil = archive(
        ("out", tarfile.SYMTYPE, str(files), 0),
        ("out/file", tarfile.REGTYPE, "overwritten", 0),
        ("up", tarfile.SYMTYPE, "/../../../../../../../../" + str(files), 0),
        ("up/file", tarfile.REGTYPE, "overwritten", 0),
    )
    assert "cannot write out/file: No such file" in send(data=evil, rc=125)
    assert "does not exist" in send(data=archive(("h", tarfile.LNKTYPE, str(outside), 0)), rc=125)
    assert outside.read_text() == "content"
    assert "sets the extended attribute" in send(data=_opaque(), rc=125)
    pyman("cp", "box:/tmp", "cp/all")
    assert outside.read_text() == "content"


def test_who_sends_nothing_yet_locks_nothing(pyman: Run, image: str, base: Path) -> None:
    """A stopped container can be removed while an archive for it is awaited."""
    pyman("create", "--name", "awaiting", "--network", "none", image, "true")
    with subprocess.Popen(
        [*command(), "cp", "-", "awaiting:/tmp"], env=environment(base), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        call = Path(f"/proc/{child.pid}/syscall")
        until(lambda: call.read_text().split()[0] in ("7", "73"), "it does not poll")  # poll(2) on x86_64, ppoll(2) on aarch64
        assert pyman("rm", "awaiting").stdout == "awaiting\n"
        _, err = child.communicate(archive(("f", tarfile.REGTYPE, "x", 0)), timeout=300)
    assert child.returncode == 125 and b"removed" in err, err


def _opaque() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as written:
        member = tarfile.TarInfo("steered")
        member.type, member.pax_headers = tarfile.DIRTYPE, {"SCHILY.xattr.user.overlay.opaque": "y"}
        written.addfile(member)
    return out.getvalue()


def test_a_container_that_swaps_directories_for_links(pyman: Run, image: str, base: Path, files: Path) -> None:
    """While files are copied in and out, the container exchanges what they go through with links to the host's paths."""
    secret = files / "secret"
    secret.mkdir()
    (secret / "leaf").write_text("host")
    (secret / "leaf").chmod(0o600)
    swap = f"cd /tmp; mkdir real; while :; do ln -s {secret} x; rm x; mv real x; ln -s {secret}/leaf x/leaf; rm -f x/leaf; mv x real; done"
    pyman("run", "-d", "--name", "box", "--network", "none", image, "sh", "-c", swap)
    out = files / "out"
    for _ in range(12):
        pyman("cp", "cp/tree/sub/leaf", "box:/tmp/x/leaf", rc=None)
        pyman("cp", "cp/tree/sub/.", "box:/tmp/x", rc=None)
        pyman("cp", "box:/tmp/.", "cp/out", rc=None)
        pyman("cp", "box:/tmp/x/leaf", "cp/leaf", rc=None)
    assert (secret / "leaf").read_text() == "host" and (secret / "leaf").stat().st_mode & 0o7777 == 0o600
    assert os.listdir(secret) == ["leaf"]
    for path in (files / "leaf", *out.rglob("*")):
        assert path.is_symlink() or not path.is_file() or path.read_text() != "host", path
