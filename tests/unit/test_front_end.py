"""The parser, templates and tables: pure functions of the command line."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyman.cli import absent, gotemplate, output, parse
from pyman.cli import help as slow
from pyman.cli.commands import completion
from pyman.cli.dispatch import escape
from pyman.cli.table import aliases, everything, find
from pyman.errors import UsageError

COMMANDS = everything()


def test_run_stops_at_the_image() -> None:
    parsed = parse.parse(["run", "-it", "--rm", "-p8080:80", "-e", "A=1", "--env=B=2", "img", "sh", "-c", "--rm"])
    assert parsed.args == ["img", "sh", "-c", "--rm"]
    assert parsed.options["tty"] and parsed.options["interactive"] and parsed.options["publish"] == ["8080:80"]
    assert parsed.options["env"] == ["A=1", "B=2"] and "rm" in parsed.options.given


def test_lists_with_commas_and_old_names() -> None:
    argv = ["run", "--dns", "1.1.1.1,8.8.8.8", "--dns", "9.9.9.9", "--dns-opt", 'ndots:3,"a,b"', "-p", "", "-e", "A=1,2", "img"]
    options = parse.parse([*argv, "--dns", "x"]).options
    assert options["dns"] == ["1.1.1.1", "8.8.8.8", "9.9.9.9"] and options["dns_option"] == ["ndots:3", "a,b"]
    assert options["publish"] == [] and options["env"] == ["A=1,2"]
    more = parse.parse(["run", "-a", "stdout,stderr", "--sysctl", 'a.b=1,"c.d=2,3"', "img"]).options
    assert more["attach"] == ["stdout", "stderr"] and more["sysctl"] == ["a.b=1", "c.d=2,3"]
    assert parse.parse(["run", "--healthcheck-command", "true", "img"]).options["health_cmd"] == "true"


@pytest.mark.parametrize(
    "argv",
    [
        ["run", "--dns", '"x"y', "img"],
        ["ps", "--dns-opt", "x"],
        ["run", "--nope"],
        ["run", "-Z"],
        ["ps", "--last", "x"],
        ["run", "--rm=maybe", "x"],
        ["nosuch"],
        ["run", "--name"],
        ["ps", "extra"],
    ],
)
def test_mistakes_are_usage_errors(argv: list[str]) -> None:
    with pytest.raises(UsageError):
        parse.parse(argv)


def test_refused_options_give_their_reason() -> None:
    for name, _, kind, _, _, reason in COMMANDS[("run",)].rows:
        if reason:
            with pytest.raises(UsageError) as caught:
                parse.parse(["run", f"--{name}" if kind == "bool" else f"--{name}=1", "img"])
            assert reason.rpartition(") ")[2] in str(caught.value)


def test_own_options_stand_before_or_after_the_command() -> None:
    for argv in (["--root", "/r", "--log-level=debug", "ps", "-a"], ["ps", "--log-level", "debug", "-a", "--root=/r"]):
        parsed = parse.parse(argv)
        assert parsed.globals["root"] == "/r" and parsed.globals["log_level"] == "debug" and parsed.options["all"]
    parsed = parse.parse(["run", "--runtime", "crun", "img", "--root", "/r"])
    assert parsed.options["runtime"] == "crun" and not parsed.globals and parsed.args == ["img", "--root", "/r"]
    assert parse.parse(["--remote=false", "ps"]).globals["remote"] is False
    for argv in (["--remote", "ps"], ["ps", "--hooks-dir", "/x"], ["ps", "--version"], ["--url=unix:///x", "ps"]):
        with pytest.raises(UsageError):
            parse.parse(argv)


def test_true_and_false_are_written_as_in_go() -> None:
    for text, value in [(text, True) for text in "1 t T true True TRUE".split()] + [
        (text, False) for text in "0 f F false False FALSE".split()
    ]:
        assert parse.parse(["ps", f"--all={text}"]).options["all"] is value
    for text in ("yes", "no", "y", "tRue", "on", ""):
        with pytest.raises(UsageError, match="it must be true or false"):
            parse.parse(["ps", f"-a={text}"])


@pytest.mark.parametrize("words", [[""], ["nope", "x"], ["container", "nope"], ["ps"], ["container"]])
def test_the_version_whatever_follows(words: list[str]) -> None:
    """podman-compose asks for it with an empty word behind it."""
    for option in ("--version", "-v"):
        assert parse.parse([option, *words]).globals["version"] is True
    if find(tuple(words))[1] is None and words != ["container"]:
        with pytest.raises(UsageError):
            parse.parse(["--version=false", *words])


def test_commands_that_are_not_there_say_what_does_instead() -> None:
    for words in absent.ABSENT:
        assert find(tuple(words.split(" ")))[1] is None
        with pytest.raises(UsageError) as caught:
            slow.explain([*words.split(" "), "-t", "x"])
        assert (caught.value.why, caught.value.hint) == absent.reason(words)


_VALUES = {"bool": None, "str": "7", "list": "7", "commas": "7", "int": "7", "uint": "7", "float": "1.5"}


_seen: dict[str, object] = {}


@functools.cache
def _application() -> Any:
    """Typer's application of all commands, made once: it takes most of a second."""
    import typer

    from pyman.cli import typer_app

    return typer.main.get_command(typer_app.build(lambda _path, values: _seen.update(values)))


