"""firewall: admits a container's traffic and isolates bridges from each other (contract 5)."""

from __future__ import annotations

import os

from pycni.firewall.facts import FIREWALLD, INTERNAL, ISOLATED, SAME_BRIDGE, Admit, Fact, Isolate, Trust
from pycni.firewall.ledger import IPTABLES
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
_BACKENDS = ("iptables", "nftables", FIREWALLD)
_BUS = "DBUS_SYSTEM_BUS_ADDRESS"
_SOCKET = "unix:path="


class Firewall(Record):
    """The keys; `backend` "" lets the host decide, `policy` is open, same-bridge or isolated; `internal`: nothing is
    forwarded between the bridge and other devices."""

    backend: str
    admin_chain: str
    policy: str
    zone: str = "trusted"
    internal: bool = False

    @property
    def confines(self) -> bool:
        """Whether there are rules about the bridge."""
        return self.internal or self.policy != "open"


def parse(config: Config) -> Firewall:
    """ConfigError or CniError naming the key at fault."""
    firewall = parse_for_removal(config)
    section = config.section
    section.word("iptablesAdminChainName", CHAIN_LIMIT)
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
    zone = section.string("firewalldZone") or "trusted"
    return Firewall(
        backend, chain if is_word(chain, CHAIN_LIMIT) else "CNI-ADMIN", policy, zone, section.boolean("internal")
    )


def facts(firewall: Firewall, previous: Result, backend: str = "", bus: str = "") -> tuple[Fact, ...]:
    """What must hold for the addresses and the bridge of prevResult in this backend, for firewalld on this bus; pure.
    Isolation is the table backends' whichever it is (contract 5.3)."""
    wanted: list[Fact] = []
    addresses = tuple(ip.address.address for ip in previous.ips)
    if addresses:
        wanted.append(
            Trust(addresses, firewall.zone, bus) if backend == FIREWALLD else Admit(addresses, firewall.admin_chain)
        )
    if firewall.confines:
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
        policies = [firewall.policy] * (firewall.policy != "open") + [INTERNAL] * firewall.internal
        wanted += [Isolate(bridge, policy, family) for policy in policies for family in families]
    return tuple(wanted)


def _previous(context: Context) -> Result:
    previous = context.config.prev_result()
    if previous is None:
        raise CniError("missing prevResult from earlier plugin")
    return previous


def _bus(context: Context) -> str:
    """The D-Bus address of the caller's bus."""
    return context.request.environment.get(_BUS, "") or f"{_SOCKET}{context.host.settings.system_bus}"


def _backend(context: Context, requested: str) -> str:
    """The backend for a `backend` key; "" is automatic: firewalld where it runs (contract 5.1), else the host's."""
    if not requested and _has_firewalld(_bus(context)):
        return FIREWALLD
    return context.host.firewall.choose(FIREWALL, requested)


def _may_exist(bus: str) -> bool:
    """Whether it is worth asking.  One look tells where there is no bus, and then its client is not even loaded."""
    return not bus.startswith(_SOCKET) or ";" in bus or os.path.exists(bus[len(_SOCKET) :].partition(",")[0])


def _has_firewalld(bus: str) -> bool:
    if not _may_exist(bus):
        return False
    from pycni.firewall.firewalld import running

    return running(bus)


def add(context: Context) -> Result:
    firewall = parse(context.config)
    previous = _previous(context)
    backend = _backend(context, firewall.backend)
    wanted = facts(firewall, previous, backend, _bus(context))
    if wanted:
        context.transaction.apply([ops.InstallRules(context.owner, FIREWALL, backend, wanted)])
    return previous


def check(context: Context) -> None:
    firewall = parse(context.config)
    previous = _previous(context)
    backend = _backend(context, firewall.backend)
    wanted = facts(firewall, previous, backend, _bus(context))
    verify_rules(context, FIREWALL, backend, wanted)
    if backend == FIREWALLD:
        verify_rules(context, FIREWALL, IPTABLES, [fact for fact in wanted if isinstance(fact, Isolate)])


def delete(context: Context) -> None:
    """What the ledger knows of this attachment, or what prevResult implies, goes; nothing there is success."""
    firewall = parse_for_removal(context.config)
    previous = context.config.prev_result()
    fallback: tuple[Fact, ...] = ()
    if previous is not None:
        # without a bridge's name an ADD was refused, and isolated nothing
        if not (previous.interfaces and is_word(previous.interfaces[0].name, MAX_IFNAME)):
            firewall = firewall.replace(policy="open", internal=False)
        fallback = facts(firewall, previous)
        bus = _bus(context)
        if firewall.backend == FIREWALLD or (not firewall.backend and _may_exist(bus)):
            fallback += facts(firewall.replace(policy="open", internal=False), previous, FIREWALLD, bus)
    context.host.firewall.remove(context.owner, FIREWALL, fallback)


def gc(context: Context) -> None:
    parse_for_removal(context.config)
    keep = context.config.valid_attachments()
    context.host.firewall.collect(context.config.name, FIREWALL, keep, context.collects)


def status(context: Context) -> None:
    firewall = parse(context.config)
    backend = _backend(context, firewall.backend)
    if backend == FIREWALLD:
        from pycni.firewall import firewalld

        firewalld.status(_bus(context), firewall.zone)
        if not firewall.confines:
            return
        backend = IPTABLES
    context.host.firewall.status(backend)


PLUGIN = Plugin("firewall", VERSIONS, add=add, check=check, delete=delete, gc=gc, status=status)
