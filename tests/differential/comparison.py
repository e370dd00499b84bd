"""One case on both sides, step for step, and what differs that no row of docs/differences.md explains."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from contract_keys import drawn, met
from difference_forms import ALLOWED, Allowed, Difference, Step, is_permanent
from twin_pair import Pair

# each adds its rows
for _rows in sorted(Path(__file__).parent.glob("allowed_*.py")):
    import_module(_rows.stem)

SETTLING_SECONDS = 15.0
_PAUSE = 0.03
_DEFAULTS: dict[str, Any] = {
    "version": "1.0.0",
    "name": "net",
    "args": "",
    "prevResult": None,
    "containers": ["c1"],
    "files": {},
    "setup": [],
    "sysctls": [],
    "steps": ["ADD", "CHECK", "DEL", "DEL"],
    "way": "engine",
    "dad": False,
    "dhcp": None,
}
_STEP: dict[str, Any] = {"command": "ADD", "container": "c1", "ifname": "eth0"}


class Finding(NamedTuple):
    """What is not explained after one step."""

    step: str
    differences: list[Difference]


def completed(case: dict[str, Any]) -> dict[str, Any]:
    """The case with all defaults; a step may be a word."""
    full = {**_DEFAULTS, **case}
    full["steps"] = [{**_STEP, **({"command": each} if isinstance(each, str) else each)} for each in full["steps"]]
    return full


def _lasting(key: str, value: str | None) -> str | None:
    """Without what the kernel does by itself: some time after a link was set up, and at a namespace's first vrf, whose
    rule (FRA_L3MDEV) it never takes back."""
    if "/fe80::" in key:
        return None
    if "/rules/" in key and value is not None:
        return "\n".join(line for line in value.splitlines() if not line.endswith(" 19=01"))
    return value.replace(" RUNNING", "") if value is not None and key.endswith("/flags") else value


class Comparison:
    """Runs cases on a pair; `used` counts which allowed differences were met."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.used: Counter[Allowed] = Counter()
        self.cases = 0
        """Those that were run, without the ones that the comparison's own tests alter."""
        self.equal: set[str] = set()
        """The text of cases that did not differ."""
        self.patience = 1.0
        """Part of the time that differences have to go away; less while a failure is made smaller."""
        self.calls = 0
        self.keys: Counter[str] = Counter()
        """In how many cases each key was, and each pair of keys in ADDs that came to a result (`contract_keys`)."""

    def run(self, case: dict[str, Any], alter: tuple[int, str] | None = None) -> list[Finding]:
        """What is not explained; after the first step where something is not, nothing more is done.  `alter` is for
        the comparison's own tests: a command for our side alone after that step."""
        full = completed(case)
        self.cases += alter is None
        keys = set(drawn(full))
        self.keys.update(keys)
        self.pair.both("begin", full)
        deadline = time.monotonic() + SETTLING_SECONDS * self.patience
        while True:
            (_, before), (_, theirs) = self.pair.both("look", [])
            nothing = Step(full, {**_STEP, "command": "setup"}, [], [], before, before, before, theirs, [])
            findings = self._unexplained(nothing, before, theirs, [])
            if not findings or time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
        if findings:
            return [Finding("setup", findings)]
        start, history = before, list[Step]()
        for number, each in enumerate(full["steps"]):
            calls = self.pair.both("step", each)
            self.calls += sum(map(len, calls))
            if alter is not None and alter[0] == number:
                self.pair.ours("alter", alter[1])
            deadline = time.monotonic() + SETTLING_SECONDS * self.patience
            while True:
                ours, theirs = self.pair.each("look", (calls[0],), (calls[1],))
                step = Step(full, each, ours[0], theirs[0], start, before, ours[1], theirs[1], history)
                found: list[Difference] = []
                used: list[Allowed] = []
                found = self._outputs(step, used) + self._unexplained(step, ours[1], theirs[1], used)
                if not found or time.monotonic() > deadline:
                    break
                time.sleep(_PAUSE)
            self.used.update(set(used))
            if found:
                return [Finding(f"step {number}: {json.dumps(each)}", found)]
            before = ours[1]
            history.append(step)
        if any(each.command == "ADD" and each.ours and not each.our_failure for each in history):
            self.keys.update(met(keys))
        deadline = time.monotonic() + SETTLING_SECONDS * self.patience
        while True:
            # what our reaper takes away is gone a little later
            left = self._left(full, start, before, history)
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(_PAUSE)
            before = self.pair.ours("look", [])[1]

    def _outputs(self, step: Step, used: list[Allowed]) -> list[Difference]:
        found = []
        for number in range(max(len(step.ours), len(step.theirs))):
            ours = step.ours[number] if number < len(step.ours) else None
            theirs = step.theirs[number] if number < len(step.theirs) else None
            plugin = (ours or theirs or ("",))[0]
            for position, what in ((1, "status"), (2, "output")):
                one = None if ours is None else str(ours[position])
                other = None if theirs is None else str(theirs[position])
                if one != other:
                    found.append(Difference(f"call/{number}/{plugin}/{what}", one, other))
        return [each for each in found if not self._explained(step, each, used)]

    def _unexplained(
        self, step: Step, ours: dict[str, str], theirs: dict[str, str], used: list[Allowed]
    ) -> list[Difference]:
        return [
            each
            for key in sorted(ours.keys() | theirs.keys())
            if ours.get(key) != theirs.get(key)
            and not self._explained(step, each := Difference(key, ours.get(key), theirs.get(key)), used)
        ]

    @staticmethod
    def _explained(step: Step, difference: Difference, used: list[Allowed]) -> bool:
        for row in ALLOWED:
            if row.explains(step, difference):
                used.append(row)
                return True
        return False

    def _left(
        self, case: dict[str, Any], start: dict[str, str], end: dict[str, str], history: list[Step]
    ) -> list[Finding]:
        """Nothing but what is meant to stay is there after every attachment was deleted."""
        attached, again = set(), False
        for step in history:
            key = step.request.get("id", step.request["container"]), step.request["ifname"]
            if step.command == "ADD":
                again |= key in attached
                attached.add(key)
            elif step.command == "DEL" and not step.our_failure:
                attached.discard(key)
        if attached or not history:
            return []
        # what was there before the case and is gone now fell to a DEL on both sides; in a namespace whose path was not
        # told, nobody can delete
        unseen = any(step.deleted_blindly() for step in history)
        # tuning restores, on both sides, what the last ADD found
        tuned = again and any(each.get("type") == "tuning" for each in case["plugins"])
        found = [
            Difference(key, value, start.get(key))
            for key, value in sorted(end.items())
            if _lasting(key, start.get(key)) != _lasting(key, value)
            and not is_permanent(key, end, case)
            and not (unseen and re.match(r"c\d/|host/link/(hd|up)1/peer", key))
            and not (tuned and re.fullmatch(r"c\d+/link/eth\d/(mac|mtu|txqlen|flags)", key))
        ]
        found += [Difference(f"file{path}", "left", None) for path in self.pair.ours("left")]
        return [Finding("at the end, against the beginning", found)] if found else []
