"""Which host port a binding gets: laws, against a world in which only some ports can be bound."""

from __future__ import annotations

from errno import EACCES, EADDRINUSE

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.ports.allocator import ATTEMPTS, Allocator, Claim, Ephemeral, parse_ephemeral
from netd.ports.errors import NoPortLeft, PortAllocated, PortInUse
from pycni.spec.address import Address

EVERY_4, EVERY_6 = Address.parse("0.0.0.0"), Address.parse("::")
ONE, TWO, SIX = Address.parse("10.0.0.1"), Address.parse("10.0.0.2"), Address.parse("fd00::1")
PLACES = [(EVERY_4,), (EVERY_6,), (EVERY_4, EVERY_6), (ONE,), (TWO,), (SIX,)]
PORTS = range(8000, 8006)


class World:
    """Other programs' ports; binding one of them fails."""

    def __init__(self, busy: frozenset[int] = frozenset(), errno: int = EADDRINUSE) -> None:
        self.busy = busy
        self.errno = errno
        self.tried: list[int] = []

    def bind(self, port: int) -> None:
        self.tried.append(port)
        if port in self.busy:
            raise PortInUse(f"port {port} is busy", self.errno)


def meet(first: Address, second: Address) -> bool:
    same_family = first.family == second.family
    return same_family and (first == second or first.is_unspecified or second.is_unspecified)


calls = st.lists(
    st.tuples(
        st.sampled_from(["tcp", "udp"]),
        st.sampled_from(PLACES),
        st.sampled_from([range(0), PORTS, PORTS[2:4], *(range(port, port + 1) for port in PORTS)]),
    ),
    max_size=30,
)


@given(calls, st.frozensets(st.sampled_from(PORTS)), st.randoms(use_true_random=False))
def test_no_port_is_given_twice_and_choices_are_the_first_free(calls, busy, random) -> None:  # type: ignore[no-untyped-def]
    allocator, world = Allocator(), World(busy)
    given_away: list[Claim] = []

    def free(protocol: str, addresses: tuple[Address, ...], port: int) -> bool:
        return port not in busy and not any(
            each.protocol == protocol and each.port == port and meet(each.address, address)
            for each in given_away
            for address in addresses
        )

    for number, (protocol, addresses, ports) in enumerate(calls):
        expected = next((port for port in ports if free(protocol, addresses, port)), None)
        any_left = any(free(protocol, addresses, port) for port in PORTS)
        try:
            if not ports:
                port = allocator.any(f"c{number}", protocol, addresses, Ephemeral(PORTS), world.bind)
                assert free(protocol, addresses, port)
            elif len(ports) == 1:
                port = ports[0]
                allocator.fixed(f"c{number}", protocol, addresses, port, world.bind)
                assert port == expected
            else:
                port = allocator.first_of(f"c{number}", protocol, addresses, ports, world.bind)
                assert port == expected
        except (PortAllocated, PortInUse, NoPortLeft):
            assert expected is None if ports else not any_left
            continue
        given_away += [Claim(protocol, address, port) for address in addresses]
        if random.random() < 0.3:
            gone = random.choice(given_away)
            allocator.release([gone])
            given_away.remove(gone)


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        (EVERY_4, ONE, True),
        (ONE, EVERY_4, True),
        (ONE, TWO, False),
        (ONE, ONE, True),
        (EVERY_6, SIX, True),
        (SIX, EVERY_6, True),
        (EVERY_6, EVERY_4, False),
        (EVERY_6, ONE, False),
    ],
)
def test_every_address_is_in_the_way_of_each_and_families_do_not_meet(
    first: Address, second: Address, conflict: bool
) -> None:
    allocator, world = Allocator(), World()
    allocator.fixed("web", "tcp", (first,), 80, world.bind)
    assert allocator.in_the_way(Claim("tcp", second, 80)) == ("web" if conflict else "")
    assert allocator.in_the_way(Claim("udp", second, 80)) == ""
    assert allocator.in_the_way(Claim("tcp", second, 81)) == ""
    allocator.release([Claim("tcp", first, 80)])
    assert allocator.in_the_way(Claim("tcp", second, 80)) == ""


