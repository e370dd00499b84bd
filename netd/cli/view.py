"""A network as its users see it: the fields of `ls`, and docker's shape of `inspect` with ours added.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netd.networks.conflist import Network, Subnet
from netd.networks.errors import InvalidRequest
from netd.networks.request import usable
from netd.networks.usage import Attachment
from pycni.spec.address import Address

COLUMNS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Subnet": "SUBNETS",
    "Containers": "CONTAINERS",
    "Owner": "MADE BY",
}
"""Fields that `ls` shows, with their headings."""

SHORT_ID = 12


def row(network: Network, attachments: Sequence[Attachment]) -> dict[str, Any]:
    """The fields for `ls --format`."""
    return {
        "ID": network.id[:SHORT_ID],
        "Name": network.name,
        "Driver": network.driver,
        "Subnet": ", ".join(str(subnet.prefix) for subnet in network.subnets),
        "Containers": len({item.container_id for item in attachments if not item.is_gone}),
        "Owner": network.owner,
        "Scope": "local",
        "Subnets": [str(subnet.prefix) for subnet in network.subnets],
        "Gateway": _gateways(network),
        "Bridge": network.bridge,
        "Parent": network.parent,
        "MTU": network.mtu,
        "Internal": network.internal,
        "Isolation": network.isolation,
        "Firewall": network.firewall,
        "IPv4": network.has_family(4),
        "IPv6": network.has_family(6),
        "Labels": dict(network.labels),
        "CreatedAt": network.created,
        "File": network.file,
    }


def details(network: Network, attachments: Sequence[Attachment]) -> dict[str, Any]:
    """The object of `inspect`: docker's keys (contracts, docker appendix A), then what a list says beyond them."""
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": network.has_family(4),
        "EnableIPv6": network.has_family(6),
        "IPAM": {"Driver": "default", "Options": {}, "Config": [_config(item) for item in network.subnets]},
        "Internal": network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {item.container_id: _container(item) for item in attachments if not item.is_gone},
        "Options": dict(network.options),
        "Labels": dict(network.labels),
        "Subnet": ", ".join(str(subnet.prefix) for subnet in network.subnets),
        "Gateway": _gateways(network),
        "Bridge": network.bridge,
        "Parent": network.parent,
        "Mode": network.mode,
        "HostAccess": network.host_access,
        "MTU": network.mtu,
        "Vlan": network.vlan,
        "Isolation": network.isolation,
        "Masquerade": network.masquerade,
        "Firewall": network.firewall,
        "Owner": network.owner,
        "File": network.file,
        "CniVersion": network.cni_version,
        "Plugins": list(network.plugins),
        "Stale": sorted(item.container_id for item in attachments if item.is_gone),
    }


def _gateways(network: Network) -> str:
    return ", ".join(str(_gateway(subnet)) for subnet in network.subnets)


def _gateway(subnet: Subnet) -> Address:
    """An omitted gateway is the first address (contract 3.2)."""
    return subnet.gateway or usable(subnet.prefix)[0]


def _config(subnet: Subnet) -> dict[str, str]:
    config = {"Subnet": str(subnet.prefix)}
    if subnet.ip_range is not None:
        config["IPRange"] = str(subnet.ip_range)
    config["Gateway"] = str(_gateway(subnet))
    return config


def _container(item: Attachment) -> dict[str, str]:
    def first(family: int) -> str:
        return next((str(prefix) for prefix in item.addresses if prefix.family == family), "")

    return {
        "Name": item.name or item.container_id,
        "Interface": item.ifname,
        "MacAddress": item.mac,
        "IPv4Address": first(4),
        "IPv6Address": first(6),
    }


FILTERS = ("dangling", "driver", "id", "label", "name", "owner")


def parse_filters(texts: Sequence[str]) -> dict[str, list[str]]:
    """`--filter K=V` texts; InvalidRequest for an unknown key."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or key not in FILTERS:
            raise InvalidRequest(f"--filter {text!r}: must be KEY=VALUE with KEY one of {', '.join(FILTERS)}")
        if key == "dangling" and value not in ("true", "false", "1", "0"):
            raise InvalidRequest(f"--filter {text!r}: must be dangling=true or dangling=false")
        found.setdefault(key, []).append(value)
    return found


def matches(network: Network, containers: int, filters: Mapping[str, Sequence[str]]) -> bool:
    """Docker's rule: one of the values of a key, for every key; labels all."""
    labels = dict(network.labels)
    tests: dict[str, Callable[[str], bool]] = {
        "name": lambda value: value in network.name,
        "id": lambda value: network.id.startswith(value),
        "driver": lambda value: value == network.driver,
        "owner": lambda value: value == network.owner,
        "dangling": lambda value: (value in ("true", "1")) == (containers == 0),
    }
    for key, values in filters.items():
        if key == "label":
            pairs = [value.partition("=") for value in values]
            if not all(name in labels and (not equals or labels[name] == text) for name, equals, text in pairs):
                return False
        elif not any(tests[key](value) for value in values):
            return False
    return True
