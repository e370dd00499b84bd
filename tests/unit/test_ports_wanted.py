"""Which ports a container wants, in which order they are held, and what a change means for its configuration."""

from __future__ import annotations

import pytest

from netd.failure import InvalidParameter, NotFound
from netd.ports import wanted
from netd.runtime.model import Container, ContainerConfig, HostConfig, PortBinding


def container(
    bindings: dict[str, list[PortBinding] | None] | None = None, exposed: tuple[str, ...] = (), every: bool = False
) -> Container:
    config = ContainerConfig(exposed_ports={port: {} for port in exposed} or None)
    return Container("i", "web", "", config, HostConfig(port_bindings=bindings, publish_all_ports=every))


def test_nothing_is_published_unless_asked_for() -> None:
    assert wanted.wanted(container(exposed=("80/tcp",))) == {}


def test_every_exposed_port_gets_one_and_those_of_p_keep_theirs() -> None:
    found = wanted.wanted(container({"80/tcp": [PortBinding("", "8080")]}, ("80/tcp", "53/udp", "90"), every=True))
    assert found == {"80/tcp": [PortBinding("", "8080")], "53/udp": [PortBinding()], "90/tcp": [PortBinding()]}


@pytest.mark.parametrize("empty", [None, []])
def test_a_port_without_bindings_gets_an_empty_one(empty: list[PortBinding] | None) -> None:
    assert wanted.wanted(container({"80/TCP": empty})) == {"80/tcp": [PortBinding()]}


def test_a_fixed_port_asked_for_twice_is_one_and_random_ones_are_two() -> None:
    twice = [PortBinding("", "80"), PortBinding("", "80"), PortBinding(), PortBinding()]
    assert wanted.normalised({"80": twice}) == {"80/tcp": [PortBinding("", "80"), PortBinding(), PortBinding()]}


@pytest.mark.parametrize(
    ("bindings", "message"),
    [
        ({"http": None}, 'invalid port specification: "http": container port: '),
        ({"80/icmp": None}, 'invalid port specification: "80/icmp": container port: protocol icmp'),
        ({"80/tcp": [PortBinding("", "x")]}, 'invalid port specification: "x": host port of 80/tcp: '),
        ({"80/tcp": [PortBinding("", "9-8")]}, 'invalid port specification: "9-8": host port of 80/tcp: '),
        ({"80/tcp": [PortBinding("host", "")]}, 'invalid port specification: "host": host address of 80/tcp: '),
    ],
)
def test_bad_bindings_are_named(bindings: dict[str, list[PortBinding] | None], message: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        wanted.wanted(container(bindings))
    assert caught.value.msg.startswith(message)


def test_fixed_ports_are_held_before_ranges_and_ranges_before_random_ones() -> None:
    found = wanted.requests(
        {
            "1/tcp": [PortBinding()],
            "2/tcp": [PortBinding("", "8000-8010")],
            "3/udp": [PortBinding("10.0.0.1", "8000")],
            "4/tcp": [PortBinding("", "8000-8001")],
        }
    )
    assert [each.port for each in found] == ["3/udp", "4/tcp", "2/tcp", "1/tcp"]
    assert [each.position for each in found] == [2, 3, 1, 0]
    first = found[0]
    assert (first.number, first.protocol, str(first.host_address)) == (3, "udp", "10.0.0.1")
    assert first.host_ports == range(8000, 8001)
    assert found[-1].host_ports == range(0)
    assert found[-1].host_address is None


BOUND = {
    "80/tcp": [PortBinding("0.0.0.0", "8080"), PortBinding("::", "8080"), PortBinding("127.0.0.1", "81")],
    "53/udp": [PortBinding("0.0.0.0", "53")],
}


@pytest.mark.parametrize(
    ("remove", "expected"),
    [
        ({"80/tcp": None}, ["0.0.0.0 8080", ":: 8080", "127.0.0.1 81"]),
        ({"80": [PortBinding("", "8080")]}, ["0.0.0.0 8080", ":: 8080"]),
        ({"80/tcp": [PortBinding("0::0", "8080")]}, [":: 8080"]),
        ({"80/tcp": [PortBinding("127.0.0.1", "")]}, ["127.0.0.1 81"]),
        ({"53/udp": [PortBinding("", "50-60")]}, ["0.0.0.0 53"]),
    ],
)
def test_which_bindings_are_meant(remove: wanted.Wanted, expected: list[str]) -> None:
    assert [f"{each.host_ip} {each.host_port}" for _, each in wanted.chosen(BOUND, remove)] == expected


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        ({"81/tcp": None}, "port 81/tcp is not published"),
        ({"80/tcp": [PortBinding("", "8081")]}, "port 80/tcp is not published on host port 8081"),
        (
            {"80/tcp": [PortBinding("127.0.0.1", "8080")]},
            "port 80/tcp is not published on host port 8080 of address 127.0.0.1",
        ),
    ],
)
def test_what_is_not_there_cannot_be_removed(remove: wanted.Wanted, message: str) -> None:
    with pytest.raises(NotFound) as caught:
        list(wanted.chosen(BOUND, remove))
    assert caught.value.msg == message


