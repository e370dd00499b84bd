"""Addresses and how they are configured: ranges of host-local, routes."""

from __future__ import annotations

import ipaddress
from typing import Any

from case_strategies import Config, Strategy, mostly, some
from hypothesis import strategies as st

SUBNETS4 = ("10.1.2.0/24", "10.1.2.0/30", "10.1.4.0/28", "192.168.7.128/25", "10.0.0.0/8")
SUBNETS6 = ("fd00:1::/64", "fd00:1::/126", "fd00:2::/120", "2001:db8:7::/48")
BAD_SUBNETS = (
    "10.1.2.3/24",
    "10.1.2.0/31",
    "10.1.2.0",
    "fd00:1::1/64",
    "fd00:1::/127",
    "x",
    "",
    "10.1.2.0/33",
    "::ffff:10.0.0.0/120",
    "0.0.0.0/0",
    "::/0",
)
DESTINATIONS = ("0.0.0.0/0", "::/0", "192.168.0.0/16", "10.200.0.0/24", "fd99::/64", "198.51.100.7/32", "fd98::1/128")


@st.composite
def ranges(draw: st.DrawFn, subnets: tuple[str, ...] = SUBNETS4 + SUBNETS6) -> Config:
    text = draw(st.sampled_from(subnets))
    subnet: Any = ipaddress.ip_network(text)
    last = min(subnet.num_addresses - 1, 1 << 20)
    offsets = st.sampled_from((0, 1, 2, 3, 5, 9, last // 2, last - 1, last, last + 1))
    config = {"subnet": text}
    for key in draw(st.lists(st.sampled_from(("rangeStart", "rangeEnd", "gateway")), max_size=2, unique=True)):
        config[key] = str(subnet.network_address + draw(offsets))
    return config


simple_ranges = st.sampled_from(SUBNETS4 + SUBNETS6).map(lambda text: {"subnet": text})
bad_ranges = st.sampled_from(BAD_SUBNETS).map(lambda text: {"subnet": text})


@st.composite
def routes(draw: st.DrawFn) -> Config:
    """Mostly such as the kernel takes: without a gateway, or with one on the subnet of the first address."""
    destination = draw(mostly(tuple(each for each in DESTINATIONS if ":" not in each), DESTINATIONS, 3))
    route: Config = {"dst": destination}
    four = ":" not in destination
    if draw(st.booleans()):
        route["gw"] = draw(
            mostly(("10.1.2.1", "10.1.2.9"), ("10.1.2.2", "10.1.4.1", "10.250.0.1"), 6)
            if four
            else mostly(("fd00:1::1",), ("fd00:2::1", "fe80::1"), 6)
        )
    for key, values in (
        ("mtu", (1300,)),
        ("advmss", (1200,)),
        ("priority", (7, 100)),
        ("table", (100, 254, 1000)),
        ("scope", (0, 0, 253)),
    ):
        if draw(st.integers(0, 3)) == 3:
            route[key] = draw(st.sampled_from(values))
    return route


route_lists = st.lists(routes(), max_size=3)
default_routes = st.sampled_from(
    ([], [{"dst": "0.0.0.0/0"}], [{"dst": "::/0"}, {"dst": "0.0.0.0/0"}], [{"dst": "0.0.0.0/0", "gw": "10.1.2.1"}])
)

range_sets = st.one_of(
    st.just([[{"subnet": "10.1.2.0/24"}]]),
    st.just([[{"subnet": "fd00:1::/64"}]]),
    st.just([[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]]),
    st.just([[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.1.4.0/28"}], [{"subnet": "fd00:2::/120"}]]),
    st.lists(st.lists(ranges(), min_size=1, max_size=2), min_size=1, max_size=2),
    st.lists(st.lists(simple_ranges | ranges() | bad_ranges, max_size=2), max_size=2),
)

good_range_sets = st.sampled_from(
    (
        [[{"subnet": "10.1.2.0/24"}]],
        [[{"subnet": "fd00:1::/64"}]],
        [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]],
        [[{"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.20", "gateway": "10.1.2.9"}]],
        [[{"subnet": "10.1.2.0/24"}, {"subnet": "10.1.3.0/24"}], [{"subnet": "fd00:1::/64"}]],
        [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.1.4.0/28"}], [{"subnet": "fd00:2::/120"}]],
    )
)

RESOLV_CONF = """# a comment
; another
nameserver 10.9.9.9
 nameserver fd00::53\t
nameserver
domain a.example
domain b.example
search x y
search z
options ndots:2 rotate
sortlist 1
"""
RESOLV_PATH = "/run/resolv.conf"


def host_local(sets: Strategy = good_range_sets, most: int = 4) -> Strategy:
    """An `ipam` object."""
    return some(
        {"type": st.just("host-local"), "ranges": sets},
        {
            "routes": route_lists | default_routes,
            "resolvConf": mostly((RESOLV_PATH, RESOLV_PATH, ""), ("/run/no-resolv.conf",)),
            "dataDir": st.just("/run/leases"),
        },
        most,
    )


old_style = some(
    {"type": st.just("host-local")},
    {
        "subnet": st.sampled_from(SUBNETS4 + SUBNETS6 + BAD_SUBNETS),
        "rangeStart": st.sampled_from(("10.1.2.5", "10.1.9.9", "fd00:1::5", "x")),
        "rangeEnd": st.sampled_from(("10.1.2.20", "10.1.2.3", "fd00:1::20")),
        "gateway": st.sampled_from(("10.1.2.7", "10.200.0.1", "fd00:1::7", "")),
        "ranges": good_range_sets,
        "routes": default_routes,
    },
    5,
)

asked_addresses = mostly(
    ([], ["10.1.2.77"], ["10.1.2.30/24"], ["10.1.2.77", "fd00:1::77"]),
    st.lists(
        st.sampled_from(("10.1.2.77", "10.1.2.1", "10.1.2.30/24", "fd00:1::77", "10.1.4.9", "fd00:2::9/64", "bad", "")),
        max_size=2,
    ),
    4,
)
