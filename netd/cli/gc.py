"""`pynet gc`."""

from __future__ import annotations

from netd.cli.context import Context
from netd.cli.flags import Arguments
from netd.cli.output import json_text, table
from netd.networks import gc_run
from netd.networks.gc import Verdict
from netd.runtime.places import from_environment

_COLUMNS = ("NETWORK", "CONTAINER", "INTERFACE", "ADDRESSES", "WHY")
_SHORT = 24


def gc(context: Context, arguments: Arguments) -> int:
    """Prints what goes, or would go, and how one knows; 1 when something could not be given back."""
    places = context.places
    root = from_environment(context.environ).root
    found = gc_run.survey(places, root, context.environ, arguments.networks)
    failures = []
    for each in found:
        if each.closed and any(verdict.frees for verdict in each.verdicts):
            context.complain(f"network {each.network.name} is left alone: its list says disableGC")
        if arguments.force:
            failures += [f"network {each.network.name}: {line}" for line in gc_run.free(each, context.host)]
    shown = [verdict for each in found for verdict in (each.verdicts if arguments.all else each.frees)]
    if arguments.json:
        context.out.write(json_text([_object(each) for each in shown]))
    else:
        _print(context, shown, any(each.frees for each in found), arguments.force)
    for line in failures:
        context.complain(line)
    return 1 if failures else 0


def _print(context: Context, shown: list[Verdict], frees: bool, force: bool) -> None:
    if shown:
        context.out.write(table(_COLUMNS, [_row(each) for each in shown]))
    if not frees:
        context.out.write("There is nothing to give back.\n")
    elif not force:
        context.out.write("Nothing was changed; pynet gc --force gives these back.\n")


def _row(verdict: Verdict) -> tuple[str, ...]:
    attachment = verdict.attachment
    container_id = attachment.container_id
    shown = container_id if len(container_id) <= _SHORT else f"{container_id[:_SHORT]}…"
    addresses = ",".join(str(each.address) for each in attachment.addresses)
    return verdict.network, shown, attachment.ifname, addresses, ("" if verdict.frees else "stays: ") + verdict.reason


def _object(verdict: Verdict) -> dict[str, object]:
    attachment = verdict.attachment
    return {
        "Network": verdict.network,
        "Container": attachment.container_id,
        "Interface": attachment.ifname,
        "Addresses": [str(each.address) for each in attachment.addresses],
        "Namespace": attachment.netns,
        "Free": verdict.frees,
        "Reason": verdict.reason,
    }
