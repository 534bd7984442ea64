"""The volume commands and the life of volumes, against real containers."""

from __future__ import annotations

import io
import json
import os
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment

NONE = ("--rm", "--network", "none")


@pytest.fixture(autouse=True)
def no_volumes(pyman: Run) -> Iterator[None]:
    pyman("volume", "rm", "--all", "--force", "-t", "0", rc=None)
    yield
    pyman("volume", "rm", "--all", "--force", "-t", "0", rc=None)


def store(base: Path) -> Path:
    return base / "home/.local/share/pyman"


def names(pyman: Run, *filters: str) -> list[str]:
    return pyman("volume", "ls", "-q", *(word for item in filters for word in ("--filter", item))).stdout.split()


def inspect(pyman: Run, name: str) -> dict[str, object]:
    return dict(json.loads(pyman("volume", "inspect", name).stdout)[0])


def test_create_ls_inspect_exists_rm(pyman: Run) -> None:
    random = pyman("volume", "create").stdout.strip()
    assert len(random) == 64
    assert pyman("volume", "create", "--label", "a=b", "-l", "c", "one").stdout == "one\n"
    assert "already exists" in pyman("volume", "create", "one", rc=125).stderr
    assert pyman("volume", "create", "--ignore", "--label", "x=y", "one").stdout == "one\n"
    for bad in ("../x", "a/b", ".x", "", "-"):
        assert "invalid volume name" in pyman("volume", "create", "--", bad, rc=None).stderr or bad == ""
    value = inspect(pyman, "one")
    assert value["Labels"] == {"a": "b", "c": ""} and value["Driver"] == "local" and value["Scope"] == "local"
    assert str(value["Mountpoint"]).endswith("/volumes/one/_data") and value["NeedsCopyUp"] and value["MountCount"] == 0
    assert "Anonymous" not in value and "UID" not in value
    line = pyman("volume", "ls").stdout.split("\n")
    assert line[0] == "DRIVER      VOLUME NAME" and line[1] == f"local       {random}" and line[2] == "local       one"
    assert pyman("volume", "ls", "--noheading", "--filter", "name=^one$").stdout == "local       one\n"
    assert pyman("volume", "ls", "--format", "{{.Name}} {{.Labels}} {{.UID}} {{.Anonymous}}", "--filter", "label=a").stdout == (
        "one map[a:b c:] 0 false\n"
    )
    assert pyman("volume", "inspect", "on", "--format", "{{.Name}} {{.NeedsChown}}").stdout == "one true\n"
    assert json.loads(pyman("volume", "ls", "--format", "json").stdout)[1]["Name"] == "one"
    assert pyman("inspect", "--type", "volume", "one", "--format", "{{.Driver}}").stdout == "local\n"
    assert pyman("inspect", "one", "--format", "{{.Driver}}").stdout == "local\n"
    assert pyman("volume", "exists", "one", rc=0) and pyman("volume", "exists", "on", rc=1)
    assert pyman("volume", "inspect", "nope", rc=125).stdout == "[]\n"
    assert pyman("__complete", "volume", "rm", "o").stdout == "one\n" and pyman("__complete", "volume", "create", "o").stdout == ""
    assert "provide one or more" in pyman("volume", "inspect", rc=125).stderr
    assert pyman("volume", "rm", "one", "nope", rc=1).stdout == "one\n"
    assert "--force option must" in pyman("volume", "rm", "-t", "1", "x", rc=125).stderr
    assert pyman("volume", "rm", "--force", "nope").stdout == ""
    assert pyman("volume", "reload").stdout == ""


