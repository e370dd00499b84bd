"""An image as docker's API writes it (GET /images/{name}/json): wire and disk form in one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct, field

from netd.failure import InvalidParameter, Unsupported
from netd.runtime.model import NEVER
from netd.structures import from_values

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


class _RootFS(Struct):
    type: str = "layers"
    diff_ids: list[str] = field(default_factory=list)


class _Described(Struct):
    """An image's configuration file (OCI image specification, docker's image specification 1.2)."""

    architecture: str = ""
    variant: str = ""
    os: str = ""
    created: str = NEVER
    author: str = ""
    comment: str = ""
    config: ImageConfig = field(default_factory=ImageConfig)
    rootfs: _RootFS = field(default_factory=_RootFS)


def described(image_id: str, raw: bytes, size: int = 0) -> Image:
    """The image that a configuration is about.  InvalidParameter: it is none; Unsupported: not for Linux."""
    try:
        found = from_values(without_nulls(msgspec.json.decode(raw)), _Described)
    except msgspec.MsgspecError as error:
        raise InvalidParameter(f"image {image_id}: not an image configuration: {error}") from error
    if found.os not in ("", "linux"):
        raise Unsupported(f'image operating system "{found.os}" cannot be used on this platform')
    return Image(
        id=image_id,
        comment=found.comment,
        created=found.created,
        author=found.author,
        architecture=found.architecture,
        variant=found.variant,
        os=found.os or "linux",
        size=size,
        config=found.config,
        root_fs=Layers(found.rootfs.type, found.rootfs.diff_ids),
    )


def without_nulls(value: Any) -> Any:
    """Go writes null for what is not set."""
    if isinstance(value, dict):
        return {key: without_nulls(each) for key, each in value.items() if each is not None}
    return value
