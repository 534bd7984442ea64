"""Go's templates: what Podman 5.8 printed for the same templates, mistakes with their position, and a fuzzer that finds no way out."""

from __future__ import annotations

import contextlib
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyman.cli import go_types, gotemplate, output
from pyman.cli.gotemplate_print import Struct
from pyman.cli.gotemplate_time import Duration, Moment
from pyman.errors import UsageError

DATA = {
    "Name": "gt",
    "Id": "0123",
    "Config": {"Cmd": ["sh", "-c", "true"], "Tty": False, "Labels": {"a": "b", "x.y": "1"}, "Env": ["PATH=/bin"]},
    "Mounts": [{"Source": "/tmp", "Destination": "/mnt"}, {"Source": "/b", "Destination": "/c"}],
    "State": {"ExitCode": 0, "Running": False, "Health": None, "Pid": 7},
    "Label": lambda name: {"a": "b"}.get(name, ""),
}


def run(template: str) -> str:
    return gotemplate.compile_format(template)[0](DATA).removesuffix("\n")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('{{ index .Config.Labels "x.y" }}{{ index .Config.Labels "nope" }}|', "1|"),
        ("{{ .Config.Labels.nope }}|{{ if .Config.Labels.nope }}y{{ else }}n{{ end }}", "<no value>|n"),
        ("{{ range $k, $v := .Config.Labels }}{{$k}}={{$v}};{{end}}", "a=b;x.y=1;"),
        ("{{ range $i, $e := .Config.Cmd }}{{if $i}}, {{end}}{{$e}}{{end}}", "sh, -c, true"),
        ("{{ len .Config.Cmd }} {{ slice .Config.Cmd 1 2 }} {{ slice .Name 1 }}", "3 [-c] t"),
        (
            '{{ printf "%s-%5d|%-5s|%05d|%x|%q|%v|%t|%.2f|%c|%U|%T" .Name 3 "ab" 42 255 "q" .Config.Cmd true 1.5 65 65 .Name }}',
            'gt-    3|ab   |00042|ff|"q"|[sh -c true]|true|1.50|A|U+0041|string',
        ),
        ('{{ printf "%v" .State.Pid }} {{ printf "%d" "x" }} {{ printf "%s" 5 }} {{ printf "%d" }} {{ printf "a" 1 }}',)
        + ("7 %!d(string=x) %!s(int=5) %!d(MISSING) a%!(EXTRA int=1)",),
        ('{{ printf "%+d %#x %6.2f|%-6v|%*d %%" 5 255 3.14159 true 4 7 }}', "+5 0xff   3.14|true  |   7 %"),
        ('{{ join .Config.Cmd "," }} {{ .Config.Cmd | len }} {{ split "a,b" "," }}', "sh,-c,true 3 [a b]"),
        ('{{ upper .Name }} {{ title "hello world" }} {{ lower "ABC" }}', "GT Hello World abc"),
        ('{{ pad "x" 2 3 }}|{{ truncate "abcdef" 3 }}', "  x   |abc"),
        ('{{ if and .Config.Tty (eq .Name "gt") }}y{{else if eq .Name "gt"}}z{{else}}n{{end}}', "z"),
        ("{{ with .Config.Cmd }}{{index . 0}}{{else}}none{{end}}", "sh"),
        ("{{ with .Config.Tty }}x{{else with .Name}}{{.}}{{end}}", "gt"),
        ('{{ eq .State.ExitCode 0 }} {{ lt 1 2 }} {{ le "a" "b" }} {{ gt 1.5 1.0 }} {{ eq 1 2 3 1 }}', "true true true true true"),
        ('{{ not .Config.Tty }} {{ or "" "d" }} {{ and 1 0 }} {{ or 0 "" }}|', "true d 0 |"),
        ('{{ html "<a&b>" }} {{ js "a\\"b" }} {{ urlquery "a b&c" }}', '&lt;a&amp;b&gt; a\\"b a+b%26c'),
        ('{{ print 1 2 "a" "b" 3 }} {{ println "x" 1 | len }}', "1 2ab3 4"),
        ("{{ \"a\\x41\" }} {{ `raw` }} {{ 0x10 }} {{ 1e3 }} {{ 1.50 }} {{ 'a' }} {{ -3 }}", "aA raw 16 1000 1.5 97 -3"),
        ("{{- .Name -}}  x", "gtx"),
        ("a {{- /* c }} d */ -}} b", "ab"),
        ('{{ $x := .Name }}{{ $x }}{{ $x = "z" }}{{ $x }} {{ $.Id | len }}', "gtz 4"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $x := 3 }}{{ $x }}{{ end }}{{ $x }}", "32"),
        ("{{ (index .Mounts 0).Destination }}", "/mnt"),
        ("{{ range .Mounts }}{{ .Source }}{{break}}{{end}}", "/tmp"),
        ('{{ range .Mounts }}{{ if eq .Source "/tmp" }}{{continue}}{{ end }}{{ .Source }}{{end}}', "/b"),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        ('{{ json . | len | lt 10 }} {{ json .State.Running }} {{ json "a<b" }}', 'true false "a<b"'),
        (
            "{{ .Config.Env | json }} {{ .State.Health }} {{ .State }}",
            '["PATH=/bin"] <nil> {0 false <nil> 7}',
        ),
        ('{{ .Label "a" }}|{{ "a" | .Label }}', "b|b"),
        ('{{ json "\u00e9\\n" }}', '"\u00e9\\n"'),
        ("{{ .Config.Labels }} {{ .Config.Labels.none.deeper }}", "map[a:b x.y:1] <no value>"),
        ("{{ .name }}", "gt"),
    ],
)
def test_what_podman_prints(template: str, expected: str) -> None:
    data = {key: value for key, value in DATA.items() if key != "Label"} if "json ." in template else DATA
    assert gotemplate.compile_template(template)(data) == expected