def test_options_of_create(pyman: Run, image: str, base: Path) -> None:
    (base / "shared").mkdir(exist_ok=True)
    (base / "shared/f").write_text("host\n")
    pyman("volume", "create", "--uid", "7", "--gid", "8", "owned")
    pyman("volume", "create", "-o", "o=uid=5,gid=6", "owned2")
    pyman("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=2M,nodev,noexec,uid=3", "mem")
    pyman("volume", "create", "-o", "type=none", "-o", f"device={base}/shared", "-o", "o=bind,ro", "dir")
    pyman("volume", "create", "-o", "o=nocopy", "plain")
    value = inspect(pyman, "mem")
    assert value["Options"] == {"type": "tmpfs", "device": "tmpfs", "o": "size=2M,nodev,noexec,uid=3", "SIZE": "2M", "UID": "3"}
    assert inspect(pyman, "owned2")["GID"] == 6
    mounts = [word for pair in ("owned:/a", "owned2:/b", "mem:/m", "dir:/d", "plain:/bin2") for word in ("-v", pair)]
    script = "stat -c '%u:%g' /a /b /m; grep -o ' /m tmpfs .*size=2048k' /proc/mounts | tr ' ' '\\n' | head -4; cat /d/f; touch /d/x"
    done = pyman("run", *NONE, *mounts, image, "sh", "-c", script, rc=1)
    assert done.stdout.split() == ["7:8", "5:6", "3:0", "/m", "tmpfs", "rw,nosuid,nodev,noexec,relatime,size=2048k", "host"], done.stdout
    assert "Read-only" in done.stderr
    # A directory of another's is used as it is: its owner cannot be changed, nothing is copied into it.
    for place, option in (("/usr", "bind"), ("/usr", "bind,ro"), ("/usr/lib", "rbind")):
        pyman("volume", "create", "-o", "type=none", "-o", f"device={place}", "-o", f"o={option}", "lent")
        assert set(pyman("run", *NONE, "-v", "lent:/usr/x", image, "ls", "-A", "/usr/x").stdout.split("\n")) == {*os.listdir(place), ""}
        pyman("volume", "rm", "lent")
    for options, reason in (
        (("-d", "image", "-o", "image=nope"), "nope"),
        (("-d", "image"), "must provide an image name"),
        (("-d", "image", "-o", "image=x", "-o", "o=ro"), "invalid mount option o for driver 'image'"),
        (("-d", "plugin"), "plugin"),
        (("-o", "type=nfs", "-o", "device=h:/x"), "privileged"),
        (("-o", "o=size=5M"), "quota"),
        (("-o", "foo=bar"), "invalid mount option foo"),
        (("-o", "o=timeout=3"), "timeout"),
        (("-o", "copy", "-o", "nocopy"), "together"),
        (("-o", "type=bind", "-o", "device=relative"), "absolute"),
        (("-o", "type=bind", "-o", f"device={base}/none"), f"cannot reach {base}/none: No such file"),
        (("-o", "type=bind", "-o", f"device={base}/shared/f/x"), "Not a directory"),
        (("--ignore", "-o", "type=bind", "-o", "device="), "absolute"),
        (("--uid", "root"), "number"),
        (("--uid", "4294967295"), "number"),
    ):
        assert reason in pyman("volume", "create", *options, "bad", rc=125).stderr, options
    assert "bad" not in names(pyman)
    pyman("volume", "create", "-o", "type=none", "-o", f"device={base}/later", "-o", "o=bind", "later")
    assert f"{base}/later" in pyman("run", *NONE, "-v", "later:/l", image, "true", rc=125).stderr
    (base / "later").mkdir()
    pyman("run", *NONE, "-v", "later:/l", image, "true")


