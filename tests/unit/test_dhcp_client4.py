"""The DHCPv4 client as a state machine: a clock that is told the time, and servers that say what the test says."""

from __future__ import annotations

from typing import Any

import pytest
from dhcp_world import TIMING, World, seconds
from hypothesis import given, settings
from hypothesis import strategies as st

from netd.dhcp import client4
from netd.dhcp import messages4 as m4
from netd.dhcp.messages4 import Message
from netd.dhcp.timing import INFINITE

MAC, SERVER_MAC = b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\xff"
SERVER, ADDRESS, OTHER = b"\x0a\0\0\1", b"\x0a\0\0\x09", b"\x0a\0\0\x0a"
ME4 = client4.Identity(MAC, b"\0c1/net/eth0", (3, 1), ((12, b"web"),))


def world4(identity: client4.Identity = ME4) -> World:
    return World(lambda random, send, tell: client4.Client(identity, TIMING, random, send, tell))


def reply4(asked: Message, kind: int, yours: bytes = ADDRESS, **options: bytes) -> Message:
    standard = {
        m4.TYPE: bytes((kind,)),
        m4.SERVER: SERVER,
        m4.SUBNET_MASK: b"\xff\xff\xff\0",
        m4.LEASE_TIME: seconds(120),
    }
    more = {int(code[1:]): value for code, value in options.items()}
    return Message(True, asked.xid, asked.mac, {**standard, **more}, yours=yours)


def bound4(**options: bytes) -> World:
    world = world4()
    world.client.begin(world.now)
    ((discover, _),) = world.take()
    world.client.receive(reply4(discover, m4.OFFER), SERVER_MAC, world.now)
    ((request, _),) = world.take()
    world.client.receive(reply4(request, m4.ACK, **options), SERVER_MAC, world.now)
    assert world.told == [("bound", "")]
    world.told.clear()
    return world


def test_a_lease_takes_four_messages() -> None:
    world = world4()
    world.client.begin(world.now)
    ((discover, to),) = world.take()
    assert (discover.type, to, discover.mac, discover.client) == (m4.DISCOVER, None, MAC, bytes(4))
    assert discover.options[m4.CLIENT_ID] == b"\0c1/net/eth0"
    assert (discover.options[m4.WISHES], discover.options[12]) == (b"\3\1", b"web")
    assert discover.options[m4.MAX_SIZE] == b"\x05\xdc"
    world.client.receive(reply4(discover, m4.OFFER), SERVER_MAC, world.now)
    ((request, to),) = world.take()
    assert (request.type, to, request.xid, request.client) == (m4.REQUEST, None, discover.xid, bytes(4))
    assert (request.options[m4.REQUESTED_ADDRESS], request.options[m4.SERVER]) == (ADDRESS, SERVER)
    world.client.receive(reply4(request, m4.ACK), SERVER_MAC, world.now)
    lease = world.client.lease
    assert (lease.address, lease.server, lease.server_mac, lease.duration) == (ADDRESS, SERVER, SERVER_MAC, 120)
    assert (lease.t1, lease.t2, world.client.deadline) == (60, 105, 1060.0)
    assert world.client.is_quiet and not world.sent


def test_silence_is_asked_again_ever_more_slowly_and_then_given_up() -> None:
    world = world4()
    world.client.begin(world.now)
    world.take()
    times = [moment - 1000 for moment, _ in world.run(2000)]
    assert times == [1, 3, 7, 15, 31, 47, 63, 79, 95]
    assert world.told == [("failed", "no more tries")]
    assert world.client.deadline is None


def test_a_server_that_falls_silent_after_its_offer_is_left() -> None:
    world = world4()
    world.client.begin(world.now)
    ((discover, _),) = world.take()
    world.client.receive(reply4(discover, m4.OFFER), SERVER_MAC, world.now)
    world.take()
    said = world.run(1011)
    assert [(moment - 1000, each[0].type) for moment, each in said] == [
        (1, m4.REQUEST), (3, m4.REQUEST), (7, m4.REQUEST), (10, m4.DISCOVER), (11, m4.DISCOVER),
    ]  # fmt: skip


