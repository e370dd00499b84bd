"""Who takes part: each side in its private host, knowing how to attach and detach one container."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import netavark, ours
from .networks import BACKENDS, GATEWAY, TUNING, Container, container, plugin_list, previous_result
from .peers import reference
from .private_host import ENVIRONMENT, BenchError, PrivateHost, private_host

__all__ = ["CONTESTANTS", "Contestant", "Kind", "contestant"]

PAUSE = 0.005
"""Seconds before each measured attach or detach, for what the one before left to the kernel's workers."""


@dataclass(frozen=True)
class Kind:
    """A contestant's nature; `backends` names a row of networks.BACKENDS."""

    label: str
    implementation: str  # reference, ours, netavark
    backends: str = "default"
    engine: bool = False
    python_launcher: bool = False
    tuning_only: bool = False


CONTESTANTS = {
    "ref-nft": Kind("reference, nftables", "reference", "nftables where it can"),
    "ref-iptables": Kind("reference, iptables", "reference", "iptables"),
    "ref-default": Kind("reference, no backend named", "reference"),
    "ref-tuning": Kind("reference, tuning alone", "reference", tuning_only=True),
    "netavark": Kind("netavark, nftables", "netavark"),
    "nft": Kind("C launcher, nftables", "ours", "nftables", engine=True),
    "iptables": Kind("C launcher, iptables", "ours", "iptables", engine=True),
    "default": Kind("C launcher, no backend named", "ours", engine=True),
    "twin": Kind("Python launcher, nftables", "ours", "nftables", engine=True, python_launcher=True),
    "in-process": Kind("no engine, nftables", "ours", "nftables"),
    "in-process-iptables": Kind("no engine, iptables", "ours", "iptables"),
    "tuning": Kind("C launcher, tuning alone", "ours", engine=True, tuning_only=True),
}


@dataclass
class Contestant:
    """One side at work."""

    name: str
    kind: Kind
    host: PrivateHost
    program: Path  # the plugin directory, or netavark
    engine: int | None
    ready_after: float | None = None
    prepared: int = 0
    attached: set[int] = field(default_factory=set)

    def prepare(self, count: int) -> None:
        """Make the network namespaces of the containers up to that number: not part of any figure."""
        names = [container(number).namespace for number in range(self.prepared, count)]
        if names:
            self.host.ask("namespaces", names=names)
            self.prepared = count

    def attach(self, number: int) -> list[float]:
        """ADD, or setup: the seconds of each program."""
        return self._one("ADD", number)

    def detach(self, number: int) -> list[float]:
        """DEL, or teardown: the seconds of each program."""
        return self._one("DEL", number)

    def attach_all(self, numbers: range, width: int) -> float:
        """Attach these containers, that many at a time; seconds until all are."""
        return self._many("ADD", numbers, width)

    def detach_all(self, numbers: range, width: int) -> float:
        """Detach them the same way."""
        return self._many("DEL", numbers, width)

    def finish_deferred(self) -> float:
        """Wait until the engine has nothing left to do; the seconds that took, 0.0 where there is no engine."""
        return float(self.host.ask("exchange", **ours.SYNC)["wall"]) if self.engine is not None else 0.0

    def _one(self, verb: str, number: int) -> list[float]:
        walls: list[float] = self.host.ask("chain", pause=PAUSE, **self._request(verb, number))["walls"]
        self._account(verb, [number])
        return walls

    def _many(self, verb: str, numbers: range, width: int) -> float:
        chains = [self._request(verb, number) for number in numbers]
        wall: float = self.host.ask("parallel", pause=PAUSE, width=width, chains=chains)["wall"]
        self._account(verb, numbers)
        return wall

    def _account(self, verb: str, numbers: Any) -> None:
        if verb == "ADD":
            self.attached.update(numbers)
        else:
            self.attached.difference_update(numbers)

    def _request(self, verb: str, number: int) -> dict[str, Any]:
        one = container(number)
        if self.kind.implementation == "netavark":
            return netavark.request(self.program, verb, one)
        return self._cni_request(verb, one)

    def _cni_request(self, verb: str, one: Container) -> dict[str, Any]:
        namespace = f"/run/netns/{one.namespace}"
        environment = ENVIRONMENT | {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": one.id,
            "CNI_NETNS": namespace,
            "CNI_IFNAME": "eth0",
            "CNI_ARGS": "IgnoreUnknown=1",
            "CNI_PATH": str(self.program),
        }
        plugins = TUNING if self.kind.tuning_only else plugin_list(BACKENDS[self.kind.backends], one.port)
        steps = [
            {"argv": [str(self.program / str(plugin["type"]))], "stdin": json.dumps(plugin), "spliced": True}
            for plugin in (plugins if verb == "ADD" else reversed(plugins))
        ]
        previous = previous_result(namespace) if self.kind.tuning_only else ""
        return {"id": one.id, "adding": verb == "ADD", "environment": environment, "steps": steps, "previous": previous}

    def verify(self, number: int) -> None:
        """BenchError unless that container's published port answers: a side that does nothing is fast, too."""
        if not self.kind.tuning_only:
            one = container(number)
            self.host.ask("reach", namespace=one.namespace, address=GATEWAY, port=one.port)

    def verify_empty(self) -> None:
        """BenchError when a lease is left although nothing is attached."""
        names = self.host.ask("files", directory="/var/lib/cni/networks/bench")["names"]
        leases = [name for name in names if name[0].isdigit()]
        if leases and not self.attached:
            raise BenchError(f"{self.name}: leases left after the last DEL: {', '.join(leases[:5])}")


@contextlib.contextmanager
def contestant(name: str, *, self_test: bool = False) -> Iterator[Contestant]:
    """Start a side in a private host of its own; in a self-test the reference plays our part as well."""
    kind = CONTESTANTS[name]
    with private_host() as host:
        engine, ready = None, None
        if kind.implementation == "netavark":
            program = netavark.program()
        elif kind.implementation == "reference" or self_test:
            program = reference()
            if kind.backends == "nftables":
                kind = CONTESTANTS["ref-nft"]
        else:
            program = ours.install(host, python_launcher=kind.python_launcher)
            if kind.engine:
                engine, ready = ours.start_engine(host)
        yield Contestant(name, kind, host, program, engine, ready)
