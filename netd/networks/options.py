"""`-o KEY=VALUE`: the bridge options that docker, nerdctl and podman users type.  Pure."""

from __future__ import annotations

from collections.abc import Mapping

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
}
KNOWN = tuple(sorted(_ALIASES))

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
"""Go's strconv.ParseBool, as every client reads these options."""

MTU_RANGE = {4: (68, 65535), 6: (1280, 65535)}
"""RFC 791 and RFC 8200: the smallest MTU a link may have for the family."""


class BridgeOptions(Record):
    """Parsed options; None where one was not given."""

    mtu: int | None = None
    masquerade: bool | None = None
    icc: bool | None = None
    bridge: str | None = None
    vlan: int | None = None


def parse_options(given: Mapping[str, str]) -> BridgeOptions:
    """Raises InvalidRequest for an unknown key, a malformed value, or two spellings of one key that disagree."""
    values: dict[str, str] = {}
    spelled: dict[str, str] = {}
    for key, value in given.items():
        option = _ALIASES.get(key)
        if option is None:
            raise InvalidRequest(f"option {key!r} is unknown; known are {', '.join(KNOWN)}")
        if values.setdefault(option, value) != value:
            raise InvalidRequest(f"options {spelled[option]} and {key} are the same setting with different values")
        spelled[option] = key

    def text(option: str) -> str | None:
        return values.get(option)

    def flag(option: str) -> bool | None:
        return parse_bool(f"option {spelled[option]}", values[option]) if option in values else None

    def number(option: str, low: int, high: int) -> int | None:
        return parse_number(f"option {spelled[option]}", values[option], low, high) if option in values else None

    return BridgeOptions(
        mtu=number("mtu", 0, 65535),
        masquerade=flag("ip-masq"),
        icc=flag("icc"),
        bridge=text("bridge"),
        vlan=number("vlan", 0, 4094),
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
