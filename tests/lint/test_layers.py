"""Who may import whom, read from the source: layers, third parties' doors, empty package files, sizes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "pyman").rglob("*.py"))
DOORS = {
    "typer": "cli/typer_app.py",
    "rich": "cli/rich_output.py",
    "oras": "image/oras_session.py",
    "requests": "image/oras_session.py",
    "pyroute2": "network/rtnl.py",
    "tomli": "config/load.py",
    "isal": "storage/decompress.py",
    "zstandard": "storage/decompress.py",
    "ctypes": "linux/",
}
LEVELS = [
    ["cli"],
    ["engine"],
    ["image"],
    ["runtime", "monitor", "storage", "network", "systemd"],
    ["rootless", "config"],
    ["state"],
    ["linux"],
]
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}
# The seccomp cache is JSON-keyed; the helper imports nothing of pyman.
EXCEPTIONS = {("linux", "pyman.state.fastjson")}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}" if node.module.startswith("pyman") else node.module


def test_third_parties_come_through_their_doors() -> None:
    wrong = []
    for path in FILES:
        relative = str(path.relative_to(ROOT / "pyman"))
        for line, name in imports(path):
            door = DOORS.get(name.split(".")[0])
            if door and not relative.startswith(door):
                wrong.append(f"{relative}:{line} imports {name}; its door is {door}")
    assert not wrong


def test_imports_point_down() -> None:
    wrong = []
    for path in FILES:
        parts = path.relative_to(ROOT / "pyman").parts
        if len(parts) < 2:
            continue
        own = parts[0]
        for line, name in imports(path):
            target = name.split(".")[1] if name.startswith("pyman.") else ""
            if target not in LEVEL or target == own or any(own == layer and name.startswith(module) for layer, module in EXCEPTIONS):
                continue
            if LEVEL[target] <= LEVEL[own]:
                wrong.append(f"{'/'.join(parts)}:{line} imports {name}")
    assert not wrong


def test_package_files_are_empty_and_modules_say_their_purpose() -> None:
    for path in FILES:
        tree = ast.parse(path.read_text())
        if path.name == "__init__.py":
            assert not tree.body, path
        else:
            assert ast.get_docstring(tree), path


def test_modules_and_functions_stay_readable() -> None:
    for path in FILES:
        text = path.read_text()
        assert text.count("\n") <= 320, f"{path}: {text.count(chr(10))} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.end_lineno:
                assert node.end_lineno - node.lineno < 80, f"{path}:{node.lineno} {node.name}"


def test_public_functions_have_docstrings() -> None:
    missing = []
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not ast.get_docstring(node):
                missing.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not missing
