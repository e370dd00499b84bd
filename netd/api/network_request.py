"""The body of POST /networks/create, and the request for a network it means (contract docker 1.2, 1.5, 4.2).  Pure."""

from __future__ import annotations

from msgspec import Struct, field

from netd.failure import Forbidden, InvalidParameter, NotFound, Unsupported
from netd.networks.drivers import BRIDGE, DHCP, DRIVERS, HOST_LOCAL, IPAM_DRIVERS
from netd.networks.errors import InvalidRequest
from netd.networks.request import Request, parse_request

_GATEWAY_MODES = ("com.docker.network.bridge.gateway_mode_ipv4", "com.docker.network.bridge.gateway_mode_ipv6")
_AS_IT_IS = {
    "com.docker.network.bridge.default_bridge": ("false",),
    "com.docker.network.bridge.inhibit_ipv4": ("false",),
    "com.docker.network.bridge.host_binding_ipv4": ("0.0.0.0",),
    **dict.fromkeys(_GATEWAY_MODES, ("nat",)),
}
"""Options whose only value here is what happens without them."""


class Pool(Struct, rename="pascal"):
    """`auxiliary_addresses` maps names to addresses that no container is to get."""

    subnet: str = ""
    ip_range: str = field(default="", name="IPRange")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] | None = None


class Ipam(Struct, rename="pascal"):
    driver: str = ""
    options: dict[str, str] | None = None
    config: list[Pool] | None = None


class ConfigFrom(Struct, rename="pascal"):
    network: str = ""


class CreateNetwork(Struct, rename="pascal"):
    """POST /networks/create."""

    name: str = ""
    driver: str = ""
    scope: str = ""
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigFrom | None = None
    enable_ipv4: bool | None = field(default=None, name="EnableIPv4")
    enable_ipv6: bool | None = field(default=None, name="EnableIPv6")
    ipam: Ipam | None = field(default=None, name="IPAM")
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


def request_of(body: CreateNetwork) -> Request:
    """InvalidRequest, Reserved, or a Failure that names what this engine does not do."""
    _refuse_swarm(body)
    pools = [pool for pool in (body.ipam.config if body.ipam else None) or () if pool != Pool()]
    for pool in pools:
        _check_pool(pool)
    ipv4, ipv6 = body.enable_ipv4 is not False, bool(body.enable_ipv6)
    if not ipv4 and not ipv6:
        raise InvalidRequest("IPv4 or IPv6 must be enabled")
    # a subnet of a family that is not enabled is ignored, as by docker
    pools = [pool for pool in pools if (ipv6 if ":" in pool.subnet else ipv4)]
    labels = [f"{key}={value}" for key, value in (body.labels or {}).items()]
    request = parse_request(
        body.name.strip(),
        subnets=[pool.subnet for pool in pools],
        gateways=[pool.gateway for pool in pools if pool.gateway],
        ip_ranges=[pool.ip_range for pool in pools if pool.ip_range],
        ipv6=ipv6,
        internal=body.internal,
        labels=labels,
        options=[f"{key}={value}" for key, value in _options(body.options or {}).items()],
        dns=True,
        driver=BRIDGE if body.driver in ("", "default") else body.driver,
        ipam=_ipam(body),
    )
    automatic = () if request.ipam == DHCP else _automatic(request, ipv4, ipv6)
    return request.replace(automatic=automatic, options=tuple((body.options or {}).items()))


def _ipam(body: CreateNetwork) -> str:
    """docker's only word for it is `default`; NotFound for what there is not."""
    driver = body.ipam.driver if body.ipam else ""
    if driver in ("", "default"):
        return HOST_LOCAL
    if driver not in IPAM_DRIVERS:
        raise NotFound(f"IPAM driver {driver!r}: not found; there are default, {', '.join(IPAM_DRIVERS)}")
    return driver


def _automatic(request: Request, ipv4: bool, ipv6: bool) -> tuple[int, ...]:
    """Every enabled family has a subnet: a given one, or one that is chosen."""
    given = {subnet.prefix.family for subnet in request.subnets}
    return tuple(family for family, enabled in ((4, ipv4), (6, ipv6)) if enabled and family not in given)


def _options(given: dict[str, str]) -> dict[str, str]:
    """Those that say something; InvalidRequest for a value that cannot be had."""
    for key, values in _AS_IT_IS.items():
        if key in given and given[key] not in values:
            raise InvalidRequest(f"option {key}: {given[key]!r} cannot be had, only {values[0]}")
    return {key: value for key, value in given.items() if key not in _AS_IT_IS}


def _check_pool(pool: Pool) -> None:
    if not pool.subnet:
        raise InvalidRequest(f"IPAM: {pool.gateway or pool.ip_range or 'an entry'}: needs a Subnet")
    if pool.auxiliary_addresses:
        names = ", ".join(pool.auxiliary_addresses)
        raise Unsupported(f"--aux-address {names}: this engine keeps no addresses free; use --ip-range")


def _refuse_swarm(body: CreateNetwork) -> None:
    if body.scope == "swarm" or body.ingress:
        raise Forbidden("this engine is not part of a swarm: networks of scope swarm cannot be created")
    if body.scope not in ("", "local"):
        raise InvalidParameter(f"scope {body.scope!r}: must be local")
    if body.config_only or (body.config_from and body.config_from.network):
        raise Unsupported("--config-only, --config-from: this engine has no templates of networks")
    if body.driver in ("host", "null"):
        raise Forbidden(f"only one instance of {body.driver!r} network is allowed")
    if body.driver not in ("", "default", *DRIVERS):
        raise NotFound(f"driver {body.driver!r}: could not find plugin {body.driver} in v1 plugin registry: not found")
