"""`pyman run` as its users type it: output, exit codes, environment, users, mounts, namespaces, security defaults."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import OTHER_RUNTIME, Run, until

NONE = ("--rm", "--network", "none")


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs"])
def test_output_and_exit_code(pyman: Run, image: str, driver: str) -> None:
    done = pyman("--storage-driver", driver, "run", *NONE, image, "sh", "-c", "echo out; echo err >&2; exit 7", rc=7)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_logs_of_both_streams(pyman: Run, image: str) -> None:
    pyman("run", "--name", "both", "--network", "none", image, "sh", "-c", "echo out; echo err >&2")
    done = pyman("logs", "both")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize("driver", ["overlay", "fuse-overlayfs"])
def test_changes_stay_in_the_container(pyman: Run, image: str, driver: str) -> None:
    pyman("--storage-driver", driver, "run", *NONE, image, "sh", "-c", "rm /etc/group; rm -r /home; echo new > /etc/passwd")
    assert pyman("run", *NONE, image, "cat", "/etc/group").stdout.startswith("root:")


@pytest.mark.parametrize("first, second", [("overlay", "fuse-overlayfs"), ("fuse-overlayfs", "overlay")])
def test_a_container_written_with_one_driver_goes_on_with_the_other(pyman: Run, image: str, first: str, second: str) -> None:
    write = "echo data > /kept; rm /etc/group; rm /bin/ls; rm -r /usr/demo; mkdir /usr/demo; echo y > /usr/demo/y"
    script = f"[ -e /kept ] && {{ cat /kept; cd /usr/demo; echo * .[a-z]*; [ -e /bin/ls -o -e /etc/group ] && echo ls; exit 3; }}; {write}"
    pyman("--storage-driver", first, "create", "--name", "both", "--network", "none", image, "sh", "-c", script)
    pyman("--storage-driver", first, "start", "-a", "both")
    done = pyman("--storage-driver", second, "start", "-a", "both", rc=3)
    assert done.stdout == "data\ny .[a-z]*\n"


@pytest.mark.parametrize(
    "command, code, word", [(("nope",), 127, "no such program"), (("/etc",), 126, "directory"), (("/etc/passwd",), 126, "not executable")]
)
def test_commands_that_cannot_run(pyman: Run, image: str, command: tuple[str, ...], code: int, word: str) -> None:
    text = pyman("run", *NONE, image, *command, rc=code).stderr
    assert word in text or (OTHER_RUNTIME in text and OTHER_RUNTIME)  # which explain less


def test_a_script_with_a_missing_interpreter_is_explained(pyman: Run, image: str) -> None:
    script = r"printf '#!/bin/nosuch\n' > /a; printf '#!/bin/sh\r\n' > /b; chmod +x /a; chmod +x /b; exec sleep 600"
    pyman("run", "-d", "--name", "crlf", "--network", "none", image, "sh", "-c", script)
    until(lambda: pyman("exec", "crlf", "test", "-x", "/b", rc=None).returncode == 0)
    assert "interpreter '/bin/nosuch'" in pyman("exec", "crlf", "/a", rc=127).stderr
    assert "carriage return" in pyman("exec", "crlf", "/b", rc=127).stderr


def test_stdin_reaches_the_container(pyman: Run, image: str) -> None:
    data = "line\n" * 50000
    assert pyman("run", "-i", *NONE, image, "cat", input=data).stdout == data


def test_environment(pyman: Run, image: str) -> None:
    env = {"FROM_HOST": "h", "SECRET_HOST": "never"}
    lines = pyman(
        "run", *NONE, "-e", "A=1", "-e", "FROM_HOST", "-e", "MISSING", "--unsetenv", "container", image, "env", env=env
    ).stdout.split("\n")
    assert "A=1" in lines and "FROM_HOST=h" in lines and "HOME=/root" in lines
    assert not any(line.startswith(("SECRET_HOST", "MISSING", "container=")) for line in lines)


def test_user_groups_and_capabilities(pyman: Run, image: str) -> None:
    done = pyman("run", *NONE, "-u", "user", "--group-add", "123", image, "sh", "-c", "id; grep ^Cap /proc/self/status")
    assert "uid=1000(user) gid=1000(user) groups=123,1000(user),2000(extra)" in done.stdout
    assert "CapEff:\t0000000000000000" in done.stdout and "CapBnd:\t00000000800405fb" in done.stdout
    root = pyman("run", *NONE, image, "grep", "^Cap", "/proc/self/status").stdout
    assert "CapInh:\t0000000000000000" in root and "CapAmb:\t0000000000000000" in root and "CapEff:\t00000000800405fb" in root


@pytest.mark.parametrize("user", ["-1", "0x0", "4294967295", "99999999999", " 0", "nobodyx", "0:nogroupx"])
def test_bad_users_are_refused(pyman: Run, image: str, user: str) -> None:
    pyman("run", *NONE, f"--user={user}", image, "true", rc=126)


def test_keep_id_writes_as_the_caller(pyman: Run, image: str, base: Path) -> None:
    shared = base / "shared"
    shared.mkdir(exist_ok=True)
    done = pyman("run", *NONE, "--userns", "keep-id", "-v", f"{shared}:/w", image, "sh", "-c", "id -u; touch /w/f; stat -c %u /bin/busybox")
    assert done.stdout.split() == [str(os.getuid()), "0"]
    assert (shared / "f").stat().st_uid == os.getuid()


@pytest.mark.parametrize("userns", ["keep-id", "keep-id:uid=0,gid=0", *([] if OTHER_RUNTIME else ["nomap"])])
def test_what_is_the_root_s(pyman: Run, image: str, userns: str) -> None:
    """The container's user, who may be the caller, changes none of the files that pyman makes; its root does, in each run."""
    paths = "/etc/hosts /etc/hostname /etc/resolv.conf /run/.containerenv"
    script = f"for path in {paths}; do stat -c %u:%g $path; (echo evil >> $path) 2>/dev/null && echo written; done; exit 0"
    pyman("create", "--name", "ours", *NONE[1:], "--userns", userns, "--user", "1234", image, "sh", "-c", script)
    for _ in range(2):
        assert pyman("start", "-a", "ours").stdout.split() == ["0:0"] * 4
    pyman("rm", "ours")
    written = pyman("run", *NONE, "--userns", userns, "--user", "0", image, "sh", "-c", script).stdout.split()
    assert written == ["0:0", "written"] * 4


