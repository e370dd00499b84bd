"""Bundles run by real runc: an image of busybox, containers with whatever settings, and what they print."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from image_makers import Made, base_layer, directory, docker_archive, file, link, tar

from netd.runtime import bundle
from netd.runtime.images.store import Images
from netd.runtime.model import Container, ContainerConfig, ExecOptions, HostConfig
from netd.runtime.opened import Opened
from netd.runtime.places import RuntimePlaces

CGROUPS = "/sys/fs/cgroup"
CONTENT = tar(
    [
        directory("data", 0o2750, 33, 44),
        file("data/page", "from the image", 0o640, 33, 33),
        link("data/soft", "page"),
        link("data/hard", "data/page", hard=True),
        link("away", "/etc"),
    ]
)
IMAGE = Made([base_layer(), CONTENT])


class Ran:
    """How a container ended."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    def __repr__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


class House:
    """Use as a context manager: everything that was mounted or started is gone at the end."""

    def __init__(self, home: Path) -> None:
        self.places = RuntimePlaces(root=str(home / "root"), run=str(home / "run"))
        self.images = Images(self.places)
        (self.image,) = self.images.load(io.BytesIO(docker_archive([(IMAGE, ["app:1"])])), lambda _: None)
        self.home = home
        self._parent = f"pynet-test-{os.getpid()}-{home.name}"
        self._made: list[Container] = []

    def __enter__(self) -> House:
        return self

    def __exit__(self, *_error: object) -> None:
        for container in self._made:
            self._runc("delete", "--force", container.id)
            bundle.unmount_rootfs(self.places, container.id)
        for controller in os.listdir(CGROUPS):
            with contextlib.suppress(OSError):
                os.rmdir(f"{CGROUPS}/{controller}/{self._parent}")
        with contextlib.suppress(OSError):
            os.rmdir(f"{CGROUPS}/{self._parent}")

    def container(self, *argv: str, config: dict[str, Any] | None = None, **wanted: Any) -> Container:
        """A script for sh when there is one word with blanks."""
        words = ["sh", "-c", *argv] if len(argv) == 1 and " " in argv[0] else list(argv)
        full = {"env": ["PATH=/bin"], **(config or {})}
        made = Container(
            id=f"{len(self._made):064x}",
            name=f"c{len(self._made)}",
            created="",
            config=ContainerConfig(**full),
            host_config=HostConfig(**{"cgroup_parent": self._parent, **wanted}),
            image_id=self.image.id,
            argv=words,
        )
        bundle.check(made.config, made.host_config, self.image)
        self._made.append(made)
        return made

    def opened(self, **files: str) -> Opened:
        """The host's network; `hosts`, `resolv_conf`, `hostname_file`: texts of the generated files."""
        paths = {}
        for name, text in files.items():
            path = self.home / f"generated-{name}"
            path.write_text(text)
            paths[name] = str(path)
        return Opened("", *(paths.get(name, "") for name in ("hosts", "resolv_conf", "hostname_file")), "web")

    def prepare(self, container: Container, opened: Opened | None = None) -> str:
        """The bundle's directory."""
        rootfs = bundle.mount_rootfs(self.places, container, self.image)
        text = bundle.spec(container, self.image, rootfs, opened or self.opened(), self.places)
        path = self.home / f"bundle-{container.name}"
        path.mkdir(exist_ok=True)
        (path / "config.json").write_text(json.dumps(text))
        return str(path)

    def run(self, container: Container, opened: Opened | None = None) -> Ran:
        """Until it ends; the container's own layer stays, its mounts do not."""
        path = self.prepare(container, opened)
        try:
            return Ran(self._runc("run", "--bundle", path, container.id))
        finally:
            bundle.unmount_rootfs(self.places, container.id)

    def ask(self, *argv: str, config: dict[str, Any] | None = None, **wanted: Any) -> str:
        """The output of a container that must succeed."""
        ran = self.run(self.container(*argv, config=config, **wanted))
        assert ran.code == 0, ran
        return ran.out

    def start(self, container: Container) -> None:
        """In the background."""
        done = self._runc("run", "--detach", "--bundle", self.prepare(container), container.id, quiet=True)
        assert done.returncode == 0, done

    def execute(self, container: Container, *argv: str, **options: Any) -> Ran:
        process = bundle.process_spec(
            container,
            self.image,
            ExecOptions(cmd=list(argv), **options),
            f"{self.places.container(container.id)}/rootfs",
            self.opened(),
        )
        path = self.home / "process.json"
        path.write_text(json.dumps(process))
        return Ran(self._runc("exec", "--process", str(path), container.id))

    def _runc(self, *words: str, quiet: bool = False) -> subprocess.CompletedProcess[str]:
        out = subprocess.DEVNULL if quiet else subprocess.PIPE
        return subprocess.run(
            ["runc", "--root", f"{self.places.run}/runc", *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            text=True,
            timeout=60,
            check=False,
        )