def test_filters(pyman: Run, image: str) -> None:
    pyman("volume", "create", "-l", "a=1", "first")
    pyman("volume", "create", "-l", "a=2", "-o", "type=tmpfs", "second")
    pyman("create", "--name", "user", "-v", "first:/x", "-v", "/anon", image)
    anonymous = next(name for name in names(pyman) if len(name) == 64)
    assert names(pyman, "name=^fir") == ["first"]
    assert names(pyman, "label=a=2") == names(pyman, "opt=type=tmpfs") == names(pyman, "opt=type") == ["second"]
    assert names(pyman, "label=a", "label=a=1") == ["first"]
    assert names(pyman, "label!=a") == names(pyman, "anonymous=true") == [anonymous]
    assert names(pyman, "dangling=true") == ["second"] and names(pyman, "dangling=false") == ["first", anonymous]
    assert names(pyman, "since=first", "driver=local", "scope=local") == names(pyman, "after=first") == ["second", anonymous]
    assert names(pyman, "until=1h") == [] and len(names(pyman, "until=0s")) == 3
    assert names(pyman, "name=first", "name=second", "driver=x") == []
    assert "invalid volume filter" in pyman("volume", "ls", "--filter", "foo=x", rc=125).stderr
    assert "filter=value" in pyman("volume", "ls", "--filter", "x", rc=125).stderr
    pyman("rm", "-v", "user")
    assert names(pyman) == ["first", "second"]


def test_volumes_in_use_are_protected(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "holder", "--network", "none", "-v", "kept:/x", image, "sleep", "600")
    pyman("create", "--name", "sharer", "--volumes-from", "holder", image)
    refused = pyman("volume", "rm", "kept", rc=2).stderr
    assert "holder" in refused and "sharer" in refused and "is being used" in refused
    assert pyman("volume", "rm", "kept", "nope", rc=2).stdout == ""
    assert pyman("volume", "prune", "-f").stdout == "" and names(pyman) == ["kept"]
    assert pyman("volume", "rm", "--force", "-t", "0", "kept").stdout == "kept\n"
    assert not pyman("ps", "-aq").stdout and not names(pyman)


def test_prune_asks(pyman: Run) -> None:
    assert pyman("volume", "ls").stdout == "DRIVER      VOLUME NAME\n"
    pyman("volume", "create", "-l", "keep", "one")
    pyman("volume", "create", "two")
    assert "stdin has ended" in pyman("volume", "prune", input="", rc=125).stderr and names(pyman) == ["one", "two"]
    asked = pyman("volume", "prune", input="n\n").stdout
    assert "The following volumes will be removed:\none\ntwo\n" in asked and names(pyman) == ["one", "two"]
    assert pyman("volume", "prune", "-f", "--filter", "label!=keep").stdout == "two\n"
    assert pyman("volume", "prune", input="y\n").stdout.endswith("one\n") and not names(pyman)
    assert pyman("volume", "prune", input="").stdout == "No dangling volumes found\n"
    events = pyman("events", "--stream=false", "--filter", "type=volume", "--since", "1h", "--format", "{{.Status}} {{.Name}}").stdout
    assert "create two\nremove two\nprune" in events


def test_anonymous_volumes_end_with_their_last_container(pyman: Run, image: str, base: Path) -> None:
    pyman("run", *NONE, "-v", "/data", "-v", "named:/n", image, "touch", "/data/x", "/n/x")
    assert names(pyman) == ["named"], "--rm takes anonymous volumes only"
    pyman("create", "--name", "first", "-v", "/data", image, "touch", "/data/seen")
    pyman("create", "--name", "second", "--network", "none", "--volumes-from", "first", image, "ls", "/data")
    pyman("start", "-a", "first")
    pyman("rm", "-v", "first")
    assert pyman("start", "-a", "second").stdout == "seen\n"
    pyman("rm", "second")
    assert len(names(pyman)) == 2, "rm without -v keeps it"
    pyman("create", "--name", "third", "-v", "/data", image)
    pyman("rm", "-v", "third")
    assert len(names(pyman)) == 2


