"""firewall: admits a container's traffic and isolates bridges from each other (contract 5)."""

from __future__ import annotations

from pycni.firewall.facts import ISOLATED, SAME_BRIDGE, Admit, Fact, Isolate
from pycni.firewall.naming import CHAIN_LIMIT, FIREWALL
from pycni.plan import ops
from pycni.plan.verify import verify_rules
from pycni.record import Record
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError
from pycni.spec.request import MAX_IFNAME, Config
from pycni.spec.result import Result
from pycni.spec.section import is_word

VERSIONS = ("0.4.0", "1.0.0", "1.1.0")
_BACKENDS = ("iptables", "nftables")


class Firewall(Record):
    """The keys; `backend` "" lets the host decide, `policy` is open, same-bridge or isolated."""

    backend: str
    admin_chain: str
    policy: str


def parse(config: Config) -> Firewall:
    """ConfigError or CniError naming the key at fault."""
    firewall = parse_for_removal(config)
    section = config.section
    section.word("iptablesAdminChainName", CHAIN_LIMIT)
    if section.string("backend") == "firewalld":
        raise section.wrong("backend", 'backend "firewalld" is not supported; use "iptables" or "nftables"')
    return firewall


def parse_for_removal(config: Config) -> Firewall:
    """As `parse`, without the rules that the reference does not have on DEL: what an ADD was refused for must not keep
    the DEL that follows it from succeeding."""
    section = config.section
    policy = section.string("ingressPolicy") or "open"
    if policy not in ("open", SAME_BRIDGE, ISOLATED):
        raise CniError(f'unknown ingress policy: "{policy}"')
    backend = section.string("backend")
    # the reference takes every other word, such as podman's empty one, as automatic
    backend = backend if backend in _BACKENDS else ""
    chain = section.string("iptablesAdminChainName")
    return Firewall(backend, chain if is_word(chain, CHAIN_LIMIT) else "CNI-ADMIN", policy)


def facts(firewall: Firewall, previous: Result) -> tuple[Fact, ...]:
    """What must hold for the addresses and the bridge of prevResult; pure."""
    wanted: list[Fact] = []
    if previous.ips:
        wanted.append(Admit(tuple(ip.address.address for ip in previous.ips), firewall.admin_chain))
    if firewall.policy != "open":
        if not previous.interfaces:
            raise CniError(
                f'interface needs to be set for ingress policy "{firewall.policy}", '
                'make sure to chain "firewall" plugin with "bridge"'
            )
        bridge = previous.interfaces[0].name
        if not bridge:
            raise CniError("got empty bridge name")
        if not is_word(bridge, MAX_IFNAME):
            raise CniError(f"got invalid bridge name {bridge!r}")
        families = dict.fromkeys(ip.address.family for ip in previous.ips)
        wanted += [Isolate(bridge, firewall.policy, family) for family in families]
    return tuple(wanted)


def _previous(context: Context) -> Result:
    previous = context.config.prev_result()
    if previous is None:
        raise CniError("missing prevResult from earlier plugin")
    return previous


def add(context: Context) -> Result:
    firewall = parse(context.config)
    previous = _previous(context)
    wanted = facts(firewall, previous)
    backend = context.host.firewall.choose(FIREWALL, firewall.backend)
    if wanted:
        context.transaction.apply([ops.InstallRules(context.owner, FIREWALL, backend, wanted)])
    return previous


def check(context: Context) -> None:
    firewall = parse(context.config)
    wanted = facts(firewall, _previous(context))
    verify_rules(context, FIREWALL, firewall.backend, wanted)


def delete(context: Context) -> None:
    """What the ledger knows of this attachment, or what prevResult implies, goes; nothing there is success."""
    firewall = parse_for_removal(context.config)
    previous = context.config.prev_result()
    fallback: tuple[Fact, ...] = ()
    if previous is not None:
        # without a bridge's name an ADD was refused, and isolated nothing
        if not (previous.interfaces and is_word(previous.interfaces[0].name, MAX_IFNAME)):
            firewall = firewall.replace(policy="open")
        fallback = facts(firewall, previous)
    context.host.firewall.remove(context.owner, FIREWALL, fallback)


def gc(context: Context) -> None:
    parse_for_removal(context.config)
    context.host.firewall.collect(context.config.name, FIREWALL, context.config.valid_attachments())


def status(context: Context) -> None:
    firewall = parse(context.config)
    context.host.firewall.status(context.host.firewall.choose(FIREWALL, firewall.backend))


PLUGIN = Plugin("firewall", VERSIONS, add=add, check=check, delete=delete, gc=gc, status=status)
