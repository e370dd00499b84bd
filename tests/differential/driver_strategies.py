"""Configurations of the plugins whose drivers a kernel may lack: vlan, ipvlan, dummy, vrf, bridge with VLANs.  Their
cases run in the ring vm."""

from __future__ import annotations

from address_strategies import host_local
from case_strategies import some
from hypothesis import strategies as st
from test_devices import INSIDE, UPLINK, device, ipam

_masters = st.sampled_from(("up0", "up0", "up0", "none", ""))
_modes = st.sampled_from(("l2", "l3", "l3s", "x"))
_names = st.sampled_from(("red", "eth0", ""))
_mtus = st.sampled_from((0, 1400, 1450, 1451, -1))
vlan = device(
    "vlan",
    {"master": _masters},
    {"vlanId": st.sampled_from((0, 5, 4094, 4095, -1)), "mtu": _mtus, "linkInContainer": st.booleans()},
    4,
)
ipvlan = device(
    "ipvlan",
    {},
    {
        "master": _masters,
        "mode": st.sampled_from(("l2", "l3", "l3s", "x")),
        "mtu": _mtus,
        "linkInContainer": st.booleans(),
    },
    4,
)
dummy = some({"type": st.just("dummy")}, {"ipam": ipam}, 1)
_bridge = some({"type": st.just("bridge"), "ipam": host_local(most=0)}, {}, 0)
vrf = st.tuples(
    _bridge,
    some(
        {"type": st.just("vrf")},
        {"vrfname": _names, "table": st.sampled_from((0, 7, 1000))},
        2,
    ),
).map(list)
bridge_vlan = some(
    {"type": st.just("bridge"), "vlan": st.sampled_from((1, 7, 4094))},
    {
        "ipam": host_local(most=0),
        "isGateway": st.just(True),
        "preserveDefaultVlan": st.booleans(),
        "vlanTrunk": st.just([{"minID": 5, "maxID": 7}, {"id": 9}]),
        "macspoofchk": st.just(True),
    },
    3,
)
uplinks = st.sampled_from((UPLINK, INSIDE)).map(lambda setup: {"setup": setup})
