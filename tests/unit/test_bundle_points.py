from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netd.failure import InvalidParameter
from netd.runtime.bundle.points import BIND, TMPFS, VOLUME, Point, points, wire
from netd.runtime.model import BindOptions, ContainerConfig, HostConfig, Mount, TmpfsOptions, VolumeOptions

ID = "ab" * 32


def found(volumes: dict[str, object] | None = None, **wanted: Any) -> list[Point]:
    return points(ID, ContainerConfig(volumes=volumes), HostConfig(**wanted))


def one(bind: str) -> Point:
    (point,) = found(binds=[bind])
    return point


def test_a_bind() -> None:
    assert one("/src/./a/:/dst/") == Point(
        BIND, "/dst", "/src/a", propagation="rprivate", make_source=True, copy=True, mode=""
    )
    assert one("/src:/dst:ro").read_only
    assert not one("/src:/dst:rw").read_only
    assert one("/src:/dst:ro,rslave,z").propagation == "rslave"
    assert one("/src:/dst:ro,cached").mode == "ro,cached"


def test_volumes() -> None:
    assert one("data:/dst:ro") == Point(VOLUME, "/dst", name="data", read_only=True, mode="ro")
    assert not one("data:/dst:nocopy").copy
    assert one("data:/dst").copy
    (anonymous,) = found(volumes={"/data/": {}})
    assert anonymous.anonymous and anonymous.target == "/data" and len(anonymous.name) == 64
    assert one("/data") == anonymous == found(mounts=[Mount("volume", target="/data")])[0]
    other = points("cd" * 32, ContainerConfig(volumes={"/data": {}}), HostConfig())[0]
    assert other.name != anonymous.name != found(volumes={"/other": {}})[0].name


def test_an_images_volume_gives_way() -> None:
    assert [point.kind for point in found(volumes={"/data": {}}, binds=["/src:/data"])] == [BIND]
    assert [point.kind for point in found(volumes={"/data": {}, "/data/": {}})] == [VOLUME]


def test_mounts() -> None:
    assert found(mounts=[Mount("bind", "/src", "/dst", True)]) == [
        Point(BIND, "/dst", "/src", read_only=True, propagation="rprivate")
    ]
    assert found(mounts=[Mount("volume", "data", "/dst")]) == [Point(VOLUME, "/dst", name="data")]
    (tmpfs,) = found(mounts=[Mount("tmpfs", "", "/dst", True)])
    assert tmpfs.kind == TMPFS and tmpfs.options == ("noexec", "nosuid", "nodev", "ro")


def test_options_of_mounts() -> None:
    options = BindOptions(propagation="rshared", create_mountpoint=True)
    assert found(mounts=[Mount("bind", "/src", "/dst", bind_options=options)]) == [
        Point(BIND, "/dst", "/src", propagation="rshared", make_source=True)
    ]
    empty = VolumeOptions(no_copy=True)
    assert [each.copy for each in found(mounts=[Mount("volume", "data", "/dst", volume_options=empty)])] == [False]
    assert [each.copy for each in found(mounts=[Mount("volume", "", "/dst", volume_options=empty)])] == [False]
    (tmpfs,) = found(mounts=[Mount("tmpfs", "", "/dst", tmpfs_options=TmpfsOptions(1 << 20, 0o700))])
    assert tmpfs.options == ("noexec", "nosuid", "nodev", "size=1048576", "mode=700")


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        ("", ("noexec", "nosuid", "nodev")),
        ("size=64m,mode=755", ("noexec", "nosuid", "nodev", "size=64m", "mode=755")),
        ("exec,ro", ("nosuid", "nodev", "exec", "ro")),
        ("rw,noexec,nosuid,size=65536k", ("nodev", "rw", "noexec", "nosuid", "size=65536k")),
        ("size=1k,size=2k", ("noexec", "nosuid", "nodev", "size=2k")),
    ],
)
def test_tmpfs(asked: str, options: tuple[str, ...]) -> None:
    assert found(tmpfs={"/run": asked}) == [Point(TMPFS, "/run", options=options)]


