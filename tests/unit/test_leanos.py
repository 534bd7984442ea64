"""The lean `os` of hot commands: what it has is what the real one has, the rest comes from the real one, and changes of the environment survive that."""

from __future__ import annotations

import posixpath
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyman import leanos
from tests.conftest import ROOT

PATHS = st.text("/a.b ", max_size=12)


@given(first=PATHS, rest=st.lists(PATHS, max_size=3))
def test_paths_are_joined_as_by_posixpath(first: str, rest: list[str]) -> None:
    assert leanos.join(first, *rest) == posixpath.join(first, *rest)


@given(PATHS)
def test_directories_of_paths_are_those_of_posixpath(path: str) -> None:
    assert (leanos.split(path), leanos.abspath(path)) == (posixpath.split(path), posixpath.abspath(path))


@given(st.binary(max_size=12).filter(lambda name: b"\0" not in name))
def test_names_are_decoded_and_encoded_without_loss(name: bytes) -> None:
    assert leanos.fsencode(leanos.fsdecode(name)) == name


def test_what_is_a_directory_and_what_exists() -> None:
    for path in ("/", "/dev/null", "/nonexistent", "/dev/null/x", "/nul\0l", ""):
        assert leanos.isdir(path) == posixpath.isdir(path)
        assert leanos.exists(path) == posixpath.exists(path)


def test_directories_are_made_with_those_above(tmp_path: Path) -> None:
    below = tmp_path / "a/b/c"
    leanos.makedirs(str(below), 0o700)
    assert below.stat().st_mode & 0o777 == 0o700
    leanos.makedirs(str(below) + "/", exist_ok=True)
    with pytest.raises(FileExistsError):
        leanos.makedirs(str(below))
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        leanos.makedirs(str(tmp_path / "file/x"), exist_ok=True)
    with pytest.raises(FileExistsError):
        leanos.makedirs(str(tmp_path / "file"), exist_ok=True)


def alone(text: str, **environment: str) -> str:
    """What a program prints that has the lean module for its `os`."""
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom pyman import leanos\nleanos.install()\n{text}"
    done = subprocess.run([sys.executable, "-SIc", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_lean_names_load_nothing() -> None:
    text = """
import os
import os.path
assert os.path.join("a", "b") == "a/b" and os.path.isdir("/") and os.path.exists(b"/") and os.getpid() and os.fsencode("a") == b"a"
assert os.environ.get("NAME") == "value"
assert "_collections_abc" not in sys.modules
"""
    assert alone(text, NAME="value") == ""


def test_any_other_name_is_the_real_modules_and_the_environment_stays_what_it_became() -> None:
    text = """
import os
os.environ["NEW"] = "n"
os.environ["CHANGED"] = "c"
assert os.environ.pop("GONE") == "g" and os.environ.pop("GONE", "none") == "none"
os.environ.update(MORE="m")
os.environ.setdefault("MORE", "x")
lean = os.environ
del os.environ["DELETED"]
from os import walk
import os.path
assert os.path.normpath("/a/../b") == "/b" and os.path.join(b"a", b"b") == b"a/b" and os.path is sys.modules["os.path"]
assert sys.modules["os"] is os and os.environ is not lean and isinstance(os.environ, __import__("_collections_abc").MutableMapping)
assert dict(os.environ) == {"NEW": "n", "CHANGED": "c", "MORE": "m", "LC_CTYPE": os.environ["LC_CTYPE"]} == dict(lean)
import subprocess
print(subprocess.run(["/usr/bin/env"], capture_output=True, text=True).stdout)
"""
    assert set(alone(text, GONE="g", DELETED="d", CHANGED="old", LC_CTYPE="C.UTF-8").split()) == {
        "NEW=n",
        "CHANGED=c",
        "MORE=m",
        "LC_CTYPE=C.UTF-8",
    }