def test_first_use(pyman: Run, image: str, base: Path) -> None:
    """The image's files and owner come once, and never over what is there."""
    pyman("run", *NONE, "-v", "up:/bin", image, "sh", "-c", "test -x /bin/sh && echo mine > /bin/mine")
    assert not inspect(pyman, "up").get("NeedsCopyUp")
    # "Content is not copied up when the volume is subsequently used", emptied or not.
    pyman("run", *NONE, "-v", "up:/v", image, "sh", "-c", "rm -rf /v/*")
    assert pyman("run", *NONE, "-v", "up:/etc", image, "ls", "/etc").stdout == "hostname\nhosts\nresolv.conf\n"
    pyman("volume", "create", "full")
    (store(base) / "volumes/full/_data/sh").write_text("not a shell")
    assert pyman("run", *NONE, "-v", "full:/bin", image, "/bin/sh", rc=126).returncode == 126
    assert os.listdir(store(base) / "volumes/full/_data") == ["sh"]
    # Without a place in the image the volume is the user's; with one it has that one's owner and mode.
    assert pyman("run", *NONE, "-u", "33:44", "-v", "own:/nowhere", image, "stat", "-c", "%u:%g", "/nowhere").stdout == "33:44\n"
    assert pyman("run", *NONE, "-u", "50:50", "-v", "own:/nowhere", image, "stat", "-c", "%u:%g", "/nowhere").stdout == "33:44\n"
    assert pyman("run", *NONE, "-u", "33", "-v", "tmp:/tmp", image, "stat", "-c", "%u %a", "/tmp").stdout == "0 1777\n"
    pyman("run", *NONE, "-v", "nothing:/bin:nocopy", "--entrypoint", "/x/busybox", "-v", "up2:/x", image, "true", rc=127)
    assert not os.listdir(store(base) / "volumes/nothing/_data")
    assert "no such volume" in pyman("run", *NONE, "-v", "absent:/x:nocreate", image, "true", rc=125).stderr
    assert "absent" not in names(pyman)


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs"])
def test_first_use_through_an_overlay(pyman: Run, image: str, base: Path, driver: str) -> None:
    """The volume is filled first, and the overlay shows that; what is written to it still ends with the run."""
    pyman("run", "--name", "vol-made", "--network", "none", image, "sh", "-c", "mkdir -m 775 /d; echo mine >/d/f; chown -R 7:8 /d")
    pyman("commit", "-q", "vol-made", "localhost/vol-made")
    pyman("rm", "vol-made")
    run = ("--storage-driver", driver, "run", *NONE, "-v")
    look = ("localhost/vol-made", "sh", "-c", "stat -c '%a %u:%g' /d; ls /d; rm -f /d/f; touch /d/new")
    for _ in range(2):
        assert pyman(*run, "over:/d:O", *look).stdout == "775 7:8\nf\n"
    assert os.listdir(store(base) / "volumes/over/_data") == ["f"]
    # Emptied, it is not filled again; with nocopy, as a part of a volume, or where the image has nothing, it is not at all.
    pyman(*run, "over:/d", image, "rm", "/d/f")
    assert pyman(*run, "over:/d:O", *look).stdout == "775 7:8\n"
    assert pyman(*run, "over2:/d:O,nocopy", *look).stdout == "755 0:0\n"
    assert pyman(*run, "over3:/nowhere:O", "-u", "33", image, "stat", "-c", "%u", "/nowhere").stdout == "0\n"
    assert pyman(*run, "over3:/nowhere", "-u", "33", image, "stat", "-c", "%u", "/nowhere").stdout == "33\n"
    # What comes to the container from outside sees it as well.
    pyman("create", "--name", "vol-over", "-v", "over4:/d:O", "localhost/vol-made", "true")
    assert "mine" in pyman("cp", "vol-over:/d/f", "-").stdout
    pyman("rm", "vol-over")
    assert os.listdir(store(base) / "volumes/over4/_data") == ["f"]
    pyman("rmi", "localhost/vol-made")


