"""What only the real kernel can show of Namespace: iproute2 as the oracle, real frames, dumps, many links."""

from __future__ import annotations

import _socket
import json
import os
import subprocess
from collections.abc import Callable
from errno import EPERM
from typing import Any

import pytest
from conftest import PrivateNetns

from pycni.kernel import addresses, links
from pycni.kernel.model import Route, format_mac
from pycni.kernel.namespace import TRASH_GROUP
from pycni.kernel.netlink import NLM_F_CREATE, NLM_F_EXCL, NetlinkSocket, Refused, attribute_be32, attribute_text
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import KernelError

Factory = Callable[[], PrivateNetns]


def ip(private: PrivateNetns, *words: str) -> Any:
    return json.loads(private.run(["/usr/sbin/ip", "-json", "-details", *words]).stdout or "[]")


def test_devices_are_what_iproute_shows(netns: Factory) -> None:
    private, other = netns(), netns()
    host, container = private.namespace(), other.namespace()
    bridge = host.create_bridge("br0")
    near, _ = host.create_veth("veth0", "eth0", container, mtu=1400, master=bridge.index)
    host.set_link(near.index, alias="web", group=7, promiscuous=True)
    shown = {each["ifname"]: each for each in ip(private, "link")}
    found = {link.name: link for link in host.links()}
    assert set(shown) == set(found) == {"lo", "br0", "veth0"}
    for name, link in found.items():
        see = shown[name]
        assert (link.index, link.mtu, link.txqlen, format_mac(link.mac), link.promiscuity) == (
            see["ifindex"],
            see["mtu"],
            see["txqlen"],
            see["address"],
            see["promiscuity"],
        )
        assert link.kind == see.get("linkinfo", {}).get("info_kind", "")
    veth = shown["veth0"]
    assert (veth["master"], veth["ifalias"], veth["group"]) == ("br0", "web", "7")
    assert (veth["link_index"], veth["link_netnsid"]) == (found["veth0"].link, found["veth0"].link_netns)


def test_port_flags_are_set_and_cleared(netns: Factory) -> None:
    private = netns()
    host = private.namespace()
    bridge = host.create_bridge("br0")
    near, _ = host.create_veth("a", "b", host, master=bridge.index)
    for hairpin, isolated in ((True, False), (False, True), (True, True), (False, False)):
        host.set_port(near.index, hairpin=hairpin, isolated=isolated)
        (port,) = (each for each in ip(private, "link") if each["ifname"] == "a")
        data = port["linkinfo"]["info_slave_data"]
        assert (data["hairpin"], data["isolated"]) == (hairpin, isolated)


def test_addresses_and_routes_are_what_iproute_shows(netns: Factory) -> None:
    private = netns()
    host = private.namespace()
    _, far = host.create_veth("a", "eth0", host)
    wide = Prefix.parse("10.0.0.0/8")
    routes = (Route(wide, Address.parse("10.1.2.1"), priority=9, mtu=1300, advmss=1200, table=1000, scope=0),)
    host.configure(far.index, (Prefix.parse("10.1.2.3/24"), Prefix.parse("10.7.0.1/31")), routes)
    (device,) = (each for each in ip(private, "-4", "address") if each["ifname"] == "eth0")
    assert [(each["local"], each["prefixlen"], each.get("broadcast")) for each in device["addr_info"]] == [
        ("10.1.2.3", 24, "10.1.2.255"),
        ("10.7.0.1", 31, None),
    ]
    (route,) = ip(private, "route", "show", "table", "1000")
    assert (route["dst"], route["gateway"], route["dev"], route["metric"]) == ("10.0.0.0/8", "10.1.2.1", "eth0", 9)
    assert (route["metrics"][0]["mtu"], route["metrics"][0]["advmss"]) == (1300, 1200)


