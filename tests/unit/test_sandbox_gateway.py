"""Which network is the default gateway, and which routes follow: laws (contract docker 1.6)."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from netd.sandbox.gateway import EVERYTHING, Attached, Candidate, change, chosen, held, holding, order, ordered, rank
from pycni.kernel.model import Route
from pycni.spec.address import Address, Prefix

GATEWAYS = {4: Address.parse("10.0.0.1"), 6: Address.parse("fd00::1")}
FAMILIES = st.sets(st.sampled_from((4, 6)))
NAMES = st.text("abcZ._-0é", min_size=1, max_size=4)


@st.composite
def candidates(draw: st.DrawFn) -> list[Candidate]:
    names = draw(st.lists(NAMES, unique=True, max_size=6))
    return [
        Candidate(name, draw(st.integers(-2, 2)), draw(st.booleans()), tuple(sorted(draw(FAMILIES)))) for name in names
    ]


@st.composite
def endpoints(draw: st.DrawFn) -> list[Attached]:
    names = draw(st.lists(NAMES, unique=True, max_size=6))
    found = []
    for number, name in enumerate(names):
        families = sorted(draw(FAMILIES))
        gateways = tuple(GATEWAYS[family] + number for family in families)
        internal = not families
        found.append(
            Attached(
                name, name, f"eth{number}", gateways=gateways, priority=draw(st.integers(-2, 2)), internal=internal
            )
        )
    return found


@given(candidates(), st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_who_came_first(networks: list[Candidate], random: object) -> None:
    expected = order(networks)
    shuffled = networks[:]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert order(shuffled) == expected
    assert sorted(expected) == sorted(each.network for each in networks)


@given(candidates())
def test_the_order_is_docker_s(networks: list[Candidate]) -> None:
    by_name = {each.network: each for each in networks}
    names = order(networks)
    for first, second in itertools.pairwise(names):
        a, b = by_name[first], by_name[second]
        if a.priority != b.priority:
            assert a.priority > b.priority
        elif a.internal != b.internal:
            assert b.internal
        elif len(a.families) != len(b.families):
            assert len(a.families) > len(b.families)
        else:
            assert first.encode() < second.encode()


@given(endpoints())
def test_each_family_goes_to_the_first_that_has_a_gateway_of_it(attached: list[Attached]) -> None:
    best = chosen(attached)
    for family in (4, 6):
        able = [each for each in attached if each.gateway(family) is not None]
        if not able:
            assert family not in best
            continue
        assert best[family] in able
        assert all(rank(best[family].candidate) <= rank(each.candidate) for each in able)
    assert [each.network for each in ordered(attached)] == order(each.candidate for each in attached)


def other_routes() -> st.SearchStrategy[list[Route]]:
    """Default routes through our devices (1 to 3) and through one the container made (9), and routes to networks."""
    return st.lists(
        st.builds(
            Route,
            st.sampled_from((EVERYTHING[4], Prefix.parse("10.0.0.0/24"))),
            st.sampled_from([None, *(GATEWAYS[4] + number for number in range(3))]),
            device=st.sampled_from((1, 2, 3, 9)),
        ),
        unique=True,
        max_size=6,
    )


@given(other_routes(), st.sampled_from((None, 0, 1, 2)), st.sampled_from((1, 2, 3)))
def test_afterwards_there_is_the_wanted_default_route_and_no_other_of_ours(
    present: list[Route], number: int | None, device: int
) -> None:
    gateway = None if number is None else GATEWAYS[4] + number
    wanted = change(present, gateway, device, (1, 2, 3), 4)
    after = [route for route in present if route not in wanted.remove]
    after += [wanted.add] if wanted.add is not None else []
    ours = [route for route in after if route.destination.length == 0 and route.device != 9]
    assert [(route.gateway, route.device) for route in ours] == ([] if gateway is None else [(gateway, device)])
    strangers = [route for route in present if route.destination.length or route.device == 9]
    assert all(route in after for route in strangers)
    # and then there is nothing left to do
    again = change(after, gateway, device, (1, 2, 3), 4)
    assert (again.remove, again.add) == ((), None)


def test_all_packets_are_held_to_the_default_route_that_the_kernel_prefers_and_to_no_other() -> None:
    first, second = Address.parse("10.1.0.1"), Address.parse("10.2.0.1")
    present = [
        Route(Prefix.parse("10.1.0.0/24"), device=1),
        Route(EVERYTHING[4], second, priority=100, device=2),
        Route(EVERYTHING[4], first, device=1),
    ]
    found = holding(present, 4)
    assert [(str(each.destination), each.gateway, each.device) for each in found] == [
        ("0.0.0.0/1", first, 1),
        ("128.0.0.0/1", first, 1),
    ]
    assert held([*present, *found]) == list(found)
    assert change([*present, *found], first, 1, (1, 2), 4).remove == (present[1],)
    assert [str(each.destination) for each in holding([Route(EVERYTHING[6], device=1)], 6)] == []
    assert holding(present, 6) == ()
    own = Route(Prefix.parse("0.0.0.0/1"), first, device=1)
    assert held([own]) == []
