"""portmap: publishes container ports on the host (contract 4)."""

from __future__ import annotations

from pycni.firewall.facts import Fact, Mapping, Publish
from pycni.firewall.naming import CHAIN_LIMIT, PORTMAP
from pycni.plan import ops
from pycni.plan.verify import verify_rules
from pycni.record import Record
from pycni.skeleton import Context, Plugin
from pycni.spec.address import Address, Prefix
from pycni.spec.errors import CniError, ConfigError
from pycni.spec.request import Config
from pycni.spec.result import Result
from pycni.spec.section import Section, is_word

_BACKENDS = ("iptables", "nftables")
_DEFAULT_MARK_BIT = 13


class Portmap(Record):
    """The keys; `backend` "" lets the host decide."""

    backend: str
    mappings: tuple[Mapping, ...]
    snat: bool
    masq_all: bool
    mark_bit: int
    external_mark_chain: str
    conditions4: tuple[str, ...]
    conditions6: tuple[str, ...]


def parse(config: Config, removing: bool = False) -> Portmap:
    """CniError with the contract's text (4.1), ConfigError naming the key otherwise.

    `removing` passes over the values that only we refuse: what an ADD was refused for must not keep the DEL that
    follows it from succeeding."""
    section = config.section
    backend = section.string("backend")
    mark_bit = section.optional_integer("markMasqBit")
    chain = section.string("externalSetMarkChain")
    if not removing:
        section.word("externalSetMarkChain", CHAIN_LIMIT)
    elif not is_word(chain, CHAIN_LIMIT):
        chain = ""
    if mark_bit is not None and section.has("externalSetMarkChain"):
        raise CniError("Cannot specify externalSetMarkChain and markMasqBit")
    if mark_bit is None:
        mark_bit = _DEFAULT_MARK_BIT
    if not 0 <= mark_bit <= 31:
        raise CniError("MasqMarkBit must be between 0 and 31")
    null = removing and None in (*(section.items("conditionsV4") or ()), *(section.items("conditionsV6") or ()))
    conditions4 = () if null else tuple(section.strings("conditionsV4"))
    conditions6 = () if null else tuple(section.strings("conditionsV6"))
    for key, words in (("conditionsV4", conditions4), ("conditionsV6", conditions6)):
        if not all(word.isprintable() for word in words):
            if not removing:
                raise section.wrong(key, "control characters in a word")
            conditions4 = conditions6 = ()
    # no backend named: the reference decides for iptables unless the host cannot, so that is what it checks
    named = backend if section.has("backend") else "iptables"
    _check_backend(named, section.has("externalSetMarkChain"), conditions4, conditions6)
    if named not in _BACKENDS:
        raise CniError(f'unrecognized backend "{named}"')
    snat = section.boolean("snat", True)
    masq_all = section.boolean("masqAll")
    return Portmap(backend, _mappings(config, removing), snat, masq_all, mark_bit, chain, conditions4, conditions6)


def _mappings(config: Config, removing: bool) -> tuple[Mapping, ...]:
    mappings = []
    for each in config.runtime.sections("portMappings"):
        container_port, host_port = each.integer("containerPort"), each.integer("hostPort")
        if container_port <= 0:
            raise CniError(f"Invalid container port number: {container_port}")
        if host_port <= 0:
            raise CniError(f"Invalid host port number: {host_port}")
        try:
            mappings.append(_mapping(each, host_port, container_port))
        except ConfigError:
            if not removing:
                raise
    return tuple(mappings)


def _mapping(section: Section, host_port: int, container_port: int) -> Mapping:
    for key, port in (("containerPort", container_port), ("hostPort", host_port)):
        if port > 65535:
            raise section.wrong(key, f"{port} is not a port number")
    return Mapping(section.word("protocol", 16, "tcp"), host_port, container_port, section.address("hostIP"))


def _check_backend(backend: str, chain: bool, conditions4: tuple[str, ...], conditions6: tuple[str, ...]) -> None:
    iptables_keys = ["externalSetMarkChain"] if chain else []
    nftables_keys: list[str] = []
    for key, words in (("conditionsV4", conditions4), ("conditionsV6", conditions6)):
        if words and words[0]:
            (iptables_keys if words[0][0] in "-!" else nftables_keys).append(key)
    other, foreign = ("nftables", nftables_keys) if backend == "iptables" else ("iptables", iptables_keys)
    if foreign:
        raise CniError(
            f"{backend} backend was requested but configuration contains {other}-specific options [{' '.join(foreign)}]"
        )


