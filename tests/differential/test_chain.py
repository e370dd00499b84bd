"""The plugins that follow a bridge: portmap, firewall, tuning, loopback, alone and in chains."""

from __future__ import annotations

from typing import Any

from address_strategies import host_local
from case_strategies import bad_macs, cases, macs, some, spoiled
from comparison import Comparison
from hypothesis import given
from hypothesis import strategies as st
from verdict import judge, share

_ports = st.sampled_from((80, 8080, 53, 65535, 1, 0, -1, 65536))
_good_ports = st.sampled_from((80, 8080, 53, 65535, 1))
mappings = st.lists(
    some(
        {
            "hostPort": _good_ports,
            "containerPort": _good_ports,
            "protocol": st.sampled_from(("tcp", "udp", "sctp", "TCP")),
        },
        {"hostIP": st.sampled_from(("", "0.0.0.0", "::", "10.1.2.1", "127.0.0.1", "::1", "192.0.2.9", "fd00:1::1"))},
        1,
    ),
    max_size=4,
)
bad_mappings = st.lists(
    some(
        {"hostPort": _ports, "containerPort": _ports},
        {"protocol": st.sampled_from(("tcp", "udp", "", "x", "icmp")), "hostIP": st.sampled_from(("x", "10.1.2.1/24"))},
    ),
    min_size=1,
    max_size=2,
)
_conditions4 = st.sampled_from(([], ["-s", "192.0.2.0/24"], ["!", "-d", "192.0.2.1"], ["-i", "lo"]))
_conditions6 = st.sampled_from(([], ["-s", "fd99::/64"], ["!", "-s", "fd98::/64"]))
portmap = some(
    {"type": st.just("portmap"), "runtimeConfig": some({"portMappings": mappings}, {})},
    {
        "snat": st.booleans(),
        "masqAll": st.booleans(),
        "markMasqBit": st.sampled_from((0, 13, 31, 32, -1, 5)),
        "externalSetMarkChain": st.sampled_from(("NO-SUCH-CHAIN", "", "OUTPUT-MARK")),
        "conditionsV4": _conditions4 | st.just(["ip", "saddr", "192.0.2.0/24"]),
        "conditionsV6": _conditions6 | st.just(["ip6", "saddr", "fd99::/64"]),
        "backend": st.sampled_from(("iptables", "iptables", "", "x")),
        "runtimeConfig": some({}, {"portMappings": bad_mappings}),
        "capabilities": st.just({"portMappings": True}),
    },
    3,
)
firewall = some(
    {"type": st.just("firewall")},
    {
        "backend": st.sampled_from(("iptables", "", "auto")),
        "iptablesAdminChainName": st.sampled_from(("CNI-ADMIN", "OPERATOR", "", "CNI-FORWARD-X")),
        "ingressPolicy": st.sampled_from(("", "open", "same-bridge", "isolated", "x")),
        "firewalldZone": st.sampled_from(("trusted", "public")),
    },
    3,
)
_sysctls = st.dictionaries(
    st.sampled_from(
        (
            "net.ipv4.conf.IFNAME.arp_filter",
            "net/ipv4/conf/IFNAME/log_martians",
            "net.ipv4.conf.all.rp_filter",
            "net.core.somaxconn",
            "net.ipv4.conf.IFNAME.IFNAME",
            "net.ipv6.conf.IFNAME.autoconf",
            "kernel.msgmax",
            "net.ipv4.../kernel.x",
            "",
            "net",
            "net.ipv4.no_such",
            "net.ipv4.ip_local_port_range",
            "net.ipv4.ping_group_range",
        )
    ),
    st.sampled_from(("1", "0", "2", "", "x", "100\t200", "1\n", "100 200")),
    max_size=3,
)
WATCHED = [
    "net/ipv4/conf/eth0/arp_filter",
    "net/ipv4/conf/eth0/log_martians",
    "net/ipv4/conf/all/rp_filter",
    "net/core/somaxconn",
    "net/ipv6/conf/eth0/autoconf",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/ping_group_range",
]
_attributes: dict[str, Any] = {
    "mac": macs | bad_macs,
    "promisc": st.booleans(),
    "mtu": st.sampled_from((0, 1400, 68, 65536, -1, 1280)),
    "txQLen": st.sampled_from((0, 500, -1)),
    "allmulti": st.booleans(),
    "sysctl": _sysctls,
}
tuning = some(
    {"type": st.just("tuning")},
    {
        **_attributes,
        "dataDir": st.sampled_from(("/run/cni/elsewhere", "/run/cni/tuning")),
        "args": some({}, {"cni": some({}, _attributes, 2)}),
        "runtimeConfig": some({}, {"mac": macs | bad_macs}),
    },
    4,
)
_allowlist = st.sampled_from(
    (
        {},
        {},
        {},
        {"/etc/cni/tuning/allowlist.conf": "^net.ipv4.conf\n\n  net/core  \n"},
        {"/etc/cni/tuning/allowlist.conf": "\n"},
    )
)
_extra = st.builds(lambda files: {"files": files, "sysctls": WATCHED}, _allowlist)
_bridge = some(
    {"type": st.just("bridge"), "ipam": host_local(most=0)}, {"isGateway": st.just(True), "ipMasq": st.just(True)}, 2
)
_bare_bridge = st.just({"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.1.2.0/24"}})
_versions = st.sampled_from(("0.4.0", "1.0.0", "1.1.0", "0.3.1", "0.2.0"))
_tampering = st.sampled_from(
    (
        "?iptables -t nat -F",
        "?iptables -F CNI-FORWARD",
        "?iptables -F FORWARD",
        "?ip6tables -F FORWARD",
        "?@c1 ip link set eth0 mtu 1399",
        "?@c1 ip link set eth0 promisc on allmulticast on",
        "?@c1 ip addr flush dev eth0 scope global",
        "?@c1 ip link set eth0 address 0a:00:00:00:00:77",
        "?@c1 ip link del eth0",
        "?@c1 ip link set eth0 down",
        "?@c1 ip route flush table main",
        "?@c1 sysctl -qw net.ipv4.conf.eth0.arp_filter=1 net.core.somaxconn=77",
        "?ip link set cni0 promisc on",
        "?ip link set cni0 address 0a:00:00:00:00:78",
        "?ip link del cni0",
        "?@c1 ip link set lo down",
        "ip netns list",
    )
)
_tampered = _tampering.map(lambda line: (["ADD", {"command": "CHECK", "setup": [line]}, "DEL", "DEL"], ["c1"]))


def _chain(*more: Any) -> Any:
    return st.tuples(*more).map(list)


@share(12)
@given(cases(_chain(_bridge, spoiled(portmap, often=6)), version=_versions))
def test_portmap(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(6)
@given(cases(_chain(_bridge, spoiled(firewall, often=6)), version=_versions))
def test_firewall(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(10)
@given(cases(_chain(_bare_bridge, spoiled(tuning, often=6)), version=_versions, extra=_extra))
def test_tuning(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(5)
@given(
    cases(_chain(st.just({"type": "loopback"}), _bridge, portmap, firewall, tuning), version=_versions, extra=_extra)
)
def test_the_usual_chain(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(5)
@given(
    cases(_chain(_bridge, portmap, firewall, tuning), operations=_tampered, version=st.just("1.0.0"), args=st.just(""))
)
def test_check_after_somebody_changed_something(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)
