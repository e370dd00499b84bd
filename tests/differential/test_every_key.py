"""Every key of every plugin with a value that has an effect, whatever the seed draws."""

from __future__ import annotations

from typing import Any

import pytest
from address_strategies import RESOLV_CONF, RESOLV_PATH
from case_strategies import FIXED_MAC, OTHER_MAC
from comparison import Comparison
from dhcp_service import SOCKET
from test_devices import CARDS, DEFAULT_ROUTE, HOST_DEVICES, INSIDE, UPLINK
from test_dhcp import OWN, RANGE
from verdict import judge

_DNS = {"nameservers": ["10.9.9.9"], "domain": "example.org", "search": ["a"], "options": ["ndots:2"]}
_ROUTES = [
    {"dst": "0.0.0.0/0", "gw": "10.1.2.1", "priority": 7},
    {"dst": "10.200.0.0/16", "gw": "10.1.2.1", "mtu": 1300, "advmss": 1200},
    {"dst": "10.201.0.0/16", "scope": 253, "table": 100},
]
_RANGE = {"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.20", "rangeEnd": "10.1.2.30", "gateway": "10.1.2.1"}
_IPAM = {"type": "host-local", "ranges": [[_RANGE]], "routes": _ROUTES, "dataDir": "/run/leases"}
_PLAIN = {"type": "host-local", "ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00:1::/64"}]]}
_STATIC = {
    "type": "static",
    "addresses": [{"address": "10.1.2.9/24", "gateway": "10.1.2.1"}],
    "routes": _ROUTES,
    "dns": _DNS,
}
_MAC = f"IgnoreUnknown=1;MAC={OTHER_MAC}"
_BRIDGE = {"type": "bridge", "isGateway": True, "ipam": _PLAIN}
_LIMITS = {"ingressRate": 800_000, "ingressBurst": 80_000, "egressRate": 1_600_000, "egressBurst": 90_000}
_TUNED = {
    "sysctl": {"net.ipv4.conf.IFNAME.arp_filter": "1"},
    "mac": FIXED_MAC,
    "promisc": True,
    "mtu": 1380,
    "txQLen": 500,
    "allmulti": True,
}
_PORT = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "10.1.2.1"}
_LATEST: dict[str, Any] = {"version": "1.1.0"}
_GC = {"command": "GC", "valid": [{"containerID": "c1", "ifname": "eth0"}]}
_EVERY = ["VERSION", "STATUS", "ADD", "CHECK", _GC, "DEL"]


def _linked(kind: str, setup: list[str], **keys: Any) -> dict[str, Any]:
    return {"plugins": [{"type": kind, "ipam": _STATIC, "dns": _DNS, **keys}], "setup": setup, "args": _MAC}


