"""Typed access to the configuration: types, defaults, letter case, and the key's path in every error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycni.spec.address import Address, Prefix
from pycni.spec.errors import ConfigError
from pycni.spec.section import Section, is_word

Read = Callable[[Section], Any]

READERS: dict[str, tuple[Read, Any, Any]] = {
    "string": (lambda s: s.string("k"), "text", ""),
    "boolean": (lambda s: s.boolean("k"), True, False),
    "optional_boolean": (lambda s: s.optional_boolean("k"), False, None),
    "integer": (lambda s: s.integer("k"), -3, 0),
    "optional_integer": (lambda s: s.optional_integer("k"), 0, None),
    "items": (lambda s: s.items("k"), [1, "a"], None),
    "strings": (lambda s: s.strings("k"), ["a", "b"], []),
    "word": (lambda s: s.word("k", 9), "tcp", ""),
}
SAMPLES = {"an object": {}, "a list": [], "a string": "x", "a boolean": True, "an integer": 1, "a number": 1.5}
EXPECTED = {
    "string": "a string",
    "word": "a string",
    "boolean": "a boolean",
    "optional_boolean": "a boolean",
    "integer": "an integer",
    "optional_integer": "an integer",
    "items": "a list",
    "strings": "a list",
}


@pytest.mark.parametrize("name", READERS)
def test_present_absent_and_null(name: str) -> None:
    read, value, default = READERS[name]
    assert read(Section({"k": value})) == value
    assert read(Section({})) == default
    assert read(Section({"k": None})) == default


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("given_kind", SAMPLES)
def test_a_wrong_type_names_the_key_and_both_types(name: str, given_kind: str) -> None:
    read, expected = READERS[name][0], EXPECTED[name]
    if given_kind == expected:
        read(Section({"k": SAMPLES[given_kind]}))
        return
    with pytest.raises(ConfigError) as caught:
        read(Section({"k": SAMPLES[given_kind]}))
    assert caught.value.msg == f"invalid configuration: key 'k': expected {expected}, got {given_kind}"
    assert caught.value.code == 999


def test_the_path_of_a_nested_key() -> None:
    section = Section({"runtimeConfig": {"portMappings": [{}, {"hostPort": "80"}]}})
    mapping = section.section_or_empty("runtimeConfig").sections("portMappings")[1]
    with pytest.raises(ConfigError) as caught:
        mapping.integer("hostPort")
    assert caught.value.msg == (
        "invalid configuration: key 'runtimeConfig.portMappings[1].hostPort': expected an integer, got a string"
    )


@pytest.mark.parametrize(
    ("read", "raw", "place"),
    [
        (lambda s: s.sections("list"), [{}, 1], "a.list[1]"),
        (lambda s: s.strings("list"), ["x", None], "a.list[1]"),
    ],
)
def test_the_path_of_a_list_item(read: Read, raw: list[Any], place: str) -> None:
    with pytest.raises(ConfigError, match=r"expected an? (object|string), got (an integer|null)") as caught:
        read(Section({"list": raw}, "a"))
    assert f"key '{place}'" in caught.value.msg


@given(st.sampled_from(["runtimeconfig", "RuntimeConfig", "RUNTIMECONFIG", "rUnTiMeCoNfIg"]))
def test_letter_case_does_not_matter_without_an_exact_match(spelling: str) -> None:
    assert Section({spelling: {"mac": "m"}}).section_or_empty("runtimeConfig").string("MAC") == "m"
    assert Section({spelling: "other", "runtimeConfig": "exact"}).string("runtimeConfig") == "exact"
    assert Section({"runtimeConfig": "exact", spelling: "other"} | {"runtimeConfig": "exact"}).has("runtimeConfig")


def test_the_last_spelling_wins() -> None:
    assert Section({"NAME": "first", "Name": "last"}).string("name") == "last"


@pytest.mark.parametrize(
    ("value", "options", "reason"),
    [
        (-1, {"unsigned": True}, "-1 is negative"),
        (2**32, {}, f"{2**32} does not fit 32 bits"),
        (-(2**31) - 1, {}, f"{-(2**31) - 1} does not fit 32 bits"),
        (256, {"unsigned": True, "bits": 8}, "256 does not fit 8 bits"),
        (10**400, {"bits": 64}, f"{10**400} does not fit 64 bits"),
    ],
)
def test_an_integer_out_of_range(value: int, options: dict[str, Any], reason: str) -> None:
    for read in (Section({"k": value}).integer, Section({"k": value}).optional_integer):
        with pytest.raises(ConfigError) as caught:
            read("k", **options)
        assert caught.value.msg == f"invalid configuration: key 'k': {reason}"


@pytest.mark.parametrize(
    ("value", "options"), [(2**32 - 1, {"unsigned": True}), (-(2**31), {}), (2**64 - 1, {"bits": 64})]
)
def test_an_integer_at_the_edge(value: int, options: dict[str, Any]) -> None:
    assert Section({"k": value}).integer("k", **options) == value


def test_addresses() -> None:
    section = Section(
        {"a": "10.0.0.1", "p": "fd00::1/64", "empty": "", "null": None, "bad": "10.0.0", "host": "1.2.3.4"}
    )
    assert section.address("a") == Address.parse("10.0.0.1")
    assert section.prefix("p") == Prefix.parse("fd00::1/64")
    for key in ("empty", "null", "absent"):
        assert section.address(key) is None
        assert key == "empty" or section.prefix(key) is None
    with pytest.raises(ConfigError, match=r"^invalid configuration: key 'empty': invalid CIDR address: $"):
        section.prefix("empty")
    with pytest.raises(ConfigError, match=r"^invalid configuration: key 'bad': invalid IP address: 10\.0\.0$"):
        section.address("bad")
    with pytest.raises(ConfigError, match=r"^invalid configuration: key 'host': invalid CIDR address: 1\.2\.3\.4$"):
        section.prefix("host")


@pytest.mark.parametrize("text", ["tcp", "CNI-ADMIN", "br-é", "a" * 28, "-j"])
def test_words(text: str) -> None:
    assert is_word(text, 28)
    assert Section({"k": text}).word("k", 28) == text


@pytest.mark.parametrize(
    "text", ["a b", "a\nCOMMIT", "a\tb", 'a"b', "a'b", "a\\b", "\0", "a" * 29, "é" * 15, "a\u2028b"]
)
def test_what_would_leave_its_place_in_a_rule_is_not_a_word(text: str) -> None:
    assert not is_word(text, 28)
    with pytest.raises(
        ConfigError, match=r"^invalid configuration: key 'top\.k': .* is not one word of at most 28 bytes$"
    ):
        Section({"k": text}, "top").word("k", 28)


def test_no_word_counts_as_absent() -> None:
    assert Section({"k": ""}).word("k", 28, "default") == "default"
    assert not is_word("", 28)


def test_section_or_empty_of_an_absent_key_still_knows_its_path() -> None:
    with pytest.raises(ConfigError, match=r"key 'args\.cni\.mac'"):
        raise Section({}).section_or_empty("args").section_or_empty("cni").wrong("mac", "any")
