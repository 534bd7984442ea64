"""A .container file written from options means the same options again, whatever is in their values."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pyman.cli import parse, table
from pyman.cli.commands import quadlet_from as command
from pyman.engine import quadlet_from
from pyman.errors import UsageError
from pyman.systemd import words
from pyman.systemd.quadlet import convert, keys, sources, write

OPTIONS = [
    *(
        "env",
        "label",
        "annotation",
        "publish",
        "volume",
        "network",
        "network-alias",
        "dns",
        "add-host",
        "tmpfs",
        "ulimit",
        "sysctl",
        "mount",
    ),
    *(
        "cap-add",
        "cap-drop",
        "device",
        "secret",
        "expose",
        "group-add",
        "log-opt",
        "security-opt",
        "uidmap",
        "hostname",
        "workdir",
        "memory",
    ),
    *(
        "health-cmd",
        "health-interval",
        "log-driver",
        "pull",
        "shm-size",
        "stop-signal",
        "tz",
        "user",
        "userns",
        "entrypoint",
        "ip",
        "env-merge",
    ),
]
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20) | st.lists(
    st.sampled_from(["%i", "%%", "$X", "${X}", '"', "'", "\\", " ", "\n", "\t", ";", "#", "=", ":", "-", "/a", "x", "[", "é"]),
    min_size=1,
    max_size=8,
).map("".join)


def again(text: str) -> parse.Parsed:
    """The command line that the file's unit runs, as systemd hands it over."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "x.container").write_text(text)
        found = sources.Quadlets([place])
        (made,) = convert.convert_all(found, True)
        assert not found.units["x.container"].broken, [str(problem) for problem in found.units["x.container"].problems]
    argv = words.split(made.value("Service", "ExecStart") or "")
    # systemd puts nothing in for %% and $$ but the single sign; what else begins with them would be replaced.
    for word in argv:
        assert "%" not in word.replace("%%", "") and "$" not in word.replace("$$", ""), word
    return parse.parse([word.replace("%%", "%").replace("$$", "$") for word in argv[1:]])


def _counting(name: str, values: list[str]) -> object:
    """Of several variables or labels with one name the last counts."""
    return {value.partition("=")[0]: value for value in values} if name in ("env", "label", "annotation") else sorted(values)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(OPTIONS), VALUES), max_size=6), st.lists(VALUES, max_size=4))
@example([("env", "A=$HOME 100%"), ("volume", "/a b:/c"), ("label", 'x="y"\nExecStart=/bin/false')], ["-c", "$(x) ; %n"])
def test_what_is_written_is_read_again(options: list[tuple[str, str]], arguments: list[str]) -> None:
    # Paths below the current directory are made absolute, a network's and a volume's name may be that of a file, and ports are checked.
    options = [
        (name, value) for name, value in options if not (name in ("volume", "mount") and (value.startswith((".", "~")) or "." in value))
    ]
    options = [(name, f"x{value}" if name in ("network", "expose") else value) for name, value in options]
    options = [(name, "8080" if name == "expose" else value) for name, value in options]
    # Quotes in lists with commas are for values with commas, which the file writes one by one.
    lists = {row[0] for row in table.find(("run",))[1].rows if row[2] == "commas"}  # type: ignore[union-attr]
    options = [(name, value.replace('"', "") if name in lists else value) for name, value in options]
    argv = ["run", *(f"--{name}={value}" for name, value in options), "quay.io/x/y", *arguments]
    first = parse.parse(argv)
    _, text = quadlet_from.of_options(first.options, first.options.given, first.args, "", "", [])
    second = again(text)
    assert second.args == first.args
    for name in {name.replace("-", "_") for name, _ in options}:
        one, other = first.options[name], second.options[name]
        if isinstance(one, list):
            assert _counting(name, one) == _counting(name, other), name
        else:
            assert one == other, name


