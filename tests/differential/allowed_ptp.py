"""The differences of ptp that are meant; see `allowed_differences`."""

from __future__ import annotations

import re

from difference_forms import Difference, Step, allowed, deleted, refused, served, stricter


@allowed("ptp", "waits 1 to 2 s for duplicate address detection")
def _(step: Step, seen: Difference) -> bool:
    if step.plugin("ptp") is None:
        return False
    if re.fullmatch(r"(c\d+|host)/link/[^/]+(/c\d+/eth\d|/eth\d)?/ipv6/accept_dad", seen.where):
        return (seen.ours, seen.theirs) == ("0", "1")
    # the host's end is still at it when the reference's ADD ends
    return bool(re.match(r"host/(addr|route)/.*fd", seen.where))


@allowed("ptp", "a second attachment with the same address has no route of the host")
def _(step: Step, seen: Difference) -> bool:
    if step.plugin("ptp") is None or not re.fullmatch(
        r"host/route/main/[0-9a-f.:]+/(32|128)/unicast( v6)?", seen.where
    ):
        return False
    ours, theirs = (set(text.split(" | ")) if text else set() for text in (seen.ours, seen.theirs))
    attached = {(each.request["container"], each.request["ifname"]) for each in step.so_far if each.command == "ADD"}
    return theirs < ours and len(attached) > 1 and len(ours) <= len(attached)


stricter("ptp", "CHECK does not look at the host", r"in chain (CNI-[0-9a-f]{24}|POSTROUTING) not found in table nat$")
refused("ptp", "an address without a gateway fails", "returned no gateway for")
served("ptp", "an address without a gateway fails", "failed to (add|delete) route")


@allowed("ptp", "DEL stops when the IPAM plugin's fails")
def _(step: Step, seen: Difference) -> bool:
    failed = any(each.command == "DEL" and each.their_failure for each in step.so_far)
    interface = seen.ours is None and bool(re.match(r"c\d+/\w+/eth\d(/|$)", seen.where))
    return step.plugin("ptp") is not None and failed and (interface or step.gone(seen.where, seen.ours))


deleted("ptp", "`ipam` without a type: DEL fails", "^no plugin name provided$")


@allowed("ptp", "addresses stay allocated when IPAM gives none")
def _(step: Step, seen: Difference) -> bool:
    refused_add = any(each.command == "ADD" and each.our_failure for each in step.so_far)
    leases = seen.where.startswith(("file/var/lib/cni/networks", "file/run/leases"))
    return step.plugin("ptp") is not None and refused_add and leases and step.gone(seen.where, seen.ours)
