"""More differences that are meant, of plugins that follow others; see `allowed_differences`."""

from __future__ import annotations

import re
from typing import Any

from difference_forms import Difference, Step, allowed, served

served(
    "portmap, firewall, tuning, bandwidth, sbr, loopback",
    "`dns` of a wrong type is refused",
    r"cannot unmarshal .*NetConf\.dns",
)


@allowed(
    "bridge, portmap", "the iptables chain of a container on a network is shared by all its addresses and interfaces"
)
def _(step: Step, seen: Difference) -> bool:
    """The DEL that fails ends the list, before what comes first in it: loopback."""
    failed = any(
        each.command == "DEL" and not each.our_failure and "CHAIN_DEL failed" in str(each.their_failure.get("msg"))
        for each in step.so_far
    )
    down = seen.ours is None or seen.where.endswith("/link/lo/flags")
    about_lo = re.match(r"c\d/(link/lo|addr/lo|route/local)/", seen.where)
    return failed and down and step.plugin("loopback") is not None and bool(about_lo)


def _sysctls(value: Any) -> set[str]:
    """The names under a key `sysctl`, however it is spelt."""
    if not isinstance(value, dict):
        return set()
    own = {name for key, each in value.items() if key.lower() == "sysctl" and isinstance(each, dict) for name in each}
    return own.union(*map(_sysctls, value.values()))


@allowed("", "the order in which the reference sets sysctls is that of a Go map")
def _(step: Step, seen: Difference) -> bool:
    several = len(_sysctls(step.plugin("tuning"))) > 1
    about = seen.where.endswith("/tuning/output") or bool(re.match(r"c\d/(link|sysctl)/", seen.where))
    return several and about and step.add_failed() and step.our_failure.get("code") == step.their_failure.get("code")
