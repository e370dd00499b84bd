"""Names, views and answers (contract docker 2.2), with dnspython reading what is sent."""

from __future__ import annotations

import dns.message
import dns.reversename
import pytest
from dns_town import ask, attachment, decide, query, zone_of
from hypothesis import given
from hypothesis import strategies as st

from netd.dns import answers, wire
from netd.dns.zone import Zone, address_of_reverse, order
from pycni.names import Attachment
from pycni.spec.address import Address

WEB = attachment("s1", ("web", "www", "0123456789ab", "web-host.example"), "10.1.0.2", "fd00::2")
CLIENT = attachment("s2", ("client",), "10.1.0.3")
ALIEN = attachment("s3", ("alien",), "10.2.0.2", network="other")


@pytest.fixture
def zone() -> Zone:
    return zone_of(WEB, CLIENT, ALIEN)


@pytest.mark.parametrize(
    "name",
    [
        "web",
        "WEB",
        "web.",
        "www",
        "0123456789ab",
        "web-host.example",
        "web.mynet",
        "Web.MyNet.",
        "web-host.example.mynet",
    ],
)
def test_every_name_of_a_container_resolves_for_its_neighbours_and_itself(zone: Zone, name: str) -> None:
    for sandbox in ("s1", "s2"):
        assert ask(zone, sandbox, name) == ["10.1.0.2"]
        assert ask(zone, sandbox, name, "AAAA") == ["fd00::2"]
    assert ask(zone, "s3", name) == "forward"
    assert ask(zone, "nobody", name) == "forward"


@pytest.mark.parametrize("name", ["web.other", "mynet", ".", "web.mynet.mynet", "web-host", "alien", "alien.other"])
def test_other_names_are_forwarded(zone: Zone, name: str) -> None:
    assert ask(zone, "s2", name) == "forward"
    assert ask(zone, "s2", name, "AAAA") == "forward"


@pytest.mark.parametrize(
    ("kind", "known", "unknown"),
    [
        ("AAAA", [], "forward"),
        ("MX", [], "forward"),
        *[(kind, "forward", "forward") for kind in ("TXT", "ANY", "CNAME", "NS", "SOA", "HTTPS", "SVCB", "SRV")],
    ],
)
def test_kinds(zone: Zone, kind: str, known: list[str] | str, unknown: str) -> None:
    """`client` has IPv4 only."""
    assert ask(zone, "s1", "client", kind) == known
    assert ask(zone, "s1", "nobody", kind) == unknown


def test_other_classes_are_forwarded(zone: Zone) -> None:
    assert isinstance(decide(zone, "s1", query("web", rdclass="CH")), answers.Forward)


def test_the_case_of_the_question_is_kept(zone: Zone) -> None:
    message = query("wEb.mYnEt")
    action = decide(zone, "s2", message)
    assert isinstance(action, answers.Local)
    parsed = dns.message.from_wire(message[:2] + action.replies[0])
    assert parsed.question[0].name.to_text() == parsed.answer[0].name.to_text() == "wEb.mYnEt."
    assert parsed.answer[0].ttl == answers.TTL


@pytest.mark.parametrize("address", ["10.1.0.2", "fd00::2"])
def test_reverse_names(zone: Zone, address: str) -> None:
    name = dns.reversename.from_address(address).to_text()
    assert ask(zone, "s2", name, "PTR") == ["web.mynet."]
    assert ask(zone, "s2", name.upper(), "PTR") == ["web.mynet."]
    assert ask(zone, "s3", name, "PTR") == "forward"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1.0.1.10.in-addr.arpa", "forward"),
        ("0.1.10.in-addr.arpa", "forward"),
        ("lb._dns-sd._udp.0.0.1.10.in-addr.arpa", "forward"),
        ("web", "forward"),
        ("x.0.1.10.in-addr.arpa", "SERVFAIL"),
        ("256.0.1.10.in-addr.arpa", "SERVFAIL"),
        ("g." + "0." * 31 + "ip6.arpa", "SERVFAIL"),
        ("00." + "0." * 31 + "ip6.arpa", "SERVFAIL"),
    ],
)
def test_reverse_names_of_nobody(zone: Zone, name: str, expected: str) -> None:
    assert ask(zone, "s2", name, "PTR") == expected


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_reverse_names_are_read_as_dnspython_writes_them(address: object) -> None:
    labels = dns.reversename.from_address(str(address)).labels[:-1]
    found = address_of_reverse([label.lower() for label in labels])
    assert found is not None
    assert found == Address.parse(str(address))


