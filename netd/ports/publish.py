"""Publishes the ports of containers: holds the host's ports, has the firewall lead them to the containers, and serves
through the proxy what the firewall does not take.

In this order, so that nothing slips in between (contract docker 3.4, S18): bind, lead, then listen; and back: stop
listening, no longer lead, close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock

from netd.failure import Conflict, Failure
from netd.ports import wanted
from netd.ports.allocator import Claim
from netd.ports.datagrams import IDLE_SECONDS
from netd.ports.errors import PortInUse, PublishFailed
from netd.ports.gateways import Endpoint, Gateways
from netd.ports.guard import Guard
from netd.ports.hold import Held
from netd.ports.holding import Holding
from netd.ports.host import Host
from netd.ports.nat import Nat, from_localhost, rules
from netd.ports.proxy import Proxy
from netd.ports.state import Port, Published
from netd.ports.undo import Undo
from netd.ports.wanted import Bound, Wanted
from netd.rule_watch import RuleWatch
from netd.runtime.model import Container, PortBinding
from netd.runtime.places import RuntimePlaces
from pycni.firewall.restore import Restored
from pycni.kernel.namespace import Namespace
from pycni.spec.address import Address
from pycni.spec.errors import CniError


class Ports:
    """Thread-safe; the caller does one thing at a time for one container.

    The host is the network namespace of the thread that makes the object.  `warn` takes lines for the operator."""

    def __init__(
        self,
        runtime: RuntimePlaces,
        warn: Callable[[str], None] = lambda _text: None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._warn = warn
        self._host = Host(runtime.run)
        self._guard_namespace = Namespace(self._host.fd)
        self._guard = Guard(self._guard_namespace)
        self._nat = Nat(self._host, warn)
        self._proxy = Proxy(self._host.fd, idle_seconds)
        self._published: dict[str, Published] = {}
        self._watch: RuleWatch | None = None
        self._lock = Lock()
        self._holding = Holding(self._host.fd, self._nat, self._spoken, self._known)

    def publish(self, container: Container, gateways: Gateways, bindings: Wanted | None = None) -> Bound:
        """Publishes what the container's configuration asks for, or `bindings`; what is really bound, by container
        port.  Without gateways nothing is, and `move` does it later.  PublishFailed, InvalidParameter: nothing is."""
        requests = wanted.requests(wanted.wanted(container) if bindings is None else bindings)
        published = Published(container, gateways)
        with self._failing(container) as undo:
            with self._lock:
                self._published[container.id] = published
            undo.push("the record", partial(self._published.pop, container.id, None))
            if gateways.exist:
                ports = self._holding.hold(container.id, requests, gateways.host_address, undo)
                self._lead(published, ports, gateways, (), undo)
                self._open(published, ports, undo)
        return published.bound

    def unpublish(self, container: Container) -> None:
        """Nothing of the container is published, held or shielded, whoever published it.  Failure, when something
        could not be taken back, only after everything else was."""
        with self._lock:
            published = self._published.pop(container.id, None)
        ports = published.ports if published else []
        self._shut(ports)
        problems = self._nat.withdraw(container.id, published.rules if published else ())
        self._nat.forget_flows([each.held.claim for each in ports] or _claims(container.sandbox.ports))
        self._holding.release([each.held for each in ports])
        try:
            self._guard.unshield(container.id)
        except CniError as error:
            problems.append(error.msg)
        if problems:
            raise Failure(f"withdrawing published ports of container {container.name}: {'; '.join(problems)}")

    def change(self, container: Container, add: Wanted, remove: Wanted) -> Bound:
        """On a running container: removes, then adds; the others go on meanwhile.  What is bound after it.
        NotFound for a binding that is not there; PublishFailed: and everything is as before."""
        published = self._of(container)
        gone = set(map(_key, wanted.chosen(published.bound, remove)))
        requests = wanted.requests(add)
        if requests and not published.gateways.exist:
            raise Conflict(f"container {container.name} is on no network that ports can be published on")
        removed = [each for each in published.ports if _key((each.port, each.binding)) in gone]
        with self._failing(container) as undo:
            self._retire(published, removed, undo)
            added = self._holding.hold(container.id, requests, published.gateways.host_address, undo)
            kept = [each for each in published.ports if each not in removed]
            self._lead(published, kept + added, published.gateways, [each.held.claim for each in removed], undo)
            self._open(published, added, undo)
        return published.bound

    def move(self, container: Container, gateways: Gateways) -> Bound:
        """Its ports, the same ones, lead to other endpoints from now on, and without gateways nowhere; they are held
        all the same.  What is bound after it.  PublishFailed: and everything is as before."""
        with self._lock:
            published = self._published.get(container.id)
        if published is None or not (published.ports or published.gateways.exist):
            return self.publish(container, gateways)
        with self._failing(container) as undo:
            if not gateways.exist:
                self._shut(published.ports)
                undo.push("opened ports", partial(self._open, published, published.ports, Undo(self._warn)))
            self._lead(published, published.ports, gateways, (), undo)
            self._follow(published)
            self._open(published, [each for each in published.ports if each.listener is None], undo)
        return published.bound

    def restore(self, container: Container, gateways: Gateways) -> list[str]:
        """Takes over what another process published (`container.sandbox.ports`) and makes everything hold again; what
        cannot be, one text each."""
        published = Published(container, gateways)
        problems: list[str] = []
        for port, claim in _leads(container.sandbox.ports):
            try:
                held = self._holding.again(container.id, claim)
            except PortInUse as error:
                problems.append(error.msg)
                held = Held(claim, None)
            published.ports.append(Port(port, int(port.partition("/")[0]), held))
        with self._lock:
            self._published[container.id] = published
        undo = Undo(self._warn)  # never used: what cannot be made good stays as it is
        for step in (
            partial(self._lead, published, published.ports, gateways, (), undo),
            partial(self._open, published, published.ports, undo),
        ):
            try:
                step()
            except CniError as error:
                problems.append(error.msg)
        return problems

    def shield(self, container: Container, endpoints: Iterable[Endpoint]) -> None:
        """Packets for these addresses, and no others of the container, are dropped unless they come through their
        device: from elsewhere only published ports are reachable (contract docker 3.1, raw).  FirewallError."""
        self._guard.shield(container.id, endpoints)
        if self._watch is not None:
            self._watch.call_ended()

    def repair(self) -> Restored:
        """After somebody flushed the host's rules: all of ours hold again, and all that are on record, whoever's."""
        with self._lock:
            published = any(each.rules for each in self._published.values())
        return self._guard.repair() + self._nat.repair(published)

    def watch(self) -> None:
        """What somebody else removes comes back by itself, from now on."""
        self._watch = RuleWatch(self._guard_namespace, self._mend, self._warn)
        self._watch.start()

    def _mend(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        restored = self.repair()
        return restored.lost, restored.problems

    def close(self) -> None:
        """Lets go of all ports; rules stay, and with them the traffic of containers."""
        if self._watch is not None:
            self._watch.close()
        self._proxy.close()
        for published in self._published.values():
            self._holding.release([each.held for each in published.ports])
        self._published.clear()
        self._guard.close()
        self._guard_namespace.close()
        self._host.close()

    # the steps

    def _lead(
        self, published: Published, ports: list[Port], gateways: Gateways, gone: Iterable[Claim], undo: Undo
    ) -> None:
        """The firewall leads these ports to these gateways, and no others of the container."""
        leads = [each.lead for each in ports]
        new = rules(published.container.id, gateways, leads)
        if new:
            self._guard.ensure()
            self._nat.pass_forward()
        if gateways.ipv4 is not None and from_localhost(leads):
            self._nat.allow_localhost(gateways.ipv4.address.address)
        old = published.rules, published.ports, published.gateways
        undo.push("the record", partial(_record, published, *old))
        self._nat.apply(published.rules, new, undo)
        fresh = [each.held.claim for each in ports if each not in published.ports or gateways != published.gateways]
        _record(published, new, ports, gateways)
        self._nat.forget_flows([*fresh, *gone])

    def _open(self, published: Published, ports: Iterable[Port], undo: Undo) -> None:
        """They take what comes.  PortInUse when another program began to listen on one meanwhile."""
        ports = [each for each in ports if each.held.socket is not None]
        undo.push("opened ports", partial(self._shut, ports))
        served = []
        for each in ports:
            target = each.target(published.gateways)
            if target is None:
                continue
            each.held.open()
            if each.held.claim.protocol != "sctp":
                served.append((each, target))
        listeners = self._proxy.serve([(each.held.socket, target) for each, target in served if each.held.socket])
        for (each, _target), listener in zip(served, listeners, strict=True):
            each.listener = listener

    def _shut(self, ports: Iterable[Port]) -> None:
        """They take nothing any more, and are still held."""
        ports = list(ports)
        self._proxy.stop([each.listener for each in ports if each.listener is not None])
        for each in ports:
            each.listener = None
            each.held.shut()

    def _retire(self, published: Published, ports: list[Port], undo: Undo) -> None:
        """Given back, with the way to have them again."""
        self._shut(ports)
        self._holding.release([each.held for each in ports])
        undo.push("removed ports", partial(self._rehold, published, ports))

    def _rehold(self, published: Published, ports: list[Port]) -> None:
        for each in ports:
            each.held = self._holding.again(published.container.id, each.held.claim)
        self._open(published, ports, Undo(self._warn))

    def _follow(self, published: Published) -> None:
        """The proxy leads where the firewall does."""
        changes = []
        for each in published.ports:
            target = each.target(published.gateways)
            if each.listener is not None and target is not None:
                changes.append((each.listener, target))
        self._proxy.retarget(changes)

    # who

    def _of(self, container: Container) -> Published:
        with self._lock:
            published = self._published.get(container.id)
        if published is None:
            running = container.state.running
            reason = "has no network of its own to publish ports of" if running else "is not running"
            raise Conflict(f"container {container.name} {reason}")
        return published

    def _spoken(self, container_id: str) -> str:
        published = self._published.get(container_id)
        return f"container {published.container.name if published else container_id[:12]}"

    def _known(self) -> list[str]:
        with self._lock:
            return list(self._published)

    @contextmanager
    def _failing(self, container: Container) -> Iterator[Undo]:
        """What fails is undone and said as docker says it."""
        try:
            with Undo(self._warn) as undo:
                yield undo
        except (CniError, OSError) as error:
            text = error.msg if isinstance(error, CniError) else str(error)
            endpoint = f"driver failed programming external connectivity on endpoint {container.name}"
            raise PublishFailed(f"{endpoint}: {text}") from error


def _record(published: Published, *values: object) -> None:
    published.rules, published.ports, published.gateways = values  # type: ignore[assignment]


def _key(each: tuple[str, PortBinding]) -> tuple[str, str, str]:
    port, binding = each
    return port, binding.host_ip, binding.host_port


def _leads(bound: Bound) -> Iterator[tuple[str, Claim]]:
    """What a container's record says is bound."""
    for port, bindings in bound.items():
        protocol = port.partition("/")[2]
        for each in bindings:
            yield port, Claim(protocol, Address.parse(each.host_ip), int(each.host_port))


def _claims(bound: Bound) -> list[Claim]:
    return [claim for _, claim in _leads(bound)]
