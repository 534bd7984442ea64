"""Templates with names, printf's verbs and whole structures: what Podman 5.8 printed for the same."""

from __future__ import annotations

from typing import Any

import pytest

from pyman.cli import go_reports, go_types, gotemplate
from pyman.errors import UsageError

POLICY = go_types.typed({"Name": "no", "MaximumRetryCount": 0}, "RestartPolicy")
STATE = {"Running": True, "ExitCode": 3, "Policy": POLICY, "Cmd": ["a", "b c"], "Labels": {"x": "y"}, "Size": 1e6}
DATA = {"Name": "gt", "Client": {"Version": "5"}, "State": STATE, "Policy": POLICY, "Cmd": ["a", "b c"], "Labels": {"x": "y"}}


def run(template: str, data: Any = None) -> str:
    return gotemplate.compile_format(template)[0](DATA if data is None else data).removesuffix("\n")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('{{define "x"}}[{{.}}]{{end}}{{template "x" .Name}}', "[gt]"),
        ('{{template "x" .Name}}{{define "x"}}[{{.}}]{{end}}', "[gt]"),
        ('{{block "x" .Client}}<{{.Version}}>{{end}}{{template "x" .Client}}', "<5><5>"),
        ('{{block "x" .}}{{$y := 1}}{{$y}}{{end}}{{template "x"}}', "11"),
        ('{{define "x"}}{{$.Name}}{{end}}{{with .Client}}{{template "x" $}}{{end}}', "gt"),
        ('{{template "x" .Cmd | len}}{{define "x"}}{{.}}{{end}}', "2"),
        ('{{define "x"}}Q{{end}}', ""),
        ('{{define "x"}}{{range .}}{{template "y" .}}{{end}}{{end}}{{define "y"}}({{.}}){{end}}{{template "x" .Cmd}}', "(a)(b c)"),
        ('{{define "n"}}{{if .}}{{len .}}{{template "n" (slice . 1)}}{{end}}{{end}}{{template "n" "abc"}}', "321"),
        ('{{template "x"}}{{define "x"}}{{.}}{{end}}', "<no value>"),
        ('{{printf "%q %q" "a\\"b" 65}} {{printf "%x %X|% x|%#x|%# x" "hi" "hi" "hi" "hi" "hi"}}', "\"a\\\"b\" 'A' 6869 6869|68 69|0x6869|0x68 0x69"),
        ('{{printf "%#x|%+d|% d|%t|%x" 255 5 5 true 1.5}}', "0xff|+5| 5|true|0x1.8p+00"),
        ('{{printf "%v %v %v %v %v %v" 1e6 123456.0 1e-5 0.0001 -2.5 1234567.5}}', "1e+06 123456 1e-05 0.0001 -2.5 1.2345675e+06"),
        ('{{printf "%g %e %08.3f %6.2f" 100000.0 123456.789 3.14159 3.14159}}', "100000 1.234568e+05 0003.142   3.14"),
        ('{{printf "%[2]d %[1]d|%[1]*d|%[3]d|%[x]d" 1 2}}', "2 1|2|%!d(BADINDEX)|%!d(BADINDEX)"),
        ('{{printf "%[3]d %d" 1 2}} {{printf "%[1]d %d %d" 1 2}}', "%!d(BADINDEX) 1 1 2 %!d(MISSING)"),
        ('{{printf "%+q %+v % v %#q %O" "\u00e9" 5 5 "a" 8}}', '"\\u00e9" 5  5 `a` 0o10'),
        ('{{define "a"}}x{{end}}{{define "a"}} {{end}}{{template "a"}}', "x"),
        ('{{define "x"}}{{.Foo}}{{end}}{{template "x"}}', "<no value>"),
        ('{{printf "%T %T %T %T %T %T" 1 "a" 1.5 true .Cmd .Labels}}', "int string float64 bool []string map[string]string"),
        ('{{printf "%T" .Policy}} {{.Policy}} {{printf "%v %+v" .Policy .Policy}}', "*define.InspectRestartPolicy {no 0} &{no 0} &{Name:no MaximumRetryCount:0}"),
        ('{{printf "%#v %#v %#v" .Policy .Cmd .Labels}}', '&define.InspectRestartPolicy{Name:"no", MaximumRetryCount:0} []string{"a", "b c"} map[string]string{"x":"y"}'),
        ('{{printf "%q %s %d" .Cmd .Cmd .Cmd}}', '["a" "b c"] [a b c] [%!d(string=a) %!d(string=b c)]'),
    ],
)  # fmt: skip
def test_what_podman_prints(template: str, expected: str) -> None:
    assert run(template) == expected


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ('{{template "nope"}}', "not defined"),
        ('{{define "x"}}{{template "x" .}}{{end}}{{template "x" .}}', "maximum template depth"),
        ('{{define "x"}}a{{end}}{{define "x"}}b{{end}}', "multiple definition"),
        ('{{$y := 1}}{{block "x" .}}{{$y}}{{end}}', "undefined variable"),
        ("{{define x}}{{end}}", "in quotes"),
        ("{{template}}", "in quotes"),
        ('{{define "x"}}', "not closed"),
        ('{{define "x"}}{{else}}{{end}}', "expected {{end}}"),
        ('{{if true}}{{define "x"}}1{{end}}{{end}}', "within something else"),
        ('{{range .Cmd}}{{block "x" .}}{{break}}{{end}}{{end}}', "outside"),
        ('{{block "x"}}1{{end}}', "missing value"),
        ('{{define "x" .}}{{end}}', "unexpected value"),
        ('table {{define "x"}}Q{{end}}', "within something else"),
        ('{{define "x"}}{{range 3000}}{{template "x" .}}{{end}}{{end}}{{template "x" 1}}', "maximum template depth"),
    ],
)
def test_mistakes(template: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(template)
    assert words in str(caught.value) and "character" in str(caught.value)


def test_a_template_calls_itself_so_often_that_it_has_to_end() -> None:
    nested = "{{if 1}}" * 40 + '{{template "x" .}}' + "{{end}}" * 40
    with pytest.raises(UsageError, match=r"depth|deeply"):
        run(f'{{{{define "x"}}}}{nested}{{{{end}}}}{{{{template "x" .}}}}')


def test_networks_print_as_structures() -> None:
    record = {
        "name": "n",
        "id": "0a",
        "driver": "bridge",
        "network_interface": "podman1",
        "created": "2026-01-31T12:00:00Z",
        "subnets": [
            {"subnet": "10.89.0.0/24", "gateway": "10.89.0.1", "lease_range": {"start_ip": "10.89.0.5", "end_ip": "10.89.0.9"}},
            {"subnet": "fd00::/64", "gateway": "fd00::1"},
        ],
        "containers": {
            "c": {"name": "w", "interfaces": {"eth0": {"subnets": [{"ipnet": "10.89.0.5/24"}], "mac_address": "0a:00:ff:01:02:03"}}}
        },
    }
    found = go_reports.report(record, "NetworkInspectReport")
    subnets = f"[{{{{{{10.89.0.0 ffffff00}}}} 10.89.0.1 {{10.89.0.5 10.89.0.9}}}} {{{{{{fd00:: {'f' * 16}{'0' * 16}}}}} fd00::1 <nil>}}]"
    assert run("{{.Subnets}}", found) == subnets
    assert run("{{(index .Subnets 0).Subnet}} {{(index .Subnets 0).Gateway}}", found) == "10.89.0.0/24 10.89.0.1"
    whole = run("{{.}}", found)
    assert whole.startswith(
        f"{{{{n 0a bridge podman1 2026-01-31 12:00:00 +0000 UTC {subnets} [] false false false [] map[] map[] map[]}} map[c:"
    )
    assert whole.endswith("map[c:{w map[eth0:{[{{{10.89.0.5 ffffff00}} }] [10 0 255 1 2 3]}]}]}")
    assert run('{{printf "%+v" (index .Subnets 1)}}', found).startswith("{Subnet:{IPNet:{IP:fd00:: Mask:ffffffffffffffff0000")
    assert run("{{json .Subnets}}", found).startswith('[{"subnet":')
    odd = go_reports.report(
        {"subnets": [{"subnet": "x/y"}], "containers": {"c": {"interfaces": {"e": {"mac_address": "q:z"}}}}}, "NetworkInspectReport"
    )
    assert "{x ffffffff}" in run("{{.}}", odd) and "q:z" in run("{{.}}", odd)