def targets(previous: Result, ifname: str) -> dict[int, Prefix]:
    """The container's first address of each family, by family; addresses known to be another's are passed over."""
    found: dict[int, Prefix] = {}
    for ip in previous.ips:
        if ip.interface is not None and 0 <= ip.interface < len(previous.interfaces):
            interface = previous.interfaces[ip.interface]
            if interface.name != ifname or not interface.sandbox:
                continue
        found.setdefault(ip.address.family, ip.address)
    return found


def facts(portmap: Portmap, found: dict[int, Prefix]) -> tuple[Fact, ...]:
    """One publication per address family; pure."""
    return tuple(
        Publish(
            found[family],
            portmap.mappings,
            portmap.snat,
            portmap.masq_all,
            portmap.mark_bit,
            portmap.external_mark_chain,
            portmap.conditions4 if family == 4 else portmap.conditions6,
        )
        for family in (4, 6)
        if family in found
    )


def applies(mapping: Mapping, family: int) -> bool:
    """Whether a mapping is for this family: a host address of the other one excludes it."""
    return mapping.host_address is None or mapping.host_address.family == family


def add(context: Context) -> Result:
    portmap, previous = _parse_for_attach(context)
    if previous is None:
        raise CniError("must be called as chained plugin")
    if not portmap.mappings:
        return previous
    found = targets(previous, context.request.ifname)
    wanted = facts(portmap, found)
    backend = context.host.firewall.choose(PORTMAP, portmap.backend)
    if not wanted:
        return previous
    plan: list[ops.Operation] = []
    if portmap.snat and 4 in found:
        plan += _route_localnet(context, found[4].address)
    plan.append(ops.InstallRules(context.owner, PORTMAP, backend, wanted))
    for family in found:
        ports = tuple(
            each.host_port for each in portmap.mappings if each.protocol.lower() == "udp" and applies(each, family)
        )
        if ports:
            plan.append(ops.FlushUdp(family, ports))
    context.transaction.apply(plan)
    return previous


def _route_localnet(context: Context, address: Address) -> list[ops.Operation]:
    """127.0.0.1 forwards to the container only with this switch on the device that faces it (contract 4.2)."""
    route = context.host.namespace.route_to(address)
    link = context.host.namespace.link_by_index(route.device) if route is not None else None
    if link is None:
        return []
    return [ops.Sysctl(ops.HOST, f"net/ipv4/conf/{link.name}/route_localnet", "1", required=True)]


def _parse_for_attach(context: Context, removing: bool = False) -> tuple[Portmap, Result | None]:
    try:
        previous = context.config.prev_result()
        return parse(context.config, removing), previous
    except CniError as error:
        raise CniError(f"failed to parse config: {error.msg}") from None


def check(context: Context) -> None:
    previous = context.config.prev_result()
    portmap = parse(context.config)
    if previous is None:
        raise CniError("Required prevResult missing")
    if not portmap.mappings:
        return
    wanted = facts(portmap, targets(previous, context.request.ifname))
    verify_rules(context, PORTMAP, portmap.backend, wanted)


def delete(context: Context) -> None:
    """Everything of this attachment goes, whether or not the runtime says again which ports it had."""
    portmap, previous = _parse_for_attach(context, removing=True)
    fallback = () if previous is None else facts(portmap, targets(previous, context.request.ifname))
    context.host.firewall.remove(context.owner, PORTMAP, fallback)


def gc(context: Context) -> None:
    parse(context.config, removing=True)
    keep = context.config.valid_attachments()
    context.host.firewall.collect(context.config.name, PORTMAP, keep, context.collects)


def status(context: Context) -> None:
    portmap = parse(context.config)
    context.host.firewall.status(context.host.firewall.choose(PORTMAP, portmap.backend))


PLUGIN = Plugin("portmap", add=add, check=check, delete=delete, gc=gc, status=status)
