"""Pulling from a real registry, with real skopeo and umoci."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import PrivateNetns
from image_makers import Made, base_layer, digest, directory, file, link, tar, tree
from image_registry import HOST, PASSWORD, USER, Registry

from netd.failure import Failure, NotFound
from netd.runtime.images.interest import Abandoned, Interest
from netd.runtime.images.locks import Locks
from netd.runtime.images.model import Image
from netd.runtime.images.store import Images
from netd.runtime.places import RuntimePlaces

LIMIT = 30
"""Seconds that nothing here takes."""

BASE = Made([base_layer()], {"Cmd": ["sh"], "Env": ["PATH=/bin"], "ExposedPorts": {"80/tcp": {}}, "Labels": None})


@pytest.fixture
def registry(netns: Callable[[], PrivateNetns], tmp_path: Path) -> Iterator[Registry]:
    made = Registry(netns(), tmp_path / "registry")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def places(registry: Registry, tmp_path: Path) -> RuntimePlaces:
    return RuntimePlaces(
        root=str(tmp_path / "root"), run=str(tmp_path / "run"), skopeo=registry.skopeo(tmp_path / "skopeo")
    )


def quiet(_told: dict[str, Any]) -> None:
    pass


def leftovers(places: RuntimePlaces) -> list[str]:
    """What a failed pull has left, as paths below the images."""
    return sorted(
        os.path.relpath(os.path.join(at, name), places.images)
        for at, directories, files in os.walk(places.images)
        for name in files + directories
        if os.path.relpath(os.path.join(at, name), places.images) not in ("complete", "blobs", "blobs/sha256", "work")
    )


@pytest.mark.parametrize("oci", [True, False], ids=["oci", "docker"])
def test_a_pulled_image_is_the_one_that_was_pushed(registry: Registry, places: RuntimePlaces, oci: bool) -> None:
    pushed = registry.push("app:1", BASE, oci)
    images, told = Images(places), list[dict[str, Any]]()
    image = images.pull(f"{HOST}/app:1", told.append)
    # the original configuration's digest, also where skopeo had to write another one
    assert image.id == BASE.id
    assert image.repo_tags == [f"{HOST}/app:1"] and image.repo_digests == [f"{HOST}/app@{pushed}"]
    assert image.created == "2026-01-02T03:04:05.000000006Z"
    assert image.config.cmd == ["sh"] and image.config.exposed_ports == {"80/tcp": {}}
    assert image.root_fs.layers == [digest(layer) for layer in BASE.layers]
    assert image.size == sum(
        os.path.getsize(f"{images.rootfs(image)}/{name}") for name in ("bin/busybox", "etc/passwd", "etc/group")
    )
    layer = digest(BASE.packed[0])[7:19]
    assert told[0] == {"status": f"Pulling from {HOST}/app", "id": "1"}
    assert [each["status"] for each in told if each.get("id") == layer and each["status"] != "Downloading"][:3] == [
        "Pulling fs layer",
        "Download complete",
        "Extracting",
    ]
    assert [each["status"] for each in told[-3:]] == [
        "Pull complete",
        f"Digest: {pushed}",
        f"Status: Downloaded newer image for {HOST}/app:1",
    ]
    extracting = [each["progressDetail"] for each in told if each["status"] == "Extracting"]
    assert extracting[-1]["total"] == len(BASE.packed[0])


def test_found_by_every_name(registry: Registry, places: RuntimePlaces) -> None:
    pushed = registry.push("app:latest", BASE)
    images = Images(places)
    images.pull(f"{HOST}/app", quiet)
    hex_id = BASE.id.removeprefix("sha256:")
    for ref in (f"{HOST}/app", f"{HOST}/app:latest", f"{HOST}/app@{pushed}", BASE.id, hex_id, hex_id[:4], BASE.id[:15]):
        assert images.find(ref).id == BASE.id, ref
    for again in (images, Images(places)):
        assert [image.id for image in again.list()] == [BASE.id]
        assert again.find(f"{HOST}/app").repo_tags == [f"{HOST}/app:latest"]


@pytest.mark.parametrize(
    ("ref", "shown"),
    [
        ("busybox", "busybox:latest"),
        ("busybox:1", "busybox:1"),
        ("quay.example/x", "quay.example/x:latest"),
        ("0" * 12, "000000000000:latest"),
        ("0" * 64, "sha256:" + "0" * 64),
        ("sha256:" + "0" * 64, "sha256:" + "0" * 64),
    ],
)
def test_what_is_not_there(tmp_path: Path, ref: str, shown: str) -> None:
    with pytest.raises(NotFound) as raised:
        Images(RuntimePlaces(root=str(tmp_path))).find(ref)
    assert str(raised.value) == f"No such image: {shown}"


def test_a_second_pull_fetches_nothing(registry: Registry, places: RuntimePlaces) -> None:
    registry.push("app:1", BASE)
    images, told = Images(places), list[dict[str, Any]]()
    images.pull(f"{HOST}/app:1", quiet)
    blobs = registry.log.count("GET /v2/app/blobs/")
    images.pull(f"{HOST}/app:1", told.append)
    assert told[-1] == {"status": f"Status: Image is up to date for {HOST}/app:1"}
    assert registry.log.count("GET /v2/app/blobs/") == blobs


def test_by_digest(registry: Registry, places: RuntimePlaces) -> None:
    pushed = registry.push("app:1", BASE)
    images = Images(places)
    image = images.pull(f"{HOST}/app@{pushed}", quiet)
    assert image.repo_tags == [] and image.repo_digests == [f"{HOST}/app@{pushed}"]
    assert images.find(f"{HOST}/app@{pushed}").id == BASE.id
    with pytest.raises(NotFound):
        images.find(f"{HOST}/app:1")


def test_this_machines_own_of_several(registry: Registry, places: RuntimePlaces) -> None:
    other = Made(BASE.layers, architecture="s390x")
    listed = registry.push_for_all(
        "app:1", [(other, "s390x"), (BASE, "amd64" if os.uname().machine == "x86_64" else "arm64")]
    )
    image = Images(places).pull(f"{HOST}/app:1", quiet)
    assert image.id == BASE.id and image.repo_digests == [f"{HOST}/app@{listed}"]


def test_none_for_this_machine(registry: Registry, places: RuntimePlaces) -> None:
    registry.push_for_all("app:1", [(Made(BASE.layers, architecture="s390x"), "s390x")])
    with pytest.raises(NotFound, match="no matching manifest for linux/"):
        Images(places).pull(f"{HOST}/app:1", quiet)
    assert leftovers(places) == []


def test_layers_add_replace_and_remove(registry: Registry, places: RuntimePlaces) -> None:
    upper = tar(
        [
            directory("srv", 0o2750, 33, 44),
            file("srv/page", "hello", 0o640, 33, 33),
            file("etc/.wh.group", ""),
            file("etc/passwd", "root:x:0:0::/:/bin/sh\n"),
            directory("root"),
            file("root/.wh..wh..opq", ""),
            file("bin/setuid", "x", 0o4755),
            link("bin/hard", "bin/setuid", hard=True),
        ]
    )
    made = Made([*BASE.layers, tar([file("root/old", "gone soon")]), upper])
    registry.push("app:1", made)
    images = Images(places)
    rootfs = images.rootfs(images.pull(f"{HOST}/app:1", quiet))
    found = tree(rootfs)
    assert "./srv d 33:44 02750 4096 " in found and "./srv/page f 33:33 0640 5 " in found
    assert "./bin/setuid f 0:0 04755 1 " in found and "./bin/hard f 0:0 04755 1 " in found
    assert os.path.samefile(f"{rootfs}/bin/hard", f"{rootfs}/bin/setuid")
    assert not os.path.exists(f"{rootfs}/etc/group") and os.listdir(f"{rootfs}/root") == []
    assert os.path.getsize(f"{rootfs}/etc/passwd") == len("root:x:0:0::/:/bin/sh\n")


def test_a_newer_image_shares_what_is_there_and_takes_the_name(registry: Registry, places: RuntimePlaces) -> None:
    registry.push("app:1", BASE)
    images, told = Images(places), list[dict[str, Any]]()
    images.pull(f"{HOST}/app:1", quiet)
    newer = Made([*BASE.layers, tar([file("new", "x")])])
    registry.push("app:1", newer)
    image = images.pull(f"{HOST}/app:1", told.append)
    assert image.id == newer.id and os.path.exists(f"{images.rootfs(image)}/new")
    assert {"status": "Already exists", "progressDetail": {}, "id": digest(BASE.packed[0])[7:19]} in told
    assert registry.log.count(f"GET /v2/app/blobs/{digest(BASE.packed[0])}") == 1
    # the old one stays, without a tag
    assert images.find(BASE.id).repo_tags == []
    images.remove(BASE.id, False, lambda _: [])
    assert os.listdir(f"{images.rootfs(image)}/bin")
    assert set(os.listdir(f"{places.images}/blobs/sha256")) >= {digest(layer)[7:] for layer in newer.packed}


def test_two_pulls_at_once(registry: Registry, places: RuntimePlaces) -> None:
    registry.push("app:1", BASE)
    registry.push("app:2", BASE)
    images = Images(places)
    found: list[str] = []
    told: list[dict[str, Any]] = []
    together = threading.Barrier(4)

    def pull(tag: str) -> None:
        together.wait()
        found.append(images.pull(f"{HOST}/app:{tag}", told.append).id)

    threads = [threading.Thread(target=pull, args=(tag,)) for tag in ("1", "1", "2", "1")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [BASE.id] * 4
    assert registry.log.count(f"GET /v2/app/blobs/{digest(BASE.packed[0])}") == 1
    assert [each["status"] for each in told].count("Pull complete") == 1
    assert images.find(BASE.id).repo_tags == [f"{HOST}/app:1", f"{HOST}/app:2"]
    assert os.listdir(f"{places.images}/work") == []


def test_unknown_tags_and_repositories(registry: Registry, places: RuntimePlaces) -> None:
    registry.push("app:1", BASE)
    images = Images(places)
    with pytest.raises(NotFound) as raised:
        images.pull(f"{HOST}/app:none", quiet)
    assert str(raised.value) == f"manifest for {HOST}/app:none not found: manifest unknown: manifest unknown"
    with pytest.raises(NotFound, match=f"manifest for {HOST}/none:latest not found"):
        images.pull(f"{HOST}/none", quiet)
    assert leftovers(places) == []


def test_nobody_answers(registry: Registry, places: RuntimePlaces) -> None:
    registry.stop()
    with pytest.raises(Failure, match=f"^pulling {HOST}/app:1: .*connection refused") as raised:
        Images(places).pull(f"{HOST}/app:1", quiet)
    assert raised.value.status == 500
    assert leftovers(places) == []


def test_a_registry_with_passwords(netns: Callable[[], PrivateNetns], tmp_path: Path) -> None:
    ns = netns()
    registry = Registry(ns, tmp_path / "registry")
    registry.start()
    registry.push("app:1", BASE)
    registry.stop()
    locked = Registry(ns, tmp_path / "locked", locked=True)
    (tmp_path / "registry" / "data").rename(tmp_path / "locked" / "data")
    places = RuntimePlaces(root=str(tmp_path / "root"), run="", skopeo=locked.skopeo(tmp_path / "skopeo"))
    images = Images(places)
    try:
        locked.start()
        for auth in (
            None,
            {},
            {"username": "", "password": "", "serveraddress": HOST},
            {"username": USER, "password": "wrong"},
        ):
            with pytest.raises(NotFound) as raised:
                images.pull(f"{HOST}/app:1", quiet, auth)
            assert str(raised.value) == (
                f"pull access denied for {HOST}/app, repository does not exist or may require 'docker login': "
                "denied: requested access to the resource is denied"
            )
            assert leftovers(places) == []
        assert images.pull(f"{HOST}/app:1", quiet, {"username": USER, "password": PASSWORD}).id == BASE.id
    finally:
        locked.stop()


def test_a_layer_that_the_registry_spoilt(registry: Registry, places: RuntimePlaces, tmp_path: Path) -> None:
    registry.push("app:1", BASE)
    hex_digest = digest(BASE.packed[0])[7:]
    (stored,) = (tmp_path / "registry" / "data").rglob(f"{hex_digest}/data")
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 0xFF
    stored.write_bytes(data)
    with pytest.raises(Failure, match=r"(?i)digest"):
        Images(places).pull(f"{HOST}/app:1", quiet)
    assert leftovers(places) == []


def test_a_blob_that_our_disk_spoilt_is_fetched_again(registry: Registry, places: RuntimePlaces) -> None:
    registry.push("app:1", BASE)
    registry.push("app:2", Made([*BASE.layers, tar([file("new", "x")])]))
    images = Images(places)
    images.pull(f"{HOST}/app:1", quiet)
    with open(f"{places.images}/blobs/{digest(BASE.packed[0]).replace(':', '/')}", "r+b") as stream:
        stream.seek(1000)
        stream.write(b"spoilt")
    with pytest.raises(Failure, match="unpacking image"):
        images.pull(f"{HOST}/app:2", quiet)
    assert len(images.list()) == 1
    image = images.pull(f"{HOST}/app:2", quiet)
    assert os.path.exists(f"{images.rootfs(image)}/new")


def test_who_asked_may_go_away(registry: Registry, places: RuntimePlaces) -> None:
    class Gone(Exception):
        pass

    def gone(told: dict[str, Any]) -> None:
        if told["status"] == "Extracting":
            raise Gone

    registry.push("app:1", BASE)
    images = Images(places)
    with pytest.raises(Gone):
        images.pull(f"{HOST}/app:1", gone)
    assert leftovers(places) == [] and images.list() == []
    assert images.pull(f"{HOST}/app:1", quiet).id == BASE.id


def test_layers_of_zstd(registry: Registry, places: RuntimePlaces) -> None:
    """docker's: the digest is the registry's, the id that of the configuration, whatever the layers are packed with."""
    base, made = Made(BASE.layers, zstd=True), Made([*BASE.layers, tar([file("new", "x")])], zstd=True)
    pushed = registry.push("app:1", base), registry.push("app:2", made)
    images, told = Images(places), list[dict[str, Any]]()
    image = images.pull(f"{HOST}/app:1", told.append)
    assert image.id == base.id and image.repo_digests == [f"{HOST}/app@{pushed[0]}"]
    assert os.path.exists(f"{images.rootfs(image)}/bin/sh")
    layer = digest(base.packed[0])[7:19]
    assert next(each["status"] for each in told if each.get("id") == layer) == "Pulling fs layer"
    newer = images.pull(f"{HOST}/app:2", quiet)
    assert newer.id == made.id and os.path.exists(f"{images.rootfs(newer)}/new")
    again = list[dict[str, Any]]()
    images.pull(f"{HOST}/app:2", again.append)
    assert again[-1] == {"status": f"Status: Image is up to date for {HOST}/app:2"}


class Held:
    """skopeo that says so when it copies, and then waits; `places` are with it."""

    def __init__(self, places: RuntimePlaces, home: Path) -> None:
        self._started, self._go = home / "started", home / "go"
        os.mkfifo(self._started)
        os.mkfifo(self._go)
        script = home / "held"
        script.write_text(
            f'#!/bin/sh\ncase " $* " in *" copy "*) echo $$ >{self._started}; read word <{self._go};; esac\n'
            f'exec {places.skopeo} "$@"\n'
        )
        script.chmod(0o755)
        self.places = places.replace(skopeo=str(script))

    def started(self) -> int:
        """Returns when it has begun to copy; its pid."""
        return int(self._started.read_text())

    def go(self) -> None:
        self._go.write_text("go\n")


@pytest.fixture
def waiting(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released whenever a pull begins to wait for another."""
    begun = threading.Semaphore(0)

    class Watched(Locks):
        def _sleep(self) -> None:
            begun.release()
            super()._sleep()

    monkeypatch.setattr("netd.runtime.images.store.Locks", Watched)
    return begun