@pytest.mark.parametrize("path", sorted(COMMANDS))
@given(data=st.data())
@settings(max_examples=8, deadline=None)
def test_the_small_parser_agrees_with_typer(path: tuple[str, ...], data: st.DataObject) -> None:
    """Whatever options are given, the application generated for help and errors reads the same values, for every command."""
    command = COMMANDS[path]
    known = [row for row in command.rows if not row[5]]
    rows = data.draw(st.lists(st.sampled_from(known), max_size=6)) if known else []
    argv = list(path)
    for name, _, kind, _, _, _ in rows:
        argv += [f"--{name}"] if kind == "bool" else [f"--{name}", str(_VALUES[kind])]
    argv += ["img", "cmd", "-x"] if command.stop else ["img"] if command.most else []
    _seen.clear()
    _application().main(argv, prog_name="pyman", standalone_mode=False)
    seen = dict(_seen)
    parsed = parse.parse(argv)
    assert list(seen.pop("args", None) or []) == parsed.args  # type: ignore[call-overload]
    for key, value in seen.items():
        ours = parsed.options[key.removeprefix("o_")]
        if key == "o_network" and parsed.options["net"]:
            continue  # --net is --network: the small parser adds them up
        assert (value or None) == (ours or None), key


DATA = {"Name": "web", "N": 3, "List": ["a", "b"], "Map": {"k": "v"}, "Flag": True, "Sub": {"Field": "x"}, "Empty": []}


@pytest.mark.parametrize(
    "template, expected",
    [
        ("{{.Name}}", "web"),
        ("{{ .Sub.Field | upper }}", "X"),
        ("{{range .List}}<{{.}}>{{end}}", "<a><b>"),
        ("{{range $i, $v := .List}}{{$i}}{{$v}}{{end}}", "0a1b"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{if and .Flag (eq .N 3)}}yes{{else if .Flag}}flag{{else}}no{{end}}", "yes"),
        ("{{if gt .N 5}}big{{else}}small{{end}}", "small"),
        ("{{with .Sub}}{{.Field}}{{end}}", "x"),
        ("{{json .Map}}", '{"k":"v"}'),
        ('{{index .Map "k"}} {{index .List 1}} {{len .List}}', "v b 2"),
        ('{{join .List ","}} {{printf "%s-%d" .Name .N}}', "a,b web-3"),
        ("a {{- .Name -}} b", "awebb"),
        ("{{/* note */}}{{$x := .N}}{{$x}}", "3"),
        ("{{.List}} {{.Map}} {{.Flag}}", "[a b] map[k:v] true"),
    ],
)
def test_templates(template: str, expected: str) -> None:
    assert gotemplate.compile_template(template)(DATA) == expected


@pytest.mark.parametrize(
    "template", ["{{", "{{.Nope}}", "{{end}}", "{{if .Flag}}", "{{nofunc .Name}}", "{{.Name.More}}", "{{}}", '{{"open}}', "{{lt .Name 3}}"]
)
def test_template_mistakes_have_a_position_or_a_reason(template: str) -> None:
    with pytest.raises(UsageError) as caught:
        gotemplate.compile_template(template)(DATA)
    assert caught.value.why


@given(st.text(max_size=60))
def test_no_template_breaks_the_engine(text: str) -> None:
    try:
        gotemplate.compile_template(text)(DATA)
    except UsageError:
        pass


def test_hostile_names_cannot_write_to_the_terminal() -> None:
    assert escape("a\x1b[31mb\u202e\x9b\x07") == "a\\x1b[31mb\\u202e\\x9b\\x07"


def test_sizes_and_ages() -> None:
    assert [output.human_size(n) for n in (0, 999, 4290000, 1_980_000_000)] == ["0 B", "999 B", "4.29 MB", "1.98 GB"]
    assert [output.duration(n) for n in (0, 1, 59, 90, 7200, 200000)] == [
        "Less than a second",
        "1 second",
        "59 seconds",
        "About a minute",
        "2 hours",
        "2 days",
    ]
    assert output.rfc3339(0) == "0001-01-01T00:00:00Z" and output.rfc3339(1.5).startswith("1970-01-01T00:00:01.5")


def test_every_command_is_found_by_its_words() -> None:
    """A group of commands is loaded by its first word, so each first word must be registered where it is declared."""
    assert [path for path in COMMANDS if find(path) != (path, COMMANDS[path])] == []
    assert [path for path, meant in aliases().items() if find(path) != (meant, COMMANDS[meant])] == []


def test_every_command_has_its_module_and_examples() -> None:
    import importlib

    for path, command in COMMANDS.items():
        assert callable(importlib.import_module(f"pyman.cli.commands.{command.module}").main), path
        assert command.hidden or command.examples, path
    assert set(completion.SCRIPTS) == {"bash", "zsh", "fish"}


@pytest.mark.parametrize("path", sorted(path for path, command in COMMANDS.items() if not command.hidden))
def test_help_shows_the_examples_and_every_option(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    from pyman.cli import typer_app

    typer_app.show_help(path)
    text = capsys.readouterr().out
    assert "Examples:" in text and all(example in " ".join(text.split()) for example in COMMANDS[path].examples)
    assert all(f"--{row[0]}" in text for row in COMMANDS[path].rows)
