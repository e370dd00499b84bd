"""Garbage collection through a network's list: what its attachments and the network itself left behind goes.

Our own plugins do it in this process, whatever stands in the plugin directories: a network must be removable before
`pynet install`, after `pynet uninstall`, and where the reference plugins, which collect nothing, took our place.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from netd.networks.places import Places
from netd.networks.vanished import is_gone
from pycni.cache import Attachment, ResultCache
from pycni.execute import Completed
from pycni.firewall.firewall import Firewall
from pycni.invoke import Invoker
from pycni.kernel.namespace import Namespace
from pycni.netlist import NetworkList, parse_list, parse_single
from pycni.process import crashed
from pycni.runtime import Runtime
from pycni.settings import Settings
from pycni.skeleton import Host
from pycni.spec.errors import CniError, IncompatibleVersion
from pycni_plugins import NAMES, find
from pycni_plugins.execution import execute

if TYPE_CHECKING:
    from pycni.firewall.firewall import Collects
    from pycni.skeleton import Loader

GC_VERSION = "1.1.0"
"""The first version that has GC; lists of older ones are run as this one for it."""

FIRST = "eth0"
"""The interface of a lease that does not name one (host-local before 0.7, or a power cut)."""


def collect(path: str, places: Places) -> list[str]:
    """Runs DEL for every cached attachment of the list stored at `path`, then GC with none valid for each plugin.
    Returns what failed, one line each; a foreign plugin that does not know GC has nothing to collect, and a list that
    nobody could run is passed over with a warning."""
    try:
        network = read(path)
    except CniError as error:  # nothing was ever attached through it as it is, and it is to go
        _pass_on(f"pynet: {path}: {error.msg}; nothing is collected through this list\n".encode())
        return []
    cache = ResultCache(places.cache_dir)
    gone = [each.attachment for each in cache.entries() if each.network == network.name and is_gone(each)]
    with runtime(places, cache) as running:
        # what is at that path by now, maybe the host's own namespace, is not theirs
        failures = delete(running, network, [each.replace(netns="") for each in gone])
        for step in _steps(network):
            try:
                running.gc(step, ())
            except CniError as error:
                if step.version == GC_VERSION and error.code == IncompatibleVersion.code:
                    continue
                failures.extend(str(error).splitlines())
    return failures


def delete(running: Runtime, network: NetworkList, attachments: Iterable[Attachment]) -> list[str]:
    """DEL of each; what failed, one line each."""
    failures: list[str] = []
    for each in attachments:
        try:
            running.delete(network, each if each.ifname else each.replace(ifname=FIRST))
        except CniError as error:
            failures.extend(str(error).splitlines())
    return failures


@contextmanager
def runtime(
    places: Places, cache: ResultCache, load: Loader = find, collects: Collects | None = None
) -> Iterator[Runtime]:
    """That runs our plugins, as `load` gives them, in this process.  `collects` is asked before GC removes anything
    (`pycni.skeleton.Context.collects`)."""
    with Namespace.current() as namespace, _stand_ins() as directory:
        firewall = Firewall(namespace, places.run_dir)
        settings = Settings(run_dir=places.run_dir)
        host = Host(namespace, firewall, Namespace.open, settings, load, collects=collects)

        def in_place(plugin: str, environment: Mapping[str, str], stdin: bytes) -> Completed | None:
            try:
                answer = execute(plugin, environment, lambda: stdin, host)
            except Exception as error:  # a defect in one plugin must not keep the others from collecting
                answer = crashed(plugin, error)
            failure = f"exit status {answer.status}" if answer.status else ""
            return Completed(failure, answer.stdout, answer.stderr)

        try:
            yield Runtime((directory, *places.cni_path), Invoker(_pass_on, in_place), os.environ, cache)
        finally:
            firewall.close()


def _pass_on(data: bytes) -> None:
    sys.stderr.write(data.decode(errors="replace"))


def read(path: str) -> NetworkList:
    """The list stored at `path`, be it retired; CniError, OSError."""
    with open(path, "rb") as file:
        text = file.read()
    return parse_list(text) if ".conflist" in os.path.basename(path) else parse_single(text)


def _steps(network: NetworkList) -> Iterator[NetworkList]:
    """First DEL in the list's own version, which the attachments were made in; then GC plugin by plugin."""
    network = network.replace(disable_gc=False)
    if not network.at_least(GC_VERSION):
        yield network
    for plugin in network.plugins:
        yield network.replace(version=GC_VERSION, plugins=(plugin,))


@contextmanager
def _stand_ins() -> Iterator[str]:
    """A directory in which each of our plugins is found and recognised as ours, for the call and for delegation."""
    import pycni_launcher

    launcher = os.path.join(os.path.dirname(os.path.abspath(pycni_launcher.__file__)), "twin.py")
    with tempfile.TemporaryDirectory(prefix="pynet-") as directory:
        for name in NAMES:
            os.symlink(launcher, os.path.join(directory, name))
        yield directory