def test_a_reverse_name_that_would_be_too_long_is_given_without_the_network() -> None:
    zone = zone_of(attachment("s1", ("web",), "10.1.0.2", network="a..b"))
    assert ask(zone, "s1", "2.0.1.10.in-addr.arpa", "PTR") == ["web."]


def test_networks_with_dots_and_the_first_network_wins() -> None:
    zone = zone_of(
        attachment("me", ("me",), "10.1.0.9", network="one.two"),
        attachment("me", ("me",), "10.2.0.9", network="two", ifname="eth1"),
        attachment("a", ("db.one",), "10.2.0.1", network="two"),
        attachment("b", ("db",), "10.1.0.1", network="one.two"),
        attachment("c", ("db",), "10.2.0.2", network="two"),
    )
    assert ask(zone, "me", "db") == ["10.1.0.1"]
    assert ask(zone, "me", "db.two") == ["10.2.0.2"]
    assert ask(zone, "me", "db.one.two") == ["10.2.0.1"]
    zone.remove("a.two.eth0")
    assert ask(zone, "me", "db.one.two") == ["10.1.0.1"]


def test_a_name_known_on_the_first_network_in_the_wrong_family_ends_the_search() -> None:
    zone = zone_of(
        attachment("me", ("me",), "10.1.0.9", network="a"),
        attachment("me", ("me",), "10.2.0.9", network="b", ifname="eth1"),
        attachment("x", ("db",), "fd00::1", network="a"),
        attachment("y", ("db",), "10.2.0.1", network="b"),
    )
    assert ask(zone, "me", "db") == []


def test_an_alias_of_many_is_answered_with_all_in_every_order() -> None:
    members = [attachment(f"m{n}", (f"m{n}", "app"), f"10.1.0.{n}") for n in range(1, 6)]
    zone = zone_of(*members)
    message = query("app")
    action = decide(zone, "m1", message)
    assert isinstance(action, answers.Local)
    firsts = []
    for each in action.replies:
        (rrset,) = dns.message.from_wire(message[:2] + each).answer
        texts = [item.to_text() for item in rrset]
        assert sorted(texts) == [f"10.1.0.{n}" for n in range(1, 6)]
        firsts.append(texts[0])
    assert sorted(firsts) == [f"10.1.0.{n}" for n in range(1, 6)]


def test_forty_addresses_over_udp_and_tcp() -> None:
    zone = zone_of(*[attachment(f"m{n}", ("app",), f"10.1.0.{n}") for n in range(1, 41)])
    message = query("app")
    for udp, count in ((True, 30), (False, 40)):
        action = decide(zone, "m1", message, udp)
        assert isinstance(action, answers.Local)
        for each in action.replies:
            parsed = dns.message.from_wire(message[:2] + each)
            assert len(parsed.answer[0]) == count
            assert bool(parsed.flags & dns.flags.TC) is udp
    assert len(set(action.replies)) == 40


def test_private_links_come_before_shared_names() -> None:
    me = attachment("me", ("me",), "10.1.0.9", links=(("db", "mysql"), ("lost", "nobody")))
    other = attachment("o", ("other",), "10.1.0.8")
    zone = zone_of(
        me,
        other,
        attachment("a", ("db",), "10.1.0.1"),
        attachment("b", ("mysql",), "10.1.0.2"),
        attachment("c", ("lost",), "10.1.0.3"),
    )
    for name, mine, theirs in (("db", "10.1.0.2", "10.1.0.1"), ("lost", "10.1.0.3", "10.1.0.3")):
        for form in (name, f"{name}.mynet"):
            assert ask(zone, "me", form) == [mine]
            assert ask(zone, "o", form) == [theirs]


def test_a_second_suffix() -> None:
    """podman's dns.podman."""
    web = attachment("s1", ("web",), "10.1.0.2", domain="dns.podman")
    zone = zone_of(web, CLIENT)
    assert ask(zone, "s2", "web.dns.podman") == ["10.1.0.2"]
    assert ask(zone, "s2", "web.mynet") == ["10.1.0.2"]
    zone.remove("s1.mynet.eth0")
    zone.put("s1.mynet.eth0", web.replace(domain=""))
    assert ask(zone, "s2", "web.dns.podman") == "forward"


def test_the_hosts_own_names() -> None:
    mine = attachment("me", ("me",), "10.1.0.9", gateways=("10.1.0.1", "fd00::1"))
    zone = zone_of(mine)
    for name in ("host.docker.internal", "gateway.docker.internal", "HOST.Docker.Internal."):
        assert ask(zone, "me", name) == ["10.1.0.1"]
        assert ask(zone, "me", name, "AAAA") == ["fd00::1"]
    assert ask(zone, "me", "docker.internal") == "forward"
    assert ask(zone, "me", "web.docker.internal") == "forward"
    zone.put("x", attachment("x", ("host.docker.internal",), "10.1.0.7"))
    assert ask(zone, "me", "host.docker.internal") == ["10.1.0.7"]
    assert ask(zone_of(CLIENT), "s2", "host.docker.internal") == "forward"


