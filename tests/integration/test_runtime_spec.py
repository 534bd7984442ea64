"""The Linux part of the runtime-spec, seen from inside the container: namespaces, mounts, process attributes, seccomp."""

from __future__ import annotations

import array
import ctypes
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.integration.conftest import Bundle, Runtime

NAMESPACES = ("pid", "ipc", "uts", "mount", "cgroup", "user")
OWN = [{"type": "mount"}, {"type": "user"}, {"type": "uts"}]


def out(bundle: Bundle, runtime: Runtime, script: str, **process: object) -> str:
    bundle.save(**process)
    return str(runtime("run", "--bundle", bundle.sh(script), "spec").stdout)


def add_namespace(bundle: Bundle, kind: str, **more: str) -> None:
    bundle.spec["linux"]["namespaces"].append({"type": kind, **more})


def test_names_of_the_machine(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec.update(hostname="inner", domainname="example.org")
    assert out(bundle, runtime, "hostname; cat /proc/sys/kernel/domainname").split() == ["inner", "example.org"]


def test_clocks_of_a_time_namespace(bundle: Bundle, runtime: Runtime) -> None:
    add_namespace(bundle, "time")
    bundle.spec["linux"]["timeOffsets"] = {"boottime": {"secs": 1000000}, "monotonic": {"secs": 7, "nanosecs": 5}}
    text = out(bundle, runtime, "cat /proc/self/timens_offsets /proc/uptime")
    assert [line.split() for line in text.splitlines()[:2]] == [["monotonic", "7", "5"], ["boottime", "1000000", "0"]]
    assert float(text.splitlines()[2].split()[0]) > 1000000


def test_namespaces_by_path(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec["hostname"] = "first"
    runtime("run", "--detach", "--bundle", bundle.save(), "first")
    pid = json.loads(runtime("state", "first").stdout)["pid"]
    bundle.spec.pop("hostname")
    bundle.spec["linux"]["namespaces"] = [
        {"type": "mount"},
        {"type": "pid"},
        *({"type": kind, "path": f"/proc/{pid}/ns/{kind}"} for kind in ("user", "uts", "ipc")),
    ]
    for key in ("uidMappings", "gidMappings"):
        bundle.spec["linux"].pop(key)
    assert out(bundle, runtime, "hostname; id -u").split() == ["first", "0"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["bind", "ro"], "ro,"),
        (["rbind", "rro"], "ro,"),
        (["bind", "nosuid", "nodev", "noexec"], "rw,nosuid,nodev,noexec"),
        (["bind", "nosymfollow"], "nosymfollow"),
    ],
)
def test_options_of_bind_mounts(bundle: Bundle, runtime: Runtime, options: list[str], expected: str) -> None:
    (bundle.path / "src").mkdir()
    bundle.spec["mounts"].append({"destination": "/dst", "source": str(bundle.path / "src"), "options": options})
    line = next(line for line in out(bundle, runtime, "cat /proc/self/mountinfo").splitlines() if " /dst " in line)
    assert expected in line.split(" ")[5] + ","


@pytest.mark.parametrize("kind", ["bind", "tmpfs"])
def test_a_read_only_mount_takes_those_inside_first(bundle: Bundle, runtime: Runtime, kind: str) -> None:
    """The places of mounts inside are made while it is writable; then it is read-only, and they are what they are."""
    (bundle.path / "src").mkdir()
    outer = {"destination": "/top", "type": kind, "source": str(bundle.path / "src"), "options": ["ro", "nosuid"]}
    if kind == "bind":
        outer["options"] = ["rbind", "ro", "nosuid"]
    bundle.spec["mounts"] += [outer, {"destination": "/top/in/side", "type": "tmpfs", "source": "tmpfs"}]
    dev = next(entry for entry in bundle.spec["mounts"] if entry["destination"] == "/dev")
    dev["options"] = [*dev.get("options", []), "ro"]
    script = "touch /top/in/side/x && for f in /top/x /top/in/x /dev/x; do touch $f 2>/dev/null && echo written $f; done; echo y >/dev/null; echo done"
    assert out(bundle, runtime, script) == "done\n"


