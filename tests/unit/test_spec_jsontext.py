"""JSON text, with the standard library's `json` as the oracle."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from interpreter import run_plain

from pycni.spec import jsontext

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | texts
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@given(documents, st.sampled_from([0, 1, 4]), st.booleans())
def test_what_is_written_reads_back_the_same(document: Any, indent: int, sort_keys: bool) -> None:
    text = jsontext.dumps(document, indent, sort_keys)
    assert json.loads(text) == document
    assert jsontext.loads(text) == document
    assert jsontext.loads(text.encode()) == document


@given(documents, st.sampled_from([1, 4]), st.booleans())
def test_the_layout_is_that_of_json_but_for_gos_escapes(document: Any, indent: int, sort_keys: bool) -> None:
    expected = json.dumps(document, indent=indent, sort_keys=sort_keys, ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        expected = expected.replace(char, f"\\u{ord(char):04x}")
    assert jsontext.dumps(document, indent, sort_keys) == expected


@given(documents)
def test_compact(document: Any) -> None:
    expected = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        expected = expected.replace(char, f"\\u{ord(char):04x}")
    assert jsontext.dumps(document) == expected


@given(documents, st.booleans())
def test_reads_what_json_writes(document: Any, ascii_only: bool) -> None:
    assert jsontext.loads(json.dumps(document, ensure_ascii=ascii_only)) == document


@given(st.text(st.sampled_from('{}[]",:0123456789.eE+-truefalsn \n\\u"'), max_size=16))
def test_accepts_exactly_what_json_accepts(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            jsontext.loads(text)
    else:
        assert jsontext.loads(text) == expected


def test_html_characters_are_escaped_as_go_does() -> None:
    assert jsontext.dumps({"<k>": "a&b\u2028\u2029"}) == '{"\\u003ck\\u003e":"a\\u0026b\\u2028\\u2029"}'


def test_characters_beyond_ascii_stay_as_they_are() -> None:
    assert jsontext.dumps("é€😀\x7f") == '"é€😀\x7f"'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "unexpected end of JSON input"),
        (" \n\t", "unexpected end of JSON input"),
        ("x", "invalid character 'x' at offset 0"),
        ("\ufeff{}", "invalid character '\\ufeff' at offset 0"),
        ("{} {}", "invalid character '{' after top-level value"),
        ("NaN", "invalid character 'N' looking for beginning of value"),
        ("[-Infinity]", "invalid character '-' looking for beginning of value"),
        ("[" * 100_000, "exceeded max depth"),
    ],
)
def test_what_is_not_one_document_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError) as caught:
        jsontext.loads(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize("text", [b'"\xff"', b"\xff\xfe{\x00}\x00"])
def test_what_is_not_utf8_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"utf-8"):
        jsontext.loads(text)


@pytest.mark.parametrize("text", ['{"a":1,}', '{"a" 1}', '"open', "[1 2]", '"\\x"', '{"a":', '"\t"'])
def test_broken_text_is_a_value_error_where_nobody_has_imported_json(text: str) -> None:
    """The C scanner raises its error through `json.decoder`, which the plugin path never loads."""
    script = (
        "import sys\n"
        "from pycni.spec import jsontext\n"
        "assert 'json' not in sys.modules\n"
        "try:\n"
        f"    jsontext.loads({text!r})\n"
        "except ValueError as error:\n"
        "    print('refused:', error)\n"
    )
    done = run_plain(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("refused: ")


def test_pairs_hook_sees_duplicates() -> None:
    assert jsontext.loads('{"a":1,"a":{"b":2,"b":3}}', pairs_hook=tuple) == (("a", 1), ("a", (("b", 2), ("b", 3))))
    assert jsontext.loads('{"a":1,"a":2}') == {"a": 2}


@pytest.mark.parametrize("text", ['"\\ud800"', '"a\\udfffb"', '{"\\uDC80":["\\ud83d"]}'])
def test_half_a_surrogate_pair_becomes_the_replacement_character(text: str) -> None:
    """As in Go; left as it is, no file name, message or result that holds it could be encoded."""
    value = jsontext.loads(text)
    assert "\ufffd" in str(value)
    jsontext.dumps(value).encode("utf-8")


def test_whole_surrogate_pairs_are_one_character() -> None:
    assert jsontext.loads('"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), 1j])
def test_values_without_a_json_form_are_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match=r"^JSON has no form for "):
        jsontext.dumps([value])


def test_empty_containers() -> None:
    assert jsontext.dumps({"a": [], "b": {}}, indent=4) == '{\n    "a": [],\n    "b": {}\n}'


def test_the_plain_interpreter_writes_the_same() -> None:
    done = run_plain("from pycni.spec import jsontext; print(jsontext.dumps({'k': ['<', 1, None, True]}, indent=4))")
    assert isinstance(done, subprocess.CompletedProcess)
    assert done.stdout == '{\n    "k": [\n        "\\u003c",\n        1,\n        null,\n        true\n    ]\n}\n'
