"""The differences of macvlan, tap, host-device, dhcp, bandwidth and sbr that are meant; see `allowed_differences`."""

from __future__ import annotations

import re

from difference_forms import Difference, Step, allowed, deleted, passed, refused, served, stricter

deleted("host-device", "the second DEL fails, and one of a missing namespace", 'failed to find "|failed to open netns')
deleted(
    "host-device",
    "DEL fails where an interface of that name has no alias",
    "alias is not set|error with host device|not found or unsupported",
)
deleted("host-device", "DEL refuses a configuration that names no device", 'specify either "device"')
deleted(
    "sbr",
    "DEL of a missing namespace fails and leaves a regular file",
    "no such file or directory|unknown FS magic",
)
refused(
    "sbr", "a negative `table` is refused by the kernel", r"'table': (-?\d+ (is negative|does not fit)|0 is no table$)"
)
stricter("sbr", "CHECK always succeeds", "")
for form in (served, passed, deleted):
    form("sbr", "a `prevResult` without `cniVersion` is refused", 'unmarshalled CNIVersion is ""$')


def _rule_tables(state: dict[str, str], where: str) -> dict[str, str]:
    """The table of each source address in a container's rules."""
    text = state.get(f"{where}/rules/inet", "") + state.get(f"{where}/rules/inet6", "")
    return {source: table for table, source in re.findall(r" table (\d+) [^\n]* 2=([0-9a-f]+)", text)}


def _moved_tables(step: Step, where: str) -> dict[str, str]:
    """Ours by the reference's, of the source addresses whose tables differ."""
    ours, theirs = _rule_tables(step.now, where), _rule_tables(step.there, where)
    return {theirs[each]: ours[each] for each in ours.keys() & theirs.keys() if ours[each] != theirs[each]}


@allowed("sbr", "a table without rules in which routes are left counts as free")
def _(step: Step, seen: Difference) -> bool:
    place = re.fullmatch(r"(c\d)/(?:route/(\d+)/(.*)|rules/inet6?)", seen.where)
    if place is None or step.plugin("sbr") is None:
        return False
    moved = _moved_tables(step, place[1])
    held = {key.split("/")[2] for key in step.start if key.startswith(f"{place[1]}/route/")}
    taken = any(held & _moved_tables(each, place[1]).keys() for each in step.so_far)
    if not moved or not taken or held & set(moved.values()):
        return False
    if place[2] is None:
        texts = [re.sub(r" table \d+| 15=[0-9a-f]+", "", text or "") for text in (seen.ours, seen.theirs)]
        return texts[0] == texts[1]
    # what either side has there is in the other's table, and is the same
    back = {one: other for other, one in moved.items()}
    at_theirs = step.there.get(f"{place[1]}/route/{back.get(place[2])}/{place[3]}")
    at_ours = step.now.get(f"{place[1]}/route/{moved.get(place[2])}/{place[3]}")
    return seen.ours in (None, at_theirs) and seen.theirs in (None, at_ours)


@allowed("sbr", "DEL leaves the rules of addresses that the interface has lost")
def _(step: Step, seen: Difference) -> bool:
    deleted_it = any(each.command == "DEL" for each in step.so_far) and step.plugin("sbr") is not None
    return deleted_it and seen.where.startswith("c1/rules/") and step.gone(seen.where, seen.ours)


deleted("bandwidth", "a rate or burst of less than a byte", "must also be set|cannot be more than 4GB")
refused("bandwidth", "a rate or burst of less than a byte", r": \d bits are less than a byte$")
refused("tap", "an interface that exists is reported as a success", "^failed to rename tap to")


refused(
    "host-device",
    "`..` in `kernelpath`, `pciBusID` and `deviceID` leads out",
    r'kernel device path "[^"]*\.\.[^"]*" must be absolute',
)


@allowed("host-device", "a failed ADD leaves the device in the container")
def _(step: Step, seen: Difference) -> bool:
    missed = re.search("failed to find (host device|physical interface)", str(step.their_failure.get("msg")))
    failed = any(each.command == "ADD" and each.our_failure and each.their_failure for each in step.history)
    if failed and step.plugin("host-device") and re.fullmatch(r"host/link/(hd|up)[01]/flags", seen.where):
        return "UP" in str(seen.ours)  # and so is the other end's carrier, a little later
    return failed and step.command == "ADD" and bool(missed) and seen.where.startswith("call/")


@allowed("host-device", "a device without a carrier has the route for multicast at once")
def _(step: Step, seen: Difference) -> bool:
    place = re.fullmatch(r"(c\d)/route/local/ff00::/8/multicast v6", seen.where)
    if place is None or step.plugin("host-device") is None or seen.ours is not None:
        return False
    flags = step.now.get(f"{place[1]}/link/{step.request['ifname']}/flags", "")
    return "UP" in flags and "RUNNING" not in flags