def test_single_labels_are_kept_where_ndots_was_set() -> None:
    zone = zone_of(WEB, CLIENT.replace(ndots=True))
    assert ask(zone, "s2", "nobody") == []
    assert ask(zone, "s2", "nobody", "AAAA") == []
    assert ask(zone, "s2", "nobody", "MX") == "forward"
    assert ask(zone, "s2", "nobody.example") == "forward"
    assert ask(zone, "s1", "nobody") == "forward"


def test_the_order_of_networks() -> None:
    def on(network: str, **more: object) -> Attachment:
        return attachment("me", ("me",), network=network, **more)

    both = ("10.0.0.1", "fd00::1")
    expected = [
        on("z", priority=5, external=False),
        on("y", gateways=both),
        on("B", gateways=both[:1]),
        on("a", gateways=both[:1]),
        on("b", gateways=both[1:]),
        on("a0"),
        on("0", gateways=both, external=False),
        on("x", priority=-1, gateways=both),
    ]
    assert [each.owner.network for each in order(reversed(expected))] == [each.owner.network for each in expected]


def test_views() -> None:
    zone = zone_of(
        attachment("me", ("me",), external=False, servers=("10.0.0.53", "10.0.0.54")),
        attachment("me", ("me",), network="two", ifname="eth1", external=False, servers=("10.0.0.53",)),
    )
    assert not zone.view("me").has_way_out
    assert zone.view("me").servers == ("10.0.0.53", "10.0.0.54")
    zone.put("third", attachment("me", ("me",), network="three", ifname="eth2"))
    assert zone.view("me").has_way_out
    assert zone.view("nobody").own == ()


sandboxes = st.sampled_from(["s1", "s2", "s3"])
networks = st.sampled_from(["one", "One.two", "two"])
members = st.builds(
    lambda sandbox, network, names, addresses, domain: attachment(
        sandbox, tuple(names), *addresses, network=network, domain=domain
    ),
    sandboxes,
    networks,
    st.lists(st.sampled_from(["web", "WEB", "db", "db.one"]), max_size=3),
    st.lists(st.sampled_from(["10.0.0.1", "10.0.0.2", "fd00::1"]), max_size=2),
    st.sampled_from(["", "dns.podman"]),
)
QUESTIONS = ("web", "db", "db.one", "web.two", "db.one.two", "web.dns.podman")


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.one_of(st.none(), members)), max_size=12))
def test_a_zone_after_any_changes_is_as_one_made_of_what_is_left(changes: list[tuple[str, Attachment | None]]) -> None:
    """Names, views and reverse names; nothing stays behind."""
    zone, left = Zone(), {}
    for key, member in changes:
        left.pop(key, None)
        if member is None:
            zone.remove(key)
        else:
            member = member.replace(owner=member.owner.replace(ifname=key))
            zone.put(key, member)
            left[key] = member
    fresh = Zone()
    for key, member in left.items():
        fresh.put(key, member)
    assert len(zone) == len(left)
    for sandbox in ("s1", "s2", "s3"):
        view = zone.view(sandbox)
        assert view == fresh.view(sandbox)
        for name in QUESTIONS:
            labels = [label.encode() for label in name.split(".")]
            found, expected = zone.lookup(view, labels), fresh.lookup(view, labels)
            assert set(found or ()) == set(expected or ())
            assert (found is None) is (expected is None)
        for text in ("10.0.0.1", "fd00::1"):
            assert (zone.reverse(view, Address.parse(text)) is None) is (
                fresh.reverse(view, Address.parse(text)) is None
            )


def test_equal_attachments_change_nothing() -> None:
    zone = zone_of(WEB)
    before = zone.generation
    zone.put("s1.mynet.eth0", WEB.replace())
    zone.remove("nobody")
    assert zone.generation == before
    zone.put("s1.mynet.eth0", WEB.replace(names=("web",)))
    assert zone.generation > before


@given(st.binary(max_size=300))
def test_any_question_is_decided(tail: bytes) -> None:
    zone = zone_of(WEB, CLIENT)
    message = query("web")[:12] + tail
    try:
        question = wire.read_question(message)
    except wire.Malformed:
        return
    action = answers.decide(zone, zone.view("s1"), message, question, True)
    assert isinstance(action, answers.Forward) or all(len(each) <= question.limit for each in action.replies)
