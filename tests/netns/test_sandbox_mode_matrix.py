"""Every row of docker's mode matrix (contract docker 1.7), in real namespaces with real packets."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sandbox_town import NOTHING, Town, accepted, static

from netd.runtime.model import Endpoint, PortBinding
from netd.sandbox.settings import Settings

STANDARD = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
PUBLISHED = {"80/tcp": [PortBinding(host_port="8080")]}


@pytest.fixture
def town(netns: Callable[[], Any], tmp_path: Path) -> Iterator[Town]:
    made = Town(netns, tmp_path)
    yield made
    made.close()


def lines(text: str) -> list[str]:
    """Without comments and blanks."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_bridge(town: Town) -> None:
    town.resolv_conf.write_text("nameserver 127.0.0.53\nnameserver 192.0.2.9\nnameserver fd00::1\nsearch example.org\n")
    web = town.started("web", port_bindings=PUBLISHED)
    assert web.container.host_config.network_mode == "bridge"
    assert web.interfaces() == {"eth0": ["172.17.0.2/16"]}
    assert web.default_route() == "172.17.0.1 dev eth0"
    short = web.container.id[:12]
    assert web.text("hosts") == f"{STANDARD}172.17.0.2\t{short}\n"
    assert lines(web.text("resolv.conf")) == ["nameserver 192.0.2.9", "search example.org"]
    assert (web.text("hostname"), web.opened and web.opened.hostname) == (f"{short}\n", short)
    gateway = town.ports.published[web.container.id].ipv4
    assert gateway is not None
    assert (gateway.network, str(gateway.address)) == ("pynet-bridge", "172.17.0.2/16")
    assert web.container.sandbox.ports == PUBLISHED
    assert [str(each.address) for each in town.ports.shields[web.container.id]] == ["172.17.0.2"]

    peer, server = town.started("peer"), web.serve()
    assert peer.reaches("172.17.0.2")
    assert accepted(server) == "172.17.0.3"
    outside = town.serve_outside()
    assert web.reaches("192.0.2.2")
    assert accepted(outside) == "192.0.2.1", "masqueraded"
    # no names, no resolver on the default network
    assert town.left()["names"] == []


def test_bridge_with_public_servers_where_the_host_has_only_loopback(town: Town) -> None:
    town.resolv_conf.write_text("nameserver 127.0.0.1\n")
    assert lines(town.started("web").text("resolv.conf")) == ["nameserver 8.8.8.8", "nameserver 8.8.4.4"]


def test_user_defined(town: Town) -> None:
    town.network("mynet", subnet="10.1.0.0/24")
    web = town.started("web", "mynet", config={"hostname": "www.example.com"}, port_bindings=PUBLISHED)
    assert web.interfaces() == {"eth0": ["10.1.0.2/24"]}
    assert web.text("hosts") == f"{STANDARD}10.1.0.2\twww.example.com www\n"
    assert lines(web.text("resolv.conf")) == ["nameserver 127.0.0.11", "search example.org", "options ndots:0"]
    assert "# ExtServers: [host(192.0.2.2)]" in web.text("resolv.conf")
    assert web.text("hostname") == "www.example.com\n"
    assert web.container.networks["mynet"].dns_names == ["web", web.container.id[:12], "www.example.com"]
    assert town.ports.published[web.container.id].ipv4 is not None
    peer = town.started("peer", "mynet")
    assert peer.ask("web", port=53) == ["10.1.0.2"]
    web.serve()
    assert peer.reaches("10.1.0.2")
    # 0.0.0.0:53 is the container's own to use
    web.serve(53)
    assert peer.reaches("10.1.0.2", 53)
    assert web.ask("peer", port=53) == ["10.1.0.3"]


