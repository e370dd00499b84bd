"""Results that are passed on as they came: a short way for what needs no taking apart.

Most previous results are in the form `pycni.spec.result` would print them in, but for spaces and the order of keys.
`render` recognizes that, and leaves everything else to it.
"""

from __future__ import annotations

from pycni.spec import jsontext
from pycni.spec.address import Address, Prefix
from pycni.spec.result import RECENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pycni.spec.request import Config

_TOP = {"cniVersion", "interfaces", "ips", "routes", "dns"}
_INTERFACE = {"name", "mac", "sandbox"}
_IP = {"address", "gateway", "interface"}
_ROUTE = {"dst", "gw"}


def render(raw: Any, version: str) -> str | None:
    """What parsing the decoded object and rendering the result for this version gives, errors excluded; None when that
    has to be done."""
    if version not in RECENT or type(raw) is not dict or raw.get("cniVersion") != version or not raw.keys() <= _TOP:
        return None
    body = {}
    for key, value in raw.items():
        if key == "cniVersion":
            body[key] = value
        elif key == "dns":
            if value != {} or type(value) is not dict:
                return None
        elif type(value) is not list or not all(map(_PLAIN[key], value)):
            return None
        elif value:
            body[key] = value
    return jsontext.dumps(body, indent=4, sort_keys=True)


def unchanged(config: Config) -> str | None:
    """The result of a plugin that hands on what came before it: the configuration's prevResult, by `render`."""
    memo, key = config.previous_memo, (unchanged, config.version)
    if key not in memo:
        memo[key] = render(config.raw_previous, config.version)
    text: str | None = memo[key]
    return text


def _plain_interface(each: Any) -> bool:
    if type(each) is not dict or "name" not in each or not each.keys() <= _INTERFACE:
        return False
    return all(type(value) is str and value for value in each.values())


def _plain_ip(each: Any) -> bool:
    if type(each) is not dict or not each.keys() <= _IP or not _is_prefix(each.get("address")):
        return False
    index = each.get("interface", 0)
    return type(index) is int and 0 <= index < 1 << 31 and ("gateway" not in each or _is_address(each["gateway"]))


def _plain_route(each: Any) -> bool:
    if type(each) is not dict or not each.keys() <= _ROUTE or not _is_prefix(each.get("dst")):
        return False
    return "gw" not in each or _is_address(each["gw"])


_PLAIN = {"interfaces": _plain_interface, "ips": _plain_ip, "routes": _plain_route}


def _is_prefix(text: Any) -> bool:
    """As we would print it."""
    try:
        return type(text) is str and str(Prefix.parse(text)) == text
    except ValueError:
        return False


def _is_address(text: Any) -> bool:
    try:
        return type(text) is str and str(Address.parse(text)) == text
    except ValueError:
        return False
