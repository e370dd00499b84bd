"""Containers of one image without a network of their own, for tests of what is not about networks.

Everything is below a directory of the test's own with a short name (conmon's sockets are in it), and all that was
started is gone at the end, however the test ends.
"""

from __future__ import annotations

import atexit
import contextlib
import glob
import io
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

from image_makers import Made, base_layer, docker_archive, file, link, tar

from netd.runtime.bus import Events
from netd.runtime.containers import Containers
from netd.runtime.images.store import Images
from netd.runtime.model import Container, CreateRequest, HostConfig
from netd.runtime.opened import Opened, Ready
from netd.runtime.places import RuntimePlaces
from netd.runtime.streams import Stream

CGROUPS = "/sys/fs/cgroup"
IMAGE = Made(
    [
        base_layer(),
        tar(
            [
                file("etc/notes", "not a program\n"),
                *(link(f"bin/{name}", "busybox") for name in ("stty", "tty", "false")),
            ]
        ),
    ],
    {"Cmd": ["sh"], "Env": ["PATH=/bin", "FLAVOUR=plain"], "Labels": {"made": "here"}},
)


@cache
def loaded_images() -> str:
    """A directory with the image unpacked, which all houses of this process share."""
    root = tempfile.mkdtemp(prefix="pn-images-")
    atexit.register(shutil.rmtree, root)
    Images(RuntimePlaces(root=root)).load(io.BytesIO(docker_archive([(IMAGE, ["busybox:latest"])])), lambda _: None)
    return f"{root}/images"


class NoNetwork:
    """Stands in for `Sandboxes`: every container sees the test's own network."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.calls: list[str] = []
        self.failure: Exception | None = None

    def check(self, container: Container, _exposed: Iterable[str]) -> list[str]:
        container.config.hostname = container.config.hostname or container.short_id
        return []

    def open(self, container: Container, ready: Ready) -> Opened:
        self.calls.append("open")
        if self.failure is not None:
            raise self.failure
        opened = Opened(netns="", hosts="", resolv_conf="", hostname_file="", hostname=container.config.hostname)
        ready(opened)
        self.opened.append(container.id)
        return opened

    def close(self, container: Container) -> None:
        self.calls.append("close")
        if container.id in self.opened:
            self.opened.remove(container.id)

    def renamed(self, container: Container, old: str) -> None:
        self.calls.append(f"renamed {old} {container.name}")

    def restore(self, containers: Iterable[Container]) -> None:
        self.calls.append("restore")
        self.opened = [container.id for container in containers if container.state.status in ("running", "paused")]


class House:
    """Use as a context manager; `containers` is a daemon's, `new_daemon` puts another one in its place."""

    def __init__(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="pn-"))
        self.places = RuntimePlaces(root=str(self.base / "root"), run=str(self.base / "run"))
        os.makedirs(self.places.root)
        os.makedirs(self.places.run)
        os.symlink(loaded_images(), self.places.images)
        self.parent = self.base.name
        self.images = Images(self.places)
        self.sandboxes = NoNetwork()
        self.events = Events()
        self._clients = ExitStack()
        self.containers = self._daemon()

    def _daemon(self) -> Containers:
        made = Containers(self.places, self.images, self.sandboxes, self.events)
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
            image="busybox",
            cmd=list(command) or None,
            host_config=HostConfig(**{"cgroup_parent": self.parent, **(host or {})}),
            **config,
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
        """What a failed test left: processes, runc's states, mounts."""
        for pid in processes_of(str(self.base)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        root = f"{self.places.run}/runc"
        for container_id in os.listdir(root) if os.path.isdir(root) else ():
            subprocess.run(["runc", "--root", root, "delete", "--force", container_id], check=True, capture_output=True)
        for path in self.mounts():
            subprocess.run(["umount", "-l", path], check=True, capture_output=True)
        for group in self._groups():
            with contextlib.suppress(OSError):
                os.rmdir(group)

    def _groups(self) -> list[str]:
        """The parents of containers' control groups, with either version."""
        return glob.glob(f"{CGROUPS}/{self.parent}") + glob.glob(f"{CGROUPS}/*/{self.parent}")

    def mounts(self) -> list[str]:
        """What is mounted below `base`, the innermost first."""
        with open("/proc/self/mountinfo", encoding="utf-8") as stream:
            paths = [line.split(" ")[4] for line in stream]
        return [path for path in reversed(paths) if path.startswith(f"{self.base}/")]

    def left(self) -> list[str]:
        """What of containers is there though there are none."""
        found = [f"process {pid}" for pid in processes_of(str(self.base))]
        found += [f"mount {path}" for path in self.mounts()]
        found += [f"open sandbox of {container_id}" for container_id in self.sandboxes.opened]
        run = self.places.run
        for directory_ in (f"{run}/containers", f"{run}/runc", f"{run}/execs", self.places.containers):
            found += [f"{directory_}/{name}" for name in os.listdir(directory_)] if os.path.isdir(directory_) else []
        for parent in self._groups():
            found += [f"{parent}/{name}" for name in os.listdir(parent) if os.path.isdir(f"{parent}/{name}")]
        return found


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
