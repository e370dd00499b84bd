"""dhcp: addresses from the network's DHCP servers; a daemon holds the leases (contract 2.4)."""

from __future__ import annotations

from pycni.skeleton import Context, Plugin
from pycni.spec import jsontext
from pycni.spec.errors import CniError, NotAvailable
from pycni.spec.result import Result
from pycni_plugins.dhcp import calls, config, daemon
from pycni_plugins.dhcp.gob import GobError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def add(context: Context) -> Result:
    path = _socket(context)
    answer = daemon.call(path, calls.ALLOCATE, context.request, context.request.stdin, context.host.waits)
    context.transaction.on_undo("DHCP lease", lambda: _release(context, path))
    result = _result(calls.ALLOCATE, answer)
    # of a configuration that the daemon has accepted
    family = config.section_of(context.config).string("family")
    if family in (config.IPV6, config.DUAL) and not any(each.address.family == 6 for each in result.ips):
        raise CniError(f'the DHCP daemon at {path} knows IPv4 only: "family": "{family}" needs `pynetd dhcp`')
    return result


def _result(method: str, answer: dict[str, Any]) -> Result:
    try:
        return calls.from_wire(answer)
    except GobError as error:
        raise CniError(f"error calling {method}: {error}") from None


def _socket(context: Context) -> str:
    return config.socket_path(context.config, context.host.settings.run_dir)


def _release(context: Context, path: str) -> None:
    daemon.call(path, calls.RELEASE, context.request, context.request.stdin)


def delete(context: Context) -> None:
    """Without a daemon there is nobody who could release or keep a lease: an error, as in the reference."""
    _release(context, _socket(context))


def check(context: Context) -> None:
    config.parse(context.config, context.request.arguments)
    path = _socket(context)
    try:
        answer = daemon.call(path, calls.CHECK, context.request, context.request.stdin)
    except daemon.NoSuchMethod:
        # as the reference's plugin does: a lease that is there is kept, else one is acquired
        answer = daemon.call(path, calls.ALLOCATE, context.request, context.request.stdin)
    previous = context.config.prev_result()
    reported = {each.address for each in previous.ips} if previous is not None else set()
    for each in _result(calls.CHECK, answer).ips:
        if previous is not None and each.address not in reported:
            raise CniError(f"{context.request.ifname} has a lease of {each.address} now, which is not in prevResult")


def gc(context: Context) -> None:
    keep = context.config.valid_attachments()
    if context.host.collects is not None:
        return  # the daemon sees for itself when a namespace has gone, and asks nobody
    listed = [{"containerID": container_id, "ifname": ifname} for container_id, ifname in sorted(keep)]
    body = jsontext.dumps({"name": context.config.name, "valid": listed}).encode()
    try:
        daemon.call(_socket(context), calls.COLLECT, context.request, body)
    except daemon.NoDaemon:
        pass  # no daemon holds no leases
    except daemon.NoSuchMethod as error:
        context.warn(f"dhcp: this daemon collects no leases: {error.msg}")


def status(context: Context) -> None:
    config.parse(context.config, "")
    try:
        daemon.call(_socket(context), calls.STATUS, context.request, context.request.stdin)
    except daemon.NoDaemon as error:
        raise NotAvailable(error.msg) from None
    except daemon.NoSuchMethod:
        pass  # the reference's, and it answers


PLUGIN = Plugin("dhcp", add=add, check=check, delete=delete, gc=gc, status=status)