def test_a_change_is_kept_for_the_next_start() -> None:
    before: wanted.Wanted = {"80/tcp": [PortBinding("", "8080"), PortBinding("", "8000-8010")], "90/tcp": None}
    after = wanted.amended(
        before,
        {"53/udp": [PortBinding("", "53")], "80/tcp": [PortBinding("", "81")]},
        {"80/tcp": [PortBinding("", "8080")]},
    )
    assert after == {
        "80/tcp": [PortBinding("", "8000-8010"), PortBinding("", "81")],
        "90/tcp": [PortBinding()],
        "53/udp": [PortBinding("", "53")],
    }
    assert wanted.amended(after, {}, {"80/tcp": [PortBinding("", "8003")]})["80/tcp"] == [PortBinding("", "81")]
    assert wanted.amended(None, {}, {}) == {}


def both(*ports: int) -> list[PortBinding]:
    return [PortBinding(address, str(port)) for port in ports for address in ("0.0.0.0", "::")]


def pairs(found: list[PortBinding] | None) -> list[tuple[str, str]]:
    return [(each.host_ip, each.host_port) for each in found or ()]


@pytest.mark.parametrize(
    ("wishes", "bound", "remove", "left"),
    [
        # what had a choice goes as often as what it became
        ([("", ""), ("", "")], both(49153, 49154), ("", "49154"), [("", "")]),
        ([("", ""), ("", "")], both(49153, 49154), ("", "49153-49154"), []),
        ([("", "8000-8009"), ("", "8000-8009")], both(8000, 8001), ("", "8001"), [("", "8000-8009")]),
        (
            [("", ""), ("", "8000-8009"), ("", "8000")],
            both(8000, 8001, 49153),
            ("", "8000"),
            [("", ""), ("", "8000-8009")],
        ),
        ([("", ""), ("", "8000-8009"), ("", "8000")], both(8000, 8001, 49153), ("", "8001"), [("", ""), ("", "8000")]),
        ([("", ""), ("", "8000-8009"), ("", "8000")], both(8000, 8001, 49153), ("", ""), []),
        # one family goes, the other stays
        ([("", "8000")], both(8000), ("0.0.0.0", "8000"), [("::", "8000")]),
        ([("", "8000")], both(8000), ("0:0::0", "8000"), [("0.0.0.0", "8000")]),
        ([("", "")], both(49153), ("0.0.0.0", ""), [("::", "")]),
        # an address in another spelling, and one that the network chose
        ([("::1", "8000")], [PortBinding("::1", "8000")], ("0:0::1", "8000"), []),
        ([("", "8000")], [PortBinding("127.0.0.1", "8000")], ("127.0.0.1", "8000"), []),
    ],
)
def test_a_running_containers_change_takes_what_it_took_from_the_next_start(
    wishes: list[tuple[str, str]], bound: list[PortBinding], remove: tuple[str, str], left: list[tuple[str, str]]
) -> None:
    configured: wanted.Wanted = {"80/tcp": [PortBinding(*each) for each in wishes]}
    after = wanted.amended(configured, {}, {"80/tcp": [PortBinding(*remove)]}, {"80/tcp": bound})
    assert pairs(after.get("80/tcp")) == left


def test_what_is_not_configured_cannot_be_removed_from_a_container_that_does_not_run() -> None:
    configured: wanted.Wanted = {
        "80/tcp": [PortBinding("", "8000-8009"), PortBinding("127.0.0.1", "9")],
        "90/tcp": [PortBinding()],
    }
    for port, binding, message in (
        ("81/tcp", PortBinding(), "port 81/tcp is not published"),
        ("80/tcp", PortBinding("", "7000"), "port 80/tcp is not published on host port 7000"),
        ("90/tcp", PortBinding("", "7000"), "port 90/tcp is not published on host port 7000"),
        (
            "80/tcp",
            PortBinding("127.0.0.1", "8000"),
            "port 80/tcp is not published on host port 8000 of address 127.0.0.1",
        ),
    ):
        with pytest.raises(NotFound) as caught:
            wanted.amended(configured, {}, {port: [binding]})
        assert caught.value.msg == message
    remove: wanted.Wanted = {"80/tcp": [PortBinding("", "8003"), PortBinding("127.0.0.1", "")], "90/tcp": None}
    assert wanted.amended(configured, {}, remove) == {}


def test_a_choice_asked_for_twice_is_two_also_when_it_comes_later() -> None:
    configured: wanted.Wanted = {"80/tcp": [PortBinding("", "8000-8009"), PortBinding("", "9")]}
    add: wanted.Wanted = {"80": [PortBinding("", "8000-8009"), PortBinding("", "9"), PortBinding()]}
    after = wanted.amended(configured, add, {}, {"80/tcp": both(8000, 9)})
    assert pairs(after["80/tcp"]) == [("", "8000-8009"), ("", "9"), ("", "8000-8009"), ("", "")]
    assert [each.host_ports for each in wanted.requests(after)] == [
        range(9, 10),
        range(8000, 8010),
        range(8000, 8010),
        range(0),
    ]
