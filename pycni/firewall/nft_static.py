"""Our table `inet pynet` as text: maps, sets, chains and the few rules that read them; pure.

It is loaded once per namespace.  Everything about a container is an element of a map or set, so neither an ADD nor a
packet's lookup depends on how many containers there are.  All names begin with `p_`: none can be an nft keyword.

What depends on a subnet is in two small chains per subnet, which the maps of addresses jump to.  (A set of intervals,
`subnet . address`, would need no chains, but the kernel takes 6 ms to remove one of 500 such elements, 63 ms of 5000.)
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.spec.address import Prefix

TABLE = "pynet"

MARKER = "p_version_4"
"""An empty chain that says which static part is loaded; a new one gets a new name."""

MARK = 0x1000
"""Set on forwarded packets that we accept, for the one rule in iptables' FORWARD (see `iptables_forward`); and before,
by the bundled runtime, on those its published ports explain, which isolation lets through (contract docker 3.3)."""

CONDITIONAL = "p_conditional"

PORTS = {4: "p_ports4", 6: "p_ports6"}
PORTS_AT = {4: "p_ports_at4", 6: "p_ports_at6"}
HAIRPIN = {4: "p_hairpin4", 6: "p_hairpin6"}
MASQ = {4: "p_masq4", 6: "p_masq6"}
ADMIT = {4: "p_admit4", 6: "p_admit6"}
BRIDGES = "p_bridges"
OPEN_PAIRS = "p_open_pairs"
CLOSED_PAIRS = "p_closed_pairs"
INTERNAL = "p_internal"
INTERNAL_PAIRS = "p_internal_pairs"

SETS_OF_KIND = {
    "masquerade": tuple(MASQ.values()),
    "portmap": (*PORTS.values(), *PORTS_AT.values(), *HAIRPIN.values()),
    "firewall": (*ADMIT.values(), BRIDGES, OPEN_PAIRS, CLOSED_PAIRS, INTERNAL, INTERNAL_PAIRS),
}

_OBJECTS = """
map p_ports4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
map p_ports6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
map p_ports_at4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
map p_ports_at6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
map p_hairpin4 { type ipv4_addr : verdict; }
map p_hairpin6 { type ipv6_addr : verdict; }
map p_masq4 { type ipv4_addr : verdict; }
map p_masq6 { type ipv6_addr : verdict; }
set p_admit4 { type ipv4_addr; }
set p_admit6 { type ipv6_addr; }
set p_bridges { type ifname; }
set p_open_pairs { type ifname . ifname; }
set p_closed_pairs { type ifname . ifname; }
set p_internal { type ifname; }
set p_internal_pairs { type ifname . ifname; }
chain p_operator { }
chain p_conditional { }
chain p_version_4 { }
chain p_dnat { }
chain p_isolation { }
chain p_prerouting { type nat hook prerouting priority -100; policy accept; }
chain p_output { type nat hook output priority -100; policy accept; }
chain p_postrouting { type nat hook postrouting priority 100; policy accept; }
chain p_forward { type filter hook forward priority -10; policy accept; }
"""

_RULES = f"""
p_prerouting fib daddr type local jump p_dnat
p_output ip6 daddr ::1 return
p_output fib daddr type local jump p_dnat
p_dnat jump p_conditional
p_dnat dnat ip to ip daddr . meta l4proto . th dport map @p_ports_at4
p_dnat dnat ip6 to ip6 daddr . meta l4proto . th dport map @p_ports_at6
p_dnat meta nfproto ipv4 dnat ip to meta l4proto . th dport map @p_ports4
p_dnat meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @p_ports6
p_postrouting ct status dnat ip daddr vmap @p_hairpin4
p_postrouting ct status dnat ip6 daddr vmap @p_hairpin6
p_postrouting ip daddr 224.0.0.0/4 return
p_postrouting ip6 daddr ff00::/8 return
p_postrouting ip saddr vmap @p_masq4
p_postrouting ip6 saddr vmap @p_masq6
p_forward jump p_operator
p_forward jump p_isolation
p_forward ip daddr @p_admit4 ct state established,related meta mark set meta mark | {MARK:#x} accept
p_forward ip saddr @p_admit4 meta mark set meta mark | {MARK:#x} accept
p_forward ip6 daddr @p_admit6 ct state established,related meta mark set meta mark | {MARK:#x} accept
p_forward ip6 saddr @p_admit6 meta mark set meta mark | {MARK:#x} accept
p_isolation iifname @p_internal iifname . oifname != @p_internal_pairs drop
p_isolation oifname @p_internal iifname . oifname != @p_internal_pairs drop
p_isolation ct status dnat meta mark & {MARK:#x} == {MARK:#x} return
p_isolation iifname . oifname @p_closed_pairs drop
p_isolation iifname . oifname @p_open_pairs return
p_isolation iifname @p_bridges oifname @p_bridges drop
"""


def ruleset() -> str:
    """Input for `nft -f -`: one transaction that makes the static part true and leaves elements and the operator's
    chain as they are."""
    lines = [f"add table inet {TABLE}"]
    for line in _OBJECTS.strip().splitlines():
        kind, name, body = line.split(" ", 2)
        lines.append(f"add {kind} inet {TABLE} {name} {body}" if body != "{ }" else f"add {kind} inet {TABLE} {name}")
    rules = [line.split(" ", 1) for line in _RULES.strip().splitlines()]
    lines += [f"flush chain inet {TABLE} {chain}" for chain in dict.fromkeys(chain for chain, _ in rules)]
    lines += [f"add rule inet {TABLE} {chain} {rule}" for chain, rule in rules]
    return "\n".join(lines) + "\n"


def rule_counts() -> dict[str, int]:
    """How many references to each chain of the static part there are at least: its rules, and the jumps to it."""
    return references(ruleset())


def references(text: str) -> dict[str, int]:
    """The same of any input for `nft` with one command a line; chains by name."""
    found: dict[str, int] = {}
    for words in [line.split() for line in text.splitlines()]:
        if words[:2] == ["add", "chain"]:
            found.setdefault(words[4], 0)
        elif words[:2] == ["add", "rule"]:
            jump = words.index("jump") if "jump" in words else len(words)
            for name in (words[4], *words[jump + 1 :]):
                found[name] = found.get(name, 0) + 1
    return found


_LEAVE, _FROM = SUBNET_CHAINS = ("p_leave_", "p_from_")
"""What the names of a subnet's two chains begin with."""


def leave_chain(subnet: Prefix) -> str:
    """The chain for packets from masqueraded addresses of a subnet."""
    return _LEAVE + _name(subnet)


def from_chain(subnet: Prefix) -> str:
    """The chain for forwarded-port packets to an address, for which those from this subnet are masqueraded."""
    return _FROM + _name(subnet)


def _name(subnet: Prefix) -> str:
    return str(subnet).replace(":", "_")
