"""The differences that are meant: each names its row of docs/differences.md, and says as exactly as it can what it
explains.  A difference that nothing here explains is a bug."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from allowed_host_local import NO_NUMBER
from difference_forms import Difference, Step, allowed, deleted, is_permanent, passed, refused, served, stricter


@allowed("bridge", "random name of the host's veth end")
def _(step: Step, seen: Difference) -> bool:
    if seen.where.endswith("/output") and step.our_failure and seen.ours and seen.theirs:
        names = [re.sub(r"veth~[\w/?]+", "veth", text) for text in (seen.ours, seen.theirs)]
        return names[0] == names[1]
    return bool(re.fullmatch(r"host/link/veth~.*/alias", seen.where)) and seen.theirs == ""


@allowed("bridge", "the host's veth end has `txqueuelen` 0")
def _(_step: Step, seen: Difference) -> bool:
    return bool(re.fullmatch(r"host/link/veth~.*/txqlen", seen.where)) and (seen.ours, seen.theirs) == ("1000", "0")


@allowed("bridge", "duplicates of a new bridge's IPv6 gateway are looked for")
def _(step: Step, seen: Difference) -> bool:
    address = re.fullmatch(r"host/addr/([^/]+)/[0-9a-f:]+/\d+", seen.where)
    if address is not None:
        return step.now.get(f"host/link/{address[1]}/kind") == "bridge" and (seen.ours, seen.theirs) == (
            "scope global flags 0x82",
            "scope global flags 0x80",
        )
    return seen.theirs is None and bool(
        re.fullmatch(r"host/route/local/fd[0-9a-f:]+/128/(anycast|local) v6", seen.where)
    )


@allowed("tuning", "missing directories above `dataDir`")
def _(_step: Step, seen: Difference) -> bool:
    return (
        seen.where.startswith("file/run/cni")
        and seen.where.endswith("/")
        and (seen.ours, seen.theirs) == ("40755", "40600")
    )


@allowed("bridge, firewall", "masquerade rules stay when the namespace is gone; isolation rules stay for ever")
def _(step: Step, seen: Difference) -> bool:
    if "/ip" not in seen.where or seen.theirs is None or all(each.command == "ADD" for each in step.so_far):
        return False
    kept = [line for line in seen.theirs.splitlines() if "CNI-ISOLATION" not in line]
    return seen.ours is None if "CNI-ISOLATION" in seen.where else (seen.ours or "").splitlines() == kept


_DECODER = re.compile(
    r"json: |invalid character|unexpected end of JSON|strconv\.|invalid CIDR address|invalid IP address|parsing time"
)


@allowed("all", "texts of Go's decoder")
def _(step: Step, seen: Difference) -> bool:
    # Go decodes everything before it looks at anything, so whatever else is wrong may be told here
    mine, other = step.our_failure, step.their_failure
    both = bool(mine) and mine.get("code") == other.get("code") and seen.where.endswith("/output")
    return both and bool(_DECODER.search(str(other.get("msg"))))


deleted("all", "DEL fails on a value of the wrong type", _DECODER.pattern)
stricter("all", "STATUS at most asks the IPAM plugin", "", "STATUS")
refused(
    "all",
    "the check that `CNI_NETNS` is not the plugin's own namespace",
    "netns and netns from CNI_NETNS should not be",
)


@allowed("all", "a `CNI_NETNS` of another kind of namespace is noticed on entering it")
def _(step: Step, seen: Difference) -> bool:
    mine, other = (str(each.get("msg")) for each in (step.our_failure, step.their_failure))
    entering = (
        other.startswith("error switching to ns ") and re.sub('^failed to open netns "[^"]*": ', "", mine) == other
    )
    return entering and seen.where.endswith("/output")


served("bridge", "`isDefaultGateway` with an IPAM default route that has no `gw` fails: file exists", ": file exists$")


@allowed("all", "DEL with an empty `CNI_NETNS`, of a namespace that is gone, or without `prevResult`")
def _(step: Step, seen: Difference) -> bool:
    return step.deleted_blindly() and not seen.where.startswith("call/") and step.gone(seen.where, seen.ours)


@allowed("loopback", "the result has the newest layout")
def _(step: Step, seen: Difference) -> bool:
    return seen.where == "call/0/loopback/output" and step.case["version"] in (
        "0.1.0",
        "0.2.0",
        "0.3.0",
        "0.3.1",
        "0.4.0",
    )


refused(
    "bridge, firewall, ptp, tuning",
    "wrong values (`ipMasqBackend`, `mac`, `ingressPolicy`) and a missing namespace are noticed",
    "failed to open netns|: invalid MAC address$|unknown ipmasq backend|unknown ingress policy|not an interface name$"
    "|cannot use IPAM when Disable",
)
stricter(
    "bridge, firewall, ptp, tuning",
    "wrong values (`ipMasqBackend`, `mac`, `ingressPolicy`) and a missing namespace are noticed",
    "^cannot set hairpin mode and promiscuous mode at the same time$",
)
refused("bridge", "a negative `mtu` counts as 0", r"'mtu': -\d+ is negative")
refused("tuning", "a negative `txQLen` is 4294967295", r"'(args\.cni\.)?(mtu|txQLen)': -\d+ is negative")
refused(
    "portmap",
    "an unparsable `hostIP` counts as IPv6",
    r"'runtimeConfig\.portMappings\[\d+\]\.(hostIP|hostPort|containerPort)':",
)


served("bridge", "an empty `bridge` is refused", "Name cannot be empty")
served("bridge, ptp", "an empty `ipMasqBackend` is unknown", '^unknown ipmasq backend ""$')


@allowed("bridge", "an empty `bridge` is refused")
def _(step: Step, seen: Difference) -> bool:
    # what ours says about cni0, the reference would say too
    nameless = "Name cannot be empty" in str(step.their_failure.get("msg"))
    return nameless and bool(step.our_failure) and seen.where.endswith("/bridge/output")


_NULL = r"\]': expected (an object|a string), got null$"
refused("all", "`null` in a list of objects", _NULL)


@allowed("all", "`null` in a list of objects")
def _(step: Step, seen: Difference) -> bool:
    named = bool(re.search(_NULL, str(step.our_failure.get("msg"))))
    return named and bool(step.their_failure) and seen.where.startswith("call/")


served("portmap", "an empty `externalSetMarkChain` fails", "Invalid target name")
served("portmap", "an empty `protocol` fails in iptables", r'unknown protocol ""')
_OTHER_INTERFACES = "bridge, ptp, macvlan, tap, host-device, ipvlan, vlan, dummy"
passed("bridge", "CHECK fails without IPAM", r"^no plugin name provided$")
passed(_OTHER_INTERFACES, "CHECK fails for routes in other tables", r"Expected Route .* Table:\d+ .* not found")


@allowed(_OTHER_INTERFACES, "CHECK fails for routes in other tables")
def _(step: Step, seen: Difference) -> bool:
    complaint = "Failed to find Gateway" in str(step.their_failure.get("msg")) and seen.where.startswith("call/")
    if not complaint or step.command != "CHECK":
        return False
    own = f"{step.request['container']}/"
    found = (re.fullmatch(rf"{own}addr/[^/]+/([^/]+/\d+)", key) for key in step.now)
    for each in (ipaddress.ip_interface(match[1]) for match in found if match):
        moved = re.compile(rf"{own}route/\d+/{re.escape(str(each.network))}/unicast( v6)?")
        if each.network.num_addresses == 1 or any(moved.fullmatch(key) for key in step.now):
            return True
    return False


@allowed("all", "GC succeeds and does nothing")
def _(step: Step, seen: Difference) -> bool:
    """What ours freed; the attachments of these cases are not valid, so all goes."""
    freed = any(
        each.command == "GC"
        and not each.our_failure
        and each.request["container"] not in json.dumps(each.request["valid"])
        for each in step.so_far
        if "valid" in each.request
    )
    return freed and not seen.where.startswith("call/") and step.gone(seen.where, seen.ours)


stricter(
    "bridge",
    "CHECK looks at no VLAN",
    r"in chain CNI-[0-9a-f]{24} not found|in chain POSTROUTING not found"
    r"|^macspoofchk rule for \w+ \S+ in chain \w+ of table bridge nat not found",
)


stricter(
    "portmap",
    "CHECK is content when nothing leads to the container's rules",
    r"in chain (PREROUTING|OUTPUT|POSTROUTING|CNI-HOSTPORT-(SETMARK|MASQ)) not found|^rules of chain p_",
)
served("all", "`capabilities` of a wrong type is refused", r"cannot unmarshal .*capabilities")
served(
    "bridge, ptp, macvlan, tap, host-device, vlan, dummy",
    "ADD refuses a `prevResult` that is no object",
    r"cannot unmarshal \w+ into Go struct field [\w.]*\.prevResult of type map",
)
served("tuning", "`args.cni.sysctl` without `sysctl` crashes", "^$")
deleted("tuning", "`args.cni.sysctl` without `sysctl` crashes", "^$")


@allowed("bridge", "route `mtu` and `advmss` only travel in the result")
def _(_step: Step, seen: Difference) -> bool:
    without = sorted(re.sub(r" rtax[28] \d+", "", seen.ours or "").split(" | "))
    return "/route/" in seen.where and without == sorted((seen.theirs or "").split(" | "))


@allowed("tuning", "CHECK says at which address it keeps the configured `txQLen`")
def _(step: Step, seen: Difference) -> bool:
    said = [str(each.get("msg")) for each in (step.our_failure, step.their_failure)]
    form = r"(Error: Tuning configured Transmit Queue Length of \S+ is )(\d+)(, current value is \d+)"
    ours, theirs = (re.fullmatch(form, each) for each in said)
    if ours is None or theirs is None or step.command != "CHECK" or not seen.where.endswith("/tuning/output"):
        return False
    return (ours[1], ours[3]) == (theirs[1], theirs[3]) and int(theirs[2]) > 1 << 32


@allowed("tuning", "`args.cni.sysctl` without `sysctl` crashes; a missing interface leaves the backup file")
def _(step: Step, seen: Difference) -> bool:
    if '"sysctl"' in json.dumps(step.case["plugins"]) and seen.where.startswith("call/"):
        return step.their_failure.get("code") == -1
    return (
        seen.ours is None
        and seen.where.startswith("file/run/cni/")
        and any(each.command == "DEL" for each in step.so_far)
    )


@allowed("portmap, firewall", "say `could not parse prevResult` twice")
def _(_step: Step, seen: Difference) -> bool:
    text = "could not parse prevResult: "
    return seen.where.endswith("/output") and (seen.theirs or "").replace(text + text, text) == seen.ours


@allowed("portmap, firewall", "errors quote the command of iptables that failed")
def _(step: Step, seen: Difference) -> bool:
    mine, other = str(step.our_failure.get("msg")), str(step.their_failure.get("msg"))
    return seen.where.endswith("/output") and "running [/usr/sbin/ip" in other and "tables-restore" in mine


@allowed("portmap", "CHECK quotes all rules of a chain")
def _(step: Step, seen: Difference) -> bool:
    mine, other = str(step.our_failure.get("msg")), str(step.their_failure.get("msg"))
    form = re.compile(r"(?:could not check ipv[46] dnat: )?(?:entry )?rule .* in chain (\S+) not found in table nat")
    ours, theirs = form.fullmatch(mine), form.fullmatch(other)
    same = ours is not None and theirs is not None and ours[1] == theirs[1]
    return step.command == "CHECK" and seen.where.endswith("/portmap/output") and same and other.startswith("could not")


def _as_cidr(text: str) -> str:
    """Go's way to print a network's fields, as a network, and a route's, as its network and gateway."""
    text = re.sub(
        r"\{Dst:\{IP:(\S+) Mask:(\w+)\} GW:(\S+) MTU:\d+ AdvMSS:\d+ Priority:\d+ Table:\S+ Scope:[^ }]+\}",
        lambda found: f"{{{found[1]} {found[2]}}}" + ("" if found[3] == "<nil>" else f" via {found[3]}"),
        text,
    )
    text = re.sub(r"\{Interface:\S+ Address:\{IP:(\S+) Mask:(\w+)\} Gateway:[^}]*\}", r"{\1 \2}", text)
    return re.sub(
        r"\{([0-9a-f.:]+) ([0-9a-f]+)\}", lambda found: f"{found[1]}/{bin(int(found[2], 16)).count('1')}", text
    )


