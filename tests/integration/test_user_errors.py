"""What the user reads when a configuration, a directory, an image or a program is not as it must be."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, command, environment

NONE = ("--rm", "--network", "none")


@pytest.fixture
def conf(pyman: Run, base: Path) -> Iterator[Path]:
    """The user's configuration directory, empty again afterwards."""
    path = base / "home/.config/pyman"
    path.mkdir(parents=True, exist_ok=True)
    yield path
    path.chmod(0o700)
    (path / "containers.toml").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("table", "line", "word"),
    [
        ("engine", "stop_timeout = -3", "0 or more"),
        ("engine", "image_parallel_copies = -1", "0 to 64"),
        ("engine", "image_parallel_copies = 1000000", "0 to 64"),
        ("engine", 'detach_keys = "bogus"', "ctrl-X"),
        ("engine", 'pull_policy = "sometimes"', "always, missing, never, newer"),
        ("containers", 'env = ["A=b", "noeq"]', "NAME=VALUE"),
        ("containers", 'umask = "999"', "octal"),
        ("containers", "bogus = 1", "see containers.toml.example"),
    ],
)
def test_values_of_the_configuration_are_refused_with_their_place(pyman: Run, tmp_path: Path, table: str, line: str, word: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"# first\n[{table}]\n{line}\n")
    done = pyman("info", rc=125, env={"PYMAN_CONF": str(path)})
    assert f"{path}:3: " in done.stderr and line.split()[0] in done.stderr and word in done.stderr


def test_a_configuration_that_cannot_be_read(pyman: Run, conf: Path) -> None:
    file = conf / "containers.toml"
    file.mkdir()
    assert "it is a directory" in pyman("info", rc=125).stderr
    file.rmdir()
    os.mkfifo(file)
    assert "it is a FIFO" in pyman("info", rc=125).stderr
    file.unlink()
    file.symlink_to("/dev/zero")
    assert "it is a device" in pyman("info", rc=125).stderr
    file.unlink()
    file.write_bytes(b"[engine]\n# caf\xe9\n")
    assert "line 2" in (done := pyman("info", rc=125)).stderr and "not UTF-8" in done.stderr
    file.write_text("[engine]\n")
    file.chmod(0)
    done = pyman("info", rc=125)
    assert "Permission denied" in done.stderr and f"chmod u+r {file}" in done.stderr and "Errno" not in done.stderr
    conf.chmod(0)
    assert f"chmod u+rwX {conf}" in pyman("info", rc=125).stderr
    found = json.loads(pyman("doctor", "--format", "json", rc=1).stdout)
    failed = [entry for entry in found if entry["verdict"] == "fail"]
    assert [entry["name"] for entry in failed] == ["configuration"] and str(conf) in failed[0]["fix"]


def test_a_store_that_is_shut(pyman: Run, image: str, base: Path) -> None:
    store = Path(json.loads(pyman("info", "--format", "json").stdout)["store"]["graphRoot"])
    store.chmod(0)
    try:
        done = pyman("run", *NONE, image, "true", rc=125)
        assert str(store) in done.stderr and f"chmod 700 {store}" in done.stderr
        found = {entry["name"]: entry for entry in json.loads(pyman("doctor", "--format", "json", rc=1).stdout)}
        assert found["store"]["verdict"] == "fail" and f"chmod 700 {store}" in found["store"]["fix"]
    finally:
        store.chmod(0o700)
    (store / "images.json").chmod(0)
    try:
        done = pyman("images", rc=125)
        assert str(store / "images.json") in done.stderr and "Permission denied" in done.stderr
    finally:
        (store / "images.json").chmod(0o600)


def test_suggestions_are_near_and_errors_keep_to_their_line(pyman: Run, image: str, tmp_path: Path) -> None:
    near_ones = (
        (("runn",), "run"),
        (("run", "--netwrok", "x"), "--network"),
        (("imgaes",), "images"),
        (("volum", "ls"), "volume"),
        (("container", "strat", "x"), "container start"),
    )
    for words, near in near_ones:
        assert f"did you mean {near}?" in pyman(*words, rc=125).stderr
    for wrong in ("-9", "-SIGKILL"):
        assert "pyman kill --signal HUP web" in pyman("kill", wrong, "x", rc=125).stderr
    for far in (("run", "--bogus", "x"), ("bogus",), ("run", "--gpu", "x"), ("container", "bogus")):  # --gpus is refused
        assert "did you mean" not in pyman(*far, rc=125).stderr
    done = pyman("run", "-v", f"{tmp_path}/a\nhint: rm -rf /:/x", image, rc=125)
    assert "\\nhint: rm" in done.stderr and not any(line.strip().startswith("hint: rm") for line in done.stderr.split("\n"))


