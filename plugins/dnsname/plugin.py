"""dnsname: a container's names for the others on its network, and a resolver inside it that knows theirs."""

from __future__ import annotations

import os

from pycni.names import Attachments, sandbox_of
from pycni.plan import ops
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError, LimitedConnectivity
from pycni.spec.result import Result
from pycni_plugins.dnsname import config, redirect, server
from pycni_plugins.dnsname.containerd import look_up

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.names import Attachment


def _parse(context: Context) -> config.Keys:
    return config.parse(context.config, context.request.arguments)


def _store(context: Context) -> Attachments:
    return Attachments(context.host.settings.run_dir)


def _wanted(context: Context, keys: config.Keys, previous: Result) -> tuple[config.Known, Attachment]:
    request = context.request
    known = look_up(keys.containerd_state, request.container_id, request.netns)
    return known, config.attachment(keys, known, context.owner, previous, request.netns)


def add(context: Context) -> Result:
    """The name server knows the container, and answers inside, before the result is printed.

    Where the name server does not run, or cannot reach the namespace, the container keeps the resolver it would have
    had: only its names are noted."""
    keys = _parse(context)
    previous = config.require(context.config.prev_result())
    known, wanted = _wanted(context, keys, previous)
    container, store = context.container(), _store(context)
    wanted = wanted.replace(sandbox=sandbox_of(container))
    kind = config.redirection(keys, known)
    wanted = wanted.replace(ipv6=redirect.concerns_ipv6(container, kind, known.resolv_conf or ()))
    context.transaction.apply([ops.SetLink(ops.CONTAINER, "lo", up=True)])
    context.transaction.on_undo("names", lambda: _withdraw(context))
    lock = store.lock()
    try:
        # all of a container's networks share its resolver
        others = [store.read(key) for key in store.of_sandbox(wanted.sandbox)]
        port = next((other.port for other in others if other is not None and other.port), 0)
        wanted = wanted.replace(port=port or server.choose_port(container, wanted.ipv6))
        key = store.put(wanted)
    finally:
        os.close(lock)
    try:
        problem = server.ask(context.host.settings.run_dir, f"sync {key}", server.PATIENCE)
    except server.NoNameServer as error:
        problem = str(error)
    if problem:
        lock = store.lock()
        try:
            store.put(wanted.replace(netns="", port=port))
        finally:
            os.close(lock)
        context.warn(f"dnsname: {problem}; names will not resolve in this container")
        return previous
    redirect.install(container, wanted.port, kind, known.resolv_conf or (), wanted.ipv6)
    return config.result(keys, previous) if kind == config.NONE else previous


def delete(context: Context) -> None:
    """Best effort and without needing anything but the names of the attachment."""
    _withdraw(context)


def _withdraw(context: Context) -> None:
    """No file of the attachment; with the last one of its container, no redirection."""
    store = _store(context)
    served = False
    for key in store.of_owner(context.owner):
        found = store.read(key)
        store.remove(key)
        served = served or (found is not None and bool(found.port))
    container = context.container_or_none() if served else None
    if container is None:
        return
    try:
        if not any(_has_port(store, key) for key in store.of_sandbox(sandbox_of(container))):
            redirect.remove(container)
    except CniError as error:
        context.warn(f"dnsname: {error}")


def _has_port(store: Attachments, key: str) -> bool:
    found = store.read(key)
    return found is not None and bool(found.port)


def check(context: Context) -> None:
    keys = _parse(context)
    previous = config.require(context.config.prev_result())
    # what the engine knew of the container then may be out of reach now
    wanted = config.attachment(keys, config.Known(), context.owner, previous, context.request.netns)
    container, store = context.container(), _store(context)
    sandbox = sandbox_of(container)
    for key in store.of_owner(context.owner):
        found = store.read(key)
        if found is None or found.sandbox != sandbox:
            continue
        if not found.port:
            raise CniError(f"{context.request.ifname} was attached without a name server")
        if found.addresses != wanted.addresses or not set(wanted.names) <= set(found.names):
            raise CniError(f"the names or addresses noted for {context.request.ifname} are others")
        problem = server.ask(context.host.settings.run_dir, f"sync {key}")
        if problem:
            raise CniError(f"the name server does not serve {context.request.netns}: {problem}")
        if not redirect.is_installed(container, found.port, found.ipv6):
            raise CniError(f"port 53 is not redirected to port {found.port} in {context.request.netns}")
        return
    raise CniError(f"no names are noted for {context.request.ifname}")


def gc(context: Context) -> None:
    _parse(context)
    keep = context.config.valid_attachments()
    store = _store(context)
    lock = store.lock()
    try:
        for key, found in store.of_network(context.config.name):
            owner = found.owner
            if (owner.container_id, owner.ifname) not in keep and context.collects(f"names {key}", owner):
                store.remove(key)
        if context.collects(""):
            store.sweep(context.config.name)
    finally:
        os.close(lock)


def status(context: Context) -> None:
    _parse(context)
    try:
        server.ask(context.host.settings.run_dir, "status")
    except server.NoNameServer as error:
        raise LimitedConnectivity(str(error)) from None


PLUGIN = Plugin("dnsname", add=add, check=check, delete=delete, gc=gc, status=status)
