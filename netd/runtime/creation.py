"""From a request to a container on disk."""

from __future__ import annotations

import time
from functools import partial
from random import Random

from netd.runtime import moments
from netd.runtime.entry import Entry
from netd.runtime.images.model import Image
from netd.runtime.index import Index
from netd.runtime.merge import argv, merged
from netd.runtime.model import Container, CreateRequest, Endpoint
from netd.runtime.naming import random_id, random_name, valid_name
from netd.runtime.parts import Parts
from netd.runtime.restart import check_policy
from netd.runtime.signals import parse_signal


class Creation:
    """Validates everything, then acts: a refused request leaves nothing."""

    def __init__(self, parts: Parts, index: Index[Entry], random: Random) -> None:
        self._parts = parts
        self._index = index
        self._random = random

    def create(self, name: str, request: CreateRequest) -> tuple[Container, list[str]]:
        """The container and warnings.  InvalidParameter, NotFound (image), Conflict (name)."""
        wanted_name = valid_name(name) if name else ""
        check_policy(request.host_config)
        if request.stop_signal:
            parse_signal(request.stop_signal)
        image = self._parts.images.find(request.image)
        container_id = random_id(self._random)
        if wanted_name:
            self._index.reserve(wanted_name, container_id)
        else:
            wanted_name = self._index.reserve_new(partial(random_name, random=self._random), container_id)
        try:
            container, warnings = self._checked(container_id, wanted_name, request, image)
            self._parts.store.create(container)
        except BaseException:
            self._index.release(wanted_name, container_id)
            raise
        self._index.add(container_id, Entry(container))
        self._parts.tell(container, "create")
        return container, warnings

    def _checked(
        self, container_id: str, name: str, request: CreateRequest, image: Image
    ) -> tuple[Container, list[str]]:
        config = merged(request, image.config)
        warnings = self._parts.bundle.check(config, request.host_config, image)
        endpoints = request.networking_config.endpoints_config or {}
        container = Container(
            id=container_id,
            name=name,
            created=moments.written(time.time_ns()),
            config=config,
            host_config=request.host_config,
            image_id=image.id,
            argv=argv(config),
            networks={network: endpoint or Endpoint() for network, endpoint in endpoints.items()},
        )
        return container, warnings + self._parts.sandboxes.check(container, request.exposed_ports or ())
