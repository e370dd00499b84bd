"""Finding containers: by id, name, or a prefix of an id that only one has (contract docker 1.1)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from netd.failure import Conflict, InvalidParameter, NotFound

_T = TypeVar("_T")


class Index(Generic[_T]):
    """Entries by id and by name; safe for threads.  A name may be reserved before its entry is there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, _T] = {}
        self._ids_by_name: dict[str, str] = {}

    def find(self, ref: str) -> _T:
        """NotFound; InvalidParameter when several ids begin so."""
        with self._lock:
            return self._entries[self._resolve(ref)]

    def _resolve(self, ref: str) -> str:
        if ref in self._entries:
            return ref
        named = self._ids_by_name.get(ref.removeprefix("/"))
        if named in self._entries:
            return named
        hits = [id_ for id_ in self._entries if id_.startswith(ref)] if ref else []
        if len(hits) > 1:
            raise InvalidParameter(f"multiple IDs found with provided prefix: {ref}")
        if not hits:
            raise NotFound(f"No such container: {ref}")
        return hits[0]

    def all(self) -> list[_T]:
        """In the order they came."""
        with self._lock:
            return list(self._entries.values())

    def reserve(self, name: str, id_: str) -> None:
        """From now on `name` is `id_`'s; Conflict when it is another's."""
        with self._lock:
            holder = self._ids_by_name.get(name)
            if holder is not None and holder != id_:
                raise Conflict(
                    f'Conflict. The container name "/{name}" is already in use by container "{holder}". You have to '
                    "remove (or rename) that container to be able to reuse that name."
                )
            self._ids_by_name[name] = id_

    def reserve_new(self, made: Callable[[Callable[[str], bool]], str], id_: str) -> str:
        """Reserves the name that `made` returns, when told which ones are taken."""
        with self._lock:
            name = made(self._ids_by_name.__contains__)
            self._ids_by_name[name] = id_
        return name

    def release(self, name: str, id_: str) -> None:
        """`name` is free, unless it is another's by now."""
        with self._lock:
            if self._ids_by_name.get(name) == id_:
                del self._ids_by_name[name]

    def add(self, id_: str, entry: _T) -> None:
        with self._lock:
            self._entries[id_] = entry

    def discard(self, id_: str) -> None:
        """The entry and all its names are gone."""
        with self._lock:
            self._entries.pop(id_, None)
            for name in [name for name, holder in self._ids_by_name.items() if holder == id_]:
                del self._ids_by_name[name]