def test_memory_volume_is_shared_while_it_is_used(pyman: Run, image: str, base: Path) -> None:
    pyman("volume", "create", "-o", "type=tmpfs", "-o", "o=size=1M", "mem")
    assert "memory" in pyman("volume", "import", "mem", "-", rc=125, input="").stderr
    pyman("run", "-d", "--name", "one", "--network", "none", "-v", "mem:/m", image, "sleep", "600")
    pyman("run", *NONE, "-v", "mem:/m", image, "sh", "-c", "echo shared > /m/f")
    # The last container to start has ended; the others, and their user namespace, are found all the same.
    assert pyman("exec", "one", "cat", "/m/f").stdout == "shared\n"
    assert inspect(pyman, "mem")["MountCount"] == 1
    assert b"shared" in export(pyman, base, "mem")
    pyman("rm", "-f", "-t", "0", "one")
    assert pyman("run", *NONE, "-v", "mem:/m", image, "ls", "/m").stdout == ""
    assert "unshare" in pyman("volume", "mount", "mem", rc=125).stderr
    script = 'touch "$($PYMAN volume mount mem)/x" && grep -c "volumes/mem/_data tmpfs" /proc/self/mounts && $PYMAN volume unmount mem'
    done = pyman("unshare", "sh", "-c", script, env={"PYMAN": " ".join(command())})
    assert done.stdout == "1\nmem\n"
    (base / "source").mkdir()
    (base / "source" / "file").touch()
    pyman("volume", "create", "-o", "type=bind", "-o", f"device={base}/source", "bound")
    script = """count() { $PYMAN volume inspect -f '{{.MountCount}}' bound; }
        place=$($PYMAN volume mount bound); ls $place; $PYMAN volume mount bound >/dev/null; count; $PYMAN volume unmount bound; ls $place; count"""
    assert pyman("unshare", "sh", "-c", script, env={"PYMAN": " ".join(command())}).stdout == "file\n1\nbound\n0\n"
    pyman("volume", "create", "disk")
    assert pyman("volume", "mount", "disk").stdout.strip().endswith("volumes/disk/_data")


def export(pyman: Run, base: Path, name: str) -> bytes:
    return subprocess.run([*command(), "volume", "export", name], env=environment(base), check=True, capture_output=True).stdout


def test_export_and_import(pyman: Run, image: str, base: Path) -> None:
    script = """cd /v; mkdir -p d/e; echo one > d/e/f; ln -s /etc/passwd link; ln d/e/f hard; echo old > replaced; mkdir odd
        touch .wh.odd; chmod 4711 hard; chown 33:44 odd; mkfifo pipe; echo dir > odd/x"""
    pyman("run", *NONE, "-v", "src:/v", image, "sh", "-c", script)
    data = export(pyman, base, "src")
    for packed in (data, __import__("gzip").compress(data)):
        (base / "v.tar").write_bytes(packed)
        pyman("volume", "create", "dst")
        pyman("run", *NONE, "-v", "dst:/v", image, "sh", "-c", "mkdir /v/replaced; touch /v/replaced/x /v/kept; ln -s / /v/d")
        pyman("volume", "import", "dst", str(base / "v.tar"))
        show = "cd /v; cat d/e/f hard replaced odd/x; readlink link; stat -c '%u:%g' odd; stat -c '%a %h' hard; ls -A"
        done = pyman("run", *NONE, "-v", "dst:/v", image, "sh", "-c", show).stdout.split("\n")
        assert done[:4] == ["one", "one", "old", "dir"] and done[4:7] == ["/etc/passwd", "33:44", "4711 2"], done
        assert done[7:-1] == sorted([".wh.odd", "d", "hard", "kept", "link", "odd", "pipe", "replaced"])
        pyman("volume", "rm", "dst")
    pyman("volume", "create", "piped")
    with subprocess.Popen([*command(), "volume", "export", "src"], env=environment(base), stdout=subprocess.PIPE) as writer:
        subprocess.run([*command(), "volume", "import", "piped", "-"], env=environment(base), stdin=writer.stdout, check=True)
    assert export(pyman, base, "piped") == data
    (store(base) / "tmp/import-of-a-killed-command/diff").mkdir(parents=True)
    pyman("volume", "import", "piped", str(base / "v.tar"))
    assert "no such volume" in pyman("volume", "import", "nope", str(base / "v.tar"), rc=125).stderr
    assert "No such file" in pyman("volume", "import", "piped", "/nope.tar", rc=125).stderr
    assert not [entry for entry in os.listdir(store(base) / "tmp") if entry.startswith(("import", "volume"))]


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as writer:
        for member, content in members:
            member.size = len(content)
            writer.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o777
    return info