def test_times_of_access(bundle: Bundle, runtime: Runtime) -> None:
    for name in ("noatime", "nodiratime", "strictatime"):
        entry = {"destination": f"/{name}", "type": "tmpfs", "source": "tmpfs", "options": [name]}
        bundle.spec["mounts"].append(entry)
    lines = {line.split(" ")[4]: line.split(" ")[5] for line in out(bundle, runtime, "cat /proc/self/mountinfo").splitlines()}
    assert "noatime" in lines["/noatime"] and "nodiratime" in lines["/nodiratime"] and "relatime" not in lines["/strictatime"]
    bundle.spec["mounts"].append({"destination": "/bound", "source": "/usr", "options": ["bind", "noatime"]})
    assert "decides about access times" in runtime("run", "--bundle", bundle.save(), "times", rc=1).stderr


def test_recursive_attributes_reach_every_mount_below(bundle: Bundle, runtime: Runtime) -> None:
    (bundle.path / "src").mkdir()
    (bundle.root / "top/sub").mkdir(parents=True)
    inner = {"destination": "/top", "type": "tmpfs", "source": "tmpfs"}
    deep = {"destination": "/top/sub", "type": "tmpfs", "source": "tmpfs"}
    bundle.spec["mounts"] += [inner, deep]
    for options, expected in ((["rbind", "ro"], "kept out\nwritten\n"), (["rbind", "rro"], "kept out\nkept out\n")):
        # The second container binds the first one's tree: its own root, seen through a bind of /.
        mounts = [*bundle.spec["mounts"], {"destination": "/all", "source": str(bundle.root), "options": options}]
        script = "for f in /all/x /all/top/x; do touch $f 2>/dev/null && echo written || echo kept out; done"
        saved = bundle.spec["mounts"]
        bundle.spec["mounts"] = mounts
        text = out(bundle, runtime, script)
        bundle.spec["mounts"] = saved
        assert text.splitlines()[0] == expected.splitlines()[0]


def test_propagation_of_mounts_and_root(bundle: Bundle, runtime: Runtime) -> None:
    (bundle.path / "src").mkdir()
    bundle.spec["mounts"] += [
        {"destination": f"/{name}", "source": str(bundle.path / "src"), "options": ["bind", name]}
        for name in ("private", "shared", "unbindable", "rprivate")
    ]
    bundle.spec["linux"]["rootfsPropagation"] = "shared"
    lines = {line.split(" ")[4]: line.split(" - ")[0] for line in out(bundle, runtime, "cat /proc/self/mountinfo").splitlines()}
    assert "shared:" in lines["/shared"] and "unbindable" in lines["/unbindable"] and "shared:" in lines["/"]
    assert "shared:" not in lines["/private"] and "shared:" not in lines["/rprivate"]


def test_sources_are_relative_to_the_bundle(bundle: Bundle, runtime: Runtime) -> None:
    (bundle.path / "beside").write_text("beside the root")
    bundle.spec["mounts"].append({"destination": "/tmp/file", "source": "beside", "options": ["bind"]})
    assert out(bundle, runtime, "cat /tmp/file") == "beside the root"


