"""Plugins that follow others, with results of earlier plugins that nobody made: every layout, indexes that point
nowhere, addresses that are not there."""

from __future__ import annotations

from typing import Any

from case_strategies import Config, cases, junk, some, spoiled, versions
from comparison import Comparison
from hypothesis import given
from hypothesis import strategies as st
from test_chain import WATCHED, firewall, portmap, tuning
from verdict import judge, share

_interface = some(
    {"name": st.sampled_from(("eth0", "cni0", "veth9", ""))},
    {
        "mac": st.sampled_from(("0a:00:00:00:00:01", "", "x")),
        "sandbox": st.sampled_from(("/run/netns/c1", "")),
        "mtu": st.just(1400),
        "socketPath": st.just("/s"),
        "pciID": st.just("0000:00:01.0"),
    },
)
_ip = some(
    {"address": st.sampled_from(("10.1.2.2/24", "10.1.3.3/32", "fd00:1::2/64", "::1/128", "10.1.2.0/24"))},
    {
        "interface": st.sampled_from((0, 1, 2, 7, -1)),
        "gateway": st.sampled_from(("10.1.2.1", "fd00:1::1", "")),
        "version": st.sampled_from(("4", "6")),
    },
)
_route = some(
    {"dst": st.sampled_from(("0.0.0.0/0", "::/0", "10.9.0.0/16", "10.9.1.1/16"))},
    {
        "gw": st.sampled_from(("10.1.2.1", "fd00:1::1")),
        "mtu": st.just(1300),
        "priority": st.just(5),
        "table": st.sampled_from((0, 100)),
        "scope": st.sampled_from((0, 253)),
        "advmss": st.just(1000),
    },
)
_dns = some(
    {}, {"nameservers": st.just(["10.9.9.9"]), "domain": st.just("x"), "search": st.just([]), "options": st.just(["a"])}
)
_recent = some(
    {},
    {
        "interfaces": st.lists(_interface, max_size=3),
        "ips": st.lists(_ip, max_size=3),
        "routes": st.lists(_route, max_size=2),
        "dns": _dns,
    },
)
_block = some(
    {"ip": st.sampled_from(("10.1.2.2/24", "fd00:1::2/64"))},
    {"gateway": st.sampled_from(("10.1.2.1", "")), "routes": st.lists(_route, max_size=2)},
)
_legacy = some({}, {"ip4": _block, "ip6": _block, "dns": _dns})


@st.composite
def previous_results(draw: st.DrawFn) -> tuple[str, Any]:
    """A spec version and a result, nearly always one of its layout."""
    version = draw(versions)
    result: Config = draw(spoiled(_legacy if version in ("0.1.0", "0.2.0") else _recent, junk, 6))
    label = draw(st.sampled_from(("same",) * 5 + ("none", "other")))
    if label != "none":
        result["cniVersion"] = version if label == "same" else draw(versions)
    return version, result


@st.composite
def _lone(draw: st.DrawFn, plugins: Any) -> Any:
    version, result = draw(previous_results())
    steps = draw(st.sampled_from((["ADD", "CHECK", "DEL"], ["DEL"], ["CHECK"], ["ADD", "ADD", "DEL"])))
    case = draw(
        cases(
            plugins.map(lambda each: [each]),
            version=st.just(version),
            args=st.just(""),
            operations=st.just((steps, ["c1"])),
        )
    )
    setup = draw(
        st.sampled_from(([], ["@c1 ip link add eth0 type veth peer name other"], ["ip link add cni0 type bridge"]))
    )
    return case | {
        "prevResult": result,
        "setup": setup,
        "sysctls": WATCHED if case["plugins"][0]["type"] == "tuning" else [],
    }


@share(3)
@given(_lone(portmap))
def test_portmap(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(3)
@given(_lone(firewall))
def test_firewall(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(4)
@given(_lone(tuning))
def test_tuning(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


_ipvlan = some({"type": st.just("ipvlan")}, {"mode": st.sampled_from(("l2", "l3")), "mtu": st.just(1400)})
_vrf = some({"type": st.just("vrf")}, {"vrfname": st.just("red"), "table": st.sampled_from((0, 7))})


@share(0.5)
@given(_lone(_ipvlan | _vrf))
def test_plugins_that_need_drivers(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)


@share(2)
@given(_lone(st.just({"type": "loopback"})))
def test_loopback(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)
