"""The DHCPv6 client as a state machine: a clock that is told the time, and servers that say what the test says."""

from __future__ import annotations

import pytest
from dhcp_world import TIMING, World

from netd.dhcp import client6
from netd.dhcp import messages6 as m6

DUID, SERVER6, ADDRESS6, OTHER6 = (
    b"\0\4" + b"u" * 16,
    b"\0\3server",
    b"\xfd" + bytes(14) + b"\1",
    b"\xfd" + bytes(14) + b"\2",
)
ME6 = client6.Identity(DUID, 7)


def world6(identity: client6.Identity = ME6) -> World:
    return World(lambda random, send, tell: client6.Client(identity, TIMING, random, send, tell))


def reply6(
    asked: m6.Message,
    kind: int,
    *addresses: m6.Assigned,
    status: int = 0,
    more: tuple[tuple[int, bytes], ...] = (),
    t1: int = 60,
    t2: int = 96,
) -> m6.Message:
    options = ((m6.CLIENT_ID, DUID), (m6.SERVER_ID, SERVER6), *more)
    return m6.Message(kind, asked.xid, options, (m6.Association(7, t1, t2, addresses, status),))


LIVE = m6.Assigned(ADDRESS6, 120, 200)


def bound6() -> World:
    world = world6()
    world.client.begin(world.now)
    (solicit,) = world.take()
    world.client.receive(reply6(solicit, m6.ADVERTISE, LIVE), world.now)
    (request,) = world.take()
    world.client.receive(reply6(request, m6.REPLY, LIVE, more=((m6.NAME_SERVERS, ADDRESS6),)), world.now)
    assert world.told == [("bound", "")]
    world.told.clear()
    return world


def test_a_dhcpv6_lease_takes_four_messages() -> None:
    world = world6()
    world.client.begin(world.now)
    (solicit,) = world.take()
    assert solicit.type == m6.SOLICIT and solicit.option(m6.RAPID_COMMIT) is None
    assert (solicit.option(m6.CLIENT_ID), solicit.option(m6.WISHES)) == (DUID, b"\0\x17\0\x18")
    assert solicit.option(m6.ELAPSED) == b"\0\0" and solicit.associations == (m6.Association(7),)
    world.client.receive(reply6(solicit, m6.ADVERTISE, LIVE), world.now)
    (request,) = world.take()
    assert (request.type, request.option(m6.SERVER_ID)) == (m6.REQUEST, SERVER6)
    assert request.associations[0].addresses[0].address == ADDRESS6
    world.client.receive(reply6(request, m6.REPLY, LIVE, more=((m6.NAME_SERVERS, ADDRESS6),)), world.now)
    lease = world.client.lease
    assert (lease.address, lease.server, lease.t1, lease.t2, lease.valid) == (ADDRESS6, SERVER6, 60, 96, 200)
    assert lease.options == {m6.NAME_SERVERS: ADDRESS6} and world.client.deadline == 1060.0


def test_rapid_commit_takes_two_but_only_for_who_asked() -> None:
    for asked, bound in ((True, [("bound", "")]), (False, [])):
        world = world6(ME6.replace(rapid_commit=asked))
        world.client.begin(world.now)
        (solicit,) = world.take()
        assert (solicit.option(m6.RAPID_COMMIT) is not None) == asked
        world.client.receive(reply6(solicit, m6.REPLY, LIVE, more=((m6.RAPID_COMMIT, b""),)), world.now)
        assert world.told == bound


def test_a_server_without_addresses_is_named_in_the_failure() -> None:
    world = world6()
    world.client.begin(world.now)
    (solicit,) = world.take()
    world.client.receive(reply6(solicit, m6.ADVERTISE, status=m6.NO_ADDRESSES), world.now)
    assert world.take() == []
    world.run(2000)
    assert world.told == [("failed", "no more tries: the server has no addresses")]