def test_outer_directories_first() -> None:
    targets = [point.target for point in found(binds=["/s:/a/b/c", "/s:/a", "/s:/a/b"], tmpfs={"/z": ""})]
    assert targets == ["/a", "/z", "/a/b", "/a/b/c"]


@pytest.mark.parametrize(
    ("bind", "words"),
    [
        ("/a:b", "invalid mount path: 'b' mount path must be absolute"),
        ("a", "invalid mount path: 'a' mount path must be absolute"),
        ("", "expected [SOURCE:]TARGET[:OPTIONS]"),
        ("/a:/b:ro:x", "expected [SOURCE:]TARGET[:OPTIONS]"),
        (":/b", "expected [SOURCE:]TARGET[:OPTIONS]"),
        ("/a:/", "invalid specification: destination can't be '/'"),
        ("/a:/b/..", "invalid specification: destination can't be '/'"),
        ("/a:/b:xx", "invalid mode: xx"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        ("data:/b:rshared", "invalid mode: rshared"),
        ("x:/b", "volume name is too short, names should be at least two alphanumeric characters"),
        (
            "a/b:/c",
            '"a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. '
            "If you intended to pass a host directory, use absolute path",
        ),
        (
            "..:/c",
            '".." includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. '
            "If you intended to pass a host directory, use absolute path",
        ),
    ],
)
def test_bad_binds(bind: str, words: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        one(bind)
    assert str(raised.value) == f"invalid volume specification: '{bind}': {words}"


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        (Mount("bind", "/a", "/b", bind_options=BindOptions("upwards")), "invalid propagation mode: upwards"),
        (Mount("tmpfs", "", "/a", tmpfs_options=TmpfsOptions(-1)), "invalid tmpfs size: must not be negative"),
        (Mount("tmpfs", "", "/a", tmpfs_options=TmpfsOptions(0, 0o10000)), "invalid tmpfs mode: 10000"),
        (Mount("bind", "/a", ""), "field Target must not be empty"),
        (Mount("bind", "", "/a"), "field Source must not be empty"),
        (Mount("bind", "a", "/a"), "invalid mount path: 'a' mount path must be absolute"),
        (Mount("bind", "/a", "a"), "invalid mount path: 'a' mount path must be absolute"),
        (Mount("tmpfs", "/a", "/a"), "field Source must not be specified"),
        (Mount("npipe", "/a", "/a"), "mount type unknown"),
    ],
)
def test_bad_mounts(mount: Mount, words: str) -> None:
    with pytest.raises(InvalidParameter) as raised:
        found(mounts=[mount])
    assert str(raised.value) == f'invalid mount config for type "{mount.type}": {words}'


def test_two_on_one_place() -> None:
    with pytest.raises(InvalidParameter, match=r"^Duplicate mount point: /a$"):
        found(binds=["/x:/a", "/y:/a/"])
    with pytest.raises(InvalidParameter, match=r"^Duplicate mount point: /a$"):
        found(binds=["/x:/a"], tmpfs={"/a": ""})


@pytest.mark.parametrize("options", ["size", "size=", "bogus", "mode=755,bogus=1"])
def test_bad_tmpfs_options(options: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid tmpfs option"):
        found(tmpfs={"/run": options})


@given(st.text(alphabet="/.a:,ro\0", max_size=20))
def test_no_bind_leads_elsewhere(text: str) -> None:
    try:
        point = one(text)
    except InvalidParameter:
        return
    assert point.target.startswith("/") and point.target != "/" and ".." not in point.target.split("/")
    assert "\0" not in point.target and "/" not in point.name
    assert ".." not in point.source.split("/")


def test_the_wire() -> None:
    assert wire(one("data:/dst:ro"), "/volumes/data") == {
        "Type": "volume",
        "Name": "data",
        "Source": "/volumes/data",
        "Destination": "/dst",
        "Driver": "local",
        "Mode": "ro",
        "RW": False,
        "Propagation": "",
    }
    assert wire(one("/src:/dst"), "/src") == {
        "Type": "bind",
        "Source": "/src",
        "Destination": "/dst",
        "Mode": "",
        "RW": True,
        "Propagation": "rprivate",
    }
