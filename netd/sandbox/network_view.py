"""Networks as docker's API shows them (contract docker 4.2, appendix A)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netd.failure import Failure, InvalidParameter
from netd.networks.conflist import Network, Subnet
from netd.networks.places import Places
from netd.networks.usage import Attachment, attachments
from netd.runtime.model import NEVER, Container
from netd.sandbox import modes
from netd.sandbox.catalog import Catalog, Known
from pycni.spec.address import Prefix

Filters = Mapping[str, Sequence[str]]
FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")

_DRIVERS = {modes.HOST: "host", modes.NONE: "null"}
_BUILTIN, _CUSTOM = "builtin", "custom"
_TRUTH = {"1": True, "true": True, "0": False, "false": False}


class NetworkView:
    """Thread-safe; `everyone` gives the containers of this engine."""

    def __init__(self, places: Places, catalog: Catalog, everyone: Callable[[], list[Container]]) -> None:
        self._places = places
        self._catalog = catalog
        self._everyone = everyone

    def listed(self, filters: Filters | None = None) -> list[dict[str, Any]]:
        """Items of GET /networks; InvalidParameter names a bad filter (Failure, 500, a bad `type`, as docker)."""
        wanted = _check(filters or {})
        return [item(known) for known in self._catalog.all() if self._fits(known, wanted)]

    def inspected(self, wanted: str) -> dict[str, Any]:
        """The answer to GET /networks/{wanted}; NotFound, Ambiguous."""
        known = self._catalog.find(wanted)
        return {**item(known), "Containers": self.containers(known)}

    def containers(self, known: Known) -> dict[str, dict[str, str]]:
        """Who is attached now, containers of other engines included."""
        found = {}
        own = set()
        for container in self._everyone():
            own.add(container.id)
            endpoint = container.networks.get(known.name)
            if endpoint is None or not container.state.running:
                continue
            if known.network is not None and not endpoint.endpoint_id:
                continue
            found[container.id] = {
                "Name": container.name,
                "EndpointID": endpoint.endpoint_id,
                "MacAddress": endpoint.mac_address,
                "IPv4Address": _cidr(endpoint.ip_address, endpoint.ip_prefix_len),
                "IPv6Address": _cidr(endpoint.global_ipv6_address, endpoint.global_ipv6_prefix_len),
            }
        if known.network is not None:
            network = known.network.replace(name=known.list_name)
            for each in attachments(network, self._places.cache_dir, self._places.lease_dir):
                if each.container_id not in own and not each.is_gone:
                    found[each.container_id] = _foreign(each)
        return found

    def _fits(self, known: Known, filters: dict[str, list[str]]) -> bool:
        """Repeated values of a key are alternatives, labels are all required, keys add up."""
        shown = item(known)
        for key, values in filters.items():
            match key:
                case "name" | "id":
                    text = shown["Name" if key == "name" else "Id"]
                    fits = any(_contains(value, text) for value in values)
                case "driver" | "scope":
                    fits = shown[key.capitalize()] in values
                case "type":
                    fits = (_BUILTIN if known.is_predefined else _CUSTOM) in values
                case "label":
                    fits = all(_has_label(shown["Labels"], value) for value in values)
                case _:
                    unused = known.is_user_defined and not self.containers(known)
                    fits = any(_TRUTH[value] == unused for value in values)
            if not fits:
                return False
        return True


def _check(filters: Filters) -> dict[str, list[str]]:
    for key, values in filters.items():
        if key not in FILTERS:
            raise InvalidParameter(f"invalid filter '{key}'")
        for value in values:
            if key == "dangling" and value.lower() not in _TRUTH:
                raise InvalidParameter(f"invalid value for filter 'dangling={value}'")
            if key == "type" and value not in (_BUILTIN, _CUSTOM):
                raise Failure(f"invalid filter: 'type'='{value}'")
    return {
        key: [value.lower() for value in values] if key == "dangling" else list(values)
        for key, values in filters.items()
        if values
    }


def _contains(pattern: str, text: str) -> bool:
    """A part of the text, or a regular expression that fits one."""
    try:
        return pattern in text or re.search(pattern, text) is not None
    except re.error:
        return False


def _has_label(labels: Mapping[str, str], wanted: str) -> bool:
    key, equals, value = wanted.partition("=")
    return key in labels and (not equals or labels[key] == value)


def _cidr(address: str, length: int) -> str:
    return f"{address}/{length}" if address else ""


def _foreign(each: Attachment) -> dict[str, str]:
    def first(family: int) -> str:
        return next((str(prefix) for prefix in each.addresses if prefix.family == family), "")

    return {
        "Name": each.container_id,
        "EndpointID": "",
        "MacAddress": each.mac,
        "IPv4Address": first(4),
        "IPv6Address": first(6),
    }


def item(known: Known) -> dict[str, Any]:
    """One network without its containers."""
    network = known.network
    return {
        "Name": known.name,
        "Id": known.id,
        "Created": (network.created if network is not None else "") or NEVER,
        "Scope": "local",
        "Driver": network.driver if network is not None else _DRIVERS[known.name],
        "EnableIPv4": network is None or not network.subnets or network.has_family(4),
        "EnableIPv6": network is not None and network.has_family(6),
        "IPAM": _ipam(network),
        "Internal": network is not None and network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Options": dict(network.options) if network is not None else {},
        "Labels": dict(network.labels) if network is not None else {},
    }


def _ipam(network: Network | None) -> dict[str, Any]:
    config = None if network is None else [_ipam_config(subnet) for subnet in network.subnets]
    return {"Driver": "default", "Options": None, "Config": config}


def _ipam_config(subnet: Subnet) -> dict[str, str]:
    found = {"Subnet": str(subnet.prefix)}
    ip_range: Prefix | None = subnet.ip_range
    if ip_range is not None:
        found["IPRange"] = str(ip_range)
    found["Gateway"] = str(subnet.gateway or subnet.prefix.network.address + 1)
    return found