def test_who_is_refused_begins_again_but_not_at_once() -> None:
    world = world4()
    world.client.begin(world.now)
    ((discover, _),) = world.take()
    world.client.receive(reply4(discover, m4.OFFER), SERVER_MAC, world.now)
    ((request, _),) = world.take()
    world.client.receive(reply4(request, m4.NAK), SERVER_MAC, world.now)
    assert world.take() == [] and world.told == []
    ((moment, (message, _)),) = world.run(1002.5)
    assert (moment, message.type) == (1002, m4.DISCOVER)


@pytest.mark.parametrize(
    "change",
    [
        lambda message: message.replace(xid=message.xid ^ 1),
        lambda message: message.replace(mac=SERVER_MAC),
        lambda message: message.replace(from_server=False),
        lambda message: message.replace(yours=bytes(4)),
        lambda message: message.replace(options={**message.options, m4.CLIENT_ID: b"\0another"}),
        lambda message: message.replace(options={**message.options, m4.TYPE: b"\5"}),
        lambda message: message.replace(options={m4.TYPE: b"\2"}),
    ],
)
def test_what_is_no_offer_for_us_is_left_alone(change: Any) -> None:
    world = world4()
    world.client.begin(world.now)
    ((discover, _),) = world.take()
    world.client.receive(change(reply4(discover, m4.OFFER)), SERVER_MAC, world.now)
    assert world.take() == []


def test_a_lease_is_renewed_with_its_server_then_with_any_then_lost() -> None:
    world = bound4(o58=seconds(60), o59=seconds(100))
    said = world.run(1119)
    assert [(moment - 1000, each.client, lease is not None) for moment, (each, lease) in said] == [
        (60, ADDRESS, True), (80, ADDRESS, True), (90, ADDRESS, True), (95, ADDRESS, True), (99, ADDRESS, True),
        (100, ADDRESS, False), (110, ADDRESS, False), (115, ADDRESS, False), (119, ADDRESS, False),
    ]  # fmt: skip
    assert all(m4.SERVER not in each.options and m4.REQUESTED_ADDRESS not in each.options for _, (each, _) in said)
    assert world.told == []
    ((moment, (discover, to)),) = world.run(1120)
    assert (moment, discover.type, to) == (1120, m4.DISCOVER, None)
    assert world.told == [("lost", "it has expired")]
    # for as long as it takes
    assert len(world.run(3000)) > 50 and world.told == [("lost", "it has expired")]


def test_a_renewed_lease_counts_from_then_on() -> None:
    world = bound4()
    ((_, (request, lease)),) = world.run(1060)
    assert lease == world.client.lease
    world.client.receive(reply4(request, m4.ACK), SERVER_MAC, 1061.0)
    assert world.told == [("bound", "")]
    assert (world.client.lease.since, world.client.deadline) == (1061.0, 1121.0)


def test_a_refused_lease_is_lost_at_once() -> None:
    world = bound4()
    ((_, (request, _)),) = world.run(1060)
    world.client.receive(reply4(request, m4.NAK), SERVER_MAC, 1060.5)
    ((discover, _),) = world.take()
    assert world.told == [("lost", "the server has refused it")] and world.client.lease is None
    world.client.receive(reply4(discover, m4.OFFER, OTHER), SERVER_MAC, 1061.0)
    ((request, _),) = world.take()
    world.client.receive(reply4(request, m4.ACK, OTHER), SERVER_MAC, 1061.0)
    assert world.told[1:] == [("bound", "")] and world.client.lease.address == OTHER


def test_release_names_lease_and_client_and_is_the_last_word() -> None:
    world = bound4()
    lease = world.client.lease
    world.client.release()
    ((message, to),) = world.take()
    assert (message.type, message.client, to) == (m4.RELEASE, ADDRESS, lease)
    assert message.options == {m4.TYPE: b"\7", m4.SERVER: SERVER, m4.CLIENT_ID: b"\0c1/net/eth0"}
    assert world.run(5000) == []
    world.client.release()
    assert world.take() == []


def test_a_lease_for_ever_needs_nothing() -> None:
    world = bound4(o51=seconds(INFINITE))
    assert world.client.deadline is None


