"""What is changed inside a container's network namespace besides what plugins do there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from errno import EEXIST, ESRCH

from netd.failure import Failure, InvalidParameter
from netd.sandbox.gateway import Attached, change, chosen, held, holding
from netd.sandbox.sysctls import Setting
from pycni.kernel.model import Route
from pycni.kernel.namespace import Namespace
from pycni.kernel.netlink import Refused
from pycni.kernel.routes import delete_route
from pycni.spec.address import Prefix
from pycni.spec.errors import KernelError

_NEW_INTERFACES = "net/ipv6/conf/default/disable_ipv6"


def raise_loopback(namespace: Namespace) -> None:
    """`lo` is up."""
    namespace.set_link(1, up=True)


def interfaces(namespace: Namespace) -> tuple[str, ...]:
    return tuple(link.name for link in namespace.links())


def switch_ipv6(namespace: Namespace, on: bool) -> str | None:
    """Whether interfaces made from now on have IPv6; what held before, None where the kernel has no IPv6.

    A container on an IPv4 network must not be reachable over link-local addresses (CVE-2024-32473), so Failure when
    it cannot be switched off."""
    return _restore(namespace, "0" if on else "1")


def restore_ipv6(namespace: Namespace, before: str | None) -> None:
    """Undoes `switch_ipv6`: a container may make interfaces of its own."""
    if before is not None:
        _restore(namespace, before)


def _restore(namespace: Namespace, value: str) -> str | None:
    try:
        return namespace.replace_sysctl(_NEW_INTERFACES, value)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Failure(
            f"setting {_NEW_INTERFACES} to {value} in the container: {os.strerror(error.errno or 0)}"
        ) from None


def apply_settings(namespace: Namespace, settings: Iterable[Setting], optional: Iterable[str] = ()) -> None:
    """Writes them in order; InvalidParameter names the key that the kernel refuses, unless it is in `optional`."""
    forgiven = set(optional)
    for setting in settings:
        try:
            namespace.write_sysctl(setting.path, setting.value)
        except OSError as error:
            if setting.key not in forgiven:
                reason = (error.strerror or str(error)).lower()
                raise InvalidParameter(f"--sysctl {setting.key}={setting.value}: {reason}") from None


def add_addresses(namespace: Namespace, ifname: str, prefixes: Iterable[Prefix]) -> None:
    """The interface has these besides its own; KernelError."""
    link = namespace.link(ifname)
    if link is None:
        raise Failure(f"interface {ifname} vanished from the container")
    for prefix in prefixes:
        try:
            namespace.add_address(link.index, prefix)
        except KernelError as error:
            if error.errno != EEXIST:
                raise


def hold_routes(namespace: Namespace) -> None:
    """Until `route` is called, packets take the default routes of now.  KernelError.

    A plugin gives its interface a default route before the host's end has addresses and rules, and the kernel prefers
    the younger route: connections begun in between would be lost, or be translated to no address for ever."""
    for family in (4, 6):
        present = namespace.routes(family)
        _delete(namespace, held(present))
        for each in holding(present, family):
            namespace.configure(each.device, (), (each,), up=False)


def route(namespace: Namespace, endpoints: Iterable[Attached], leaving: Iterable[Attached] = ()) -> None:
    """The default routes lead to the gateways of the endpoints that come first, and nowhere else, nor through
    interfaces that are `leaving`; what `hold_routes` did ends.  KernelError.

    The new route is added before the old one goes: the kernel prefers the younger of two, so no packet finds none."""
    attached = list(endpoints)
    links = {link.name: link.index for link in namespace.links()}
    devices = [links[each.ifname] for each in (*attached, *leaving) if each.ifname in links]
    best = chosen(attached)
    for family in (4, 6):
        present = namespace.routes(family)
        endpoint = best.get(family)
        gateway = endpoint.gateway(family) if endpoint is not None else None
        device = links.get(endpoint.ifname, 0) if endpoint is not None else 0
        wanted = change(present, gateway, device, devices, family)
        if wanted.add is not None:
            namespace.configure(device, (), (wanted.add,), up=False)
        _delete(namespace, (*wanted.remove, *held(present)))


def _delete(namespace: Namespace, routes: Iterable[Route]) -> None:
    for old in routes:
        try:
            namespace.rtnetlink().request(delete_route(old))
        except Refused as error:
            if error.errno != ESRCH:
                raise


def has_ipv6(namespace: Namespace) -> bool:
    """Whether the container has IPv6 at all, be it only on its loopback interface."""
    try:
        return namespace.read_sysctl("net/ipv6/conf/lo/disable_ipv6") == "0"
    except OSError:
        return False
