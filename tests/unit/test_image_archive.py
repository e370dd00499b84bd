from __future__ import annotations

import bz2
import ctypes
import gzip
import io
import json
import lzma
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netd.failure import InvalidParameter
from netd.files.zstd import ZstdReader, _library
from netd.runtime.images.archive import docker_images, extract_layout, members, oci_images, spool
from netd.runtime.images.manifest import Platform, digest_of

HERE = Platform("linux", "amd64")


def tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def zstd(data: bytes) -> bytes:
    """Packed by the library that unpacks it, with a checksum."""
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_createCCtx.restype = ctypes.c_void_p
    library.ZSTD_compress2.restype = library.ZSTD_compressBound.restype = ctypes.c_size_t
    context = ctypes.c_void_p(library.ZSTD_createCCtx())
    library.ZSTD_CCtx_setParameter(context, 201, 1)
    room = ctypes.create_string_buffer(library.ZSTD_compressBound(ctypes.c_size_t(len(data))))
    size = library.ZSTD_compress2(
        context, room, ctypes.c_size_t(len(room)), ctypes.c_char_p(data), ctypes.c_size_t(len(data))
    )
    library.ZSTD_freeCCtx(context)
    return room.raw[:size]


PLAIN = tar({"a": b"x" * 5000, "b": b"y"})


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zstd])
def test_every_compression_is_undone(tmp_path: Path, pack: object) -> None:
    path = str(tmp_path / "out.tar")
    assert callable(pack)
    assert spool(io.BytesIO(pack(PLAIN)), path) == len(PLAIN)
    assert Path(path).read_bytes() == PLAIN
    assert members(path) == {"a", "b"}


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_cut_off_and_spoilt_ones_are_refused(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    packed = pack(PLAIN)
    middle = len(packed) // 2
    for damaged in (packed[:middle], packed[:-2], packed[:middle] + b"\xff\x00\xff" + packed[middle + 3 :]):
        with pytest.raises(InvalidParameter, match="the archive is damaged"):
            spool(io.BytesIO(damaged), str(tmp_path / "out.tar"))


def test_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter, match="the archive is empty"):
        spool(io.BytesIO(b""), str(tmp_path / "out.tar"))


def test_zstd_without_its_library_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> None:
        raise OSError("libzstd.so.1: cannot open shared object file")

    _library.cache_clear()
    monkeypatch.setattr("netd.files.zstd.ctypes.CDLL", missing)
    with pytest.raises(InvalidParameter, match=r"packed with zstd, whose library is missing: libzstd\.so\.1"):
        spool(io.BytesIO(b"\x28\xb5\x2f\xfd rest"), str(tmp_path / "out.tar"))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=2000)), st.integers(1, 300000), st.integers(1, 4000))
