"""tap: a TAP device in the container, for a virtual machine's emulator to open (contract 2.18)."""

from __future__ import annotations

from pycni import attachment
from pycni.plan import layer
from pycni.plan.links import CreateTap
from pycni.skeleton import Context, Plugin
from pycni.spec.errors import CniError
from pycni.spec.result import Result
from pycni_plugins.tap.config import Keys, mac_of, parse

_WORDS = attachment.Words()


def _parse(context: Context) -> Keys:
    return parse(context.config, context.request.arguments)


def add(context: Context) -> Result:
    keys = _parse(context)
    context.open_container()
    context.config.section.integer("mtu", unsigned=True)
    create = CreateTap(keys.tap, context.request.ifname, keys.mtu, mac_of(keys), keys.bridge)
    dns = attachment.configured_dns(context)
    # nobody has the device open yet, so it has no carrier
    return attachment.attach(
        context, create, dns, attachment.allocate_if_configured, (layer.ARP_NOTIFY,), carrier=False
    )


def delete(context: Context) -> None:
    _parse(context)
    attachment.detach(context)


def check(context: Context) -> None:
    _parse(context)
    container = context.open_container()
    attachment.ask_ipam(context, "CHECK")
    previous, interface = attachment.reported(context, _WORDS)
    link = container.link(interface.name)
    if link is None:
        raise CniError(f"Cannot find container link {interface.name}")
    attachment.check_addressing(container, link, previous)


def gc(context: Context) -> None:
    _parse(context)
    attachment.collect(context)


def status(context: Context) -> None:
    """The IPAM plugin's answer."""
    mac_of(_parse(context))
    attachment.ask_ipam(context, "STATUS")


PLUGIN = Plugin("tap", add=add, check=check, delete=delete, gc=gc, status=status)
