"""A machine without a kernel: plugins run through the real dispatcher on the in-memory kernel and a firewall that
records what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, cast

from pycni.firewall.facts import Fact, Owner
from pycni.firewall.firewall import Firewall
from pycni.invoke import LAUNCHER_MARK
from pycni.kernel.memory import MemoryKernel, MemoryNamespace
from pycni.settings import Settings
from pycni.skeleton import Answer, Host, Plugin, serve
from pycni.spec.errors import FirewallError
from pycni_plugins import NAMES, load

NETNS = "/run/netns/c1"
Key = tuple[Owner, str]


class RecordingFirewall:
    """The interface of `pycni.firewall.firewall.Firewall` on a dict.  `failing` names methods that fail after half
    of their work was done; `refuses` is what `status` says."""

    def __init__(self) -> None:
        self.rules: dict[Key, tuple[str, tuple[Fact, ...]]] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.failing: set[str] = set()
        self.refuses: Exception | None = None
        self.default = "iptables"

    def _fail(self, method: str) -> None:
        if method in self.failing:
            raise FirewallError(f"{method} was told to fail")

    def choose(self, kind: str, requested: str) -> str:  # noqa: ARG002  # the interface is the real one's
        return requested or self.default

    def status(self, backend: str) -> None:
        self.calls.append(("status", backend))
        if self.refuses is not None:
            raise self.refuses

    def install(self, owner: Owner, kind: str, backend: str, facts: Iterable[Fact]) -> None:
        self.calls.append(("install", owner, kind, backend, tuple(facts)))
        self.rules[owner, kind] = (backend, tuple(facts))
        self._fail("install")

    def remove(self, owner: Owner, kind: str, fallback: Iterable[Fact] = ()) -> None:
        self.calls.append(("remove", owner, kind, tuple(fallback)))
        self._fail("remove")
        self.rules.pop((owner, kind), None)

    def missing(self, owner: Owner, kind: str, _backend: str, facts: Iterable[Fact]) -> list[str]:
        held = self.rules.get((owner, kind), ("", ()))
        return [f"no {kind} rule" for fact in facts if fact not in held[1]]

    def collect(
        self,
        network: str,
        kind: str,
        keep: AbstractSet[tuple[str, str]],
        collects: Callable[[str, Owner | None], bool],
    ) -> list[str]:
        self.calls.append(("collect", network, kind, keep))
        self._fail("collect")
        gone = [
            (owner, held)
            for owner, held in self.rules
            if held == kind and owner.network == network and (owner.container_id, owner.ifname) not in keep
            if collects(f"{kind} rules of {owner.container_id}", owner)
        ]
        for each in gone:
            del self.rules[each]
        return [str(owner) for owner, _ in gone]


class Machine:
    """One host with plugin directory, container namespace `NETNS` and settings below a directory of the test's."""

    def __init__(self, directory: Path) -> None:
        self.kernel = MemoryKernel()
        self.host_namespace: MemoryNamespace = self.kernel.create("/run/netns/host")
        self.container = self.kernel.create(NETNS)
        self.firewall = RecordingFirewall()
        self.directory = directory
        self.bin = directory / "bin"
        self.bin.mkdir()
        for name in NAMES:
            (self.bin / name).write_bytes(LAUNCHER_MARK)
        self.settings = Settings(
            run_dir=str(directory / "run"),
            tuning_allowlist=str(directory / "allowlist.conf"),
            system_bus=str(directory / "bus"),
        )
        self.deferred: list[Callable[[Any], None]] = []

    def host(self, defer: bool = False) -> Host:
        return Host(
            self.host_namespace,
            cast(Firewall, self.firewall),
            self.kernel.open,
            self.settings,
            lambda name: load(name) if name in NAMES else None,
            self.deferred.append if defer else None,
        )

    def call(
        self,
        plugin: Plugin | str,
        command: str,
        config: Mapping[str, Any] | bytes,
        container_id: str = "c1",
        ifname: str = "eth0",
        netns: str = NETNS,
        defer: bool = False,
        **environment: str,
    ) -> Answer:
        variables = {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": container_id,
            "CNI_NETNS": netns,
            "CNI_IFNAME": ifname,
            "CNI_PATH": str(self.bin),
            **environment,
        }
        stdin = config if isinstance(config, bytes) else json.dumps(config).encode()
        chosen = load(plugin) if isinstance(plugin, str) else plugin
        return serve(chosen, variables, lambda: stdin, self.host(defer))

    def add(self, plugin: Plugin | str, config: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """A successful ADD's result."""
        answer = self.call(plugin, "ADD", config, **options)
        assert answer.status == 0, answer.stdout.decode()
        return cast("dict[str, Any]", json.loads(answer.stdout))

    def error(self, plugin: Plugin | str, command: str, config: Mapping[str, Any] | bytes, **options: Any) -> Any:
        """A failed call's error object."""
        answer = self.call(plugin, command, config, **options)
        assert answer.status == 1, answer.stdout.decode()
        return json.loads(answer.stdout)

    def succeeds(self, plugin: Plugin | str, command: str, config: Mapping[str, Any], **options: Any) -> str:
        """A call that prints nothing but perhaps warnings, which are returned."""
        answer = self.call(plugin, command, config, **options)
        assert (answer.status, answer.stdout) == (0, b"")
        return answer.stderr.decode()

    def state(self) -> dict[str, Any]:
        """Everything a plugin could have changed, comparable; indexes of devices left out, as they never come back."""
        return {
            "host": _namespace_state(self.host_namespace),
            "container": _namespace_state(self.container),
            "rules": dict(self.firewall.rules),
            "files": {
                str(path.relative_to(self.directory)): path.read_bytes() if path.is_file() else None
                for path in sorted(self.directory.rglob("*"))
                # where the next search begins, and the lock, stay by contract 3.6
                if path.is_file() and not path.name.startswith(("last_reserved_ip.", "lock"))
            },
        }


def _namespace_state(namespace: MemoryNamespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for link in namespace.links():
        conf = {
            path: namespace.read_sysctl(path)
            for path in (
                f"net/ipv4/conf/{link.name}/route_localnet",
                f"net/ipv4/conf/{link.name}/arp_notify",
                f"net/ipv6/conf/{link.name}/disable_ipv6",
                f"net/ipv6/conf/{link.name}/accept_ra",
                f"net/ipv6/conf/{link.name}/accept_dad",
                f"net/ipv6/conf/{link.name}/keep_addr_on_down",
            )
        }
        addresses = [str(each.prefix) for each in namespace.addresses(link.index)]
        found[link.name] = (link.kind, link.mac, link.mtu, link.flags, link.alias, link.txqlen, addresses, conf)
    routes = [(str(each.destination), str(each.gateway), each.table) for each in namespace.routes(4, None)]
    routes += [(str(each.destination), str(each.gateway), each.table) for each in namespace.routes(6, None)]
    return {"links": found, "routes": routes, "somaxconn": namespace.read_sysctl("net/core/somaxconn")}
