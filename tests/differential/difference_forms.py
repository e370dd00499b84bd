"""What a difference that is meant can look at, and the forms it comes in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any, NamedTuple

Call = tuple[str, int, str]
Explains = Callable[["Step", "Difference"], bool]


class Difference(NamedTuple):
    """`where` is `call/<number>/<plugin>/status|output` or a key of the state; None is absence."""

    where: str
    ours: str | None
    theirs: str | None

    def __str__(self) -> str:
        return f"{self.where}\n      ours:      {_shown(self.ours)}\n      reference: {_shown(self.theirs)}"


def _shown(text: str | None) -> str:
    return "(absent)" if text is None else text.replace("\n", "\n                 ")


_LEASE = re.compile(r"file/(?:var/lib/cni/networks|run/leases)/[^/]+/(last_reserved_ip\.\d+|[0-9a-f.:]+)")


def _owners(state: dict[str, str]) -> list[str]:
    """What leases say, whichever addresses they are of."""
    found = ((_LEASE.fullmatch(key), text) for key, text in state.items())
    return sorted(text for match, text in found if match and not match[1].startswith("last"))


def _without(owners: list[str], steps: Iterable[Step]) -> list[str]:
    """Without the leases of the attachments that these steps are about."""
    left = [repr("\r\n".join(each.attachment)) for each in steps]
    return [each for each in owners if each.partition(" ")[2] not in left]


def _still(state: dict[str, str], where: str, ours: str | None) -> bool:
    """It is as in that state, but for routes which the kernel gives by itself to a link that was there, some time after
    the link was set up: that may not have been over yet when the state was looked at."""
    was = state.get(where)
    if ours == was or not re.fullmatch(r"\w+/route/(main/fe80::/64/unicast|local/ff00::/8/multicast) v6", where):
        return ours == was
    old, new = (set(text.split(" | ")) if text else set() for text in (was, ours))
    devices = [route.partition(" dev ")[2].split()[0] for route in new - old]
    return old < new and all(f"{where.partition('/')[0]}/link/{each}/kind" in state for each in devices)


class Step(NamedTuple):
    """One operation of a case.  `ours` and `theirs` are its calls (plugin, exit status, output); `start` and `before`
    are our side's state before the case and before this step, `now` after it, `there` is the reference's then;
    `history` holds the steps so far."""

    case: dict[str, Any]
    request: dict[str, Any]
    ours: list[Call]
    theirs: list[Call]
    start: dict[str, str]
    before: dict[str, str]
    now: dict[str, str]
    there: dict[str, str]
    history: list[Step]

    @property
    def command(self) -> str:
        return str(self.request["command"])

    @property
    def attachment(self) -> tuple[str, str]:
        """Container id and interface."""
        return str(self.request.get("id", self.request.get("container"))), str(self.request["ifname"])

    @property
    def our_failure(self) -> dict[str, Any]:
        return failure(self.ours)

    @property
    def their_failure(self) -> dict[str, Any]:
        return failure(self.theirs)

    def plugin(self, kind: str) -> dict[str, Any] | None:
        """The configuration of this type in the case's list."""
        return next((each for each in self.case["plugins"] if each.get("type") == kind), None)

    @property
    def so_far(self) -> tuple[Step, ...]:
        return (*self.history, self)

    def add_failed(self) -> bool:
        """An ADD failed on both sides, now or before."""
        return any(each.command == "ADD" and each.our_failure and each.their_failure for each in self.so_far)

    def deleted_blindly(self) -> bool:
        """A DEL, now or before, could not see the container's namespace, or had no prevResult."""
        return any(
            each.command == "DEL"
            and (
                each.request.get("netns") in ("", "/run/nothing")
                or each.request.get("vanish")
                or each.request.get("forget")
            )
            for each in self.so_far
        )

    def gone(self, where: str, ours: str | None) -> bool:
        """Our side has there what it had before the case, or only what stays on purpose."""
        return _still(self.start, where, ours) or is_permanent(where, self.now, self.case)

    def as_before(self, where: str, ours: str | None) -> bool:
        """Our side has there what it had before this step."""
        return _still(self.before, where, ours)

    def leases_alike(self, where: str, ours: Iterable[Step] = (), theirs: Iterable[Step] = ()) -> bool:
        """It is about a lease, and the same attachments have as many on both sides, be it of other addresses; on our
        side alone those of some steps may have more, on the reference's alone those of some others."""
        here, there = _owners(self.now), _owners(self.there)
        alike = [_without(here, ours), here], [_without(there, theirs), there]
        return bool(_LEASE.fullmatch(where)) and any(one == other for one, other in product(*alike))

    def lost_the_interface(self, seen: Difference) -> bool:
        """Of several routes to one network ours are those of the reference without the deleted interfaces'."""
        ours, theirs = (set(text.split(" | ")) if text else set() for text in (seen.ours, seen.theirs))
        deleted = [f" dev {each.request['ifname']} " for each in self.so_far if each.command == "DEL"]
        return ours < theirs and all(any(name in f"{each} " for name in deleted) for each in theirs - ours)