@allowed("host-device", "moves through a temporary namespace")
def _(step: Step, seen: Difference) -> bool:
    theirs = re.fullmatch(r'failed to move link (.*)"([^"]*)" to tempNS: (.*)', str(step.their_failure.get("msg")))
    ours = re.fullmatch(
        r'failed to move link (.*)"([^"]*)" \(host: "([^"]*)"\) to container NS: (.*)', str(step.our_failure.get("msg"))
    )
    if ours is None or theirs is None or not seen.where.endswith("/host-device/output"):
        return False
    return (ours[1], ours[2], ours[3], ours[4]) == (theirs[1], step.request["ifname"], theirs[2], theirs[3])


@allowed("bandwidth", "crashes without limits and `prevResult`, and on `null`")
def _(step: Step, seen: Difference) -> bool:
    crashed = bool(step.theirs) and step.theirs[-1][:2] == ("bandwidth", 2)
    return crashed and bool(step.our_failure) and bool(re.match("call/.*/bandwidth/", seen.where))


@allowed("dhcp", "a configuration without `ipam` crashes")
def _(step: Step, seen: Difference) -> bool:
    crashed = bool(step.theirs) and step.theirs[-1][:2] == ("dhcp", 2)
    return crashed and bool(step.our_failure) and bool(re.match("call/.*/dhcp/", seen.where))


refused("sbr", "v1.9.1 ignores `gateways` and `addSourceHints`", r"'(gateways|addSourceHints)(\[\d+\])?':")


served(
    "bandwidth", "of two interfaces of a container on one network only one can be limited", "^adding link: file exists$"
)


@allowed("bandwidth", "the redirection to the ifb is there twice")
def _(_step: Step, seen: Difference) -> bool:
    if re.fullmatch(r"host/link/bwp[0-9a-f]{12}/alias", seen.where):
        return seen.theirs == ""
    twice = re.sub(r" action 2 verdict 0 to 1 bwp[0-9a-f]{12}", "", seen.theirs or "")
    return seen.where.startswith("host/filter/") and twice == seen.ours


@allowed("sbr", "v1.9.1 ignores `gateways` and `addSourceHints`")
def _(step: Step, seen: Difference) -> bool:
    keys = step.plugin("sbr") or {}
    known = {name.lower() for name, value in keys.items() if value}
    inside = bool(re.match(r"call/|c\d/(route|rules)/", seen.where))
    return bool(known & {"gateways", "addsourcehints"}) and (inside or step.gone(seen.where, seen.ours))


@allowed("tap", "with `owner` and `group`, `mtu` and `mac` are ignored; a bad `mac` is noticed by the program `ip`")
def _(step: Step, seen: Difference) -> bool:
    ran = "failed to run command" in str(step.their_failure.get("msg"))
    return ran and bool(step.our_failure) and seen.where.endswith("/tap/output")


_IGNORED = "with `owner` and `group`, `mtu` and `mac` are ignored"
refused("tap", _IGNORED, r"invalid MAC address|'mtu': -\d+ is negative|invalid MTU")


def _has_no_ipv6(_found: re.Match[str], step: Step) -> bool:
    keys = {name.lower(): value for name, value in (step.plugin("tap") or {}).items()}
    return {"owner", "group"} <= keys.keys() and 0 < int(keys.get("mtu") or 0) < 1280


refused(
    "tap", _IGNORED, "^failed to enable keep_addr_on_down for interface .*: no such file or directory$", _has_no_ipv6
)


@allowed("tap", _IGNORED)
def _(step: Step, seen: Difference) -> bool:
    keys = {name.lower(): value for name, value in (step.plugin("tap") or {}).items()}
    if not {"owner", "group"} <= keys.keys():
        return False
    if seen.where.endswith("/tap/output"):
        texts = [re.sub(r'"mac": "[^"]*"', "", text or "") for text in (seen.ours, seen.theirs)]
        return not step.our_failure and texts[0] == texts[1]
    # the bridge has its port's
    names = rf"(eth\d|{re.escape(str(keys.get('bridge') or 'eth0'))})"
    return bool(re.fullmatch(rf"c\d/link/{names}/(mac|mtu|ipv6/2)", seen.where))


@allowed("tap", "an error of `selinuxContext` names the file as Go's library opened it")
def _(step: Step, seen: Difference) -> bool:
    mine, other = (str(each.get("msg")) for each in (step.our_failure, step.their_failure))
    same = mine == other.replace("fsmount:fscontext:proc/", "/proc/")
    return seen.where.endswith("/tap/output") and mine.startswith("failed set socket label: ") and same