def test_dhcpv6_renews_then_rebinds_then_loses() -> None:
    world = bound6()
    said = world.run(1199)
    kinds = [(round(moment - 1000), each.type, each.option(m6.SERVER_ID) is not None) for moment, each in said]
    assert kinds[0] == (60, m6.RENEW, True)
    assert (96, m6.REBIND, False) in kinds and world.told == []
    world.run(1201)
    assert world.told == [("lost", "it has expired")]


def test_dhcpv6_renewal_extends() -> None:
    world = bound6()
    ((_, renew),) = world.run(1060)
    world.client.receive(reply6(renew, m6.REPLY, LIVE), 1061.0)
    assert world.told == [("bound", "")] and world.client.lease.since == 1061.0


def test_a_dhcpv6_lease_of_a_second_is_not_renewed_as_fast_as_the_server_answers() -> None:
    world = world6()
    world.client.begin(world.now)
    (solicit,) = world.take()
    world.client.receive(reply6(solicit, m6.ADVERTISE, LIVE), world.now)
    (request,) = world.take()
    world.client.receive(reply6(request, m6.REPLY, m6.Assigned(ADDRESS6, 1, 200), t1=0, t2=0), world.now)
    assert world.client.deadline == world.now + 1


def test_a_server_that_forgot_us_is_asked_anew_for_the_same() -> None:
    world = bound6()
    ((_, renew),) = world.run(1060)
    world.client.receive(reply6(renew, m6.REPLY, status=m6.NO_BINDING), 1061.0)
    (request,) = world.take()
    assert request.type == m6.REQUEST and request.associations[0].addresses[0].address == ADDRESS6
    world.client.receive(reply6(request, m6.REPLY, LIVE), 1061.5)
    assert world.told == [("bound", "")]


def test_an_address_that_is_withdrawn_is_lost() -> None:
    world = bound6()
    ((_, renew),) = world.run(1060)
    world.client.receive(reply6(renew, m6.REPLY, LIVE.replace(preferred=0, valid=0)), 1061.0)
    assert world.told == [("lost", "the server has withdrawn it")]
    (solicit,) = world.take()
    assert solicit.type == m6.SOLICIT


def test_a_duplicate_address_is_declined() -> None:
    world = bound6()
    world.client.decline(1001.0)
    decline, solicit = world.take()
    assert (decline.type, decline.associations[0].addresses[0].address) == (m6.DECLINE, ADDRESS6)
    assert solicit.type == m6.SOLICIT and world.told == [("lost", "somebody else has the address")]


def test_dhcpv6_release_is_said_four_times_and_no_more() -> None:
    world = bound6()
    world.client.release(world.now)
    (message,) = world.take()
    assert (message.type, message.option(m6.SERVER_ID)) == (m6.RELEASE, SERVER6)
    assert message.associations[0].addresses[0].address == ADDRESS6
    again = world.run(9000)
    assert [moment for moment, _ in again] == [1001.0, 1003.0, 1007.0]
    assert {(each.type, each.xid) for _, each in again} == {(m6.RELEASE, message.xid)}
    assert world.client.is_quiet and world.told == [] and world.client.lease is None


@pytest.mark.parametrize("status", [m6.SUCCESS, m6.NO_BINDING])
def test_dhcpv6_release_ends_with_the_server_s_answer(status: int) -> None:
    world = bound6()
    world.client.release(world.now)
    (message,) = world.take()
    world.client.receive(reply6(message.replace(xid=1), m6.REPLY, status=status), 1000.1)
    assert [moment for moment, _ in world.run(1002.0)] == [1001.0]
    world.client.receive(reply6(message, m6.ADVERTISE), 1002.1)
    assert not world.client.is_quiet
    world.client.receive(reply6(message, m6.REPLY, status=status), 1002.2)
    assert world.client.is_quiet and world.run(9000) == [] and world.told == []


def test_without_a_lease_there_is_no_dhcpv6_release() -> None:
    world = world6()
    world.client.begin(world.now)
    world.take()
    world.client.release(world.now)
    assert world.take() == [] and world.client.is_quiet
