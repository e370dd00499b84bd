"""The template language of --format."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.cli.output import formatted, table
from netd.cli.template import Template, TemplateError

VALUE = {
    "Name": "mynet",
    "Internal": False,
    "Subnets": ["10.1.0.0/16", "fd00::/64"],
    "Labels": {"a.b": "c", "team": "web"},
    "IPAM": {"Config": [{"Subnet": "10.1.0.0/16"}], "Driver": "default"},
    "Empty": [],
    "MTU": 1400,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{.Name}} {{ .MTU }}", "mynet 1400"),
        ("{{.IPAM.Driver}}", "default"),
        ("{{.Subnets}}|{{.Internal}}|{{.Labels}}", "[10.1.0.0/16 fd00::/64]|false|map[a.b:c team:web]"),
        ("{{json .Labels}}", '{"a.b":"c","team":"web"}'),
        ('{{(index .IPAM.Config 0).Subnet}} {{index .IPAM.Config 0 "Subnet"}}', "10.1.0.0/16 10.1.0.0/16"),
        ("{{range $key, $value := .Labels}}{{$key}}={{$value}} {{end}}", "a.b=c team=web "),
        ("{{range $i, $each := .Subnets}}{{$i}}:{{$each}} {{end}}", "0:10.1.0.0/16 1:fd00::/64 "),
        ("{{range $each := .IPAM.Config}}{{$each.Subnet}} of {{$.Name}}{{end}}", "10.1.0.0/16 of mynet"),
        ("{{range $a, $b := .Labels}}{{range $b := $.Subnets}}{{$a}}{{end}}{{$b}} {{end}}", "a.ba.bc teamteamweb "),
        ("{{.Name | upper}} {{.Labels | len}} {{(.Name | upper) | lower}}", "MYNET 2 mynet"),
        ('{{if eq .Name "x" "mynet"}}y{{end}}{{if ne .MTU 1}}n{{end}}{{if not .Internal}}t{{end}}', "ynt"),
        ("{{with .IPAM}}{{.Driver}}{{end}}{{with .Empty}}x{{else}}{{.Name}}{{end}}", "defaultmynet"),
        ("{{range .Subnets}}{{println .}}{{end}}", "10.1.0.0/16\nfd00::/64\n"),
        ('{{index .Labels "a.b"}}{{index .Labels "none"}}', "c"),
        ("{{index .Subnets 1}}", "fd00::/64"),
        ('{{join .Subnets ", "}}', "10.1.0.0/16, fd00::/64"),
        ("{{upper .Name}} {{lower .Name}} {{len .Subnets}}", "MYNET mynet 2"),
        ("{{range .Subnets}}<{{.}}>{{end}}", "<10.1.0.0/16><fd00::/64>"),
        ("{{range .IPAM.Config}}{{.Subnet}}{{end}}", "10.1.0.0/16"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{if .Internal}}in{{else}}out{{end}}{{if .Name}}!{{end}}", "out!"),
        ("{{if .Name}}{{range .Subnets}}{{if .}}s{{end}}{{end}}{{end}}", "ss"),
        ("a\\tb\\n", "a\tb\n"),
        ("a  {{- .Name -}}  b", "amynetb"),
    ],
)
def test_templates(text: str, expected: str) -> None:
    assert Template(text).render(VALUE) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{.Nme}}", "no field 'Nme' in .Nme; known are Name, Internal"),
        ("{{.Name.First}}", r".Name.First: no fields in 'mynet'"),
        ("{{.Name", r"unclosed action: \{\{.Name"),
        ("{{}}", "cannot read"),
        (
            "{{printf .Name}}",
            "only fields and the functions eq, index, join, json, len, lower, ne, not, println, upper are known",
        ),
        ("{{json}}", "json takes 1 value"),
        ("{{json .Name .Name}}", "json takes 1 value"),
        ("{{range .Subnets}}", "without {{end}}"),
        ("{{end}}", "without a beginning"),
        ("{{range .Name}}{{end}}", "not a list"),
        ("{{index .Subnets 7}}", "out of range"),
        ("{{$x}}", r"no variable \$x here"),
        ("{{range $a, $b, $c := .Labels}}{{end}}", "cannot read"),
        ("{{range $k, $v := .Labels}}{{end}}{{$v}}", r"no variable \$v here"),
        ("{{(index .Subnets 0}}", "cannot read"),
        ("{{(index .Subnets 0).X}}", r"\.X: no fields in '10.1.0.0/16'"),
        ("{{.Name | .MTU}}", "cannot read"),
        ("{{.Name |}}", "cannot read"),
        ("{{if .Name}}a{{else if .MTU}}b{{end}}", "cannot read"),
        ("{{eq .Name}}", "eq takes 2 values or more"),
        ("{{len .MTU}}", "len: '1400' has no length"),
        ('{{"\\x"}}', "cannot read"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=f"--format: .*{message}"):
        Template(text).render(VALUE)


@given(st.text(alphabet=st.characters(exclude_characters="{}\\"), max_size=50))
def test_text_without_actions_is_itself(text: str) -> None:
    assert Template(text).render(VALUE) == text


@given(st.text(max_size=30))
def test_any_text_renders_or_is_refused(text: str) -> None:
    try:
        assert isinstance(Template(text).render(VALUE), str)
    except TemplateError as error:
        assert str(error).startswith("--format: ")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_json_reads_back(value: object) -> None:
    assert json.loads(Template("{{json .}}").render(value)) == value


def test_tables_align_and_have_headings() -> None:
    assert table(["A", "LONG"], [["xxx", "y"]]) == "A     LONG\nxxx   y\n"
    items = [{"Name": "a", "MTU": 1}, {"Name": "longer", "MTU": 2}]
    columns = {"Name": "NAME"}
    assert formatted("table {{.Name}}\\t{{.MTU}}", items, columns) == "NAME     MTU\na        1\nlonger   2\n"
    assert formatted("table", items, columns) == "NAME\na\nlonger\n"
    assert formatted("json", items, columns) == '{"Name":"a","MTU":1}\n{"Name":"longer","MTU":2}\n'