refused(
    "portmap, firewall, tuning, bandwidth, sbr, loopback",
    "print a `prevResult` again as it came, an impossible one too",
    rf"^cannot convert: no valid IP|'prevResult\.(ip[46]\.)?{NO_NUMBER}"
    r"|'prevResult\.(interfaces\[\d+\]\.mtu|ips\[\d+\]\.interface)': -?\d+ does not fit 32 bits$",
)
refused("tuning", "sets sysctls before it looks for the interface", r'^failed to get "[^"]*": Link not found$')


@allowed("tuning", "an attribute that the kernel refuses")
def _(step: Step, seen: Difference) -> bool:
    mine, other = str(step.our_failure.get("msg")), str(step.their_failure.get("msg"))
    return (
        seen.where.endswith("/tuning/output") and mine == f"failed to change device {step.request['ifname']}: {other}"
    )


def _without_versions(text: str | None) -> str:
    return re.sub(r'"version": "[^"]*"', "", text or "")


def _without_attributes(text: str | None) -> Any:
    """The result, its routes only with what 0.1.0 and 0.2.0 know."""
    result, _ = json.JSONDecoder().raw_decode(text or "{}")
    for family in ("ip4", "ip6"):
        for route in result.get(family, {}).get("routes") or []:
            for key in route.keys() - {"dst", "gw"}:
                del route[key]
    return result


