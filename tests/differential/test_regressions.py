"""Cases that once differed, and one for each kind of difference that is meant."""

from __future__ import annotations

from typing import Any

import pytest
from comparison import Comparison
from verdict import judge

V4 = {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}]]}
_DUAL = {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]]}
BRIDGE = {"type": "bridge", "isGateway": True, "ipMasq": True, "ipam": _DUAL}
PORT = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
TWO = {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "10.1.4.0/24"}]]}
LIMITS = {"ingressRate": 800_000, "ingressBurst": 80_000, "egressRate": 1_600_000, "egressBurst": 80_000}
_BLIND = {"command": "DEL", "netns": ""}

CASES: dict[str, dict[str, Any]] = {
    "an empty subnet": {"plugins": [{"type": "bridge", "ipam": {"type": "host-local", "ranges": [[{"subnet": ""}]]}}]},
    "a wrong address before wrong CNI_ARGS": {
        "args": "K=V",
        "plugins": [{"type": "bridge", "ipam": V4, "runtimeConfig": {"ips": ["bad"]}}],
    },
    "an empty address": {"plugins": [{"type": "bridge", "ipam": V4, "args": {"cni": {"ips": [""]}}}]},
    "a route without destination": {"plugins": [{"type": "bridge", "ipam": {**V4, "routes": [{}]}}]},
    "dns of a wrong type and no namespace": {
        "plugins": [{"type": "bridge", "dns": {"search": [1]}}],
        "steps": [{"command": "ADD", "vanish": True}],
    },
    "CHECK: promiscuity of the bridge": {
        "plugins": [BRIDGE],
        "steps": ["ADD", {"command": "CHECK", "setup": ["ip link set cni0 promisc on"]}, "DEL"],
    },
    "CHECK: promiscuity of the interface": {
        "plugins": [BRIDGE, {"type": "tuning"}],
        "steps": ["ADD", {"command": "CHECK", "setup": ["@c1 ip link set eth0 promisc on"]}, "DEL"],
    },
    "CHECK: the container's address": {
        "plugins": [{**BRIDGE, "ipam": V4}],
        "steps": ["ADD", {"command": "CHECK", "setup": ["@c1 ip link set eth0 address 0a:00:00:00:00:77"]}, "DEL"],
    },
    "an unknown backend with options of iptables": {
        "plugins": [BRIDGE, {"type": "portmap", "backend": "x", "externalSetMarkChain": "A"}]
    },
    "an empty backend with options of nftables": {
        "plugins": [BRIDGE, {"type": "portmap", "backend": "", "conditionsV4": ["ip", "saddr", "192.0.2.0/24"]}]
    },
    "markMasqBit and an empty externalSetMarkChain": {
        "plugins": [BRIDGE, {"type": "portmap", "markMasqBit": 1, "externalSetMarkChain": ""}]
    },
    "the usual chain": {
        "plugins": [
            {"type": "loopback"},
            BRIDGE,
            {"type": "portmap", "runtimeConfig": {"portMappings": [PORT]}},
            {"type": "firewall", "ingressPolicy": "same-bridge"},
            {"type": "tuning", "mtu": 1400, "sysctl": {"net.core.somaxconn": "500"}},
        ],
        "sysctls": ["net/core/somaxconn"],
    },
    "the usual chain, in the oldest layout that firewall knows, without the engine": {
        "version": "0.4.0",
        "way": "lone",
        "plugins": [BRIDGE, {"type": "portmap", "runtimeConfig": {"portMappings": [PORT]}}, {"type": "firewall"}],
    },
    "DEL that sees nothing": {"plugins": [BRIDGE], "steps": ["ADD", _BLIND]},
    "two interfaces on one network": {
        "plugins": [BRIDGE, {"type": "portmap", "runtimeConfig": {"portMappings": [PORT]}}],
        "steps": ["ADD", {"command": "ADD", "ifname": "eth1"}, "DEL", {"command": "DEL", "ifname": "eth1"}],
    },
    "several addresses of a family": {"plugins": [{**BRIDGE, "isGateway": False, "ipam": TWO}]},
    "with duplicate address detection": {"plugins": [{**BRIDGE, "enabledad": True}], "dad": True},
    "a default route of IPAM": {
        "plugins": [{**BRIDGE, "isDefaultGateway": True, "ipam": {**V4, "routes": [{"dst": "0.0.0.0/0"}]}}]
    },
    "no addresses": {"plugins": [{"type": "bridge"}]},
    "0.2.0 without addresses": {"version": "0.2.0", "plugins": [{"type": "bridge"}]},
    "a result passed on that 0.1.0 cannot express": {
        "version": "0.1.0",
        "prevResult": {"cniVersion": "0.1.0"},
        "plugins": [{"type": "tuning"}],
    },
    "the own namespace": {"plugins": [BRIDGE], "steps": [{"command": "ADD", "netns": "/proc/self/ns/net"}]},
    "STATUS of what an ADD would refuse": {
        "version": "1.1.0",
        "args": "K=V",
        "plugins": [BRIDGE],
        "steps": ["STATUS"],
    },
    "both limits": {
        "plugins": [
            BRIDGE,
            {
                "type": "bandwidth",
                "ingressRate": 800_000,
                "ingressBurst": 80_000,
                "egressRate": 1_600_000,
                "egressBurst": 80_000,
            },
        ]
    },
    "source based routing": {"plugins": [BRIDGE, {"type": "sbr"}]},
    "macvlan": {
        "plugins": [{"type": "macvlan", "master": "up0", "ipam": _DUAL}],
        "setup": ["ip link add up0 type veth peer name up1", "ip link set up1 up", "ip link set up0 up"],
    },
    "tap": {"plugins": [{"type": "tap", "ipam": V4}]},
    "an empty name of a bridge, and VLANs": {
        "plugins": [{"type": "bridge", "ipam": V4, "bridge": "", "vlanTrunk": []}],
    },
    "a failed ADD of tap with a bridge": {
        "version": "0.1.0",
        "plugins": [{"type": "tap", "bridge": "inner"}],
        "setup": ["@c1 ip link add inner type bridge"],
    },
    "null among the ranges": {"plugins": [{"type": "host-local", "ipam": {"type": "host-local", "ranges": [[None]]}}]},
    "the last address as a container's id": {
        "plugins": [{"type": "host-local", "ipam": V4}],
        "steps": [{"command": "ADD", "id": "a"}, *({"command": each, "id": "10.1.2.2"} for each in ("CHECK", "DEL"))],
    },
    "wrong CNI_ARGS before an empty address": {
        "args": "K=V",
        "plugins": [{"type": "host-local", "ipam": V4, "runtimeConfig": {"ips": [""]}}],
    },
    "a lease in a sub-directory": {
        "plugins": [{"type": "host-local", "ipam": V4}],
        "files": {"/var/lib/cni/networks/net/sub/10.1.2.9": "c1\r\neth0"},
    },
    "prevResult of another layout before a wrong backend": {
        "version": "0.1.0",
        "prevResult": {"cniVersion": "0.3.0"},
        "plugins": [{"type": "portmap", "backend": "", "runtimeConfig": {"portMappings": []}}],
    },
    "an mtu that the device cannot have": {"plugins": [BRIDGE, {"type": "tuning", "mtu": 65536}]},
    "table 0 of sbr": {"plugins": [BRIDGE, {"type": "sbr", "table": 0}]},
    "ADD of tuning, twice": {
        "version": "0.3.0",
        "prevResult": {"cniVersion": "0.3.0"},
        "plugins": [{"type": "tuning", "mac": "0a:00:00:00:00:01"}],
        "setup": ["@c1 ip link add eth0 type veth peer name other"],
        "steps": ["ADD", "ADD", "DEL"],
    },
    "attributes of routes in an old prevResult": {
        "version": "0.1.0",
        "prevResult": {
            "cniVersion": "0.1.0",
            "ip4": {"ip": "10.1.2.2/24", "routes": [{"dst": "0.0.0.0/0", "advmss": 1000}]},
        },
        "plugins": [{"type": "portmap", "runtimeConfig": {"portMappings": []}}],
        "steps": ["ADD", "CHECK", "DEL"],
    },
    "loopback with a prevResult of another layout": {
        "prevResult": {"cniVersion": "0.1.0"},
        "plugins": [{"type": "loopback"}],
        "steps": ["ADD", "CHECK", "DEL"],
    },
    "dhcp without ipam": {"plugins": [{"type": "dhcp"}], "steps": ["ADD", "CHECK", "DEL"]},
    "ptp without addresses, and no namespace": {
        "plugins": [{"type": "ptp", "ipam": {"type": "static", "addresses": []}}],
        "steps": [{"command": "ADD", "vanish": True}, "CHECK", "DEL"],
    },
    "a bad hardware address for tuning": {"plugins": [BRIDGE, {"type": "tuning", "mac": "10.1.2.3"}]},
    "a prevResult of another layout": {
        "version": "0.1.0",
        "prevResult": {"cniVersion": "0.3.0"},
        "plugins": [{"type": "tuning"}],
    },
    "addSourceHints of a wrong type": {"plugins": [BRIDGE, {"type": "sbr", "addSourceHints": ""}]},
    "an IPv4 address whose version is 6": {
        "version": "0.3.0",
        "prevResult": {"cniVersion": "0.3.0", "ips": [{"address": "10.1.2.2/24", "version": "6"}], "dns": {}},
        "plugins": [{"type": "bandwidth"}],
        "steps": ["ADD", "CHECK", "DEL"],
    },
    "a VLAN ID beyond 32 bits": {"plugins": [{"type": "bridge", "vlan": 1 << 33, "vlanTrunk": [{"id": 1 << 33}]}]},
    "ptp whose mtu is too small for IPv6": {
        "plugins": [{"type": "ptp", "mtu": 68, "ipam": {**V4, "ranges": [[{"subnet": "fd00:1::/64"}]]}}]
    },
    "sbr for an address that nobody has": {
        "version": "0.1.0",
        "prevResult": {"cniVersion": "0.1.0", "ip4": {"ip": "10.1.2.2/24"}, "dns": {}},
        "plugins": [{"type": "sbr"}],
        "setup": ["@c1 ip link add eth0 type veth peer name other"],
        "steps": ["ADD", "CHECK", "DEL"],
    },
    "CHECK: rules of portmap": {
        "plugins": [BRIDGE, {"type": "portmap", "runtimeConfig": {"portMappings": [PORT]}}],
        "steps": ["ADD", {"command": "CHECK", "setup": ["iptables -t nat -F"]}, "DEL"],
    },
    "CHECK: the way to an address's own subnet": {
        "plugins": [{"type": "macvlan", "master": "up0", "ipam": V4}],
        "setup": ["ip link add up0 type veth peer name up1", "ip link set up1 up", "ip link set up0 up"],
        "steps": ["ADD", {"command": "CHECK", "setup": ["@c1 ip route flush table main"]}, "DEL"],
    },
    "host-device whose name is lo": {"plugins": [{"type": "host-device", "device": "lo"}]},
    "GC of an attachment that is not valid": {
        "version": "1.1.0",
        "plugins": [BRIDGE, {"type": "portmap", "runtimeConfig": {"portMappings": [PORT]}}],
        "steps": ["ADD", {"command": "GC", "valid": []}, "DEL"],
    },
    "a wrong start beside ranges": {
        "plugins": [{"type": "host-local", "ipam": {**V4, "rangeStart": "x"}}],
    },
    "dns of a wrong type, of a device alone": {
        "plugins": [{"type": "host-device", "device": "hd0", "dns": ""}],
        "setup": ["ip link add hd0 type veth peer name hd1"],
    },
    "dns of a wrong type, of a plugin that reports none": {"plugins": [BRIDGE, {"type": "tuning", "dns": ""}]},
    "tap with owner, group, mtu and mac": {
        "plugins": [{"type": "tap", "owner": 0, "group": 0, "mtu": 1400, "mac": "0a:00:00:00:00:01", "ipam": _DUAL}],
    },
    "sbr where a table of one family has routes already": {
        "plugins": [{"type": "bridge", "ipam": _DUAL}, {"type": "sbr"}],
        "setup": [
            "@c1 ip link add other type veth peer name another",
            "@c1 ip link set other up",
            "@c1 ip route add 10.9.0.0/16 dev other table 101",
        ],
    },
    "a device whose mtu was changed comes back with it": {
        "plugins": [{"type": "host-device", "device": "up0", "ipam": V4}],
        "setup": ["ip link add up0 type veth peer name up1", "ip link set up0 up mtu 1450"],
        "steps": ["ADD", {"command": "CHECK", "setup": ["@c1 ip link set eth0 mtu 1300"]}, "DEL", "DEL"],
    },
    "a hardware address that is the master's": {
        "plugins": [{"type": "macvlan", "master": "up0", "mac": "0a:00:00:00:00:02"}],
        "setup": [
            "ip link add up0 type veth peer name up1",
            "ip link set up0 up address 0a:00:00:00:00:02",
        ],
    },
    "null among the texts of dns": {
        "plugins": [{"type": "tap", "dns": {"options": ["", None]}}],
    },
    "what only 1.0.0 knows of an interface, in an older prevResult": {
        "version": "0.4.0",
        "prevResult": {"cniVersion": "0.4.0", "interfaces": [{"name": "eth0", "mtu": "", "pciID": 1}], "dns": {}},
        "plugins": [{"type": "tuning"}],
        "setup": ["@c1 ip link add eth0 type veth peer name other"],
        "steps": ["ADD", "DEL"],
    },
    "addresses for a device without a carrier": {
        "plugins": [{"type": "host-device", "device": "hd0", "ipam": _DUAL}],
        "setup": ["ip link add hd0 type veth peer name hd1"],
    },
    "two interfaces on one network, behind loopback": {
        "plugins": [
            {"type": "loopback"},
            {"type": "bridge", "ipam": V4},
            {"type": "portmap", "runtimeConfig": {"portMappings": [PORT]}},
        ],
        "steps": ["ADD", {"command": "ADD", "ifname": "eth1"}, "DEL", {"command": "DEL", "ifname": "eth1"}],
    },
    "two interfaces on one network, with rules of nftables": {
        "plugins": [
            {"type": "bridge", "ipam": V4},
            {
                "type": "portmap",
                "backend": "nftables",
                "runtimeConfig": {"portMappings": [PORT, {**PORT, "containerPort": 53, "protocol": "sctp"}]},
            },
        ],
        "steps": ["ADD", {"command": "ADD", "ifname": "eth1"}, "DEL", {"command": "DEL", "ifname": "eth1"}],
    },
    "addSourceHints in a second container": {
        "containers": ["c1", "c2"],
        "plugins": [{"type": "bridge", "ipam": V4}, {"type": "sbr", "addSourceHints": True}],
        "steps": [
            "ADD",
            {"command": "ADD", "container": "c2"},
            "DEL",
            {"command": "DEL", "container": "c2"},
        ],
    },
    "an administrator's chain in other letters": {
        "plugins": [BRIDGE, {"type": "firewall", "Iptablesadminchainname": "CNI-FORWARD-X"}],
    },
    "tuning that fails after it gave the interface another hardware address": {
        "plugins": [BRIDGE, {"type": "tuning", "mac": "0a:00:00:00:00:02", "mtu": 65536}],
    },
    "CHECK: a route without a gateway": {
        "plugins": [{**BRIDGE, "ipam": {**V4, "routes": [{"dst": "0.0.0.0/0"}]}}],
        "steps": ["ADD", {"command": "CHECK", "setup": ["@c1 ip route del default"]}, "DEL"],
    },
    "CHECK: a route with a gateway": {
        "plugins": [{**BRIDGE, "ipam": {**V4, "routes": [{"dst": "10.9.0.0/16", "gw": "10.1.2.1"}]}}],
        "steps": ["ADD", {"command": "CHECK", "setup": ["@c1 ip route del 10.9.0.0/16"]}, "DEL"],
    },
    "ptp with one address for two containers": {
        "containers": ["c1", "c2"],
        "plugins": [
            {
                "type": "ptp",
                "ipam": {"type": "static", "addresses": [{"address": "10.1.2.9/24", "gateway": "10.1.2.1"}]},
            }
        ],
        "steps": ["ADD", {"command": "ADD", "container": "c2"}, "DEL", {"command": "DEL", "container": "c2"}],
    },
    "CHECK: rules of ptp": {
        "plugins": [{"type": "ptp", "ipMasq": True, "ipam": V4}],
        "steps": ["ADD", {"command": "CHECK", "setup": ["iptables -t nat -F"]}, "DEL"],
    },
    "ipvlan on a container's device, where the kernel may have no driver": {
        "plugins": [{"type": "ipvlan", "master": "up0", "linkInContainer": True, "ipam": V4}],
        "setup": ["@c1 ip link add up0 type veth peer name up1", "@c1 ip link set up0 up"],
    },
    "two interfaces behind a limit that is refused": {
        "plugins": [{"type": "bridge", "ipam": V4}, {"type": "bandwidth", "egressBurst": 8_000_000}],
        "steps": ["ADD", {"command": "ADD", "ifname": "eth1"}, "DEL", {"command": "DEL", "ifname": "eth1"}],
    },
    "two addresses of one range": {
        "plugins": [
            {"type": "host-local", "ipam": V4, "runtimeConfig": {"ips": ["10.1.2.9", "10.1.2.77", "10.1.2.78"]}}
        ],
    },
    "two routes to one network, one with an mtu": {
        "plugins": [
            {
                "type": "bridge",
                "ipam": {
                    **V4,
                    "routes": [
                        {"dst": "198.51.100.7/32", "gw": "10.1.2.1", "mtu": 1300},
                        {"dst": "198.51.100.7/32", "gw": "10.1.2.1", "priority": 7},
                    ],
                },
            }
        ],
    },
    "a failed ADD of macvlan, again": {
        "plugins": [{"type": "macvlan", "master": "up0", "ipam": {**V4, "resolvConf": "/run/none"}}],
        "setup": ["ip link add up0 type veth peer name up1", "ip link set up0 up"],
        "steps": ["ADD", "ADD", "DEL"],
    },
    "a failed ADD of macvlan that nothing may stand beside": {
        "plugins": [
            {"type": "macvlan", "master": "up0", "mode": "passthru", "ipam": {**V4, "resolvConf": "/run/none"}}
        ],
        "setup": ["ip link add up0 type veth peer name up1", "ip link set up0 up"],
        "steps": ["ADD", {"command": "ADD", "ifname": "eth1"}, "DEL"],
    },
    "a failed ADD of macvlan whose hardware address stays taken": {
        "version": "0.1.0",
        "plugins": [{"type": "macvlan", "master": "up0", "mac": "0a:00:00:00:00:01"}],
        "setup": ["ip link add up0 type veth peer name up1", "ip link set up0 up"],
        "steps": ["ADD", {"command": "ADD", "ifname": "eth1"}, "DEL", {"command": "DEL", "ifname": "eth1"}],
    },
    "an address whose version is none": {
        "version": "0.4.0",
        "prevResult": {
            "cniVersion": "0.4.0",
            "ips": [{"address": "fd00:1::2/64"}, {"address": "fd00:1::3/64", "version": "x"}],
            "dns": {},
        },
        "plugins": [{"type": "bandwidth"}],
        "steps": ["ADD", "CHECK", "DEL"],
    },
    "tap with owner, group, mtu and mac, as a bridge's port": {
        "plugins": [
            {"type": "tap", "owner": 0, "group": 0, "mtu": 1400, "mac": "0a:00:00:00:00:01", "bridge": "inner"}
        ],
        "setup": ["@c1 ip link add inner type bridge"],
    },
    "CHECK: rules of macspoofchk, and addresses": {
        "plugins": [{"type": "bridge", "macspoofchk": True, "ipam": V4}],
        "steps": [
            "ADD",
            {"command": "CHECK", "setup": ["@c1 ip addr flush dev eth0", "nft flush table bridge nat"]},
            "DEL",
        ],
    },
    "a refused ADD before another container's": {
        "containers": ["c1", "c2"],
        "plugins": [{"type": "tap", "ipam": V4}],
        "setup": ["@c1 ip link add eth0 type bridge"],
        "steps": ["ADD", "DEL", {"command": "ADD", "container": "c2"}, {"command": "DEL", "container": "c2"}],
    },
    "two sysctls that cannot be set": {
        "plugins": [BRIDGE, {"type": "tuning", "sysctl": {"kernel.msgmax": "", "net.ipv4.ip_local_port_range": "x"}}],
    },
    "CHECK: keys that exclude each other": {"plugins": [{**BRIDGE, "hairpinMode": True, "promiscMode": True}]},
    "host-device": {
        "plugins": [{"type": "host-device", "device": "hd0", "ipam": V4}],
        "setup": ["ip link add hd0 type veth peer name hd1", "ip link set hd1 up"],
    },
}


@pytest.mark.parametrize("name", CASES)
def test_case(comparison: Comparison, name: str) -> None:
    judge(comparison, CASES[name])
