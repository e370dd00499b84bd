"""Configurations recalled by their text are what taking the text apart gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.remembered import Memory
from pycni.spec import verbatim
from pycni.spec.errors import CniError
from pycni.spec.request import Config, check_name, parse_object

CONFIG = '{"cniVersion": "1.0.0", "name": "net", "sysctl": {"a": "1"}%s}'


def taken_apart(stdin: bytes) -> tuple[dict[str, Any], Config]:
    """As the skeleton does it: the object without a prevResult that is not null, and the configuration."""
    raw = parse_object(stdin)
    previous = raw.pop("prevResult") if raw.get("prevResult") is not None else None
    return raw, Config(check_name(raw)).for_call(previous, {})


def kept(text: str) -> Memory:
    """A memory that was shown this text."""
    memory = Memory()
    raw, config = taken_apart(text.encode())
    memory.keep_text("sample", "ADD", text.encode(), raw, config)
    return memory


def previous_of(config: Config) -> tuple[str, object]:
    """The previous result, or the error it gives."""
    try:
        return "is", config.prev_result()
    except CniError as error:
        return "error", error.msg


def with_previous(value: str) -> str:
    return CONFIG % f', "prevResult" : {value}, "z": 0'


def recalled(memory: Memory, text: str) -> Config | None:
    return memory.recall_text("sample", "ADD", text.encode())


def test_another_previous_result_in_the_same_text() -> None:
    memory = kept(with_previous('{"cniVersion": "1.0.0"}'))
    other = with_previous('\n {"cniVersion": "1.0.0", "interfaces": [{"name": "}\\"é"}]} ')
    config = recalled(memory, other)
    assert config is not None
    assert previous_of(config) == previous_of(taken_apart(other.encode())[1])
    assert config.section.raw == {"cniVersion": "1.0.0", "name": "net", "sysctl": {"a": "1"}, "z": 0}


@pytest.mark.parametrize(
    "other",
    [
        CONFIG % "",
        with_previous("{}").replace('"1"', "1"),
        with_previous("{}").replace('"z": 0', '"z": 0.0'),
        with_previous("{}").replace("net", "ten"),
        with_previous("null"),
        with_previous(""),
        with_previous("{"),
        with_previous('{}, "prevResult": {}'),
        with_previous('{}, "name": "other"'),
        with_previous("{} {}"),
        with_previous('"\\ud800'),
    ],
)
def test_what_is_another_configuration_or_none(other: str) -> None:
    assert recalled(kept(with_previous("{}")), other) is None


def test_the_memo_of_a_text_is_that_text_s_own() -> None:
    memory = kept(with_previous("{}"))
    first, second = recalled(memory, with_previous("{}")), recalled(memory, with_previous("1"))
    assert first is not None and second is not None and first.text_memo is second.text_memo
    assert taken_apart(with_previous("{}").encode())[1].text_memo is not first.text_memo


def test_what_is_made_of_a_previous_result_is_shared_by_those_who_get_the_same() -> None:
    memory, other = kept(with_previous("{}")), with_previous('{"cniVersion": "1.0.0", "dns": {"domain": "a"}}')
    raw, config = taken_apart(other.encode())
    memory.keep_text("another", "ADD", other.encode(), raw, config)
    first, second = recalled(memory, other), memory.recall_text("another", "ADD", other.encode())
    third = recalled(memory, with_previous("{}"))
    assert first is not None and second is not None and third is not None
    assert first.prev_result() is second.prev_result() is not None
    assert third.prev_result() != second.prev_result()
    assert verbatim.unchanged(first) is verbatim.unchanged(second) is None
    plain = recalled(memory, with_previous('{"cniVersion":"1.0.0"}'))
    assert plain is not None and verbatim.unchanged(plain) == verbatim.render({"cniVersion": "1.0.0"}, "1.0.0")
    assert verbatim.unchanged(plain) is verbatim.unchanged(plain)


def test_only_so_many_previous_results_are_remembered() -> None:
    memory = kept(with_previous("{}"))
    first = recalled(memory, with_previous('{"cniVersion": "1.0.0"}'))
    for number in range(100):
        assert recalled(memory, with_previous(f'{{"cniVersion": "1.0.0", "x": {number}}}')) is not None
    again = recalled(memory, with_previous('{"cniVersion": "1.0.0"}'))
    assert first is not None and again is not None
    assert first.raw_previous == again.raw_previous and first.previous_memo is not again.previous_memo


def test_plugins_and_commands_have_texts_of_their_own() -> None:
    memory, text = kept(with_previous("{}")), with_previous("{}").encode()
    assert memory.recall_text("sample", "DEL", text) is None
    assert memory.recall_text("another", "ADD", text) is None


@pytest.mark.parametrize("extra", ["", ', "a": "prev"', ', "a": "prevResult"'])
def test_a_configuration_without_previous_result(extra: str) -> None:
    config = recalled(kept(CONFIG % extra), CONFIG % extra)
    assert (config is None) is ("prevResult" in extra)
    assert config is None or config.prev_result() is None
    assert recalled(kept(CONFIG % extra), CONFIG % (extra + ', "b": 1')) is None


def test_an_escaped_name_is_not_kept() -> None:
    text = CONFIG % ', "prev\\u0052esult": {"cniVersion": "1.0.0"}'
    assert recalled(kept(text), text) is None


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, 0, 1, "", '"prevResult":1', "\\", "é", "\ud800"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(st.sampled_from(["prevResult", "PrevResult", "a"]), inner, max_size=2),
    ),
    max_leaves=4,
)
OBJECTS = st.lists(st.tuples(st.sampled_from(["prevResult", "prevResult", "PREVRESULT", "a", "b"]), VALUES), max_size=3)


def text_of(pairs: list[tuple[str, Any]], ascii_only: bool) -> str:
    """An object's text; names may occur twice."""
    shown = "".join(f", {json.dumps(key)}:{json.dumps(value, ensure_ascii=ascii_only)}" for key, value in pairs)
    return CONFIG % shown.encode("utf-8", "replace").decode()


@given(OBJECTS, st.lists(VALUES, min_size=3, max_size=3), st.booleans())
def test_what_is_recalled_equals_what_is_taken_apart(
    pairs: list[tuple[str, Any]], others: list[Any], ascii_only: bool
) -> None:
    memory = kept(text_of(pairs, ascii_only))
    for changed in (pairs, [(key, other) for (key, _), other in zip(pairs, others, strict=False)]):
        text = text_of(changed, ascii_only)
        config = recalled(memory, text)
        if config is not None:
            raw, expected = taken_apart(text.encode())
            assert repr(config.section.raw) == repr(raw)
            assert previous_of(config) == previous_of(expected)


@given(VALUES.filter(lambda value: value is not None), VALUES.filter(lambda value: value is not None))
def test_one_previous_result_for_another_is_always_recalled(first: Any, second: Any) -> None:
    memory = kept(text_of([("a", 1), ("prevResult", first)], True))
    assert recalled(memory, text_of([("a", 1), ("prevResult", second)], True)) is not None
