"""What an image was built of, layer by layer: docker history."""

from __future__ import annotations

import os
import struct
from typing import Any

import msgspec
from msgspec import Struct, field

from netd.runtime.images.manifest import Manifest, parse
from netd.runtime.images.model import without_nulls
from netd.runtime.images.shelf import Shelf
from netd.runtime.model import NEVER
from netd.structures import from_values

_GZIP = b"\x1f\x8b"


class Step(Struct):
    """`size` in bytes of the layer's archive, 0 for a step without one."""

    created: str = NEVER
    created_by: str = ""
    comment: str = ""
    author: str = ""
    empty_layer: bool = False
    size: int = 0


class _Built(Struct):
    history: list[Step] = field(default_factory=list)


def history(shelf: Shelf, image_id: str) -> list[Step]:
    """First to last.  An image whose configuration tells nothing has a step for each layer."""
    home = shelf.directory(image_id)
    with open(f"{home}/config.json", "rb") as stream:
        told: Any = without_nulls(msgspec.json.decode(stream.read()))
    if isinstance(told.get("history"), list):
        told["history"] = [without_nulls(each) for each in told["history"]]
    with open(f"{home}/manifest.json", "rb") as stream:
        manifest = parse(stream.read(), image_id)
    assert isinstance(manifest, Manifest)
    sizes = [unpacked_size(shelf.blob(layer.digest)) for layer in manifest.layers]
    steps = from_values(told, _Built).history
    if sum(not step.empty_layer for step in steps) != len(sizes):
        steps = [Step() for _ in sizes]
    left = iter(sizes)
    for step in steps:
        step.size = 0 if step.empty_layer else next(left)
    return steps


def unpacked_size(path: str) -> int:
    """Bytes of a layer's archive: gzip says it at its end, modulo 4 GiB (RFC 1952); 0 when it is not there."""
    try:
        with open(path, "rb") as stream:
            if stream.read(2) != _GZIP:
                return os.path.getsize(path)
            stream.seek(-4, os.SEEK_END)
            return int(struct.unpack("<I", stream.read(4))[0])
    except OSError:
        return 0
