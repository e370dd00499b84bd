"""Containers without network, of one image, for tests of what is not about images or networks.

Everything is below a directory of the test's own with a short name (conmon's sockets are in it), and all that was
started is gone at the end, however the test ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from netd.runtime.bus import Events
from netd.runtime.containers import Containers
from netd.runtime.images.model import Image, ImageConfig
from netd.runtime.model import Container, ContainerConfig, CreateRequest, ExecOptions, HostConfig
from netd.runtime.places import RuntimePlaces
from netd.runtime.streams import Stream
from netd.sandbox.opened import Opened

BUSYBOX = "/usr/bin/busybox"
IMAGE_ID = "sha256:" + "ab" * 32

_CAPABILITIES = ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"]
_NAMESPACES = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts")]


class OneImage:
    """Stands in for `Images`: busybox, under any name but "missing"."""

    def __init__(self) -> None:
        self.image = Image(
            id=IMAGE_ID,
            config=ImageConfig(cmd=["sh"], env=["PATH=/bin", "FLAVOUR=plain"], labels={"made": "here"}),
        )
        self.collected = 0

    def find(self, _ref: str) -> Image:
        return self.image

    def collect(self, _in_use: Callable[[str], list[str]]) -> None:
        self.collected += 1


class NoNetwork:
    """Stands in for `Sandboxes`: every container sees the test's own network."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.calls: list[str] = []
        self.failure: Exception | None = None

    def check(self, container: Container, _exposed: Iterable[str]) -> list[str]:
        container.config.hostname = container.config.hostname or container.short_id
        return []

    def open(self, container: Container) -> Opened:
        self.calls.append("open")
        if self.failure is not None:
            raise self.failure
        self.opened.append(container.id)
        return Opened(netns="", hosts="", resolv_conf="", hostname_file="", hostname=container.config.hostname)

    def close(self, container: Container) -> None:
        self.calls.append("close")
        if container.id in self.opened:
            self.opened.remove(container.id)

    def renamed(self, container: Container, old: str) -> None:
        self.calls.append(f"renamed {old} {container.name}")

    def restore(self, containers: Iterable[Container]) -> None:
        self.calls.append("restore")
        self.opened = [container.id for container in containers if container.state.status in ("running", "paused")]


class SmallBundle:
    """Stands in for the package `bundle`: one read-only root for all, a tmpfs at /tmp."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.mounted: set[str] = set()

    def check(self, _config: ContainerConfig, _host_config: HostConfig, _image: Image) -> list[str]:
        return []

    def mount_rootfs(self, _places: RuntimePlaces, container: Container, _image: Image) -> str:
        self.mounted.add(container.id)
        return str(self._root)

    def unmount_rootfs(self, _places: RuntimePlaces, container_id: str) -> None:
        self.mounted.discard(container_id)

    def remove_anonymous_volumes(self, _places: RuntimePlaces, _container: Container) -> None:
        """There are none."""

    def spec(
        self, container: Container, _image: Image, rootfs: str, opened: Opened, _places: RuntimePlaces
    ) -> dict[str, Any]:
        resources: dict[str, Any] = {"devices": [{"allow": True, "access": "rwm"}]}
        if container.host_config.memory:
            resources["memory"] = {"limit": container.host_config.memory, "swap": container.host_config.memory}
        return {
            "ociVersion": "1.0.2",
            "process": self._process(container, container.argv, container.config.env or [], container.config.tty),
            "root": {"path": rootfs, "readonly": True},
            "hostname": opened.hostname,
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]},
            ],
            "linux": {"namespaces": _NAMESPACES, "resources": resources, "cgroupsPath": f"/pynet-test/{container.id}"},
        }

    def process_spec(
        self, container: Container, _image: Image, options: ExecOptions, _rootfs: str, _opened: Opened
    ) -> dict[str, Any]:
        environment = (container.config.env or []) + (options.env or [])
        return self._process(container, options.cmd or [], environment, options.tty)

    @staticmethod
    def _process(container: Container, arguments: list[str], environment: list[str], tty: bool) -> dict[str, Any]:
        sets = ("bounding", "effective", "permitted")
        return {
            "terminal": tty,
            "user": {"uid": 0, "gid": 0},
            "args": arguments,
            "env": environment,
            "cwd": container.config.working_dir or "/",
            "capabilities": dict.fromkeys(sets, _CAPABILITIES),
        }


class House:
    """Use as a context manager; `containers` is a daemon's, `new_daemon` puts another one in its place."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="pn-", dir="/tmp"))
        self.places = RuntimePlaces(root=str(self.base / "root"), run=str(self.base / "run"))
        self.images = OneImage()
        self.sandboxes = NoNetwork()
        self.bundle = SmallBundle(self.base / "image")
        self.events = Events()
        self._make_image()
        os.makedirs(self.places.run)
        self._clients = ExitStack()
        self.containers = self._daemon()

    def _make_image(self) -> None:
        binaries = self.base / "image" / "bin"
        for name in ("bin", "proc", "tmp", "dev", "etc"):
            (self.base / "image" / name).mkdir(parents=True)
        shutil.copy(BUSYBOX, binaries / "busybox")
        subprocess.run(["chroot", str(self.base / "image"), "/bin/busybox", "--install", "-s", "/bin"], check=True)
        (self.base / "image" / "etc" / "notes").write_text("not a program\n")

    def _daemon(self) -> Containers:
        made = Containers(self.places, self.images, self.sandboxes, self.events, bundle=self.bundle)
        made.restore().result(30)
        return made

    def new_daemon(self) -> Containers:
        """The daemon ends; another one takes over."""
        self.containers.close()
        self.sandboxes = NoNetwork()
        self.containers = self._daemon()
        return self.containers

    def reboot(self) -> None:
        """What a machine loses: all processes, and RUN."""
        self.containers.close()
        self._kill_everything()
        shutil.rmtree(self.places.run)
        os.makedirs(self.places.run)

    def create(self, *command: str, name: str = "", host: Mapping[str, Any] | None = None, **config: Any) -> Container:
        request = CreateRequest(
            image="busybox", cmd=list(command) or None, host_config=HostConfig(**(host or {})), **config
        )
        return self.containers.create(name, request)[0]

    def run(self, *command: str, name: str = "", host: Mapping[str, Any] | None = None, **config: Any) -> Container:
        container = self.create(*command, name=name, host=host, **config)
        self.containers.start(container.id)
        return container

    def attach(self, ref: str, stdin: bool = False) -> Stream:
        """A client that leaves at the end of the test, unless it does so before."""
        stream = self.containers.attach(ref, stdin=stdin)
        self._clients.callback(stream.close)
        return stream

    def start_exec(self, exec_id: str, size: tuple[int, int] | None = None) -> Stream:
        stream = self.containers.exec_start(exec_id, size=size)
        assert stream is not None
        self._clients.callback(stream.close)
        return stream

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_error: object) -> None:
        self._clients.close()
        self.containers.close()
        self._kill_everything()
        shutil.rmtree(self.base)

    def _kill_everything(self) -> None:
        """Processes whose command line or root directory is below `base`, and runc's states."""
        for pid in processes_of(str(self.base)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        root = f"{self.places.run}/runc"
        for container_id in os.listdir(root) if os.path.isdir(root) else ():
            subprocess.run(["runc", "--root", root, "delete", "--force", container_id], check=True, capture_output=True)


def processes_of(base: str) -> list[int]:
    """conmon, runc and the like that were started for something below `base`."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if words[0].rpartition(b"/")[2] in (b"conmon", b"runc") and any(base.encode() in word for word in words):
                found.append(int(name))
    return found
