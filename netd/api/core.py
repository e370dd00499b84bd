"""What every group of endpoints works with: the parts of the runtime, and threads for what they do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from netd.networks.manage import Host
from netd.networks.places import Places
from netd.ports.publish import Ports
from netd.runtime.bus import Events
from netd.runtime.containers import Containers
from netd.runtime.images.store import Images
from netd.runtime.places import RuntimePlaces
from netd.sandbox.sandboxes import Sandboxes
from pycni.record import Record

P = ParamSpec("P")
R = TypeVar("R")


class Core(Record):
    """All of it may be used from any thread; `run` is for the loop."""

    places: Places
    runtime: RuntimePlaces
    events: Events
    containers: Containers
    images: Images
    sandboxes: Sandboxes
    ports: Ports
    host: Host
    threads: ThreadPoolExecutor

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Does it in a thread; what has begun there goes on when the caller is cancelled."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, lambda: work(*args, **kwargs))
