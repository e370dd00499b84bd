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
    # printed as it is looked at: the general way through pycni.spec.jsontext takes a tenth of tuning's whole call
    text = f'{{\n    "cniVersion": "{version}"'
    for key in sorted(raw):
        value = raw[key]
        if key == "cniVersion":
            continue
        if key == "dns":
            if value != {} or type(value) is not dict:
                return None
            continue
        if type(value) is not list:
            return None
        before, print_it = f',\n    "{key}": [\n        {{\n', _PRINTED[key]
        for each in value:
            inside = print_it(each)
            if inside is None:
                return None
            text += before + inside
            before = "\n        },\n        {\n"
        if value:
            text += "\n        }\n    ]"
    return jsontext.escaped(text + "\n}")


def unchanged(config: Config) -> str | None:
    """The result of a plugin that hands on what came before it: the configuration's prevResult, by `render`."""
    memo, key = config.previous_memo, (unchanged, config.version)
    if key not in memo:
        memo[key] = render(config.raw_previous, config.version)
    text: str | None = memo[key]
    return text


def _interface(each: Any) -> str | None:
    """The inside of the object as printed; None for one that has to be taken apart."""
    if type(each) is not dict or "name" not in each or not each.keys() <= _INTERFACE:
        return None
    lines = []
    for key in sorted(each):
        value = each[key]
        if type(value) is not str or not value:
            return None
        lines.append(f'            "{key}": {jsontext.literal(value)}')
    return ",\n".join(lines)


def _ip(each: Any) -> str | None:
    if type(each) is not dict or not each.keys() <= _IP or not _is_prefix(each.get("address")):
        return None
    text = f'            "address": "{each["address"]}"'
    if "gateway" in each:
        if not _is_address(each["gateway"]):
            return None
        text += f',\n            "gateway": "{each["gateway"]}"'
    if "interface" in each:
        index = each["interface"]
        if type(index) is not int or not 0 <= index < 1 << 31:
            return None
        text += f',\n            "interface": {index}'
    return text


def _route(each: Any) -> str | None:
    if type(each) is not dict or not each.keys() <= _ROUTE or not _is_prefix(each.get("dst")):
        return None
    text = f'            "dst": "{each["dst"]}"'
    if "gw" in each:
        if not _is_address(each["gw"]):
            return None
        text += f',\n            "gw": "{each["gw"]}"'
    return text


_PRINTED = {"interfaces": _interface, "ips": _ip, "routes": _route}


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
