"""`pynet ls` and `pynet inspect`: every list in the directory, whoever made it, and the daemon's own networks."""

from __future__ import annotations

from typing import Any

from netd.cli import hints, output, predefined, view
from netd.cli.context import Context
from netd.cli.flags import Arguments
from netd.networks import directory, manage
from netd.networks.directory import Inventory
from netd.networks.errors import NetworkError, NotFound
from netd.networks.usage import named


def ls(context: Context, arguments: Arguments) -> int:
    """A table sorted by name, or what --quiet, --json or --format ask for."""
    filters = view.parse_filters(arguments.filter)
    rows: list[dict[str, Any]] = []
    for network in load(context).networks:
        row = view.row(network, manage.attached(network, context.places))
        if arguments.no_trunc:
            row["ID"] = network.id
        if view.matches(network, row["Containers"], filters):
            rows.append(row)
    own = [predefined.row(shown) for shown in predefined.predefined(context)]
    for each in own:
        if predefined.matches(each, filters):
            rows.append(each if arguments.no_trunc else {**each, "ID": each["ID"][: view.SHORT_ID]})
    rows.sort(key=lambda row: (row["Name"], row["File"]))
    if arguments.quiet:
        text = "".join(f"{row['ID']}\n" for row in rows)
    elif arguments.json:
        text = output.json_text(rows)
    else:
        text = output.formatted(arguments.format or "table", rows, view.COLUMNS)
    context.out.write(text)
    return 0


def inspect(context: Context, arguments: Arguments) -> int:
    """An array with the networks that exist, in the order asked for; a line on standard error for each other.  A name
    of the daemon's networks means those, as everywhere in docker; a list of that name goes by its id."""
    inventory = load(context)
    places = context.places
    own = {shown[key]: shown for shown in predefined.predefined(context) for key in ("Name", "Id")}
    items: list[dict[str, Any]] = []
    failed = 0
    for wanted in arguments.networks:
        try:
            if wanted in own:
                items.append(predefined.details(own[wanted]))
                continue
            network = inventory.find(wanted)
            items.append(view.details(network, named(network, manage.attached(network, places), places.run_dir)))
        except NotFound as error:
            absent = wanted in predefined.NAMES and not own
            more = "; pynetd does not run" if absent else hints.of_container(context, wanted, "inspect")
            context.complain(error.msg + more)
            failed = 1
        except NetworkError as error:
            context.complain(error.msg)
            failed = 1
    if arguments.format:
        context.out.write(output.formatted(arguments.format, items, {}))
    else:
        context.out.write(output.json_text(items))
    return failed


def load(context: Context) -> Inventory:
    """The directory's lists; files that are none are named on standard error, since they also stop nerdctl."""
    inventory = directory.load(context.places.netconf_dir)
    for item in inventory.unreadable:
        context.complain(f"warning: {item.file}: {item.reason}; nerdctl fails on such a file")
    for network in inventory.retired:
        context.complain(f"warning: network {network.name} is half removed: run pynet rm {network.name}")
    return inventory
