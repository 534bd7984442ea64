"""What a process in a container is given: ids, groups, capabilities, descriptors, directories; with files of an attacker beside it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run, command, environment
from tests.integration.conftest import Bundle, Runtime
from tests.integration.test_hostile_roots import make_root

NONE = ("--network", "none")
STATUS = "grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid|Gid|Groups)' /proc/self/status"


def status(text: str) -> dict[str, str]:
    return {line.split(":")[0]: line.split(":")[1].strip() for line in text.splitlines() if ":" in line}


@pytest.fixture
def running(pyman: Run, image: str) -> str:
    pyman("run", "-d", "--name", "proc", *NONE, image, "sleep", "600")
    return "proc"


DEFAULT = (
    "00000000800405fb"  # what Podman gives: CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID SETPCAP SETUID SYS_CHROOT
)


@pytest.mark.parametrize("user", ["", "0", "1000", "user", "1000:2000"])
def test_capabilities_of_run_and_exec(pyman: Run, image: str, running: str, user: str) -> None:
    options = ("--user", user) if user else ()
    for done in (
        pyman("run", "--rm", *NONE, *options, image, "sh", "-c", STATUS),
        pyman("exec", *options, running, "sh", "-c", STATUS),
    ):
        found = status(done.stdout)
        root = user in ("", "0")
        assert found["CapInh"] == found["CapAmb"] == "0" * 16, found
        assert found["CapPrm"] == found["CapEff"] == (found["CapBnd"] if root else "0" * 16), found
        assert int(found["CapBnd"], 16) & ~int(DEFAULT, 16) == 0, found
        assert found["Seccomp"] == "2"
        ids = found["Uid"].split()
        assert set(ids) == {"0" if root else "1000"} and len(ids) == 4
        assert found["Groups"] == {"": "", "0": "0", "1000:2000": "2000"}.get(user, "1000 2000"), found
    pyman("rm", "-f", "-t", "0", running)


def test_groups_exactly_as_asked(pyman: Run, image: str) -> None:
    for options, groups in (
        ((), ""),
        (("--group-add", "2000,7"), "7 2000"),
        (("--user", "1000:7"), "7"),
        (("--user", "1000:7", "--group-add", "extra"), "7 2000"),
        (("--user", "user"), "1000 2000"),
        (("--user", "4000"), "0"),
    ):
        assert status(pyman("run", "--rm", *NONE, *options, image, "sh", "-c", STATUS).stdout)["Groups"] == groups, options
    for bad in ("-1", "nosuchgroup", "4294967295", "0x7", "7 "):
        assert "Error: " in pyman("run", "--rm", *NONE, "--group-add", bad, image, "true", rc=126).stderr


USERS = [
    "-1",
    "+0",
    " 0",
    "0 ",
    "0x0",
    "1e3",
    "4294967295",
    "4294967296",
    "18446744073709551616",
    "²",
    "0:-1",
    "0:4294967295",
    "0:0:0",
    "root\n",
    "nosuch",
]


@pytest.mark.parametrize("user", USERS)
def test_users_that_are_none(pyman: Run, image: str, user: str, running: str) -> None:
    """Whatever cannot be read as an id is an error, for exec as for run (CVE-2026-30892)."""
    for done in (
        pyman("run", "--rm", *NONE, f"--user={user}", image, "id", rc=None),
        pyman("exec", f"--user={user}", running, "id", rc=None),
    ):
        assert done.returncode in (125, 126, 127, 255) and done.stdout == "" and "Error: " in done.stderr, done
        assert "Traceback" not in done.stderr and "pyman:[" not in done.stderr
    pyman("rm", "-f", "-t", "0", running)


PASSWD = {
    "superscript": "evil:x:²:0::/:/bin/sh\n",
    "long number": f"evil:x:{'9' * 5000}:0::/:/bin/sh\n",
    "too big": "evil:x:4294967295:0::/:/bin/sh\n",
    "negative": "evil:x:-1:0::/:/bin/sh\n",
    "hexadecimal": "evil:x:0x0:0x0::/:/bin/sh\n",
    "empty": "evil:x::::/:/bin/sh\n",
    "short": "evil:x:0\n",
    "not UTF-8": "evil\udcff:x:0:0::/:/bin/sh\n",
    "NUL": "evil\0:x:0:0::/:/bin/sh\n",
}


@pytest.mark.parametrize("name", sorted(PASSWD))
@pytest.mark.parametrize("user", ["evil", "1"])
def test_password_files_of_an_attacker(pyman: Run, base: Path, name: str, user: str) -> None:
    root = make_root(base, "passwd-root")
    (root / "etc").mkdir()
    (root / "etc/passwd").write_bytes(PASSWD[name].encode("utf-8", "surrogateescape"))
    (root / "etc/group").write_bytes(PASSWD[name].encode("utf-8", "surrogateescape"))
    options = ("--rm", *NONE, "--user", user, "--group-add", "5", "--rootfs", str(root))
    done = pyman("run", *options, "/bin/busybox", "id", "-u", rc=None)
    assert "Traceback" not in done.stderr and "pyman:[" not in done.stderr, done.stderr
    if user == "evil":
        assert done.returncode in (125, 126, 127) and "Error: " in done.stderr, done
    else:
        assert done.stdout == "1\n", done


@pytest.mark.parametrize("kind", ["link", "loop", "fifo", "directory", "huge", "magic"])
def test_password_files_that_are_none(pyman: Run, base: Path, kind: str) -> None:
    """Nothing of the host is read for them, and nothing waits (CVE-2024-9676)."""
    root = make_root(base, "passwd-root")
    (root / "etc").mkdir()
    for file in ("passwd", "group"):
        path = root / "etc" / file
        if kind == "link":
            path.symlink_to(f"/../../../../etc/{file}")
        elif kind == "loop":
            path.symlink_to(file)
        elif kind == "magic":
            path.symlink_to("/proc/self/fd/0")
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        else:
            path.write_bytes(b"root:x:0:0::/:/bin/sh\n" + b"#" * (5 << 20))
    done = pyman("run", "--rm", *NONE, "--user", "daemon", "--rootfs", str(root), "/bin/busybox", "id", rc=126)
    assert "cannot find user" in done.stderr


@pytest.mark.parametrize("kind", ["fifo", "socket", "directory", "link to a fifo", "loop", "magic link"])
def test_a_command_that_is_no_file(pyman: Run, base: Path, kind: str) -> None:
    """To open such a thing could wait for ever; the start must not."""
    root = make_root(base, "command-root")
    path = root / "bin/odd"
    if kind == "socket":
        os.mknod(path, stat.S_IFSOCK | 0o755)
    elif kind == "directory":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to("odd")
    elif kind == "magic link":
        path.symlink_to("/proc/self/fd/0")
    else:
        os.mkfifo(root / "bin/fifo", 0o755)
        (root / "bin/fifo").chmod(0o755)
        path.symlink_to("fifo") if kind == "link to a fifo" else (root / "bin/fifo").rename(path)
    for program in ("/bin/odd", "odd"):
        done = pyman("run", "--rm", *NONE, "--rootfs", str(root), program, rc=None)
        assert done.returncode in (126, 127) and "Error: " in done.stderr, done
    (root / "bin/script").write_text("#!/bin/odd\n")
    (root / "bin/script").chmod(0o755)
    done = pyman("run", "--rm", *NONE, "--rootfs", str(root), "/bin/script", rc=None)
    assert done.returncode in (126, 127) and "Error: " in done.stderr, done


def test_leaked_descriptors_of_exec(pyman: Run, base: Path, running: str) -> None:
    leaked = [os.open("/etc", os.O_RDONLY) for _ in range(200)]
    try:
        done = subprocess.run(
            [
                *command(),
                "exec",
                running,
                "sh",
                "-c",
                "ls -l /proc/self/fd | grep -c /etc; ls /proc/self/fd | wc -l; cat /proc/self/fd/50/shadow",
            ],
            pass_fds=leaked,
            capture_output=True,
            text=True,
            env=environment(base),
            stdin=subprocess.DEVNULL,
            check=False,
        )
    finally:
        for fd in leaked:
            os.close(fd)
    assert done.stdout.split()[0] == "0" and int(done.stdout.split()[1]) <= 4, done
    pyman("rm", "-f", "-t", "0", running)


@pytest.mark.parametrize("path", ["/leads/fd", "/leads/cwd", "/leads/root", "/leads/up"])
def test_working_directories_behind_links(pyman: Run, image: str, path: str) -> None:
    """A first container makes the links in a volume, the second one is asked to start there."""
    links = "ln -sfn /proc/self/fd/5 /leads/fd; ln -sfn /proc/1/cwd /leads/cwd; ln -sfn /proc/self/root /leads/root; ln -sfn ../../../.. /leads/up"
    pyman("run", "--rm", *NONE, "-v", "leads:/leads", image, "sh", "-c", links)
    leaked = [os.open("/etc", os.O_RDONLY) for _ in range(20)]
    for fd in leaked:
        os.set_inheritable(fd, True)
    done = pyman("run", "--rm", *NONE, "-v", "leads:/leads", "-w", path, image, "sh", "-c", "pwd -P; cat shadow hostname", rc=None)
    for fd in leaked:
        os.close(fd)
    assert (done.stdout == "" and done.returncode in (125, 126, 127)) or (path == "/leads/up" and done.stdout == "/\n"), done


MASKED = "/proc/acpi /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi /proc/timer_list /sys/firmware /sys/dev/block"


def test_masks_cannot_be_undone_and_are_the_null_device(pyman: Run, image: str) -> None:
    script = f"""