def test_routes_by_others_are_read(netns: Factory) -> None:
    private = netns()
    host = private.namespace()
    _, far = host.create_veth("a", "eth0", host)
    host.configure(far.index, (Prefix.parse("10.1.2.3/24"), Prefix.parse("fd00::3/64")), ())
    hops = ["nexthop", "via", "10.1.2.1", "dev", "eth0", "nexthop", "via", "10.1.2.2", "dev", "eth0"]
    private.run(["/usr/sbin/ip", "route", "add", "192.168.0.0/16", *hops])
    private.run(["/usr/sbin/ip", "route", "add", "172.16.0.0/12", "via", "inet6", "fd00::1", "dev", "eth0"])
    private.run(["/usr/sbin/ip", "route", "add", "unreachable", "10.66.0.0/16"])
    found = {(str(route.destination), str(route.gateway)) for route in host.routes(4)}
    assert found == {
        ("10.1.2.0/24", "None"),
        ("192.168.0.0/16", "10.1.2.1"),
        ("192.168.0.0/16", "10.1.2.2"),
        ("172.16.0.0/12", "fd00::1"),
    }
    assert host.route_to(Address.parse("10.66.0.1")) is None
    way = host.route_to(Address.parse("fd00::1"))
    assert way is not None and (way.device, way.destination) == (far.index, Prefix.parse("fd00::1/128"))


def test_a_container_reaches_its_gateway(netns: Factory) -> None:
    """Real datagrams through what create_veth and configure made, and none through it once it is retired."""
    host_netns, container_netns = netns(), netns()
    host, container = host_netns.namespace(), container_netns.namespace()
    bridge = host.create_bridge("br0")
    host.configure(bridge.index, (Prefix.parse("10.1.2.1/24"),), ())
    near, far = host.create_veth("veth0", "eth0", container, master=bridge.index)
    default = Route(Prefix.parse("0.0.0.0/0"), Address.parse("10.1.2.1"))
    container.configure(far.index, (Prefix.parse("10.1.2.3/24"),), (default,))
    server = host_netns.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    client = container_netns.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    try:
        server.settimeout(5)
        server.bind(("10.1.2.1", 7777))
        client.sendto(b"hello", ("10.1.2.1", 7777))
        assert server.recvfrom(100) == (b"hello", ("10.1.2.3", client.getsockname()[1]))
        assert host.retire(container, far)
        with pytest.raises(OSError, match="unreachable"):
            client.sendto(b"hello", ("10.1.2.1", 7777))
    finally:
        server.close()
        client.close()
    host.delete_group(TRASH_GROUP)
    assert host.link_by_index(near.index) is None


def test_a_namespace_that_ends_takes_the_pair_along(netns: Factory) -> None:
    host_netns, container_netns = netns(), netns()
    host = host_netns.namespace()
    _, far = host.create_veth("veth0", "eth0", container_netns.namespace())
    assert not host.retire(host, far)
    assert host.link("veth0") is not None


def test_a_dump_of_many_devices_is_complete(netns: Factory) -> None:
    host = netns().namespace()
    for number in range(60):
        host.create_veth(f"a{number}", f"b{number}", host)
    found = host.links()
    assert len({link.index for link in found}) == len(found) == 121
    for link in found:
        if link.kind == "veth":
            host.set_link(link.index, group=TRASH_GROUP)
    host.delete_group(TRASH_GROUP)
    assert [link.name for link in host.links()] == ["lo"]


def test_the_kernels_explanation_comes_along(netns: Factory) -> None:
    host = netns().namespace()
    _, far = host.create_veth("a", "eth0", host)
    with pytest.raises(KernelError) as caught:
        host.configure(far.index, (), (Route(Prefix.parse("0.0.0.0/0"), Address.parse("10.1.2.1")),))
    assert caught.value.details == "Nexthop has invalid gateway"
    assert str(caught.value).endswith("network is unreachable; Nexthop has invalid gateway")


