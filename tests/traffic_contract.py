"""What every kernel answers to rtnetlink about token buckets, redirects, pseudo-devices, rules and copies of routes.

The fake runs these in tests/unit/test_kernel_memory_traffic.py, the real kernel in tests/netns/test_kernel_traffic.py;
each provides the fixture `make`, a factory of fresh namespaces.
"""

from __future__ import annotations

from collections.abc import Callable
from errno import EEXIST, EINVAL, ENODEV, ENOENT, ERANGE, ESRCH

import pytest

from pycni.kernel import mirred, pseudo, qdisc, route_copies, rules
from pycni.kernel.api import TYPE_CHECKING
from pycni.kernel.model import Link, Route
from pycni.kernel.netlink import Refused
from pycni.kernel.qdisc import INGRESS, ROOT, TokenBucket
from pycni.kernel.rules import Rule
from pycni.spec.address import Address, Prefix

if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.netlink import Message

    Make = Callable[[], NamespaceApi]

BUCKET = TokenBucket(100_000, 12_500, 1_562_500)
FAST = TokenBucket(1 << 33, 1 << 31, 1 << 31)
OWN = Rule(4, Prefix.parse("10.1.2.3/32"), 100)
OWN6 = Rule(6, Prefix.parse("fd00:1::3/128"), 70_000)


def refusal(namespace: NamespaceApi, message: Message) -> int:
    with pytest.raises(Refused) as caught:
        namespace.rtnetlink().request(message)
    return caught.value.errno


def pair(make: Make) -> tuple[NamespaceApi, Link]:
    """A namespace and a device in it that has addresses, is up, and whose other end is, too."""
    host, other = make(), make()
    peer, link = other.create_veth("peer", "eth0", host)
    other.set_link(peer.index, up=True)
    host.configure(link.index, (Prefix.parse("10.1.2.3/24"), Prefix.parse("fd00:1::3/64")), ())
    return host, link


def ifb(host: NamespaceApi, name: str = "ifb7") -> Link:
    host.rtnetlink().request(pseudo.new_ifb(name, 1400, group=9))
    link = host.link(name)
    assert link is not None
    return link


def test_an_ifb_is_made_up_and_once(make: Make) -> None:
    host = make()
    link = ifb(host)
    assert (link.kind, link.mtu, link.txqlen, link.group, link.is_up) == ("ifb", 1400, 0, 9, True)
    assert len(link.mac) == 6
    assert refusal(host, pseudo.new_ifb("ifb7", 1400)) == EEXIST
    assert refusal(host, pseudo.new_ifb("x" * 16, 1400)) == ERANGE
    host.delete_link(link.index)
    assert host.link("ifb7") is None


def test_probing_makes_nothing(make: Make) -> None:
    host = make()
    before = host.links(), qdisc.qdiscs(host, 1)
    assert pseudo.has_driver(host, pseudo.IFB) and pseudo.has_driver(host, "macvlan")
    assert not pseudo.has_driver(host, "nothing")
    assert qdisc.has_token_buckets(host)
    assert (host.links(), qdisc.qdiscs(host, 1)) == before


@pytest.mark.parametrize("bucket", [BUCKET, FAST])
def test_a_token_bucket_is_there_once(make: Make, bucket: TokenBucket) -> None:
    host, link = pair(make)
    host.rtnetlink().request(qdisc.new_token_bucket(link.index, bucket))
    (found,) = [each for each in qdisc.qdiscs(host, link.index) if each.parent == ROOT]
    assert (found.device, found.kind, found.handle, found.bucket) == (link.index, "tbf", 0x10000, bucket)
    assert refusal(host, qdisc.new_token_bucket(link.index, BUCKET)) == EEXIST
    for _ in range(2):
        qdisc.remove_qdisc(host, link.index, ROOT)
        assert not any(each.kind == "tbf" for each in qdisc.qdiscs(host, link.index))
    host.rtnetlink().request(qdisc.new_token_bucket(link.index, BUCKET))


def test_token_buckets_that_are_refused(make: Make) -> None:
    host, link = pair(make)
    assert refusal(host, qdisc.new_token_bucket(4711, BUCKET)) == ENODEV
    assert refusal(host, qdisc.new_token_bucket(link.index, BUCKET.replace(rate=0))) == EINVAL
    assert refusal(host, qdisc.new_token_bucket(link.index, BUCKET.replace(buffer=0))) == EINVAL
    qdisc.remove_qdisc(host, 4711, ROOT)
    assert qdisc.qdiscs(host, 4711) == []


