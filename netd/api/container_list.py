"""Which containers GET /containers/json lists, and in which order.  Pure but for what `Looked` is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from netd.api.container_view import port_list
from netd.api.filters import Filters
from netd.api.query import rfc3339
from netd.failure import InvalidParameter, NotFound
from netd.runtime.model import NEVER, Container
from pycni.record import Record

FILTERS = (
    "ancestor",
    "before",
    "expose",
    "exited",
    "health",
    "id",
    "isTask",
    "is-task",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
)
STATES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")


class Lookups(Record):
    """`container` and `image` find by name or id (NotFound); the second gives an image's id.  `volumes` are names,
    sources and targets of a container's mounts."""

    container: Callable[[str], Container]
    image: Callable[[str], str]
    volumes: Callable[[Container], Iterable[str]]


def selected(
    containers: Iterable[Container], filters: Filters, lookups: Lookups, everything: bool, limit: int
) -> list[Container]:
    """Newest first; only running ones unless `everything`, a `limit` > 0 or the filter `status`.  InvalidParameter
    names a value that cannot be, NotFound the container of `before` or `since`."""
    for state in filters.get("status"):
        if state not in STATES:
            raise InvalidParameter(f"invalid filter 'status={state}'")
    codes = _exit_codes(filters)
    images = {found for name in filters.get("ancestor") if (found := _image(lookups, name))}
    before = [_created(lookups.container(ref)) for ref in filters.get("before")]
    since = [_created(lookups.container(ref)) for ref in filters.get("since")]
    task = filters.boolean("is-task") or filters.boolean("isTask")
    # a filter of this engine's tasks, of which it has none
    pool = [] if task else sorted(containers, key=_created, reverse=True)
    chosen = []
    for each in pool:
        shown = everything or limit > 0 or "status" in filters or each.state.running
        old_enough = all(_created(each) < moment for moment in before)
        new_enough = all(_created(each) > moment for moment in since)
        if not (shown and old_enough and new_enough and _matches(each, filters, lookups)):
            continue
        if codes and not (each.state.exit_code in codes and not each.state.running and each.state.started_at != NEVER):
            continue
        if "ancestor" in filters and each.image_id not in images:
            continue
        chosen.append(each)
    return chosen[:limit] if limit > 0 else chosen


def _matches(container: Container, filters: Filters, lookups: Lookups) -> bool:
    networks = [*container.networks, *(each.network_id for each in container.networks.values())]
    return (
        filters.pattern("id", container.id)
        and filters.pattern("name", f"/{container.name}", container.name)
        and filters.labels(container.config.labels)
        and filters.exact("status", container.state.status)
        and filters.exact("health", "none")
        and filters.exact("network", *networks)
        and ("volume" not in filters or filters.exact("volume", *lookups.volumes(container)))
        and ("expose" not in filters or _has_port(filters.get("expose"), _numbers(container, "PrivatePort")))
        and ("publish" not in filters or _has_port(filters.get("publish"), _numbers(container, "PublicPort")))
    )


def _numbers(container: Container, key: str) -> list[str]:
    """Of the ports that the list shows: docker's filters see no others, so none of a container that does not run."""
    return [f"{each[key]}/{each['Type']}" for each in port_list(container) if key in each]


def _created(container: Container) -> int:
    return rfc3339(container.created) or 0


def _image(lookups: Lookups, name: str) -> str:
    try:
        return lookups.image(name)
    except NotFound:
        return ""


def _exit_codes(filters: Filters) -> set[int]:
    try:
        return {int(code) for code in filters.get("exited")}
    except ValueError:
        raise InvalidParameter(f"invalid filter 'exited={' '.join(filters.get('exited'))}'") from None


def _has_port(wanted: Sequence[str], ports: Iterable[str]) -> bool:
    """Whether one of the ports lies in one of the ranges "80", "80-90/tcp"."""
    have = [port.partition("/") for port in ports]
    for text in wanted:
        body, _, protocol = text.partition("/")
        low, _, high = body.partition("-")
        if not (low.isdecimal() and (high or low).isdecimal()):
            raise InvalidParameter(f"invalid filter 'publish or expose={text}'")
        for number, _, kind in have:
            if kind == (protocol or "tcp") and int(low) <= int(number) <= int(high or low):
                return True
    return False
