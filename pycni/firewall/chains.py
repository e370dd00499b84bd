"""The reference's iptables chains and rules for each fact, as changes to a model of the tables; pure.

Rules are written in the form in which iptables-save prints them (see `pycni.firewall.tables`); their order of creation
is the reference's, so that a listing after us equals one after it.
"""

from __future__ import annotations

from pycni.firewall import naming
from pycni.firewall.facts import INTERNAL, ISOLATED, Admit, Fact, Isolate, Mapping, Masquerade, Owner, Publish
from pycni.firewall.tables import Draft, quoted
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import FirewallError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

NAT = "nat"
FILTER = "filter"

PORTS_PER_RULE = 15
"""The limit of iptables' multiport match."""

SETMARK = "CNI-HOSTPORT-SETMARK"
MASQ = "CNI-HOSTPORT-MASQ"
DNAT = "CNI-HOSTPORT-DNAT"
OLD_SNAT = "CNI-HOSTPORT-SNAT"
FORWARD = "CNI-FORWARD"
STAGE_1 = "CNI-ISOLATION-STAGE-1"
STAGE_2 = "CNI-ISOLATION-STAGE-2"
NO_WAY_OUT = "PYNET-INTERNAL"
"""Not the reference's, which knows no internal networks."""

TABLE_OF_KIND = {naming.MASQUERADE: NAT, naming.PORTMAP: NAT, naming.FIREWALL: FILTER}

MULTICAST = {4: "224.0.0.0/4", 6: "ff00::/8"}
LOCALHOST = "127.0.0.1/32"
LOCALHOST_6 = "::1/128"

DNAT_ENTRY = f"-m addrtype --dst-type LOCAL -j {DNAT}"
MASQ_ENTRY = f'-m comment --comment "CNI portfwd requiring masquerade" -j {MASQ}'
FORWARD_ENTRY = f'-m comment --comment "CNI firewall plugin rules" -j {FORWARD}'


def comment(text: str) -> str:
    return f"-m comment --comment {quoted(text)}"


def admin_entry(admin_chain: str) -> str:
    return f'-m comment --comment "CNI firewall plugin admin overrides" -j {admin_chain}'


def families(fact: Fact) -> tuple[int, ...]:
    """The address families a fact has rules in, 4 before 6."""
    if isinstance(fact, Isolate):
        return (fact.family,)
    if isinstance(fact, Publish):
        return (fact.target.family,)
    if isinstance(fact, (Masquerade, Admit)):
        return tuple(sorted({address.family for address in fact.addresses}))
    return ()


def install(draft: Draft, owner: Owner, facts: Iterable[Fact], family: int) -> None:
    """Everything that one family's share of the facts needs."""
    for fact in facts:
        if isinstance(fact, Masquerade):
            _masquerade(draft, owner, [prefix for prefix in fact.addresses if prefix.family == family])
        elif isinstance(fact, Publish):
            if fact.target.family == family:
                _publish(draft, owner, fact)
        elif isinstance(fact, Admit):
            _admit(draft, fact.admin_chain, [address for address in fact.addresses if address.family == family])
        elif isinstance(fact, Isolate) and fact.family == family:
            _isolate(draft, fact)


def _masquerade(draft: Draft, owner: Owner, addresses: list[Prefix]) -> None:
    chain = naming.masquerade_chain(owner.network, owner.container_id)
    text = comment(naming.masquerade_comment(owner.network, owner.container_id))
    for prefix in addresses:
        draft.ensure_chain(NAT, chain)
        draft.append(NAT, chain, f"{_match('-d', prefix.network)}{text} -j ACCEPT")
        draft.append(NAT, chain, f"! -d {MULTICAST[prefix.family]} {text} -j MASQUERADE")
        draft.append(NAT, "POSTROUTING", masquerade_jump(owner, prefix))


