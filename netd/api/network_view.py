"""A network in docker's shapes, and which of them a list holds (contract docker 4.2, appendix A).  Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netd.api.filters import Filters
from netd.cli import view
from netd.failure import InvalidParameter
from netd.networks.usage import Attachment
from netd.runtime.model import Container, Endpoint
from netd.sandbox.catalog import Known

FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")
_ITEM = (
    "Created",
    "EnableIPv4",
    "EnableIPv6",
    "IPAM",
    "Internal",
    "Attachable",
    "Ingress",
    "ConfigFrom",
    "ConfigOnly",
    "Options",
    "Labels",
)
_DRIVERS = {"host": "host", "none": "null"}
_WITHOUT_LIST = {
    "Created": "0001-01-01T00:00:00Z",
    "EnableIPv4": True,
    "EnableIPv6": False,
    "IPAM": {"Driver": "default", "Options": None, "Config": None},
    "Internal": False,
    "Attachable": False,
    "Ingress": False,
    "ConfigFrom": {"Network": ""},
    "ConfigOnly": False,
    "Options": {},
    "Labels": {},
}


def driver(known: Known) -> str:
    return known.network.driver if known.network is not None else _DRIVERS[known.name]


def item(known: Known) -> dict[str, Any]:
    """An element of GET /networks."""
    named = {"Name": known.name, "Id": known.id, "Scope": "local", "Driver": driver(known)}
    if known.network is None:
        return named | _WITHOUT_LIST
    shown = view.details(known.network, ())
    return named | {key: shown[key] for key in _ITEM}


def inspect(known: Known, attached: Iterable[Attachment], containers: Iterable[Container]) -> dict[str, Any]:
    """GET /networks/{id}.  `attached` is who is attached at all, other engines' containers included, which go by their
    ids."""
    users = {each.container_id: _foreign(each) for each in attached if not each.is_gone}
    for container in containers:
        users.pop(container.id, None)
        endpoint = container.networks.get(known.name)
        if endpoint is not None and container.state.running:
            users[container.id] = _own(container, endpoint)
    return item(known) | {"Containers": users}


def _own(container: Container, endpoint: Endpoint) -> dict[str, str]:
    return {
        "Name": container.name,
        "EndpointID": endpoint.endpoint_id,
        "MacAddress": endpoint.mac_address,
        "IPv4Address": f"{endpoint.ip_address}/{endpoint.ip_prefix_len}" if endpoint.ip_address else "",
        "IPv6Address": (
            f"{endpoint.global_ipv6_address}/{endpoint.global_ipv6_prefix_len}" if endpoint.global_ipv6_address else ""
        ),
    }


def _foreign(attachment: Attachment) -> dict[str, str]:
    def first(family: int) -> str:
        return next((str(prefix) for prefix in attachment.addresses if prefix.family == family), "")

    return {
        "Name": attachment.container_id,
        "EndpointID": "",
        "MacAddress": attachment.mac,
        "IPv4Address": first(4),
        "IPv6Address": first(6),
    }


def matches(known: Known, in_use: bool, filters: Filters) -> bool:
    """InvalidParameter for a type or switch that cannot be."""
    kinds = filters.get("type")
    if not set(kinds) <= {"custom", "builtin"}:
        raise InvalidParameter(f"invalid filter 'type={' '.join(kinds)}': must be custom or builtin")
    dangling = filters.boolean("dangling")
    return (
        filters.pattern("name", known.name)
        and filters.pattern("id", known.id)
        and filters.exact("driver", driver(known))
        and filters.exact("scope", "local")
        and filters.exact("type", "builtin" if known.is_predefined else "custom")
        and filters.labels(dict(known.network.labels) if known.network is not None else {})
        and (dangling is None or dangling == (not in_use and not known.is_predefined))
    )
