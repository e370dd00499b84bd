"""Taking an owner's iptables rules away, as changes to a model of the tables; pure.

Rules are found by what the ledger knows and by names and comments, so those of the reference and of a half-done ADD
are found too.  What the container's other interfaces on the same network need (the reference's chains are per container
and network) stays.
"""

from __future__ import annotations

from pycni.firewall import chains, naming
from pycni.firewall.chains import DNAT, FILTER, NAT, OLD_SNAT, STAGE_1, STAGE_2, rules_to
from pycni.firewall.facts import INTERNAL, Admit, Fact, Isolate, Masquerade, Owner
from pycni.firewall.tables import Draft, Tables, quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Share = tuple[Owner, tuple[Fact, ...]]


def masquerade(draft: Draft, owner: Owner, facts: Iterable[Fact], siblings: Iterable[Share], family: int) -> None:
    """No masquerading of this attachment.  `siblings` are the container's other interfaces and their facts.  Without
    facts, everything of the container that no sibling claims goes."""
    chain = naming.masquerade_chain(owner.network, owner.container_id)
    wanted = _wanted(siblings, family)
    own = {
        chains.masquerade_jump(owner, prefix)
        for fact in facts
        if isinstance(fact, Masquerade)
        for prefix in fact.addresses
    }
    for rule in rules_to(draft.rules(NAT, "POSTROUTING"), chain):
        if (rule in own or not own) and rule not in wanted.rules(NAT, "POSTROUTING"):
            draft.delete(NAT, "POSTROUTING", rule)
    if not rules_to(draft.rules(NAT, "POSTROUTING"), chain):
        draft.drop_chain(NAT, chain)
    elif wanted.exists(NAT, chain):
        _reduce(draft, NAT, chain, draft.rules(NAT, chain), wanted)


def ports(draft: Draft, owner: Owner, siblings: Iterable[Share], family: int) -> None:
    """No port of this attachment is forwarded; the shared chains stay, as with the reference (contract 4.3)."""
    chain = naming.port_chain(owner.network, owner.container_id)
    wanted = _wanted(siblings, family)
    _reduce(draft, NAT, DNAT, rules_to(draft.rules(NAT, DNAT), chain), wanted)
    if wanted.exists(NAT, chain):
        _reduce(draft, NAT, chain, draft.rules(NAT, chain), wanted)
    else:
        draft.drop_chain(NAT, chain)
    old = naming.old_snat_chain(owner.network, owner.container_id)
    if draft.exists(NAT, old):
        draft.delete_jumps(NAT, OLD_SNAT, old)
        draft.drop_chain(NAT, old)


def _wanted(siblings: Iterable[Share], family: int) -> Draft:
    wanted = Draft(Tables())
    for owner, facts in siblings:
        chains.install(wanted, owner, facts, family)
    return wanted


def _reduce(draft: Draft, table: str, chain: str, candidates: list[str], wanted: Draft) -> None:
    keep = wanted.rules(table, chain)
    for rule in [rule for rule in candidates if rule not in keep]:
        draft.delete(table, chain, rule)


def admissions(draft: Draft, facts: Iterable[Fact], family: int, claimed: Callable[[Fact], bool]) -> None:
    """The firewall plugin's rules of these facts are gone, except where `claimed` says that another attachment has
    the same address or bridge; chains and jumps stay (contract 5.2), isolation's go with its last bridge."""
    for fact in facts:
        if isinstance(fact, Admit):
            for address in fact.addresses:
                rules = [rule for rule in chains.admit_rules(address) if rule in draft.rules(FILTER, chains.FORWARD)]
                if address.family == family and rules and not claimed(Admit((address,))):
                    for rule in rules:
                        draft.delete(FILTER, chains.FORWARD, rule)
        elif isinstance(fact, Isolate) and fact.family == family and not claimed(fact):
            _release_bridge(draft, fact)


def _release_bridge(draft: Draft, fact: Isolate) -> None:
    if fact.policy == INTERNAL:
        for rule in chains.internal_rules(fact):
            draft.delete(FILTER, chains.NO_WAY_OUT, rule)
        if not draft.rules(FILTER, chains.NO_WAY_OUT):
            draft.delete(FILTER, "FORWARD", chains.NO_WAY_OUT_ENTRY)
            draft.drop_chain(FILTER, chains.NO_WAY_OUT)
        return
    stage_1, stage_2 = chains.isolation_rules(fact)
    for rule in stage_1:
        draft.delete(FILTER, STAGE_1, rule)
    if any(rule.startswith(f"-i {fact.bridge} ") for rule in draft.rules(FILTER, STAGE_1)):
        return  # the same bridge is still there with the other policy
    draft.delete(FILTER, STAGE_2, stage_2)
    if all(rule == chains.ISOLATION_RETURN for rule in draft.rules(FILTER, STAGE_1) + draft.rules(FILTER, STAGE_2)):
        draft.delete(FILTER, "FORWARD", chains.ISOLATION_ENTRY)
        draft.drop_chain(FILTER, STAGE_1)
        draft.drop_chain(FILTER, STAGE_2)


def strays(
    draft: Draft, network: str, kind: str, container_ids: Iterable[str], wanted: Callable[[str], bool]
) -> list[str]:
    """Remove the chains that name this network in a comment and belong to none of the valid containers, those whose
    description is `wanted`; what was removed, for a report."""
    name_of = naming.masquerade_chain if kind == naming.MASQUERADE else naming.port_chain
    entry = "POSTROUTING" if kind == naming.MASQUERADE else DNAT
    prefix = "CNI-" if kind == naming.MASQUERADE else "CNI-DN-"
    lead = "" if kind == naming.MASQUERADE else "dnat "
    valid = {name_of(network, container_id) for container_id in container_ids}
    head = '--comment "' + quoted(lead + naming.network_comment(network))[1:-1]
    gone: dict[str, str] = {}
    for rule in list(draft.rules(NAT, entry)):
        chain = rule.rpartition(" -j ")[2]
        if head in rule and chain.startswith(prefix) and chain not in valid and wanted(_described(chain, rule)):
            draft.delete(NAT, entry, rule)
            gone[chain] = rule
    for chain in gone:
        draft.drop_chain(NAT, chain)
    removed = [_described(chain, rule) for chain, rule in gone.items()]
    removed += _orphans(draft, head, prefix, valid, wanted) if kind == naming.MASQUERADE else []
    return removed


def _orphans(draft: Draft, head: str, prefix: str, valid: set[str], wanted: Callable[[str], bool]) -> list[str]:
    """Chains of the network without a jump to them, as an interrupted reference ADD leaves them."""
    removed = []
    for chain in draft.chains(NAT):
        rules = draft.rules(NAT, chain)
        if chain.startswith(prefix) and chain not in valid and rules and all(head in rule for rule in rules):
            what = _described(chain, rules[0])
            if wanted(what):
                removed.append(what)
                draft.drop_chain(NAT, chain)
    return removed


def _described(chain: str, rule: str) -> str:
    return f"chain {chain} ({_comment_of(rule)})"


def _comment_of(rule: str) -> str:
    return rule.partition('--comment "')[2].rpartition('" ')[0].replace('\\"', '"')
