"""bandwidth and sbr behind a bridge, and behind nothing."""

from __future__ import annotations

from typing import Any

from address_strategies import default_routes, host_local
from case_strategies import cases, mostly, some, spoiled
from comparison import Comparison
from hypothesis import given
from hypothesis import strategies as st
from test_chained_alone import previous_results
from verdict import judge, share

_KEYS = ("ingressRate", "ingressBurst", "egressRate", "egressBurst")
_bits = st.sampled_from((0, 8, 800, 8_000_000, 80_000, 100_000_000_000, 1 << 35, (1 << 35) - 8, 1, -1, 1 << 64))
_good = st.sampled_from((8_000_000, 80_000, 1_000_000))
_good_limits = some({}, dict.fromkeys(("ingressRate", "ingressBurst", "egressRate", "egressBurst"), _good))
_pairs = st.sampled_from(
    (
        {"ingressRate": 800_000, "ingressBurst": 80_000},
        {"egressRate": 1_600_000, "egressBurst": 80_000},
        {"ingressRate": 800_000, "ingressBurst": 80_000, "egressRate": 1_600_000, "egressBurst": 90_000},
        {"ingressRate": 0, "ingressBurst": 0},
    )
)
_limits = mostly(_pairs, _good_limits | some({}, dict.fromkeys(_KEYS, _bits)), 3)
bandwidth = st.one_of(
    _limits.map(lambda limits: {"type": "bandwidth", **limits}),
    _limits.map(lambda limits: {"type": "bandwidth", "runtimeConfig": {"bandwidth": limits}}),
    st.builds(lambda one, two: {"type": "bandwidth", **one, "runtimeConfig": {"bandwidth": two}}, _limits, _limits),
)
sbr = some(
    {"type": st.just("sbr")},
    {
        "table": st.sampled_from((200, 100, 254, 0, -1, 1 << 32)),
        "gateways": st.lists(st.sampled_from(("10.1.2.1", "fd00:1::1", "10.1.2.200", "x", "")), max_size=3),
        "addSourceHints": st.booleans(),
    },
    3,
)
_bridge = some(
    {"type": st.just("bridge"), "ipam": host_local(most=0)},
    {"isGateway": st.just(True), "isDefaultGateway": st.just(True), "mtu": st.just(1400)},
)
_with_routes = st.builds(
    lambda config, routes: {**config, "ipam": {**config["ipam"], "routes": routes}}, _bridge, default_routes
)
_versions = st.sampled_from(("0.3.1", "0.4.0", "1.0.0", "1.1.0", "0.2.0"))
_other = ["@c1 ip link add other type veth peer name another", "@c1 ip link set other up"]
_surroundings = st.sampled_from(
    (
        [],
        [],
        [],
        ["@c1 ip rule add from 10.9.9.9 table 100"],
        [
            "@c1 ip link add other type veth peer name another",
            "@c1 ip link set other up",
            "@c1 ip route add 10.9.0.0/16 dev other table 101",
        ],
    )
).map(lambda setup: {"setup": setup})


@share(6)
@given(cases(st.tuples(_with_routes, spoiled(bandwidth, often=6)).map(list), version=_versions))
def test_bandwidth(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(6)
@given(cases(st.tuples(_with_routes, spoiled(sbr, often=6)).map(list), version=_versions, extra=_surroundings))
def test_sbr(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@st.composite
def _lone(draw: st.DrawFn) -> Any:
    version, result = draw(previous_results())
    plugins = draw((bandwidth | sbr).map(lambda each: [each]))
    steps = st.sampled_from((["ADD", "CHECK", "DEL"], ["DEL"], ["CHECK"]))
    drawn = cases(
        st.just(plugins), version=st.just(version), args=st.just(""), operations=steps.map(lambda each: (each, ["c1"]))
    )
    setup = draw(st.sampled_from(([], ["@c1 ip link add eth0 type veth peer name other"])))
    return draw(drawn) | {"prevResult": result, "setup": setup}


@share(3)
@given(_lone())
def test_with_results_that_nobody_made(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)
