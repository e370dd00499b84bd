"""An image as docker's API writes it (GET /images/{name}/json): wire and disk form in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct, field

from netd.runtime.model import NEVER

Progress = Callable[[dict[str, Any]], None]
"""Takes docker's progress objects: {"status", "id", "progressDetail": {"current", "total"}}, {"stream"}."""


class ImageConfig(Struct, rename="pascal"):
    """What a container inherits.  Keys of `exposed_ports` are "80/tcp", of `volumes` absolute paths."""

    user: str = ""
    exposed_ports: dict[str, object] | None = None
    env: list[str] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    volumes: dict[str, object] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str = ""


class Layers(Struct, rename="pascal"):
    """`layers` are the digests of the uncompressed archives, lowest first."""

    type: str = "layers"
    layers: list[str] = field(default_factory=list)


class Image(Struct, rename="pascal"):
    """`id` is the digest of its configuration, "sha256:…"; `repo_tags` in docker's familiar form ("busybox:latest");
    `size` the bytes of its unpacked files; `created` RFC 3339, `NEVER` when the image does not say."""

    id: str
    repo_tags: list[str] = field(default_factory=list)
    repo_digests: list[str] = field(default_factory=list)
    comment: str = ""
    created: str = NEVER
    author: str = ""
    architecture: str = ""
    variant: str = ""
    os: str = "linux"
    size: int = 0
    config: ImageConfig = field(default_factory=ImageConfig)
    root_fs: Layers = field(default_factory=Layers, name="RootFS")
