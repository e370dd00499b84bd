"""Names, ids, signals and moments of containers."""

from __future__ import annotations

import signal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.failure import Conflict, InvalidParameter, NotFound
from netd.runtime import moments
from netd.runtime.index import Index
from netd.runtime.naming import random_id, random_name, valid_name
from netd.runtime.signals import parse_signal


@pytest.mark.parametrize("name", ["web", "/web", "a1", "A.b_c-d", "0x"])
def test_docker_s_names_are_taken(name: str) -> None:
    assert valid_name(name) == name.removeprefix("/")


@pytest.mark.parametrize("name", ["", "/", "a", "-ab", ".ab", "_ab", "a b", "a/b", "//ab", "ab\n", "äb", "ab:1"])
def test_others_are_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid container name"):
        valid_name(name)


@given(st.integers())
def test_made_up_names_are_valid_and_ids_are_no_numbers(seed: int) -> None:
    random = Random(seed)
    name = random_name(lambda _: False, random)
    assert valid_name(name) == name
    made = random_id(random)
    assert len(made) == 64
    assert set(made) <= set("0123456789abcdef")
    assert not made[:12].isdecimal()


def test_where_all_names_are_taken_a_number_helps() -> None:
    taken: set[str] = set()
    for _ in range(20):
        name = random_name(lambda name: name in taken or not name[-1].isdecimal(), Random(1))
        assert name not in taken
        taken.add(name)
    assert len(taken) == 20


def index(**entries: str) -> Index[str]:
    made: Index[str] = Index()
    for name, id_ in entries.items():
        made.reserve(name, id_)
        made.add(id_, f"entry of {id_}")
    return made


def test_a_container_is_found_by_id_name_and_prefix_in_this_order() -> None:
    found = index(one="abcd", abc="xyz1")
    assert found.find("abcd") == "entry of abcd"
    assert found.find("one") == found.find("/one") == "entry of abcd"
    assert found.find("abc") == "entry of xyz1"
    assert found.find("ab") == "entry of abcd"
    assert found.find("x") == "entry of xyz1"


@pytest.mark.parametrize("ref", ["", "/", "nobody", "bcd", "abcde"])
def test_what_is_not_there_is_not_found(ref: str) -> None:
    with pytest.raises(NotFound, match=f"No such container: {ref}"):
        index(one="abcd").find(ref)


def test_a_prefix_of_two_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="multiple IDs found with provided prefix: ab"):
        index(one="abcd", two="abef").find("ab")


def test_a_name_is_one_container_s() -> None:
    found = index(one="abcd")
    with pytest.raises(Conflict, match='The container name "/one" is already in use by container "abcd"'):
        found.reserve("one", "other")
    found.reserve("one", "abcd")
    found.release("one", "other")
    with pytest.raises(Conflict):
        found.reserve("one", "other")
    found.discard("abcd")
    found.reserve("one", "other")
    with pytest.raises(NotFound):
        found.find("one")


def test_a_made_up_name_is_reserved_when_it_is_made() -> None:
    found = index(one="abcd")
    assert found.reserve_new(lambda taken: "two" if taken("one") else "one", "ef") == "two"
    with pytest.raises(Conflict):
        found.reserve("two", "other")


@pytest.mark.parametrize(
    ("text", "number"),
    [("KILL", 9), ("SIGKILL", 9), ("kill", 9), ("9", 9), ("SIGTERM", 15), ("RTMIN", 34), ("RTMIN+3", 37)],
)
def test_signals_as_docker_s_clients_write_them(text: str, number: int) -> None:
    assert parse_signal(text) == number


def test_real_time_signals_count_from_both_ends() -> None:
    assert parse_signal("RTMAX-1") == signal.SIGRTMAX - 1


@pytest.mark.parametrize("text", ["", "0", "65", "-1", "SIGNOTHING", "SIG_DFL", "9x", "RTMIN+99", "1000"])
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid signal: "):
        parse_signal(text)


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_a_moment_is_read_as_it_was_written(time_ns: int) -> None:
    assert moments.parsed(moments.written(time_ns)) == time_ns


def test_moments_with_an_offset_and_few_digits() -> None:
    assert moments.parsed("1970-01-01T01:00:01.5+01:00") == 1_500_000_000
    assert moments.parsed("1970-01-01T00:00:01-00:30") == 1801_000_000_000


@pytest.mark.parametrize("text", ["", "yesterday", "1970-01-01T00:00:01", "1970-01-01T00:00:01+0100"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        moments.parsed(text)
