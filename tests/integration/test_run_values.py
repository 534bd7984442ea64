"""What containers are given: groups, environment, host name, directories, ids; and values that are refused before anything is made."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment
from tests.integration.test_hostile_roots import make_root

NONE = ("--rm", "--network", "none")


@pytest.mark.parametrize(
    ("user", "groups"), [("1000:50", "50"), ("0:50", "50"), ("4242", "0"), ("0", "0"), ("1:2", "2")], ids=lambda value: str(value)
)
def test_the_users_own_group_is_one_of_his_groups(pyman: Run, image: str, user: str, groups: str) -> None:
    """Without it a file mode that shuts the group out would not hold."""
    shown = pyman("run", *NONE, "-u", user, image, "grep", "Groups", "/proc/self/status").stdout
    assert shown.split(":")[1].split() == groups.split()


def test_groups_without_a_user_and_with_further_ones(pyman: Run, image: str) -> None:
    status = ("grep", "Groups", "/proc/self/status")
    assert pyman("run", *NONE, image, *status).stdout.split(":")[1].split() == []
    assert pyman("run", *NONE, "--group-add", "7", image, *status).stdout.split(":")[1].split() == ["7"]
    assert pyman("run", *NONE, "-u", "4242", "--group-add", "8", image, *status).stdout.split(":")[1].split() == ["0", "8"]


def test_exec_as_another_user(pyman: Run, image: str) -> None:
    pyman(
        "run", "-d", "--name", "as", "--network", "none", image, "sh", "-c", "echo bob:x:77:78::/home/bob:/bin/sh >> /etc/passwd; sleep 600"
    )
    script = "until grep -q bob /etc/passwd; do :; done"
    pyman("exec", "as", "sh", "-c", script)
    shown = pyman("exec", "-u", "bob", "as", "sh", "-c", "echo $HOME $(id -u):$(id -g); grep Groups /proc/self/status").stdout.split()
    assert shown == ["/home/bob", "77:78", "Groups:", "78"]
    assert pyman("exec", "-u", "bob", "-e", "HOME=/x", "as", "sh", "-c", "echo $HOME").stdout == "/x\n"
    assert pyman("exec", "as", "sh", "-c", "echo $HOME").stdout == "/root\n"
    assert "its name is empty" in pyman("exec", "-e", "A=b", "-e", "", "as", "true", rc=125).stderr
    assert "its name is empty" in pyman("exec", "-e", "=b", "as", "true", rc=125).stderr
    assert pyman("exec", "-e", " ", "as", "true").stderr == "" == pyman("run", *NONE, "-e", "", "-e", " ", image, "true").stderr
    pyman("rm", "-f", "-t", "0", "as")


def test_environment_host_name_and_shared_memory(pyman: Run, image: str) -> None:
    env = pyman("run", *NONE, "--unsetenv-all", "-e", "A=b", image, "env").stdout.split("\n")
    assert sorted(line.split("=")[0] for line in env if line) == ["A", "HOME", "HOSTNAME"]
    host = subprocess.run(["uname", "-n"], capture_output=True, text=True, check=True).stdout
    assert pyman("run", "--rm", "--network", "host", image, "hostname").stdout == host
    assert pyman("run", *NONE, "--ipc", "none", image, "grep", "-c", "/dev/shm", "/proc/mounts", rc=1).stdout == "0\n"


def test_only_the_images_own_working_directory_is_made(pyman: Run, image: str, layout: str, base: Path) -> None:
    done = pyman("run", *NONE, "-w", "/no/such", image, "true", rc=126)
    assert "/no/such" in done.stderr and "No such file or directory" in done.stderr
    name = _changed(layout, base / "odd", lambda config: config["config"].update(WorkingDir="/a/b/c"))
    assert pyman("run", *NONE, name, "pwd").stdout == "/a/b/c\n" and not Path("/a/b/c").exists()
    pyman("rmi", "-f", "localhost/odd:latest", rc=None)


@pytest.mark.parametrize("option", [("--userns", "nomap"), ("--uidmap", "0:1:10")], ids=["nomap", "uidmap"])
def test_a_user_namespace_without_the_caller(pyman: Run, image: str, base: Path, option: tuple[str, str]) -> None:
    """The container's root has no right in the caller's directories, and what was mounted from there is there all the same."""
    volume = base / "strange"
    volume.mkdir(exist_ok=True)
    (volume / "file").write_text("data")
    script = "id -u; cat /v/file; head -1 /etc/hosts; touch /new; echo done"
    done = pyman("run", *NONE, *option, "-v", f"{volume}:/v:ro", image, "sh", "-c", script)
    assert done.stdout.split("\n")[0] == "0" and "data" in done.stdout and done.stdout.endswith("done\n")
    pyman("run", "-d", "--name", "strange", *option, "--network", "none", image, "sleep", "600")
    assert (
        "tree_fd"
        not in (base / "home/.local/share/pyman/containers")
        .joinpath(pyman("inspect", "-f", "{{.Id}}", "strange").stdout.strip(), "spec.json")
        .read_text()
    )
    assert pyman("exec", "strange", "cat", "/proc/self/uid_map").stdout.split()[:2] == ["0", "1"]
    pyman("rm", "-f", "-t", "0", "strange")


def test_the_user_namespace_of_a_container_that_has_none_of_its_own(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "plain", "--network", "none", image, "sleep", "600")
    done = pyman("run", *NONE, "--userns", "container:plain", image, "id", "-u")
    assert done.stdout == "0\n" and done.stderr == ""
    pyman("rm", "-f", "-t", "0", "plain")


def test_dangling_links_where_files_are_mounted(pyman: Run, base: Path) -> None:
    """As root file systems of systemd-resolved have one at /etc/resolv.conf; the target is made inside the root."""
    root = make_root(base, "dangling")
    (root / "etc").mkdir()
    (root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    (root / "etc/hosts").symlink_to("/data/more/hosts")
    (root / "etc/hostname").symlink_to("second")
    (root / "etc/second").symlink_to("/etc/third")
    (root / "d4").symlink_to("/somewhere/else")
    (base / "dir4").mkdir(exist_ok=True)
    (base / "dir4/seen").write_text("x")
    script = "head -1 /etc/hosts; cat /etc/hostname; ls /d4; ls -l /etc"
    done = pyman(
        "run",
        *NONE,
        "-h",
        "named",
        "-v",
        f"{base}/dir4:/d4",
        "--rootfs",
        str(root),
        "/bin/sh",
        "-c",
        script.replace("head", "busybox head").replace("cat", "busybox cat").replace("ls", "busybox ls"),
    )
    assert "named\n" in done.stdout and "seen\n" in done.stdout and "127.0.0.1" in done.stdout
    assert (root / "run/systemd/resolve/stub-resolv.conf").exists() and (root / "somewhere/else").is_dir()
    loop = make_root(base, "links")
    (loop / "etc").mkdir()
    for index in range(60):
        (loop / f"etc/{'hosts' if not index else f'l{index}'}").symlink_to(f"l{index + 1}")
    assert "symbolic link" in pyman("run", *NONE, "--rootfs", str(loop), "/bin/sh", "-c", "true", rc=126).stderr.lower()
    shutil.rmtree(loop)


def test_signals_that_are_none(pyman: Run, image: str, base: Path, layout: str) -> None:
    for bad in ("BOGUS", "99", "0", "-1"):
        assert "invalid signal" in pyman("create", f"--stop-signal={bad}", image, "true", rc=125).stderr
    # A store of before this was checked: the container can be stopped and removed.
    made = pyman("run", "-d", "--network", "none", "--stop-timeout", "0", image, "sleep", "600").stdout.strip()
    path = base / "home/.local/share/pyman/containers" / made / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "stop_signal": "BOGUS"}))
    pyman("stop", made)
    pyman("rm", "-f", made)


def test_streams_that_are_closed_or_full(pyman: Run, image: str, base: Path) -> None:
    def run(*args: str, shell: str) -> subprocess.CompletedProcess[str]:
        script = f'"$@" {shell}'
        return subprocess.run(
            ["sh", "-c", script, "sh", *command(), *args],
            capture_output=True,
            text=True,
            env=environment(base),
            stdin=subprocess.DEVNULL,
            check=False,
        )

    for shell in (">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
        done = run("images", shell=shell)
        assert (done.returncode, done.stderr) == (0, ""), shell
        done = run("run", *NONE, image, "sh", "-c", "exit 3", shell=shell)
        assert (done.returncode, done.stderr) == (3, ""), shell
    done = run("run", *NONE, image, "echo", "hi", shell=">/dev/full")
    assert done.returncode == 126 and "No space left" in done.stderr
    for words in (("images",), ("info",), ("logs", "lost"), ("version",)):
        if words[0] == "logs":
            pyman("run", "--name", "lost", "--network", "none", image, "seq", "1", "100000")
        done = run(*words, shell=">/dev/full")
        assert (done.returncode, done.stderr) == (125, "Error: cannot write what was to be printed: No space left on device\n"), words
    pyman("rm", "lost")


def test_a_directory_that_was_removed(base: Path, image: str, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    words = [*command(), "run", "--rm", *NONE, image, "pwd"]
    done = subprocess.run(
        ["sh", "-c", script, "sh", str(tmp_path / "gone"), *words], capture_output=True, text=True, env=environment(base), check=False
    )
    assert (done.returncode, done.stdout) == (0, "/\n"), done.stderr


def test_names_on_the_list_of_images(pyman: Run, image: str) -> None:
    pyman("tag", image, "localhost/other:2", "localhost/demo:3")

    def listed(*args: str) -> list[str]:
        return sorted(pyman("images", "--format", "{{.Repository}}:{{.Tag}}", *args).stdout.split())

    names = sorted(json.loads(pyman("image", "inspect", image).stdout)[0]["RepoTags"])
    assert {"localhost/demo:3", "localhost/demo:latest", "localhost/other:2"} <= set(names)
    assert listed("localhost/demo") == listed("other") == names and listed("no-such") == []
    assert listed("localhost/demo:3") == listed("demo:3") == ["localhost/demo:3"]
    assert listed(pyman("image", "inspect", "-f", "{{.Id}}", image).stdout.strip()[:12]) == names
    pyman("untag", image, "localhost/other:2", "localhost/demo:3")


def test_platforms(pyman: Run, image: str, layout: str, base: Path) -> None:
    assert "OS/ARCH" in pyman("run", *NONE, "--platform", "bogus", image, "true", rc=125).stderr
    assert "cannot pull" in pyman("run", *NONE, "--platform", "linux/s390x", image, "true", rc=125).stderr
    done = pyman("pull", "-q", "--os", "windows", f"oci:{layout}:latest")
    assert "does not match the expected platform (windows/" in done.stderr


def _changed(layout: str, target: Path, change: object) -> str:
    """A copy of the layout whose configuration or manifest has been changed; `change(config, manifest)` works on both."""
    import hashlib

    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(layout, target)
    blobs = target / "blobs/sha256"
    index = json.loads((target / "index.json").read_text())
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())

    def put(value: object) -> dict[str, object]:
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    size = change(config)  # type: ignore[operator]
    manifest["config"].update(put(config), **({"size": size} if size else {}))
    index["manifests"][0].update(put(manifest))
    (target / "index.json").write_text(json.dumps(index))
    return f"oci:{target}:latest"


def test_images_with_odd_configurations(pyman: Run, layout: str, base: Path) -> None:
    def signal(config: dict[str, dict[str, str]]) -> int:
        config["config"]["StopSignal"] = "BOGUS"
        return 0

    def architecture(value: str) -> object:
        return lambda config: config.update(architecture=value)

    name = _changed(layout, base / "odd", signal)
    assert "StopSignal" in pyman("run", *NONE, name, "true", rc=125).stderr
    assert pyman("run", *NONE, "--stop-signal", "TERM", name, "echo", "ok").stdout == "ok\n"
    assert "architecture" in pyman("pull", "-q", _changed(layout, base / "odd", architecture("../../x")), rc=125).stderr
    done = pyman("run", *NONE, _changed(layout, base / "odd", architecture("s390x")), "true")
    assert "linux/s390x" in done.stderr
    assert "bytes, not 7" in pyman("pull", "-q", _changed(layout, base / "odd", lambda config: 7), rc=125).stderr
    pyman("rmi", "-f", "localhost/odd:latest", rc=None)
