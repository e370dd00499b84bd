"""The differences of rules of nftables that are meant; see `allowed_differences`.  The tables are compared by what they
mean (`nft_meaning`)."""

from __future__ import annotations

import ipaddress
import re

from difference_forms import Difference, Step, allowed, refused, served

refused("portmap, nftables", "rules; a repeated ADD doubles them", r"^host port \S+ (on \S+ )?is already published by ")
served("portmap, nftables", "a `protocol` in capitals", r"(?s): syntax error.* hostports [^\n]*[A-Z]+ dport ")


@allowed("portmap, nftables", "what comes back from the container itself is masqueraded")
def _(step: Step, seen: Difference) -> bool:
    found = re.fullmatch(r"host/nft/hairpin/(\S+)", seen.where)
    ours = re.fullmatch(r"from (\S+)(, 127\.0\.0\.1)? of (\S+)", seen.ours or "")
    theirs = re.fullmatch(r"from (\S+)(, 127\.0\.0\.1)? of (\S+)", seen.theirs or "")
    if found is None or ours is None or theirs is None or ours[3] != theirs[3] or theirs[1] != found[1]:
        return False
    if (step.plugin("portmap") or {}).get("masqAll"):
        return ours[1] == "anywhere"
    addresses = [key.split("/")[-2:] for key in step.now if key.startswith(f"{ours[3]}/addr/")]
    subnets = {str(ipaddress.ip_interface(f"{one}/{length}").network) for one, length in addresses if one == found[1]}
    return {ours[1]} == subnets and ours[2] == theirs[2]


@allowed("portmap, nftables", "rules; a repeated ADD doubles them; DEL removes the container's rules of every network")
def _(step: Step, seen: Difference) -> bool:
    """Those of its other interface on the same network too."""
    if not re.match(r"host/nft/(hairpin|port)/", seen.where) or seen.theirs is not None:
        return False
    attached = set()
    for each in step.so_far:
        (attached.add if each.command == "ADD" else attached.discard)(each.request["ifname"])
    deleted = {each.request["ifname"] for each in step.so_far if each.command == "DEL"}
    return bool(attached - deleted) and bool(deleted)


@allowed("bridge, ptp", "with nftables, each of several attachments with one address has a rule")
def _(step: Step, seen: Difference) -> bool:
    place = re.fullmatch(r"host/nft/masquerade/(\S+)", seen.where)
    ours = re.fullmatch(r"(outside \S+, )shared, (\S+)", seen.ours or "")
    several = len({each.attachment for each in step.so_far if each.command == "ADD" and not each.our_failure}) > 1
    if place is None or ours is None or place[1] != ours[2]:
        return False
    return several and (seen.theirs or "").startswith(ours[1])


@allowed("bridge, ptp, portmap, firewall", "DEL and the choice of a backend run iptables")
def _(_step: Step, seen: Difference) -> bool:
    built_in = re.fullmatch(r"host/ip6?tables/\w+/(INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING)", seen.where)
    return bool(built_in) and (seen.ours, seen.theirs) == (None, "ACCEPT")


def _admitted(text: str) -> set[str]:
    """The addresses that a listing of CNI-FORWARD accepts in both directions."""
    to = set(re.findall(r"-d (\S+)/\d+ -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", text))
    return to & set(re.findall(r"-s (\S+)/\d+ -j ACCEPT", text))


def _isolated(text: str) -> dict[str, bool]:
    """The bridges of a listing of CNI-ISOLATION-STAGE-1, and whether also their own ports are kept apart."""
    closed = set(re.findall(r"-i (\S+) -o \1 .*-j DROP", text))
    return {bridge: bridge in closed for bridge in re.findall(r"-i (\S+) ! -o \1 .*-j CNI-ISOLATION-STAGE-2", text)}


@allowed("firewall", "`backend` iptables and firewalld")
def _(step: Step, seen: Difference) -> bool:
    if (step.plugin("firewall") or {}).get("backend") != "nftables":
        return False
    state = (step.now, step.there)
    if not re.match(r"host/(nft/(admit|p_bridges|p_open_pairs|p_closed_pairs)/|ip6?tables/filter/)", seen.where):
        return False
    if seen.ours is not None and seen.theirs is not None:
        return False
    ours, theirs = state
    admitted = {key.removeprefix("host/nft/admit/") for key in ours if key.startswith("host/nft/admit/")}
    listings = [theirs.get(f"host/{each}/filter/CNI-FORWARD", "") for each in ("iptables", "ip6tables")]
    stages = [theirs.get(f"host/{each}/filter/CNI-ISOLATION-STAGE-1", "") for each in ("iptables", "ip6tables")]
    isolated = {bridge: closed for text in stages for bridge, closed in _isolated(text).items()}
    kept_apart = {
        name: f'host/nft/p_closed_pairs/"{name}" . "{name}"' in ours
        for name in (key.split('"')[1] for key in ours if key.startswith("host/nft/p_bridges/"))
    }
    # the reference's isolation stays for ever
    alike = kept_apart == isolated or (not kept_apart and any(each.command == "DEL" for each in step.so_far))
    return admitted == set().union(*map(_admitted, listings)) and alike