def test_the_usual_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    opts = parse.parse(["quadlet", "from", "x"]).options
    line = "podman run -d --name web --restart unless-stopped -p 8080:80 --read-only --cgroups no-conmon --sdnotify=healthy --init=false nginx:1 -g x"
    assert command.main(opts, [line]) == 0
    text = capsys.readouterr().out
    for expected in ("Image=nginx:1", "ContainerName=web", "Restart=always", "PublishPort=8080:80", "ReadOnly=true", "RunInit=false"):
        assert f"\n{expected}\n" in text
    for expected in ("CgroupsMode=no-conmon", "Notify=healthy", "Exec=-g x", "[Install]\nWantedBy=default.target"):
        assert f"\n{expected}\n" in text
    assert "PodmanArgs" not in text


def test_what_stands_before_the_command_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    opts = parse.parse(["quadlet", "from", "x"]).options
    line = "pyman --module=a.toml --module '/b c.toml' --cgroup-manager cgroupfs --root '/r%d' run nginx:1"
    assert command.main(opts, [line]) == 0
    text = capsys.readouterr().out
    assert (
        "\nGlobalArgs=--cgroup-manager=cgroupfs\nContainersConfModule=a.toml\nContainersConfModule=/b c.toml\nGlobalArgs=--root=/r%%d\n"
        in text
    )
    assert again(text).globals["module"] == ["a.toml", "/b c.toml"] and again(text).globals["root"] == "/r%d"


ROWS = table.find(("run",))[1].rows  # type: ignore[union-attr]
DECIDED = {"attach", "cgroups", "detach", "name", "net", "quiet", "replace", "restart", "rm", "rootfs", "sdnotify", "sig-proxy"}
PATHS = {"authfile", "cidfile", "conmon-pidfile", "env-file", "label-file", "pidfile"}  # made absolute
SPECIAL = {"expose": "8080/udp", "network": "mine", "volume": "/a b%:/c$d"}
ODD = "a b\"c'd\\e%f$g"


@pytest.mark.parametrize("row", [row for row in ROWS if not row[5] and row[0] not in DECIDED], ids=lambda row: row[0])
def test_every_option_of_run_comes_through(row: Any) -> None:
    """What has a key uses it, unless the key's form cannot hold the value; the rest is PodmanArgs=."""
    name, kind = row[0], row[2]
    samples = {"bool": ["true", "false"], "uint": ["7"], "int": ["7", "-1"], "float": ["1.5"]}.get(kind, ["x=y", ODD])
    for value in [SPECIAL[name]] if name in SPECIAL else [f"/{value}" for value in samples] if name in PATHS else samples:
        first = parse.parse(["run", f"--{name}={value}", "quay.io/x/y:1", "a", "b  c"])
        _, text = quadlet_from.of_options(first.options, first.options.given, first.args, "", "", [])
        second = again(text)
        key = name.replace("-", "_")
        assert (second.args, second.options[key]) == (first.args, first.options[key]), (value, text)
        known = any(entry.option == name for entry in keys.of("container").values()) or name in write._SPECIAL
        assert known != ("PodmanArgs=" in text) or value == ODD, (value, text)


def test_what_a_unit_decides_itself_is_left_out_or_has_a_line() -> None:
    first = parse.parse(["run", *"--attach stdout -q --sig-proxy=false --restart on-failure:3 --net mine".split(), "x/y", "true"])
    _, text = quadlet_from.of_options(first.options, first.options.given, first.args, "web", "", [])
    assert "\nStartLimitBurst=3\n" in text and "\n[Service]\nRestart=on-failure\n" in text and "\nNetwork=mine\n" in text
    assert "PodmanArgs" not in text
    line = "x\n[Service]\nExecStartPre=/bin/false"
    for argv, name, wanted in ((["--name", line, "x/y"], "", ""), ([line], "web", ""), (["x/y"], line, ""), (["x/y"], "", line),
                               (["--restart", "xyz", "x/y"], "", "")):  # fmt: skip
        parsed = parse.parse(["run", *argv])
        with pytest.raises(UsageError):
            quadlet_from.of_options(parsed.options, parsed.options.given, parsed.args, name, wanted, [])
