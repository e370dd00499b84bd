"""`pynet connect` and `pynet disconnect`."""

from __future__ import annotations

import argparse

from netd.cli import output
from netd.cli.context import Context
from netd.networks import attach
from netd.networks.errors import InvalidRequest
from netd.networks.ports import PublishedPort, parse_published
from pycni.kernel.model import parse_mac
from pycni.spec import result
from pycni.spec.address import Address
from pycni.spec.request import check_container_id, check_ifname


def connect(context: Context, arguments: argparse.Namespace) -> int:
    """Prints the interface and its addresses; with --json the CNI result."""
    wish = _wish(arguments)
    attachment, added = attach.connect(arguments.network, wish, context.places, context.environ)
    if arguments.json:
        context.out.write(output.json_text(result.to_object(added, "1.1.0")))
    else:
        context.out.write(f"{attachment.ifname} {' '.join(attach.addresses(added))}\n")
    return 0


def disconnect(context: Context, arguments: argparse.Namespace) -> int:
    netns = attach.parse_target(arguments.container)
    for each in attach.disconnect(arguments.network, netns, context.places, context.environ, arguments.ifname):
        context.out.write(f"{each.ifname}\n")
    return 0


def _wish(arguments: argparse.Namespace) -> attach.Wish:
    netns = attach.parse_target(arguments.container)
    if arguments.id:
        check_container_id(arguments.id)
    if arguments.ifname:
        check_ifname(arguments.ifname)
    for flag, text, parse in (
        ("--ip", arguments.ip, Address.parse),
        ("--mac-address", arguments.mac_address, parse_mac),
    ):
        try:
            if text:
                parse(text)
        except ValueError as error:
            raise InvalidRequest(f"{flag}: {error}") from None
    ports: tuple[PublishedPort, ...] = ()
    for text in arguments.publish:
        ports += parse_published(text)
    return attach.Wish(
        netns, arguments.id or attach.container_id(netns), arguments.ifname, arguments.ip, arguments.mac_address, ports
    )