class Allowed(NamedTuple):
    """`row` is the first column of a row of docs/differences.md and the beginning of its second.  Where the first is
    "", nothing differs but by chance, on either side, and the second says why."""

    row: tuple[str, str]
    explains: Explains


def failure(calls: list[Call]) -> dict[str, Any]:
    """The last call's error object; empty after success."""
    if not calls or not calls[-1][1]:
        return {}
    try:
        document = json.loads(calls[-1][2])
    except ValueError:
        return {"code": -1, "msg": calls[-1][2]}
    return document if isinstance(document, dict) else {"code": -1, "msg": calls[-1][2]}


ALLOWED: list[Allowed] = []


def allowed(where: str, reference: str) -> Callable[[Explains], Explains]:
    """Adds a row; the function says what it explains."""

    def add(explains: Explains) -> Explains:
        ALLOWED.append(Allowed((where, reference), explains))
        return explains

    return add


def _speaks(calls: list[Call], where: str) -> bool:
    """Whether the last call was of a plugin that the row is about; addresses are another's through delegation."""
    names = where.split(", ")
    return bool(calls) and (bool({"all", "host-local", "static"} & set(names)) or calls[-1][0] in names)


def _any(_found: re.Match[str], _step: Step) -> bool:
    return True


def refused(where: str, reference: str, text: str, holds: Callable[[re.Match[str], Step], bool] = _any) -> None:
    """Adds a row: ours refuses an ADD with this text (a pattern, for which `holds` is true), which the reference
    serves, or refuses later or for another reason; until the end of the case nothing is there on our side, and it is
    deleted without complaint."""
    pattern = re.compile(text)

    def refuses(step: Step) -> bool:
        found = pattern.search(str(step.our_failure.get("msg", "")))
        return found is not None and _speaks(step.ours, where) and holds(found, step)

    def explains(step: Step, seen: Difference) -> bool:
        if not any(map(refuses, step.so_far)):
            return False
        if seen.where.startswith("call/"):
            return step.command != "DEL" or not step.our_failure
        # what was refused has not had an address, so that the next one's is another
        failed = [each for each in step.so_far if each.command == "ADD" and each.our_failure]
        other = seen.where.startswith("c") or step.leases_alike(seen.where, theirs=failed)
        return other or step.as_before(seen.where, seen.ours) or step.gone(seen.where, seen.ours)

    ALLOWED.append(Allowed((where, reference), explains))


def _better(step: Step, command: str, where: str, pattern: re.Pattern[str]) -> bool:
    """The reference's call failed with such a text, and ours at the same place in the list did not."""
    last = len(step.theirs) - 1
    return (
        step.command == command
        and bool(step.their_failure)
        and _speaks(step.theirs, where)
        and bool(pattern.search(str(step.their_failure.get("msg", ""))))
        and last < len(step.ours)
        and step.ours[last][1] == 0
    )


def _gets_further(step: Step, where: str, pattern: re.Pattern[str]) -> bool:
    """The reference's call failed with such a text, and the same one of ours with another."""
    mine, other = str(step.our_failure.get("msg", "")), str(step.their_failure.get("msg", ""))
    failed = bool(step.our_failure) and bool(step.their_failure)
    alike = len(step.ours) == len(step.theirs) and failed and _speaks(step.theirs, where)
    return alike and bool(pattern.search(other)) and not pattern.search(mine)


def served(where: str, reference: str, text: str) -> None:
    """Adds a row: ours serves an ADD that the reference refuses with this text (a pattern), or gets further and fails
    for another reason.  From then on the sides are not alike."""
    pattern = re.compile(text)

    def explains(step: Step, seen: Difference) -> bool:
        if step.command == "ADD" and seen.where.endswith("/output") and _gets_further(step, where, pattern):
            return True
        return any(_better(each, "ADD", where, pattern) for each in step.so_far)

    ALLOWED.append(Allowed((where, reference), explains))


def passed(where: str, reference: str, text: str) -> None:
    """Adds a row: ours finds well in CHECK what the reference complains about with this text (a pattern)."""
    pattern = re.compile(text)

    def explains(step: Step, seen: Difference) -> bool:
        complaint = _speaks(step.theirs, where) and pattern.search(str(step.their_failure.get("msg", "")))
        return step.command == "CHECK" and seen.where.startswith("call/") and bool(complaint)

    ALLOWED.append(Allowed((where, reference), explains))


_TAKEN = re.compile(
    r"requested IP address (\S+) is not available|(\S+) has been allocated to \S+, duplicate allocation"
)


def _finds_it_taken(step: Step, attachments: list[tuple[str, str]]) -> bool:
    """The reference's ADD failed for an address that one of these still has there; ours at the same place did not."""
    found = _TAKEN.search(str(step.their_failure.get("msg", "")))
    last = len(step.theirs) - 1
    if step.command != "ADD" or found is None or last >= len(step.ours) or step.ours[last][1]:
        return False
    leases = ((_LEASE.fullmatch(key), text.partition(" ")[2]) for key, text in step.there.items())
    owners = [owner for match, owner in leases if match and match[1] == (found[1] or found[2])]
    return any(repr("\r\n".join(each)) in owners for each in attachments)


