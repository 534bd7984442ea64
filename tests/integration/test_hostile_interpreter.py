"""The interpreter that starts a container cannot be changed from inside it, even if it belongs to the caller."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run, environment

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
    return subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


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
