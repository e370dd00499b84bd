"""Archives loaded, root file systems imported, names given and taken, with real skopeo and umoci."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from image_makers import (
    Made,
    base_layer,
    digest,
    directory,
    docker_archive,
    file,
    link,
    oci_archive,
    tar,
    tree,
    with_zstd,
)

from netd.failure import Conflict, Failure, InvalidParameter, NotFound
from netd.runtime.images.store import Images
from netd.runtime.places import RuntimePlaces

BASE = Made([base_layer()])
SECOND = Made([*BASE.layers, tar([file("second", "x")])])


@pytest.fixture
def places(tmp_path: Path) -> RuntimePlaces:
    return RuntimePlaces(root=str(tmp_path / "root"), run=str(tmp_path / "run"))


@pytest.fixture
def images(places: RuntimePlaces) -> Images:
    return Images(places)


def quiet(_told: dict[str, Any]) -> None:
    pass


def nobody(_image_id: str) -> list[str]:
    return []


def is_empty(places: RuntimePlaces) -> bool:
    return not any(os.listdir(f"{places.images}/{name}") for name in ("complete", "blobs/sha256", "work"))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("outer", [bytes, gzip.compress, bz2.compress, lzma.compress, with_zstd])
def test_a_docker_archive(images: Images, packed: bool, outer: Any) -> None:
    told: list[dict[str, Any]] = []
    loaded = images.load(
        io.BytesIO(outer(docker_archive([(SECOND, ["app:1", "quay.example/app:2"])], packed))), told.append
    )
    assert [image.id for image in loaded] == [SECOND.id]
    assert loaded[0].repo_tags == ["app:1", "quay.example/app:2"]
    assert os.path.exists(f"{images.rootfs(loaded[0])}/second") and os.path.exists(f"{images.rootfs(loaded[0])}/bin/sh")
    assert told[-2:] == [{"stream": "Loaded image: app:1\n"}, {"stream": "Loaded image: quay.example/app:2\n"}]
    assert [each["status"] for each in told if "status" in each].count("Loading layer") >= 2


def test_an_oci_archive(images: Images) -> None:
    told: list[dict[str, Any]] = []
    loaded = images.load(io.BytesIO(oci_archive([(BASE, "app:1"), (SECOND, "latest"), (BASE, "app:2")])), told.append)
    assert [image.id for image in loaded] == [BASE.id, SECOND.id, BASE.id]
    assert images.find(BASE.id).repo_tags == ["app:1", "app:2"]
    assert images.find(SECOND.id).repo_tags == []
    assert [each["stream"] for each in told if "stream" in each] == [
        "Loaded image: app:1\n",
        f"Loaded image ID: {SECOND.id}\n",
        "Loaded image: app:2\n",
    ]


@pytest.mark.parametrize("archive", ["docker", "oci"])
def test_layers_of_zstd(images: Images, places: RuntimePlaces, archive: str) -> None:
    made = Made(SECOND.layers, zstd=True)
    text = oci_archive([(made, "app:1")]) if archive == "oci" else docker_archive([(made, ["app:1"])], packed=True)
    (loaded,) = images.load(io.BytesIO(text), quiet)
    assert loaded.id == made.id and loaded.repo_tags == ["app:1"]
    assert loaded.root_fs.layers == [digest(layer) for layer in made.layers]
    assert os.path.exists(f"{images.rootfs(loaded)}/second") and os.path.exists(f"{images.rootfs(loaded)}/bin/sh")
    # what is kept is what umoci can read
    for name in os.listdir(f"{places.images}/blobs/sha256"):
        with open(f"{places.images}/blobs/sha256/{name}", "rb") as stream:
            data = stream.read()
        assert digest(data) == f"sha256:{name}" and not data.startswith(b"\x28\xb5\x2f\xfd")
    assert os.listdir(f"{places.images}/work") == []
    images.remove(made.id, False, nobody)
    assert is_empty(places)


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive"])
def test_what_skopeo_writes(images: Images, tmp_path: Path, kind: str) -> None:
    (tmp_path / "in.tar").write_bytes(oci_archive([(SECOND, "app:1")]))
    destination = f"{kind}:{tmp_path}/out.tar:quay.example/app:3"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", f"oci-archive:{tmp_path}/in.tar", destination],
        check=True,
        capture_output=True,
    )
    with open(tmp_path / "out.tar", "rb") as stream:
        (image,) = images.load(stream, quiet)
    assert image.repo_tags == ["quay.example/app:3"]
    assert os.path.exists(f"{images.rootfs(image)}/second")
    assert image.config.cmd == ["sh"]


def test_several_images_share_their_layers(images: Images, places: RuntimePlaces) -> None:
    images.load(io.BytesIO(docker_archive([(BASE, ["a:1"]), (SECOND, ["b:1"]), (BASE, [])])), quiet)
    assert sorted(image.id for image in images.list()) == sorted([BASE.id, SECOND.id])
    layers = {digest(layer)[7:] for layer in SECOND.layers}
    assert layers <= set(os.listdir(f"{places.images}/blobs/sha256"))


def test_the_same_tree_whichever_way_it_came(images: Images) -> None:
    (one,) = images.load(io.BytesIO(docker_archive([(SECOND, ["a:1"])])), quiet)
    expected = tree(images.rootfs(one))
    images.remove("a:1", False, nobody)
    (two,) = images.load(io.BytesIO(oci_archive([(SECOND, "a:1")])), quiet)
    assert tree(images.rootfs(two)) == expected


def test_loaded_again_it_moves_the_name(images: Images) -> None:
    images.load(io.BytesIO(docker_archive([(BASE, ["app:1"])])), quiet)
    images.load(io.BytesIO(docker_archive([(SECOND, ["app:1"])])), quiet)
    images.load(io.BytesIO(docker_archive([(SECOND, ["app:1"])])), quiet)
    assert images.find("app:1").id == SECOND.id
    assert images.find(BASE.id).repo_tags == []


DOCKER, DOCKER_PACKED, OCI = (
    docker_archive([(BASE, ["app:1"]), (SECOND, ["b:1"])]),
    docker_archive([(SECOND, ["app:1"])], packed=True),
    oci_archive([(BASE, "app:1"), (SECOND, "b:1")]),
)


@pytest.mark.parametrize("archive", [DOCKER, DOCKER_PACKED, OCI], ids=["docker", "packed", "oci"])
@pytest.mark.parametrize("share", [0.0001, 0.1, 0.5, 0.9, 0.99])
def test_cut_off(images: Images, places: RuntimePlaces, archive: bytes, share: float) -> None:
    # the last kilobytes of a tar are empty blocks
    end = len(archive.rstrip(b"\0"))
    with pytest.raises(InvalidParameter):
        images.load(io.BytesIO(archive[: int(end * share)]), quiet)
    assert images.list() == [] and is_empty(places)


@pytest.mark.parametrize("archive", [DOCKER, DOCKER_PACKED, OCI], ids=["docker", "packed", "oci"])
def test_a_spoilt_layer(images: Images, places: RuntimePlaces, archive: bytes) -> None:
    layer = next(each for each in (*SECOND.layers[1:], *SECOND.packed[1:]) if each.rstrip(b"\0") in archive)
    where = archive.index(layer.rstrip(b"\0")) + 20
    spoilt = archive[:where] + bytes([archive[where] ^ 0xFF]) + archive[where + 1 :]
    with pytest.raises(InvalidParameter):
        images.load(io.BytesIO(spoilt), quiet)
    # the other image of the archive was whole, but all or none
    assert images.list() == [] and is_empty(places)


def test_a_spoilt_configuration(images: Images, places: RuntimePlaces) -> None:
    spoilt = OCI.replace(SECOND.config, SECOND.config.replace(b'"linux"', b'"Linux"'))
    with pytest.raises(InvalidParameter):
        images.load(io.BytesIO(spoilt), quiet)
    assert images.list() == [] and is_empty(places)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the archive is empty"),
        (b"not a tar" * 100, "the archive is damaged"),
        (gzip.compress(DOCKER)[:-1000], "the archive is damaged"),
        (tar([file("etc/passwd", "x")]), "neither manifest.json nor index.json"),
        (tar([file("manifest.json", "[{")]), "the archive's manifest.json"),
        (tar([file("index.json", "{}")]), "not an image manifest"),
        (docker_archive([(BASE, ["APP:1"])]), "repository name .library/APP. must be lowercase"),
    ],
)
def test_what_is_no_image(images: Images, places: RuntimePlaces, data: bytes, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        images.load(io.BytesIO(data), quiet)
    assert images.list() == [] and is_empty(places)


def test_a_layer_that_would_leave_its_place(images: Images, tmp_path: Path) -> None:
    evil = tar([link("out", str(tmp_path)), file("out/evil", "x"), file("../../../../evil", "x")])
    (image,) = images.load(io.BytesIO(docker_archive([(Made([evil]), ["evil:1"])])), quiet)
    outside = {each.name for each in tmp_path.iterdir()}
    assert outside == {"root"}
    assert not list((tmp_path / "root").glob("**/images/evil")) and os.path.islink(f"{images.rootfs(image)}/out")


# import

PLAIN = tar(
    [
        directory("srv", 0o2755, 33, 44),
        file("srv/page", "hi", 0o600, 33, 33),
        file("srv/sticky", "", 0o4711),
        link("srv/hard", "srv/page", hard=True),
        link("srv/soft", "../../../etc/passwd"),
    ]
)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, with_zstd])
def test_an_imported_tree(images: Images, pack: Any) -> None:
    told: list[dict[str, Any]] = []
    changes = ['CMD ["/bin/sh"]', "ENV A=1", "EXPOSE 80", "WORKDIR /srv", "LABEL x=y"]
    image = images.import_rootfs(io.BytesIO(pack(PLAIN)), "mine:1", changes, "from here", told.append)
    assert image.repo_tags == ["mine:1"] and images.find("mine:1").id == image.id
    assert image.comment == "from here" and image.created > "2026" and image.architecture
    assert (
        image.config.cmd == ["/bin/sh"] and image.config.env == ["A=1"] and image.config.exposed_ports == {"80/tcp": {}}
    )
    assert image.config.working_dir == "/srv" and image.config.labels == {"x": "y"}
    assert image.root_fs.layers == [digest(PLAIN)] and image.size == 2
    rootfs = images.rootfs(image)
    assert tree(rootfs) == [
        "./srv d 33:44 02755 4096 ",
        "./srv/hard f 33:33 0600 2 ",
        "./srv/page f 33:33 0600 2 ",
        "./srv/soft l 0:0 0777 19 ../../../etc/passwd",
        "./srv/sticky f 0:0 04711 0 ",
    ]
    assert os.path.samefile(f"{rootfs}/srv/hard", f"{rootfs}/srv/page")
    assert told[-1] == {"status": image.id}


def test_devices_and_extended_attributes(images: Images, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    os.mknod(source / "null", 0o20666, os.makedev(1, 3))
    os.mkfifo(source / "pipe")
    (source / "ping").touch()
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(source / "ping", "security.capability", capability)
    data = subprocess.run(
        ["tar", "--xattrs", "--xattrs-include=*", "-C", str(source), "-c", "."], check=True, capture_output=True
    ).stdout
    rootfs = images.rootfs(images.import_rootfs(io.BytesIO(data), ""))
    assert os.stat(f"{rootfs}/null").st_rdev == os.makedev(1, 3)
    assert os.getxattr(f"{rootfs}/ping", "security.capability") == capability


def test_without_a_name(images: Images) -> None:
    image = images.import_rootfs(io.BytesIO(PLAIN), "")
    assert image.repo_tags == [] and image.comment == "Imported from -"
    assert images.find(image.id[7:19]).id == image.id


@pytest.mark.parametrize(
    ("data", "reference", "changes", "words"),
    [
        (b"", "a:1", [], "the archive is empty"),
        (b"no tar at all" * 100, "a:1", [], "unpacking image"),
        (PLAIN[:1000], "a:1", [], "unpacking image"),
        (gzip.compress(PLAIN)[:-20], "a:1", [], "the archive is damaged"),
        (lzma.compress(PLAIN)[:-20], "a:1", [], "the archive is damaged"),
        (PLAIN, "a:1", ["RUN x"], "RUN is not a valid change command"),
        (PLAIN, "A:1", [], "must be lowercase"),
        (PLAIN, "a@sha256:" + "0" * 64, [], "refusing to create a tag with a digest reference"),
    ],
)
def test_bad_imports(
    images: Images, places: RuntimePlaces, data: bytes, reference: str, changes: list[str], words: str
) -> None:
    with pytest.raises(InvalidParameter, match=words):
        images.import_rootfs(io.BytesIO(data), reference, changes)
    assert images.list() == [] and is_empty(places)


# names and removal


@pytest.fixture
def loaded(images: Images) -> Images:
    images.load(io.BytesIO(docker_archive([(BASE, ["app:1"])])), quiet)
    return images


def test_two_names_of_one_image(loaded: Images, places: RuntimePlaces) -> None:
    loaded.tag("app:1", "other/app:2")
    assert loaded.find("other/app:2").id == BASE.id
    assert loaded.remove("app:1", False, nobody) == [{"Untagged": "app:1"}]
    assert [image.repo_tags for image in Images(places).list()] == [["other/app:2"]]
    assert loaded.remove("other/app:2", False, nobody) == [{"Untagged": "other/app:2"}, {"Deleted": BASE.id}]
    assert loaded.list() == [] and is_empty(places)
    assert Images(places).list() == []
    with pytest.raises(NotFound, match="No such image: app:1"):
        loaded.remove("app:1", False, nobody)


def test_a_name_is_taken_from_its_image(loaded: Images) -> None:
    other = loaded.import_rootfs(io.BytesIO(PLAIN), "other:1")
    loaded.tag("other:1", "app:1")
    assert loaded.find("app:1").id == other.id and loaded.find(BASE.id).repo_tags == []
    with pytest.raises(NotFound, match="No such image: none:latest"):
        loaded.tag("none", "x:1")
    with pytest.raises(InvalidParameter):
        loaded.tag("app:1", "BAD")


def test_in_use_by_one_that_runs(loaded: Images) -> None:
    def using(_image_id: str) -> list[str]:
        return ["7" * 64]

    for ref, force in (("app:1", False), (BASE.id, False), (BASE.id, True)):
        with pytest.raises(Conflict, match="container 777777777777"):
            loaded.remove(ref, force, using)
    assert loaded.remove("app:1", True, using) == [{"Untagged": "app:1"}]
    assert os.path.isdir(loaded.rootfs(loaded.find(BASE.id)))


def test_forced_from_under_a_stopped_container(loaded: Images, places: RuntimePlaces) -> None:
    def using(_image_id: str) -> list[str]:
        return ["5" * 64]

    with pytest.raises(Conflict, match="container 555555555555"):
        loaded.remove("app:1", False, using, nobody)
    assert loaded.remove("app:1", True, using, nobody) == [{"Untagged": "app:1"}, {"Deleted": BASE.id}]
    for images in (loaded, Images(places)):
        assert images.list() == []
        for ref in ("app:1", BASE.id[7:19]):
            with pytest.raises(NotFound):
                images.find(ref)
        # the container can still be started
        assert os.path.exists(f"{images.rootfs(images.find(BASE.id))}/bin/sh")
        images.collect(using)
        assert os.path.isdir(images.rootfs(images.find(BASE.id)))
    loaded.collect(nobody)
    assert is_empty(places)


def test_what_was_removed_by_force_may_come_back(loaded: Images, places: RuntimePlaces) -> None:
    loaded.remove("app:1", True, lambda _: ["5" * 64], nobody)
    loaded.load(io.BytesIO(docker_archive([(BASE, ["app:1"])])), quiet)
    loaded.collect(nobody)
    assert [image.repo_tags for image in loaded.list()] == [["app:1"]]
    assert [image.repo_tags for image in Images(places).list()] == [["app:1"]]


def test_prefixes_must_be_of_one_image(loaded: Images) -> None:
    ids = [BASE.id] + [loaded.import_rootfs(io.BytesIO(tar([file("n", str(number))])), "").id for number in range(16)]
    firsts = [each[7] for each in ids]
    twice = next(first for first in firsts if firsts.count(first) > 1)
    with pytest.raises(NotFound, match=f"No such image: {twice}:latest"):
        loaded.find(twice)
    assert [image.id for image in loaded.list()][-1] == BASE.id  # the oldest


def test_damaged_records(images: Images, places: RuntimePlaces) -> None:
    images.load(io.BytesIO(docker_archive([(BASE, ["app:1"])])), quiet)
    record = f"{places.images}/complete/{BASE.id[7:]}/image.json"
    with open(record, "r+b") as stream:
        stream.truncate(30)
    again = Images(places)
    assert again.list() == []
    again.load(io.BytesIO(docker_archive([(BASE, ["app:1"])])), quiet)
    assert Images(places).find("app:1").id == BASE.id


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(small)], check=True)
    try:
        places = RuntimePlaces(root=str(small), run="")
        images = Images(places)
        big = Made([tar([file("big", os.urandom(1 << 20) * 2)])])
        with pytest.raises(Failure, match=r"(?i)no space left on device"):
            images.load(io.BytesIO(docker_archive([(big, ["app:1"])])), quiet)
        assert images.list() == [] and is_empty(places)
    finally:
        subprocess.run(["umount", str(small)], check=True)