@pytest.mark.parametrize(
    ("age", "kind"), [(0, "bound"), (59, "bound"), (61, "renew"), (106, "rebind"), (121, "discover")]
)
def test_a_lease_of_before_goes_on_where_it_was(age: int, kind: str) -> None:
    lease = client4.Lease(ADDRESS, SERVER, SERVER_MAC, 1000.0 - age, 120, 60, 105, {})
    world = world4()
    world.client.lease = lease
    world.client.resume(world.now)
    said = world.take()
    if kind == "bound":
        assert said == [] and world.client.deadline == 1000.0 - age + 60
        return
    ((message, to),) = said
    assert message.type == (m4.DISCOVER if kind == "discover" else m4.REQUEST)
    assert (to is not None) == (kind == "renew")
    assert bool(world.told) == (kind == "discover")


def test_asking_for_answers_by_broadcast_ends_with_the_address() -> None:
    world = world4(ME4.replace(broadcast=True))
    world.client.begin(world.now)
    ((discover, _),) = world.take()
    assert discover.broadcast
    world.client.receive(reply4(discover, m4.OFFER), SERVER_MAC, world.now)
    ((request, _),) = world.take()
    assert request.broadcast
    world.client.receive(reply4(request, m4.ACK), SERVER_MAC, world.now)
    ((_, (renewal, _)),) = world.run(1060)
    assert not renewal.broadcast


def test_odd_times_of_a_server_are_replaced() -> None:
    assert (bound4(o58=seconds(200), o59=seconds(100)).client.lease.t1) == 60
    world = bound4(o51=b"\0", o58=b"")
    assert (world.client.lease.duration, world.client.lease.t1, world.client.lease.t2) == (3600, 1800, 3150)


def test_a_lease_of_a_second_is_not_renewed_as_fast_as_the_server_answers() -> None:
    world = bound4(o51=seconds(1))
    assert world.client.deadline == world.now + 0.5
    assert [(moment, asked.type) for moment, (asked, _) in world.run(1000.5)] == [(1000.5, m4.REQUEST)]


def test_a_renewal_that_does_not_repeat_the_mask_keeps_it() -> None:
    world = bound4()
    ((_, (renewal, _)),) = world.run(1060)
    answer = reply4(renewal, m4.ACK)
    terse = {code: value for code, value in answer.options.items() if code != m4.SUBNET_MASK}
    world.client.receive(answer.replace(options=terse), SERVER_MAC, world.now)
    assert world.client.lease.options[m4.SUBNET_MASK] == b"\xff\xff\xff\0"
    assert world.client.lease.since == 1060
    # another address may be in another subnet
    ((_, (renewal, _)),) = world.run(1120)
    world.client.receive(answer.replace(options=terse, xid=renewal.xid, yours=b"\xc0\0\2\x14"), SERVER_MAC, world.now)
    assert m4.SUBNET_MASK not in world.client.lease.options


steps = st.lists(
    st.tuples(
        st.sampled_from(["offer", "ack", "nak", "other", "time"]),
        st.sampled_from([ADDRESS, OTHER]),
        st.integers(1, 300),
    ),
    max_size=30,
)


@settings(max_examples=200)
@given(steps)
def test_whatever_servers_say_a_lease_is_believed_only_while_it_lives(said: list[tuple[str, bytes, int]]) -> None:
    """And the client always has something to wait for, never sends twice at one moment, and tells what it knows."""
    world = world4()
    world.client.begin(world.now, for_ever=True)
    last = world.take()[-1][0]
    known: bytes | None = None
    for what, address, number in said:
        if what == "time":
            out = world.run(world.now + number)
            moments = [moment for moment, _ in out]
            assert moments == sorted(moments)
            last = out[-1][1][0] if out else last
        else:
            kind = {"offer": m4.OFFER, "ack": m4.ACK, "nak": m4.NAK, "other": 9}[what]
            world.client.receive(reply4(last, kind, address, o51=seconds(number)), SERVER_MAC, world.now)
            out4 = world.take()
            last = out4[-1][0] if out4 else last
        for event, _ in world.told:
            known = world.client.lease.address if event == "bound" and world.client.lease is not None else None
        world.told.clear()
        lease = world.client.lease
        assert (lease.address if lease is not None else None) == known
        assert lease is None or world.now <= lease.ends()
        assert world.client.deadline is not None
