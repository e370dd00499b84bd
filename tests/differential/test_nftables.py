"""The backend nftables of bridge, ptp, portmap and firewall: what the rules mean is compared, not how they say it."""

from __future__ import annotations

from typing import Any

from address_strategies import host_local
from case_strategies import cases, collected, mostly, some, spoiled
from comparison import Comparison
from hypothesis import given
from hypothesis import strategies as st
from test_chain import firewall, mappings
from verdict import judge, share

_versions = st.sampled_from(("0.4.0", "1.0.0", "1.1.0"))
_masquerading = some(
    {
        "type": st.just("bridge"),
        "ipMasq": st.just(True),
        "ipMasqBackend": st.just("nftables"),
        "ipam": host_local(most=0),
    },
    {"isGateway": st.just(True), "isDefaultGateway": st.just(True), "mtu": st.just(1400), "bridge": st.just("br1")},
)
_routed = some({"ipam": host_local(most=0)}, {}, 0).map(
    lambda config: {"type": "ptp", "ipMasq": True, "ipMasqBackend": "nftables", **config}
)
_bridge = some({"type": st.just("bridge"), "ipam": host_local(most=0)}, {"isGateway": st.just(True)})
_conditions4 = st.sampled_from((["ip", "saddr", "192.0.2.0/24"], ["iifname", "lo"], ["ip", "saddr", "!=", "192.0.2.1"]))
_conditions6 = st.sampled_from((["ip6", "saddr", "fd99::/64"], ["meta", "mark", "0x1"]))
portmap_nftables = some(
    {
        "type": st.just("portmap"),
        "backend": st.just("nftables"),
        "runtimeConfig": some({"portMappings": mappings}, {}),
    },
    {
        "snat": st.booleans(),
        "masqAll": st.booleans(),
        "markMasqBit": mostly((5,), (32,)),
        "conditionsV4": mostly(_conditions4, ([], ["-s", "192.0.2.0/24"]), 4),
        "conditionsV6": _conditions6,
        "externalSetMarkChain": st.sampled_from(("", "OUTPUT-MARK")),
    },
    5,
)
_firewall = st.builds(lambda config: {**config, "backend": "nftables"}, firewall)


@share(1)
@given(
    cases(
        st.tuples(_masquerading | _masquerading | _masquerading | _routed).map(list),
        version=_versions,
        operations=collected,
    )
)
def test_masquerading(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(2)
@given(cases(st.tuples(_bridge, spoiled(portmap_nftables, often=8)).map(list), version=_versions))
def test_published_ports(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(1)
@given(cases(st.tuples(_bridge, spoiled(_firewall, often=8)).map(list), version=_versions))
def test_firewall(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)
