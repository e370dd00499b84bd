"""The embedded resolver of a container: what the name server is told, and port 53 inside led to it.

The name server reads files and needs nobody to be alive; where it does not run yet, it answers as soon as it does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from pycni.kernel.namespace import Namespace
from pycni.names import Attachment, Attachments, sandbox_of
from pycni_plugins.dnsname import redirect, server
from pycni_plugins.dnsname.config import NONE

Records = Callable[[str, int], Iterable[Attachment]]
"""From the sandbox's name and the resolver's port to the records of all endpoints."""


class Resolver:
    """Thread-safe.  `log` takes what an operator should know."""

    def __init__(self, run_dir: str, log: Callable[[str], None]) -> None:
        self._run_dir = run_dir
        self._store = Attachments(run_dir)
        self._log = log

    def serve(self, namespace: Namespace, container_id: str, records: Records, again: bool = False) -> None:
        """The records are all there is of this container, and they are in force before this returns, if a name server
        runs.  `again`: rules inside are looked at too.  StoreError, FirewallError."""
        sandbox = sandbox_of(namespace)
        lock = self._store.lock()
        try:
            present = {key: self._store.read(key) for key in self._store.of_sandbox(sandbox)}
            port = next((each.port for each in present.values() if each is not None and each.port), 0)
            is_new = not port
            port = port or server.choose_port(namespace)
            kept = set()
            for record in records(sandbox, port):
                kept.add(self._put(record, present))
            for key, old in present.items():
                # others may have attached the same namespace to more networks
                if key not in kept and (old is None or old.owner.container_id == container_id):
                    self._store.remove(key)
        finally:
            os.close(lock)
        if is_new or (again and not redirect.is_installed(namespace, port)):
            redirect.install(namespace, port, NONE, ())
        self._await(kept)

    def _put(self, record: Attachment, present: dict[str, Attachment | None]) -> str:
        same = next((key for key, old in present.items() if old == record), None)
        return self._store.put(record) if same is None else same

    def _await(self, keys: Iterable[str]) -> None:
        key = next(iter(keys), None)
        if key is None:
            return
        try:
            problem = server.ask(self._run_dir, f"sync {key}", server.PATIENCE)
        except server.NoNameServer as error:
            problem = str(error)
        if problem:
            self._log(f"names: {problem}")

    def serves(self, namespace: Namespace) -> bool:
        """Whether the container has a resolver."""
        return bool(self._store.of_sandbox(sandbox_of(namespace)))

    def silence(self, namespace: Namespace) -> None:
        """Nobody finds the container any more; whoever shares its namespace still finds others."""
        lock = self._store.lock()
        try:
            for key in self._store.of_sandbox(sandbox_of(namespace)):
                old = self._store.read(key)
                if old is not None and (old.names or old.addresses):
                    self._store.put(old.replace(names=(), addresses=()))
        finally:
            os.close(lock)

    def withdraw(self, namespace: Namespace) -> None:
        """Nothing of the sandbox is known any more.  The rules inside go with the namespace."""
        for key in self._store.of_sandbox(sandbox_of(namespace)):
            self._store.remove(key)

    def forget(self, container_id: str) -> None:
        """As `withdraw`, where the namespace is gone already.  Looks at every record."""
        for key in self._store.names():
            found = self._store.read(key)
            if found is not None and found.owner.container_id == container_id:
                self._store.remove(key)
