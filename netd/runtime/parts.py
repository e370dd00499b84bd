"""What the life of a container needs of the engine's other parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from netd.runtime.bus import Events
from netd.runtime.images.model import Image
from netd.runtime.model import Container, ContainerConfig, ExecOptions, HostConfig
from netd.runtime.monitor import Monitor
from netd.runtime.opened import Opened, Ready
from netd.runtime.places import RuntimePlaces
from netd.runtime.runc import Runc
from netd.runtime.store import Store
from pycni.record import Record


class ImagesPart(Protocol):
    """Of `netd.runtime.images.store.Images`."""

    def find(self, ref: str) -> Image: ...
    def collect(self, in_use: Callable[[str], list[str]]) -> None: ...


class SandboxesPart(Protocol):
    """Of `netd.sandbox.sandboxes.Sandboxes`."""

    def check(self, container: Container, exposed: Iterable[str]) -> list[str]: ...
    def open(self, container: Container, ready: Ready) -> Opened: ...
    def close(self, container: Container) -> None: ...
    def renamed(self, container: Container, old: str) -> None: ...
    def restore(self, containers: Iterable[Container]) -> None: ...


class BundlePart(Protocol):
    """Of the package `netd.runtime.bundle`."""

    def check(self, config: ContainerConfig, host_config: HostConfig, image: Image) -> list[str]: ...
    def mount_rootfs(self, places: RuntimePlaces, container: Container, image: Image) -> str: ...
    def unmount_rootfs(self, places: RuntimePlaces, container_id: str) -> None: ...
    def remove_anonymous_volumes(self, places: RuntimePlaces, container: Container) -> None: ...
    def spec(
        self, container: Container, image: Image, rootfs: str, opened: Opened, places: RuntimePlaces
    ) -> dict[str, Any]: ...
    def process_spec(
        self, container: Container, image: Image, options: ExecOptions, rootfs: str, opened: Opened
    ) -> dict[str, Any]: ...


class Parts(Record):
    """Everything together, handed around."""

    places: RuntimePlaces
    images: ImagesPart
    sandboxes: SandboxesPart
    bundle: BundlePart
    events: Events
    store: Store
    runc: Runc
    monitor: Monitor

    def tell(self, container: Container, action: str, **more: str) -> None:
        """Publishes an event of a container, with the attributes that docker's have."""
        attributes = {
            **(container.config.labels or {}),
            "image": container.config.image,
            "name": container.name,
            **more,
        }
        self.events.publish("container", action, container.id, attributes)