for path in {MASKED}; do
    test -e $path || continue
    if test -d $path; then ls -A $path; else cat $path; stat -Lc '%t:%T' $path; fi
    (echo x > $path/new) 2>/dev/null && echo written $path
    umount $path 2>/dev/null && echo unmounted $path
done
for path in /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger; do
    umount $path 2>/dev/null && echo unmounted $path
    mount -o remount,rw $path 2>/dev/null && echo remounted $path
done
(echo 1 > /proc/sys/kernel/randomize_va_space) 2>/dev/null && echo written
(echo b > /proc/sysrq-trigger) 2>/dev/null && echo written
mount -t proc proc /tmp 2>/dev/null && echo mounted
true
"""
    lines = pyman("run", "--rm", *NONE, image, "sh", "-c", script).stdout.split("\n")
    assert "1:3" in lines and set(lines) <= {"1:3", ""}, lines


@pytest.mark.parametrize("verb", ["run", "run on a terminal", "exec"])
def test_nothing_is_looked_up_inside_but_the_command(pyman: Run, image: str, running: str, base: Path, verb: str) -> None:
    """Between entering the container's root and executing its command, paths are opened by openat2 only: no library, module or helper."""
    trace = base / "inside.trace"
    # newuidmap has no privileges when it is traced: `run` joins the user namespace of the container that is running.
    argv = [*tracer(trace), *command()]
    hostile = ("-e", "LD_PRELOAD=/evil.so", "-e", "PYTHONPATH=/evil", "-e", "PYTHONHOME=/evil", "-e", "PATH=/tmp:/bin", "-u", "user")
    terminal = ["-t"] if "terminal" in verb else []
    args = ["exec", *hostile, running, "true"] if verb == "exec" else ["run", *NONE, *terminal, *hostile, image, "true"]
    subprocess.run([*argv, *args], env=environment(base), check=True, stdin=subprocess.DEVNULL, capture_output=True)
    inside = inside_calls(trace, verb == "exec")
    assert inside and all(call.startswith(("openat2(", "newfstatat(", "stat(")) for call in inside), inside