@pytest.mark.parametrize(
    ("template", "position", "words"),
    [
        ("{{ .Nope }}", 4, "no field 'Nope'"),
        ("x {{ .State.Nope }}", 12, "no field 'Nope'"),
        ("{{ nope .Name }}", 4, "not defined"),
        ("{{ .Name", 1, "not closed"),
        ("ab{{ if .Name }}x", 5, "not closed by {{end}}"),
        ("{{ end }}", 3, "unexpected {{end}}"),
        ("{{ index .Config.Cmd 9 }}", 4, "index out of range: 9"),
        ("{{ nil }}", 4, "nil is not a command"),
        ("{{ len 3 }}", 4, "len of type int"),
        ('{{ lt 1 "a" }}', 4, "incompatible types for comparison: int and string"),
        ('{{ ne .Name "x" "y" }}', 4, "wrong number of arguments"),
        ("{{ .Name.Foo }}", 9, "no field 'Foo'"),
        ("{{ $y }}", 4, "undefined variable"),
        ("{{ if 1 }}{{ $x := 1 }}{{ end }}{{ $x }}", 36, "undefined variable"),
        ("{{ range .Name }}{{ end }}", 3, "can't iterate"),
        ("{{ break }}", 3, "outside"),
        ('{{ "a\\q" }}', 6, "unknown escape"),
        ('{{ "a\\ud800" }}', 6, "unknown escape"),
        ('{{ "a }}', 1, "not closed"),
        ("{{ define `T` }}1{{ end }}{{ define `T` }}2{{ end }}", 29, "multiple definition"),
        ("{{ (len .Name }}", 4, "not closed"),
        ("{{ if 1 }}{{ else }}{{ else }}{{ end }}", 23, "expected {{end}}"),
        ("{{ 1abc }}", 4, "no number"),
        ("x{{ json .Label }}", 5, "wants one"),
        ("{{ if .Label }}{{ end }}", 7, "wants one"),
        ("{{ and .Label 1 }}", 4, "wants one"),
        ("{{ .Name .Id }}", 4, "takes no argument"),
        ("{{ .Label }}", 4, "wants one"),
        ("{{ 1 2 }}", 4, "can't give argument"),
        ("{{ | len }}", 4, "missing value"),
        ("{{ range 3 }}{{ range 3000 }}{{ range 3000 }}{{ end }}{{ end }}{{ end }}", 32, "steps"),
        ("{{ " + "(" * 60 + "1" + ")" * 60 + " }}", 54, "levels"),
        ('{{ pad "x" 99999999999 1 }}', 4, "numbers up to"),
    ],
)
def test_mistakes_have_their_position(template: str, position: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(template)
    assert words in caught.value.why and caught.value.what == f"invalid template at character {position}", caught.value


def test_widths_are_bounded() -> None:
    assert run('{{ printf "%99999999d|%.99999999f" 1 1.5 }}') == "%!(BADWIDTH)1|%!(BADWIDTH)1.500000"


_PIECES = (
    "{{ }} {{- -}} { } ( ) | , . $ $x := = . .Name .Config .Config.Labels .Mounts .State.Pid if else end range with break continue and or not "
    "eq ne lt le gt ge len index slice print printf println json join upper lower title split pad truncate html js urlquery nil true false "
    '"%s%d%q" "%*.*f" `raw` \'a\' 0 1 -1 1.5 0x1f 1e400 99999999999999999999 /* */ \\n \\t table define template'
).split(" ")


@given(st.lists(st.one_of(st.sampled_from(_PIECES), st.text(max_size=3)), max_size=24))
@settings(max_examples=600, deadline=None)
def test_no_template_breaks_the_engine(pieces: list[str]) -> None:
    """Made of the language's own words, so that many of them get far."""
    for source in (" ".join(pieces), "{{" + " ".join(pieces) + "}}", "".join(pieces)):
        try:
            run(source)
        except UsageError as err:
            assert "character" in err.what


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=12,
)
_FUNCTIONS = "eq ne lt le gt ge len index slice print printf println json join upper lower title split pad truncate html js urlquery and or not".split()


