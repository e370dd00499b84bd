"""Removing containers."""

from __future__ import annotations

from netd.failure import Conflict
from netd.runtime.entry import Entry
from netd.runtime.execs import Execs
from netd.runtime.index import Index
from netd.runtime.lifecycle import Lifecycle
from netd.runtime.parts import Parts

_HINTS = {
    "paused": "container is paused and must be unpaused first",
    "restarting": "container is restarting: stop the container before removing or force remove",
}
_RUNNING = "container is running: stop the container before removing or force remove"


class Removal:
    """`lifecycle` and `execs` are set by who makes them all."""

    def __init__(self, parts: Parts, index: Index[Entry]) -> None:
        self._parts = parts
        self._index = index
        self.lifecycle: Lifecycle
        self.execs: Execs

    def remove(self, entry: Entry, force: bool, volumes: bool) -> None:
        """Conflict for one that runs, unless `force`, which kills it; `volumes`: its anonymous ones too."""
        container = entry.container
        with entry.lock:
            if entry.removing:
                raise Conflict(f"removal of container {container.name} is already in progress")
            if not force and (entry.run is not None or entry.timer is not None):
                reason = _HINTS.get(container.state.status, _RUNNING)
                raise Conflict(f'cannot remove container "{container.name}": {reason}')
            if entry.run is None and entry.timer is None:
                self._remove(entry, volumes)
                return
        self.lifecycle.end_now(entry)
        with entry.lock:
            # with auto-remove its end has been enough
            if not entry.removing:
                self._remove(entry, volumes)

    def at_end(self, entry: Entry) -> None:
        """Auto-remove; the caller holds the lock."""
        if not entry.removing:
            self._remove(entry, volumes=True)

    def _remove(self, entry: Entry, volumes: bool) -> None:
        parts, container = self._parts, entry.container
        parts.bundle.unmount_rootfs(parts.places, container.id)
        if volumes:
            parts.bundle.remove_anonymous_volumes(parts.places, container)
        parts.store.set_aside(container.id)
        entry.removing = True
        self._index.discard(container.id)
        self.execs.forget_all_of(container.id)
        for stream in entry.attached:
            stream.failed(Conflict(f"container {container.name} was removed before it was started"))
        entry.attached.clear()
        parts.tell(container, "destroy")
        entry.waits.removed(container.state.exit_code)
        parts.store.delete(container.id)
        parts.images.collect(self.using)

    def using(self, image_id: str) -> list[str]:
        """Ids of the containers made from an image."""
        return [entry.container.id for entry in self._index.all() if entry.container.image_id == image_id]