def masquerade_jump(owner: Owner, prefix: Prefix) -> str:
    """The rule in POSTROUTING that sends one container address to its chain."""
    text = comment(naming.masquerade_comment(owner.network, owner.container_id))
    chain = naming.masquerade_chain(owner.network, owner.container_id)
    return f"-s {Prefix.host(prefix.address)} {text} -j {chain}"


def _match(option: str, prefix: Prefix) -> str:
    """`-d 10.0.0.0/24 `; nothing for a prefix of length 0, which iptables-save does not print."""
    return f"{option} {prefix} " if prefix.length else ""


def _publish(draft: Draft, owner: Owner, fact: Publish) -> None:
    share_port_chains(draft, fact)
    chain = naming.port_chain(owner.network, owner.container_id)
    draft.ensure_chain(NAT, chain)
    for rule in port_rules(fact):
        draft.append(NAT, chain, rule)
    entries = entry_rules(owner, fact)
    if fact.conditions:
        # their words are not in iptables-save's form, so equality cannot tell whether they are there
        for rule in rules_to(draft.rules(NAT, DNAT), chain):
            if rule not in entries:
                draft.delete(NAT, DNAT, rule)
    for rule in entries:
        draft.append(NAT, DNAT, rule)


def rules_to(rules: list[str], chain: str) -> list[str]:
    """The rules that jump to this chain."""
    ending = f"-j {chain}"
    return [rule for rule in rules if rule.endswith(ending)]


def share_port_chains(draft: Draft, fact: Publish) -> None:
    """What leads to the chains of every container's ports, and what marks for masquerading."""
    if fact.snat and not fact.external_mark_chain:
        mark = _mark(fact.mark_bit)
        draft.ensure_chain(NAT, SETMARK)
        draft.append(NAT, SETMARK, f"{comment('CNI portfwd masquerade mark')} -j MARK --set-xmark {mark}")
        draft.ensure_chain(NAT, MASQ)
        draft.append(NAT, MASQ, f"-m mark --mark {mark} -j MASQUERADE")
        draft.insert(NAT, "POSTROUTING", MASQ_ENTRY)
    draft.ensure_chain(NAT, DNAT)
    draft.append(NAT, "PREROUTING", DNAT_ENTRY)
    draft.append(NAT, "OUTPUT", DNAT_ENTRY)


def _mark(bit: int) -> str:
    return f"{1 << bit:#x}/{1 << bit:#x}"


def own_family(mapping: Mapping, family: int) -> bool:
    """Whether a mapping has rules in this family: its host address, when given, is of it (contract 4.2)."""
    return mapping.host_address is None or mapping.host_address.family == family


def port_rules(fact: Publish) -> list[str]:
    """The rules inside a container's port chain."""
    family = fact.target.family
    address = fact.target.address
    rules = [f"-d {LOCALHOST_6} -j RETURN"] if fact.proxied and family == 6 else []
    for mapping in fact.mappings:
        if not own_family(mapping, family):
            continue
        host = mapping.host_address
        destination = f"-d {Prefix.host(host)} " if host and not host.is_unspecified else ""
        protocol = _protocol(mapping)
        port = f"{destination}-p {protocol} -m {protocol} --dport {mapping.host_port}"
        if fact.snat:
            jump = fact.external_mark_chain or SETMARK
            source = "" if fact.masq_all else _match("-s", fact.target.network)
            rules.append(f"{source}{port} -j {jump}")
            if family == 4 and not fact.masq_all:
                rules.append(f"-s {LOCALHOST} {port} -j {jump}")
        target = f"{address}:{mapping.container_port}" if family == 4 else f"[{address}]:{mapping.container_port}"
        rules.append(f"{port} -j DNAT --to-destination {target}")
    return rules


