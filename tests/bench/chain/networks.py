"""The network list all sides run: what nerdctl writes for a bridge network, with the firewall backend named or not."""

from __future__ import annotations

import json
from dataclasses import dataclass

__all__ = [
    "BACKENDS",
    "BRIDGE",
    "GATEWAY",
    "NETWORK",
    "SUBNET",
    "TUNING",
    "Backends",
    "Container",
    "container",
    "plugin_list",
    "previous_result",
]

NETWORK = "bench"
BRIDGE = "bench0"
VERSION = "1.0.0"
SUBNET, GATEWAY = "10.88.0.0/16", "10.88.0.1"

FIRST_PORT = 20000


@dataclass(frozen=True)
class Backends:
    """What `backend` and `ipMasqBackend` say in each plugin; None leaves the key out."""

    masquerade: str | None = None
    portmap: str | None = None
    firewall: str | None = None


BACKENDS = {
    "default": Backends(),
    "iptables": Backends("iptables", "iptables", "iptables"),
    "nftables": Backends("nftables", "nftables", "nftables"),
    # the reference's firewall plugin has no nftables backend
    "nftables where it can": Backends("nftables", "nftables", "iptables"),
}


@dataclass(frozen=True)
class Container:
    """One attachment: id, the network namespace's name, the published port, an address for those who are told one."""

    id: str
    namespace: str
    port: int
    address: str


def container(number: int) -> Container:
    """The container with that number, 0 to 40000."""
    # nerdctl's ids: 64 hexadecimal digits; the odd factor scatters them as random ones are
    identity = f"{(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC834:064x}"[-64:]
    address = f"10.88.{(number + 2) // 250}.{(number + 2) % 250 + 2}"
    return Container(identity, f"c{number}", FIRST_PORT + number, address)


def plugin_list(backends: Backends, port: int) -> list[dict[str, object]]:
    """The configuration of each plugin of the chain, as a runtime hands it over."""
    bridge = _plugin("bridge", ipMasqBackend=backends.masquerade) | {
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": SUBNET, "gateway": GATEWAY}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    mapping = {"hostPort": port, "containerPort": 80, "protocol": "tcp", "hostIP": "0.0.0.0"}
    portmap = _plugin("portmap", backend=backends.portmap) | {"runtimeConfig": {"portMappings": [mapping]}}
    firewall = _plugin("firewall", backend=backends.firewall) | {"ingressPolicy": "same-bridge"}
    return [bridge, portmap, firewall, _plugin("tuning")]


# For tuning alone: with a sysctl, or it would have nothing to do.
TUNING: list[dict[str, object]] = [
    {"cniVersion": VERSION, "name": NETWORK, "type": "tuning", "sysctl": {"net.core.somaxconn": "500"}}
]


def _plugin(kind: str, **keys: str | None) -> dict[str, object]:
    given = {key: value for key, value in keys.items() if value is not None}
    return {"cniVersion": VERSION, "name": NETWORK, "type": kind, **given}


def previous_result(namespace: str) -> str:
    """What a main plugin would have answered, for a plugin that is run alone."""
    interfaces = [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": namespace}]
    return json.dumps({"cniVersion": VERSION, "interfaces": interfaces, "ips": [], "dns": {}})
