"""CHECK after somebody changed something, and the DEL after that: an address, a route, a rule or a device is gone or
another, in front of every plugin that has something to look at."""

from __future__ import annotations

from typing import Any

from address_strategies import host_local
from case_strategies import Case, some
from comparison import Comparison
from hypothesis import given
from hypothesis import strategies as st
from test_devices import UPLINK
from verdict import judge, share

_routes = st.sampled_from(([], [{"dst": "0.0.0.0/0"}], [{"dst": "10.9.0.0/16"}, {"dst": "::/0"}]))
_ipam = st.builds(lambda section, routes: {**section, "routes": routes}, host_local(most=0), _routes)
_bridge = some(
    {"type": st.just("bridge"), "isGateway": st.just(True), "ipam": _ipam},
    {"ipMasq": st.just(True), "mtu": st.just(1400), "macspoofchk": st.just(True), "promiscMode": st.just(True)},
)
_limits = {"ingressRate": 800_000, "ingressBurst": 80_000, "egressRate": 1_600_000, "egressBurst": 80_000}
_lists = st.one_of(
    _bridge.map(lambda bridge: ([bridge], [])),
    _bridge.map(lambda bridge: ([bridge, {"type": "sbr"}], [])),
    _bridge.map(lambda bridge: ([bridge, {"type": "bandwidth", **_limits}], [])),
    _bridge.map(lambda bridge: ([bridge, {"type": "firewall", "ingressPolicy": "same-bridge"}], [])),
    _bridge.map(lambda bridge: ([bridge, {"type": "tuning", "mtu": 1380, "allmulti": True, "txQLen": 500}], [])),
    _ipam.map(lambda section: ([{"type": "macvlan", "master": "up0", "mode": "bridge", "ipam": section}], UPLINK)),
    _ipam.map(lambda section: ([{"type": "tap", "ipam": section}], [])),
    _ipam.map(lambda section: ([{"type": "host-device", "device": "up0", "ipam": section}], UPLINK)),
    _ipam.map(
        lambda section: (
            [{"type": "ptp", "ipMasq": True, "ipam": {**section, "ranges": [[{"subnet": "10.1.2.0/24"}]]}}],
            [],
        )
    ),
)
_tampering = st.sampled_from(
    (
        "?@c1 ip addr flush dev eth0 scope global",
        "?@c1 ip -4 addr flush dev eth0",
        "?@c1 ip addr add 10.77.0.1/24 dev eth0",
        "?@c1 ip route del default",
        "?@c1 ip -6 route del default",
        "?@c1 ip route flush table main",
        "?@c1 ip route add 10.78.0.0/16 dev eth0",
        "?@c1 ip rule del from 10.1.2.2",
        "?@c1 ip rule del table 100",
        "?@c1 ip link set eth0 down",
        "?@c1 ip link set eth0 mtu 1300",
        "?@c1 ip link set eth0 txqueuelen 7",
        "?@c1 ip link set eth0 allmulticast off promisc on",
        "?@c1 ip link set eth0 address 0a:00:00:00:00:77",
        "?@c1 ip link del eth0",
        "?ip link del cni0",
        "?ip link set cni0 down",
        "?ip addr flush dev cni0",
        "?ip link set cni0 promisc off",
        "?ip link del up0",
        "?iptables -t nat -F",
        "?iptables -t nat -X",
        "?iptables -F FORWARD",
        "?iptables -D CNI-FORWARD 2",
        "?iptables -F CNI-FORWARD",
        "?iptables -F CNI-ISOLATION-STAGE-1",
        "?rm -rf /var/lib/cni/networks/net",
        "?rm -rf /run/cni/tuning",
        "?rm -f /var/lib/cni/networks/net/10.1.2.2",
        "?nft flush table bridge nat",
        "?nft delete table bridge nat",
    )
)


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    plugins, setup = draw(_lists)
    lines = draw(st.lists(_tampering, min_size=1, max_size=2, unique=True))
    middle = draw(st.sampled_from(("CHECK", "CHECK", "CHECK", "DEL")))
    return {
        "version": draw(st.sampled_from(("0.4.0", "1.0.0", "1.1.0"))),
        "plugins": plugins,
        "setup": setup,
        "steps": ["ADD", {"command": middle, "setup": lines}, "DEL", "DEL"],
    }


@share(3)
@given(_cases())
def test_check_and_del_after_a_change(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)