@given(_VALUES, _VALUES, st.sampled_from(_FUNCTIONS))
@settings(max_examples=400, deadline=None)
def test_no_value_breaks_a_function(first: object, second: object, name: str) -> None:
    for template in (
        f"{{{{ {name} .A .B }}}}",
        f"{{{{ .A | {name} }}}}",
        f"{{{{ {name} .B 1 2 }}}}",
        "{{ range $k, $v := .A }}{{ $v }}{{ else }}{{ .B }}{{ end }}",
        '{{ printf "%v %s %d %x %q %5.1f %c %U %t" .A .B .A .B .A .B .A .B .A }}',
    ):
        try:
            assert isinstance(gotemplate.compile_template(template)({"A": first, "B": second}), str)
        except UsageError as err:
            assert "character" in err.what


def test_times() -> None:
    """As time.Time: printed in Go's way, with its methods; in JSON as they are."""
    at = Moment("2026-01-02T03:04:05.678901Z")
    subject = {"At": at, "Odd": Moment("\x1b]0;x"), "Zero": Moment("0001-01-01T00:00:00Z")}
    for template, expected in (
        ("{{.At}}", "2026-01-02 03:04:05.678901 +0000 UTC"),
        ("{{json .At}} {{json .}}", f'"{at}" {{"At":"{at}","Odd":"\\u001b]0;x","Zero":"0001-01-01T00:00:00Z"}}'),
        ("{{.At.Unix}} {{.At.UnixNano}} {{.At.Year}} {{.At.Month}} {{.At.Weekday}}", "1767323045 1767323045678901000 2026 January Friday"),
        ('{{.At.Format "Mon Jan _2 15:04:05 MST 2006"}}', "Fri Jan  2 03:04:05 UTC 2026"),
        ('{{.At.Format "2006-01-02T15:04:05.000Z07:00"}}', "2026-01-02T03:04:05.678Z"),
        ('{{.At.Format "3:4PM 1/2/06 .999999999"}}', "3:4AM 1/2/26 .678901"),
        ("{{.Zero.IsZero}} {{.At.IsZero}} {{eq .At .At}} {{printf `%s|%v` .At .At}}", f"true false true {at.go()}|{at.go()}"),
        ("{{.Odd}}", "\x1b]0;x"),
    ):
        assert gotemplate.compile_format(template)[0](subject) == expected + "\n", template
    for template, why in (
        ("{{.At.Bogus}}", "a time has no 'Bogus'"),
        ("{{.Odd.Unix}}", "error calling Unix"),
        ("{{.At.Format 1}}", "layout"),
    ):
        with pytest.raises(UsageError, match=why):
            gotemplate.compile_format(template)[0](subject)


