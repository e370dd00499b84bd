"""What the operator may choose about sandboxes."""

from __future__ import annotations

from collections.abc import Mapping

from netd.failure import InvalidParameter
from pycni.record import Record
from pycni.spec.address import Address

_TRUTH = {"1": True, "true": True, "0": False, "false": False, "": False}


class Settings(Record):
    """`bridge_dns`: names and the resolver at 127.0.0.11 on the default network too (docker has none there).
    `host_gateway` replaces the default bridge's addresses where `--add-host NAME:host-gateway` is written."""

    bridge_dns: bool = False
    host_gateway: tuple[Address, ...] = ()


def from_environment(environ: Mapping[str, str]) -> Settings:
    """PYNET_BRIDGE_DNS and PYNET_HOST_GATEWAY_IP (addresses with commas between); InvalidParameter names a bad one."""
    text = environ.get("PYNET_BRIDGE_DNS", "").lower()
    if text not in _TRUTH:
        raise InvalidParameter(f"PYNET_BRIDGE_DNS {text!r}: must be true or false")
    given = environ.get("PYNET_HOST_GATEWAY_IP", "")
    try:
        addresses = tuple(Address.parse(part) for part in given.split(",") if part)
    except ValueError as error:
        raise InvalidParameter(f"PYNET_HOST_GATEWAY_IP: {error}") from None
    return Settings(_TRUTH[text], addresses)