def test_user_defined_with_both_families(town: Town) -> None:
    town.network("six", subnet="10.6.0.0/24", subnets=["fd00:6::/64"])
    town.network("four", subnet="10.4.0.0/24")
    web = town.started("web", "six")
    assert web.interfaces() == {"eth0": ["10.6.0.2/24", "fd00:6::2/64"]}
    assert web.default_route(6) == "fd00:6::1 dev eth0"
    endpoint = web.container.networks["six"]
    assert (endpoint.global_ipv6_address, endpoint.global_ipv6_prefix_len) == ("fd00:6::2", 64)
    assert web.text("hosts").splitlines()[-2:] == [
        f"10.6.0.2\t{web.container.short_id}",
        f"fd00:6::2\t{web.container.short_id}",
    ]
    town.sandboxes.connect(web.container, "four", Endpoint())
    # no address at all of a family that the network does not have (CVE-2024-32473)
    assert "inet6" in web.run("ip", "addr", "show", "dev", "eth0")
    assert "inet6" not in web.run("ip", "addr", "show", "dev", "eth1")
    assert web.run("cat", "/proc/sys/net/ipv6/conf/default/disable_ipv6") == "0\n"


def test_internal(town: Town) -> None:
    town.network("inner", subnet="10.2.0.0/24", internal=True)
    web = town.started("web", "inner", port_bindings=PUBLISHED)
    assert web.interfaces() == {"eth0": ["10.2.0.2/24"]}
    assert web.default_route() == ""
    assert web.container.networks["inner"].gateway == ""
    assert web.container.sandbox.ports == {}
    assert town.ports.published[web.container.id].ipv4 is None
    assert town.ports.shields[web.container.id] == []
    peer = town.started("peer", "inner")
    web.serve()
    assert peer.ask("web", port=53) == ["10.2.0.2"]
    assert peer.reaches("10.2.0.2")
    town.serve_outside()
    assert not peer.reaches("192.0.2.2", seconds=0.5)
    assert peer.ask("a.example", port=53) == "SERVFAIL"
    # the host has the gateway's address, on which it is reached
    with town.host.inside(), socket.create_server(("10.2.0.1", 8000)):
        assert peer.reaches("10.2.0.1", 8000)


def test_host(town: Town) -> None:
    box = town.create("web", "host", port_bindings=PUBLISHED, dns_search=["lan"])
    assert town.sandboxes.check(box.container) == ["published ports are discarded when using host network mode"]
    box.start()
    assert box.opened is not None
    assert box.opened.netns == ""
    assert box.text("hosts") == Path("/etc/hosts").read_text()
    assert lines(box.text("resolv.conf")) == ["nameserver 192.0.2.2", "search lan"]
    assert box.text("hostname") == os.uname().nodename + "\n"
    assert (box.container.sandbox.key, box.container.sandbox.ports) == ("", {})
    assert town.left() == NOTHING
    more = town.started("more", "host", extra_hosts=["db:192.0.2.7"])
    assert more.text("hosts") == f"{STANDARD}192.0.2.7\tdb\n"
    assert more.text("resolv.conf") == town.resolv_conf.read_text()


def test_none(town: Town) -> None:
    web = town.started("web", "none", port_bindings=PUBLISHED)
    assert web.interfaces() == {}
    assert web.text("hosts") == STANDARD
    assert lines(web.text("resolv.conf")) == ["nameserver 192.0.2.2", "search example.org"]
    assert web.text("hostname") == f"{web.container.short_id}\n"
    assert web.container.sandbox.ports == {}
    web.serve()
    assert web.reaches("127.0.0.1")
    disabled = town.started("disabled", config={"network_disabled": True})
    assert disabled.interfaces() == {}


def test_container(town: Town) -> None:
    town.network("mynet", subnet="10.1.0.0/24")
    donor = town.started("donor", "mynet", config={"hostname": "giver", "domainname": "example.org"})
    joiner = town.started("joiner", "container:donor")
    assert joiner.container.host_config.network_mode == f"container:{donor.container.id}"
    assert joiner.opened == donor.opened
    assert joiner.container.networks == {}
    assert (joiner.container.sandbox.id, joiner.container.config.hostname) == ("", "giver")
    assert joiner.interfaces() == {"eth0": ["10.1.0.2/24"]}
    # and whoever joins the joiner
    third = town.started("third", f"container:{joiner.container.id[:12]}")
    assert third.opened == donor.opened
    hosted = town.started("hosted", "host")
    shares = town.started("shares", "container:hosted")
    assert shares.opened == hosted.opened