@pytest.mark.parametrize("planted", ["by the archive", "by a container"])
def test_import_of_hostile_archives(pyman: Run, image: str, base: Path, planted: str) -> None:
    """Nothing outside of the volume is written, and a refused archive leaves the volume as it was."""
    outside = base / "beside-the-volume"
    outside.mkdir(exist_ok=True)
    (outside / "victim").write_text("untouched")
    pyman("volume", "create", "v")
    data = store(base) / "volumes/v/_data"
    (data / "before").write_text("x")
    links: list[tuple[tarfile.TarInfo, bytes]] = []
    if planted == "by a container":
        (data / "out").symlink_to(outside)
        (data / "file").symlink_to(outside / "victim")
    else:
        links = [(member("out", tarfile.SYMTYPE, str(outside)), b""), (member("file", tarfile.SYMTYPE, str(outside / "victim")), b"")]
    good = archive(*links, (member("out/new"), b"x"), (member("file"), b"overwritten"), (member("out/victim"), b"overwritten"))
    (base / "h.tar").write_bytes(good)
    pyman("volume", "import", "v", str(base / "h.tar"), rc=None)
    assert (outside / "victim").read_text() == "untouched" and os.listdir(outside) == ["victim"]
    assert oct((outside / "victim").stat().st_mode)[-3:] == "644"
    for bad in (
        archive((member("fine"), b"x"), (member("../escape"), b"x")),
        archive((member("fine"), b"x"), (member("hard", tarfile.LNKTYPE, "../../../beside-the-volume/victim"), b"")),
        archive((member("fine"), b"x"), (member("up", tarfile.SYMTYPE, ".."), b""), (member("hard", tarfile.LNKTYPE, "up/up/x"), b"")),
        archive((member("fine"), b"x" * 5000))[:3000],
        b"this is no archive" * 1000,
        b"",
    ):
        (base / "h.tar").write_bytes(bad)
        refused = pyman("volume", "import", "v", str(base / "h.tar"), rc=125).stderr
        assert "cannot import into volume v" in refused and "layer" not in refused, refused
        assert "fine" not in os.listdir(data) and (data / "before").read_text() == "x"
    (base / "h.tar").write_bytes(archive((member("/abs"), b"inside"), (member("dev", tarfile.CHRTYPE), b"")))
    assert "device" in pyman("volume", "import", "v", str(base / "h.tar")).stderr
    (base / "h.tar").write_bytes(archive((member("dangling", tarfile.SYMTYPE, "/none"), b""), (member("dangling/f"), b"x")))
    assert "cannot write dangling/f: " in pyman("volume", "import", "v", str(base / "h.tar"), rc=125).stderr
    assert (data / "abs").read_text() == "inside" and not (data / "dev").exists()


def test_a_damaged_volume_is_alone_with_it(pyman: Run, image: str, base: Path) -> None:
    pyman("volume", "create", "good")
    pyman("volume", "create", "torn")
    pyman("volume", "create", "gone")
    (store(base) / "volumes/torn/volume.json").write_text('{"name": "to')
    (store(base) / "volumes/gone/volume.json").unlink()
    listed = pyman("volume", "ls", "-q", rc=125)
    assert listed.stdout == "good\n" and "torn" in listed.stderr and "gone" in listed.stderr
    assert pyman("run", *NONE, "-v", "good:/x", image, "echo", "fine").stdout == "fine\n"
    assert "torn" in pyman("run", *NONE, "-v", "torn:/x", image, "true", rc=125).stderr
    pyman("volume", "rm", "torn", "gone")
    (store(base) / "volumes/good/state.json").write_text("x")
    assert pyman("run", *NONE, "-v", "good:/x", image, "echo", "fine").stdout == "fine\n"


