"""GET /events: what happens, one JSON object a line, for as long as the client stays (contract docker 4.4)."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from netd.api.core import Core
from netd.api.exchange import Exchange
from netd.api.filters import Filters, parse
from netd.api.reply import JSON
from netd.api.router import Route
from netd.runtime.bus import Event

FILTERS = ("config", "container", "daemon", "event", "image", "label", "network", "scope", "type", "volume")
_NAMED = ("container", "image", "network", "volume")
_SECOND = 1_000_000_000


class EventStream:
    """Any number of listeners; one that does not read loses its oldest events and holds up nobody."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.routes = (Route("GET", "/events", self.events),)

    async def events(self, exchange: Exchange) -> None:
        query = exchange.call.query
        filters = parse(query.text("filters"), FILTERS)
        since, until = query.moment("since"), query.moment("until")
        loop = asyncio.get_running_loop()
        news = asyncio.Event()

        def notify() -> None:
            loop.call_soon_threadsafe(news.set)

        subscription = self._core.events.subscribe(since, notify)
        try:
            await exchange.begin(JSON)
            while True:
                news.clear()
                for event in subscription.take():
                    if until is not None and event.time_ns > until:
                        await exchange.end()
                        return
                    if wanted(event, filters):
                        await exchange.send(msgspec.json.encode(as_json(event)) + b"\n")
                if await self._rest(exchange, news, until):
                    return
        finally:
            subscription.close()

    async def _rest(self, exchange: Exchange, news: asyncio.Event, until: int | None) -> bool:
        """Waits for news; whether there is nothing more to wait for."""
        left = None if until is None else max(0.0, (until - time.time_ns()) / _SECOND)
        waiting = asyncio.ensure_future(news.wait())
        try:
            done, _ = await asyncio.wait((waiting, exchange.gone), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if exchange.gone in done:
            return True
        if not done:
            await exchange.end()
        return not done


def wanted(event: Event, filters: Filters) -> bool:
    """Names of containers, images, networks and volumes match the actor's id or name, or another's in its
    attributes, as the network's events name the container."""
    if not (
        filters.exact("type", event.type)
        and filters.exact("event", event.action, event.action.partition(":")[0])
        and filters.exact("scope", "local")
        and filters.labels(event.attributes)
    ):
        return False
    if "daemon" in filters or "config" in filters:
        return False
    for kind in _NAMED:
        if kind in filters:
            own = (event.actor_id, event.attributes.get("name", "")) if event.type == kind else ()
            if not filters.exact(kind, *own, event.attributes.get(kind, "")):
                return False
    return True


def as_json(event: Event) -> dict[str, Any]:
    """Appendix A; containers and images repeat three fields for old clients."""
    value: dict[str, Any] = {
        "Type": event.type,
        "Action": event.action,
        "Actor": {"ID": event.actor_id, "Attributes": dict(event.attributes)},
        "scope": "local",
        "time": event.time_ns // _SECOND,
        "timeNano": event.time_ns,
    }
    if event.type in ("container", "image"):
        value.update(status=event.action, id=event.actor_id)
        if "image" in event.attributes:
            value["from"] = event.attributes["image"]
    return value