def test_what_is_received_is_redirected(make: Make) -> None:
    host, link = pair(make)
    target = ifb(host)
    assert mirred.redirects(host, link.index) == []
    assert refusal(host, mirred.new_redirect(link.index, target.index)) == EINVAL, "there is no hook yet"
    host.rtnetlink().request(qdisc.new_ingress(link.index))
    assert refusal(host, qdisc.new_ingress(link.index)) == EEXIST
    host.rtnetlink().request(mirred.new_redirect(link.index, target.index))
    assert mirred.redirects(host, link.index) == [target.index]
    assert mirred.redirects(host, target.index) == []
    assert [each.kind for each in qdisc.qdiscs(host, link.index) if each.parent == INGRESS] == ["ingress"]
    for _ in range(2):
        qdisc.remove_qdisc(host, link.index, INGRESS)
        assert mirred.redirects(host, link.index) == []


def test_all_of_it_goes_with_its_device(make: Make) -> None:
    host, link = pair(make)
    host.rtnetlink().request(qdisc.new_token_bucket(link.index, BUCKET))
    host.delete_link(link.index)
    assert qdisc.qdiscs(host, link.index) == [] == mirred.redirects(host, link.index)


def test_rules_of_a_fresh_namespace(make: Make) -> None:
    host = make()
    assert [(each.table, each.priority) for each in rules.rules(host, 4)] == [(255, 0), (254, 32766), (253, 32767)]
    assert [(each.table, each.priority) for each in rules.rules(host, 6)] == [(255, 0), (254, 32766)]
    assert all(each.source is None for family in (4, 6) for each in rules.rules(host, family))


@pytest.mark.parametrize("rule", [OWN, OWN6])
def test_rules_come_before_earlier_ones_and_go(make: Make, rule: Rule) -> None:
    host = make()
    other = rule.replace(table=rule.table + 1)
    assert rules.add_rule(host, rule)
    assert not rules.add_rule(host, rule)
    assert rules.add_rule(host, other)
    assert rules.add_rule(host, rule.replace(table=7, priority=5))
    assert rules.add_rule(host, rule.replace(table=8))
    assert rules.rules(host, rule.family)[1:5] == [
        rule.replace(table=8, priority=4),
        rule.replace(table=7, priority=5),
        other.replace(priority=32764),
        rule.replace(priority=32765),
    ]
    for _ in range(2):
        rules.remove_rule(host, rule)
    assert refusal(host, rules.delete_rule(rule)) == ENOENT
    assert [each.table for each in rules.rules(host, rule.family)[1:4]] == [8, 7, other.table]
    assert refusal(host, rules.new_rule(rule.replace(table=7, priority=5))) == EEXIST


@pytest.mark.parametrize("table", [100, 70_000])
def test_routes_are_copied_and_removed(make: Make, table: int) -> None:
    host, link = pair(make)
    way, far = Address.parse("10.1.2.1"), Prefix.parse("172.16.0.0/12")
    host.configure(link.index, (), (Route(far, way, mtu=1300, priority=7),))
    found = [each for each in route_copies.copies(host, link.index) if not each.route.destination.address.is_link_local]
    assert {str(each.route.destination) for each in found} == {"10.1.2.0/24", "172.16.0.0/12", "fd00:1::/64"}
    for _ in range(2):
        for each in sorted(found, key=lambda copy: copy.route.gateway is not None):
            host.rtnetlink().request(route_copies.put(each, table))
    copied = route_copies.copies(host, link.index, table)
    assert {each.route for each in copied} == {each.route.replace(table=table) for each in found}
    for each in copied:
        for _ in range(2):
            route_copies.remove(host, each, table)
        assert refusal(host, route_copies.take(each, table)) == ESRCH
    assert route_copies.copies(host, link.index, table) == []
    again = [each for each in route_copies.copies(host, link.index) if not each.route.destination.address.is_link_local]
    assert {each.route for each in again} == {each.route for each in found}


def test_a_copy_takes_the_place_of_another_route_for_the_same_packets(make: Make) -> None:
    host, link = pair(make)
    first, second = Address.parse("10.1.2.1"), Address.parse("10.1.2.9")
    everywhere = Prefix.parse("0.0.0.0/0")
    host.configure(link.index, (), (Route(everywhere, first),))
    (copy,) = [each for each in route_copies.copies(host, link.index) if each.route.destination == everywhere]
    host.configure(link.index, (), (Route(everywhere, second, table=100),))
    host.rtnetlink().request(route_copies.put(copy, 100))
    assert [each.gateway for each in host.routes(4, 100)] == [first]
