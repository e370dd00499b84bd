"""`pynet create`."""

from __future__ import annotations

from datetime import UTC, datetime

from netd.cli import output, show, view
from netd.cli.context import Context
from netd.cli.flags import Arguments
from netd.networks import directory, manage
from netd.networks.conflist import read
from netd.networks.request import parse_request


def create(context: Context, arguments: Arguments) -> int:
    """Prints the network's id, as docker does; with --json what `inspect` prints, with --dry-run the list."""
    request = parse_request(
        arguments.name,
        subnets=arguments.subnet,
        gateways=arguments.gateway,
        ip_ranges=arguments.ip_range,
        ipv6=arguments.ipv6,
        mtu=arguments.mtu,
        internal=arguments.internal,
        isolation=arguments.isolation,
        bridge=arguments.bridge,
        labels=arguments.label,
        firewall=arguments.firewall,
        options=arguments.opt,
        driver=arguments.driver,
        dns=arguments.dns,
        ipam=arguments.ipam_driver,
        host_access=arguments.host_access,
    )
    show.load(context)  # for its warnings: what an unreadable list uses cannot be avoided
    created = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    value = manage.create(request, context.places, context.host, created, dry_run=arguments.dry_run)
    network = read(value, directory.path_of(context.places.netconf_dir, request.name))
    if arguments.json:
        context.out.write(output.json_text(view.details(network, ())))
    elif arguments.dry_run:
        context.out.write(directory.text_of(value))
    else:
        context.out.write(network.id + "\n")
    return 0
