"""What managers rely on in other OCI runtimes, though the specification leaves it open: defaults, texts, sockets of their callers."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run, until
from tests.integration.conftest import Bundle, Runtime


def plain(bundle: Bundle) -> None:
    """A spec written for root: no user namespace, its own network, a sysfs."""
    linux = bundle.spec["linux"]
    linux["namespaces"] = [entry for entry in linux["namespaces"] if entry["type"] != "user"]
    del linux["uidMappings"], linux["gidMappings"]
    for entry in bundle.spec["mounts"]:
        if entry["destination"] == "/sys":
            entry.update(type="sysfs", source="sysfs", options=["nosuid", "nodev", "noexec", "rw"])


def test_an_unprivileged_caller_gets_a_user_namespace_with_all_his_ids(bundle: Bundle, runtime: Runtime) -> None:
    plain(bundle)
    text = runtime("run", "--bundle", bundle.sh("id -u; cat /proc/self/uid_map"), "mapped").stdout
    rows = [line.split() for line in text.splitlines()[1:]]
    assert text.startswith("0\n") and rows[0] == ["0", str(os.getuid()), "1"]
    assert len(rows) > 1 and rows[1][0] == "1", "the subordinate ids are mapped"
    bundle.spec["process"]["user"] = {"uid": 5, "gid": 6, "additionalGids": [7]}
    assert runtime("run", "--bundle", bundle.sh("id"), "five").stdout == "uid=5 gid=6 groups=7\n"


def test_ids_that_are_not_the_callers_are_refused_by_who_maps_them(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec["linux"]["uidMappings"] = [{"containerID": 0, "hostID": 0, "size": 5}]
    text = runtime("run", "--bundle", bundle.save(), "foreign", rc=1).stderr
    assert "cannot write the container's uid_map" in text and "newuidmap" in text and text.count("\n") == 1
    assert runtime("list", "-q").stdout == ""


def test_sysfs_without_a_network_namespace_is_the_hosts_and_read_only_as_a_whole(bundle: Bundle, runtime: Runtime) -> None:
    plain(bundle)
    script = "grep -c ' /sys' /proc/self/mounts; grep ' /sys' /proc/self/mounts | grep -v '[ ,]ro[ ,]' || echo all; ls /sys/class/net"
    text = runtime("run", "--bundle", bundle.sh(script), "sys").stdout
    assert "\nall\n" in text and "lo" in text.split()
    assert not [line for line in text.splitlines() if " /sys" in line], "a writable mount below /sys"


def test_devices_are_neither_programs_nor_privileged(bundle: Bundle, runtime: Runtime) -> None:
    text = runtime("run", "--bundle", bundle.sh("grep ' /dev/null ' /proc/self/mounts; : >/dev/null && echo writable"), "dev").stdout
    assert "nosuid" in text and "noexec" in text and text.endswith("writable\n")


@pytest.mark.parametrize("kind", ["file", "missing", "link", "fifo", "loop", "huge"])
def test_home_comes_from_the_containers_own_passwd(bundle: Bundle, runtime: Runtime, tmp_path: Path, kind: str) -> None:
    passwd, expected = bundle.root / "etc" / "passwd", "/"
    passwd.parent.mkdir()
    line = "root:x:0:0::/inside:/bin/sh\nother:x:7:7::/seven:/bin/sh\n"
    if kind == "file":
        passwd.write_text(line)
        expected = "/inside"
    elif kind == "link":  # /etc/passwd -> a file of the host: resolved inside, where it is not
        (tmp_path / "outside").write_text("root:x:0:0::/host:/bin/sh\n")
        passwd.symlink_to(tmp_path / "outside")
    elif kind == "fifo":
        os.mkfifo(passwd)
    elif kind == "loop":
        passwd.symlink_to("passwd")
    elif kind == "huge":
        passwd.write_text(line)
        os.truncate(passwd, 1 << 40)
        expected = "/inside"
    assert runtime("run", "--bundle", bundle.sh("echo $HOME"), "home").stdout.strip() == expected
    runtime("run", "--detach", "--bundle", bundle.save(args=["/bin/sleep", "600"]), "home")
    assert runtime("exec", "home", "/bin/sh", "-c", "echo $HOME").stdout.strip() == expected
    assert runtime("exec", "-e", "HOME=/asked", "home", "/bin/sh", "-c", "echo $HOME").stdout.strip() == "/asked"


def test_a_missing_working_directory_is_made_inside(bundle: Bundle, runtime: Runtime, tmp_path: Path) -> None:
    assert runtime("run", "--bundle", bundle.save(cwd="/new/deep", args=["/bin/busybox", "pwd"]), "cwd").stdout == "/new/deep\n"
    assert (bundle.root / "new" / "deep").is_dir()
    (tmp_path / "host").mkdir()
    (bundle.root / "out").symlink_to(tmp_path / "host")
    for cwd in ("/out/made", "/proc/self/fd/5/made", "/../../../../out/made"):
        runtime("run", "--bundle", bundle.save(cwd=cwd, args=["/bin/true"]), "cwd", rc=None)
    assert os.listdir(tmp_path / "host") == []
    assert "No such file or directory" in runtime("run", "--bundle", bundle.save(cwd="/proc/none"), "cwd", rc=1).stderr


def test_many_containers_by_a_regular_expression(bundle: Bundle, runtime: Runtime) -> None:
    bundle.sh("trap 'exit 3' TERM; while :; do /bin/sleep 0.02; done")
    for name in ("web-1", "web-2", "db-1"):
        runtime("run", "--detach", "--bundle", bundle.path, name)
    runtime("kill", "--regex", "^web-", "KILL")
    runtime("delete", "--force", "--regex", "^web-")
    assert runtime("list", "-q").stdout == "db-1\n"
    assert "invalid regular expression" in runtime("delete", "--regex", "(", rc=1).stderr


def test_what_was_never_started_needs_no_force(bundle: Bundle, runtime: Runtime) -> None:
    runtime("create", "--bundle", bundle.path, "fresh")
    assert json.loads(runtime("state", "fresh").stdout)["status"] == "created"
    runtime("delete", "fresh")
    assert runtime("list", "-q").stdout == ""


def test_readiness_is_passed_on_and_nothing_else(bundle: Bundle, runtime: Runtime, tmp_path: Path, base: Path) -> None:
    path = base / "sd"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(path))
    manager.settimeout(300)
    # busybox speaks no AF_UNIX datagrams: the message comes from here, through the directory that the container sees.
    bundle.sh("echo $NOTIFY_SOCKET >/socket; while [ ! -e /end ]; do /bin/sleep 0.02; done")
    try:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                runtime("run", "--detach", "--bundle", bundle.path, "ready", env={"NOTIFY_SOCKET": str(path)})
                code = 0
            finally:
                os._exit(code)
        inner = tmp_path / "rootfs" / "socket"
        until(lambda: inner.exists() and inner.read_text())
        assert inner.read_text() == f"{path}/notify\n"
        container = json.loads(runtime("state", "ready").stdout)["pid"]
        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.sendto(b"STATUS=forged\nMAINPID=1", f"/proc/{container}/root{path}/notify")
        sender.sendto(b"STOPPING=1\nREADY=1", f"/proc/{container}/root{path}/notify")
        assert manager.recv(4096) == f"MAINPID={container}\nREADY=1".encode()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the command ends once the container is ready"
        sender.close()
    finally:
        (bundle.root / "end").touch()
        manager.close()
        path.unlink()
    runtime("delete", "--force", "ready")
    assert runtime("list", "-q").stdout == ""


def test_a_call_that_the_library_does_not_know(bundle: Bundle, runtime: Runtime) -> None:
    rule = {"names": ["no_such_call"], "action": "SCMP_ACT_ERRNO"}
    bundle.spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    runtime("run", "--bundle", bundle.sh("true"), "lenient")
    bundle.spec["annotations"] = {"run.oci.seccomp_fail_unknown_syscall": "1"}
    assert "unknown system call 'no_such_call'" in runtime("run", "--bundle", bundle.sh("true"), "strict", rc=1).stderr


@pytest.mark.parametrize(("log", "fine"), [("file:{}", True), ("{}", True), ("journald:x", False), ("nonsense:{}", False)])
def test_logs_are_files(runtime: Runtime, tmp_path: Path, log: str, fine: bool) -> None:
    text = runtime("--log", log.format(tmp_path / "log"), "state", "nobody", rc=1).stderr
    assert ("invalid --log" in text) != fine and (tmp_path / "log").exists() == fine
    assert not os.path.exists(log)


def test_checkpoints_are_refused_with_everything_that_stands_in_the_way(bundle: Bundle, runtime: Runtime, tmp_path: Path) -> None:
    runtime("run", "--detach", "--bundle", bundle.save(), "plain")
    text = runtime("checkpoint", "--image-path", tmp_path, "--leave-running", "plain", rc=1).stderr
    assert "/proc/PID/map_files" in text and "seccomp" not in text and ("criu is not installed" in text) == (shutil.which("criu") is None)
    bundle.spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]}
    runtime("run", "--detach", "--bundle", bundle.save(), "filtered")
    assert "PTRACE_O_SUSPEND_SECCOMP" in runtime("checkpoint", "filtered", rc=1).stderr
    assert "does not exist" in runtime("checkpoint", "nobody", rc=1).stderr
    assert "no directory" in runtime("restore", "--image-path", tmp_path / "none", "new", rc=1).stderr
    assert "kernel/hostname" in runtime("restore", "--image-path", tmp_path, "--bundle", bundle.path, "-d", "new", rc=1).stderr
    assert "it has no config.json" in runtime("restore", "--image-path", tmp_path, "--bundle", bundle.root, "new", rc=1).stderr
    assert "manage-cgroups-mode" in runtime("checkpoint", "--manage-cgroups-mode", "odd", "plain", rc=1).stderr
    assert {"plain", "filtered"} == set(runtime("list", "-q").stdout.split())


def test_pyman_itself_can_be_pointed_at_it(pyman: Run, image: str, base: Path) -> None:
    """As at any other runtime: the exit codes of what cannot be run come through."""
    program = base / "pyman-runtime"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -SI {ROOT}/pyman/runtime/__main__.py "$@"\n')
    program.chmod(0o755)
    for command, code in (("true", 0), ("/etc", 126), ("/etc/passwd", 126), ("/nope", 127), ("nope", 127)):
        done = pyman("--runtime", str(program), "run", "--rm", "--network", "none", image, command, rc=code)
        assert code == 0 or f"cannot run {command}" in done.stderr