def deleted(where: str, reference: str, text: str) -> None:
    """Adds a row: a DEL succeeds where the reference's fails with this text (a pattern), or gets further; what it
    should have removed is gone on our side.  Where an ADD needs an address that is not, the sides are not alike from
    then on."""
    pattern = re.compile(text)

    def explains(step: Step, seen: Difference) -> bool:
        forgotten = [each.attachment for each in step.so_far if _better(each, "DEL", where, pattern)]
        if any(_finds_it_taken(each, forgotten) for each in step.so_far):
            return True
        if seen.where.startswith("call/"):
            further = seen.where.endswith("/output") and _gets_further(step, where, pattern)
            return _better(step, "DEL", where, pattern) or (step.command == "DEL" and further)
        inside = (seen.ours is None or step.lost_the_interface(seen)) and bool(re.match(r"c\d+/", seen.where))
        away = inside or step.gone(seen.where, seen.ours)
        return away and any(_better(each, "DEL", where, pattern) for each in step.so_far)

    ALLOWED.append(Allowed((where, reference), explains))


def stricter(where: str, reference: str, text: str, command: str = "CHECK") -> None:
    """Adds a row: ours complains in CHECK, or in STATUS, with this text (a pattern) about what the reference does not
    look at."""
    pattern = re.compile(text)

    def explains(step: Step, seen: Difference) -> bool:
        complaint = (
            _speaks(step.ours, where) and bool(step.our_failure) and pattern.search(str(step.our_failure.get("msg")))
        )
        return step.command == command and seen.where.startswith("call/") and bool(complaint)

    ALLOWED.append(Allowed((where, reference), explains))


# What an attachment leaves on purpose, on both sides (contract 2.1, 3.6, 4.3, 5.2).
_PERMANENT = re.compile(
    r"host/(route|vlan)/.*|dhcp/heard/.*"
    r"|c\d+/(addr/lo|route/local)/.*"
    r"|host/link/.*/ipv[46]/forwarding"
    r"|host/sysctl/net/(ipv4/ip_forward|ipv6/conf/all/forwarding)"
    r"|host/ip6?tables/(filter|nat)/(INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING)"
    r"|host/ip6?tables/filter/CNI-(FORWARD|ADMIN)"
    r"|host/ip6?tables/nat/CNI-HOSTPORT-(DNAT|SETMARK|MASQ)"
    r"|file/(var/lib/cni/networks|run/leases)/([^/]*/(lock|last_reserved_ip\.\d+)?)?|file/var/lib/cni/"
    r"|file/run/cni/((tuning|elsewhere)/)?"
    r"|c\d+/(link/.*/ipv[46]/.*|link/lo/flags|sysctl/.*)"
)


def is_permanent(key: str, state: dict[str, str], case: dict[str, Any]) -> bool:
    """Whether it may stay after the last DEL: a bridge does, with all that makes it a network's; sysctls of a container
    do, as they were set."""
    if _PERMANENT.fullmatch(key):
        return True
    if case["dhcp"] is not None and re.fullmatch(r"c\d+/(link/eth\d/flags|route/main/ff00::/8/.*)", key):
        return True  # dhcp by itself leaves its interface up
    moved = re.fullmatch(r"host/link/(hd0|up0)/(flags|alias)", key)
    if moved and any(each.get("type") == "host-device" for each in case["plugins"]):
        return True  # back, down and without its alias
    if re.fullmatch(r"host/link/(hd0|up0)/(mtu|mac|txqlen|ipv6/2)", key):
        changed = "link set eth0" in json.dumps([each.get("setup", []) for each in case["steps"]])
        # back as the case changed it
        return changed and any(each.get("type") == "host-device" for each in case["plugins"])
    for each in case["plugins"]:
        spelt = {name.lower(): value for name, value in each.items()} if each.get("type") == "firewall" else {}
        admin = re.escape(str(spelt.get("iptablesadminchainname", "")))
        if admin and re.fullmatch(rf"host/ip6?tables/filter/{admin}", key):
            return True
    if key == "host/nft/bridge nat" and "macspoofchk" not in state.get(key, ""):
        return True
    inside = re.fullmatch(r"(c\d+/link/[^/]+)/mac", key)
    if inside is not None:
        # of a bridge that lost its only port
        return state.get(f"{inside[1]}/kind") == "bridge" and state.get(key) == "00:00:00:00:00:00"
    found = re.match(r"host/(?:link|addr|qdisc)/((?:veth~host/)?[^/]+)/", key)
    if found is None:
        return False
    name = found[1]
    # a VLAN's gateway device and its port
    return state.get(f"host/link/{name}/kind") == "bridge" or bool(re.fullmatch(r"(veth~host/)?[^/]+\.\d+", name))