def test_own_options(pyman: Run, tmp_path: Path) -> None:
    """What stands before any command: a file for the output, Docker's directory, values that do not exist, what is refused."""
    out = tmp_path / "out"
    done = pyman("--out", str(out), "version", "--format", "{{.Client.Os}}")
    assert done.stdout == "" and out.read_text() == "linux\n"
    assert pyman("--noout", "version", "--format", "{{.Client.Os}}").stdout == ""
    assert pyman("--noout=false", "version", "--format", "{{.Client.Os}}").stdout == "linux\n"
    (tmp_path / "config.json").write_text('{"auths": {"r.example": {"auth": "bWU6c2VjcmV0"}}}')
    assert pyman("--config", str(tmp_path), "login", "--get-login", "r.example").stdout == "me\n"
    for argv, words in (
        (("--log-level", "loud", "version"), "must be one of"),
        (("--out", str(tmp_path), "version"), "cannot write to"),
        (("--remote", "version"), "without a service"),
        (("build", "."), "does not build images yet"),
    ):
        done = pyman(*argv, rc=125)
        assert words in done.stderr and "Traceback" not in done.stderr
    assert "Traceback" in pyman("attach", "--log-level=debug", "nothing", rc=125).stderr


def test_help_of_commands(pyman: Run) -> None:
    for words in (("run",), ("image", "ls"), ("volume", "create"), ("network",)):
        assert pyman("help", *words).stdout == pyman(*words, "--help").stdout != ""
    assert pyman("help").stdout == pyman("--help").stdout
    for words, near in ((("rnu",), "run"), (("image", "lss"), "image ls"), (("volume", "creat"), "volume create")):
        assert f"did you mean {near}?" in pyman("help", *words, rc=125).stderr
        assert f"did you mean {near}?" in pyman(*words, rc=125).stderr
    assert (
        pyman("__complete", "--", "help", "vol").stdout == "volume\n"
        and pyman("__complete", "--", "help", "volume", "cr").stdout == "create\n"
    )
    assert (
        pyman("__complete", "--", "image", "l").stdout == "list\nload\nls\n" and pyman("__complete", "--", "help", "run", "").stdout == ""
    )
    pyman("network", "create", "completed")
    assert pyman("__complete", "--", "network", "rm", "compl").stdout == "completed\n"
    pyman("network", "rm", "completed")


def test_completion_of_values(pyman: Run, image: str) -> None:
    def offered(*words: str) -> list[str]:
        return pyman("__complete", "--", *words).stdout.split()

    assert offered("run", "--pull", "") == ["always", "missing", "never", "newer"]
    assert offered("run", "--pull", "n") == ["never", "newer"]
    assert offered("run", "--pull=n") == ["--pull=never", "--pull=newer"]
    assert offered("run", "--pull", "=", "n") == offered("run", "--pull", "n")
    assert offered("run", "--pull", "=") == offered("run", "--pull", "")
    assert {"host", "none", "pasta"} < set(offered("run", "-it", "--network", ""))
    assert offered("run", "--log-driver", "k") == ["k8s-file"] and offered("run", "--cap-add", "NET_R") == ["NET_RAW"]
    assert offered("run", "--stop-signal", "SIGW") == ["SIGWINCH"]
    assert offered("run", "--name", "") == [] and offered("run", "-v", "/") == []
    assert image.rsplit("/", 1)[-1] in offered("run", "--name", "x", "") and offered("run", image, "") == []
    assert offered("--log-level", "d") == ["debug"] and "run" in offered("--log-level", "debug", "r")