def test_mounts(pyman: Run, image: str, base: Path) -> None:
    (base / "in").mkdir(exist_ok=True)
    (base / "in" / "file").write_text("content")
    script = "cat /ro/file; touch /ro/x; touch /x; touch /tmp/y && echo tmp; df /s | tail -1; pwd"
    args = ("-v", f"{base}/in:/ro:ro", "--read-only", "--tmpfs", "/s:size=1m", "-w", "/ro")
    done = pyman("run", *NONE, *args, image, "sh", "-c", script)
    assert done.stdout.startswith("contenttmp\n") and " 1024 " in done.stdout and done.stdout.endswith("/ro\n")
    assert done.stderr.count("Read-only file system") == 2


def test_named_volume_keeps_data_and_is_filled_once(pyman: Run, image: str) -> None:
    pyman("run", *NONE, "-v", "basics:/etc", image, "sh", "-c", "rm /etc/group; echo mine > /etc/own")
    assert pyman(
        "run", *NONE, "-v", "basics:/etc", image, "sh", "-c", "ls /etc | grep -v -e hosts -e resolv -e hostname"
    ).stdout.split() == [
        "own",
        "passwd",
    ]


def test_namespaces_are_shared_on_request(pyman: Run, image: str) -> None:
    pyman("run", "-d", "--name", "first", "--network", "none", image, "sleep", "600")
    done = pyman("run", "--rm", "--network", "container:first", "--pid", "container:first", "--ipc", "container:first", image, "ps")
    assert "sleep 600" in done.stdout
    assert pyman("run", *NONE, "--uts", "host", image, "hostname").stdout.strip() == os.uname().nodename


def test_masked_and_read_only_paths(pyman: Run, image: str) -> None:
    script = (
        "cat /proc/kcore /proc/keys | wc -c; ls /sys/firmware /proc/acpi 2>/dev/null | wc -l; echo 1 > /proc/sys/kernel/domainname; echo $?"
    )
    assert pyman("run", *NONE, image, "sh", "-c", script).stdout.split()[-1] == "1"


