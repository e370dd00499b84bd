"""What an attachment by one device consists of, whatever the addresses: laws."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pycni.firewall.facts import Owner
from pycni.kernel.model import Link, Route
from pycni.plan import layer, ops
from pycni.spec.address import Address, Prefix
from pycni.spec.result import Dns, IpConfig, Result

LINK = Link(7, "eth0", "macvlan", bytes.fromhex("0a0000000001"))
SANDBOX = "/run/netns/c1"
words = st.text("abc", min_size=1)


@st.composite
def prefixes(draw: st.DrawFn) -> Prefix:
    size = draw(st.sampled_from((4, 16)))
    return Prefix(Address(draw(st.binary(min_size=size, max_size=size))), draw(st.integers(0, size * 8)))


@st.composite
def ips(draw: st.DrawFn) -> IpConfig:
    prefix = draw(prefixes())
    gateway = draw(st.none() | st.just(prefix.network.address))
    return IpConfig(prefix, gateway, draw(st.none() | st.integers(0, 9)))


routes = st.builds(Route, prefixes(), st.none())
results = st.builds(
    Result,
    ips=st.lists(ips(), max_size=4).map(tuple),
    routes=st.lists(routes, max_size=3).map(tuple),
    dns=st.builds(Dns, domain=words),
)


@given(results, st.none() | st.builds(Dns, domain=words))
def test_everything_is_on_the_one_device(allocated: Result, dns: Dns | None) -> None:
    found = layer.report(LINK, SANDBOX, allocated, dns)
    (interface,) = found.interfaces
    assert (interface.name, interface.mac, interface.sandbox) == ("eth0", "0a:00:00:00:00:01", SANDBOX)
    assert [each.interface for each in found.ips] == [0] * len(allocated.ips)
    assert [each.replace(interface=None) for each in found.ips] == [
        each.replace(interface=None) for each in allocated.ips
    ]
    assert found.routes == allocated.routes
    assert found.dns == (allocated.dns if dns is None else dns)


@given(results, st.booleans())
def test_the_device_is_up_in_the_end(allocated: Result, carrier: bool) -> None:
    plan = layer.configure("eth0", allocated, (layer.ARP_NOTIFY, layer.NDISC_NOTIFY), carrier)
    last = plan[-1]
    if not allocated.ips:
        assert plan == [ops.SetLink(ops.CONTAINER, "eth0", up=True)]
        return
    assert plan[:-1] == [
        ops.Sysctl(ops.CONTAINER, "net/ipv4/conf/eth0/arp_notify", "1"),
        ops.Sysctl(ops.CONTAINER, "net/ipv6/conf/eth0/ndisc_notify", "1"),
    ]
    assert isinstance(last, ops.ConfigureInterface)
    assert last.addresses == tuple(each.address for each in allocated.ips)
    gateways = [each.gateway for each in allocated.ips if each.gateway is not None]
    assert last.await_dad == (carrier and any(each.family == 6 for each in gateways))


@given(words, words, words)
def test_a_temporary_name_is_the_attachments_own(network: str, container_id: str, ifname: str) -> None:
    name = layer.temporary_name(Owner(network, container_id, ifname))
    assert name.startswith("veth") and len(name) == 12 and int(name[4:], 16) >= 0
    assert name == layer.temporary_name(Owner(network, container_id, ifname))
    assert name != layer.temporary_name(Owner(network, container_id + "x", ifname))
    assert name != layer.temporary_name(Owner(network, container_id, ifname + "x"))
