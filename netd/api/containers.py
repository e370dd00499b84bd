"""Containers: create, inspect, list, remove, and what changes their state (contract docker 4.3, 6.2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from msgspec import Struct

from netd.api.absent import check_create, check_platform, check_update
from netd.api.container_list import FILTERS, Lookups, selected
from netd.api.container_view import Surroundings, inspect, item, port_map
from netd.api.core import Core
from netd.api.exchange import Call
from netd.api.filters import Filters, parse
from netd.api.query import moment, rfc3339
from netd.api.reply import EMPTY, NO_CONTENT, NOT_MODIFIED, Reply, json_reply
from netd.api.router import Route
from netd.failure import InvalidParameter, NotFound
from netd.ports import wanted
from netd.runtime import bundle
from netd.runtime.bundle.host import this_host
from netd.runtime.images.shelf import rootfs_path
from netd.runtime.model import Container, CreateRequest, HostConfig, PortBinding
from netd.sandbox import links
from pycni.spec.errors import CniError

PRUNE_FILTERS = ("label", "label!", "until")


class PortChange(Struct, rename="pascal"):
    """The body of POST /containers/{id}/ports, which docker does not have.  Keys are container ports ("80/tcp").  In
    `remove` a port with None or no bindings means all of its bindings, and a list of ports is as good as a mapping."""

    add: dict[str, list[PortBinding] | None] | None = None
    remove: dict[str, list[PortBinding] | None] | list[str] | None = None


class ContainerGroup:
    """Endpoints below /containers that answer at once."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._containers = core.containers
        self.routes = (
            Route("POST", "/containers/create", self.create),
            Route("GET", "/containers/json", self.listed),
            Route("POST", "/containers/prune", self.prune),
            Route("GET", "/containers/{id}/json", self.inspect),
            Route("GET", "/containers/{id}/top", self.top),
            Route("POST", "/containers/{id}/start", self.start),
            Route("POST", "/containers/{id}/stop", self.stop),
            Route("POST", "/containers/{id}/restart", self.restart),
            Route("POST", "/containers/{id}/kill", self.kill),
            Route("POST", "/containers/{id}/pause", self._verb(self._containers.pause)),
            Route("POST", "/containers/{id}/unpause", self._verb(self._containers.unpause)),
            Route("POST", "/containers/{id}/rename", self.rename),
            Route("POST", "/containers/{id}/resize", self.resize),
            Route("POST", "/containers/{id}/ports", self.ports),
            Route("POST", "/containers/{id}/update", self.update),
            # "source/alias" where a link is meant
            Route("DELETE", "/containers/{id*}", self.remove),
        )

    @staticmethod
    def _verb(work: Callable[[str], None]) -> Callable[[Call], Reply]:
        def handler(call: Call) -> Reply:
            work(call["id"])
            return NO_CONTENT

        return handler

    def create(self, call: Call) -> Reply:
        check_create(call.body)
        check_platform(call.query.text("platform"))
        container, warnings = self._containers.create(call.query.text("name"), call.decode(CreateRequest))
        return json_reply({"Id": container.id, "Warnings": warnings}, 201)

    def start(self, call: Call) -> Reply:
        return NO_CONTENT if self._containers.start(call["id"]) else NOT_MODIFIED

    def stop(self, call: Call) -> Reply:
        stopped = self._containers.stop(call["id"], call.query.number("t"), call.query.text("signal"))
        return NO_CONTENT if stopped else NOT_MODIFIED

    def restart(self, call: Call) -> Reply:
        self._containers.restart(call["id"], call.query.number("t"), call.query.text("signal"))
        return NO_CONTENT

    def kill(self, call: Call) -> Reply:
        self._containers.kill(call["id"], call.query.text("signal") or "SIGKILL")
        return NO_CONTENT

    def rename(self, call: Call) -> Reply:
        self._containers.rename(call["id"], call.query.text("name").removeprefix("/"))
        return NO_CONTENT

    def resize(self, call: Call) -> Reply:
        height, width = call.query.number("h"), call.query.number("w")
        if not height or not width:
            raise InvalidParameter("h and w: both must be given, and positive")
        self._containers.resize(call["id"], height, width)
        return EMPTY

    def top(self, call: Call) -> Reply:
        titles, rows = self._containers.top(call["id"], call.query.text("ps_args") or "-ef")
        return json_reply({"Titles": titles, "Processes": rows})

    def remove(self, call: Call) -> Reply:
        query = call.query
        if query.flag("link"):
            return self._unlink(call["id"].removeprefix("/"))
        self._containers.remove(call["id"], force=query.flag("force"), volumes=query.flag("v"))
        return NO_CONTENT

    def _unlink(self, path: str) -> Reply:
        """`source/alias`, a link on the default bridge."""
        source, slash, alias = path.partition("/")
        if not slash:
            raise InvalidParameter(f"--link {path}: expected CONTAINER/ALIAS")
        with self._containers.changing(source) as container:
            self._core.sandboxes.unlink(container, alias)
        return NO_CONTENT

    def update(self, call: Call) -> Reply:
        check_update(call.body)
        return json_reply({"Warnings": self._containers.update(call["id"], call.decode(HostConfig))})

    def ports(self, call: Call) -> Reply:
        """Publishes and withdraws ports of a container, live when it runs; answers with what is bound then."""
        change = call.decode(PortChange)
        add, remove = change.add or {}, change.remove or {}
        if isinstance(remove, list):
            remove = dict.fromkeys(remove)
        with self._containers.changing(call["id"]) as container:
            config = container.host_config
            running = container.state.running
            # what -P asked for is written out: from now on it is not every exposed port, or not once
            before = wanted.wanted(container)
            bindings = wanted.amended(before, add, remove, container.sandbox.ports if running else None)
            if running:
                container.sandbox.ports = self._core.ports.change(container, add, remove)
            config.port_bindings, config.publish_all_ports = bindings, False
            return json_reply({"Ports": port_map(container)})

    def inspect(self, call: Call) -> Reply:
        container = self._containers.get(call["id"])
        return json_reply(inspect(container, self._around(container), call.version))

    def _around(self, container: Container) -> Surroundings:
        return Surroundings(
            mounts=bundle.mount_points(self._core.runtime, container),
            execs=self._containers.execs_of(container.id),
            log_path=self._containers.log_path(container.id),
            directory=self._core.runtime.container(container.id),
            names=self._linked(container),
            hidden=bundle.hidden_paths(container.host_config),
            version_2=this_host().cgroup_version == 2,
            lower=rootfs_path(self._core.runtime.images, container.image_id),
        )

    def _linked(self, container: Container) -> dict[str, str]:
        names = {}
        for target in container.linked.values():
            with suppress(NotFound):
                names[target] = self._containers.get(target).name
        return names

    def listed(self, call: Call) -> Reply:
        query = call.query
        filters = parse(query.text("filters"), FILTERS)
        everyone = self._containers.list()
        lookups = Lookups(self._containers.get, lambda ref: self._core.images.find(ref).id, self._volumes)
        limit = query.number("limit", 0) or 0
        chosen = selected(everyone, filters, lookups, query.flag("all"), limit)
        names = _Names(self._core, everyone)
        now = time.time_ns()
        return json_reply([item(each, self._around_item(each, names), now) for each in chosen])

    def _around_item(self, container: Container, names: _Names) -> Surroundings:
        return Surroundings(
            mounts=bundle.mount_points(self._core.runtime, container),
            execs=[],
            log_path="",
            directory="",
            linked_from=names.links_to(container),
            image=names.image_of(container),
        )

    def _volumes(self, container: Container) -> list[str]:
        points = bundle.mount_points(self._core.runtime, container)
        return [str(point.get(key, "")) for point in points for key in ("Name", "Source", "Destination")]

    def prune(self, call: Call) -> Reply:
        """Removes all that do not run; one that cannot be removed now is left for the next time."""
        filters = parse(call.query.text("filters"), PRUNE_FILTERS)
        until = until_ns(filters)
        removed = []
        for each in self._containers.list():
            if each.state.running or (until is not None and (rfc3339(each.created) or 0) > until):
                continue
            if filters.labels(each.config.labels) and filters.labels(each.config.labels, "label!"):
                try:
                    self._containers.remove(each.id)
                except CniError:
                    continue
                removed.append(each.id)
        return json_reply({"ContainersDeleted": removed or None, "SpaceReclaimed": 0})


