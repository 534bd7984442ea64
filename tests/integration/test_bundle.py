"""The bundles of byte code: they are what hot commands load, and nothing old or damaged in them is ever believed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyman import bundle
from tests.conftest import ROOT, environment
from tests.integration.test_registry import start_registry

Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def tree(base: Path) -> Iterator[Path]:
    """A copy of the package with bundles, as an installation has it."""
    place = base / "bundled"
    shutil.copytree(ROOT / "pyman", place / "pyman", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(place)], check=True)
    subprocess.run(
        [sys.executable, "-m", "pyman.bundle"], cwd=place, env={"PYTHONPATH": str(place), "PATH": os.environ["PATH"]}, check=True
    )
    yield place / "pyman"
    shutil.rmtree(place)


@pytest.fixture
def call(tree: Path, base: Path) -> Call:
    def run(*args: str, before: tuple[str, ...] = (), program: str = "__main__.py") -> subprocess.CompletedProcess[str]:
        words = [*before, sys.executable, "-SI", str(tree / program), *args]
        return subprocess.run(words, env=environment(base), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    return run


def single(call: Call, base: Path, *args: str, program: str = "__main__.py") -> set[str]:
    """The byte code files of pyman's modules that a command reads one by one."""
    trace = base / "opened"
    done = call(*args, before=("strace", "-f", "-qq", "-o", str(trace), "-e", "trace=openat"), program=program)
    assert done.returncode == 0, done.stderr
    text = trace.read_text()
    assert "/bundle-" in text
    return set(re.findall(r'/bundled/pyman/([^"]*)\.cpython[^"]*\.pyc', text))


def test_hot_commands_read_their_bundle_only(pyman: Call, call: Call, base: Path, image: str) -> None:
    registry, address = start_registry(base / "bundle-registry", {})
    name = f"{address}/demo:1"  # what is asked of a pull most often: whether there is anything new
    pyman("push", "-q", "--tls-verify=false", image, name)
    pyman("pull", "-q", "--tls-verify=false", name)
    calls: dict[str, tuple[str, ...]] = {
        "create": ("--name", "made", "--network", "none", image, "true"),
        "exec": ("living", "true"),
        "images": (),
        "inspect": ("living",),
        "kill": ("living",),
        "logs": ("living",),
        "ps": ("-a",),
        "pull": ("-q", "--tls-verify=false", name),
        "rm": ("made",),
        "run": ("--rm", "--network", "none", image, "true"),
        "start": ("made",),
        "stop": ("-t", "0", "made"),
        "version": (),
        "wait": ("made",),
    }
    assert set(calls) == set(bundle.VERBS)
    order = ("create", "start", "run", "stop", "wait", "rm", "exec", "images", "inspect", "logs", "ps", "version", "kill", "pull")
    found = {}
    for verb in order:
        if verb in ("start", "run", "exec"):
            # A traced newuidmap has no privileges: what starts joins the user namespace of the container started last.
            pyman("run", "-d", "--replace", "--name", "living", "--network", "none", image, "sleep", "600")
        found[verb] = single(call, base, verb, *calls[verb])
    pyman("rm", "-f", "-t", "0", "living")
    registry.kill()
    registry.wait()
    assert {verb: sorted(names) for verb, names in found.items() if names} == {}


def test_an_edited_module_is_believed_rather_than_the_bundle(call: Call, tree: Path) -> None:
    source = tree / "version.py"
    text = source.read_text()
    version = re.search(r'VERSION = "([^"]*)"', text)
    assert version
    assert version[1] in call("version").stdout
    source.write_text(text.replace(version[1], "9.8.7-edited"))
    assert "9.8.7-edited" in call("version").stdout
    source.write_text(text)


def test_a_newer_package_with_modules_of_the_bundle(call: Call, tree: Path) -> None:
    """An installation that was changed in parts: the modules of a package that is not taken from the bundle are not, either."""
    for source in sorted(tree.rglob("__init__.py"))[1:]:
        info = source.stat()
        os.utime(source, ns=(info.st_atime_ns, info.st_mtime_ns + 10**9))
    for words in (("version",), ("ps", "-a")):
        done = call(*words)
        assert done.returncode == 0 and not done.stderr, done.stderr
    for source in sorted(tree.rglob("__init__.py"))[1:]:
        info = source.stat()
        os.utime(source, ns=(info.st_atime_ns, info.st_mtime_ns - 10**9))


@pytest.mark.parametrize("name", ["fastimport.py", "leanos.py", "__init__.py"])
def test_what_reads_the_bundle_is_not_taken_from_it_when_it_was_edited(call: Call, tree: Path, name: str) -> None:
    source = tree / name
    text, info = source.read_text(), source.stat()
    source.write_text(text + f"\nimport sys\nsys.stderr.write('edited {name}')\n")
    done = call("version")
    source.write_text(text)
    os.utime(source, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert done.returncode == 0 and done.stderr == f"edited {name}", done.stderr


@pytest.mark.parametrize("damage", ["cut", "nothing", "noise", "magic"])
def test_a_damaged_bundle_is_passed_over(call: Call, tree: Path, damage: str) -> None:
    (path,) = (tree / "__pycache__").glob("bundle-version.*.bin")
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "nothing": b"", "noise": data[:4] + b"\xff" * 100, "magic": b"\0" + data[1:]}[damage])
    done = call("version")
    assert done.returncode == 0 and "pyman" in done.stdout, done.stderr
    path.write_bytes(data)


def test_an_error_names_the_lines_of_the_source(call: Call, tree: Path) -> None:
    done = call("--log-level=debug", "create", "--pull=never", "localhost/no-such-image")
    numbers = re.findall(r'File "([^"]*/pyman/[^"]*)", line (\d+), in (\w+)', done.stderr)
    assert numbers
    for path, number, function in numbers:
        lines = Path(path).read_text().split("\n")[: int(number)]
        assert function == "<module>" or any(f"def {function}(" in line for line in lines), (path, number, function)
