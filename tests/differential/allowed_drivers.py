"""The differences of vlan, ipvlan, dummy and vrf that are meant; see `allowed_differences`."""

from __future__ import annotations

from difference_forms import Difference, Step, allowed, deleted, refused

deleted(
    "ipvlan, vlan, dummy",
    "DEL needs a master, a default route or `prevResult`; vlan's and dummy's need `ipam`",
    "Link not found|no plugin name provided|no default route|field is required|chained master|invalid (VLAN|MTU)"
    "|unknown ipvlan|failed to open netns",
)
deleted("vrf", "DEL fails when the interface is gone, and without `vrfname`", "resetMaster|valid vrf name|is not a VRF")
refused("ipvlan, ptp, tap", "a negative `mtu` counts as 0 or fails in `ip`", r"'mtu': -\d+ is negative")
refused("ipvlan, vlan", "without an IPAM plugin the device is made first", "no plugin name provided")


@allowed("ipvlan", "with `linkInContainer` an error of the kernel becomes")
def _(step: Step, seen: Difference) -> bool:
    mine, other = (str(each.get("msg")) for each in (step.our_failure, step.their_failure))
    lost = f'failed to rename ipvlan to "{step.request["ifname"]}": Link not found'
    inside = bool((step.plugin("ipvlan") or {}).get("linkInContainer"))
    return inside and seen.where.endswith("/ipvlan/output") and other == lost and mine.startswith("failed to create ")


@allowed("macvlan, ipvlan, vlan, dummy", "errors end with the kernel's word for its error number")
def _(step: Step, seen: Difference) -> bool:
    mine, other = step.our_failure, step.their_failure
    more = "details" in mine and "details" not in other
    return seen.where.endswith("/output") and more and mine["msg"] == other.get("msg")


@allowed("macvlan, tap, dummy", "a missing namespace is called `%!q(<nil>)`")
def _(step: Step, seen: Difference) -> bool:
    return seen.where.endswith("/output") and "%!q(<nil>)" in str(step.their_failure.get("msg"))


@allowed("bridge", "a VLAN's gateway device accepts router advertisements")
def _(step: Step, seen: Difference) -> bool:
    plugin = step.plugin("bridge") or {}
    own = f"host/link/{plugin.get('bridge') or 'cni0'}.{plugin.get('vlan')}/ipv6/accept_ra"
    return seen.where == own and seen.ours == "0"
