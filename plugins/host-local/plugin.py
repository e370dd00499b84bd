"""host-local: addresses from ranges, kept in files on this machine (contract 2.2 and 3)."""

from __future__ import annotations

import os

from pycni.ipam.leases import LeaseBook
from pycni.ipam.resolvconf import parse_resolv_conf
from pycni.ipam.store import LeaseStore
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError, NotAvailable, StoreError
from pycni.spec.result import Dns, IpConfig, Result
from pycni_plugins.host_local import config

# Lives as long as the process: in the engine, the second call on a network finds its leases already read.  Public for
# whoever reads leases besides in the same process.
STORE = LeaseStore()


def _book(context: Context, data_dir: str) -> LeaseBook:
    return LeaseBook(data_dir, context.config.name, STORE)


def _read_dns(path: str) -> Dns:
    if not path:
        return Dns()
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return parse_resolv_conf(file.read())
    except OSError as error:
        raise StoreError("open", path, error) from None


def add(context: Context) -> Result:
    settings = config.parse(context.config, context.request.arguments)
    dns = _read_dns(settings.resolv_conf)
    book = _book(context, settings.data_dir)
    request = context.request
    given = book.allocate(request.container_id, request.ifname, settings.sets, settings.requested)
    context.transaction.on_undo("address allocation", lambda: book.give_back(given))
    return Result(ips=tuple(IpConfig(each.address, each.gateway) for each in given), routes=settings.routes, dns=dns)


def delete(context: Context) -> None:
    settings = config.parse(context.config, context.request.arguments, removing=True)
    _book(context, settings.data_dir).release(context.request.container_id, context.request.ifname)


def check(context: Context) -> None:
    settings = config.parse(context.config, context.request.arguments)
    container_id = context.request.container_id
    if not _book(context, settings.data_dir).holds(container_id, context.request.ifname):
        raise CniError(f"host-local: Failed to find address added by container {container_id}")


def gc(context: Context) -> None:
    # the ranges are not looked at: a lease outside of them, from before they were changed, must go too
    keep = context.config.valid_attachments()
    if context.host.collects is not None:
        return  # whoever is asked holds the leases' lock, and sees to them himself
    _book(context, config.data_dir(context.config)).collect(keep)


def status(context: Context) -> None:
    data_dir = config.data_dir(context.config)
    _check_writable(os.path.join(data_dir, context.config.name))
    if config.ranges_come_at_runtime(context.config):
        return
    settings = config.parse(context.config, "")
    full = _book(context, data_dir).exhausted(settings.sets)
    if full:
        raise NotAvailable(f"no IP addresses available in range set: {full[0]}")


def _check_writable(path: str) -> None:
    while not os.path.lexists(path) and path not in ("", "/"):
        path = os.path.dirname(path)
    path = path or "."
    if not os.path.isdir(path):
        raise NotAvailable(f"lease directory {path} is not a directory")
    if not os.access(path, os.W_OK | os.X_OK):
        raise NotAvailable(f"lease directory {path} is not writable")


PLUGIN = Plugin("host-local", add=add, check=check, delete=delete, gc=gc, status=status)