def entry_rules(owner: Owner, fact: Publish) -> list[str]:
    """The jumps to a container's port chain, each once: protocols sorted, ports in list order, at most 15 a rule."""
    ports: dict[str, list[int]] = {}
    for mapping in fact.mappings:
        _protocol(mapping)
        ports.setdefault(mapping.protocol, []).append(mapping.host_port)
    text = comment(naming.port_comment(owner.network, owner.container_id))
    chain = naming.port_chain(owner.network, owner.container_id)
    words = [word if word == "!" else quoted(word) for word in fact.conditions]
    conditions = "".join(f" {word}" for word in words)
    rules = [
        f"-p {protocol.lower()} {text} -m multiport --dports {','.join(map(str, group))}{conditions} -j {chain}"
        for protocol in sorted(ports)
        for group in _groups(ports[protocol])
    ]
    return list(dict.fromkeys(rules))  # tcp and TCP may come to the same


def _protocol(mapping: Mapping) -> str:
    """One word, or FirewallError: a blank in it would add words to the rule."""
    if not mapping.protocol.isalnum():
        raise FirewallError(f'unknown port protocol "{mapping.protocol}"')
    return mapping.protocol.lower()


def _groups(ports: list[int]) -> list[list[int]]:
    return [ports[start : start + PORTS_PER_RULE] for start in range(0, len(ports), PORTS_PER_RULE)]


def _admit(draft: Draft, admin_chain: str, addresses: list[Address]) -> None:
    if not addresses:
        return
    draft.ensure_chain(FILTER, FORWARD)
    draft.ensure_chain(FILTER, admin_chain)
    draft.insert(FILTER, "FORWARD", FORWARD_ENTRY)
    draft.insert(FILTER, FORWARD, admin_entry(admin_chain))
    for address in addresses:
        for rule in admit_rules(address):
            draft.append(FILTER, FORWARD, rule)


def admit_rules(address: Address) -> tuple[str, str]:
    """Replies to the address, and everything from it."""
    host = Prefix.host(address)
    return f"-d {host} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", f"-s {host} -j ACCEPT"


_ANY_POLICY = 'comment --comment "CNI firewall plugin rules (ingressPolicy: same-bridge|isolated)"'


def _isolate(draft: Draft, fact: Isolate) -> None:
    if fact.policy == INTERNAL:
        draft.ensure_chain(FILTER, NO_WAY_OUT)
        draft.insert(FILTER, "FORWARD", NO_WAY_OUT_ENTRY)
        for rule in internal_rules(fact):
            draft.append(FILTER, NO_WAY_OUT, rule)
        return
    draft.ensure_chain(FILTER, STAGE_1)
    draft.ensure_chain(FILTER, STAGE_2)
    draft.insert(FILTER, "FORWARD", ISOLATION_ENTRY)
    stage_1, stage_2 = isolation_rules(fact)
    for rule in stage_1:
        draft.insert(FILTER, STAGE_1, rule)
    draft.append(FILTER, STAGE_1, ISOLATION_RETURN)
    draft.insert(FILTER, STAGE_2, stage_2)
    draft.append(FILTER, STAGE_2, ISOLATION_RETURN)


ISOLATION_ENTRY = f"-m {_ANY_POLICY} -j {STAGE_1}"
ISOLATION_RETURN = f"-m {_ANY_POLICY} -j RETURN"


NO_WAY_OUT_ENTRY = f"{comment('pynet: internal networks')} -j {NO_WAY_OUT}"


def internal_rules(fact: Isolate) -> tuple[str, str]:
    """What leaves an internal network, and what enters it."""
    return f"-i {fact.bridge} ! -o {fact.bridge} -j DROP", f"! -i {fact.bridge} -o {fact.bridge} -j DROP"


def isolation_rules(fact: Isolate) -> tuple[list[str], str]:
    """One bridge's rules: those of stage 1, in the order in which each is inserted first, and that of stage 2."""
    policy = comment(f"CNI firewall plugin rules (ingressPolicy: {fact.policy})")
    stage_1 = [f"-i {fact.bridge} ! -o {fact.bridge} {policy} -j {STAGE_2}"]
    if fact.policy == ISOLATED:
        stage_1.append(f"-i {fact.bridge} -o {fact.bridge} {policy} -j DROP")
    return stage_1, f"-o {fact.bridge} -m {_ANY_POLICY} -j DROP"