@pytest.mark.parametrize("verb", ["run", "exec"])
def test_nothing_is_looked_up_inside_by_the_runtime_program(bundle: Bundle, runtime: Runtime, base: Path, verb: str) -> None:
    """The same of `pyman-runtime`, which does more on its way: HOME, working directory, scheduling."""
    trace = base / "runtime.trace"
    env = [f"{name}=/evil" for name in ("LD_PRELOAD", "PYTHONPATH", "PYTHONHOME")]
    bundle.spec["process"].update(env=[*env, "PATH=/tmp:/bin"], ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 3})
    script = [sys.executable, "-SI", str(ROOT / "pyman/runtime/__main__.py")]
    if verb == "exec":
        runtime("run", "--detach", "--bundle", bundle.save(), "traced")
        args = ["exec", "--env", "LD_LIBRARY_PATH=/evil", "traced", "true"]
    else:
        args = ["run", "--bundle", str(bundle.save(args=["true"])), "traced"]
    subprocess.run([*tracer(trace), *script, *args], env=environment(base), check=True, stdin=subprocess.DEVNULL, capture_output=True)
    inside = inside_calls(trace, verb == "exec")
    assert inside and all(call.startswith(("openat2(", "newfstatat(", "stat(")) for call in inside), inside


def tracer(trace: Path) -> list[str]:
    """strace of everything that looks for a path."""
    calls = "open,openat,openat2,execve,execveat,pivot_root,setns,stat,newfstatat,readlink,access,faccessat2"
    return ["strace", "-f", "-qq", "-o", str(trace), "-e", f"trace=?{',?'.join(calls.split(','))}"]


def inside_calls(trace: Path, joined: bool) -> list[str]:
    """What strace has seen of one process between its entering the container's root and the execution of the command."""
    by_process: dict[str, list[str]] = {}
    for line in trace.read_text().splitlines():
        pid, _, call = line.partition(" ")
        if not call.lstrip().startswith("<... "):  # the second half of a call that another process's line stands in
            by_process.setdefault(pid, []).append(call.strip())
    inside = []
    for lines in by_process.values():
        entered = next((at for at, call in enumerate(lines) if call.startswith("pivot_root(")), -1)
        # exec's process is a child of the one that entered, and begins inside.
        if entered >= 0 or (joined and any(call.startswith("execve(0x") for call in lines)):
            inside.append(lines[entered + 1 : next(at for at, call in enumerate(lines) if at > entered and call.startswith("execve("))])
    assert len(inside) == 1, by_process
    return inside[0]