def test_frames_of_zstd_are_read_in_pieces_of_any_size(parts: list[bytes], repeat: int, piece: int) -> None:
    whole = [parts[0] * (repeat // 1000 + 1), *parts[1:]] if parts else []
    reader = ZstdReader(io.BytesIO(b"".join(map(zstd, whole))))
    out = b""
    while data := reader.read(piece):
        out += data
    assert out == b"".join(whole)
    reader.close()


class Trickle(io.RawIOBase):
    """A stream that gives one byte at a time, as a slow client does."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(size, 1) if size >= 0 else 1)


def test_a_slow_stream(tmp_path: Path) -> None:
    path = str(tmp_path / "out.tar")
    data = gzip.compress(PLAIN)
    spool(Trickle(data), path)  # type: ignore[arg-type]
    assert Path(path).read_bytes() == PLAIN


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no.tar"
    path.write_bytes(b"hello" * 1000)
    with pytest.raises(InvalidParameter, match="the archive is damaged"):
        members(str(path))


def written(tmp_path: Path, files: dict[str, bytes]) -> str:
    path = tmp_path / "archive.tar"
    path.write_bytes(tar(files))
    return str(path)


def test_images_of_a_docker_archive(tmp_path: Path) -> None:
    entries = [
        {"Config": "a.json", "RepoTags": ["busybox:1", "x/y:2"], "Layers": []},
        {"Config": "b.json", "RepoTags": None},
    ]
    found = docker_images(written(tmp_path, {"./manifest.json": json.dumps(entries).encode()}))
    assert [(each.index, [tag.familiar for tag in each.tags]) for each in found] == [
        (0, ["busybox:1", "x/y:2"]),
        (1, []),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "manifest.json"),
        (b"[]", "names no image"),
        (b"{}", "manifest.json"),
        (b'[{"Config": 1}]', "manifest.json"),
        (b'[{"Config": "a", "RepoTags": ["NOT:good:ref"]}]', "invalid reference format"),
    ],
)
def test_bad_docker_archives(tmp_path: Path, text: bytes, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        docker_images(written(tmp_path, {"manifest.json": text}))


def layout(manifests: list[dict[str, object]], blobs: list[bytes]) -> dict[str, bytes]:
    index = json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()
    return {"index.json": index, **{f"blobs/sha256/{digest_of(blob)[7:]}": blob for blob in blobs}}


def manifest(seed: bytes) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": {"digest": digest_of(seed)}, "layers": []}).encode()


def test_images_of_an_oci_archive(tmp_path: Path) -> None:
    mine, other, plain = manifest(b"1"), manifest(b"2"), manifest(b"3")
    both = json.dumps(
        {
            "schemaVersion": 2,
            "manifests": [
                {"digest": digest_of(other), "platform": {"os": "linux", "architecture": "s390x"}},
                {"digest": digest_of(mine), "platform": {"os": "linux", "architecture": "amd64"}},
            ],
        }
    ).encode()
    name = "org.opencontainers.image.ref.name"
    files = layout(
        [
            {
                "digest": digest_of(both),
                "annotations": {"io.containerd.image.name": "docker.io/library/app:1", name: "1"},
            },
            {"digest": digest_of(plain), "annotations": {name: "latest"}},
            {"digest": digest_of(plain), "annotations": {name: "quay.example/app:2"}},
        ],
        [mine, other, both, plain],
    )
    directory = str(tmp_path / "layout")
    extract_layout(written(tmp_path, files), directory)
    found = oci_images(directory, HERE)
    assert [(each.descriptor.digest, [tag.familiar for tag in each.tags]) for each in found] == [
        (digest_of(mine), ["app:1"]),
        (digest_of(plain), []),
        (digest_of(plain), ["quay.example/app:2"]),
    ]


def test_only_what_a_layout_has_is_taken_out(tmp_path: Path) -> None:
    files = layout([], []) | {
        "../evil": b"x",
        "/etc/evil": b"x",
        "blobs/sha256/../../evil": b"x",
        "blobs/sha256/short": b"x",
        "evil": b"x",
    }
    directory = tmp_path / "deep" / "layout"
    extract_layout(written(tmp_path, files), str(directory))
    assert sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*") if each.is_file()) == [
        "archive.tar",
        "deep/layout/index.json",
        "deep/layout/oci-layout",
    ]


def test_a_link_in_the_place_of_a_blob_is_not_followed(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("index.json", "blobs/sha256/" + "0" * 64):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    path = tmp_path / "archive.tar"
    path.write_bytes(buffer.getvalue())
    directory = tmp_path / "layout"
    extract_layout(str(path), str(directory))
    assert [each.name for each in directory.rglob("*") if not each.is_dir()] == ["oci-layout"]


def test_a_blob_that_is_missing_is_named(tmp_path: Path) -> None:
    directory = str(tmp_path / "layout")
    extract_layout(written(tmp_path, layout([{"digest": "sha256:" + "e" * 64}], [])), directory)
    with pytest.raises(InvalidParameter, match="the archive lacks sha256:eeee"):
        oci_images(directory, HERE)


def test_lists_within_lists_end(tmp_path: Path) -> None:
    blobs, digest = [], digest_of(manifest(b"1"))
    for _ in range(10):
        blobs.append(json.dumps({"schemaVersion": 2, "manifests": [{"digest": digest}]}).encode())
        digest = digest_of(blobs[-1])
    directory = str(tmp_path / "layout")
    extract_layout(written(tmp_path, layout([{"digest": digest}], [*blobs, manifest(b"1")])), directory)
    with pytest.raises(InvalidParameter, match="nested too deep"):
        oci_images(directory, HERE)


@settings(max_examples=50)
@given(st.integers(0, len(PLAIN) - 1))
def test_a_cut_tar_is_refused_or_has_fewer_members(cut: int) -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(PLAIN[:cut])
        file.flush()
        try:
            found = members(file.name)
        except InvalidParameter:
            return
        assert found <= {"a", "b"}
