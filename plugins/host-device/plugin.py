"""host-device: moves a device of the host into the container, and back (contract 2.14)."""

from __future__ import annotations

from pycni.attachment import (
    Words,
    allocate_if_configured,
    ask_ipam,
    attach,
    check_addressing,
    check_mac,
    collect,
    configured_dns,
    reported,
)
from pycni.kernel.failure import errno_text
from pycni.plan.teardown import Failures
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError, KernelError
from pycni.spec.result import Dns, Interface, Result
from pycni_plugins.host_device.config import Wanted, parse, parse_for_removal
from pycni_plugins.host_device.devices import Place, is_name, original_name
from pycni_plugins.host_device.steps import TakeDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycni.kernel.api import NamespaceApi
    from pycni.kernel.model import Link

_WORDS = Words()


def add(context: Context) -> Result:
    place = Place(parse(context.config))
    context.open_container()
    dns = configured_dns(context)
    if not context.config.ipam_type:
        dns = Dns()  # the reference prints a device alone without the configuration's
    ifname = context.request.ifname
    if place.dpdk:
        allocated = allocate_if_configured(context) or Result()
        ips = tuple(each.replace(interface=0) for each in allocated.ips)
        interface = Interface(ifname, sandbox=context.request.netns)
        return allocated.replace(interfaces=(interface,), ips=ips, dns=dns)
    host = context.host.namespace
    link = place.find(host, ifname)
    take = TakeDevice(link.name, ifname, original_name(host, link, ifname))
    return attach(context, take, dns, allocate_if_configured)


def delete(context: Context) -> None:
    """Puts the device back, down and under its own name, and frees the addresses.  What is gone already is success.

    A namespace that ended has given its devices back to the kernel, which leaves them the names they had inside."""
    wanted = parse_for_removal(context.config)
    failures = Failures()
    if context.config.ipam_type:  # first, because a lease of dhcp is given back through the device
        failures.attempt(lambda: context.delegate(context.config.ipam_type, "DEL"))
    failures.attempt(lambda: _give_back(context, wanted))
    failures.raise_first()


def _give_back(context: Context, wanted: Wanted) -> None:
    try:
        place = Place(wanted)
    except CniError:  # what sysfs knows no longer may still be in the container
        place = None
    if place is not None and place.dpdk:
        return
    container = context.container_or_none()
    link = None if container is None else container.link(context.request.ifname)
    if container is not None and link is not None:
        _move_home(context, container, link)
    elif place is not None:
        _settle(context, place)


def _move_home(context: Context, container: NamespaceApi, link: Link) -> None:
    host, name = context.host.namespace, link.alias
    if not is_name(name):  # not what an ADD of ours, or of the reference, has put there
        context.warn(f'"{link.name}" stays in the container: its alias does not say what it was called')
        return
    try:
        back = container.virtual().move(link.index, host, name)
    except KernelError as error:
        if link.is_up and container.link_by_index(link.index) is not None:
            container.set_link(link.index, up=True)
        raise CniError(f'failed to move "{name}" to hostNS: {errno_text(error.errno)}') from None
    host.set_link(back.index, alias="")


def _settle(context: Context, place: Place) -> None:
    """A device that is on the host has its own name and no alias of ours: it may have come back by itself, and a call
    may have been killed before the device left or after it came back."""
    host, ifname = context.host.namespace, context.request.ifname
    try:
        link = place.find(host, ifname)
    except CniError:
        return
    name = original_name(host, link, ifname)
    if link.alias == name:
        host.set_link(link.index, name=None if name == link.name else name, alias="")


def check(context: Context) -> None:
    place = Place(parse(context.config))
    container = context.open_container()
    ask_ipam(context, "CHECK")
    if place.dpdk:
        if context.config.prev_result() is None:
            raise CniError(_WORDS.previous)
        return
    previous, interface = reported(context, _WORDS)
    link = container.link(interface.name)
    if link is None:
        raise CniError(f"{_WORDS.missing}: {interface.name} not found")
    check_mac(interface, link, _WORDS)
    check_addressing(container, link, previous)


def status(context: Context) -> None:
    """The configuration is well-formed, and the IPAM plugin's answer.  The device is not looked for: while a container
    has it, the network is in use, not out of order."""
    if not context.config.section.section_or_empty("capabilities").boolean("deviceID"):
        parse(context.config)
    ask_ipam(context, "STATUS")


PLUGIN = Plugin("host-device", add=add, check=check, delete=delete, gc=collect, status=status)
