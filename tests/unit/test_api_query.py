"""The query part: booleans, numbers and moments as docker reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.api.query import Query, moment, rfc3339
from netd.failure import InvalidParameter


@pytest.mark.parametrize("text", ["", "0", "no", "false", "none", "False", " 0 "])
def test_false(text: str) -> None:
    assert Query(f"all={text}").flag("all") is False


@pytest.mark.parametrize("text", ["1", "true", "yes", "anything", "-1"])
def test_true(text: str) -> None:
    assert Query(f"all={text}").flag("all") is True


def test_absent_is_the_default() -> None:
    query = Query("a=1&b")
    assert query.flag("c") is False and query.flag("c", True) is True
    assert query.number("c") is None and query.number("c", 7) == 7
    assert query.text("b", "x") == "" and query.text("c", "x") == "x"
    assert "b" in query and "c" not in query


def test_of_several_values_the_first_counts() -> None:
    query = Query("names=a&names=b%2Fc&t=1&t=2")
    assert query.number("t") == 1
    assert query.all_of("names") == ["a", "b/c"]


@pytest.mark.parametrize("text", ["ten", "1.5", "--1", "-", "٣", "1" * 19])
def test_no_number(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^invalid value .* for t: must be a number$"):
        Query(f"t={text}").number("t")


def test_numbers_may_be_negative() -> None:
    assert Query("t=-1").number("t") == -1


@given(st.integers(0, 10**11), st.integers(0, 999_999_999))
def test_seconds_with_nanoseconds(seconds: int, nanoseconds: int) -> None:
    assert moment(f"{seconds}.{nanoseconds:09}", "since") == seconds * 10**9 + nanoseconds
    assert moment(str(seconds), "since") == seconds * 10**9


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 1, 1)),
    st.integers(-23 * 60, 23 * 60),
    st.integers(0, 999),
)
def test_rfc3339_with_any_zone_and_nanoseconds(when: datetime, minutes: int, nanoseconds: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    text = f"{when.replace(microsecond=0).isoformat()}.{when.microsecond:06}{nanoseconds:03}"
    sign, rest = ("-", -minutes) if minutes < 0 else ("+", minutes)
    since = when.replace(tzinfo=zone) - datetime(1970, 1, 1, tzinfo=UTC)
    expected = (since // timedelta(microseconds=1)) * 1000 + nanoseconds
    assert rfc3339(f"{text}{sign}{rest // 60:02}:{rest % 60:02}") == expected


def test_rfc3339_without_fraction_or_zone() -> None:
    assert rfc3339("1970-01-01T00:00:02Z") == 2 * 10**9
    assert rfc3339("1970-01-02T00:00:00") == 86400 * 10**9
    assert rfc3339("1970-01-02") == 86400 * 10**9


@pytest.mark.parametrize("text", ["yesterday", "12345678901234567890", "1.1234567890", "2026-01-01T00:00:00.Z", "1.x"])
def test_no_moment(text: str) -> None:
    with pytest.raises(
        InvalidParameter, match=r"^invalid value .* for since: neither seconds since the epoch nor RFC 3339$"
    ):
        moment(text, "since")
