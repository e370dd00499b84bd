"""Further cases that once differed: addresses and numbers, what one source of a key hides from another."""

from __future__ import annotations

from typing import Any

import pytest
from comparison import Comparison
from test_regressions import BRIDGE, LIMITS, PORT, TWO, V4
from verdict import judge

CASES: dict[str, dict[str, Any]] = {
    "a hidden limit of a wrong type": {
        "plugins": [BRIDGE, {"type": "bandwidth", **LIMITS, "runtimeConfig": {"bandwidth": {"ingressRate": ""}}}],
    },
    "hidden addresses of a wrong type": {
        "plugins": [
            {
                "type": "static",
                "ipam": {"type": "static", "addresses": [{"address": 5}]},
                "runtimeConfig": {"ips": ["10.1.2.9/24"]},
            }
        ],
    },
    "a hidden gateway that is no address": {
        "plugins": [
            {
                "type": "static",
                "ipam": {"type": "static", "addresses": [{"address": "x", "gateway": "y"}]},
                "args": {"cni": {"ips": ["10.1.2.9/24"]}},
            }
        ],
    },
    "a gateway of CNI_ARGS for a configured address": {
        "args": "GATEWAY=10.1.2.1",
        "plugins": [
            {
                "type": "tap",
                "ipam": {
                    "type": "static",
                    "addresses": [{"address": "10.1.2.9/24", "gateway": "10.1.2.7"}, {"address": "fd00:1::9/64"}],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    },
    "a gateway of CNI_ARGS for the address of ptp": {
        "args": "IgnoreUnknown=1;GATEWAY=10.1.2.7, 10.1.2.1",
        "plugins": [{"type": "ptp", "ipam": {"type": "static", "addresses": [{"address": "10.1.2.9/24"}]}}],
    },
    "a negative mtu of ptp": {"plugins": [{"type": "ptp", "mtu": -1, "ipam": V4}]},
    "a negative table of a route": {
        "plugins": [{"type": "bridge", "ipam": {**V4, "routes": [{"dst": "10.9.0.0/16", "table": -1}]}}],
    },
    "a scope that the kernel does not have": {
        "plugins": [{"type": "static", "ipam": {"type": "static", "routes": [{"dst": "10.9.0.0/16", "scope": 300}]}}],
    },
    "a negative mtu of a route in prevResult": {
        "prevResult": {"cniVersion": "1.0.0", "routes": [{"dst": "10.9.0.0/16", "mtu": -1}]},
        "plugins": [{"type": "loopback"}],
        "steps": ["ADD", "CHECK", "DEL"],
    },
    "an index of an interface that no list has": {
        "prevResult": {"cniVersion": "1.0.0", "ips": [{"address": "10.1.2.9/24", "interface": 1 << 33}]},
        "plugins": [{"type": "portmap", "runtimeConfig": {"portMappings": []}}],
        "steps": ["ADD", "CHECK", "DEL"],
    },
    "ptp with two addresses and one gateway": {
        "plugins": [
            {
                "type": "ptp",
                "ipam": {
                    "type": "static",
                    "addresses": [{"address": f"fd00:1::{each}/64", "gateway": "fd00:1::1"} for each in (9, 5)],
                    "routes": [{"dst": "::/0"}],
                },
            }
        ],
    },
    "an ADD that fails in the second range, of an attachment that has an address there": {
        "plugins": [{"type": "host-local", "ipam": TWO}],
        "files": {"/var/lib/cni/networks/net/10.1.4.2": "c1\r\neth0"},
        "steps": ["ADD", "CHECK", {"command": "ADD", "ifname": "eth1"}, {"command": "DEL", "ifname": "eth1"}, "DEL"],
    },
    "a range that begins at the broadcast address": {
        "plugins": [
            {
                "type": "host-local",
                "ipam": {"type": "host-local", "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.255"},
            }
        ],
        "files": {"/var/lib/cni/networks/net/10.1.2.255": "c2\r\neth0"},
        "containers": ["c1", "c2"],
        "steps": ["ADD", "DEL", {"command": "DEL", "container": "c2"}],
    },
    "such a range beside one that it lies in": {
        "plugins": [
            {
                "type": "bridge",
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.255"}, {"subnet": "0.0.0.0/0"}]],
                },
            }
        ],
    },
    "an address that a DEL of the reference's leaves taken": {
        "args": "IgnoreUnknown=1;IP=10.1.2.9",
        "containers": ["c1", "c2"],
        "plugins": [{"type": "bridge", "ipam": V4}, {"type": "vrf"}],
        "steps": ["ADD", "DEL", {"command": "ADD", "container": "c2"}, {"command": "DEL", "container": "c2"}],
    },
    "one address for two containers, with rules of nftables": {
        "containers": ["c1", "c2"],
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": True,
                "ipMasqBackend": "nftables",
                "ipam": {"type": "static", "addresses": [{"address": "10.1.2.9/24", "gateway": "10.1.2.1"}]},
            }
        ],
        "steps": [
            "ADD",
            {"command": "ADD", "container": "c2"},
            "DEL",
            {"command": "CHECK", "container": "c2"},
            {"command": "DEL", "container": "c2"},
        ],
    },
    "another kind of namespace": {
        "plugins": [{"type": "tap"}],
        "steps": [{"command": "ADD", "netns": "/proc/self/ns/mnt"}],
    },
    "tap with owner and group, and an mtu without IPv6": {
        "plugins": [
            {
                "type": "tap",
                "owner": 0,
                "group": 0,
                "mtu": 68,
                "ipam": {"type": "static", "addresses": [{"address": "fd00:1::9/64"}]},
            }
        ],
    },
    "CHECK: one port with conditions, of a protocol in both cases": {
        "plugins": [
            BRIDGE,
            {
                "type": "portmap",
                "conditionsV4": ["-s", "192.0.2.0/24"],
                "runtimeConfig": {
                    "portMappings": [PORT, {**PORT, "protocol": "TCP"}],
                },
            },
        ],
    },
    "a prevResult that is no object": {"plugins": [{"type": "tap"}], "prevResult": [], "steps": ["ADD"]},
    "an empty backend of bridge": {"plugins": [{**BRIDGE, "ipMasqBackend": ""}]},
    "an empty backend of ptp": {
        "plugins": [{"type": "ptp", "ipMasq": True, "ipMasqBackend": "", "ipam": V4}],
        "steps": ["ADD", "CHECK", {"command": "DEL", "vanish": True}],
    },
    "conditions of nftables that are not about addresses": {
        "plugins": [
            BRIDGE,
            {
                "type": "portmap",
                "backend": "nftables",
                "conditionsV4": ["iifname", "lo"],
                "conditionsV6": ["meta", "mark", "0x1"],
                "runtimeConfig": {"portMappings": [PORT]},
            },
        ],
    },
    "sbr for two interfaces where a table has routes already": {
        "plugins": [
            {
                "type": "bridge",
                "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]]},
            },
            {"type": "sbr"},
        ],
        "setup": [
            "@c1 ip link add other type veth peer name another",
            "@c1 ip link set other up",
            "@c1 ip route add 10.9.0.0/16 dev other table 101",
        ],
        "steps": ["ADD", {"command": "ADD", "ifname": "eth1"}, "DEL", {"command": "DEL", "ifname": "eth1"}],
    },
    "a transmit queue of another length": {
        "plugins": [BRIDGE, {"type": "tuning", "txQLen": 500}],
        "steps": ["ADD", {"command": "CHECK", "setup": ["@c1 ip link set eth0 txqueuelen 7"]}, "DEL"],
    },
    "a tap's mac that is longer than Ethernet's": {
        "plugins": [{"type": "tap", "mac": "0a:00:00:00:00:01:02:03", "ipam": V4}]
    },
    "an mtu of macvlan that no kernel has": {
        "plugins": [{"type": "macvlan", "master": "up0", "mtu": 1 << 33, "ipam": V4}],
        "setup": ["ip link add up0 type veth peer name up1"],
    },
    "conditions that are null": {
        "plugins": [
            BRIDGE,
            {
                "type": "portmap",
                "backend": "nftables",
                "conditionsV6": ["meta", "mark", None],
                "runtimeConfig": {"portMappings": []},
            },
        ],
    },
    "a prevResult without a version": {
        "plugins": [{"type": "sbr", "table": 200}],
        "prevResult": {},
        "setup": ["@c1 ip link add eth0 type veth peer name other"],
    },
    "a prevResult with an empty version": {
        "plugins": [{"type": "tuning"}],
        "prevResult": {"cniVersion": "", "interfaces": [{"name": "eth0"}]},
        "setup": ["@c1 ip link add eth0 type veth peer name other"],
    },
    "a refused ADD that the reference serves, and another container's": {
        "containers": ["c1", "c2"],
        "plugins": [{"type": "tap", "owner": 0, "group": 0, "ipam": V4}],
        "setup": ["@c1 ip link add eth0 type bridge"],
        "steps": ["ADD", {"command": "ADD", "container": "c2"}, "DEL", {"command": "DEL", "container": "c2"}],
    },
}


@pytest.mark.parametrize("name", CASES)
def test_case(comparison: Comparison, name: str) -> None:
    judge(comparison, CASES[name])
