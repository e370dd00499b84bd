"""The differences of dhcp with a server that are meant; see `allowed_differences`."""

from __future__ import annotations

import json
import re
from typing import Any

from difference_forms import Difference, Step, allowed


@allowed("dhcp", "releases only through an interface that still has its address")
def _(step: Step, seen: Difference) -> bool:
    deleted = any(each.command == "DEL" for each in step.so_far)
    return deleted and seen.where.startswith("dhcp/lease/") and seen.ours is None


def _without_dns(text: str | None) -> Any:
    result, _ = json.JSONDecoder().raw_decode(text or "null")
    return {key: value for key, value in result.items() if key != "dns"} if isinstance(result, dict) else None


@allowed("dhcp", "never reports `dns`, never sets an MTU")
def _(step: Step, seen: Difference) -> bool:
    asked = re.search(r'"option": "(6|15|119|26)"', json.dumps(step.case["plugins"]))
    if asked is None or step.our_failure or step.their_failure:
        return False
    if re.fullmatch(r"c\d+/link/eth\d/mtu", seen.where):
        return asked[1] == "26"
    return seen.where.endswith("/output") and _without_dns(seen.ours) == _without_dns(seen.theirs) is not None