def test_no_descriptor_of_the_caller_reaches_the_container(pyman: Run, image: str) -> None:
    done = pyman("run", *NONE, image, "sh", "-c", "for f in /proc/self/fd/*; do echo ${f##*/}; done")
    assert sorted(done.stdout.split())[:3] == ["0", "1", "2"] and len(done.stdout.split()) <= 4


@pytest.mark.parametrize("path", ["/proc/self/fd/3", "/proc/1/cwd", "relative"])
def test_working_directories_that_lead_outside_are_refused(pyman: Run, image: str, path: str) -> None:
    if OTHER_RUNTIME and path == "/proc/1/cwd":  # they look where it leads: to a place inside
        assert pyman("run", *NONE, "-w", path, image, "pwd").stdout == "/\n"
        return
    pyman("run", *NONE, "-w", path, image, "true", rc=126)


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_other_oci_runtimes(pyman: Run, image: str, runtime: str) -> None:
    assert pyman("run", *NONE, "--runtime", runtime, image, "echo", "hello").stdout == "hello\n"
    pyman("run", "-d", "--name", "other", "--network", "none", "--runtime", runtime, image, "sleep", "600")
    until(lambda: "sleep 600" in pyman("exec", "other", "ps").stdout)
    pyman("rm", "-f", "-t", "0", "other")


def test_init_program(pyman: Run, image: str) -> None:
    assert pyman("run", *NONE, "--init", image, "cat", "/proc/1/comm").stdout == "podman-init\n"


def test_no_new_privileges_and_seccomp(pyman: Run, image: str) -> None:
    done = pyman(
        "run", *NONE, "--security-opt", "no-new-privileges", image, "grep", "-E", "NoNewPrivs|Seccomp:", "/proc/self/status"
    ).stdout
    assert done.split() == ["NoNewPrivs:", "1", "Seccomp:", "2"]
    off = pyman("run", *NONE, "--security-opt", "seccomp=unconfined", image, "grep", "Seccomp:", "/proc/self/status").stdout
    assert off.split() == ["Seccomp:", "0"]


def test_plain_root_file_system(pyman: Run, base: Path) -> None:
    root = base / "plain"
    (root / "bin").mkdir(parents=True, exist_ok=True)
    (root / "bin" / "busybox").write_bytes(Path("/bin/busybox").read_bytes())
    (root / "bin" / "busybox").chmod(0o755)
    assert pyman("run", *NONE, "--rootfs", str(root), "/bin/busybox", "echo", "plain").stdout == "plain\n"


def test_odd_image_environment_is_a_warning(pyman: Run, layout: str, base: Path) -> None:
    import hashlib
    import json
    import shutil

    odd = base / "odd"
    shutil.copytree(layout, odd, dirs_exist_ok=True)
    index = json.loads((odd / "index.json").read_text())
    blobs = odd / "blobs/sha256"

    def put(value: object) -> tuple[str, int]:
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return f"sha256:{digest}", len(data)

    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
    config["config"]["Env"] = ["PATH=/bin", "HOME_OF_HOST", "*"]
    manifest["config"]["digest"], manifest["config"]["size"] = put(config)
    index["manifests"][0]["digest"], index["manifests"][0]["size"] = put(manifest)
    (odd / "index.json").write_text(json.dumps(index))
    done = pyman("run", *NONE, "--pull", "missing", f"oci:{odd}:latest", "env", env={"HOME_OF_HOST": "leak"})
    assert "leak" not in done.stdout and done.stderr.count("has no value and is ignored") == 2


def test_sysctls_of_the_containers_namespaces(pyman: Run, image: str) -> None:
    path = "/proc/sys/net/ipv4/ping_group_range"
    assert pyman("run", *NONE, image, "cat", path).stdout.split() == ["0", "0"]
    assert pyman("run", *NONE, "--sysctl", "net.ipv4.ping_group_range=0 5", image, "cat", path).stdout.split() == ["0", "5"]
    assert "whole machine" in pyman("run", *NONE, "--sysctl", "kernel.core_pattern=x", image, "true", rc=125).stderr
