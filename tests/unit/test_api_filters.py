"""`filters`: both spellings, what is refused, and docker's rules of matching."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.api.filters import Filters, parse
from netd.failure import InvalidParameter

KNOWN = ("name", "label", "label!", "dangling", "id")
WORDS = st.text(st.characters(codec="utf-8"), max_size=8)


@given(st.dictionaries(st.sampled_from(KNOWN), st.lists(WORDS, unique=True, min_size=1, max_size=3)))
def test_both_spellings_mean_the_same(values: dict[str, list[str]]) -> None:
    old = {key: dict.fromkeys(words, True) for key, words in values.items()}
    new, older = parse(json.dumps(values), KNOWN), parse(json.dumps(old), KNOWN)
    assert {key: new.get(key) for key in new} == {key: tuple(words) for key, words in values.items()}
    assert {key: older.get(key) for key in older} == {key: new.get(key) for key in new}


def test_a_word_that_is_false_in_the_old_spelling_is_not_given() -> None:
    filters = parse('{"name":{"a":true,"b":false},"id":{"c":false}}', KNOWN)
    assert filters.get("name") == ("a",)
    assert "id" not in filters


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"^invalid filters: "),
        ('["name"]', r"^invalid filters: "),
        ('{"name":"web"}', r"^invalid filters: .*\$\[\.\.\.\]"),
        ('{"name":[1]}', r"^invalid filters: "),
        ('{"nmae":["web"]}', r"^invalid filter 'nmae'$"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        parse(text, KNOWN)


def test_nothing_matches_everything() -> None:
    filters = parse("", KNOWN)
    assert filters.exact("id", "x") and filters.pattern("name", "x") and filters.labels({}) and filters.prefix("id", "")
    assert filters.boolean("dangling") is None


def test_exact_words_are_alternatives() -> None:
    filters = Filters({"id": ["a", "b"]})
    assert filters.exact("id", "b")
    assert filters.exact("id", "x", "a")
    assert not filters.exact("id", "ab")


@pytest.mark.parametrize(
    ("value", "word", "hit"),
    [
        ("we", "web", True),
        ("^we", "web", True),
        ("^eb", "web", False),
        ("w.b$", "web", True),
        ("(", "a(b", True),
        ("(", "web", False),
    ],
)
def test_patterns_are_parts_or_expressions(value: str, word: str, hit: bool) -> None:
    assert Filters({"name": [value]}).pattern("name", word) is hit


def test_labels_must_all_hold() -> None:
    labels = {"a": "1", "b": ""}
    assert Filters({"label": ["a", "a=1", "b="]}).labels(labels)
    assert not Filters({"label": ["a=1", "c"]}).labels(labels)
    assert not Filters({"label": ["a=2"]}).labels(labels)
    assert not Filters({"label": ["a"]}).labels(None)


def test_unwanted_labels_must_all_be_absent() -> None:
    assert Filters({"label!": ["c", "a=2"]}).labels({"a": "1"}, "label!")
    assert not Filters({"label!": ["c", "a"]}).labels({"a": "1"}, "label!")


@pytest.mark.parametrize(
    ("words", "value"), [(["true"], True), (["1", "True"], True), (["0"], False), (["false", "F"], False)]
)
def test_switches(words: list[str], value: bool) -> None:
    assert Filters({"dangling": words}).boolean("dangling") is value


@pytest.mark.parametrize("words", [["yes"], ["true", "false"], [""]])
def test_switches_that_are_none(words: list[str]) -> None:
    with pytest.raises(InvalidParameter, match=r"^invalid filter 'dangling="):
        Filters({"dangling": words}).boolean("dangling")
