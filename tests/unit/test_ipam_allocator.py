"""The choice of the next address (contract 3.3 to 3.5): the contract's examples, and what must hold for any range."""

from __future__ import annotations

import time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pycni.ipam.allocator import check_request, match_requests, next_free
from pycni.ipam.ranges import Range, RangeSet, RangeSpec, complete_set
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import AllocationError


def make(*subnets: str, gateway: str = "") -> RangeSet:
    chosen = Address.parse(gateway) if gateway else None
    return complete_set([RangeSpec(Prefix.parse(each), gateway=chosen) for each in subnets])


def numbers(*texts: str) -> set[int]:
    return {Address.parse(each).number for each in texts}


@pytest.mark.parametrize(
    ("subnets", "taken", "last", "expected"),
    [
        (["10.0.0.0/29"], [], "", "10.0.0.2"),
        (["10.0.0.0/29"], ["10.0.0.2"], "", "10.0.0.3"),
        (["10.0.0.0/29"], [], "10.0.0.5", "10.0.0.6"),
        (["10.0.0.0/29"], ["10.0.0.4", "10.0.0.5"], "10.0.0.3", "10.0.0.6"),
        (["10.0.0.0/29"], ["10.0.0.6"], "10.0.0.5", "10.0.0.2"),
        (["10.0.0.0/29"], ["10.0.0.2"], "10.0.0.128", "10.0.0.3"),
        (["10.0.0.0/29"], ["10.0.0.2", "10.0.0.4", "10.0.0.5", "10.0.0.6"], "10.0.0.3", "10.0.0.3"),
        (["10.0.0.0/30", "10.0.1.0/30"], [], "", "10.0.0.2"),
        (["10.0.0.0/30", "10.0.1.0/30"], [], "10.0.0.2", "10.0.1.2"),
        (["10.0.0.0/30", "10.0.1.0/30", "10.0.2.0/30"], [], "10.0.2.2", "10.0.0.2"),
        (["10.0.0.0/30"], ["10.0.0.2"], "", None),
        (["10.0.0.0/30"], ["10.0.0.2"], "10.0.0.2", None),
        (["2001:db8:1::/64"], [], "", "2001:db8:1::2"),
        (["10.0.0.0/29"], [], "fd00::3", "10.0.0.2"),
    ],
)
def test_worked_examples(subnets: list[str], taken: list[str], last: str, expected: str | None) -> None:
    chosen = next_free(make(*subnets), numbers(*taken), Address.parse(last) if last else None)
    assert (str(chosen.address.address) if chosen else None) == expected


def test_only_the_ranges_own_gateway_is_left_out() -> None:
    chosen = next_free(make("10.9.0.0/24", gateway="10.9.0.7"), set(), None)
    assert chosen is not None
    assert (str(chosen.address), str(chosen.gateway)) == ("10.9.0.1/24", "10.9.0.7")


def test_a_gateway_of_the_other_family_excludes_nothing() -> None:
    # ::a00:1 is the number of 10.0.0.1
    chosen = next_free(make("10.0.0.0/24", gateway="::a00:1"), set(), None)
    assert chosen is not None
    assert str(chosen.address) == "10.0.0.1/24"


small_ranges = st.builds(
    lambda start, length, gateway: Range(
        Prefix(Address.from_number(0x0A000000, 4), 24),
        Address.from_number(0x0A000000 + start, 4),
        Address.from_number(0x0A000000 + min(start + length, 255), 4),
        Address.from_number(0x0A000000 + gateway, 4),
    ),
    st.integers(0, 250),
    st.integers(0, 12),
    st.integers(0, 255),
)
offsets = st.sets(st.integers(0x0A000000, 0x0A0000FF))
lasts = st.none() | st.integers(0x0A000000, 0x0A0000FF).map(lambda number: Address.from_number(number, 4))


@st.composite
def small_sets(draw: st.DrawFn) -> RangeSet:
    ranges = draw(st.lists(small_ranges, min_size=1, max_size=3))
    assume(not any(one.overlaps(two) for n, one in enumerate(ranges) for two in ranges[n + 1 :]))
    return RangeSet(tuple(ranges))


def usable(range_set: RangeSet) -> set[int]:
    return {
        number
        for each in range_set.ranges
        for number in range(each.start.number, each.end.number + 1)
        if number != each.gateway.number
    }


@given(small_sets(), offsets, lasts)
def test_finds_a_free_address_exactly_when_there_is_one(
    range_set: RangeSet, taken: set[int], last: Address | None
) -> None:
    chosen = next_free(range_set, taken, last)
    free = usable(range_set) - taken
    if chosen is None:
        assert not free
    else:
        assert chosen.address.address.number in free
        assert chosen.gateway in {each.gateway for each in range_set.ranges if each.contains(chosen.address.address)}


@given(small_sets(), lasts)
def test_a_full_turn_gives_every_address_once_and_the_last_one_last(range_set: RangeSet, last: Address | None) -> None:
    taken: set[int] = set()
    order: list[int] = []
    pointer = last
    while (chosen := next_free(range_set, taken, pointer)) is not None:
        pointer = chosen.address.address
        order.append(pointer.number)
        taken.add(pointer.number)
    assert len(order) == len(set(order))
    assert set(order) == usable(range_set)
    if last is not None and last.number in usable(range_set):
        assert order[-1] == last.number


@pytest.mark.parametrize("subnet", ["10.0.0.0/8", "fd00::/64", "2001:db8::/32"])
@pytest.mark.parametrize("count", [500, 60_000])
def test_cost_does_not_grow_with_the_range(subnet: str, count: int) -> None:
    range_set = make(subnet)
    first = range_set.ranges[0].start.number
    taken = set(range(first, first + count))
    began = time.perf_counter()
    chosen = next_free(range_set, taken, None)
    behind = next_free(range_set, taken, Address.from_number(first + count - 1, range_set.family))
    elapsed = time.perf_counter() - began
    assert chosen == behind
    assert chosen is not None
    assert chosen.address.address.number == first + count
    assert elapsed < 1, "walking over 60 000 taken addresses takes milliseconds; enumerating the range would take hours"


def test_each_set_takes_the_request_that_fits_it() -> None:
    sets = [make("10.1.2.0/24"), make("fd00::/64"), make("10.1.3.0/24")]
    wanted = [Address.parse("10.1.3.77"), Address.parse("10.1.2.88"), Address.parse("10.1.3.77")]
    assert [str(each) for each in match_requests(sets, wanted)] == ["10.1.2.88", "None", "10.1.3.77"]


def test_requests_that_fit_nowhere_are_all_named() -> None:
    wanted = [Address.parse(each) for each in ("10.1.2.88", "10.1.2.77", "192.168.0.1")]
    with pytest.raises(AllocationError) as caught:
        match_requests([make("10.1.2.0/24")], wanted)
    assert caught.value.msg == "failed to allocate all requested IPs: 10.1.2.77 192.168.0.1"


def test_the_gateway_cannot_be_requested() -> None:
    with pytest.raises(AllocationError) as caught:
        check_request(make("10.1.2.0/24"), Address.parse("10.1.2.1"))
    assert caught.value.msg == "requested ip 10.1.2.1 is subnet's gateway"