def test_records_know_their_fields_and_maps_any() -> None:
    """A Struct's keys may be small letters: what it does not have is an error; a map, also a nil one, has no value for it."""
    inner = Struct({"memTotal": 7, "graphStatus": {"A b": "c"}}, {"Hidden": 3})
    data = Struct({"host": inner, "registries": {}, "Labels": None})
    for template, expected in (
        ("{{.Host.MemTotal}} {{.Host.Hidden}} {{.host.memTotal}}", "7 3 7"),
        ("{{.Registries.x}} {{.Labels.x}} {{.Host.GraphStatus.x}}", "<no value> <no value> <no value>"),
        ("{{json .Host}}", '{"memTotal":7,"graphStatus":{"A b":"c"}}'),
    ):
        assert gotemplate.compile_format(template)[0](data) == expected + "\n", template
    for template in ("{{.Nope}}", "{{.Host.Nope}}", "{{with .Host}}{{.Nope}}{{end}}"):
        with pytest.raises(UsageError, match=r"no field 'Nope'; known are (GraphStatus|Labels|Host)"):
            gotemplate.compile_format(template)[0](data)


RECORD = {
    "Id": "0123",
    "State": {"Status": "running", "Running": True, "Pid": 7, "StartedAt": "2026-01-31T12:00:00.25Z", "Health": None},
    "Mounts": [{"Type": "bind", "Source": "/etc", "Destination": "/mnt", "Options": ["rbind"], "RW": False, "Propagation": "rprivate"}],
    "NetworkSettings": {
        "IPAddress": "10.0.0.2",
        "IPPrefixLen": 24,
        "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/udp": None},
    },
    "Config": {
        **{"Domainname": "d", "Volumes": None, "Entrypoint": None, "HealthcheckMaxLogCount": 5, "ExposedPorts": {"80/tcp": {}}},
        "Labels": {"A": "b"},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30 * 10**9, "StartPeriod": 3900 * 10**9, "Retries": 3},
        "StartupHealthCheck": {"Test": ["CMD", "true"], "Interval": 1500000000},
    },
    "HostConfig": {
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "Ulimits": [{"Name": "RLIMIT_CORE", "Soft": 1, "Hard": -1}],
    },
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{.HostConfig.RestartPolicy}} {{.HostConfig.Ulimits}}", "{on-failure 3} [{RLIMIT_CORE 1 -1}]"),
        ("{{.Config.Healthcheck}}", "{[CMD true] 1h5m0s 0s 30s 0s 3}"),
        ("{{.Config.StartupHealthCheck}} {{.Config.StartupHealthCheck.Interval}}", "{{[CMD true] 0s 0s 1.5s 0s 0} 0} 1.5s"),
        (
            "{{with .Config.Healthcheck}}{{.Interval}} {{.StartPeriod.Minutes}} {{.Interval.Seconds}} {{.StartInterval}} {{.Interval.String | len}}{{end}}",
            "30s 65 30 0s 3",
        ),
        ('{{with .Config.Healthcheck}}{{json .}} {{json .Interval}} {{printf "%s %d %T" .Interval .Interval .Interval}}{{end}}',)
        + (
            '{"Test":["CMD","true"],"Interval":30000000000,"StartPeriod":3900000000000,"Retries":3} 30000000000 30s 30000000000 time.Duration',
        ),
        (
            "{{eq .Config.Healthcheck.Interval 30000000000}} {{lt .Config.Healthcheck.Interval .Config.Healthcheck.StartPeriod}}",
            "true true",
        ),
        (
            "{{.State}}",
            "{ running true false false false false 7 0 0  2026-01-31 12:00:00.25 +0000 UTC 0001-01-01 00:00:00 +0000 UTC <nil> false  "
            "0001-01-01 00:00:00 +0000 UTC 0001-01-01 00:00:00 +0000 UTC    false false}",
        ),
        ("{{.Mounts}}|{{range .Mounts}}{{.SubPath}}{{.RW}}{{end}}", "[{bind  /etc /mnt   [rbind] false rprivate }]|false"),
        ("{{.NetworkSettings.Ports}}", "map[80/tcp:[{0.0.0.0 8080}] 81/udp:[]]"),
        ("{{json .NetworkSettings.Ports}}", '{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}],"81/udp":null}'),
        ('{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}} {{.NetworkSettings.IPPrefixLen}}', "8080 24"),
        ("{{.NetworkSettings}}", "{{  10.0.0.2 24 []   0 []  []}   false  0 map[80/tcp:[{0.0.0.0 8080}] 81/udp:[]]  map[]}"),
        ("{{.Config.Volumes}} {{json .Config.Volumes}} {{.Config.Entrypoint}} {{json .Config.Entrypoint}}", "map[] null [] null"),
        ("{{.Config.ExposedPorts}} {{json .Config.ExposedPorts}} {{.Config.Labels}}", 'map[80/tcp:{}] {"80/tcp":{}} map[A:b]'),
        ("{{.Config.DomainName}}{{.Config.Domainname}} {{.Config.HealthMaxLogCount}} {{.ID}} {{.Id}} {{.id}}", "dd 5 0123 0123 0123"),
        ("{{.Config.Timezone}}|{{.Config.Secrets}}|{{.SizeRw}}|{{.SizeRootFs}}|{{.HostConfig.IDMappings}}", "|[]|<nil>|0|<nil>"),
    ],
)
def test_structures_print_as_podmans(template: str, expected: str) -> None:
    assert gotemplate.compile_template(template)(go_types.typed(RECORD, "Container")) == expected


