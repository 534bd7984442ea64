"""The interpreter that starts a container cannot be changed from inside it, even if it belongs to the caller."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run, environment, until

ATTACK = """
import os
print(os.readlink("/proc/self/exe").split(" ")[0])
for path in ("/proc/self/exe", "/proc/1/exe"):
    try:
        fd = os.open(path, os.O_RDONLY)
        os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_TRUNC)
        print("open for writing")
    except OSError as err:
        print("refused", err.errno)
"""


@pytest.fixture
def own_python(base: Path) -> Path:
    """An interpreter that belongs to the user, as pyenv's do."""
    path = base / "own/python3"
    path.parent.mkdir(exist_ok=True)
    shutil.copy(os.path.realpath(f"/usr/bin/python3.{sys.version_info[1]}"), path)
    return path


@pytest.fixture
def root(base: Path) -> Path:
    """A root file system in which the host's dynamic programs run, with a script that asks for /proc/self/exe."""
    path = base / "dynamic-root"
    for directory in ("usr", "proc", "dev", "sys", "etc"):
        (path / directory).mkdir(parents=True, exist_ok=True)
    for link in ("bin", "lib", "lib64", "sbin"):
        if not (path / link).is_symlink():
            os.symlink(f"usr/{link}", path / link)
    (path / "attack").write_text("#!/proc/self/exe -SE\n" + ATTACK)
    (path / "attack").chmod(0o755)
    return path


def run(python: Path, base: Path, *args: str) -> subprocess.CompletedProcess[str]:
    argv = [str(python), "-SI", str(ROOT / "pyman/__main__.py"), *args]
    env = {**environment(base), "PYTHONHOME": "/usr"}
    return subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False)


def test_an_interpreter_of_the_user_runs_sealed(pyman: Run, base: Path, own_python: Path, root: Path) -> None:
    before = own_python.read_bytes()
    done = run(own_python, base, "run", "--rm", "--network", "none", "-v", "/usr:/usr:ro", "--rootfs", str(root), "/attack")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "/memfd:pyman-interpreter"
    assert "open for writing" not in done.stdout and done.stdout.count("refused") == 2
    assert own_python.read_bytes() == before


def test_exec_too(pyman: Run, base: Path, own_python: Path, root: Path) -> None:
    run(
        own_python,
        base,
        "run",
        "-d",
        "--name",
        "x",
        "--network",
        "none",
        "-v",
        "/usr:/usr:ro",
        "--rootfs",
        str(root),
        "/usr/bin/sleep",
        "600",
    )
    before = own_python.read_bytes()
    done = run(own_python, base, "exec", "x", "/attack")
    assert done.stdout.split("\n")[0] == "/memfd:pyman-interpreter", done.stderr
    assert "open for writing" not in done.stdout and own_python.read_bytes() == before
    pyman("rm", "-f", "-t", "0", "x")


def test_roots_interpreter_is_not_copied(pyman: Run, base: Path, root: Path) -> None:
    system = Path(os.path.realpath(f"/usr/bin/python3.{sys.version_info[1]}"))
    assert system.stat().st_uid == 0
    done = run(system, base, "run", "--rm", "--network", "none", "-v", "/usr:/usr:ro", "--rootfs", str(root), "/attack")
    assert done.stdout.split("\n")[0] == str(system), done.stderr
    assert "open for writing" not in done.stdout


def test_joining_processes_cannot_be_looked_into(pyman: Run, image: str, base: Path) -> None:
    """A container process that watches for exec's init finds nothing of it that it may open."""
    watch = (
        "while :; do for p in /proc/[0-9]*; do for f in exe maps mem environ fd/3 root cwd; do "
        'case "$(cat $p/comm 2>/dev/null)" in pyman*) (exec 3<$p/$f) 2>/dev/null && echo "OPENED $p/$f $(cat $p/comm)";; esac; done; done; done'
    )
    pyman("run", "-d", "--name", "w", "--network", "none", "--cap-add", "SYS_PTRACE", image, "sh", "-c", watch)
    for _ in range(20):
        pyman("exec", "w", "true")
    # One that has become `true` meanwhile is the container's own: what it was opened as is the name it still has.
    assert not [line for line in pyman("logs", "w").stdout.splitlines() if line.split()[-1].startswith("pyman")]
    pyman("rm", "-f", "-t", "0", "w")


def test_joining_processes_do_not_show_how_they_were_called(pyman: Run, image: str) -> None:
    """Everybody in a container may read the command lines there: exec's variables are not among them."""
    watch = """while :; do for p in /proc/[0-9]*; do case "$(tr '\\0' ' ' 2>/dev/null < $p/cmdline)" in *hunt''er2*) cat $p/comm;; esac; done; done"""
    pyman("run", "-d", "--name", "w", "--network", "none", "--user", "1000", image, "sh", "-c", watch)
    for _ in range(30):
        pyman("exec", "-u", "root", "-e", "TOKEN=hunter2", "w", "true")
    assert pyman("logs", "w").stdout == ""
    pyman("exec", "-d", "w", "sh", "-c", "sleep 600; :", "hunter2")  # one that is called so: the watcher sees what there is to see
    until(lambda: "sh" in pyman("logs", "w").stdout)
    pyman("rm", "-f", "-t", "0", "w")


