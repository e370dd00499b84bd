"""static: the addresses that the configuration or the caller names, and no others (contract 2.3)."""

from __future__ import annotations

from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError
from pycni.spec.result import Result
from pycni_plugins.static import config


def add(context: Context) -> Result:
    settings = config.parse(context.config, context.request.arguments)
    return Result(ips=settings.ips, routes=settings.routes, dns=settings.dns)


def check(context: Context) -> None:
    settings = config.parse(context.config, context.request.arguments)
    previous = context.config.prev_result()
    if previous is None:
        raise CniError("Required prevResult missing")
    for ip in settings.ips:
        found = next((each for each in previous.ips if each.address.address == ip.address.address), None)
        if found is not None and ip.gateway is not None and found.gateway != ip.gateway:
            ifname = context.request.ifname
            raise CniError(f"static: Failed to match addr {found.address.address} on interface {ifname}")


def status(context: Context) -> None:
    config.parse(context.config, "")


# nothing is kept, so there is nothing to give back
PLUGIN = Plugin("static", add=add, check=check, status=status)
