"""An image of one layer, made from the tar of a root file system."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import IO

import msgspec

from netd.runtime.images.archive import spool
from netd.runtime.images.changes import apply
from netd.runtime.images.manifest import (
    OCI_CONFIG,
    OCI_LAYER,
    Descriptor,
    Manifest,
    digest_of,
    this_platform,
)
from netd.runtime.images.model import ImageConfig, Progress
from netd.runtime.images.shelf import Shelf
from netd.runtime.images.stage import Stage, Staged


def stage_rootfs(
    stage: Stage, shelf: Shelf, stream: IO[bytes], changes: Sequence[str], message: str, progress: Progress
) -> Staged:
    """InvalidParameter: a bad instruction in `changes`, or a tar that is damaged, cut off or empty."""
    config = ImageConfig()
    apply(changes, config)
    path = f"{stage.work.path}/layer.tar"
    size = spool(stream, path, progress)
    with open(path, "rb") as file:
        layer = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    shelf.add_blob(path, layer)
    text = _configuration(config, layer, message)
    stage.add_blob(text)
    described = Descriptor(digest_of(text), OCI_CONFIG, len(text))
    layout = stage.add_layout(Manifest(described, [Descriptor(layer, OCI_LAYER, size)]))
    return stage.finish(layout, described.digest, text)


def _configuration(config: ImageConfig, layer: str, message: str) -> bytes:
    now = time.time_ns()
    created = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 10**9))}.{now % 10**9:09d}Z"
    platform = this_platform()
    return msgspec.json.encode(
        {
            "architecture": platform.architecture,
            **({"variant": platform.variant} if platform.variant else {}),
            "os": platform.os,
            "created": created,
            "comment": message,
            "config": {key: value for key, value in msgspec.to_builtins(config).items() if value},
            "rootfs": {"type": "layers", "diff_ids": [layer]},
            "history": [{"created": created, "comment": message}],
        }
    )
