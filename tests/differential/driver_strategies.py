"""Configurations of the plugins whose drivers a kernel may lack: vlan, ipvlan, dummy, vrf, bridge with VLANs.  Their
cases run in the ring vm."""

from __future__ import annotations

from address_strategies import host_local
from case_strategies import mostly, some
from hypothesis import strategies as st
from test_devices import device, ipam, masters, mtus

_names = mostly(("red",), ("eth0", ""), 4)
vlan = device(
    "vlan",
    {"master": masters, "vlanId": mostly((5, 4094), (0, 4095, -1), 6)},
    {"mtu": mtus, "linkInContainer": st.booleans()},
)
ipvlan = device(
    "ipvlan",
    {"master": masters},
    {
        "mode": mostly(("l2", "l3", "l3s"), ("x",)),
        "mtu": mtus,
        "linkInContainer": st.booleans(),
    },
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
)
