"""Root file systems on overlayfs, and volumes, without running anything in them."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundle_house import House
from image_makers import tree

from netd.failure import Failure
from netd.runtime import bundle
from netd.runtime.model import Mount


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path) as made:
        yield made


def test_the_image_stays_as_it_is(house: House) -> None:
    container, other = house.container("true"), house.container("true")
    below = tree(house.images.rootfs(house.image))
    rootfs = bundle.mount_rootfs(house.places, container, house.image)
    assert tree(rootfs) == below
    Path(rootfs, "new").write_text("mine")
    os.unlink(f"{rootfs}/data/page")
    assert tree(house.images.rootfs(house.image)) == below
    assert tree(bundle.mount_rootfs(house.places, other, house.image)) == below


def test_again_is_harmless_and_what_was_written_stays(house: House) -> None:
    container = house.container("true")
    rootfs = bundle.mount_rootfs(house.places, container, house.image)
    Path(rootfs, "new").write_text("mine")
    assert bundle.mount_rootfs(house.places, container, house.image) == rootfs
    bundle.unmount_rootfs(house.places, container.id)
    assert not os.path.ismount(rootfs) and os.listdir(rootfs) == []
    bundle.unmount_rootfs(house.places, container.id)
    bundle.unmount_rootfs(house.places, "0" * 63 + "f")
    assert Path(bundle.mount_rootfs(house.places, container, house.image), "new").read_text() == "mine"


def test_what_is_removed_at_its_end_is_not_synchronised(house: House) -> None:
    container = house.container("true")
    container.host_config.auto_remove = True
    rootfs = bundle.mount_rootfs(house.places, container, house.image)
    mine = next(line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f" {rootfs} " in line)
    # newer kernels say it in two words
    assert {"volatile", "fsync=volatile"} & set(mine.split()[-1].split(","))
    Path(rootfs, "new").write_text("mine")
    bundle.unmount_rootfs(house.places, container.id)
    # a restart by the user
    assert Path(bundle.mount_rootfs(house.places, container, house.image), "new").read_text() == "mine"


def test_the_root_directory_is_the_image_s(house: House) -> None:
    os.chown(house.images.rootfs(house.image), 33, 44)
    os.chmod(house.images.rootfs(house.image), 0o711)
    info = os.stat(bundle.mount_rootfs(house.places, house.container("true"), house.image))
    assert (info.st_uid, info.st_gid, info.st_mode & 0o7777) == (33, 44, 0o711)


@pytest.mark.parametrize("name", ["with,comma", "with:colon", "back\\slash", "blank space", "ünï"])
def test_paths_that_overlayfs_could_misread(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with House(tmp_path / name) as house:
        rootfs = bundle.mount_rootfs(house.places, house.container("true"), house.image)
        assert Path(rootfs, "data/page").read_text() == "from the image"


def test_a_few_milliseconds(house: House) -> None:
    taken = []
    for _ in range(10):
        container = house.container("true")
        before = time.perf_counter()
        bundle.mount_rootfs(house.places, container, house.image)
        taken.append(time.perf_counter() - before)
    assert min(taken) < 0.005


def test_an_image_whose_files_are_gone(house: House) -> None:
    container = house.container("true")
    house.images.remove("app:1", False, lambda _: [])
    with pytest.raises(Failure, match=f"container {container.id}: the files of its image are gone"):
        bundle.mount_rootfs(house.places, container, house.image)


def test_a_place_that_overlayfs_cannot_write_to(tmp_path: Path) -> None:
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    merged = tmp_path / "merged"
    options = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "none", str(merged)], check=True)
    try:
        with (
            House(merged) as house,
            pytest.raises(Failure, match="must be on a file system that overlayfs can write to"),
        ):
            bundle.mount_rootfs(house.places, house.container("true"), house.image)
    finally:
        subprocess.run(["umount", str(merged)], check=True)


def test_volumes_come_and_go(house: House) -> None:
    container = house.container(
        "true", config={"volumes": {"/data": {}, "/other": {}}}, binds=["named:/x", "/new/../new2"]
    )
    points = {point["Destination"]: point for point in bundle.mount_points(house.places, container)}
    bundle.mount_rootfs(house.places, container, house.image)
    assert sorted(points) == ["/data", "/new2", "/other", "/x"]
    assert all(os.path.isdir(point["Source"]) for point in points.values())
    assert os.listdir(points["/data"]["Source"]) and not os.listdir(points["/other"]["Source"])
    bundle.unmount_rootfs(house.places, container.id)
    for _ in range(2):
        bundle.remove_anonymous_volumes(house.places, container)
        assert [target for target, point in points.items() if os.path.exists(point["Source"])] == ["/x"]
    assert points["/x"]["Name"] == "named"


def test_a_volume_cut_off_while_it_was_filled(house: House) -> None:
    home = Path(house.places.root, "volumes", "named")
    (home / ".new").mkdir(parents=True)
    (home / ".new" / "half").touch()
    bundle.mount_rootfs(house.places, house.container("true", binds=["named:/data"]), house.image)
    assert sorted(os.listdir(home / "_data")) == ["hard", "page", "soft"] and os.listdir(home) == ["_data"]


def test_one_new_volume_for_many_at_once(house: House) -> None:
    containers = [house.container("true", binds=["named:/data"]) for _ in range(6)]
    together = threading.Barrier(len(containers))
    failed: list[BaseException] = []

    def mount(index: int) -> None:
        together.wait()
        try:
            bundle.mount_rootfs(house.places, containers[index], house.image)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=mount, args=(index,)) for index in range(len(containers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(os.listdir(f"{house.places.root}/volumes/named/_data")) == ["hard", "page", "soft"]


def test_a_source_that_cannot_be_made(house: House, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    container = house.container("true", binds=[f"{tmp_path}/file/deep:/x"])
    with pytest.raises(
        Failure, match=f"error while creating mount source path '{tmp_path}/file/deep': mkdir .*not a directory"
    ):
        bundle.mount_rootfs(house.places, container, house.image)
    assert not os.path.ismount(f"{house.places.container(container.id)}/rootfs")


def test_what_fails_leaves_nothing_mounted(house: House, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    container = house.container("true", mounts=[Mount("bind", f"{tmp_path}/source", "/x")])
    (tmp_path / "source").rmdir()
    with pytest.raises(Failure, match="bind source path does not exist"):
        bundle.mount_rootfs(house.places, container, house.image)
    assert not os.path.ismount(f"{house.places.container(container.id)}/rootfs")