def _sorted_by_family(result: Any) -> Any:
    """A result of 0.1.0 or 0.2.0 with each address, and each route that has one of its family, where it belongs."""
    blocks = [result[key] for key in ("ip4", "ip6") if key in result]
    sorted_result = {key: value for key, value in result.items() if key not in ("ip4", "ip6")}
    for key, six in (("ip4", False), ("ip6", True)):
        own = next((each for each in blocks if (":" in str(each.get("ip"))) == six), None)
        if own is None:
            continue
        routes = [route for block in blocks for route in block.get("routes") or [] if (":" in route["dst"]) == six]
        sorted_result[key] = {name: value for name, value in own.items() if name != "routes"}
        if routes:
            sorted_result[key]["routes"] = [{k: v for k, v in each.items() if k in ("dst", "gw")} for each in routes]
    return sorted_result


def _right_versions(text: str | None) -> bool:
    """Of each address in a result of 0.3.0 to 0.4.0."""
    result, _ = json.JSONDecoder().raw_decode(text or "{}")
    return all(each["version"] == ("6" if ":" in each["address"] else "4") for each in result.get("ips", []))


@allowed(
    "portmap, firewall, tuning, bandwidth, sbr, loopback",
    "print a `prevResult` again as it came, an impossible one too",
)
def _(step: Step, seen: Difference) -> bool:
    if not seen.where.endswith("/output") or step.case["prevResult"] is None or step.our_failure or step.their_failure:
        return False
    if step.case["version"] in ("0.3.0", "0.3.1", "0.4.0"):
        return _right_versions(seen.ours) and _without_versions(seen.ours) == _without_versions(seen.theirs)
    if _without_attributes(seen.theirs) == _without_attributes(seen.ours):
        return '"advmss"' not in (seen.ours or "")
    if step.case["version"] not in ("0.1.0", "0.2.0"):
        return False
    ours, theirs = json.loads(seen.ours or "null"), json.loads(seen.theirs or "null")
    return bool(ours == _sorted_by_family(theirs) != theirs)


