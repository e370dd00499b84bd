"""What runc is given: OCI runtime configurations with docker's defaults, root file systems, volumes."""

from __future__ import annotations

from typing import Any

from netd.failure import Failure
from netd.runtime.bundle import rootfs
from netd.runtime.bundle.checking import check
from netd.runtime.bundle.points import points, wire
from netd.runtime.bundle.spec import hidden_paths, process_spec, spec
from netd.runtime.bundle.volumes import ensure_sources, remove_volume, source_of
from netd.runtime.images.model import Image
from netd.runtime.model import Container
from netd.runtime.places import RuntimePlaces

__all__ = [
    "check",
    "hidden_paths",
    "mount_points",
    "mount_rootfs",
    "process_spec",
    "remove_anonymous_volumes",
    "spec",
    "unmount_rootfs",
]


def mount_rootfs(places: RuntimePlaces, container: Container, image: Image) -> str:
    """The container's root file system, mounted; makes and fills its volumes too.  Again is harmless.  Failure."""
    try:
        merged = rootfs.mount(places, container.id, image.id, lasting=not container.host_config.auto_remove)
        ensure_sources(places, container.id, points(container.id, container.config, container.host_config), merged)
    except BaseException as error:
        rootfs.unmount(places, container.id)
        if isinstance(error, OSError):
            raise Failure(f"preparing the files of container {container.id}: {error}") from error
        raise
    return merged


def unmount_rootfs(places: RuntimePlaces, container_id: str) -> None:
    """Again is harmless.  The container's own layer stays."""
    rootfs.unmount(places, container_id)


def remove_anonymous_volumes(places: RuntimePlaces, container: Container) -> None:
    """For `rm -v` and `--rm`; the root file system is unmounted."""
    for point in points(container.id, container.config, container.host_config):
        if point.anonymous:
            remove_volume(places, point.name)


def mount_points(places: RuntimePlaces, container: Container) -> list[dict[str, Any]]:
    """`Mounts` of docker's container inspect."""
    found = points(container.id, container.config, container.host_config)
    return [wire(point, source_of(places, point)) for point in found]
