"""The differences of host-local that are meant; see `allowed_differences`."""

from __future__ import annotations

import ipaddress
import json
import re

from difference_forms import Difference, Step, allowed, refused

NO_NUMBER = r"routes\[\d+\]\.(mtu|advmss|priority|table|scope)': -?\d+ (is negative|does not fit \d+ bits)$"
"""The end of an error about a number of a route."""

refused("host-local", "a route without `dst` passes", "a route needs a destination$")
refused(
    "host-local",
    "a `rangeStart` that is the broadcast address",
    r"RangeStart ([0-9.]+) not in network ([0-9./]+)$",
    lambda found, _step: str(ipaddress.ip_network(found[2]).broadcast_address) == found[1],
)
refused("host-local, static", "a route's number that is negative", rf"'ipam\.{NO_NUMBER}")


@allowed("host-local", "CHECK and DEL make the lease directory")
def _(_step: Step, seen: Difference) -> bool:
    return seen.ours is None and bool(re.fullmatch(r"file/(var/lib/cni|run/leases)/(.*/)?(lock)?", seen.where))


def _takes_the_last_address_for_a_lease(step: Step) -> bool:
    asked = f"'{step.request.get('id')}'"
    return any("/last_reserved_ip." in key and text.endswith(asked) for key, text in step.before.items())


_IN_A_RESULT = re.compile(r'"(?:address|ip)": "[0-9a-f.:]+/\d+"')


def _other_addresses(step: Step, seen: Difference) -> bool:
    """Both sides' ADD came to a result, and only its addresses differ."""
    served = seen.where.endswith("/output") and step.command == "ADD" and not step.our_failure
    alike = _IN_A_RESULT.sub("", seen.ours or "") == _IN_A_RESULT.sub("", seen.theirs or "")
    return served and not step.their_failure and alike


@allowed("host-local", "CHECK and DEL take every file of the directory for a lease")
def _(step: Step, seen: Difference) -> bool:
    if step.command == "CHECK" and seen.where.startswith("call/") and not step.their_failure:
        missed = "Failed to find address added by container" in str(step.our_failure.get("msg"))
        return missed and _takes_the_last_address_for_a_lease(step)
    if not any(each.command == "DEL" and _takes_the_last_address_for_a_lease(each) for each in step.so_far):
        return False
    # without that file the reference's next ADD begins with the first address again
    return _other_addresses(step, seen) or step.leases_alike(seen.where)


@allowed("host-local", "an ADD that fails after it took an address also frees those that the attachment had before")
def _(step: Step, seen: Difference) -> bool:
    """It keeps them, so that the next attachment's are others; its CHECK finds them."""
    words = re.compile("failed to allocate for range [1-9]")
    failed = [each for each in step.so_far if each.command == "ADD" and words.match(str(each.our_failure.get("msg")))]
    own = [each for each in failed if each.our_failure == each.their_failure]
    if not own:
        return False
    asked = (step.request.get("id"), step.request["ifname"]) in [
        (e.request.get("id"), e.request["ifname"]) for e in own
    ]
    if step.command == "CHECK" and seen.where.startswith("call/"):
        return asked and not step.our_failure and "Failed to find address added" in str(step.their_failure.get("msg"))
    return _other_addresses(step, seen) or step.leases_alike(seen.where, ours=own)


@allowed("host-local", "a requested address that is in no range is noticed after the ranges were served")
def _(step: Step, seen: Difference) -> bool:
    mine, other = str(step.our_failure.get("msg")), str(step.their_failure.get("msg"))
    both = mine.startswith("failed to allocate all requested IPs: ") and other.startswith(
        "failed to allocate for range "
    )
    return both and seen.where.endswith("/output")


@allowed("host-local", "`failed to allocate all requested IPs` names them in any order")
def _(step: Step, seen: Difference) -> bool:
    words = "failed to allocate all requested IPs: "
    ours, theirs = (str(each.get("msg")) for each in (step.our_failure, step.their_failure))
    left = [text.removeprefix(words).replace(";", " ").split() for text in (ours, theirs)]
    asked = json.dumps([step.case["args"], step.case["plugins"]])
    known = all(each in asked for each in left[0] + left[1])
    both = ours.startswith(words) and theirs.startswith(words) and len(left[0]) == len(left[1])
    return both and known and seen.where.endswith("/output")
