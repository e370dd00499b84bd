"""netavark's side: one program and one configuration for the same container."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .networks import BRIDGE, GATEWAY, NETWORK, SUBNET, Container
from .peers import where
from .private_host import ENVIRONMENT

__all__ = ["program", "request"]

_NETWORK: dict[str, object] = {
    "name": NETWORK,
    "id": "be" * 32,
    "driver": "bridge",
    "network_interface": BRIDGE,
    "subnets": [{"subnet": SUBNET, "gateway": GATEWAY}],
    "ipv6_enabled": False,
    "internal": False,
    "dns_enabled": False,
    "ipam_options": {"driver": "host-local"},
}


def program() -> Path:
    """The netavark that scripts/peers has built."""
    return where("peers", "netavark")


def request(executable: Path, verb: str, one: Container) -> dict[str, Any]:
    """The worker's request for setup (ADD) or teardown (DEL). podman chooses the addresses, so it is told one."""
    options = {
        "container_id": one.id,
        "container_name": one.namespace,
        "port_mappings": [{"host_ip": "", "container_port": 80, "host_port": one.port, "protocol": "tcp", "range": 1}],
        "networks": {NETWORK: {"interface_name": "eth0", "static_ips": [one.address]}},
        "network_info": {NETWORK: _NETWORK},
    }
    action = "setup" if verb == "ADD" else "teardown"
    argv = [str(executable), "--config", "/run/netavark", "--firewall-driver", "nftables", action]
    step = {"argv": [*argv, f"/run/netns/{one.namespace}"], "stdin": json.dumps(options), "spliced": False}
    return {"id": one.id, "adding": verb == "ADD", "environment": ENVIRONMENT, "steps": [step]}