def until_ns(filters: Filters) -> int | None:
    """The filter `until`: a moment, or a span before now ("10m", "1h30m"); InvalidParameter."""
    texts = filters.get("until")
    if not texts:
        return None
    if len(texts) > 1:
        raise InvalidParameter("more than one until filter specified")
    span = _span_ns(texts[0])
    return time.time_ns() - span if span is not None else moment(texts[0], "filter until")


_UNITS: Mapping[str, int] = {"ms": 10**6, "h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9}


def _span_ns(text: str) -> int | None:
    """Go's durations, with whole numbers; None when it is none."""
    total, rest = 0, text
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        rest = rest[len(number) :]
        unit = next((unit for unit in _UNITS if rest.startswith(unit)), "")
        if not number or not unit:
            return None
        total += int(number) * _UNITS[unit]
        rest = rest[len(unit) :]
    return total if text else None


class _Names:
    """What a list shows of other objects, looked up once a reply."""

    def __init__(self, core: Core, everyone: list[Container]) -> None:
        self._core = core
        self._images: dict[str, str] = {}
        self._links: dict[str, list[str]] = {}
        by_name = {each.name: each.id for each in everyone}
        for each in everyone:
            if each.host_config.network_mode not in ("bridge", "default", ""):
                continue
            for link in each.host_config.links or ():
                found = links.parse(link)
                target = each.linked.get(found.alias) or by_name.get(found.target, found.target)
                self._links.setdefault(target, []).append(f"/{each.name}/{found.alias}")

    def links_to(self, container: Container) -> list[str]:
        return self._links.get(container.id, [])

    def image_of(self, container: Container) -> str:
        """The name it was created with while that still means the same image, else the id."""
        name = container.config.image
        if name not in self._images:
            try:
                self._images[name] = self._core.images.find(name).id
            except NotFound:
                self._images[name] = ""
        return name if self._images[name] == container.image_id else container.image_id
