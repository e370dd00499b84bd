"""dhcp with a server and each side's own daemon, below macvlan, bridge and by itself: results, addresses and routes,
what the server hears, and which leases it has left."""

from __future__ import annotations

from typing import Any

from case_strategies import Case, some, ways
from comparison import Comparison
from dhcp_service import SOCKET, SPACE
from hypothesis import given
from hypothesis import strategies as st
from verdict import judge, share

_WIRE = [
    "ip link add wan type veth peer name lan",
    f"ip link set lan netns {SPACE}",
    f"@{SPACE} ip addr add 192.0.2.2/24 dev lan",
    f"@{SPACE} ip link set lan up",
    "ip link set wan up",
]
_BRIDGED = [*_WIRE, "ip link add br1 type bridge", "ip link set br1 up", "ip link set wan master br1"]
OWN = [*_WIRE, "ip link add eth0 link wan netns c1 type macvlan mode bridge"]
RANGE = "--dhcp-range=192.0.2.10,192.0.2.99,1h"
_servers = st.lists(
    st.sampled_from(
        (
            "--dhcp-option=3",
            "--dhcp-option=3,192.0.2.3,192.0.2.4",
            "--dhcp-option=121,10.9.0.0/16,192.0.2.3,198.51.100.7/32,0.0.0.0,0.0.0.0/0,192.0.2.4",
            "--dhcp-option=33,10.2.3.4,192.0.2.3",
            "--dhcp-option=6,192.0.2.53",
            "--dhcp-option=1,255.255.0.0",
        )
    ),
    max_size=2,
    unique_by=lambda text: text.partition(",")[0],
).map(lambda options: [RANGE, *options])
_options = st.sampled_from(
    ("121", "33", "subnet-mask", "routers", "host-name", "vendor-class-identifier", "user-class", "42", "256", "x")
)
_good_options = st.sampled_from(("121", "33", "subnet-mask", "routers", "42"))
_provided = st.sampled_from(("host-name", "vendor-class-identifier", "60", "12", "224"))
ipam = some(
    {"type": st.just("dhcp"), "daemonSocketPath": st.sampled_from((SOCKET,) * 9 + ("/run/none.sock",))},
    {
        "request": st.lists(
            some({"option": _good_options | _good_options | _options}, {"skipDefault": st.booleans()}), max_size=3
        ),
        "provide": st.lists(
            some(
                {"option": _provided},
                {"value": st.sampled_from(("web", "a b", "", "x" * 60)), "fromArg": st.sampled_from(("CLASS", "NONE"))},
                2,
            ),
            max_size=2,
            unique_by=lambda each: each["option"],
        ),
        "priority": st.sampled_from((0, 7, 100)),
    },
    3,
)
_macvlan = ipam.map(lambda section: ([{"type": "macvlan", "master": "wan", "ipam": section}], _WIRE))
_bridge = ipam.map(lambda section: ([{"type": "bridge", "bridge": "br1", "ipam": section}], _BRIDGED))
_alone = ipam.map(lambda section: ([{"type": "dhcp", "ipam": section}], OWN))
_steps = st.sampled_from(
    (
        *(["ADD", "CHECK", "DEL", "DEL"],) * 3,
        ["ADD", "CHECK", {"command": "ADD", "container": "c2"}, "DEL", {"command": "DEL", "container": "c2"}],
        ["DEL", "ADD", "DEL"],
        ["STATUS", "ADD", "DEL"],
        [{"command": "ADD", "vanish": True}, "DEL"],
    )
)


@st.composite
def _cases(draw: st.DrawFn) -> Case:
    plugins, setup = draw(_macvlan | _bridge | _alone)
    steps = draw(_steps)
    two = any(isinstance(each, dict) and each.get("container") == "c2" for each in steps)
    if plugins[0]["type"] == "dhcp":
        setup = [*setup, *(["ip link add eth0 link wan netns c2 type macvlan mode bridge"] if two else [])]
    return {
        "version": draw(st.sampled_from(("0.2.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"))),
        "way": draw(ways),
        "args": draw(st.sampled_from(("", "", "CLASS=green;other", "CLASS=", "CLASS=a=b;IgnoreUnknown=1"))),
        "containers": ["c1", *(["c2"] if two else []), SPACE],
        "steps": steps,
        "plugins": plugins,
        "setup": setup,
        "dhcp": draw(_servers),
    }


@share(1)
@given(_cases())
def test_leases(comparison: Comparison, case: dict[str, Any]) -> None:
    judge(comparison, case)
