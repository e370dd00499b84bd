"""Which servers are asked, and the host's resolv.conf."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dns_town import attachment, zone_of
from hypothesis import given
from hypothesis import strategies as st

from netd.dns import wire
from netd.dns.resolvconf import HostServers, nameservers
from netd.dns.upstream import RETRY, TIMEOUT, Health, Server, is_final, servers_for

HOST = ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
ONE, TWO = Server("192.0.2.1"), Server("192.0.2.2")


def test_the_hosts_servers_are_asked_from_the_host_and_at_most_three() -> None:
    view = zone_of(attachment("s", ("a",))).view("s")
    assert servers_for(view, "s", HOST) == tuple(Server(each) for each in HOST[:3])
    assert servers_for(view, "s", ()) == ()


def test_given_servers_are_asked_from_inside_and_never_ourselves() -> None:
    view = zone_of(attachment("s", ("a",), servers=("127.0.0.11", "10.0.0.53"))).view("s")
    assert servers_for(view, "s", HOST) == (Server("10.0.0.53", "s"),)


def test_internal_networks_leave_the_hosts_servers_alone() -> None:
    """CVE-2024-29018; given ones are asked all the same."""
    view = zone_of(attachment("s", ("a",), external=False)).view("s")
    assert servers_for(view, "s", HOST) == ()
    view = zone_of(attachment("s", ("a",), external=False, servers=("10.0.0.53",))).view("s")
    assert servers_for(view, "s", HOST) == (Server("10.0.0.53", "s"),)


def test_a_silent_server_costs_one_time_out() -> None:
    health = Health()
    assert health.usable((ONE, TWO), 10.0) == (ONE, TWO)
    health.timed_out(ONE, 10.0, 14.0)
    assert health.usable((ONE, TWO), 14.0) == (TWO,)
    assert health.probes((ONE, TWO), 14.0 + RETRY / 2) == ()
    assert health.probes((ONE, TWO), 14.0 + RETRY) == (ONE,)
    assert health.probes((ONE, TWO), 14.1 + RETRY) == ()
    assert health.probes((ONE, TWO), 14.1 + 2 * RETRY) == (ONE,)
    health.answered(ONE, 30.0)
    assert health.usable((ONE, TWO), 30.0) == (ONE, TWO)
    assert health.probes((ONE, TWO), 99.0) == ()


def test_when_all_are_silent_one_query_at_a_time_waits() -> None:
    health = Health()
    health.timed_out(ONE, 0.0, TIMEOUT)
    assert health.usable((ONE,), 5.0) == (ONE,)
    assert health.usable((ONE,), 5.1) == ()
    assert health.usable((ONE,), 5.0 + TIMEOUT) == (ONE,)
    health.answered(ONE, 9.5)
    health.timed_out(ONE, 10.0, 14.0)
    assert health.usable((ONE,), 14.0) == (ONE,)


def test_a_lost_packet_among_answers_is_no_silence() -> None:
    health = Health()
    health.answered(ONE, 12.0)
    health.timed_out(ONE, 10.0, 14.0)
    assert not health.is_silent(ONE)
    health.timed_out(ONE, 13.0, 17.0)
    assert health.is_silent(ONE)


def test_what_is_known_of_a_container_goes_with_it() -> None:
    health = Health()
    inside = Server("10.0.0.53", "s")
    for server in (ONE, inside):
        health.timed_out(server, 0.0, 4.0)
    health.forget_sandbox("s")
    assert health.is_silent(ONE)
    assert not health.is_silent(inside)


@given(st.lists(st.tuples(st.sampled_from("ats"), st.sampled_from([ONE, TWO]), st.integers(0, 3)), max_size=30))
def test_whatever_happened_a_server_is_asked_again(events: list[tuple[str, Server, int]]) -> None:
    """No history locks a server out: within RETRY of quiet it is asked or probed."""
    health, now = Health(), 100.0
    for kind, server, wait in events:
        now += wait
        if kind == "a":
            health.answered(server, now)
        elif kind == "t":
            health.timed_out(server, now - TIMEOUT, now)
        else:
            health.usable((ONE, TWO), now)
            health.probes((ONE, TWO), now)
    now += max(RETRY, TIMEOUT)
    assert {*health.usable((ONE, TWO), now), *health.probes((ONE, TWO), now)} == {ONE, TWO}


@pytest.mark.parametrize(("code", "final"), [(0, True), (wire.NXDOMAIN, True), (2, False), (5, False)])
def test_which_answers_end_the_walk(code: int, final: bool) -> None:
    assert is_final(bytes((0, 1, 0x80, 0x80 | code)) + bytes(8)) is final


def test_nameserver_lines() -> None:
    text = "# nameserver 1.1.1.1\nnameserver 192.0.2.1 # x\n nameserver\tfe80::1%eth0\nnameserver\nnameserver dns\n"
    text += "search example\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserverx 1.1.1.1\n"
    assert nameservers(text) == ("192.0.2.1", "fe80::1%eth0", "127.0.0.53")


@given(st.text())
def test_any_text_has_nameservers_or_none(text: str) -> None:
    assert len(nameservers(text)) <= text.count("nameserver")


def test_the_file_is_followed_live(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    servers = HostServers(str(path))
    assert servers() == ()
    path.write_text("nameserver 192.0.2.1\n")
    assert servers() == ("192.0.2.1",)
    new = tmp_path / "new"
    new.write_text("nameserver 192.0.2.2\n")
    os.rename(new, path)
    assert servers() == ("192.0.2.2",)
    path.write_text("nameserver 192.0.2.3\n\n")
    assert servers() == ("192.0.2.3",)
    path.unlink()
    assert servers() == ()
