"""Which name means which image: tags, and digests under which images were pulled."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

import msgspec
from msgspec import Struct, field

from netd.failure import Failure
from netd.runtime.images.durable import replace
from netd.runtime.images.reference import Reference, parse
from netd.structures import from_json


class _File(Struct):
    """Full names ("docker.io/library/busybox:latest", "…@sha256:…") to ids."""

    names: dict[str, str] = field(default_factory=dict)


class Names:
    """The table, in one file, replaced as a whole at each change; safe for threads."""

    def __init__(self, path: str, known: Iterable[str]) -> None:
        """`known` are the ids of all images: a name of another one means nothing."""
        self._path = path
        self._lock = threading.Lock()
        ids = set(known)
        try:
            with open(path, "rb") as stream:
                names = from_json(stream.read(), _File).names
        except FileNotFoundError:
            names = {}
        except msgspec.DecodeError as error:
            raise Failure(f"{path} is damaged ({error}): remove it, and tag the images again by their ids") from error
        self._names = {name: image_id for name, image_id in names.items() if image_id in ids}

    def get(self, reference: Reference) -> str | None:
        """By digest where it has one, else by tag."""
        wanted = reference.at(reference.digest) if reference.digest else reference.tagged()
        return self._names.get(str(wanted))

    def of(self, image_id: str) -> list[Reference]:
        """All names of an image, sorted."""
        return [parse(name) for name, each in sorted(self._names.items()) if each == image_id]

    def table(self) -> dict[str, list[Reference]]:
        """All names, by image."""
        found: dict[str, list[Reference]] = {}
        for name, image_id in sorted(self._names.items()):
            found.setdefault(image_id, []).append(parse(name))
        return found

    def change(self, add: Mapping[Reference, str], drop: Iterable[Reference] = ()) -> None:
        """In one step; on the disk when it returns."""
        with self._lock:
            names = dict(self._names)
            for reference in drop:
                names.pop(str(reference), None)
            names.update({str(reference): image_id for reference, image_id in add.items()})
            if names != self._names:
                replace(self._path, msgspec.json.encode(_File(names)))
                self._names = names