def test_inside_a_user_namespace_too(pyman: Run, base: Path, own_python: Path, root: Path) -> None:
    """There the user is root, and so is the owner of the user's interpreter: it is no more root's for that."""
    inner = f"{own_python} -SI {ROOT / 'pyman/__main__.py'} run --rm --network none -v /usr:/usr:ro --rootfs {root} /attack"
    before = own_python.read_bytes()
    done = run(own_python, base, "unshare", "env", "PYTHONHOME=/usr", "sh", "-c", inner)
    assert done.stdout.split("\n")[0] == "/memfd:pyman-interpreter", done
    assert "open for writing" not in done.stdout and own_python.read_bytes() == before


def test_the_runtime_program_too(base: Path, own_python: Path, root: Path) -> None:
    bundle = base / "own-bundle"
    bundle.mkdir(exist_ok=True)
    script = str(ROOT / "pyman/runtime/__main__.py")
    env = {**environment(base), "PYTHONHOME": "/usr"}
    subprocess.run([str(own_python), "-SI", script, "spec", "--bundle", str(bundle)], env=env, check=True)
    spec = json.loads((bundle / "config.json").read_text())
    spec["process"].update(terminal=False, args=["/attack"])
    spec["root"] = {"path": str(root), "readonly": False}
    spec["mounts"].append({"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]})
    (bundle / "config.json").write_text(json.dumps(spec))
    before = own_python.read_bytes()
    argv = [str(own_python), "-SI", script, "--root", str(base / "own-runtime"), "run", "--bundle", str(bundle), "sealed"]
    done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[0] == "/memfd:pyman-interpreter", done
    assert "open for writing" not in done.stdout and own_python.read_bytes() == before


def test_a_watcher_overwrites_nothing(pyman: Run, base: Path, own_python: Path, root: Path) -> None:
    """A container process that lies in wait for whoever joins the container, and writes to whatever it gets."""
    watch = """
import os, time
while True:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) in (1, os.getpid()):
            continue
        paths = [f"/proc/{pid}/exe", f"/proc/{pid}/mem", f"/proc/{pid}/cwd", f"/proc/{pid}/root"]
        for part in ("map_files", "fd"):
            try:
                paths += [f"/proc/{pid}/{part}/{name}" for name in os.listdir(f"/proc/{pid}/{part}")]
            except OSError:
                pass
        for path in paths:
            try:
                flags = os.O_DIRECTORY if path.endswith(("cwd", "root")) else os.O_WRONLY
                fd = os.open(path, flags)
                # Afterwards: what has executed the container's command is the container's own.
                name = open(f"/proc/{pid}/comm").read().strip()
                if name.startswith("pyman"):
                    print("OPENED", path, name, flush=True)
                os.close(fd)
            except OSError:
                pass
"""
    (root / "watch").write_text("#!/usr/bin/python3 -SE\n" + watch)
    (root / "watch").chmod(0o755)
    before = own_python.read_bytes()
    common = ("--network", "none", "--cap-add", "SYS_PTRACE", "-v", "/usr:/usr:ro", "--rootfs", str(root))
    started = run(own_python, base, "run", "-d", "--name", "watcher", *common, "/watch")
    assert started.returncode == 0, started.stderr
    for _ in range(15):
        assert run(own_python, base, "exec", "watcher", "/usr/bin/true").returncode == 0
    # A second container in the same process namespace comes the same way.
    for option in ((), ("--userns", "keep-id"), ()) * 3:
        joined = run(own_python, base, "run", "--rm", "--pid", "container:watcher", *option, *common, "/usr/bin/true")
        assert joined.returncode == 0, joined.stderr
    shown = pyman("logs", "watcher")
    assert "OPENED" not in shown.stdout and shown.stderr == "", shown
    assert own_python.read_bytes() == before
    pyman("rm", "-f", "-t", "0", "watcher")


@pytest.mark.parametrize("option", ["keep-id", "nomap", "uid"])
def test_a_watcher_among_the_hosts_processes_sees_nothing_of_the_host(pyman: Run, base: Path, root: Path, option: str) -> None:
    """The root of a container owns the user namespaces that are made there later, so it has all rights over what is open in them."""
    watch = """
import os
own = os.open("/", os.O_PATH)
print("ready", flush=True)
while True:
    for pid in os.listdir("/proc"):
        try:
            fd = os.open(f"/proc/{pid}/root", os.O_DIRECTORY)
            name = open(f"/proc/{pid}/comm").read().strip()
            if name.startswith("pyman") and not os.path.sameopenfile(fd, own):
                print("OPENED", pid, name, os.listdir(f"/proc/{pid}/fd"), flush=True)
            os.close(fd)
        except OSError:
            pass
"""
    (root / "watch").write_text("#!/usr/bin/python3 -SE\n" + watch)
    (root / "watch").chmod(0o755)
    common = ("--network", "none", "-v", "/usr:/usr:ro", "--rootfs", str(root))
    pyman("run", "-d", "--name", "watcher", "--pid", "host", *common, "/watch")
    until(lambda: pyman("logs", "watcher").stdout == "ready\n")
    mapped = ("--uidmap", "0:1:10", "--gidmap", "0:1:10") if option == "uid" else ("--userns", option)
    for _ in range(12):
        pyman("run", "--rm", *mapped, *common, "/usr/bin/true")
    assert pyman("logs", "watcher").stdout == "ready\n"
    pyman("rm", "-f", "-t", "0", "watcher")
