"""kill -9 of the daemon in the middle of fetching and unpacking: no half image, nothing in the way of the next try."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PrivateNetns
from image_makers import Made, base_layer, docker_archive
from image_registry import HOST, Registry

from netd.runtime.images.store import Images
from netd.runtime.places import RuntimePlaces

ROOT = Path(__file__).resolve().parents[2]
BASE = Made([base_layer()])
PATIENCE = 60.0

_DAEMON = """
import sys
from netd.runtime.images.store import Images
from netd.runtime.places import RuntimePlaces
root, skopeo, umoci, verb, what = sys.argv[1:]
images = Images(RuntimePlaces(root=root, run="", skopeo=skopeo, umoci=umoci))
if verb == "pull":
    images.pull(what, lambda _: None)
elif verb == "load":
    images.load(open(what, "rb"), lambda _: None)
else:
    images.remove(what, False, lambda _: [])
"""


class Held:
    """A stand-in for a program that does the program's work before or after it waits to be let go."""

    def __init__(self, home: Path, program: str, when: str, only: str) -> None:
        self.path = str(home / f"held-{when}")
        self._begun, self._go = str(home / "begun"), str(home / "go")
        os.mkfifo(self._begun)
        os.mkfifo(self._go)
        wait = f'case " $* " in *" {only} "*) echo held >{self._begun}; read word <{self._go};; esac'
        run = f'{program} "$@"'
        body = [wait, run] if when == "before" else [run, "status=$?", wait, "exit $status"]
        Path(self.path).write_text("#!/bin/sh\n" + "\n".join(body) + "\n")
        os.chmod(self.path, 0o755)

    def wait(self) -> None:
        with open(self._begun, encoding="ascii") as stream:
            assert stream.readline() == "held\n"

    def let_go(self) -> None:
        with open(self._go, "w", encoding="ascii") as stream:
            stream.write("go\n")


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(places: RuntimePlaces, verb: str, what: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", textwrap.dedent(_DAEMON), places.root, places.skopeo, places.umoci, verb, what]
        with open(tmp_path / "said", "wb") as said:
            started.append(subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=said, stderr=said))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline


def is_clean(places: RuntimePlaces) -> bool:
    return not os.listdir(f"{places.images}/work") and not os.listdir(f"{places.images}/complete")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("program", ["skopeo", "umoci"])
def test_killed_while_pulling(
    netns: Callable[[], PrivateNetns], tmp_path: Path, daemon: Any, program: str, when: str
) -> None:
    registry = Registry(netns(), tmp_path / "registry")
    skopeo = registry.skopeo(tmp_path / "skopeo")
    held = Held(tmp_path, skopeo if program == "skopeo" else "umoci", when, "copy" if program == "skopeo" else "unpack")
    places = RuntimePlaces(root=str(tmp_path / "root"), run="", skopeo=skopeo)
    try:
        registry.start()
        registry.push("app:1", BASE)
        process = daemon(places.replace(**{program: held.path}), "pull", f"{HOST}/app:1")
        held.wait()
        kill(process)
        # what the daemon has left behind may still write: its directory is not taken away from under it
        images = Images(places)
        assert images.list() == [] and len(os.listdir(f"{places.images}/work")) == 1
        held.let_go()

        def swept() -> bool:
            Images(places)
            return is_clean(places)

        eventually(swept)
        assert images.pull(f"{HOST}/app:1", lambda _: None).id == BASE.id
        assert os.path.exists(f"{images.rootfs(images.find(BASE.id))}/bin/sh")
        assert os.listdir(f"{places.images}/work") == []
    finally:
        registry.stop()


def test_killed_while_unpacking_an_archive(tmp_path: Path, daemon: Any) -> None:
    archive = tmp_path / "archive.tar"
    archive.write_bytes(docker_archive([(BASE, ["app:1"])]))
    held = Held(tmp_path, "umoci", "after", "unpack")
    places = RuntimePlaces(root=str(tmp_path / "root"), run="")
    process = daemon(places.replace(umoci=held.path), "load", str(archive))
    held.wait()
    kill(process)
    held.let_go()

    def swept() -> bool:
        return not Images(places).list() and is_clean(places)

    eventually(swept)
    # blobs that no image has are gone as well
    assert os.listdir(f"{places.images}/blobs/sha256") == []
    with open(archive, "rb") as stream:
        assert Images(places).load(stream, lambda _: None)[0].repo_tags == ["app:1"]


def test_killed_at_any_moment(tmp_path: Path, daemon: Any) -> None:
    """Whatever a new daemon finds is a whole image or none."""
    archive = tmp_path / "archive.tar"
    archive.write_bytes(docker_archive([(BASE, ["app:1"])]))
    whole = {False: 0, True: 0}
    for step in range(12):
        places = RuntimePlaces(root=str(tmp_path / f"root{step}"), run="")
        process = daemon(places, "load", str(archive))
        eventually(lambda places=places: os.path.isdir(places.images))  # type: ignore[misc]
        try:
            process.wait(step * 0.03)
        except subprocess.TimeoutExpired:
            kill(process)
        found = Images(places).list()
        whole[bool(found)] += 1
        if found:
            rootfs = Images(places).rootfs(found[0])
            assert (
                found[0].id == BASE.id
                and os.path.exists(f"{rootfs}/bin/busybox")
                and os.path.exists(f"{rootfs}/etc/group")
            )
        with open(archive, "rb") as stream:
            assert Images(places).load(stream, lambda _: None)[0].repo_tags == ["app:1"]
    assert whole[False]  # the first was killed at once


def test_killed_between_an_image_and_its_names(tmp_path: Path) -> None:
    places = RuntimePlaces(root=str(tmp_path / "root"), run="")
    Images(places).load(io.BytesIO(docker_archive([(BASE, ["app:1"])])), lambda _: None)
    # the image first, then its names; and away the other way round
    os.unlink(f"{places.images}/names.json")
    images = Images(places)
    assert [image.repo_tags for image in images.list()] == [[]]
    images.load(io.BytesIO(docker_archive([(BASE, ["app:1"])])), lambda _: None)
    assert images.find("app:1").id == BASE.id
    os.rename(f"{places.images}/complete/{BASE.id[7:]}", f"{places.images}/work/removed")
    after = Images(places)
    assert after.list() == [] and is_clean(places) and os.listdir(f"{places.images}/blobs/sha256") == []