def test_failures_of_a_start_name_their_cause(pyman: Run, image: str, tmp_path: Path) -> None:
    volumes = pyman("volume", "ls", "-q").stdout
    done = pyman("run", "--rm", "--name", "failed", "--network", "pasta:--bogus", image, "true", rc=126)
    assert "--bogus" in done.stderr and "pasta" in done.stderr
    done = pyman("run", "--rm", "--name", "failed", *NONE[1:], "-v", "/usr/share/doc:/d:U", image, "true", rc=126)
    assert "cannot give /usr/share/doc" in done.stderr and "not permitted" in done.stderr and ":U" in done.stderr
    assert "cannot run nosuch" in pyman("run", "--rm", "--name", "failed", *NONE[1:], "-v", "/anonymous", image, "nosuch", rc=127).stderr
    assert "its name is empty" in pyman("run", "--rm", "--name", "failed", *NONE[1:], image, "", rc=127).stderr
    assert pyman("ps", "-aq").stdout == "" and pyman("volume", "ls", "-q").stdout == volumes
    assert "its name is empty" in pyman("why", "failed").stdout
    # Without --rm it stays, to be looked at, and keeps its name.
    for option, code in ((["-d"], 127), ([], 125)):
        pyman("run", *option, "--name", "failed", *NONE[1:], "-v", "/anonymous", image, "nosuch", rc=code)
    state = json.loads(pyman("inspect", "failed").stdout)[0]["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", 0) and "cannot run nosuch" in state["Error"]
    assert "nosuch" in pyman("why", "failed").stdout
    pyman("start", "failed", rc=125)
    pyman("start", "-a", "failed", rc=125)
    pyman("rm", "-v", "failed")
    assert pyman("volume", "ls", "-q").stdout == volumes
    pyman("run", *NONE, "--mount", "type=volume,src=bare,dst=/x,subpath=nope", image, "true", rc=127)
    pyman("volume", "rm", "bare")
    for option in (("-v", f"{tmp_path}:/proc"), ("--tmpfs", "/proc"), ("-v", f"{tmp_path}:/proc/sys")):
        assert "cannot mount over /proc" in pyman("run", *NONE, *option, image, "true", rc=125).stderr
    (tmp_path / "env").write_bytes(b"A=b\0c\n")
    assert "NUL" in pyman("run", *NONE, "--env-file", str(tmp_path / "env"), image, "true", rc=125).stderr
    done = pyman("pull", "oci-archive:/etc/passwd", rc=125)
    assert "oci-archive:/etc/passwd" in done.stderr and "no tar archive" in done.stderr


def test_input_that_is_no_terminal(pyman: Run, image: str) -> None:
    """A terminal in the container ends the input as its user would, and the command with it."""
    done = pyman("run", "-it", *NONE, image, "cat", input="")
    assert "input device is not a TTY" in done.stderr
    assert pyman("run", "-it", *NONE, image, "cat", input="begun").stdout.endswith("begun")
    pyman("run", "-d", "--name", "tty", *NONE[1:], image, "sleep", "600")
    assert "input device is not a TTY" in pyman("exec", "-it", "tty", "cat", input="").stderr
    caps = json.loads(pyman("inspect", "tty").stdout)[0]["EffectiveCaps"]
    assert caps == sorted(caps) != []
    pyman("rm", "-f", "-t", "0", "tty")


def test_what_programs_look_for_in_a_container(pyman: Run, image: str, tmp_path: Path) -> None:
    script = (
        "cat /run/.containerenv; readlink /etc/mtab; readlink /dev/core; grep -E '/proc/(keys|timer_list) ' /proc/mounts | cut -d' ' -f4"
    )
    lines = pyman("run", *NONE, "--read-only", image, "sh", "-c", script).stdout.split()
    assert "ro,nosuid,noexec" in lines[-1] and "/proc/kcore" in lines and not any("engine" in line for line in lines)
    lines = pyman("run", *NONE, "--privileged", image, "sh", "-c", script).stdout.split()
    assert lines[0].startswith('engine="pyman-') and "rootless=1" in lines and {"/proc/mounts", "/proc/kcore"} <= set(lines)
    pyman("run", *NONE, "-v", f"{tmp_path}:/run", image, "true")
    assert list(tmp_path.iterdir()) == []
    assert "hello" in pyman("run", *NONE, "--rootfs", "/", "/bin/sh", "-c", "echo hello > /dev/null && echo hello").stdout