def test_json_of_a_structure_is_what_it_was_made_of() -> None:
    assert json.loads(gotemplate.compile_template("{{json .}}")(go_types.typed(RECORD, "Container"))) == RECORD
    assert (
        json.loads(gotemplate.compile_template("{{json .NetworkSettings}}")(go_types.typed(RECORD, "Container")))
        == RECORD["NetworkSettings"]
    )


@pytest.mark.parametrize(
    ("template", "printed"),
    [
        ("x {{.Name}} {{.Nope}} y", "x gt "),
        ("{{if .Name}}a{{range .Config.Cmd}}{{.}}{{.Nope}}{{end}}{{end}}", "ash"),
        ("{{range .Config.Cmd}}{{.}},{{end}}{{index .Config.Cmd 9}}", "sh,-c,true,"),
        ("{{.Nope}}", ""),
    ],
)
def test_what_came_before_a_mistake(template: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        output.print_filled(gotemplate.compile_template(template), DATA)
    assert capsys.readouterr().out == printed


def test_rows_before_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    functions = {"Name": lambda row: row[0], "Parts": lambda row: row[1:]}
    for template, printed in (
        ("{{.Name}} {{index .Parts 0}}", "a 1\nb "),
        ("table {{.Name}} {{index .Parts 0}}", "NAME        PARTS\na           1\nb\t"),
    ):
        with pytest.raises(UsageError):
            output.print_template(template, [("a", 1), ("b",), ("c", 2)], functions, list, {})
        assert capsys.readouterr().out == printed


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5\u00b5s"),
        (2 * 10**6, "2ms"),
        (90 * 10**9, "1m30s"),
        (3600 * 10**9, "1h0m0s"),
        (-1500000000, "-1.5s"),
    ]
    + [(61 * 10**9 + 1, "1m1.000000001s"), (10**9 - 1, "999.999999ms")],
)
def test_durations(number: int, shown: str) -> None:
    assert gotemplate.compile_template("{{.}}")(Duration(number)) == shown  # type: ignore[arg-type]


def test_the_end_of_a_row() -> None:
    """As Podman: escapes first, and the line is ended; what cannot be read then is taken as it stands."""
    for template, expected in (
        ("{{.Name}}", "gt\n"),
        ("{{.Name}}\\n", "gt\n"),
        ('{{.Name}}{{"\\n"}}', "gt\n"),
        ('{{.Name}}\\n{{"\\n"}}x', "gt\\n\nx"),
        ('{{.Name}}{{"\\\\t"}}', "gt\\t"),
        ('{{.Name}}{{"\\t"}}|', "gt\t|\n"),
        ('{{printf "%s\\n" .Name}}', "gt\n"),
        ("{{println .Name}}", "gt\n\n"),
        ("{{.Name}} {{- ` a\\nb`}}", "gt a\nb\n"),
        ('{{if .Name}}x{{end}}{{"\\n" -}}', "x\n"),
    ):
        assert gotemplate.compile_format(template)[0](DATA) == expected, template
    for template in ('{{"\n"}}', '{{"\\q"}}', '{{.Name}}{{"\\n"}}{{'):
        with pytest.raises(UsageError):
            gotemplate.compile_format(template)


