"""The plugins that follow a bridge: portmap, firewall, tuning, loopback, alone and in chains."""

from __future__ import annotations

from typing import Any

from address_strategies import host_local
from case_strategies import any_macs, cases, mostly, some, spoiled
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
_bits = mostly((0, 13, 31, 5), (32, -1))
_chains = mostly(("OUTPUT-MARK",), ("NO-SUCH-CHAIN", ""), 6)
# both are refused
_marks = st.one_of(
    st.just({}),
    some({"markMasqBit": _bits}, {}),
    some({"externalSetMarkChain": _chains}, {}),
    some({}, {"markMasqBit": _bits, "externalSetMarkChain": _chains}),
)
MARKING = ["iptables -t nat -N OUTPUT-MARK", "ip6tables -t nat -N OUTPUT-MARK"]
portmap = st.builds(
    lambda config, mark: {**config, **mark},
    some(
        {
            "type": st.just("portmap"),
            "runtimeConfig": mostly(some({"portMappings": mappings}, {}), some({}, {"portMappings": bad_mappings}), 8),
        },
        {
            "snat": st.booleans(),
            "masqAll": st.booleans(),
            "conditionsV4": mostly(_conditions4, st.just(["ip", "saddr", "192.0.2.0/24"])),
            "conditionsV6": mostly(_conditions6, st.just(["ip6", "saddr", "fd99::/64"])),
            "backend": mostly(("iptables",), ("", "x")),
            "capabilities": st.just({"portMappings": True}),
        },
    ),
    _marks,
)
firewall = some(
    {"type": st.just("firewall")},
    {
        "backend": mostly(("iptables", ""), ("auto",)),
        "iptablesAdminChainName": mostly(("CNI-ADMIN", "OPERATOR", "CNI-FORWARD-X"), ("",)),
        "ingressPolicy": mostly(("", "open", "same-bridge", "isolated"), ("x",)),
        "firewalldZone": st.sampled_from(("trusted", "public")),
    },
)
_good_sysctls = st.fixed_dictionaries(
    {},
    optional={
        "net.ipv4.conf.IFNAME.arp_filter": st.sampled_from(("1", "0")),
        "net/ipv4/conf/IFNAME/log_martians": st.sampled_from(("1", "0")),
        "net.ipv4.conf.all.rp_filter": st.sampled_from(("1", "0", "2")),
        "net.core.somaxconn": st.sampled_from(("100", "1\n")),
        "net.ipv6.conf.IFNAME.autoconf": st.sampled_from(("1", "0")),
        "net.ipv4.ip_local_port_range": st.sampled_from(("100\t200", "100 200")),
        "net.ipv4.ping_group_range": st.sampled_from(("1\t2", "100 200")),
    },
)
_any_sysctls = st.dictionaries(
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
_sysctls = mostly(_good_sysctls, _any_sysctls, 4)
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
    "mac": any_macs,
    "promisc": st.booleans(),
    "mtu": mostly((0, 1400, 1280), (68, 65536, -1)),
    "txQLen": mostly((0, 500), (-1,)),
    "allmulti": st.booleans(),
    "sysctl": _sysctls,
}
tuning = some(
    {"type": st.just("tuning")},
    {
        **_attributes,
        "dataDir": st.sampled_from(("/run/cni/elsewhere", "/run/cni/tuning")),
        "args": some({}, {"cni": some({}, _attributes)}),
        "runtimeConfig": some({}, {"mac": any_macs}),
    },
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
_extra = st.builds(lambda files: {"files": files, "sysctls": WATCHED, "setup": MARKING}, _allowlist)
_marking = st.just({"setup": MARKING})
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
@given(cases(_chain(_bridge, spoiled(portmap, often=6)), version=_versions, extra=_marking))
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
