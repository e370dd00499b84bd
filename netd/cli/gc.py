"""`pynet gc`."""

from __future__ import annotations

from collections.abc import Sequence

from netd.cli import show
from netd.cli.context import Context
from netd.cli.flags import Arguments
from netd.cli.output import json_text, table
from netd.networks.gc import Verdict
from netd.networks.gc_run import Survey, collector
from netd.runtime.places import from_environment

_COLUMNS = ("NETWORK", "CONTAINER", "INTERFACE", "ADDRESSES", "WHY")
_SHORT = 24
_NOBODY = "-"


def gc(context: Context, arguments: Arguments) -> int:
    """Prints what goes, or would go, and how one knows; 1 when something could not be looked at or given back."""
    root = from_environment(context.environ).root
    networks = collector(context.places, root, context.environ, context.host)
    if not arguments.networks:
        show.load(context)  # for its warnings: of a list that cannot be read nothing is looked at
    found = networks.survey(arguments.networks)
    failures = []
    for each in found:
        name = f"network {each.network.name}"
        if each.closed and any(verdict.frees for verdict in each.verdicts):
            context.complain(f"{name} is left alone: its list says disableGC")
        lines = (*each.leftovers.failures, *(networks.free(each) if arguments.force else ()))
        failures += [f"{name}: {line}" for line in dict.fromkeys(lines)]
    if arguments.json:
        context.out.write(json_text([item for each in found for item in _objects(each, arguments.all)]))
    else:
        _print(context, found, arguments.all, arguments.force)
    for line in failures:
        context.complain(line)
    return 1 if failures else 0


def _print(context: Context, found: Sequence[Survey], everything: bool, force: bool) -> None:
    rows = [row for each in found for row in _rows(each, everything)]
    if rows:
        context.out.write(table(_COLUMNS, rows))
    for each in found:
        for line in _notes(each, everything, force):
            context.out.write(f"{line}\n")
    if not any(each.has_work for each in found):
        context.out.write("There is nothing to give back.\n")
    elif not force:
        context.out.write("Nothing was changed; pynet gc --force gives these back.\n")


def _notes(found: Survey, everything: bool, force: bool) -> list[str]:
    """Of plugins that are not ours, which can be told what is attached, and not be asked what else there is."""
    lines = []
    name, left = found.network.name, found.leftovers
    if left.asked and not force:
        lines.append(f"Network {name}: --force has {_listed(left.asked)} free what else is left over.")
    if left.unasked and everything:
        lines.append(f"Network {name}: {_listed(left.unasked)} cannot be asked while others attach.")
    return lines


def _listed(names: Sequence[str]) -> str:
    return f"the plugin {names[0]}" if len(names) == 1 else f"the plugins {', '.join(names)}"


def _shown(found: Survey, everything: bool) -> Sequence[Verdict]:
    return found.verdicts if everything else found.frees


def _rows(found: Survey, everything: bool) -> list[tuple[str, ...]]:
    rows = [_row(each) for each in _shown(found, everything)]
    return rows + [
        (found.network.name, _NOBODY, _NOBODY, _NOBODY, f"of no attachment: {what}") for what in found.leftovers.things
    ]


def _row(verdict: Verdict) -> tuple[str, ...]:
    attachment = verdict.attachment
    container_id = attachment.container_id
    shown = container_id if len(container_id) <= _SHORT else f"{container_id[:_SHORT]}…"
    addresses = ",".join(str(each.address) for each in attachment.addresses)
    return verdict.network, shown, attachment.ifname, addresses, ("" if verdict.frees else "stays: ") + verdict.reason


def _objects(found: Survey, everything: bool) -> list[dict[str, object]]:
    listed = [_object(each) for each in _shown(found, everything)]
    for what in found.leftovers.things:
        nobody = {"Container": "", "Interface": "", "Addresses": [], "Namespace": ""}
        listed.append({"Network": found.network.name, **nobody, "Free": True, "Reason": f"of no attachment: {what}"})
    return listed


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
