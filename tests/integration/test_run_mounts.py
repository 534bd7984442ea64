"""Every kind of mount that run and create have, against a real container."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import pytest

from tests.conftest import OTHER_RUNTIME, Run, command

NONE = ("--rm", "--network", "none")


@pytest.fixture
def tree(base: Path) -> Path:
    path = base / "tree"
    (path / "sub").mkdir(parents=True, exist_ok=True)
    (path / "file").write_text("host\n")
    (path / "sub/inner").write_text("inner\n")
    return path


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs"])
def test_overlay_of_a_directory(pyman: Run, image: str, tree: Path, driver: str) -> None:
    script = "echo changed > /t/file && rm /t/sub/inner && echo new > /t/new && cat /t/file && ls /t/sub"
    done = pyman("--storage-driver", driver, "run", *NONE, "-v", f"{tree}:/t:O", image, "sh", "-c", script)
    assert done.stdout == "changed\n"
    assert (tree / "file").read_text() == "host\n" and (tree / "sub/inner").exists() and not (tree / "new").exists()


def test_what_is_written_to_an_overlay_ends_with_the_run(pyman: Run, image: str, tree: Path) -> None:
    pyman("run", "--name", "o", "--network", "none", "-v", f"{tree}:/t:O", image, "sh", "-c", "cat /t/file; echo gone > /t/file")
    assert pyman("start", "-a", "o").stdout == "host\n"
    pyman("rm", "o")


def test_overlay_with_given_upper_directory(pyman: Run, image: str, tree: Path, base: Path) -> None:
    upper, work = base / "ovl-upper", base / "ovl-work"
    upper.mkdir()
    work.mkdir()
    pyman("run", *NONE, "-v", f"{tree}:/t:O,upperdir={upper},workdir={work}", image, "sh", "-c", "echo kept > /t/kept")
    assert (upper / "kept").read_text() == "kept\n" and not (tree / "kept").exists()
    assert "go together" in pyman("run", *NONE, "-v", f"{tree}:/t:O,upperdir={upper}", image, "true", rc=125).stderr
    assert "writable and private" in pyman("run", *NONE, "-v", f"{tree}:/t:O,ro", image, "true", rc=125).stderr


def test_an_overlay_of_a_volume_takes_what_one_of_a_path_does_not(pyman: Run, image: str, tree: Path) -> None:
    """As Podman, which ignores it there; ours is as it was asked for."""
    for words, written in (("O,ro", "closed"), ("O,rw,nocopy", "written"), ("O,rshared,noexec,U", "written")):
        script = "echo x 2>/dev/null > /x/a && echo written || echo closed; grep -c ' /x ' /proc/mounts"
        assert pyman("run", *NONE, "-v", f"overlaid:/x:{words}", image, "sh", "-c", script).stdout.split() == [written, "1"], words
    assert pyman("run", *NONE, "-v", "overlaid:/x", image, "ls", "/x").stdout == ""
    pyman("volume", "rm", "overlaid")
    assert "not a directory" in pyman("run", *NONE, "-v", f"{tree}/file:/x:O", image, "true", rc=126).stderr


def test_a_ramfs_is_empty_and_a_tmpfs_may_be_shared(pyman: Run, image: str) -> None:
    assert pyman("run", *NONE, "--mount", "type=ramfs,dst=/root", "--tmpfs", "/etc", image, "ls", "/etc/passwd").stdout == "/etc/passwd\n"
    seen = pyman("run", *NONE, "--mount", "type=ramfs,dst=/etc", image, "ls", "/etc").stdout.split()
    assert "passwd" not in seen and "hosts" in seen
    if OTHER_RUNTIME:
        return  # crun leaves it private without a shared root
    script = "grep ' /s ' /proc/self/mountinfo | grep -c shared:; grep ' /p ' /proc/self/mountinfo | grep -c shared:"
    assert pyman("run", *NONE, "--tmpfs", "/s:rshared", "--tmpfs", "/p:private", image, "sh", "-c", script, rc=1).stdout == "1\n0\n"


def test_options_of_volumes_from_are_said_once(pyman: Run, image: str, tree: Path) -> None:
    pyman("create", "--name", "giver", "-v", f"{tree}:/m", image, "true")
    for words in ("", "ro,rw", "z,z", "ro,O"):
        assert "--volumes-from" in pyman("run", *NONE, "--volumes-from", f"giver:{words}", image, "true", rc=125).stderr
    assert pyman("run", *NONE, "--volumes-from", "giver:ro,z", image, "cat", "/m/file").stdout == "host\n"
    pyman("rm", "giver")


def test_overlay_and_subpath_of_a_volume(pyman: Run, image: str) -> None:
    pyman("run", *NONE, "-v", "ov:/v", image, "sh", "-c", "mkdir -p /v/a/b; echo deep > /v/a/b/f; ln -s / /v/out; ln -s a /v/short")
    assert pyman("run", *NONE, "-v", "ov:/v:O", image, "sh", "-c", "rm -r /v/a; ls /v").stdout == "out\nshort\n"
    mount = "type=volume,source=ov,target=/x,subpath="
    assert pyman("run", *NONE, "--mount", mount + "a/b", image, "cat", "/x/f").stdout == "deep\n"
    assert pyman("run", *NONE, "--mount", mount + "short/b/f", image, "cat", "/x").stdout == "deep\n"
    # A link to the host's root stays inside the volume.
    assert pyman("run", *NONE, "--mount", mount + "out", image, "ls", "/x").stdout == "a\nout\nshort\n"
    assert pyman("run", *NONE, "--mount", mount + "../../..", image, "ls", "/x").stdout == "a\nout\nshort\n"
    assert "No such file" in pyman("run", *NONE, "--mount", mount + "nowhere", image, "true", rc=127).stderr


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs"])
def test_image_mount(pyman: Run, image: str, driver: str) -> None:
    base = ("--storage-driver", driver, "run", *NONE, "--mount")
    assert pyman(*base, f"type=image,source={image},target=/i", image, "sh", "-c", "test -x /i/bin/sh && echo yes").stdout == "yes\n"
    assert "Read-only" in pyman(*base, f"type=image,src={image},dst=/i", image, "touch", "/i/x", rc=1).stderr
    pyman(*base, f"type=image,src={image},dst=/i,rw=true", image, "touch", "/i/x")
    assert "sh\n" in pyman(*base, f"type=image,src={image},dst=/i,subpath=/bin", image, "ls", "/i").stdout
    assert "no image" in pyman(*base, "type=image,src=no/such,dst=/i", image, "true", rc=125).stderr


def test_glob_mount(pyman: Run, image: str, base: Path) -> None:
    for name in ("one.conf", "two.conf", "three.txt"):
        (base / "globs").mkdir(exist_ok=True)
        (base / "globs" / name).write_text(name)
    spec = f"type=glob,src={base}/globs/*.conf"
    assert pyman("run", *NONE, "--mount", spec + ",dst=/etc/conf,ro", image, "ls", "/etc/conf").stdout == "one.conf\ntwo.conf\n"
    assert pyman("run", *NONE, "--mount", spec, image, "cat", f"{base}/globs/two.conf").stdout == "two.conf"
    assert "matches" in pyman("run", *NONE, "--mount", f"type=glob,src={base}/globs/*.no,dst=/x", image, "true", rc=125).stderr
    # A link among them is followed, as the user sees it; not where a container may have made it, nor to what is to change its owner.
    (base / "globs/link.conf").symlink_to("three.txt")
    assert pyman("run", *NONE, "--mount", spec + ",dst=/c", image, "cat", "/c/link.conf").stdout == "three.txt"
    assert "link.conf is a symbolic link" in pyman("run", *NONE, "--mount", spec + ",dst=/c,U=true", image, "true", rc=125).stderr
    pyman("run", *NONE, "-v", "links:/v", image, "ln", "-s", f"{base}/globs/three.txt", "/v/evil")
    inside = pyman("volume", "inspect", "links", "--format", "{{.Mountpoint}}").stdout.strip()
    assert "evil is a symbolic link" in pyman("run", *NONE, "--mount", f"type=glob,src={inside}/*,dst=/c", image, "true", rc=125).stderr
    pyman("volume", "rm", "links")


def test_memory_mounts(pyman: Run, image: str) -> None:
    show = "grep ' /m ' /proc/mounts; touch /m/x"
    options = "type=tmpfs,dst=/m,tmpfs-size=1m,tmpfs-mode=0700"
    assert "size=1024k,mode=700" in pyman("run", *NONE, "--mount", options, image, "sh", "-c", show).stdout
    assert "ramfs" in pyman("run", *NONE, "--mount", "type=ramfs,dst=/m", image, "sh", "-c", show).stdout
    assert "devpts" in pyman("run", *NONE, "--mount", "type=devpts,dst=/m,mode=600", image, "grep", " /m ", "/proc/mounts").stdout
    # The image's files below a tmpfs are copied up, unless told otherwise.
    assert "sh" in pyman("run", *NONE, "--tmpfs", "/bin:exec", image, "sh", "-c", "ls /bin; touch /bin/x").stdout
    assert pyman("run", *NONE, "--tmpfs", "/etc/y:notmpcopyup", image, "ls", "/etc/y").stdout == ""


def test_volumes_from(pyman: Run, image: str, tree: Path) -> None:
    pyman(
        "create",
        "--name",
        "src",
        "--network",
        "none",
        "-v",
        f"{tree}:/t",
        "-v",
        "/anon",
        "-v",
        "named:/n",
        "--tmpfs",
        "/tmpfs",
        image,
        "true",
    )
    write = "echo a > /anon/a; echo n > /n/n; cat /t/file; ls -d /tmpfs"
    assert pyman("run", *NONE, "--volumes-from", "src", image, "sh", "-c", write, rc=1).stdout == "host\n"
    assert pyman("run", *NONE, "--volumes-from", "src:ro", image, "sh", "-c", "cat /anon/a /n/n; touch /n/x", rc=1).stdout == "a\nn\n"
    pyman("create", "--name", "other", "--network", "none", "--volumes-from", "src", image, "cat", "/anon/a")
    pyman("rm", "-v", "src")
    assert pyman("start", "-a", "other").stdout == "a\n", "an anonymous volume another container uses was removed"
    pyman("rm", "other")
    assert "no container" in pyman("run", *NONE, "--volumes-from", "nobody", image, "true", rc=125).stderr
    assert "invalid option" in pyman("run", *NONE, "--volumes-from", "nobody:q", image, "true", rc=125).stderr


def test_U_gives_the_tree_to_the_user(pyman: Run, image: str, base: Path) -> None:
    owned = base / "owned"
    (owned / "d").mkdir(parents=True)
    (owned / "d/f").write_text("x")
    os.symlink("/etc/passwd", owned / "link")
    before = os.stat("/etc/passwd").st_uid
    assert (
        pyman("run", *NONE, "--user", "33", "-v", f"{owned}:/o:U", image, "stat", "-c", "%u", "/o", "/o/d", "/o/d/f").stdout
        == "33\n33\n33\n"
    )
    assert os.stat("/etc/passwd").st_uid == before and os.lstat(owned / "link").st_uid != os.getuid()
    pyman("unshare", "rm", "-rf", str(owned))


def test_relative_sources_and_environment_are_those_of_create(pyman: Run, image: str, tree: Path, base: Path) -> None:
    (base / "vars").write_text("FROM_FILE=1\nPASSED\n")
    env = {"PASSED": "then", "ALSO": "then"}
    options = ("-v", "./tree:/t", "--mount", "type=bind,src=tree/sub,dst=/s", "-e", "ALSO", "--env-file", "vars")
    pyman(
        "create",
        "--name",
        "c",
        "--network",
        "none",
        *options,
        image,
        "sh",
        "-c",
        "cat /t/file /s/inner; echo $FROM_FILE $PASSED $ALSO",
        env=env,
    )
    (base / "vars").unlink()
    done = pyman("start", "-a", "c", env={"PASSED": "now", "ALSO": "now", "PWD": "/"})
    assert done.stdout == "host\ninner\n1 then then\n"
    pyman("rm", "c")


def test_rootfs_directory_and_overlay(pyman: Run, image: str, base: Path) -> None:
    root = base / "plain-overlay"
    (root / "bin").mkdir(parents=True)
    (root / "bin/busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (root / "bin/busybox").chmod(0o755)
    os.symlink("busybox", root / "bin/sh")
    pyman("run", *NONE, "--rootfs", f"{root}:O", "sh", "-c", "echo x > /written")
    assert not (root / "written").exists()
    pyman("run", *NONE, "--rootfs", str(root), "sh", "-c", "echo x > /written")
    assert (root / "written").exists()
    assert "privileges" in pyman("run", *NONE, "--rootfs", f"{root}:idmap", "sh", rc=125).stderr


def test_time_zone_and_chroot_files(pyman: Run, image: str) -> None:
    assert pyman("run", *NONE, "--tz", "Asia/Tokyo", image, "head", "-c4", "/etc/localtime").stdout == "TZif"
    assert "unknown time zone" in pyman("run", *NONE, "--tz", "../../etc/passwd", image, "true", rc=125).stderr
    assert "localhost" in pyman("run", *NONE, "--chrootdirs", "/srv/jail", image, "cat", "/srv/jail/etc/hosts").stdout


def test_owner_of_a_tmpfs_and_options_that_contradict(pyman: Run, image: str, tree: Path) -> None:
    show = ("stat", "-c", "%u:%g %a", "/m")
    assert pyman("run", *NONE, "-u", "33:44", "--mount", "type=tmpfs,dst=/m,U=true,tmpfs-mode=0700", image, *show).stdout == "33:44 700\n"
    assert pyman("run", *NONE, "-u", "33:44", "--tmpfs", "/m:U,mode=0750", image, *show).stdout == "33:44 750\n"
    keep = ("--userns", "keep-id:uid=33,gid=44")
    assert pyman("run", *NONE, *keep, "--tmpfs", "/m:U,mode=0750", image, *show).stdout == "33:44 750\n"
    for option, value, reason in (
        ("-v", f"{tree}:/m:ro,rw", "ro and rw"),
        ("-v", f"{tree}:/m:z,Z", "z and Z"),
        ("-v", f"{tree}:/m:exec,noexec", "exec and noexec"),
        ("-v", f"{tree}:/m:shared,rslave", "shared and rslave"),
        ("-v", f"{tree}:/m:bind,rbind", "bind and rbind"),
        ("-v", "vol:/m:copy,nocopy", "copy and nocopy"),
        ("-v", f"{tree}:/m:U,U", "U and U"),
        ("-v", f"{tree}:/m:idmap=uids=0-1-10", "id-mapped"),
        ("-v", f"{tree}:/m:size=1", "does not know"),
        ("-v", f"{tree}:/m:O,z", "not labelled"),
        ("-v", f"{tree}:/:ro", "container's root"),
        ("-v", "vol:relative", "not absolute"),
        ("-v", "no/such:/m", "invalid volume name"),
        ("--tmpfs", "/m:ro,rw", "ro and rw"),
        ("--tmpfs", "/m:noswap", "privileged"),
        ("--tmpfs", "/m:z", "does not know"),
        ("--mount", "type=tmpfs,dst=/m,noswap", "privileged"),
        ("--mount", "type=tmpfs,src=x,dst=/m", "no source"),
        ("--mount", "type=ramfs,dst=/m,U=true", "takes no owner"),
        ("--mount", "type=ramfs,dst=/m,size=5m", "no limit"),
        ("--mount", "type=ramfs,dst=/m,tmpcopyup", "empty at first"),
        ("--tmpfs", "/m:tmpcopyup,notmpcopyup", "tmpcopyup and notmpcopyup"),
        ("--tmpfs", "/m:shared,slave", "shared and slave"),
        *(("-v", f"{tree}:/m:O,{word}", f"takes no {word}") for word in ("rw", "noexec", "nodev", "nocopy", "idmap", "rbind", "rshared")),
        ("-v", f"{tree}:/m:", "number of parts"),
        ("-v", f"{tree}:/m:O,U,ro", "takes no ro"),
        ("--mount", "type=artifact,src=x,dst=/m", "artifact does not exist"),
        ("--mount", "type=nfs,dst=/m", "known are"),
        ("--mount", "type=volume,src=vol", "destination="),
        ("--mount", "type=volume,src=vol,dst=/m,ro=true,readonly=false", "ro twice"),
        ("--mount", "type=volume,src=vol,src=other,dst=/m", "source twice"),
        ("--mount", "type=volume,src=vol,dst=/m,volume-label=a", "no labels"),
        ("--mount", "type=volume,src=vol,dst=/m,volume-opt=bogus=1", "invalid mount option bogus"),
        ("--mount", "type=bind,src=/,dst=/m,volume-opt=type=tmpfs", "does not have it"),
        ("--mount", "type=volume,src=vol,dst=/m,idmap=uids=0-1-10", "id-mapped"),
        ("--mount", "type=volume,src=/path,dst=/m", "type=bind"),
        ("--mount", "type=bind,src=/tmp,dst=/m,subpath=x", "does not have it"),
        ("--mount", "type=bind,src=/tmp,dst=/m,relabel=other", "private or shared"),
        ("--mount", "type=bind,src=/tmp,dst=/m,bind-propagation=odd", "does not know"),
        ("--mount", 'type=bind,"src=/tmp,dst=/m', "not closed"),
        ("--mount", "type=devpts,dst=/m,mode=rw", "all numbers"),
    ):
        code = 126 if "artifact" in value else 125  # what is looked for when it starts
        assert reason in pyman("run", *NONE, option, value, image, "true", rc=code).stderr, value
    for option, value in (("-v", f"{tree}:/m:ro,idmap"), ("--mount", f"type=bind,src={tree},dst=/m,idmap")):
        assert "id-mapped" in pyman("run", *NONE, "--userns", "keep-id", option, value, image, "true", rc=125).stderr
        assert pyman("run", *NONE, option, value, image, "cat", "/m/file").stdout == "host\n", "the ids are the store's: nothing to map"
    pyman("container", "prune", "-f")
    assert not pyman("ps", "-aq").stdout, "a mistake is found before anything is made"
    assert pyman("run", *NONE, "-v", f"{tree}:/m:ro", "-v", f"{tree}:/m:ro", image, "cat", "/m/file").stdout == "host\n"


def test_flags_and_propagation(pyman: Run, image: str, tree: Path) -> None:
    show = ("sh", "-c", "grep ' /m ' /proc/self/mountinfo | cut -d' ' -f6-7")
    for options, flags in (
        ("ro,noexec", "ro,nosuid,nodev,noexec,relatime -"),
        ("rshared", "rw,nosuid,nodev,relatime" if OTHER_RUNTIME else "rw,nosuid,nodev,relatime shared:"),  # crun 1.8 leaves it private
        ("private,bind", "rw,nosuid,nodev,relatime -"),
    ):
        assert pyman("run", *NONE, "-v", f"{tree}:/m:{options}", image, *show).stdout.startswith(flags), options
    assert pyman("run", *NONE, "--tmpfs", "/m", image, *show).stdout.startswith("rw,nosuid,nodev,relatime -"), "programs run there"
    assert pyman("run", *NONE, "--tmpfs", "/m:noexec", image, *show).stdout.startswith("rw,nosuid,nodev,noexec,relatime -")
    assert pyman("run", *NONE, "--tmpfs", "/m:exec,suid,dev", image, *show).stdout.startswith("rw,relatime -")
    mount = f"type=bind,src={tree},dst=/m,ro,bind-propagation=rshared,bind-nonrecursive,consistency=cached,noexec=true"
    assert pyman("run", *NONE, "--mount", mount, image, *show).stdout.startswith(
        "ro,nosuid,nodev,noexec,relatime" + ("" if OTHER_RUNTIME else " shared:")
    )


FLOW = """
mount -t tmpfs t "$TREE" && mount --make-shared "$TREE" && mkdir -m 777 "$TREE/dir" || exit 1
for option in slave rslave rshared private; do
    echo "== $option"
    %(command)s run -d --name flow --cap-add sys_admin --security-opt seccomp=unconfined --network none -v "$TREE/dir:/m:$option" demo sleep 100 >/dev/null
    mount -t tmpfs t "$TREE/dir" && mkdir "$TREE/dir/later"
    %(command)s exec flow sh -c "ls /m; mkdir -p /m/own; mount -t tmpfs o /m/own && touch /m/own/inside && ls /m/own"
    ls "$TREE/dir/own" 2>/dev/null
    %(command)s rm -f -t 0 flow >/dev/null
    umount "$TREE/dir"; rm -rf "$TREE/dir/own"
