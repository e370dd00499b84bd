"""The difference of static that is meant, and what comes of it where the address is used; see `allowed_differences`."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator
from typing import Any

from difference_forms import Difference, Step, allowed

_ROW = ("static", "`GATEWAY` of CNI_ARGS is only that of addresses from CNI_ARGS")


def _lowered(value: Any) -> Any:
    """With all keys in small letters: in which they are written does not matter."""
    if isinstance(value, dict):
        return {key.lower(): _lowered(each) for key, each in value.items()}
    return [_lowered(each) for each in value] if isinstance(value, list) else value


def _configured(step: Step) -> Iterator[tuple[str, str]]:
    """The addresses in configurations of static, each with its gateway or ""."""
    for plugin in map(_lowered, step.case["plugins"]):
        ipam = plugin.get("ipam")
        listed = ipam.get("addresses") if isinstance(ipam, dict) and ipam.get("type") == "static" else None
        for each in listed if isinstance(listed, list) else []:
            if isinstance(each, dict):
                yield str(each.get("address")), str(each.get("gateway") or "")


def _given(step: Step) -> dict[str, tuple[str, str]]:
    """Of each configured address that has another gateway by CNI_ARGS: its own, or "", and that one."""
    pairs = (pair.partition("=") for pair in str(step.case["args"]).split(";"))
    listed = {key: value for key, _, value in pairs}.get("GATEWAY", "")
    gateways = [each.strip() for each in listed.split(",")]
    found = {}
    for address, own in _configured(step):
        try:
            subnet = ipaddress.ip_interface(address).network
            inside = [each for each in gateways if each and ipaddress.ip_address(each) in subnet]
        except ValueError:
            continue
        if inside and inside[-1] != own:
            found[address] = own, inside[-1]
    return found


def _without(gateways: dict[str, str], text: str | None) -> tuple[Any, str]:
    """A result without the gateways that its addresses are expected to have, and what is said after it."""
    result, end = json.JSONDecoder().raw_decode(text or "null")
    blocks = [*result.get("ips", []), result.get("ip4", {}), result.get("ip6", {})] if isinstance(result, dict) else []
    for each in blocks:
        expected = gateways.get(each.get("address", each.get("ip")))
        if expected is not None and each.get("gateway", "") == expected:
            each.pop("gateway", None)
            each["expected"] = True
    return result, (text or "")[end:]


def _renamed(text: str, old: str, new: str) -> str:
    return re.sub(rf"(?<![0-9a-f.:]){re.escape(old)}(?![0-9a-f.:])", new, text)


@allowed(*_ROW)
def _(step: Step, seen: Difference) -> bool:
    given = _given(step) if seen.where.endswith("/output") and step.command == "ADD" else {}
    if not given or step.our_failure or step.their_failure:
        return False
    theirs, ours = ({address: pair[side] for address, pair in given.items()} for side in (0, 1))
    return _without(ours, seen.ours) == _without(theirs, seen.theirs)


@allowed(*_ROW)
def _(step: Step, seen: Difference) -> bool:
    """Routes go by it; ptp has it on the host's end, and a way to it in the container."""
    if not re.match(r"c\d/route/", seen.where) and (step.plugin("ptp") is None or not seen.where.startswith("host/")):
        return False
    for own, other in _given(step).values():
        if seen.ours is not None and seen.theirs is not None:
            if re.sub(rf" via {re.escape(other)}(?= |$)", f" via {own}" if own else "", seen.ours) == seen.theirs:
                return True
        elif own and seen.theirs is None:
            if step.there.get(_renamed(seen.where, other, own)) == _renamed(str(seen.ours), other, own):
                return True
        elif own and step.now.get(_renamed(seen.where, own, other)) == _renamed(str(seen.theirs), own, other):
            return True
    return False


@allowed(*_ROW)
def _(step: Step, _seen: Difference) -> bool:
    """ptp has no address without a gateway; from then on the sides are not alike."""
    return bool(_given(step)) and any(
        each.command == "ADD"
        and not each.our_failure
        and each.theirs[-1][0] == "ptp"
        and "IP:net.IP(nil)" in str(each.their_failure.get("msg"))
        for each in step.so_far
    )
