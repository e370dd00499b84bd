"""`-o KEY=VALUE`: the options of a network that docker, nerdctl and podman users type.  Pure."""

from __future__ import annotations

from collections.abc import Mapping

from netd.networks.drivers import BRIDGE, IPVLAN, MACVLAN, PTP, VLAN
from netd.networks.errors import InvalidRequest
from pycni.record import Record

_ALIASES = {
    "mtu": "mtu",
    "com.docker.network.driver.mtu": "mtu",
    "ip-masq": "ip-masq",
    "com.docker.network.bridge.enable_ip_masquerade": "ip-masq",
    "icc": "icc",
    "com.docker.network.bridge.enable_icc": "icc",
    "com.docker.network.bridge.name": "bridge",
    "vlan": "vlan",
    "parent": "parent",
    "mode": "mode",
    "macvlan_mode": "mode",
    "ipvlan_mode": "mode",
}
_OF_DRIVER = {
    BRIDGE: {"mtu", "ip-masq", "icc", "bridge", "vlan"},
    PTP: {"mtu", "ip-masq"},
    MACVLAN: {"mtu", "parent", "mode"},
    IPVLAN: {"mtu", "parent", "mode"},
    VLAN: {"mtu", "parent", "vlan"},
}


def known(driver: str) -> tuple[str, ...]:
    """The options of a driver's networks, sorted, in every spelling."""
    other = {MACVLAN: "ipvlan_mode", IPVLAN: "macvlan_mode"}.get(driver)
    return tuple(sorted(key for key, option in _ALIASES.items() if option in _OF_DRIVER[driver] and key != other))


KNOWN = known(BRIDGE)

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
"""Go's strconv.ParseBool, as every client reads these options."""

MTU_RANGE = {4: (68, 65535), 6: (1280, 65535)}
"""RFC 791 and RFC 8200: the smallest MTU a link may have for the family."""


class Options(Record):
    """Parsed options; None where one was not given."""

    mtu: int | None = None
    masquerade: bool | None = None
    icc: bool | None = None
    bridge: str | None = None
    vlan: int | None = None
    parent: str | None = None
    mode: str | None = None


def parse_options(given: Mapping[str, str], driver: str = BRIDGE) -> Options:
    """Raises InvalidRequest for a key that the driver does not have, a malformed value, or two spellings of one
    key that disagree."""
    values: dict[str, str] = {}
    spelled: dict[str, str] = {}
    for key, value in given.items():
        option = _ALIASES[key] if key in known(driver) else None
        if option is None:
            raise InvalidRequest(f"option {key!r} is unknown; known are {', '.join(known(driver))}")
        if values.setdefault(option, value) != value:
            raise InvalidRequest(f"options {spelled[option]} and {key} are the same setting with different values")
        spelled[option] = key

    def text(option: str) -> str | None:
        return values.get(option)

    def flag(option: str) -> bool | None:
        return parse_bool(f"option {spelled[option]}", values[option]) if option in values else None

    def number(option: str, low: int, high: int) -> int | None:
        return parse_number(f"option {spelled[option]}", values[option], low, high) if option in values else None

    return Options(
        mtu=number("mtu", 0, 65535),
        masquerade=flag("ip-masq"),
        icc=flag("icc"),
        bridge=text("bridge"),
        vlan=number("vlan", 0 if driver == BRIDGE else 1, 4094),
        parent=text("parent"),
        mode=text("mode"),
    )


def parse_bool(what: str, text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise InvalidRequest(f"{what}: {text!r} is neither true nor false")


def parse_number(what: str, text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or not low <= int(text) <= high:
        raise InvalidRequest(f"{what}: {text!r} is not a number from {low} to {high}")
    return int(text)
