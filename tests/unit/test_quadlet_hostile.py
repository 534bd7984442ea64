"""Hostile Quadlet files: whatever stands in them, a value stays a value, a file's units stay its own, and nothing waits or breaks."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pyman.cli import parse
from pyman.systemd import names, unitfile, words
from pyman.systemd.quadlet import convert, generator, keys, service, sources

ROOT = Path(__file__).resolve().parents[2]
TEXTS = st.text(max_size=60) | st.lists(
    st.sampled_from(
        [
            "%i",
            "%",
            "$X",
            "${X}",
            "--privileged",
            ";",
            "'",
            '"',
            "\\",
            "\\n",
            "\\x0a",
            "\\",
            "=",
            ":",
            ",",
            " ",
            "\t",
            "a",
            "-v",
            "\r",
            "\v",
        ]
    ),
    max_size=12,
).map("".join)
BYTES = st.binary(max_size=400) | st.lists(
    st.sampled_from([b"[Container]\n", b"[Volume]\n", b"[Service]\n", b"[Install]\n", b"[", b"]", b"Image=", b"Exec=", b"\n", b"\\\n", b"\\", b"\0", b"\r", b"\xff",
                     b"WantedBy=", b"../x", b"Alias=", b"ServiceName=", b"a", b"#", b";", b"=", b"\xc3\xa9", b"\xe2\x80\xa8"]), max_size=40
).map(b"".join)  # fmt: skip


def converted(files: dict[str, bytes]) -> tuple[list[service.Service], sources.Quadlets]:
    with tempfile.TemporaryDirectory() as place:
        for name, content in files.items():
            Path(place, name).write_bytes(content)
        found = sources.Quadlets([os.path.realpath(place)])
        return convert.convert_all(found, True), found


def lines_of(each: service.Service) -> list[tuple[str, str, str]]:
    """(section, key, value) as systemd reads the text."""
    unit = unitfile.UnitFile("x")
    unitfile.parse(unit, each.text().encode("utf-8", "backslashreplace"))
    assert not unit.problems, [str(problem) for problem in unit.problems]
    return [(section, entry.key, entry.value) for section, entries in unit.sections.items() for entry in entries]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(name for name, key in keys.of("container").items() if key.how in ("one", "each"))), TEXTS)
def test_a_value_never_becomes_another_option_or_line(name: str, value: str) -> None:
    """The command has the options that the same file has with a harmless value, and the arguments after the image stay what they are."""
    content = f"[Container]\nImage=quay.io/x/y\nExec=true\n{name}={value}".encode("utf-8", "surrogatepass")
    services, found = converted({"x.container": content})
    (each,) = services
    lines = lines_of(each)
    assert len(lines) == sum(len(section) for section in each.sections.values())
    starts = [line for section, key, line in lines if (section, key) == ("Service", "ExecStart")]
    assert len(starts) == 1
    if found.units["x.container"].broken:
        assert words.split(starts[0])[:2] == ["/bin/sh", "-c"]
        return
    argv = words.split(starts[0])
    assert ";" not in starts[0].split(" ")  # alone and unquoted it would begin another command
    parsed = parse.parse([word for word in argv[1:] if not word.startswith(("--retry=", "--health-", "--stop-timeout="))])
    option = keys.of("container")[name].option.partition("=")[0]
    assert parsed.args == ["quay.io/x/y", "true"]
    usual = {"name", "replace", "rm", "cgroups", "sdnotify", "detach", option.replace("-", "_")}
    assert parsed.options.given <= usual


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["a.container", "b.volume", "c@.container", "d.image", "e.network", "f.artifact", "g.pod"]),
        BYTES,
        min_size=1,
        max_size=3,
    )
)
def test_any_bytes_become_a_unit_that_systemd_can_read(files: dict[str, bytes]) -> None:
    services, _ = converted(files)
    assert len(services) == len(files)
    for each in services:
        assert names.valid(each.name) and "/" not in each.name
        assert len(lines_of(each)) == sum(len(section) for section in each.sections.values())
        for place, target in each.links:
            assert ".." not in place.split("/") and place.count("/") <= 1 and target.removeprefix("../") == each.name


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20), max_size=6))
def test_quoted_words_are_read_as_the_same_words(given_words: list[str]) -> None:
    line = words.join(given_words)
    assert line.isprintable() and words.split(line) == given_words


def test_names_links_pipes_and_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file name makes a path, no pipe is waited for, no link's content is shown, and a file too large says so."""
    folder = tmp_path / "q"
    folder.mkdir()
    secret = tmp_path / "secret"
    secret.write_text("root:secret-hash:1\n" * 3)
    (folder / "link.container").symlink_to(secret)
    (folder / "dangling.container").symlink_to(tmp_path / "absent")
    (folder / "self.container").symlink_to("self.container")
    os.mkfifo(folder / "pipe.container")
    (folder / "large.container").write_bytes(b"[Container]\nLabel=" + b"x" * (unitfile.LARGEST + 1))
    (folder / "a b\nWantedBy=x %i.container").write_text("[Container]\nImage=quay.io/x/y\n")
    (folder / ".container").write_text("nothing")
    (folder / "dir.container").mkdir()
    monkeypatch.setenv("QUADLET_UNIT_DIRS", str(folder))
    assert generator.main(["--user", "--no-kmsg-log", str(tmp_path / "out")]) == 1
    made = {path.name: path.read_text() for path in (tmp_path / "out").iterdir() if path.is_file()}
    escaped = "a\\x20b\\x0aWantedBy\\x3dx\\x20\\x25i.service"
    assert sorted(made) == sorted(["link.service", "dangling.service", "self.service", "pipe.service", "large.service", escaped])
    assert all("exit 78" in text for text in made.values())
    assert (
        "not a regular file" in made["pipe.service"]
        and "larger than" in made["large.service"]
        and "No such file" in made["dangling.service"]
    )
    assert "levels of symbolic links" in made["self.service"] and "secret-hash" not in made["link.service"]
    assert made[escaped].count("\nWantedBy") == 0


