"""What may be asked of an endpoint; sysctls; links; names: the pure parts."""

from __future__ import annotations

from typing import Any

import pytest

from netd.failure import InvalidParameter
from netd.networks.conflist import Network, Subnet
from netd.runtime.model import Container, ContainerConfig, Endpoint, EndpointAddresses, HostConfig
from netd.sandbox import endpoints, links, names, settings, sysctls
from netd.sandbox.gateway import Attached
from pycni.firewall.facts import Owner
from pycni.spec.address import Address, Prefix

ADDRESS = Address.parse("10.1.0.7")
NETWORK = Network(
    "mynet", "mynet.conflist", "pynet", "1.0.0", ("bridge",), (Subnet(Prefix.parse("10.1.0.0/24")),), bridge="pn-mynet"
)


def container(**config: Any) -> Container:
    return Container("a1" * 32, "web", "", ContainerConfig(**config), HostConfig(dns=["192.0.2.1", "127.0.0.11"]))


def problems(endpoint: Endpoint, user_defined: bool = True, network: Network | None = NETWORK) -> list[str]:
    try:
        endpoints.check("mynet", endpoint, user_defined, network)
    except InvalidParameter as error:
        return str(error).splitlines()[1:]
    return []


@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        (Endpoint(ipam_config=EndpointAddresses("10.1.0")), "invalid IPv4 address: 10.1.0 (--ip)"),
        (Endpoint(ipam_config=EndpointAddresses("0.0.0.0")), "invalid IPv4 address: 0.0.0.0 (--ip)"),
        (Endpoint(ipam_config=EndpointAddresses("", "10.1.0.2")), "invalid IPv6 address: 10.1.0.2 (--ip6)"),
        (
            Endpoint(ipam_config=EndpointAddresses(link_local_ips=["10.1.0.2"])),
            "invalid link-local IP address: 10.1.0.2",
        ),
        (Endpoint(aliases=["a b"]), "invalid alias: 'a b'"),
        (Endpoint(links=[":x"]), "invalid link: ':x'"),
        (Endpoint(mac_address="02:00"), "invalid MAC address: 02:00"),
        (Endpoint(mac_address="03:00:00:00:00:01"), "is a multicast address"),
        (Endpoint(driver_opts={endpoints.IFNAME: "a/b"}), "a/b"),
        (Endpoint(driver_opts={endpoints.IFNAME: "lo"}), "loopback"),
        (Endpoint(driver_opts={sysctls.OPTION: "net.ipv4.conf.IFNAME.x"}), "IFNAME"),
        (Endpoint(ipam_config=EndpointAddresses("10.2.0.7")), "no configured subnet contains IP address 10.2.0.7"),
        (Endpoint(ipam_config=EndpointAddresses("10.1.0.1")), "is the gateway of 10.1.0.0/24"),
        (Endpoint(ipam_config=EndpointAddresses("10.1.0.0")), "is the network or broadcast address"),
    ],
)
def test_what_is_refused(endpoint: Endpoint, text: str) -> None:
    (found,) = problems(endpoint)
    assert text in found


def test_what_is_fine() -> None:
    full = Endpoint(
        ipam_config=EndpointAddresses("10.1.0.7", "", ["169.254.1.1", "fe80::1"]),
        aliases=["www"],
        links=["db", "db:store"],
        mac_address="02-00-00-00-00-01",
        driver_opts={"com.example.other": "kept", endpoints.IFNAME: "net0"},
    )
    assert problems(full) == problems(full, network=None) == problems(Endpoint(), user_defined=False) == []
    assert endpoints.wanted_addresses(full) == (ADDRESS,)
    assert [str(prefix) for prefix in endpoints.link_local(full)] == ["169.254.1.1/16", "fe80::1/64"]
    # where addresses come from is not known of every list
    assert problems(Endpoint(ipam_config=EndpointAddresses("10.9.0.9")), network=NETWORK.replace(subnets=())) == []


def test_interface_names() -> None:
    assert endpoints.ifname(Endpoint(), ("lo", "eth0", "eth2")) == "eth1"
    assert endpoints.ifname(Endpoint(), ()) == "eth0"
    wish = Endpoint(driver_opts={endpoints.IFNAME: "net0"})
    assert endpoints.ifname(wish, ("lo",)) == "net0"
    with pytest.raises(InvalidParameter, match="net0"):
        endpoints.ifname(wish, ("lo", "net0"))


def test_sysctls_of_the_namespace() -> None:
    given = {
        "net.ipv4.ip_forward": "1",
        "net/ipv4/conf/eth0.100/forwarding": "1",
        "net.ipv6.conf.eth0.disable_ipv6": "0",
        "net.ipv4.conf.all.rp_filter": "0",
        "kernel.msgmax": "1",
    }
    found = {each.key: (each.path, each.ifname) for each in sysctls.of_namespace(given, privileged=False)}
    assert found == {
        "net.ipv4.ip_unprivileged_port_start": ("net/ipv4/ip_unprivileged_port_start", ""),
        "net.ipv4.ping_group_range": ("net/ipv4/ping_group_range", ""),
        "net.ipv4.ip_forward": ("net/ipv4/ip_forward", ""),
        "net.ipv4.conf.eth0/100.forwarding": ("net/ipv4/conf/eth0.100/forwarding", "eth0.100"),
        "net.ipv6.conf.eth0.disable_ipv6": ("net/ipv6/conf/eth0/disable_ipv6", "eth0"),
        "net.ipv4.conf.all.rp_filter": ("net/ipv4/conf/all/rp_filter", ""),
    }
    assert len(sysctls.of_namespace(given, privileged=True)) == 4
    mine = {"net.ipv4.ip_unprivileged_port_start": "80"}
    assert {each.value for each in sysctls.of_namespace(mine, False)} == {"80", "0 2147483647"}