done
"""


# The other runtimes do not reach the store from a user namespace without its owner.
@pytest.mark.parametrize("more", [(), *([] if OTHER_RUNTIME else [("--uidmap", "0:1:1000", "--gidmap", "0:1:1000")])])
def test_mounts_of_the_host_arrive_where_that_is_asked_for(pyman: Run, image: str, tree: Path, more: tuple[str, ...]) -> None:
    script = FLOW.replace(" --name flow ", f" --name flow {shlex.join(more)} ")
    done = pyman("unshare", "sh", "-c", script % {"command": shlex.join(command())}, env={"TREE": str(tree)})
    sections = dict(part.split("\n", 1) for part in done.stdout.split("== ")[1:])
    for option in ("slave", "rslave", "rshared"):
        assert sections[option] == "later\ninside\n", (option, done.stderr)
    assert sections["private"] == "inside\n", "no mount arrives, and the container's own never leaves"


def test_links_quotes_and_sources_left_out(pyman: Run, image: str, base: Path, tree: Path) -> None:
    odd = base / "odd,name"
    odd.mkdir(exist_ok=True)
    (odd / "f").write_text("comma\n")
    assert pyman("run", *NONE, "--mount", f'type=bind,"src={odd}",dst=/m', image, "cat", "/m/f").stdout == "comma\n"
    (base / "alink").unlink(missing_ok=True)
    (base / "alink").symlink_to("/nowhere/at/all")
    spec = f"type=bind,src={base}/alink,dst=/m"
    assert "no such file" in pyman("run", *NONE, "--mount", spec, image, "true", rc=125).stderr
    if not OTHER_RUNTIME:  # the old ones follow the link, and say that it leads nowhere
        assert pyman("run", *NONE, "--mount", spec + ",no-dereference", image, "readlink", "/m").stdout == "/nowhere/at/all\n"
        assert pyman("run", *NONE, "-v", f"{base}/alink:/m:no-dereference", image, "readlink", "/m").stdout == "/nowhere/at/all\n"
    assert pyman("run", *NONE, "--mount", f"type=bind,dst={tree}", image, "cat", f"{tree}/file").stdout == "host\n"
    assert pyman("run", *NONE, "--mount", "type=volume,dst=/bin", image, "sh", "-c", "ls /bin | wc -l").stdout != "0\n"
    assert pyman("run", *NONE, "--mount", f"type=image,src={image},dst=/i,consistency=cached", image, "test", "-x", "/i/bin/sh")


def test_mounts_of_the_configuration(pyman: Run, image: str, base: Path, tree: Path) -> None:
    path = base / "home/.config/pyman/containers.toml.d/mounts.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'[containers]\nvolumes = ["{tree}:/t:ro", "conf:/c"]\nmounts = ["type=tmpfs,dst=/mem"]\n')
    try:
        script = "cat /t/file; touch /c/x; grep -c ' /mem tmpfs' /proc/mounts"
        assert pyman("run", *NONE, image, "sh", "-c", script).stdout == "host\n1\n"
        assert pyman("run", *NONE, "--tmpfs", "/t", "-v", "/mem", image, "ls", "/t").stdout == ""
    finally:
        path.unlink()
    pyman("volume", "rm", "conf")


def test_directories_are_copied_up_too(pyman: Run, base: Path) -> None:
    root = base / "copy-up-root"
    for directory in ("bin", "proc", "dev", "sys", "etc", "run/a/b"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    shutil.copy("/bin/busybox", root / "bin/sh")
    (root / "run/a/b/file").write_text("below\n")
    (root / "run/other").write_text("beside\n")
    done = pyman(
        "run",
        *NONE,
        "--read-only",
        "--rootfs",
        str(root),
        "/bin/sh",
        "-c",
        "read a < /run/a/b/file; read b < /run/other; echo $a $b; : > /run/a/new",
    )
    assert done.stdout == "below beside\n"
    assert sorted(os.listdir(root / "run/a")) == ["b"]


def test_a_mount_inside_a_read_only_one(pyman: Run, image: str, tmp_path: Path) -> None:
    """Its place is made in the directory of the host, as with other runtimes; both are what was asked for."""
    (tmp_path / "outer").mkdir()
    (tmp_path / "inner").mkdir()
    if OTHER_RUNTIME:
        (tmp_path / "outer/sub").mkdir()  # not all of them can make it
    volumes = ("-v", f"{tmp_path}/outer:/v:ro", "-v", f"{tmp_path}/inner:/v/sub")
    script = "touch /v/sub/x; touch /v/x 2>/dev/null || echo kept out"
    assert pyman("run", "--rm", "--network", "none", *volumes, image, "sh", "-c", script).stdout == "kept out\n"
    assert (tmp_path / "inner/x").exists() and (tmp_path / "outer/sub").is_dir()
    done = pyman(
        "run", "--rm", "--network", "none", "--read-only", "--read-only-tmpfs=false", image, "sh", "-c", "touch /dev/x || echo kept out"
    )
    assert done.stdout == "kept out\n"