def test_names_of_hosts(pyman: Run, image: str) -> None:
    def hosts(*options: str) -> dict[str, str]:
        text = pyman("run", "--rm", "--name", "mine", *options, image, "cat", "/etc/hosts").stdout
        return {name: line.split()[0] for line in text.splitlines() for name in line.split()[1:]}

    lone, shared, pasta = hosts("--network", "none"), hosts("--network", "host"), hosts()
    assert lone["mine"] == "127.0.0.1" and "mine" not in shared and pasta["mine"] not in ("127.0.0.1", "127.0.1.1")
    assert lone.get("host.containers.internal") == shared.get("host.containers.internal") != "127.0.0.1"


@pytest.mark.parametrize(
    ("options", "users", "groups"),
    [
        (("--uidmap", "0:0:1", "--uidmap", "+5:5:1"), "0 0 1 5 5 1", "0 0 1 5 5 1"),
        (("--uidmap", "u0:0:10", "--uidmap", "g0:0:5"), "0 0 1 1 1 9", "0 0 1 1 1 4"),
        (("--uidmap", "0:0:3", "--gidmap", "0:0:9", "--gidmap", "+5:100:1"), "0 0 1 1 1 2", "0 0 1 1 1 4 5 100 1 6 6 3"),
        (("--uidmap", f"0:@{os.getuid()}:1"), "0 0 1", "0 0 1"),
    ],
)
def test_id_maps(pyman: Run, image: str, options: tuple[str, ...], users: str, groups: str) -> None:
    if "@" in options[1]:
        options = (*options, "--gidmap", "0:0:1")
    shown = pyman("run", *NONE, *options, image, "sh", "-c", "cat /proc/self/uid_map; echo /; cat /proc/self/gid_map").stdout
    assert [part.split() for part in shown.split("/")] == [users.split(), groups.split()]


def test_ids_of_a_name(pyman: Run, image: str) -> None:
    """The container's ids are the caller's subordinate ones, without the caller; a name that is not his gives none."""
    name = pwd.getpwuid(os.getuid()).pw_name
    maps = "cat /proc/self/uid_map; echo /; cat /proc/self/gid_map"
    shown = [pyman("run", *NONE, option, name, image, "sh", "-c", maps).stdout.split("/") for option in ("--subuidname", "--subgidname")]
    for part in (part.split() for parts in shown for part in parts):
        assert part[:2] == ["0", "1"] and int(part[2]) > 1000
    assert "nobodys" in pyman("run", *NONE, "--subuidname", "nobodys", image, "true", rc=125).stderr
    assert "both say" in pyman("run", *NONE, "--subuidname", name, "--uidmap", "0:1:5", image, "true", rc=125).stderr
    assert "both say" in pyman("run", *NONE, "--subuidname", name, "--userns", "keep-id", image, "true", rc=125).stderr


def test_a_directory_of_a_group_that_the_container_lacks(pyman: Run, image: str, base: Path) -> None:
    """Its mode lets only the user in: the container's root, which is another user, gets what is bound all the same."""
    shut = base / "shut"
    shut.mkdir(exist_ok=True)
    (shut / "file").write_text("seen\n")
    pyman("unshare", "chgrp", "5", str(shut))
    shut.chmod(0o700)
    ids = ("--uidmap", "+0:7:1", "--gidmap", "0:0:3")
    assert pyman("run", *NONE, *ids, "-v", f"{shut}/file:/file", image, "cat", "/file").stdout == "seen\n"


def test_messages_that_nobody_reads(pyman: Run, image: str, base: Path) -> None:
    """The end of a pipe that has gone changes no exit code, and ends no work."""
    reader, writer = os.pipe()
    os.close(reader)

    def code(*args: str) -> int:
        return subprocess.run(
            [*command(), *args], env=environment(base), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer, check=False
        ).returncode

    assert code("inspect", "no-such-container") == 125
    assert code("run", "--rm", "-it", "--network", "none", image, "sh", "-c", "exit 3") == 3, "it has a warning to give"
    os.close(writer)


def test_a_line_ends_once(pyman: Run, image: str) -> None:
    """Whether a template ends its line or not, as with Podman; a second line is a second line."""
    for words in (("images", "--filter", f"reference={image}"), ("image", "inspect", image), ("info",), ("version",)):
        one, two, three = (pyman(*words, "--format", "x{{/* */}}" + end).stdout for end in ("", "\\n", "\n\\n"))
        number = one.count("x")  # an image may have several names
        assert number and (one, two, three) == ("x\n" * number, "x\n" * number, "x\n\n" * number)