CASES: dict[str, dict[str, Any]] = {
    "bridge": {
        "plugins": [
            {
                "type": "bridge",
                "bridge": "br1",
                "isGateway": True,
                "isDefaultGateway": True,
                "mtu": 1400,
                "forceAddress": True,
                "ipMasq": True,
                "ipMasqBackend": "iptables",
                "hairpinMode": True,
                "macspoofchk": True,
                "enabledad": True,
                "portIsolation": True,
                "ipam": _IPAM,
                "dns": _DNS,
                "runtimeConfig": {"mac": FIXED_MAC},
                "args": {"cni": {"mac": OTHER_MAC}},
            }
        ],
        "args": _MAC,
        "dad": True,
    },
    "bridge, its other keys": {
        "plugins": [
            {
                "type": "bridge",
                "promiscMode": True,
                "ipMasq": True,
                "ipMasqBackend": "nftables",
                "preserveDefaultVlan": True,
                "args": {"cni": {"mac": OTHER_MAC}},
                "ipam": _PLAIN,
            }
        ],
        "args": _MAC,
    },
    "bridge without addresses": {"plugins": [{"type": "bridge", "disableContainerInterface": True}]},
    "bridge with VLANs": {
        "plugins": [
            {
                "type": "bridge",
                "vlan": 7,
                "vlanTrunk": [{"minID": 5, "maxID": 7}, {"id": 9}],
                "preserveDefaultVlan": True,
            }
        ]
    },
    "host-local": {
        "plugins": [
            {
                "type": "host-local",
                "ipam": {**_IPAM, "resolvConf": RESOLV_PATH, "subnet": "10.1.4.0/24", "rangeStart": "10.1.4.9"},
                "runtimeConfig": {"ipRanges": [[{**_RANGE, "subnet": "10.1.2.0/25"}]], "ips": ["10.1.4.10"]},
                "args": {"cni": {"ips": ["10.1.2.21"]}},
            }
        ],
        "files": {RESOLV_PATH: RESOLV_CONF},
        "args": "IgnoreUnknown=1;IP=10.1.2.25",
    },
    "host-local, old style": {
        "plugins": [{"type": "host-local", "ipam": {**_RANGE, "type": "host-local", "routes": _ROUTES}}],
        "args": "IP=10.1.2.25",
    },
    "static": {
        "plugins": [{"type": "static", "ipam": _STATIC, "args": {"cni": {"ips": ["10.1.3.3/24"]}}}],
        "args": "IgnoreUnknown=1;IP=10.1.4.4/24;GATEWAY=10.1.4.1",
    },
    "static of the runtime": {
        "plugins": [{"type": "static", "ipam": _STATIC, "runtimeConfig": {"ips": ["10.1.3.3/24", "fd00:1::3/64"]}}]
    },
    "static of CNI_ARGS": {
        "plugins": [{"type": "static", "ipam": {"type": "static"}}],
        "args": "IP=10.1.4.4/24;GATEWAY=10.1.4.1",
    },
    "dhcp": {
        "containers": ["c1", "lan"],
        "plugins": [
            {
                "type": "dhcp",
                "ipam": {
                    "type": "dhcp",
                    "daemonSocketPath": SOCKET,
                    "request": [
                        {"option": "121"},
                        {"option": "subnet-mask", "skipDefault": True},
                        {"option": "routers"},
                    ],
                    "provide": [{"option": "host-name", "value": "web"}, {"option": "60", "fromArg": "CLASS"}],
                    "priority": 7,
                },
            }
        ],
        "setup": OWN,
        "args": "CLASS=green",
        "dhcp": [RANGE, "--dhcp-option=33,10.2.3.4,192.0.2.3"],
    },
    "portmap": {
        "plugins": [
            _BRIDGE,
            {
                "type": "portmap",
                "backend": "iptables",
                "snat": True,
                "masqAll": True,
                "markMasqBit": 5,
                "conditionsV4": ["-s", "192.0.2.0/24"],
                "conditionsV6": ["!", "-s", "fd98::/64"],
                "runtimeConfig": {"portMappings": [_PORT, {**_PORT, "protocol": "udp", "hostIP": "::"}]},
            },
        ]
    },
    "portmap with a chain of the operator's": {
        "setup": ["iptables -t nat -N OUTPUT-MARK", "ip6tables -t nat -N OUTPUT-MARK"],
        "plugins": [
            _BRIDGE,
            {"type": "portmap", "externalSetMarkChain": "OUTPUT-MARK", "runtimeConfig": {"portMappings": [_PORT]}},
        ],
    },
    "portmap, nftables": {
        "plugins": [
            _BRIDGE,
            {
                "type": "portmap",
                "backend": "nftables",
                "snat": True,
                "masqAll": True,
                "conditionsV4": ["ip", "saddr", "192.0.2.0/24"],
                "conditionsV6": ["ip6", "saddr", "fd99::/64"],
                "runtimeConfig": {"portMappings": [_PORT, {**_PORT, "protocol": "udp", "hostIP": "::"}]},
            },
        ]
    },
    **{
        f"firewall, {policy}": {
            "plugins": [
                _BRIDGE,
                {
                    "type": "firewall",
                    "backend": "iptables",
                    "iptablesAdminChainName": "OPERATOR",
                    "firewalldZone": "public",
                    "ingressPolicy": policy,
                },
            ]
        }
        for policy in ("open", "same-bridge", "isolated")
    },
    "tuning": {
        "plugins": [_BRIDGE, {"type": "tuning", **_TUNED, "dataDir": "/run/cni/elsewhere"}],
        "args": _MAC,
    },
    "tuning by args": {
        "plugins": [
            _BRIDGE,
            {"type": "tuning", "sysctl": {}, "args": {"cni": _TUNED}, "runtimeConfig": {"mac": OTHER_MAC}},
        ],
    },
    "bandwidth": {"plugins": [_BRIDGE, {"type": "bandwidth", **_LIMITS}]},
    "bandwidth of the runtime": {"plugins": [_BRIDGE, {"type": "bandwidth", "runtimeConfig": {"bandwidth": _LIMITS}}]},
    "ptp": {
        "plugins": [
            {"type": "ptp", "ipMasq": True, "ipMasqBackend": "iptables", "mtu": 1400, "dns": _DNS, "ipam": _STATIC}
        ]
    },
    "ptp, nftables": {
        "plugins": [{"type": "ptp", "ipMasq": True, "ipMasqBackend": "nftables", "mtu": 1400, "ipam": _IPAM}]
    },
    **{
        f"macvlan, {mode}": _linked("macvlan", UPLINK, master="up0", mode=mode, mtu=1400, bcqueuelen=1000)
        for mode in ("bridge", "private", "vepa", "passthru")
    },
    "macvlan inside": {
        **_linked("macvlan", INSIDE, master="up0", linkInContainer=True, mac=FIXED_MAC),
        "args": "",
    },
    "macvlan on the default route's device": _linked("macvlan", DEFAULT_ROUTE, runtimeConfig={"mac": FIXED_MAC}),
    **{
        f"ipvlan, {mode}": _linked("ipvlan", UPLINK, master="up0", mode=mode, mtu=1400, linkInContainer=False)
        for mode in ("l2", "l3", "l3s")
    },
    "vlan": _linked("vlan", UPLINK, master="up0", vlanId=5, mtu=1400, linkInContainer=False),
    "dummy": _linked("dummy", []),
    "vrf": {"plugins": [_BRIDGE, {"type": "vrf", "vrfname": "red", "table": 7}]},
    **{
        f"host-device by {key}": {
            **_linked("host-device", [*HOST_DEVICES, *CARDS]),
            "plugins": [{"type": "host-device", "ipam": _STATIC, "dns": _DNS, key: value}],
        }
        for key, value in (
            ("device", "hd0"),
            ("hwaddr", "0a:00:00:00:00:44"),
            ("kernelpath", "/sys/devices/virtual/card/0"),
            ("pciBusID", "0000:00:1f.0"),
            ("runtimeConfig", {"deviceID": "0000:00:1f.1"}),
        )
    },
    "host-device on the auxiliary bus": {
        "plugins": [{"type": "host-device", "runtimeConfig": {"deviceID": "mlx5_core.sf.7"}}],
        "setup": [*HOST_DEVICES, *CARDS],
    },
    "host-device of DPDK": {
        "plugins": [{"type": "host-device", "pciBusID": "0000:00:1f.2", "ipam": _STATIC}],
        "setup": [*HOST_DEVICES, *CARDS],
    },
    "host-device in DPDK's mode": {
        "plugins": [{"type": "host-device", "device": "hd0", "DPDKMode": True, "ipam": _STATIC}],
        "setup": HOST_DEVICES,
    },
    "sbr": {"plugins": [_BRIDGE, {"type": "sbr", "table": 200}]},
    "sbr with gateways": {"plugins": [_BRIDGE, {"type": "sbr", "gateways": ["10.1.2.1"], "addSourceHints": True}]},
    "tap": {
        **_linked(
            "tap", ["@c1 ip link add inner type bridge"], multiQueue=True, mtu=1400, mac=FIXED_MAC, bridge="inner"
        ),
        "args": "",
    },
    "tap with owners": _linked("tap", [], owner=1000, group=1000, runtimeConfig={"mac": FIXED_MAC}),
    "tap with a context": _linked("tap", [], selinuxContext="system_u:object_r:tun_t:s0"),
    "what a runtime may say to everyone": {
        "plugins": [
            {
                **_BRIDGE,
                "capabilities": {"aliases": True},
                "runtimeConfig": {
                    "dns": _DNS,
                    "aliases": ["web"],
                    "cgroupPath": "/kubelet.slice",
                    "infinibandGUID": "c2:11:22:33:44:55:66:77",
                },
            }
        ]
    },
    **{
        f"every command of {version}": {"version": version, "plugins": [_BRIDGE], "steps": _EVERY}
        for version in ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
    },
    "chained alone": {
        **_LATEST,
        "prevResult": {"cniVersion": "1.1.0", "interfaces": [{"name": "eth0", "sandbox": "/run/netns/c1"}], "ips": []},
        "plugins": [{"type": "loopback"}],
    },
    "ipvlan on what came before": {
        **_LATEST,
        "prevResult": {"cniVersion": "1.1.0", "interfaces": [{"name": "up0"}], "ips": [{"address": "10.1.2.2/24"}]},
        "plugins": [{"type": "ipvlan"}],
        "setup": UPLINK,
    },
}


@pytest.mark.parametrize("name", CASES)
def test_case(comparison: Comparison, name: str) -> None:
    judge(comparison, CASES[name])
