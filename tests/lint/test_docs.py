"""The documentation is true: places it names exist, generated pages are up to date, the example file equals the schema."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pyman.cli import docs
from pyman.config import schema

ROOT = Path(__file__).resolve().parents[2]


def test_every_hop_of_the_architecture_exists() -> None:
    hops = re.findall(r"`(pyman/[\w/]+\.py):(\w+)`", (ROOT / "docs/architecture.md").read_text())
    assert len(hops) >= 10
    for path, name in hops:
        names = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        assert name in names, f"{path}:{name}"


def test_command_pages_are_generated() -> None:
    for name, text in docs.pages().items():
        assert (ROOT / "docs/commands" / name).read_text() == text, f"run: python -m pyman.cli.docs docs/commands ({name})"


def test_the_example_configuration_equals_the_schema() -> None:
    assert (ROOT / "containers.toml.example").read_text() == schema.example()


def test_no_file_speaks_of_a_workplace() -> None:
    words = re.compile(r"/work/(main|steering)|\bissue #?\d+|\bthis ses{2}ion\b", re.IGNORECASE)
    for path in ROOT.rglob("*"):
        if path.suffix in (".py", ".md", ".c", ".toml", ".sh", ".example") and "test_docs.py" not in path.name and path.is_file():
            assert not words.search(path.read_text()), path
