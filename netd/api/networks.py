"""Networks: the six endpoints of docker, on network lists (contract docker 4.2)."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from msgspec import Struct

from netd.api.containers import until_ns
from netd.api.core import Core
from netd.api.exchange import Call
from netd.api.filters import parse
from netd.api.network_request import CreateNetwork, request_of
from netd.api.query import rfc3339
from netd.api.reply import EMPTY, NO_CONTENT, Reply, json_reply
from netd.api.router import Route
from netd.failure import Conflict, Forbidden, InvalidParameter, NotFound
from netd.networks import manage
from netd.networks.errors import NetworkError
from netd.networks.names import network_id
from netd.runtime.model import Endpoint
from netd.sandbox.network_view import FILTERS, NetworkView

PRUNE_FILTERS = ("label", "label!", "until")


class ConnectBody(Struct, rename="pascal"):
    container: str = ""
    endpoint_config: Endpoint | None = None


class DisconnectBody(Struct, rename="pascal"):
    container: str = ""
    force: bool = False


class NetworkGroup:
    """Endpoints below /networks."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._view = NetworkView(core.places, core.sandboxes.catalog, core.containers.list)
        self._pruning = threading.Lock()
        self.routes = (
            Route("GET", "/networks", self.listed),
            Route("POST", "/networks/create", self.create),
            Route("POST", "/networks/prune", self.prune),
            Route("GET", "/networks/{id}", self.inspect),
            Route("DELETE", "/networks/{id}", self.remove),
            Route("POST", "/networks/{id}/connect", self.connect),
            Route("POST", "/networks/{id}/disconnect", self.disconnect),
        )

    def listed(self, call: Call) -> Reply:
        filters = parse(call.query.text("filters"), FILTERS)
        return json_reply(self._view.listed({key: filters.get(key) for key in filters}))

    def inspect(self, call: Call) -> Reply:
        if call.query.text("scope") not in ("", "local"):
            raise NotFound(f"network {call['id']} not found")
        return json_reply(self._view.inspected(call["id"]))

    def create(self, call: Call) -> Reply:
        request = request_of(call.decode(CreateNetwork))
        created = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        manage.create(request, self._core.places, self._core.host, created)
        self._tell("create", network_id(request.name), request.name)
        return json_reply({"Id": network_id(request.name), "Warning": ""}, 201)

    def remove(self, call: Call) -> Reply:
        known = self._core.sandboxes.catalog.find(call["id"])
        if known.is_predefined:
            raise Forbidden(f"{known.name} is a pre-defined network and cannot be removed")
        self._remove(known.name)
        return NO_CONTENT

    def _remove(self, name: str) -> None:
        manage.remove(name, self._core.places, self._core.host)
        self._tell("destroy", network_id(name), name)

    def _tell(self, action: str, id_: str, name: str) -> None:
        self._core.events.publish("network", action, id_, {"name": name, "type": "bridge"})

    def connect(self, call: Call) -> Reply:
        body = call.decode(ConnectBody)
        with self._core.containers.changing(_given(body.container)) as container:
            self._core.sandboxes.connect(container, call["id"], body.endpoint_config or Endpoint())
        return EMPTY

    def disconnect(self, call: Call) -> Reply:
        body = call.decode(DisconnectBody)
        try:
            with self._core.containers.changing(_given(body.container)) as container:
                self._core.sandboxes.disconnect(container, call["id"], body.force)
        except NotFound:
            if not body.force:
                raise
        return EMPTY

    def prune(self, call: Call) -> Reply:
        """Removes networks of ours that nothing is attached to; one that cannot be removed stays for the next time."""
        filters = parse(call.query.text("filters"), PRUNE_FILTERS)
        until = until_ns(filters)
        if not self._pruning.acquire(blocking=False):
            raise Conflict("a prune operation is already running")
        removed = []
        try:
            for network in manage.unused(self._core.places):
                labels = dict(network.labels)
                young = until is not None and (rfc3339(network.created) or 0) > until
                if not young and filters.labels(labels) and filters.labels(labels, "label!"):
                    try:
                        self._remove(network.name)
                    except NetworkError:
                        continue
                    removed.append(network.name)
        finally:
            self._pruning.release()
        if removed:
            self._core.events.publish("network", "prune", "", {"reclaimed": "0"})
        return json_reply({"NetworksDeleted": removed or None})


def _given(container: str) -> str:
    if not container:
        raise InvalidParameter("Container: must be given")
    return container
