"""Running network lists in this process, as any runtime does, but without executing our own plugins.

A plugin found in the plugin directories that is not ours is executed.  Where there is none of a name we know, ours
serves: containers must start before `pynet install` and after `pynet uninstall`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pycni_launcher
from netd.engine.places import Places as Namespaces
from netd.engine.reaper import Reaper
from netd.networks.places import Places
from pycni.cache import Attachment, CacheEntry, ResultCache
from pycni.execute import Completed, execute
from pycni.invoke import Invoker
from pycni.kernel.namespace import Namespace
from pycni.netlist import NetworkList
from pycni.plan.ops import Operation
from pycni.plan.teardown import empty_trash
from pycni.plan.transaction import Transaction
from pycni.process import crashed
from pycni.runtime import Runtime
from pycni.settings import Settings
from pycni.skeleton import Host
from pycni.spec.errors import CniError
from pycni.spec.result import Result
from pycni_plugins import NAMES, find
from pycni_plugins import execution as plugins

if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi

DNSNAME = "dnsname"
_SERVED = (DNSNAME, "portmap")
"""Plugins whose work is done here: names by `netd.sandbox.resolver`, which knows more of them than the plugin can, and
published ports by `netd.ports`, which can change them on a running container."""


class Chains:
    """Thread-safe.  `log` takes lines that plugins write to their standard error."""

    def __init__(self, places: Places, log: Callable[[str], None], environ: Mapping[str, str]) -> None:
        """The host's side is the network namespace of the calling thread; threads that call methods must be in it."""
        self._log = log
        self._settings = Settings(run_dir=places.run_dir)
        self._cni_path = places.cni_path
        self._environ = {name: value for name, value in environ.items() if not name.startswith("CNI_")}
        self.cache = ResultCache(places.cache_dir)
        self._own = _stand_ins(f"{places.run_dir}/plugins")
        self._namespaces = Namespaces(places.run_dir)
        self._reaper = Reaper(self._namespaces, log)
        self._reaper.start()
        # what a killed daemon retired and did not live to delete
        self._reaper.defer(self._namespaces.own, empty_trash)

    def supports(self, backend: str) -> bool:
        """Whether the host's firewall can be written this way."""
        try:
            self._namespaces.own.firewall.status(backend)
        except CniError:
            return False
        return True

    def close(self) -> None:
        """Does what was put off; nothing may be under way."""
        self._reaper.stop()
        self._namespaces.close()

    def defer(self, work: Callable[[], None]) -> None:
        """Does it soon, in another thread; CniError and OSError from it are logged."""
        self._reaper.defer(self._namespaces.own, lambda _namespace: work())

    @contextmanager
    def host(self) -> Iterator[Namespace]:
        """The host's namespace, for this thread's own use."""
        place = self._namespaces.own
        namespace = self._namespaces.borrow(place)
        try:
            yield namespace
        finally:
            self._namespaces.give_back(place, namespace)

    def apply(self, plan: Iterable[Operation]) -> None:
        """Makes operations on the host true, all or none; CniError."""
        with self.host() as namespace:
            transaction = Transaction(namespace, _no_container, self._namespaces.own.firewall, self._log)
            with transaction:
                transaction.apply(plan)

    def add(self, network: NetworkList, attachment: Attachment, own_first: bool = False) -> Result:
        """Attaches; DelegateError of the plugin that failed, whose predecessors' work stays until `delete`."""
        with self._runtime(own_first) as runtime:
            return runtime.add(served(network), attachment)

    def delete(
        self, network: NetworkList, attachment: Attachment, own_first: bool = False, at_once: bool = False
    ) -> None:
        """Detaches; every plugin is run, then the first's DelegateError.  `at_once`: somebody lives on in the namespace
        and must not see a link that waits for its deletion."""
        with self._runtime(own_first, at_once) as runtime:
            runtime.delete(served(network), attachment)

    def delete_foreign(self, network: NetworkList, attachment: Attachment) -> None:
        """Detaches a container of another engine, by all of the list's plugins; errors as of `delete`."""
        with self._runtime(own_first=False) as runtime:
            runtime.delete(network, attachment)

    def entries(self, container_id: str) -> list[CacheEntry]:
        """What the container is attached to, by libcni's cache."""
        return self.cache.entries(container_id)

    @contextmanager
    def _runtime(self, own_first: bool, at_once: bool = False) -> Iterator[Runtime]:
        # links are destroyed when nobody else wants the kernel's lock
        self._reaper.call_begins()
        with self.host() as namespace:
            place = self._namespaces.own
            host = Host(
                namespace,
                place.firewall,
                Namespace.open,
                self._settings,
                find,
                None if at_once else lambda work: self._reaper.defer(place, work),
            )

            def in_place(plugin: str, environment: Mapping[str, str], stdin: bytes) -> Completed | None:
                if find(plugin) is None:
                    return None
                try:
                    answer = plugins.execute(plugin, environment, lambda: stdin, host)
                except Exception as error:  # a defect in one plugin must look like its failure
                    answer = crashed(plugin, error)
                failure = f"exit status {answer.status}" if answer.status else ""
                return Completed(failure, answer.stdout, answer.stderr)

            def run(path: str, environment: Mapping[str, str], stdin: bytes) -> Completed:
                return execute(path, environment, stdin, namespace.entered)

            path = (self._own, *self._cni_path) if own_first else (*self._cni_path, self._own)
            yield Runtime(path, Invoker(self._pass_on, in_place, run), self._environ, self.cache)

    def _pass_on(self, data: bytes) -> None:
        for line in data.decode(errors="replace").splitlines():
            self._log(line)


def _no_container() -> NamespaceApi:
    raise CniError("this work is on the host alone")


def _stand_ins(directory: str) -> str:
    """A directory in which each of our plugins is found and recognised as ours; its path."""
    launcher = os.path.join(os.path.dirname(os.path.abspath(pycni_launcher.__file__)), "twin.py")
    os.makedirs(directory, 0o755, exist_ok=True)
    for name in NAMES:
        path = os.path.join(directory, name)
        try:
            if os.readlink(path) == launcher:
                continue
            os.unlink(path)
        except FileNotFoundError:
            pass
        os.symlink(launcher, path)
    return directory


def served(network: NetworkList) -> NetworkList:
    """The list without what the sandbox does itself."""
    kept = tuple(plugin for plugin in network.plugins if plugin.type not in _SERVED)
    return network if len(kept) == len(network.plugins) else network.replace(plugins=kept)


def log_to_stderr(text: str) -> None:
    sys.stderr.write(f"pynetd api: {text}\n")
