"""Archives of images: what is in a docker archive or in an OCI one, read without trusting it."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from typing import IO

import msgspec
from msgspec import Struct, field

from netd.failure import InvalidParameter
from netd.files.packed import damage_named, unpacked
from netd.runtime.images.manifest import Descriptor, Index, Manifest, Platform, choose, parse
from netd.runtime.images.model import Progress
from netd.runtime.images.reference import Reference, parse_target
from netd.structures import from_json
from pycni.record import Record

_DAMAGE = (OSError, tarfile.TarError)
_CHUNK = 1 << 20
_LARGEST_TEXT = 16 << 20
"""Bytes of JSON that are read into memory: no manifest is nearly as large."""

_NAME_ANNOTATIONS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{64}", re.ASCII)
_DEEPEST = 4
"""Indexes within indexes."""


class DockerImage(Record):
    """The image at `index` of a docker archive, and its tags."""

    index: int
    tags: tuple[Reference, ...]


class OciImage(Record):
    """An image of an OCI layout: its manifest, and its tags."""

    descriptor: Descriptor
    tags: tuple[Reference, ...]


class _Entry(Struct, rename="pascal"):
    """Of a docker archive's manifest.json."""

    config: str
    repo_tags: list[str] | None = None
    layers: list[str] = field(default_factory=list)


def spool(stream: IO[bytes], path: str, progress: Progress | None = None) -> int:
    """Writes a tar, plain or compressed, to a file, plain; its size.  InvalidParameter: damaged, cut off or empty."""
    size = 0
    with damage_named(), open(path, "wb") as out, unpacked(stream) as plain:
        while piece := plain.read(_CHUNK):
            out.write(piece)
            size += len(piece)
            if progress is not None:
                progress({"status": "Importing", "progressDetail": {"current": size, "total": size}})
    if not size:
        raise InvalidParameter("the archive is empty")
    return size


def members(path: str) -> set[str]:
    """Names of all members of a tar, "./" removed; InvalidParameter when it is damaged or none."""
    try:
        with tarfile.open(path, "r:") as archive:
            return {_plain(member.name) for member in archive}
    except _DAMAGE as error:
        raise InvalidParameter(f"the archive is damaged: {error}") from error


def docker_images(path: str) -> list[DockerImage]:
    """What manifest.json of a docker archive says."""
    try:
        entries = from_json(_text(path, "manifest.json"), list[_Entry])
    except msgspec.DecodeError as error:
        raise InvalidParameter(f"the archive's manifest.json: {error}") from error
    if not entries:
        raise InvalidParameter("the archive's manifest.json names no image")
    return [
        DockerImage(index, tuple(parse_target(tag) for tag in entry.repo_tags or []))
        for index, entry in enumerate(entries)
    ]


def extract_layout(path: str, directory: str) -> None:
    """The blobs and index.json of an OCI archive as files below a new directory; everything else stays."""
    os.makedirs(f"{directory}/blobs/sha256")
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                name = _plain(member.name)
                if member.isreg() and (name == "index.json" or _BLOB.fullmatch(name)):
                    source = archive.extractfile(member)
                    assert source is not None
                    with open(f"{directory}/{name}", "wb") as out:
                        shutil.copyfileobj(source, out, _CHUNK)
    except _DAMAGE as error:
        raise InvalidParameter(f"the archive is damaged: {error}") from error
    with open(f"{directory}/oci-layout", "wb") as out:
        out.write(b'{"imageLayoutVersion":"1.0.0"}')


def oci_images(directory: str, platform: Platform) -> list[OciImage]:
    """The images of a layout that are for this platform; InvalidParameter when it holds none."""
    with open(f"{directory}/index.json", "rb") as stream:
        index = parse(stream.read(_LARGEST_TEXT), "the archive's index.json")
    if not isinstance(index, Index) or not index.manifests:
        raise InvalidParameter("the archive's index.json names no image")
    return [OciImage(_resolved(directory, each, platform, _DEEPEST), _tags(each)) for each in index.manifests]


def oci_manifest(directory: str, descriptor: Descriptor) -> Manifest:
    manifest = parse(_blob(directory, descriptor), "the archive")
    if not isinstance(manifest, Manifest):
        raise InvalidParameter(f"the archive: {descriptor.digest} is not the manifest of an image")
    return manifest


def _resolved(directory: str, descriptor: Descriptor, platform: Platform, depth: int) -> Descriptor:
    """The manifest itself where `descriptor` is of a list for several platforms."""
    found = parse(_blob(directory, descriptor), "the archive")
    if not isinstance(found, Index):
        return descriptor
    if not depth:
        raise InvalidParameter(f"the archive: {descriptor.digest}: lists of manifests are nested too deep")
    return _resolved(directory, choose(found.manifests, platform, "the archive"), platform, depth - 1)


def _blob(directory: str, descriptor: Descriptor) -> bytes:
    try:
        with open(f"{directory}/blobs/{descriptor.digest.replace(':', '/')}", "rb") as stream:
            return stream.read(_LARGEST_TEXT)
    except FileNotFoundError as error:
        raise InvalidParameter(f"the archive lacks {descriptor.digest}, which its index names") from error


def _tags(descriptor: Descriptor) -> tuple[Reference, ...]:
    """containerd writes the whole name, skopeo whatever it was given: a bare word may be a tag without a name."""
    for annotation in _NAME_ANNOTATIONS:
        name = (descriptor.annotations or {}).get(annotation, "")
        if "/" in name or ":" in name:
            return (parse_target(name),)
    return ()


def _text(path: str, name: str) -> bytes:
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if _plain(member.name) == name and member.isreg():
                    stream = archive.extractfile(member)
                    assert stream is not None
                    return stream.read(_LARGEST_TEXT)
    except _DAMAGE as error:
        raise InvalidParameter(f"the archive is damaged: {error}") from error
    raise InvalidParameter(f"the archive has no {name}")


def _plain(name: str) -> str:
    return name.removeprefix("./")
