"""What runc is given: OCI runtime configurations with docker's defaults, root file systems, volumes."""

from __future__ import annotations

from typing import Any

from netd.runtime.images.model import Image
from netd.runtime.model import Container, ContainerConfig, ExecOptions, HostConfig
from netd.runtime.places import RuntimePlaces
from netd.sandbox.opened import Opened


def check(config: ContainerConfig, host_config: HostConfig, image: Image) -> list[str]:
    """At create, on the merged configuration: warnings; InvalidParameter names what is wrong."""
    raise NotImplementedError


def mount_rootfs(places: RuntimePlaces, container: Container, image: Image) -> str:
    """The container's root file system, mounted; makes and fills its volumes too.  Again is harmless."""
    raise NotImplementedError


def unmount_rootfs(places: RuntimePlaces, container_id: str) -> None:
    """Again is harmless.  The container's own layer stays."""
    raise NotImplementedError


def remove_anonymous_volumes(places: RuntimePlaces, container: Container) -> None:
    """For `rm -v` and `--rm`; the root file system is unmounted."""
    raise NotImplementedError


def spec(container: Container, image: Image, rootfs: str, opened: Opened, places: RuntimePlaces) -> dict[str, Any]:
    """config.json for runc; `rootfs` is what `mount_rootfs` gave."""
    raise NotImplementedError


def process_spec(
    container: Container, image: Image, options: ExecOptions, rootfs: str, opened: Opened
) -> dict[str, Any]:
    """process.json for `runc exec --process`."""
    raise NotImplementedError


def mount_points(places: RuntimePlaces, container: Container) -> list[dict[str, Any]]:
    """`Mounts` of docker's container inspect."""
    raise NotImplementedError
