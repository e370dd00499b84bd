"""Sandboxes: everything of a container that is network, from its create to its end (contract docker 1.6 to 1.8).

A sandbox belongs to the container that made it, and lives as long as any container in it runs: one that joined
(`--network container:NAME`) keeps its network when the one it joined stops or starts again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping

from netd.failure import Failure, Forbidden, InvalidParameter
from netd.networks.errors import NotFound, SubnetTaken
from netd.networks.places import Places
from netd.runtime.model import Container, Endpoint, SandboxState
from netd.runtime.opened import Opened, Ready, not_told
from netd.runtime.places import RuntimePlaces
from netd.sandbox import closing, creating, default_bridge, joined, live, modes, opening, restoring, surroundings
from netd.sandbox.allocation import Allocator
from netd.sandbox.attaching import Attacher
from netd.sandbox.catalog import Catalog, Known
from netd.sandbox.chain import Chains, log_to_stderr
from netd.sandbox.parts import Announcer, Parts, Publisher
from netd.sandbox.resolver import Resolver
from netd.sandbox.settings import Settings, from_environment
from netd.sandbox.sharing import open_shared
from pycni_plugins.host_local.plugin import STORE

_LOCKS = 64
"""More containers than this seldom start at once; two with one lock only wait for each other."""


class Sandboxes:
    """Thread-safe; the caller holds one container's lock during a call about it."""

    def __init__(
        self,
        places: Places,
        runtime: RuntimePlaces,
        ports: Publisher,
        lookup: Callable[[str], Container],
        everyone: Callable[[], list[Container]],
        events: Announcer,
        settings: Settings | None = None,
        log: Callable[[str], None] = log_to_stderr,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """The host is the network namespace of the calling thread, and of every thread that calls a method.  `lookup`
        and `everyone` must not take a container's lock.  Without `settings` the environment says them
        (InvalidParameter)."""
        chains = Chains(places, log, environ)
        catalog = Catalog(places, runtime)
        allocator = Allocator(everyone, STORE)
        self._parts = Parts(
            places,
            runtime,
            from_environment(environ) if settings is None else settings,
            chains,
            catalog,
            Attacher(chains, catalog, allocator),
            Resolver(places.run_dir, log),
            ports,
            lookup,
            everyone,
            events,
            log,
        )
        self._locks = [threading.RLock() for _ in range(_LOCKS)]
        self._state = threading.Lock()
        self._users: dict[str, set[str]] = {}
        self._roots: dict[str, str] = {}

    @property
    def catalog(self) -> Catalog:
        """The networks, as docker's users name them."""
        return self._parts.catalog

    def shut_down(self) -> None:
        """Does what was put off; the containers go on.  No call may be under way."""
        self._parts.chains.close()

    # create

    def check(self, container: Container, exposed: Iterable[str] | None = None) -> list[str]:
        """At create: normalises mode, host name and networks in place; the warnings.  Failure names the flag.
        `exposed` are the ports that the client asked for, without those of its image; None: all of the container's."""
        asked = container.config.exposed_ports or () if exposed is None else exposed
        return creating.check(self._parts, container, asked)

    # start and end

    def open(self, container: Container, ready: Ready = not_told) -> Opened:
        """At start: namespace, networks, routes, sysctls, files, names, links, ports; fills `container.networks` and
        `container.sandbox`; tells `ready` early.  Failure or NetworkError, with everything undone."""
        mode = modes.parse(container.host_config.network_mode)
        if mode.kind in (modes.CONTAINER, modes.HOST):
            opened = self._join(container) if mode.kind == modes.CONTAINER else self._share(container)
            try:
                ready(opened)
            except BaseException:
                self.close(container)
                raise
            return opened
        with self._lock(container.id):
            kept = bool(self._users_of(container.id))
            opened = opening.open_own(self._parts, container, kept, ready)
            self._enter(container.id, container.id)
        closing.attempt(self._parts, f"links to {container.name}", lambda: live.relink(self._parts, container))
        return opened

    def _share(self, container: Container) -> Opened:
        container.sandbox = SandboxState(id=os.urandom(32).hex())
        return open_shared(self._parts, container)

    def _join(self, container: Container) -> Opened:
        donor = joined.donor_of(self._parts, container)
        root = joined.root_of(self._parts, donor)
        container.sandbox = SandboxState()
        if modes.parse(root.host_config.network_mode).kind == modes.HOST:
            return open_shared(self._parts, root)
        with self._lock(root.id):
            # it may have ended since we looked
            if not self._users_of(root.id):
                raise Failure(f"cannot join network of container {donor.name}: it has none any more")
            self._enter(root.id, container.id)
        etc = self._parts.etc(root.id)
        path = self._parts.path(root.id)
        return Opened(path, etc.hosts, etc.resolv_conf, etc.hostname, root.config.hostname)

    def close(self, container: Container) -> None:
        """At the end, and whenever a start was given up: names, ports, endpoints, namespace.  Never raises for what
        cannot be removed, which is logged; again, or for a container that never started, is harmless."""
        with self._state:
            root = self._roots.get(container.id, container.id)
        with self._lock(root):
            self._leave(root, container.id)
            kept = bool(self._users_of(root))
            if root == container.id:
                if container.sandbox.id or container.sandbox.key:
                    closing.close_own(self._parts, container, kept)
                return
            container.sandbox = SandboxState()
            if not kept:
                closing.end(self._parts, root)

    # while it runs

    def connect(self, container: Container, network: str, endpoint: Endpoint) -> None:
        """A running container gets an interface, another one only the wish (Failure, NetworkError; contract 1.6)."""
        mode = modes.parse(container.host_config.network_mode)
        self._refuse_connect(mode, container, network)
        with self._lock(container.id):
            is_open = self._is_open(container)
            known = self.catalog.find(network) if is_open else creating.find_or_none(self._parts, network)
            name = known.name if known is not None else network
            if name in container.networks:
                raise Forbidden(f"endpoint with name {container.name} already exists in network {name}")
            if name == modes.NONE and container.networks:
                raise InvalidParameter(creating.ALONE)
            if is_open and known is not None and known.network is not None:
                live.connect(self._parts, container, known, endpoint)
            else:
                creating.adopt(self._parts, container, network, endpoint)

    def _refuse_connect(self, mode: modes.Mode, container: Container, network: str) -> None:
        wanted = creating.find_or_none(self._parts, network)
        if modes.HOST in (mode.kind, network) or (wanted is not None and wanted.name == modes.HOST):
            raise InvalidParameter(creating.NOT_HOST)
        if mode.kind == modes.CONTAINER:
            raise InvalidParameter(creating.SHARED)
        if modes.NONE in container.networks:
            raise InvalidParameter(creating.ALONE)

    def disconnect(self, container: Container, network: str, force: bool = False) -> None:
        """The reverse.  Failure (500) when it is not connected; `force` forgets a network that is gone."""
        if modes.HOST in (network, container.host_config.network_mode):
            raise InvalidParameter(creating.NOT_HOST)
        with self._lock(container.id):
            name = self._connected(container, network, force)
            if self._is_open(container) and name in container.sandbox.ifnames:
                live.disconnect(self._parts, container, self._known(container, name))
            else:
                live.forget_wish(container, name)

    def _connected(self, container: Container, network: str, force: bool) -> str:
        if network in container.networks:
            return network
        try:
            name = self.catalog.find(network).name
        except NotFound:
            by_id = [each for each, endpoint in container.networks.items() if endpoint.network_id == network]
            if not by_id or not force:
                raise
            return by_id[0]
        if name not in container.networks:
            raise Failure(f"container {container.id} is not connected to network {name}")
        return name

    def _known(self, container: Container, name: str) -> Known:
        return surroundings.known_of(self._parts, container, name)

    def renamed(self, container: Container, old: str) -> None:
        """`container.name` is new: others find it by that name at once, and by `old` no more."""
        with self._lock(container.id):
            what = f"renaming {old} to {container.name}"
            closing.attempt(self._parts, what, lambda: live.renamed(self._parts, container, old))

    def unlink(self, container: Container, alias: str) -> None:
        """Removes a link on the default bridge; NotFound."""
        with self._lock(container.id):
            live.unlink(self._parts, container, alias)

    # the daemon's own life

    def prepare_default_bridge(self) -> None:
        """The default network's list exists, and its bridge has its address.  Where no subnet is left, that is logged,
        and containers that ask for the network are told that it is missing."""
        try:
            default_bridge.prepare(self._parts.places, self._parts.runtime, self._parts.chains)
        except SubnetTaken as error:
            self._parts.log(f"no default network: {error}")

    def restore(self, containers: Iterable[Container]) -> None:
        """At daemon start, before anything else: `containers` is everyone, those whose processes live with a `state`
        that says so.  Their names and ports are served again; what nobody uses any more is returned."""
        everyone = list(containers)
        for container, root in restoring.users(self._parts, everyone):
            self._enter(root, container.id)
        running = {container.id for container in everyone if self._is_open(container)}
        restoring.collect(self._parts, everyone, set(self._users), running)
        for container in everyone:
            if container.id in running:
                with self._lock(container.id):
                    restoring.resume(self._parts, container)

    # who is in which sandbox

    def _lock(self, root: str) -> threading.RLock:
        return self._locks[hash(root) % _LOCKS]

    def _users_of(self, root: str) -> set[str]:
        with self._state:
            return set(self._users.get(root, ()))

    def _is_open(self, container: Container) -> bool:
        return container.id in self._users_of(container.id)

    def _enter(self, root: str, container_id: str) -> None:
        with self._state:
            self._users.setdefault(root, set()).add(container_id)
            self._roots[container_id] = root

    def _leave(self, root: str, container_id: str) -> None:
        with self._state:
            self._roots.pop(container_id, None)
            users = self._users.get(root, set())
            users.discard(container_id)
            if not users:
                self._users.pop(root, None)