@pytest.mark.parametrize("key", ["net..x", "net/../kernel/x", "net.ipv4.", "net/ipv4/./x"])
def test_sysctls_that_lead_elsewhere(key: str) -> None:
    with pytest.raises(InvalidParameter, match="--sysctl"):
        sysctls.of_namespace({key: "1"}, False)


def test_sysctls_of_an_endpoint() -> None:
    found = sysctls.of_endpoint("net.ipv4.conf.IFNAME.log_martians=1, net.mpls.conf.IFNAME.input=0,", "eth7")
    assert [(each.path, each.value) for each in found] == [
        ("net/ipv4/conf/eth7/log_martians", "1"),
        ("net/mpls/conf/eth7/input", "0"),
    ]
    for bad in ("net.ipv4.conf.eth0.x=1", "net.core.a.IFNAME.x=1", "net.ipv4.conf.IFNAME.x", "net.ipv4.conf.IFNAME=1"):
        with pytest.raises(InvalidParameter, match="IFNAME"):
            sysctls.of_endpoint(bad, "eth0")
    with pytest.raises(InvalidParameter):
        sysctls.of_endpoint("net.ipv4.conf.IFNAME.../../x=1", "eth0")


def test_links() -> None:
    assert links.parse("db") == links.Link("db", "db")
    assert links.parse("/db:/web/store") == links.Link("db", "store")
    target = container(
        hostname="web", exposed_ports={"80/tcp": {}, "81/tcp": {}, "80/udp": {}}, env=["A=b=c", "HOME=/", "X"]
    )
    link = links.Link("db", "my-db")
    assert links.hosts_lines(link, target, [ADDRESS]) == [("10.1.0.7", "my-db web")]
    found = links.variables(link, "app", target, ADDRESS)
    assert found[:2] == ("MY_DB_NAME=/app/my-db", "MY_DB_PORT=tcp://10.1.0.7:80")
    assert "MY_DB_PORT_80_TCP_START=tcp://10.1.0.7:80" in found
    assert "MY_DB_PORT_80_TCP_PORT_END=81" in found
    assert "MY_DB_PORT_80_UDP=udp://10.1.0.7:80" in found
    assert [entry for entry in found if "_ENV_" in entry] == ["MY_DB_ENV_A=b=c"]
    assert len(found) == 2 + 4 + 3 * 4 + 1
    six = links.variables(link, "app", target, Address.parse("fd00::7"))
    assert six[1] == "MY_DB_PORT=tcp://[fd00::7]:80"
    for bad in ("", ":x", "db:", "db:/web/"):
        with pytest.raises(InvalidParameter, match="--link"):
            links.parse(bad)


def test_names_and_their_record() -> None:
    web = container(hostname="www.example.org")
    endpoint = Endpoint(aliases=["a", "web", "not a name"], links=["db:store", "/queue"])
    assert names.dns_names(web, endpoint) == ["web", "a", "not a name", "a1" * 6, "www.example.org"]
    attached = Attached("mynet", "mynet", "eth0", addresses=(Prefix(ADDRESS, 24),), gateways=(ADDRESS,), priority=3)
    record = names.record(web, endpoint, attached, sandbox="n1", netns="/ns", port=53, named=True, resolve=str.upper)
    assert record.names == ("web", "a", "a1" * 6, "www.example.org"), "what cannot be asked for is no name"
    assert record.owner == Owner("mynet", web.id, "eth0")
    assert (record.addresses, record.external, record.priority) == ((ADDRESS,), True, 3)
    assert record.links == (("store", "DB"), ("queue", "QUEUE"))
    assert record.servers == ("192.0.2.1",), "asking ourselves would be a loop"
    hidden = names.record(web, endpoint, attached, sandbox="n1", netns="/ns", port=53, named=False)
    assert (hidden.names, hidden.addresses, hidden.external) == ((), (), True)
    alone = names.placeholder(web, sandbox="n1", netns="/ns", port=53)
    assert (alone.names, alone.external, alone.netns) == ((), False, "/ns")


def test_settings() -> None:
    assert settings.from_environment({}) == settings.Settings()
    given = {"PYNET_BRIDGE_DNS": "1", "PYNET_HOST_GATEWAY_IP": "192.0.2.1,fd00::1"}
    made = settings.from_environment(given)
    assert (made.bridge_dns, [str(each) for each in made.host_gateway]) == (True, ["192.0.2.1", "fd00::1"])
    for name in ("PYNET_BRIDGE_DNS", "PYNET_HOST_GATEWAY_IP"):
        with pytest.raises(InvalidParameter, match=name):
            settings.from_environment({name: "maybe"})