def test_a_conflict_is_said_as_docker_says_it_and_names_the_holder() -> None:
    allocator = Allocator(spoken=lambda holder: f"container {holder}")
    allocator.fixed("web", "tcp", (EVERY_4, EVERY_6), 8080, World().bind)
    with pytest.raises(PortAllocated) as caught:
        allocator.fixed("db", "tcp", (EVERY_6,), 8080, World().bind)
    assert caught.value.msg == "Bind for [::]:8080 failed: port is already allocated by container web"
    assert caught.value.status == 500


def test_strangers_are_in_the_way_too() -> None:
    taken = Claim("tcp", EVERY_4, 8001)
    allocator = Allocator(lambda claim: "container x of network y" if claim == taken else "")
    with pytest.raises(PortAllocated) as caught:
        allocator.fixed("web", "tcp", (EVERY_4,), 8001, World().bind)
    assert caught.value.msg.endswith("port is already allocated by container x of network y")
    assert allocator.first_of("web", "tcp", (EVERY_4,), range(8001, 8003), World().bind) == 8002


def test_a_fixed_port_is_tried_once_and_not_kept_when_it_cannot_be_bound() -> None:
    allocator, world = Allocator(), World(frozenset({80}))
    with pytest.raises(PortInUse):
        allocator.fixed("web", "tcp", (EVERY_4,), 80, world.bind)
    assert world.tried == [80]
    assert allocator.in_the_way(Claim("tcp", EVERY_4, 80)) == ""


def test_random_ports_go_on_after_the_last_one_and_wrap() -> None:
    allocator, world = Allocator(), World()
    ephemeral = Ephemeral(range(100, 104), frozenset({102}))

    def one() -> int:
        return allocator.any("c", "tcp", (EVERY_4,), ephemeral, world.bind)

    assert [one(), one()] == [100, 101]
    allocator.release([Claim("tcp", EVERY_4, 100)])
    assert [one(), one()] == [103, 100]
    with pytest.raises(NoPortLeft) as caught:
        one()
    assert caught.value.msg == "Bind for 0.0.0.0:0 failed: all ports are allocated"
    assert allocator.any("c", "udp", (EVERY_4,), ephemeral, world.bind) == 100, "each protocol has its own"


def test_random_ports_give_up_after_some_attempts_to_bind() -> None:
    allocator, world = Allocator(), World(frozenset(range(100, 200)))
    for port in range(100, 105):
        allocator.take("other", Claim("tcp", EVERY_4, port))
    with pytest.raises(PortInUse) as caught:
        allocator.any("c", "tcp", (EVERY_4,), Ephemeral(range(100, 200)), world.bind)
    assert world.tried == list(range(105, 105 + ATTEMPTS)), "what a container has is not tried, nor counted"
    assert caught.value.msg == f"port {world.tried[-1]} is busy"


def test_another_reason_than_being_taken_is_told_at_once() -> None:
    allocator, world = Allocator(), World(frozenset({8000}), EACCES)
    with pytest.raises(PortInUse):
        allocator.first_of("c", "tcp", (EVERY_4,), PORTS, world.bind)
    assert world.tried == [8000]


def test_a_range_with_nothing_left() -> None:
    allocator = Allocator()
    with pytest.raises(NoPortLeft) as caught:
        allocator.first_of("c", "tcp", (ONE,), range(8000, 8003), World(frozenset({8000, 8001, 8002})).bind)
    assert caught.value.msg == "Bind for 10.0.0.1:8000-8002 failed: all ports are allocated"


def test_the_kernels_range_and_what_is_reserved_in_it() -> None:
    assert parse_ephemeral("32768\t60999\n", "\n") == Ephemeral(range(32768, 61000))
    assert parse_ephemeral("100 200", "150,160-162\n") == Ephemeral(range(100, 201), frozenset({150, 160, 161, 162}))


def test_claims_are_spelled_as_docker_spells_them() -> None:
    assert str(Claim("tcp", EVERY_4, 9999)) == "0.0.0.0:9999/tcp"
    assert str(Claim("udp", SIX, 53)) == "[fd00::1]:53/udp"
