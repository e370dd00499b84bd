"""What the tables of nftables mean that ours and the reference make differently: masqueraded addresses, published
ports, admitted addresses, isolated bridges, as facts of one form.

A line that is not understood is a fact by itself, so that nothing passes unseen.  The chains of ours that never change
are those of docs/firewall.md, which a test compares with the kernel's.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

Facts = dict[str, str]
Chains = dict[str, list[str]]

OURS, MASQUERADE, PORTS = "inet pynet", "inet cni_plugins_masquerade", ("ip cni_hostport", "ip6 cni_hostport")
TABLES = (OURS, MASQUERADE, *PORTS)
_DYNAMIC = re.compile(r"p_(leave|from|if)_.*|p_conditional")
_ELEMENT = re.compile(r'\s*([^,]+?) comment "([^"]*)"(?: : ([^,]+?))?\s*(?:,|$)')
_RULE = re.compile(
    r"(?:(?P<when>.+?) )??(?:ip6? daddr (?P<at>\S+) )?(?P<protocol>tcp|udp|sctp|dccp|udplite) dport (?P<port>\d+) "
    r'dnat (?:ip6? )?to (?P<to>\S+?)(?: comment "(?P<owner>[^"]*)")?'
)
_DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "firewall.md"
_REFERENCE_STATIC = {
    "hostip_hostports": [],
    "hostports_all": ["jump hostip_hostports", "jump hostports"],
    "postrouting": [
        "type nat hook postrouting priority srcnat; policy accept;",
        "ip daddr 224.0.0.0/4 return",
        "ip6 daddr ff00::/8 return",
        "goto masq_checks",
    ],
}


def meaning(table: str, block: str) -> Facts:
    """The facts of one table as `nft -s list ruleset` prints it."""
    chains, sets = _parts(block)
    facts: Facts = {}
    if table == OURS:
        _ours(chains, sets, facts)
    elif table == MASQUERADE:
        for line in chains.pop("masq_checks", []):
            found = re.fullmatch(r'ip6? saddr (\S+) ip6? daddr != (\S+) masquerade comment "([^"]*)"', line)
            _tell(facts, line, found and ("masquerade", found[1], f"outside {found[2]}, {found[3]}"))
        _others(chains, _REFERENCE_STATIC, facts)
    else:
        _reference_ports(table.split()[0], chains, facts)
    return {f"host/nft/{key}": value for key, value in facts.items()}


def _parts(block: str) -> tuple[Chains, dict[str, str]]:
    """The lines of each chain, and the elements of each set or map."""
    chains: Chains = {}
    for name, body in re.findall(r"^\tchain (\S+) \{\n(.*?)^\t\}", block, re.M | re.S):
        lines = [line.strip() for line in body.splitlines()]
        chains[name] = [line for line in lines if line and not line.startswith("comment ")]
    sets = {}
    for name, body in re.findall(r"^\t(?:set|map) (\S+) \{\n(.*?)^\t\}", block, re.M | re.S):
        found = re.search(r"elements = \{(.*?)\}", body, re.S)
        sets[name] = " ".join(found[1].split()) if found else ""
    return chains, sets


def _tell(facts: Facts, line: str, known: tuple[str, str, str] | None) -> None:
    kind, key, value = known or ("not understood", line, "")
    # what comes first is what a packet meets
    facts.setdefault(f"{kind}/{key}", value)


@cache
def _static() -> Chains:
    """Chains of ours that no container changes."""
    text = _DOCUMENT.read_text().partition("<!-- generated: nft -->\n```\n")[2].partition("```")[0]
    chains = _parts(text.replace("    ", "\t"))[0]
    return {name: lines for name, lines in chains.items() if not _DYNAMIC.fullmatch(name)}


def _others(chains: Chains, static: Chains, facts: Facts) -> None:
    for name, lines in chains.items():
        if static.get(name) != lines:
            facts[f"not understood/{name}"] = "\n".join(lines)


def _elements(text: str) -> list[tuple[str, str, str]]:
    """Key, comment and value of each."""
    return [(key, comment, value or "") for key, comment, value in _ELEMENT.findall(text)]


def _container(comment: str) -> str:
    """Of the comment of an owner, the container's id."""
    return comment.rpartition("id: ")[2]


