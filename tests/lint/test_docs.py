"""The documentation is true: places it names exist, generated pages are up to date, the example file equals the schema."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from pyman.cli import docs
from pyman.cli.docs import ALIASES, COMMANDS
from pyman.config import schema

ROOT = Path(__file__).resolve().parents[2]


def test_every_hop_of_the_architecture_exists() -> None:
    hops = re.findall(r"`(pyman/[\w/]+\.py):(\w+)`", (ROOT / "docs/architecture.md").read_text())
    assert len(hops) >= 10
    for path, name in hops:
        names = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        assert name in names, f"{path}:{name}"


def test_every_test_that_the_page_about_security_names_exists() -> None:
    named = re.findall(r"`(\w+)::(\w+)`", (ROOT / "docs/security.md").read_text())
    assert len(named) > 50
    for file, name in named:
        texts = [path.read_text() for part in ("integration", "unit") if (path := ROOT / f"tests/{part}/test_{file}.py").exists()]
        assert any(f"def test_{name}(" in text for text in texts), f"{file}::{name}"


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


def test_manual_pages_hold_every_command_and_nothing_that_roff_would_take_for_its_own() -> None:
    pages = docs.man_pages()
    requests = {".TH", ".SH", ".TP", ".nf", ".fi", ".so"}
    for path, command in COMMANDS.items():
        if command.hidden:
            continue
        text = pages[f"pyman-{'-'.join(path)}.1"]
        text = pages[text.split("/")[1].strip()] if text.startswith(".so man1/") else text
        for name, short, *_ in command.rows:
            option = f"--{name}".replace("-", "\\-")
            assert f"\\fB{option}\\fR" in text and (not short or f", \\fB\\-{short}\\fR" in text), (path, name)
    for alias in ALIASES:
        assert pages[f"pyman-{'-'.join(alias)}.1"].startswith(".so man1/pyman-"), alias
    for name, text in pages.items():
        for line in text.splitlines():
            assert line and not line.startswith("'") and (line[0] != "." or line.split()[0] in requests), (name, line)
            assert set(re.findall(r"\\(.)", line)) <= set("fe&-"), (name, line)
    assert set(re.findall(r"\\fBpyman\\-(.*?)\\fR\(1\)", pages["pyman.1"])) == {
        name[6:-2].replace("-", "\\-") for name, text in pages.items() if name != "pyman.1" and not text.startswith(".so")
    }
