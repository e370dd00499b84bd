"""The default network `bridge`: a list of our own, out of the way of nerdctl's, which has the same name.

It is kept outside /etc/cni/net.d, under the CNI name `pynet-bridge`, so that leases and rules of the two never meet.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

from netd.networks.conflist import CNI_VERSION, Malformed, Network, read
from netd.networks.directory import load, locked, text_of
from netd.networks.host import describe, name_servers
from netd.networks.names import network_id
from netd.networks.places import Places
from netd.networks.subnets import Occupied, Pool, choose, is_taken_by
from netd.networks.usage import LEASES
from netd.runtime.places import RuntimePlaces
from netd.sandbox.chain import Chains
from pycni.firewall.facts import SAME_BRIDGE
from pycni.firewall.firewall import NFTABLES
from pycni.kernel.namespace import Namespace
from pycni.plan import ops
from pycni.spec.address import Prefix

NAME = "bridge"
CNI_NAME = "pynet-bridge"
DEVICE = "pynet0"

POOLS = (
    *(Pool(Prefix.parse(f"172.{number}.0.0/16"), 16) for number in range(17, 32)),
    Pool(Prefix.parse("192.168.0.0/16"), 20),
)
"""Docker's, in its order (contract docker 1.2): scripts know 172.17.0.1."""


def path_of(runtime: RuntimePlaces) -> str:
    return f"{runtime.root}/networks/{NAME}.conflist"


def build(subnet: Prefix, created: str, data_dir: str = "", backend: str = "") -> dict[str, Any]:
    """The list.  Ports are published by the sandbox and names served by it, so no plugin does either.  `backend` is the
    firewall's, "" for what the host uses."""
    gateway = subnet.network.address + 1
    ipam: dict[str, Any] = {
        "type": "host-local",
        "ranges": [[{"subnet": str(subnet), "gateway": str(gateway)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    if data_dir:
        ipam["dataDir"] = data_dir
    bridge = {"type": "bridge", "bridge": DEVICE, "isGateway": True, "ipMasq": True, "hairpinMode": True, "ipam": ipam}
    firewall = {"type": "firewall", "ingressPolicy": SAME_BRIDGE}
    if backend:
        bridge["ipMasqBackend"] = firewall["backend"] = backend
    options = {
        "com.docker.network.bridge.default_bridge": "true",
        "com.docker.network.bridge.enable_icc": "true",
        "com.docker.network.bridge.enable_ip_masquerade": "true",
        "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
        "com.docker.network.bridge.name": DEVICE,
        "com.docker.network.driver.mtu": "1500",
    }
    return {
        "cniVersion": CNI_VERSION,
        "name": CNI_NAME,
        "pynet": {"id": network_id(CNI_NAME), "created": created, "keepsBridge": False, "options": options},
        "plugins": [bridge, firewall],
    }


def prepare(places: Places, runtime: RuntimePlaces, chains: Chains) -> Network:
    """The list exists, with a subnet nothing else on this host uses, and its bridge has the gateway's address, so that
    `host-gateway` leads somewhere before there is a container.  SubnetTaken when no subnet is left."""
    path = path_of(runtime)
    with locked(os.path.dirname(path)):
        with chains.host() as host:
            exists = host.link(DEVICE) is not None
            occupied = _occupied(places, host)
        network = read_file(path)
        subnet = network.subnets[0].prefix if network is not None and network.subnets else None
        if subnet is None or (not exists and any(is_taken_by(subnet, item) for item in occupied)):
            subnet = choose(POOLS, occupied)
            data_dir = "" if places.lease_dir == LEASES else places.lease_dir
            created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
            backend = NFTABLES if chains.supports(NFTABLES) else ""
            _write(path, text_of(build(subnet, created, data_dir, backend)))
            network = read_file(path)
    assert network is not None
    gateway = Prefix(subnet.network.address + 1, subnet.length)
    chains.apply((ops.EnsureBridge(DEVICE), ops.EnsureAddress(DEVICE, gateway), ops.EnableForwarding(4)))
    return network


def read_file(path: str) -> Network | None:
    """The list as it stands; None when it is missing or damaged."""
    try:
        with open(path, encoding="utf-8") as stream:
            return read(json.loads(stream.read()), path)
    except (OSError, ValueError, Malformed):
        return None


def _occupied(places: Places, host: Namespace) -> tuple[Occupied, ...]:
    """What others use; our own device does not stand in our way."""
    links = host.links()
    addresses = [(link.index, address) for link in links for address in host.addresses(link.index)]
    routes = host.routes(4, None)
    facts = describe(links, addresses, routes, name_servers(places.resolv_confs), b"unused")
    lists = [
        Occupied(subnet.prefix, f"{subnet.prefix} of network {network.name} ({network.file})")
        for network in load(places.netconf_dir).networks
        for subnet in network.subnets
    ]
    return (*(item for item in facts.occupied if item.device != DEVICE), *lists)


def _write(path: str, text: str) -> None:
    draft = f"{path}.new"
    with open(draft, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.rename(draft, path)
