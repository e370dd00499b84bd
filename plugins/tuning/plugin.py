"""tuning: sysctls and attributes of an interface another plugin made (contract 2.8)."""

from __future__ import annotations

import os

from pycni.kernel.model import IFF_ALLMULTI, IFF_PROMISC, Link, format_mac, parse_mac
from pycni.plan import ops
from pycni.skeleton import Context, Plugin
from pycni.spec import verbatim
from pycni.spec.errors import CniError
from pycni.spec.result import Result
from pycni_plugins.tuning import backup
from pycni_plugins.tuning.config import (
    Tuning,
    parse,
    parse_for_removal,
    refuse_duplicates,
    refuse_unlisted,
    sysctl_path,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pycni.spec.request import Config

_MISSING = "Required prevResult missing"


def plan(tuning: Tuning, ifname: str) -> list[ops.Operation]:
    """Sysctls, then the link's attributes; pure.  CniError for a sysctl that is not the network's."""
    wanted: list[ops.Operation] = [
        ops.Sysctl(ops.CONTAINER, sysctl_path(key, ifname), value, required=True) for key, value in tuning.sysctls
    ]
    if tuning.changes_link:
        wanted.append(
            ops.SetLink(
                ops.CONTAINER,
                ifname,
                mac=parse_mac(tuning.mac) if tuning.mac else None,
                mtu=tuning.mtu or None,
                promiscuous=True if tuning.promiscuous else None,
                allmulti=tuning.allmulti,
                txqlen=tuning.txqlen,
            )
        )
    return wanted


def _parsed(context: Context, parse: Callable[[Config, str], Tuning]) -> Tuning:
    """By `parse`, unless that was done before for the same configuration and CNI_ARGS."""
    memo, cni_args = context.config.memo, context.request.arguments
    known: tuple[str, Tuning] | None = memo.get(parse)
    if known is None or known[0] != cni_args:
        known = memo[parse] = cni_args, parse(context.config, cni_args)
    return known[1]


def _previous(context: Context) -> Result:
    previous = context.config.prev_result()
    if previous is None:
        raise CniError(_MISSING)
    return previous


def add(context: Context) -> Result | str:
    # what comes of the text alone is remembered with it, once all of it was found to be in order
    ifname, memo = context.request.ifname, context.config.text_memo
    key = add, ifname, context.request.arguments
    ready: tuple[Tuning, list[ops.Operation]] | None = memo.get(key)
    if ready is None:
        refuse_duplicates(context.request.stdin, context.config.section)
        tuning = _parsed(context, parse)
    else:
        tuning = ready[0]
    # nearly always there is no list, and this is far cheaper than an exception
    if tuning.sysctls and os.access(context.host.settings.tuning_allowlist, os.F_OK):
        _honour_allowlist(context, tuning)
    text = None if tuning.mac else verbatim.unchanged(context.config)
    previous = _previous(context) if text is None else text
    if ready is None:
        memo.clear()  # other interfaces' names would add up
        ready = memo[key] = tuning, plan(tuning, ifname)
    if tuning.changes_link:
        link = context.container().link(ifname)
        if link is None:
            raise CniError(f'failed to get "{ifname}": Link not found')
        run_dir, owner = context.host.settings.run_dir, context.owner
        context.transaction.on_undo("backup file", lambda: backup.remove(tuning.data_dir, run_dir, owner))
        backup.save(tuning.data_dir, run_dir, owner, backup.render(tuning, link))
    context.container()
    context.transaction.apply(ready[1])
    if isinstance(previous, str) or not tuning.mac:
        return previous
    interfaces = tuple(each.replace(mac=tuning.mac) if each.name == ifname else each for each in previous.interfaces)
    return previous.replace(interfaces=interfaces)


def _honour_allowlist(context: Context, tuning: Tuning) -> None:
    path = context.host.settings.tuning_allowlist
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC), encoding="utf-8") as file:
            allowlist = file.read()
    except FileNotFoundError:
        return
    except OSError as error:
        raise CniError(f"failed to read {path}: {(error.strerror or '').lower()}") from None
    refuse_unlisted(tuning.sysctls, allowlist)


def delete(context: Context) -> None:
    """Best effort: what a backup holds is restored; with the interface gone there is nothing left to restore."""
    tuning = _parsed(context, parse_for_removal)
    run_dir, owner = context.host.settings.run_dir, context.owner
    try:
        text = backup.load(tuning.data_dir, owner)
    except backup.Missing:
        if not tuning.changes_link:  # then ADD has left no mark either
            return
        text = ""
    if text is None:
        return
    try:
        container = context.container_or_none() if text else None
        # an empty file is of an ADD cut short before it changed anything
        if container is not None and container.link(owner.ifname) is not None:
            context.transaction.apply([backup.parse(text, owner.ifname)])
    except (CniError, ValueError) as error:
        context.warn(f"tuning: could not restore {owner.ifname}: {error}")
        return
    backup.remove(tuning.data_dir, run_dir, owner)


def check(context: Context) -> None:
    refuse_duplicates(context.request.stdin, context.config.section)
    tuning = _parsed(context, parse)
    _previous(context)
    container, ifname = context.container(), context.request.ifname
    for key, value in tuning.sysctls:
        path = sysctl_path(key, ifname)
        try:
            current = container.read_sysctl(path)
        except OSError as error:
            raise CniError(f"open /proc/sys/{path}: {(error.strerror or '').lower()}") from None
        if current != value:
            raise CniError(f"Error: Tuning configured value of /proc/sys/{path} is {value}, current value is {current}")
    link = container.link(ifname)
    if link is None:
        raise CniError(f"Cannot find container link {ifname}")
    _check_link(tuning, link)


def _check_link(tuning: Tuning, link: Link) -> None:
    promiscuous, allmulti = bool(link.flags & IFF_PROMISC), bool(link.flags & IFF_ALLMULTI)
    name = link.name
    for what, wanted, current, compared in (
        (f"configured Ethernet of {name}", tuning.mac, format_mac(link.mac), bool(tuning.mac)),
        (f"link {name} configured promisc", tuning.promiscuous, int(promiscuous), True),
        (f"configured MTU of {name}", tuning.mtu, link.mtu, bool(tuning.mtu)),
        (f"configured all-multicast mode of {name}", tuning.allmulti, allmulti, tuning.allmulti is not None),
        (f"configured Transmit Queue Length of {name}", tuning.txqlen, link.txqlen, tuning.txqlen is not None),
    ):
        if compared and wanted != current:
            said = [str(value).lower() if isinstance(value, bool) else value for value in (wanted, current)]
            raise CniError(f"Error: Tuning {what} is {said[0]}, current value is {said[1]}")


def gc(context: Context) -> None:
    parse_for_removal(context.config, context.request.arguments)
    keep = context.config.valid_attachments()
    backup.collect(context.host.settings.run_dir, context.config.name, keep, context.collects)


def status(context: Context) -> None:
    """Nothing can be out of order but the configuration, or what the operator allows."""
    refuse_duplicates(context.request.stdin, context.config.section)
    tuning = _parsed(context, parse)
    if tuning.sysctls:
        _honour_allowlist(context, tuning)
    plan(tuning, "eth0")


PLUGIN = Plugin("tuning", add=add, check=check, delete=delete, gc=gc, status=status)