class Puller(threading.Thread):
    """Somebody who pulls app:1."""

    def __init__(self, images: Images) -> None:
        super().__init__()
        self._images = images
        self.interest = Interest()
        self.outcome: Image | Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._images.pull(f"{HOST}/app:1", quiet, None, self.interest)
        except Exception as error:
            self.outcome = error


def test_a_pull_that_nobody_waits_for_ends(registry: Registry, places: RuntimePlaces, tmp_path: Path) -> None:
    registry.push("app:1", BASE)
    held = Held(places, tmp_path)
    images = Images(held.places)
    puller = Puller(images)
    pid = held.started()
    puller.interest.lose()
    puller.join()
    assert isinstance(puller.outcome, Abandoned)
    assert not os.path.exists(f"/proc/{pid}")
    assert leftovers(places) == [] and images.list() == []
    with pytest.raises(Abandoned):
        images.pull(f"{HOST}/app:1", quiet, None, puller.interest)


def test_who_waits_for_the_same_image_keeps_its_pull(
    registry: Registry, places: RuntimePlaces, tmp_path: Path, waiting: threading.Semaphore
) -> None:
    registry.push("app:1", BASE)
    held = Held(places, tmp_path)
    images = Images(held.places)
    first = Puller(images)
    held.started()
    second, third = Puller(images), Puller(images)
    assert waiting.acquire(timeout=LIMIT) and waiting.acquire(timeout=LIMIT)
    third.interest.lose()
    third.join()
    assert isinstance(third.outcome, Abandoned)
    first.interest.lose()
    held.go()
    first.join()
    second.join()
    # one copy, from beginning to end
    assert isinstance(second.outcome, Image) and second.outcome.id == BASE.id
    assert registry.log.count(f"GET /v2/app/blobs/{digest(BASE.packed[0])}") == 1
    assert os.listdir(f"{places.images}/work") == []


def test_the_last_of_those_who_wait_ends_it(
    registry: Registry, places: RuntimePlaces, tmp_path: Path, waiting: threading.Semaphore
) -> None:
    registry.push("app:1", BASE)
    held = Held(places, tmp_path)
    images = Images(held.places)
    first = Puller(images)
    pid = held.started()
    second = Puller(images)
    assert waiting.acquire(timeout=LIMIT)
    first.interest.lose()
    assert os.path.exists(f"/proc/{pid}") and first.is_alive()
    second.interest.lose()
    first.join()
    second.join()
    assert isinstance(first.outcome, Abandoned) and isinstance(second.outcome, Abandoned)
    assert leftovers(places) == []


def test_an_image_for_windows(registry: Registry, places: RuntimePlaces) -> None:
    made = Made(BASE.layers)
    made.config = made.config.replace(b'"linux"', b'"windows"')
    registry.push("app:1", made)
    with pytest.raises(Failure, match='image operating system "windows" cannot be used on this platform'):
        Images(places).pull(f"{HOST}/app:1", quiet)
    assert leftovers(places) == []
