"""`pynet rm` and `pynet prune`."""

from __future__ import annotations

import json

from netd.cli import hints, view
from netd.cli.context import Context
from netd.cli.flags import Arguments
from netd.cli.predefined import NAMES
from netd.networks import manage
from netd.networks.errors import Damaged, InUse, NetworkError, NotFound


def rm(context: Context, arguments: Arguments) -> int:
    """Prints the name of each network removed; a line on standard error for each that was not."""
    removed: list[str] = []
    failed = 0
    for wanted in arguments.networks:
        try:
            removed.append(manage.remove(wanted, context.places, context.host, arguments.force))
        except NotFound as error:
            if wanted in NAMES:
                context.complain(f"{wanted} is a pre-defined network and cannot be removed")
                failed = 1
            elif not arguments.force or isinstance(error, Damaged):
                context.complain(error.msg + hints.of_container(context, wanted, "rm"))
                failed = 1
        except NetworkError as error:
            context.complain(error.msg)
            failed = 1
    _print(context, removed, arguments.json, "")
    return failed


def prune(context: Context, arguments: Arguments) -> int:
    """Removes networks made by pynet that no container is attached to, after asking unless told not to.  One that
    somebody else has removed since, or has come to use, is not an error."""
    filters = view.parse_filters(arguments.filter)
    names = [item.name for item in manage.unused(context.places) if view.matches(item, 0, filters)]
    if arguments.dry_run:
        _print(context, names, arguments.json, "Would delete:\n")
        return 0
    if not (arguments.force or arguments.json or _confirmed(context)):
        return 0
    removed: list[str] = []
    failed = 0
    for name in names:
        try:
            removed.append(manage.remove(name, context.places, context.host))
        except NetworkError as error:
            if isinstance(error, (NotFound, InUse)) and not isinstance(error, Damaged):
                continue
            context.complain(error.msg)
            failed = 1
    _print(context, removed, arguments.json, "Deleted Networks:\n")
    return failed


def _confirmed(context: Context) -> bool:
    context.out.write("WARNING! This will remove all networks made by pynet that no container uses.\n")
    context.out.write("Are you sure you want to continue? [y/N] ")
    context.out.flush()
    return context.input.readline().strip().lower() in ("y", "yes")


def _print(context: Context, names: list[str], as_json: bool, heading: str) -> None:
    if as_json:
        context.out.write(json.dumps(names) + "\n")
    elif names:
        context.out.write(heading + "".join(f"{name}\n" for name in names))