def test_templates_over_all_rows(capsys: pytest.CaptureFixture[str]) -> None:
    functions = {"Name": lambda row: row}
    for template, printed in (
        ("{{range .}}{{.Name}} {{end}}", "a b \n"),
        ("{{ range\t. }}{{.Name}},{{ end -}}", "a,b,"),
        ("{{range .}}{{.Name}}{{end}} {{len .}} {{json .}}", 'ab 2 ["a","b"]\n'),
        ("{{.Name}}", "a\nb\n"),
        ("{{range $i, $n := .Names}}{{end}}", ""),
    ):
        with contextlib.suppress(UsageError):
            output.print_template(template, ["a", "b"], functions, str, {})
        assert capsys.readouterr().out == printed, template


@pytest.mark.parametrize("template", ["{{range $i, $n := .}}{{$i}}{{end}}", "{{len .}}", "{{$all := .}}{{range $all}}x{{end}}"])
def test_a_row_is_a_structure(capsys: pytest.CaptureFixture[str], template: str) -> None:
    """There is nothing in it to go over, and it has no length, as in Podman."""
    with pytest.raises(UsageError):
        output.print_template(template, ["a"], {"Name": lambda row: row}, lambda row: {"Name": row}, {})
    assert not capsys.readouterr().out.strip()


def test_times_and_other_times() -> None:
    data = {"A": Moment("2026-01-02T03:04:05.5Z"), "B": Moment("2026-01-02T03:04:06.75Z"), "Zero": Moment("0001-01-01T00:00:00Z")}
    for template, expected in (
        ("{{.B.Sub .A}} {{.A.Sub .B}} {{(.B.Sub .A).Seconds}}", "1.25s -1.25s 1.25"),
        ("{{.A.Before .B}} {{.A.After .B}} {{.A.Equal .A}}", "true false true"),
        ("{{.Zero.Sub .A}}", "-2562047h47m16.854775808s"),
        (
            '{{.A.Month}} {{printf "%d %s %v" .A.Month .A.Month .A.Month}} {{eq .A.Month 1}} {{json .A.Month}}',
            "January 1 January January true 1",
        ),
        ('{{.A.Month.String}} {{printf "%T" .A.Weekday}} {{printf "%d" .A.Weekday}} {{.A.YearDay}}', "January time.Weekday 5 2"),
        ("{{.A.AddDate 0 1 30}} {{(.A.AddDate 1 -1 0).Year}}", "2026-03-04 03:04:05.5 +0000 UTC 2026"),
        ("{{.A.Truncate 3600000000000}} {{.A.Round 1000000000}}", "2026-01-02 03:00:00 +0000 UTC 2026-01-02 03:04:06 +0000 UTC"),
        ("{{.A.Compare .B}} {{.A.Compare .A}} {{.A.Local.UnixMicro}} {{.A.Location}} {{.A.IsDST}}", "-1 0 1767323045500000 UTC false"),
        ("{{.A.Add 1500000000}} {{.A.Add (.A.Sub .B)}}", "2026-01-02 03:04:07 +0000 UTC 2026-01-02 03:04:04.25 +0000 UTC"),
    ):
        assert gotemplate.compile_template(template)(data) == expected, template
    for template in (
        "{{.A.AddDate 1}}",
        "{{.A.AddDate 9999 0 0}}",
        "{{.A.Round .B}}",
        "{{.A.Month.Nope}}",
        "{{.A.Sub 1}}",
        "{{.A.Add .B}}",
        '{{.A.Before "x"}}',
    ):
        with pytest.raises(UsageError):
            gotemplate.compile_template(template)(data)


def test_data_makes_no_lines_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"Name": "a\nb", "Labels": {"k": "c\nd"}, "List": ["e\nf", "g"]}
    shown = {
        "{{.Name}} {{.Labels}}\n{{index .List 0}}": ("a\\nb map[k:c\\nd]\ne\\nf", "a\nb map[k:c\nd]\ne\nf"),
        '{{range .List}}{{println .}}{{end}}{{join .List "\\n"}}': ("e\nf\ng\ne\nf\ng",) * 2,
    }
    for terminal in (True, False):
        monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal)
        for template, expected in shown.items():
            assert gotemplate.compile_template(template)(data) == expected[not terminal]
