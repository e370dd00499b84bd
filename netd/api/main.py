"""`pynetd api`: puts the parts together and serves them."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from netd import VERSION
from netd.api.archives import Archives
from netd.api.containers import ContainerGroup
from netd.api.core import Core
from netd.api.events import EventStream
from netd.api.execs import Execs
from netd.api.images import ImageGroup
from netd.api.networks import NetworkGroup
from netd.api.router import Router
from netd.api.server import Server, log
from netd.api.statistics import Statistics
from netd.api.streams import Streams
from netd.api.system import System
from netd.listener import Listener, ListenError, listen, tell_manager
from netd.networks.host import LiveHost
from netd.networks.places import Places
from netd.networks.places import from_environment as places_from
from netd.ports.publish import Ports
from netd.rule_events import call_us
from netd.runtime.bus import Events
from netd.runtime.containers import Containers
from netd.runtime.images.store import Images
from netd.runtime.places import RuntimePlaces
from netd.runtime.places import from_environment as runtime_from
from netd.runtime.shutdown import is_going_down
from netd.sandbox.sandboxes import Sandboxes
from netd.sandbox.settings import from_environment as settings_from
from netd.whole import import_all
from pycni.settings import REFERENCE_VERSION
from pycni.spec.errors import CniError

USAGE = f"""\
usage: pynetd api [options]

Runs containers and serves docker's HTTP API, in the foreground, until SIGTERM or SIGINT; containers go on without it.

  --socket PATH    where clients connect (default: RUN_DIR/api.sock; a socket passed by systemd comes first)
  --run-dir DIR    what dies with the kernel: sockets, namespaces (default: {RuntimePlaces().run})
  --root DIR       what outlives a reboot: images, containers (default: {RuntimePlaces().root})
  --version        print the version and the reference release whose behaviour is matched
  --help           print this
"""

_NO_RESTORE = "PYNET_NO_RESTORE"
"""Set: firewall rules that somebody else removes stay away."""

MAX_THREADS = 256
"""Requests under way at a time, those that only wait in the loop left out; one that stops a container may take ten
seconds."""


class Options(NamedTuple):
    """The command line; "" where a variable or the default decides."""

    run_dir: str = ""
    root: str = ""
    socket: str = ""


def main(arguments: list[str]) -> int:
    """The exit status: 0 after SIGTERM, 1 when the API cannot be served, 2 for a wrong command line."""
    if "--help" in arguments or "--version" in arguments:
        sys.stdout.write(USAGE if "--help" in arguments else f"pynetd {VERSION} (CNI plugins {REFERENCE_VERSION})\n")
        return 0
    try:
        options = parse(arguments)
    except ValueError as error:
        sys.stderr.write(f"pynetd: {error}\n{USAGE}")
        return 2
    return run(options)


def parse(arguments: list[str]) -> Options:
    """`--option value` or `--option=value`; ValueError."""
    names = {"--run-dir": "run_dir", "--root": "root", "--socket": "socket"}
    given: dict[str, str] = {}
    rest = arguments[:]
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name not in names:
            raise ValueError(f"unknown argument {name}")
        if not equals:
            value = rest.pop(0) if rest else ""
        if not value.startswith("/"):
            raise ValueError(f"{name} needs an absolute path")
        given[names[name]] = value
    return Options(**given)


def run(options: Options) -> int:
    """The API, until a signal ends it."""
    logging.basicConfig(level=logging.INFO, format="pynetd: %(message)s", stream=sys.stderr)
    runtime, places = runtime_from(os.environ), places_from(os.environ)
    if options.run_dir:
        runtime, places = runtime.replace(run=options.run_dir), places.replace(run_dir=options.run_dir)
    if options.root:
        runtime = runtime.replace(root=options.root)
    # networks' plugins run here, too, and must not be another version's when they are first needed
    import_all("pycni", "pycni_plugins", "netd.networks")
    _raise_file_limit()
    call_us()
    try:
        listener = listen(options.socket or runtime.api_socket, os.environ)
    except ListenError as error:
        log(str(error))
        return 1
    try:
        core = compose(places, runtime)
    except (CniError, OSError) as error:
        log(str(error))
        listener.close()
        return 1
    # everything so far lives as long as we do: later collections need not look at it
    gc.collect()
    gc.freeze()
    asyncio.run(_serve(core, listener))
    core.containers.close()
    if is_going_down():
        core.containers.shut_down()
    core.ports.close()
    core.sandboxes.shut_down()
    return 0


def compose(places: Places, runtime: RuntimePlaces) -> Core:
    """The parts, wired, with everything found again that a former process left running.  CniError, OSError."""
    os.makedirs(runtime.root, 0o710, exist_ok=True)
    events = Events()
    images = Images(runtime)
    ports = Ports(runtime, log)
    settings = settings_from(os.environ)
    sandboxes = Sandboxes(
        places, runtime, ports, lambda ref: containers.get(ref), lambda: containers.list(), events, settings, log
    )
    containers = Containers(runtime, images, sandboxes, events)
    sandboxes.prepare_default_bridge()
    containers.restore()
    if not os.environ.get(_NO_RESTORE):
        ports.watch()
    threads = ThreadPoolExecutor(MAX_THREADS, "request")
    return Core(places, runtime, events, containers, images, sandboxes, ports, LiveHost(places), threads)


def router(core: Core) -> Router:
    groups = (
        System(core),
        EventStream(core),
        ContainerGroup(core),
        Archives(core),
        Statistics(core),
        Streams(core),
        Execs(core),
        ImageGroup(core),
        NetworkGroup(core),
    )
    return Router(route for group in groups for route in group.routes)


async def _serve(core: Core, listener: Listener) -> None:
    loop = asyncio.get_running_loop()
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    server = Server(router(core), core.threads)
    # asyncio wants the class of the module socket around the descriptor
    await server.start(socket.socket(fileno=listener.socket.detach()))
    tell_manager("READY=1", os.environ)
    await end.wait()
    tell_manager("STOPPING=1", os.environ)
    listener.close()
    await server.stop()
    core.threads.shutdown(wait=False, cancel_futures=True)


def _raise_file_limit() -> None:
    """A client that waits has a connection, a running container some files: the usual 1024 is soon used up."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