def test_tmpcopyup(bundle: Bundle, runtime: Runtime) -> None:
    (bundle.root / "data").mkdir()
    (bundle.root / "data/file").write_text("kept")
    bundle.spec["mounts"].append({"destination": "/data", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup", "ro"]})
    assert out(bundle, runtime, "cat /data/file; touch /data/x || echo no") == "keptno\n"


def test_only_new_file_systems_copy_up(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec["mounts"].append({"destination": "/data", "source": str(bundle.path), "options": ["bind", "tmpcopyup"]})
    assert "cannot mount /data: tmpcopyup" in runtime("run", "--bundle", bundle.save(), "spec", rc=1).stderr


def test_copied_links_and_links_not_followed(bundle: Bundle, runtime: Runtime) -> None:
    (bundle.path / "link").symlink_to("/etc/target")
    bundle.spec["mounts"].append({"destination": "/a/link", "source": str(bundle.path / "link"), "options": ["bind", "copy-symlink"]})
    assert out(bundle, runtime, "/bin/busybox readlink /a/link") == "/etc/target\n"


def test_a_link_is_a_place_of_its_own_with_dest_nofollow(bundle: Bundle, runtime: Runtime) -> None:
    """Not where it leads: neither of the two links is followed when nobody shall follow them."""
    (bundle.path / "file").write_text("text")
    (bundle.path / "link").symlink_to("file")
    (bundle.root / "target").symlink_to("nowhere")
    mount = {"destination": "/target", "source": str(bundle.path / "link"), "options": ["bind", "dest-nofollow"]}
    bundle.spec["mounts"].append(mount)
    assert out(bundle, runtime, "cat /target; ls /").startswith("text") and not (bundle.root / "nowhere").exists()
    mount["options"].append("src-nofollow")
    assert out(bundle, runtime, "/bin/busybox readlink /target") == "file\n"
    mount["destination"] = "/made"
    assert out(bundle, runtime, "/bin/busybox readlink /made") == "file\n"
    mount["destination"] = "/proc/self"
    assert "it is a link of procfs" in runtime("run", "--bundle", bundle.save(), "spec", rc=1).stderr


def test_a_tmpfs_has_the_mode_of_the_directory_it_covers(bundle: Bundle, runtime: Runtime) -> None:
    (bundle.root / "old").mkdir()
    (bundle.root / "old").chmod(0o1712)
    for path, options in (("/old", []), ("/new", []), ("/old/../given", ["mode=700"]), ("/one", ["size=1m,mode=711"])):
        bundle.spec["mounts"].append({"destination": path, "type": "tmpfs", "source": "tmpfs", "options": options})
    assert out(bundle, runtime, "/bin/busybox stat -c %a /old /new /given /one").split() == ["1712", "1777", "700", "711"]


def test_idmapped_mounts_where_the_file_system_is_ours(bundle: Bundle, runtime: Runtime, base: Path) -> None:
    """In a user namespace of the test's own, with a tmpfs that belongs to it."""
    config = bundle.spec
    maps = [{"containerID": 0, "hostID": 5, "size": 1}]
    config["mounts"].append(
        {"destination": "/idm", "source": "/mnt/idm", "options": ["bind", "idmap"], "uidMappings": maps, "gidMappings": maps}
    )
    config["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "mount", "uts", "ipc")]
    for key in ("uidMappings", "gidMappings"):
        config["linux"].pop(key)
    bundle.sh("/bin/busybox stat -c %u /idm/file")
    program = f"{sys.executable} -SI {ROOT}/pyman/runtime/__main__.py"
    command = f"mount -t tmpfs x /mnt && cp -r {bundle.path} /mnt/b && mkdir /mnt/idm && touch /mnt/idm/file && {program} --root /mnt/state run --bundle /mnt/b idm"
    done = subprocess.run(
        [sys.executable, "-SI", str(ROOT / "pyman/__main__.py"), "unshare", "sh", "-c", command],
        capture_output=True,
        text=True,
        env={"HOME": str(base / "home"), "XDG_RUNTIME_DIR": str(base / "run"), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "5\n"), done.stderr


def test_idmap_of_a_foreign_file_system_is_a_clear_error(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec["mounts"].append({"destination": "/idm", "source": "/usr", "options": ["bind", "idmap=uids=0-0-1;gids=0-0-1"]})
    assert "cannot map" in runtime("run", "--bundle", bundle.save(), "idm", rc=1).stderr
    bundle.spec["mounts"][-1]["options"] = ["bind", "idmap=uids=zero"]
    assert "is not like" in runtime("run", "--bundle", bundle.save(), "idm", rc=1).stderr


def test_process_attributes(bundle: Bundle, runtime: Runtime) -> None:
    process = {
        "scheduler": {"policy": "SCHED_BATCH", "nice": 5},
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 0},
        "oomScoreAdj": 500,
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}],
        "user": {"uid": 0, "gid": 0, "umask": 0o27},
    }
    bundle.spec["linux"]["personality"] = {"domain": "LINUX32"}
    bundle.spec["linux"]["memoryPolicy"] = {"mode": "MPOL_INTERLEAVE", "nodes": "0"}
    script = (
        "/bin/busybox ionice; cat /proc/self/oom_score_adj; ulimit -n; umask; /bin/busybox uname -m; "
        "grep -m1 interleave /proc/self/numa_maps | /bin/busybox cut -d' ' -f2; /bin/busybox cut -d' ' -f19 /proc/self/stat"
    )
    lines = out(bundle, runtime, script, **process).splitlines()
    assert lines[0].startswith("idle") and lines[1:4] == ["500", "50", "0027"] and lines[4] in ("i686", "armv8l")
    assert "interleave:0" in lines and lines[-1] == "5"


@pytest.mark.parametrize(
    ("part", "value", "word"),
    [
        ("apparmorProfile", "strict", "AppArmor is not enabled"),
        ("selinuxLabel", "a:b:c:s0", "SELinux is not enabled"),
        ("scheduler", {"policy": "SCHED_MAGIC"}, "process.scheduler"),
        ("ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 9}, "between 0 and 7"),
        ("execCPUAffinity", {"initial": "x"}, "not a list"),
        ("oomScoreAdj", 2000, "oomScoreAdj"),
        ("rlimits", [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}] * 2, "named twice"),
        ("cwd", "here", "not absolute"),
        ("args", [], "missing or empty"),
        ("args", "sh", "must be a list"),
        ("env", [1], "env[0]"),
        ("env", ["A=b", "HOME"], "process.env[1] is wrong: 'HOME' is not NAME=VALUE"),
        ("env", ["=x"], "process.env[0]"),
        ("user", {"uid": -1}, "process.user.uid"),
        ("user", {"uid": 1 << 32}, "process.user.uid"),
        ("user", {"umask": 0o1000}, "umask"),
        ("terminal", "no", "true or false"),
    ],
)
def test_bad_processes_are_refused_with_one_clear_error(bundle: Bundle, runtime: Runtime, part: str, value: object, word: str) -> None:
    bundle.spec["process"][part] = value
    text = runtime("run", "--bundle", bundle.save(), "bad", rc=1).stderr
    assert word in text and text.count("\n") == 1
    assert runtime("list", "-q").stdout == ""


@pytest.mark.parametrize(
    ("path", "value", "word"),
    [
        (("ociVersion",), "2.0.0", "ociVersion"),
        (("ociVersion",), None, "ociVersion"),
        (("root",), None, "root.path"),
        (("root", "path"), "nowhere", "no such directory"),
        (("process",), None, "process"),
        (("linux", "intelRdt"), {"closID": "x"}, "intelRdt"),
        (("linux", "timeOffsets"), {"boottime": {"secs": 1}}, "time namespace"),
        (("linux", "rootfsPropagation"), "sideways", "rootfsPropagation"),
        (("linux", "personality"), {"domain": "OS2"}, "personality"),
        (("linux", "namespaces"), [{"type": "pid"}], "mount namespace"),
        (("linux", "namespaces"), [{"type": "mount"}, {"type": "mount"}], "twice"),
        (("linux", "namespaces"), [{"type": "mount"}, {"type": "dream"}], "dream"),
        (
            ("linux", "namespaces"),
            [*OWN, {"type": "network", "path": "/no"}],
            "cannot join the network namespace /no: No such",
        ),
        (
            ("linux", "namespaces"),
            [*OWN, {"type": "ipc", "path": "/etc/passwd"}],
            "/etc/passwd: it is no namespace",
        ),
        (
            ("linux", "namespaces"),
            [*OWN, {"type": "ipc", "path": "/proc/self/ns/uts"}],
            "it is a uts namespace",
        ),
        (("linux", "mountLabel"), "a:b:c:s0", "SELinux is not enabled"),
        (("process", "oomScoreAdj"), -1000, "cannot set process.oomScoreAdj -1000"),
        (("linux", "memoryPolicy"), {}, "linux.memoryPolicy.mode"),
        (("linux", "netDevices"), {"eth7": {}}, "network namespace"),
        (("linux", "sysctl"), {"kernel.core_pattern": "|/x"}, "belongs to no namespace"),
        (("linux", "sysctl"), {"net.ipv4.ip_forward": "1"}, "network namespace"),
        (("linux", "sysctl"), {"net/../kernel/core_pattern": "1"}, "belongs to no namespace"),
        (("linux", "uidMappings"), [], "uidMappings"),
        (("linux", "devices"), [{"path": "dev/x", "type": "c"}], "devices[0]"),
        (("linux", "seccomp"), {}, "linux.seccomp.defaultAction"),
        (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}, "the action SCMP_ACT_ALLOW takes no number"),
        (
            ("linux", "seccomp"),
            {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_KILL", "errnoRet": 5}]},
            "linux.seccomp.syscalls[0].errnoRet",
        ),
        (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_DANCE"}, "SCMP_ACT_DANCE"),
        (("hooks",), {"poststop": [{"path": "/x", "env": ["PATH"]}]}, "hooks.poststop[0].env[0]"),
        (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"]}, "SCMP_ARCH_Z80"),
        (("linux", "seccomp"), {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_NO"]}, "seccomp.flags"),
        (("mounts",), [{"destination": "/x"}], "source"),
        (
            ("mounts",),
            [{"destination": "/bin", "type": "bind", "source": "/etc/hostname", "options": ["bind"]}],
            "cannot mount /bin from /etc/hostname: the source is a file, and a directory lies there",
        ),
        (("mounts",), [{"destination": "/x", "type": "dreamfs"}], "this kernel has no file system dreamfs"),
        (("mounts",), [{"destination": "/x", "type": "tmpfs", "options": ["size=x"]}], "tmpfs refuses the options size=x"),
        (("mounts",), "none", "mounts"),
        (("mounts",), [{"destination": "/x", "source": "/usr", "options": ["bind", "foo"]}], "a bind mount has no option foo"),
        (("mounts",), [{"destination": "/x", "type": "dream\x1b]0;x\x07", "source": "x"}], "dream\\x1b]0;x\\x07"),
        (("hostname",), 5, "hostname"),
        (("annotations",), {"a": 1}, "annotations.a"),
    ],
)
def test_bad_bundles_are_refused_with_one_clear_error(
    bundle: Bundle, runtime: Runtime, path: tuple[str, ...], value: object, word: str
) -> None:
    place: Any = bundle.spec
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (bundle.path / "config.json").write_text(json.dumps(bundle.spec))
    text = runtime("run", "--bundle", bundle.path, "bad", rc=1).stderr
    assert word in text and text.count("\n") == 1
    assert runtime("list", "-q").stdout == ""


@pytest.mark.parametrize("text", [f'{{"a": {"9" * 5000}}}', "", "{", "[]", '"x"', "null", "[" * 100000, '{"process": ' * 2000, "\0", "{}"])
def test_what_is_no_configuration_is_refused(bundle: Bundle, runtime: Runtime, text: str) -> None:
    (bundle.path / "config.json").write_text(text)
    assert runtime("run", "--bundle", bundle.path, "bad", rc=1).stderr.count("\n") == 1


def test_all_five_capability_sets(bundle: Bundle, runtime: Runtime) -> None:
    names = ["CAP_CHOWN", "CAP_NET_RAW"]
    sets = {kind: names for kind in ("bounding", "effective", "permitted", "inheritable", "ambient")}
    sets["bounding"] = [*names, "CAP_KILL", "CAP_FROM_THE_FUTURE"]
    text = out(bundle, runtime, "grep ^Cap /proc/self/status", capabilities=sets, user={"uid": 0, "gid": 0})
    values = {line.split(":")[0]: int(line.split()[1], 16) for line in text.splitlines()}
    want = 1 << 0 | 1 << 13
    assert values == {"CapInh": want, "CapPrm": want, "CapEff": want, "CapAmb": want, "CapBnd": want | 1 << 5}


def test_ambient_capabilities_that_cannot_be_are_left_out_with_a_warning(bundle: Bundle, runtime: Runtime, tmp_path: Path) -> None:
    sets = {kind: ["CAP_KILL", "CAP_CHOWN"] for kind in ("bounding", "effective", "permitted", "ambient")} | {"inheritable": ["CAP_KILL"]}
    bundle.spec["process"]["capabilities"] = sets
    done = runtime("--log", tmp_path / "log", "run", "--bundle", bundle.sh("grep CapAmb /proc/self/status"), "vain")
    assert int(done.stdout.split()[1], 16) == 1 << 5
    assert "warning: CAP_CHOWN cannot be ambient" in done.stderr and "CAP_CHOWN" in (tmp_path / "log").read_text()
    runtime("run", "--detach", "--bundle", bundle.sh("sleep 600"), "vain")
    process = {"args": ["/bin/busybox", "grep", "CapAmb", "/proc/self/status"], "cwd": "/", "capabilities": sets}
    (tmp_path / "process.json").write_text(json.dumps(process))
    done = runtime("exec", "--process", tmp_path / "process.json", "vain")
    assert int(done.stdout.split()[1], 16) == 1 << 5 and done.stderr.count("CAP_CHOWN cannot be ambient") == 1
    runtime("delete", "--force", "vain")


def test_a_device_without_numbers_is_the_hosts(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec["linux"]["devices"] = [{"path": "/dev/fuse", "type": "c"}]
    assert out(bundle, runtime, "stat -c %t:%T /dev/fuse").strip() == "a:e5"
    bundle.spec["linux"]["devices"] = [{"path": "/dev/none", "type": "c"}]
    text = runtime("run", "--bundle", bundle.sh("true"), "device", rc=1).stderr
    assert "cannot add device /dev/none" in text and text.count("\n") == 1


@pytest.mark.parametrize("version", ["0.2.0", "1.0", "1.0.0-rc5", "1.2.0-dev", "1.9.9"])
def test_versions_before_and_after(bundle: Bundle, runtime: Runtime, version: str) -> None:
    bundle.spec["ociVersion"] = version
    assert runtime("run", "--bundle", bundle.sh("echo ran"), "version").stdout == "ran\n"


def test_a_flag_about_listeners_without_one(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]}
    bundle.spec["linux"]["seccomp"]["syscalls"] = [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}]
    assert out(bundle, runtime, "grep Seccomp: /proc/self/status").split() == ["Seccomp:", "2"]


def test_seccomp_arguments_and_flags(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 122},
            {"names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "args": [{"index": 0, "value": 0o77, "op": "SCMP_CMP_EQ"}]},
        ],
    }
    text = out(bundle, runtime, "/bin/busybox mkdir /d 2>&1; umask 077; umask; umask 022; umask; grep Seccomp_filters /proc/self/status")
    assert "Quota exceeded" in text or "Disk quota exceeded" in text
    assert text.split()[-1] == "1"


class Notification(ctypes.Structure):
    """struct seccomp_notif: id, pid, flags, then struct seccomp_data (call, architecture, instruction pointer, arguments)."""

    _fields_ = [
        ("id", ctypes.c_uint64),
        ("pid", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("nr", ctypes.c_int),
        ("arch", ctypes.c_uint32),
        ("pointer", ctypes.c_uint64),
        ("args", ctypes.c_uint64 * 6),
    ]


@pytest.mark.parametrize("by_exec", [False, True])
def test_a_listener_decides_about_calls(bundle: Bundle, runtime: Runtime, base: Path, by_exec: bool) -> None:
    path = base / "listen"
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen(2)
    told: list[dict[str, Any]] = []

    def listen() -> None:
        for _ in range(1 + by_exec):
            connection, _ = server.accept()
            data, ancillary, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(4))
            told.append(json.loads(data))
            threading.Thread(target=answer, args=(array.array("i", ancillary[0][2])[0],), daemon=True).start()

    def answer(fd: int) -> None:
        while True:
            request = Notification()
            try:
                fcntl.ioctl(fd, 0xC0502100, request)  # SECCOMP_IOCTL_NOTIF_RECV
                reply = request.id.to_bytes(8, "little") + bytes(8) + (-42).to_bytes(4, "little", signed=True) + bytes(4)
                fcntl.ioctl(fd, 0xC0182101, reply)  # SECCOMP_IOCTL_NOTIF_SEND: fail with ENOMSG
            except OSError:
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    bundle.spec["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": str(path),
        "listenerMetadata": "whatever",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    }
    if by_exec:
        runtime("run", "--detach", "--bundle", bundle.save(), "notify")
        text = runtime("exec", "notify", "/bin/busybox", "mkdir", "/d", rc=1).stderr
    else:
        text = out(bundle, runtime, "/bin/busybox mkdir /d 2>&1; true")
    assert "No message of desired type" in text
    thread.join(300)
    assert told[0]["fds"] == ["seccompFd"] and told[0]["metadata"] == "whatever" and told[0]["pid"] > 1
    assert told[0]["state"]["id"] in ("notify", "spec") and len(told) == 1 + by_exec
    server.close()


def test_a_listener_that_is_not_there(bundle: Bundle, runtime: Runtime) -> None:
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
    bundle.spec["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    assert "listenerPath is missing" in runtime("run", "--bundle", bundle.save(), "no", rc=1).stderr
    bundle.spec["linux"]["seccomp"]["listenerPath"] = str(bundle.path / "nobody")
    assert "cannot reach the seccomp listener" in runtime("run", "--bundle", bundle.save(), "no", rc=1).stderr


def test_network_devices_move_with_their_addresses(bundle: Bundle, runtime: Runtime, base: Path) -> None:
    """In a user and network namespace of the test's own."""
    bundle.spec["linux"]["namespaces"] = [{"type": kind} for kind in ("pid", "mount", "ipc", "network")]
    bundle.spec.pop("hostname")
    bundle.spec["linux"]["netDevices"] = {"veth-a": {"name": "inner0"}}
    for key in ("uidMappings", "gidMappings"):
        bundle.spec["linux"].pop(key)
    bundle.sh("/bin/busybox ip -4 -o addr show dev inner0; /bin/busybox ip link show inner0")
    program = f"{sys.executable} -SI {ROOT}/pyman/runtime/__main__.py --root {base}/run/netdev run --bundle {bundle.path} netdev"
    command = f"ip link add veth-a type veth peer veth-b && ip link set veth-b up && ip addr add 10.9.8.7/24 dev veth-a && ip link set veth-a up && {program}; ip link"
    done = subprocess.run(
        ["unshare", "-Urn", "sh", "-c", command],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(base)},
        check=False,
    )
    assert "10.9.8.7/24" in done.stdout and "UP" in done.stdout.split("inner0:", 1)[-1], done.stdout + done.stderr
    assert " veth-a" not in done.stdout  # its peer may have gone with the container's namespace by now


def test_devices_and_fifos(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec["linux"]["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
        {"path": "/dev/pipe", "type": "p", "fileMode": 0o640},
    ]
    text = out(bundle, runtime, "ls -l /dev/fuse /dev/pipe")
    assert text.splitlines()[0].startswith("c") and text.splitlines()[1].startswith("prw-r-----")


@pytest.mark.parametrize("kind", ["file", "directory", "link", "fifo"])
def test_a_device_takes_no_others_place(bundle: Bundle, runtime: Runtime, kind: str) -> None:
    """config-linux.md "Devices": a file that is there and is not that device is an error; a FIFO of an earlier run is no other."""
    place = bundle.root / "node"
    if kind == "file":
        place.write_text("image")
    elif kind == "directory":
        place.mkdir()
    elif kind == "link":
        place.symlink_to("/bin")
    else:
        os.mkfifo(place)
    before = place.lstat()
    bundle.spec["linux"]["devices"] = [{"path": "/node", "type": "c", "major": 1, "minor": 3}]
    text = runtime("run", "--bundle", bundle.save(args=["/bin/true"]), "spec", rc=1).stderr
    assert "cannot make device /node: the image has something else there" in text and place.lstat().st_mode == before.st_mode
    bundle.spec["linux"]["devices"][0] = {"path": "/node", "type": "p"}
    runtime("run", "--bundle", bundle.save(), "spec", rc=0 if kind == "fifo" else 1)
    assert place.lstat().st_ino == before.st_ino


@pytest.mark.parametrize(
    ("process", "words"),
    [
        ({"cwd": "/loop"}, ["working directory /loop", "Too many levels of symbolic links"]),
        ({"cwd": "/proc/self/cwd"}, ["working directory /proc/self/cwd", "magic link of procfs"]),
        (
            {"capabilities": {"effective": ["CAP_CHOWN", "CAP_KILL"], "permitted": ["CAP_KILL"]}},
            ["effective capabilities CAP_CHOWN:", "permitted"],
        ),
        (
            {"capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"], "inheritable": ["CAP_CHOWN"]}},
            ["inheritable capabilities CAP_CHOWN:", "Operation not permitted"],
        ),
    ],
    ids=["loop", "magic", "effective", "inheritable"],
)
def test_what_the_kernel_refuses_is_named(bundle: Bundle, runtime: Runtime, process: dict[str, Any], words: list[str]) -> None:
    (bundle.root / "loop").symlink_to("loop")
    text = runtime("run", "--bundle", bundle.save(args=["/bin/true"], **process), "spec", rc=1).stderr
    assert all(word in text for word in words) and "stage" not in text, text


def test_a_device_the_kernel_cannot_make_is_named(bundle: Bundle, runtime: Runtime) -> None:
    bundle.spec["linux"]["devices"] = [{"path": "/dev/odd", "type": "c", "major": 5000, "minor": 1 << 21}]
    text = runtime("run", "--bundle", bundle.save(args=["/bin/true"]), "spec", rc=1).stderr
    assert "device /dev/odd" in text and "stage" not in text


def test_a_private_cgroup_view_is_read_only(bundle: Bundle, runtime: Runtime) -> None:
    assert "no" in out(bundle, runtime, "echo 1 >/sys/fs/cgroup/cgroup.procs || echo no")


def test_files_outside_are_left_alone(bundle: Bundle, runtime: Runtime) -> None:
    """A root whose /dev points outside: nothing is made there."""
    (bundle.path / "host").mkdir()
    (bundle.root / "dev").symlink_to(bundle.path / "host")
    runtime("run", "--bundle", bundle.save(), "hostile", rc=1)
    assert os.listdir(bundle.path / "host") == []