def test_nfnetlink_batches_are_all_or_nothing(netns: Factory) -> None:
    """A table is added; a batch whose second message fails adds nothing and says which one it was."""
    netlink = netns().namespace().netfilter()
    begin = (0x10, 0, b"\0\0\0\x0a")
    end = (0x11, 0, b"\0\0\0\x0a")

    def table(name: str) -> tuple[int, int, bytes]:
        return (0x0A00, NLM_F_CREATE | NLM_F_EXCL, b"\1\0\0\0" + attribute_text(1, name) + attribute_be32(2, 0))

    assert netlink.batch((begin, table("one"), end), acknowledged=-2) == []
    with pytest.raises(Refused) as caught:
        netlink.batch((begin, table("two"), table("one"), end), acknowledged=-2)
    assert caught.value.position == 2
    names = [payload for _, payload in netlink.dump((0x0A01, 0, b"\1\0\0\0"))]
    assert len(names) == 1 and b"one\0" in names[0]


def test_without_privilege_a_batch_is_refused_at_once(netns: Factory) -> None:
    """The kernel reports such a batch on its first message and never reaches the acknowledged one."""
    private = netns()
    program = """
import os, sys
from pycni.kernel.netlink import NETLINK_NETFILTER, NetlinkSocket, Refused
netlink = NetlinkSocket(NETLINK_NETFILTER)
os.setuid(65534)
family = bytes([1, 0, 0, 0])
try:
    netlink.batch(((0x10, 0, bytes([0, 0, 0, 10])), (0x0A00, 0x600, family), (0x11, 0, bytes([0, 0, 0, 10]))), -2)
except Refused as error:
    print(error.errno)
"""
    done = private.run(["/usr/bin/env", f"PYTHONPATH={os.getcwd()}", "/usr/bin/python3", "-c", program])
    assert done.stdout == f"{EPERM}\n"


def test_nothing_of_a_namespace_object_outlives_it(netns: Factory) -> None:
    private = netns()
    before = os.listdir("/proc/self/fd")
    namespace = private.namespace()
    namespace.links()
    namespace.flush_udp_conntrack(4, (53,))
    namespace.close()
    assert os.listdir("/proc/self/fd") == before


def test_children_started_meanwhile_inherit_no_descriptor(netns: Factory) -> None:
    namespace = netns().namespace()
    namespace.links()
    done = subprocess.run(["/bin/ls", "/proc/self/fd"], capture_output=True, text=True, check=True, close_fds=False)
    kept = {namespace.fd, namespace.rtnetlink().fileno()}
    assert not kept & {int(word) for word in done.stdout.split()} - {0, 1, 2, 3}


def test_a_kernel_that_echoes_nothing_is_asked(netns: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.2 RTM_NEWLINK ignores NLM_F_ECHO; the links are looked up then."""
    monkeypatch.setattr(links, "NLM_F_ECHO", 0)
    host, container = netns().namespace(), netns().namespace()
    bridge = host.create_bridge("br0")
    assert bridge == host.link("br0")
    near, far = host.create_veth("veth0", "eth0", container, master=bridge.index)
    assert (near.link, near.master, near.is_up) == (far.index, bridge.index, True)
    assert near.mac == (seen.mac if (seen := host.link("veth0")) else None)


def test_an_abandoned_dump_does_not_block_the_next(netns: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel answers EBUSY while an earlier dump of the socket is unread; 121 links do not fit one datagram."""
    host = netns().namespace()
    for number in range(60):
        host.create_veth(f"a{number}", f"b{number}", host)

    def interrupted(_: NetlinkSocket) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(NetlinkSocket, "_receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            host.links()
    assert len(host.links()) == 121


def test_addresses_of_other_devices_are_left_out(netns: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels before 4.20 answer a dump for one device with all devices' addresses."""
    everything = addresses.get_addresses(0)
    host = netns().namespace()
    near, far = host.create_veth("a", "b", host)
    host.add_address(near.index, Prefix.parse("10.1.2.1/24"))
    host.add_address(far.index, Prefix.parse("10.1.2.2/24"))
    monkeypatch.setattr(addresses, "get_addresses", lambda _: everything)
    assert [str(each.prefix) for each in host.addresses(far.index)] == ["10.1.2.2/24"]