@pytest.mark.parametrize("mode", ["bridge", "mynet", "none", "host"])
def test_nothing_is_left_and_nothing_is_shown_after_the_end(town: Town, mode: str) -> None:
    town.network("mynet", subnet="10.1.0.0/24")
    web = town.started("web", mode)
    web.stop()
    town.settle()
    assert town.left() == NOTHING
    assert web.container.sandbox.key == web.container.sandbox.id == ""
    for endpoint in web.container.networks.values():
        shown = (endpoint.ip_address, endpoint.gateway, endpoint.mac_address, endpoint.endpoint_id)
        assert shown == ("", "", "", "")
    web.stop()
    assert town.log == []


def test_the_operator_can_have_names_on_the_default_network(netns: Callable[[], Any], tmp_path: Path) -> None:
    town = Town(netns, tmp_path, settings=Settings(bridge_dns=True))
    try:
        web, peer = town.started("web"), town.started("peer")
        assert peer.ask("web", port=53) == peer.ask("web.bridge", port=53) == ["172.17.0.2"]
        assert web.ask("peer", port=53) == ["172.17.0.3"]
        assert lines(web.text("resolv.conf"))[0] == "nameserver 127.0.0.11"
    finally:
        town.close()


def test_endpoint_settings(town: Town) -> None:
    town.network("mynet", subnet="10.1.0.0/24", subnets=["fd00:1::/64"])
    endpoint = static(
        "10.1.0.77",
        "fd00:1::77",
        mac_address="02:00:00:00:00:07",
        link_local_ips=["169.254.7.7", "fe80::77"],
        driver_opts={
            "com.docker.network.endpoint.ifname": "uplink0",
            "com.docker.network.endpoint.sysctls": "net.ipv4.conf.IFNAME.log_martians=1",
        },
    )
    sysctls = {"net.ipv4.ip_forward": "0", "net/ipv4/conf/uplink0/forwarding": "1", "kernel.shm_rmid_forced": "1"}
    web = town.started("web", "mynet", networks={"mynet": endpoint}, sysctls=sysctls)
    assert web.interfaces() == {"uplink0": ["10.1.0.77/24", "169.254.7.7/16", "fd00:1::77/64"]}
    shown = web.run("ip", "addr", "show", "dev", "uplink0")
    assert "02:00:00:00:00:07" in shown
    assert "inet 169.254.7.7/16" in shown
    assert "inet6 fe80::77/64" in shown
    assert web.run("cat", "/proc/sys/net/ipv4/conf/uplink0/log_martians") == "1\n"
    assert web.run("cat", "/proc/sys/net/ipv4/conf/uplink0/forwarding") == "1\n"
    assert web.run("cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start") == "0\n"
    web.restart()
    assert web.container.networks["mynet"].mac_address == "02:00:00:00:00:07"
    assert web.interfaces() == {"uplink0": ["10.1.0.77/24", "169.254.7.7/16", "fd00:1::77/64"]}
    web.stop()
    assert web.container.networks["mynet"].mac_address == "02:00:00:00:00:07", "asked for, so it stays"


def test_the_default_network_takes_the_next_free_pool(netns: Callable[[], Any], tmp_path: Path) -> None:
    town = Town(netns, tmp_path, dns=False)
    try:
        town.host.run(["ip", "link", "del", "pynet0"])
        town.host.run(["ip", "addr", "add", "172.17.5.1/24", "dev", "wan"])
        town.network("mynet", subnet="172.18.9.0/24")
        town.sandboxes.prepare_default_bridge()
        web = town.started("web", extra_hosts=["gw:host-gateway"])
        assert web.interfaces() == {"eth0": ["172.19.0.2/16"]}
        assert "172.19.0.1\tgw\n" in web.text("hosts")
        # another network in the way later does not take the address from those who are there
        town.host.run(["ip", "addr", "add", "172.19.8.1/24", "dev", "wan"])
        town.sandboxes.prepare_default_bridge()
        assert town.started("peer").interfaces() == {"eth0": ["172.19.0.3/16"]}
    finally:
        town.close()