def test_what_lies_among_the_volumes_and_is_none(pyman: Run, image: str, base: Path) -> None:
    """It is told with what removes it; all else goes on, and a link leads nowhere."""
    place = store(base) / "volumes"
    pyman("volume", "create", "good")
    pyman("volume", "create", "filed")
    (place / "closed").mkdir(mode=0)
    os.mkfifo(place / "fifo")
    (place / "file").write_text("")
    (place / "linked").symlink_to("good")
    (place / "dangling").symlink_to("/no/such")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "sock"))
    kinds = {"dangling": "a symbolic link", "fifo": "a FIFO", "file": "a file", "linked": "a symbolic link", "sock": "a socket"}
    told = pyman("volume", "ls", "-q", rc=125)
    assert told.stdout.split() == ["good", "filed"] and "closed/volume.json" in told.stderr
    (place / "closed").rmdir()
    told = pyman("volume", "ls", "-q")
    assert told.stdout.split() == ["good", "filed"]
    lines = [f"Warning: cannot use volume {name}: {kind} lies in its place; remove it: rm {place}/{name}" for name, kind in kinds.items()]
    assert told.stderr.splitlines() == lines
    assert [row["Name"] for row in json.loads(pyman("volume", "inspect", "-a").stdout)] == ["filed", "good"]
    assert "Local Volumes  2 " in pyman("system", "df").stdout
    for name, kind in kinds.items():
        for words in (
            ("volume", "inspect", name),
            ("volume", "create", name),
            ("volume", "create", "--ignore", name),
            ("volume", "rm", name),
            ("volume", "export", name),
            ("run", *NONE, "-v", f"{name}:/x", image, "true"),
        ):
            done = pyman(*words, rc=125)
            assert f"{kind} lies in its place" in done.stderr and f"rm {place}/{name}" in done.stderr, words
        pyman("volume", "exists", name, rc=1)
    (place / "shut").mkdir(mode=0)
    done = pyman("volume", "rm", "-a", rc=125)
    assert done.stdout.split() == ["filed", "good"] and "shut" in done.stderr
    (place / "shut").rmdir()
    assert sorted(entry.name for entry in place.iterdir()) == sorted(kinds)
    pyman("volume", "prune", "-f")
    for name in kinds:
        (place / name).unlink()
    assert pyman("volume", "ls").stderr == ""


def test_inspect_and_ps_of_mounts(pyman: Run, image: str, base: Path) -> None:
    options = ["-v", "vol:/data:ro", "-v", "/anon", "-v", f"{base}:/host:z", "--tmpfs", "/tm"]
    options += ["--mount", "type=tmpfs,dst=/tt,tmpfs-size=1m", "--mount", f"type=image,src={image},dst=/img,rw=true"]
    options += ["--mount", "type=volume,src=vol,dst=/part,subpath=/"]
    pyman("create", "--name", "m", "--network", "none", *options, image, "true")
    created = json.loads(pyman("inspect", "m").stdout)[0]
    pyman("start", "-a", "m")
    value = json.loads(pyman("inspect", "m").stdout)[0]
    assert value["Mounts"] == created["Mounts"]
    found = {mount["Destination"]: mount for mount in value["Mounts"]}
    assert list(found) == ["/anon", "/data", "/part", "/img", "/host"]
    assert found["/data"] == {
        "Type": "volume",
        "Name": "vol",
        "Source": str(store(base) / "volumes/vol/_data"),
        "Destination": "/data",
        "Driver": "local",
        "Mode": "",
        "Options": ["nosuid", "nodev", "rbind"],
        "RW": False,
        "Propagation": "rprivate",
    }
    assert found["/part"]["SubPath"] == "/" and found["/img"]["Type"] == "image" and found["/img"]["Source"] == image
    assert found["/img"]["RW"] and found["/host"]["Type"] == "bind" and found["/host"]["Source"] == str(base)
    assert set(value["HostConfig"]["Tmpfs"]) == {"/tm", "/tt"} and "size=1m" in value["HostConfig"]["Tmpfs"]["/tt"]
    assert "vol:/data:ro,rprivate,nosuid,nodev,rbind" in value["HostConfig"]["Binds"]
    for wanted, names_found in (
        ("vol", "m\n"),
        ("vol:/data", "m\n"),
        ("vol:/no", ""),
        (str(base), "m\n"),
        (f"{base}:/host", "m\n"),
        ("vo", ""),
    ):
        assert pyman("ps", "-a", "--filter", f"volume={wanted}", "--format", "{{.Names}}").stdout == names_found, wanted
    pyman("rm", "-v", "m")