@allowed("all", "errors show networks as Go's fields")
def _(step: Step, seen: Difference) -> bool:
    mine, other = step.our_failure, step.their_failure
    same = mine.get("code") == other.get("code") and mine.get("msg") == _as_cidr(str(other.get("msg")))
    return (
        seen.where.endswith("/output")
        and bool(mine)
        and same
        and (mine.get("details"), other.get("details"))[1] is None
    )


@allowed(
    "bridge, portmap", "the iptables chain of a container on a network is shared by all its addresses and interfaces"
)
def _(step: Step, seen: Difference) -> bool:
    if seen.where.startswith("call/"):
        busy = "CHAIN_DEL failed" in str(step.their_failure.get("msg"))
        return step.command == "DEL" and not step.our_failure and busy
    two = any(each.request["ifname"] == "eth1" for each in step.so_far)
    chain = re.fullmatch(
        r"host/ip6?tables/nat/(CNI-[0-9a-f]{24}|CNI-DN-[0-9a-f]{21}|CNI-HOSTPORT-DNAT|POSTROUTING)", seen.where
    )
    return (
        bool(chain) and any(each.command == "DEL" for each in step.so_far) and (two or step.gone(seen.where, seen.ours))
    )


@allowed("all", "a failed ADD leaves the veth pair")
def _(step: Step, seen: Difference) -> bool:
    later = seen.where.startswith("call/") and step.command == "ADD" and step.history and step.add_failed()
    device = "^failed to create macvlan: invalid argument$|: file exists$| UP: address already in use$"
    left = f"already exists|duplicate allocation|{device}"
    if later and re.search(left, str(step.their_failure.get("msg"))):
        return True
    # seen.ours is as it was before; a bridge that lost its last port has neither a hardware address nor a carrier
    unmade = step.as_before(seen.where, seen.ours) or is_permanent(seen.where, step.now, step.case)
    return not seen.where.startswith("call/") and step.add_failed() and unmade


@allowed("all", "a failed ADD leaves the veth pair")
def _(step: Step, seen: Difference) -> bool:
    # what tuning undid on a link that a plugin before it made
    if not step.ours or step.ours[-1][0] != "tuning" or not step.add_failed():
        return False
    if seen.where.endswith("/output") and step.command == "ADD":
        # an earlier plugin's, whose hardware address is the interface's no longer
        return re.sub(r"mac~c\d/eth\d", "random", seen.ours or "") == seen.theirs
    return bool(re.match(r"c\d/|file/run/cni/", seen.where))


@allowed("", "a bridge without an address has the lowest hardware address of its ports")
def _(step: Step, seen: Difference) -> bool:
    text = json.dumps([step.our_failure, step.their_failure])
    two = len(step.case["containers"]) > 1 or any(each.request["ifname"] == "eth1" for each in step.so_far)
    return two and seen.where.startswith("call/") and step.command == "CHECK" and "Mac doesn't match: random" in text