def _ours(chains: Chains, sets: dict[str, str], facts: Facts) -> None:
    for version, family in (("4", "ip"), ("6", "ip6")):
        for key, comment, value in _elements(sets.pop(f"p_ports{version}", "")):
            protocol, port = key.split(" . ")
            _port(facts, family, protocol, port, "any", f"{_joined(value)} of {_container(comment)}")
        for key, comment, value in _elements(sets.pop(f"p_ports_at{version}", "")):
            address, protocol, port = key.split(" . ")
            _port(facts, family, protocol, port, address, f"{_joined(value)} of {_container(comment)}")
        for key, comment, value in _elements(sets.pop(f"p_hairpin{version}", "")):
            sources = _sources(chains.get(value.removeprefix("jump "), []))
            facts[f"hairpin/{key}"] = f"{sources} of {_container(comment)}"
        for key, comment, value in _elements(sets.pop(f"p_masq{version}", "")):
            lines = chains.get(value.removeprefix("jump "), [])
            left = re.fullmatch(r"ip6? daddr (\S+) return", lines[0]) if lines[1:] == ["masquerade"] else None
            facts[f"masquerade/{key}"] = f"outside {left[1]}, {comment}" if left else f"not understood: {lines}"
        for key, comment, _ in _elements(sets.pop(f"p_admit{version}", "")):
            facts[f"admit/{key}"] = f"of {_container(comment)}"
    for name, lines in chains.items():
        for line in lines if name.startswith("p_if_") else []:
            # the table is of both families, the reference's of one
            own = "meta nfproto ipv6 " if " dnat ip6 to " in line else "meta nfproto ipv4 "
            _rule(facts, line.removeprefix(own), "when ")
    jumps = [f"jump {name}" for name in chains if name.startswith("p_if_")]
    if sorted(chains.get("p_conditional", [])) != sorted(jumps):
        facts["not understood/p_conditional"] = "\n".join(chains.get("p_conditional", []))
    for name, text in sets.items():
        for key, _, _ in _elements(text):
            facts[f"{name}/{key}"] = "there"
    _others({name: lines for name, lines in chains.items() if not _DYNAMIC.fullmatch(name)}, _static(), facts)


def _joined(value: str) -> str:
    address, _, port = value.partition(" . ")
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _port(facts: Facts, family: str, protocol: str, port: str, at: str, value: str) -> None:
    facts.setdefault(f"port/{family}/{protocol} {port} at {at}", value)


def _rule(facts: Facts, line: str, when: str) -> None:
    """A rule that sends a port somewhere; `when` is what stands before its conditions, or all of them."""
    found = _RULE.fullmatch(line)
    if found is None:
        _tell(facts, line, None)
        return
    conditions = f" {when}{found['when'] or ''}".rstrip() if when else f" of {found['owner']}"
    family = "ip6" if "[" in found["to"] else "ip"
    _port(facts, family, found["protocol"], found["port"], found["at"] or "any", f"{found['to']}{conditions}")


def _sources(lines: list[str]) -> str:
    """From where packets are masqueraded that come back to who sent them."""
    found = [re.fullmatch(r"(?:ip6? saddr (\S+) |meta nfproto ipv[46] )?masquerade", line) for line in lines]
    return "from " + ", ".join(sorted((each[1] or "anywhere") if each else "not understood" for each in found))


def _reference_ports(family: str, chains: Chains, facts: Facts) -> None:
    gates = {name: chains.pop(name, []) for name in ("prerouting", "output")}
    guards = set()
    for name, lines in gates.items():
        found = re.fullmatch(r"(?:(.+) )?fib daddr type local jump hostports_all", lines[1]) if lines[1:] else None
        priority = {"prerouting": "dstnat", "output": "-100"}[name]
        if lines and (found is None or lines[0] != f"type nat hook {name} priority {priority}; policy accept;"):
            facts[f"not understood/{family} {name}"] = "\n".join(lines)
        guards.add(found[1] if found else None)
    guard = guards.pop() if len(guards) == 1 else "one way only"
    for line in chains.pop("hostports", []):
        _rule(facts, line, f"when {guard}" if guard else "")
    hairpins: dict[str, tuple[list[str], str]] = {}
    for line in chains.pop("masquerading", []):
        found = re.fullmatch(r'(?:ip6? saddr (\S+) )?ip6? daddr (\S+) masquerade comment "([^"]*)"', line)
        if found is not None:
            sources, _ = hairpins.setdefault(found[2], ([], found[3]))
            sources.append(found[1] or "anywhere")
        elif not line.startswith("type nat hook postrouting priority srcnat; policy accept;"):
            _tell(facts, line, None)
    for address, (sources, owner) in hairpins.items():
        facts[f"hairpin/{address}"] = f"from {', '.join(sorted(set(sources)))} of {owner}"
    _others(chains, _REFERENCE_STATIC, facts)