def test_inspect_tells_overlays_and_owners(pyman: Run, image: str, base: Path, tmp_path: Path) -> None:
    """What `Binds` says can be given to -v again, and means the same."""
    for name in ("seen", "up", "work"):
        (tmp_path / name).mkdir()
    upper = f"upperdir={tmp_path}/up,workdir={tmp_path}/work"
    flags = "rprivate,nosuid,nodev,rbind"
    for given, told in (
        (f"{tmp_path}/seen:/o:O", f"{tmp_path}/seen:/o:O"),
        (f"{tmp_path}/seen:/o:O,U,{upper}", f"{tmp_path}/seen:/o:O,{upper},U"),
        ("seen:/o:O", f"seen:/o:O,{flags}"),
        ("seen:/o:ro,O", f"seen:/o:O,ro,{flags}"),
        (f"seen:/o:O,{upper}", f"seen:/o:O,{upper},{flags}"),
        ("seen:/o:z,U", f"seen:/o:U,z,{flags}"),
        (f"{tmp_path}/seen:/o:Z", f"{tmp_path}/seen:/o:Z,{flags}"),
    ):
        found = []
        for volume in (given, told):
            pyman("create", "--name", "seen", "-v", volume, image)
            found.append(json.loads(pyman("inspect", "seen").stdout)[0])
            pyman("rm", "seen")
        assert [value["HostConfig"]["Binds"] for value in found] == [[told], [told]]
        assert found[0]["Mounts"] == found[1]["Mounts"] and ("O" in found[0]["Mounts"][0]["Options"]) == (
            "O" in told.split(":")[2].split(",")
        )
    pyman("create", "--name", "seen", "-v", f"{tmp_path}/seen:/o:O", image, "touch", "/o/new")
    pyman("start", "-a", "seen")
    pyman(
        "create",
        "--name",
        "again",
        "-v",
        json.loads(pyman("inspect", "seen").stdout)[0]["HostConfig"]["Binds"][0],
        image,
        "touch",
        "/o/new",
    )
    pyman("start", "-a", "again")
    pyman("rm", "seen", "again")
    assert os.listdir(tmp_path / "seen") == []


def test_long_walks_are_told_of(base: Path) -> None:
    from pyman.engine.volume_fill import Progress

    said: list[str] = []
    progress = Progress(said.append, "giving it away")
    for _ in range(200):
        progress()
    assert not said
    progress.last -= 3  # three seconds later
    for _ in range(200):
        progress()
    assert said == ["giving it away: 256 files so far"]


def test_volumes_that_a_mount_makes(pyman: Run, image: str) -> None:
    """With options, named and anonymous; one that is there stays what it is."""
    show = (image, "grep", " /m ", "/proc/mounts")
    memory = "volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=2m"
    none = ("--rm", "--network", "none")
    for name in ("src=made,", "src=made,", ""):
        assert pyman("run", *none, "--mount", f"type=volume,{name}dst=/m,{memory}", *show).stdout.startswith(
            "tmpfs /m tmpfs rw,nosuid,nodev"
        )
    options = json.loads(pyman("volume", "inspect", "made").stdout)[0]["Options"]
    assert {"type": "tmpfs", "device": "tmpfs", "o": "size=2m"}.items() <= options.items()
    pyman("volume", "rm", "made")
    pyman("volume", "create", "made")
    assert not pyman("run", *none, "--mount", f"type=volume,src=made,dst=/m,{memory}", *show).stdout.startswith("tmpfs")
    pyman("volume", "rm", "made")