def test_folders_that_contain_each_other_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "q/a/b"
    inner.mkdir(parents=True)
    (inner / "up").symlink_to(tmp_path / "q")
    (inner / "x.volume").write_text("[Volume]\n")
    deep = tmp_path / "q"
    for _ in range(sources.DEEPEST + 4):
        deep = deep / "d"
        deep.mkdir()
    (deep / "deep.volume").write_text("[Volume]\n")
    monkeypatch.setenv("QUADLET_UNIT_DIRS", str(tmp_path / "q"))
    places = sources.folders(True)
    assert len(places) == len(set(places)) and sorted(sources.Quadlets(places).units) == ["x.volume"]


def test_the_generator_imports_nothing_slow() -> None:
    """systemd waits for it at each daemon-reload of each user."""
    code = "import sys; from pyman.systemd.quadlet import generator; generator.main(['--dryrun', '--user']); print(*sys.modules, sep='\\n')"
    env = {"QUADLET_UNIT_DIRS": str(ROOT / "tests/vm/quadlets"), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    done = subprocess.run([sys.executable, "-S", "-c", code], env=env, capture_output=True, text=True, check=True)
    found = done.stdout.split("\n")
    assert "pyman.systemd.quadlet.container" in found
    slow = {
        "re",
        "json",
        "subprocess",
        "typing",
        "dataclasses",
        "pathlib",
        "tempfile",
        "shutil",
        "inspect",
        "pyman.cli",
        "pyman.engine",
        "pyman.config.nearest",
    }
    assert not slow & set(found)


def test_a_line_that_systemd_would_not_read_is_told() -> None:
    quotes = b"[Container]\nImage=quay.io/x/y\nLabel=" + b"'a=" + b'"' * (unitfile.LARGEST - 100) + b"'"
    services, found = converted({"x.container": quotes, "y.container": b"[Container]\nImage=quay.io/x/y\nLabel=a=" + b"x" * 200_000})
    assert "longer than 1024 KiB" in str(found.units["x.container"].problems) and "exit 78" in services[0].text()
    assert not found.units["y.container"].broken and max(map(len, services[1].text().split("\n"))) < unitfile.LARGEST
