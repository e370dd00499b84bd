"""Manifests of images, docker's and OCI's, read from text that a stranger wrote.  Pure."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from netd.failure import InvalidParameter, NotFound, Unsupported
from netd.runtime.images.model import without_nulls
from netd.runtime.images.reference import is_digest
from netd.structures import from_values

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
_DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

_MACHINES = {
    "x86_64": ("amd64", ""),
    "i686": ("386", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "ppc64le": ("ppc64le", ""),
    "riscv64": ("riscv64", ""),
    "s390x": ("s390x", ""),
    "loongarch64": ("loong64", ""),
}


class Platform(Struct, rename="lower"):
    """In Go's words: "linux", "arm64", "v8"."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


class Descriptor(Struct, rename="camel"):
    """A blob; `size` in bytes."""

    digest: str
    media_type: str = ""
    size: int = 0
    platform: Platform | None = None
    annotations: dict[str, str] | None = None


class Manifest(Struct, rename="camel"):
    """Of one image: `config` and the layers, lowest first."""

    config: Descriptor
    layers: list[Descriptor] = field(default_factory=list)

    def blobs(self) -> list[str]:
        return [self.config.digest, *(layer.digest for layer in self.layers)]


class Index(Struct, rename="camel"):
    """One image for several platforms, or what an OCI layout holds."""

    manifests: list[Descriptor]


class _Kind(Struct, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    manifests: Any = None
    config: Any = None


def this_platform() -> Platform:
    """The platform of this machine."""
    machine = os.uname().machine
    architecture, variant = _MACHINES.get(machine, (machine, ""))
    return Platform("linux", architecture, variant)


def digest_of(raw: bytes) -> str:
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"


def parse(raw: bytes, of: str) -> Manifest | Index:
    """`of` names the image in errors: InvalidParameter when the text is no manifest, Unsupported for schema 1."""
    try:
        text = without_nulls(msgspec.json.decode(raw))
        kind = from_values(text, _Kind)
        if kind.schema_version == 1:
            raise Unsupported(f"{of}: image manifests of schema version 1 are not supported: push the image again")
        if kind.media_type in (OCI_INDEX, _DOCKER_LIST) or (kind.manifests is not None and kind.config is None):
            index = from_values(text, Index)
            _check([each.digest for each in index.manifests], of)
            return index
        manifest = from_values(text, Manifest)
    except msgspec.DecodeError as error:
        raise InvalidParameter(f"{of}: not an image manifest: {error}") from error
    _check(manifest.blobs(), of)
    return manifest


def choose(manifests: Sequence[Descriptor], platform: Platform, of: str) -> Descriptor:
    """The one for this platform; one without a platform fits every one.  NotFound in docker's words."""
    fitting = [each for each in manifests if _fits(each.platform, platform)]
    if not fitting:
        raise NotFound(f"no matching manifest for {platform} in the manifest list entries of {of}")
    return min(fitting, key=lambda each: _distance(each.platform, platform))


def layout_index(manifest: Descriptor) -> bytes:
    """index.json of an OCI layout whose only image is called "image"."""
    entry = _written(manifest) | {"annotations": {"org.opencontainers.image.ref.name": "image"}}
    return msgspec.json.encode({"schemaVersion": 2, "manifests": [entry]})


def manifest_text(manifest: Manifest) -> bytes:
    """As OCI has it."""
    blobs = [_written(each) for each in (manifest.config, *manifest.layers)]
    return msgspec.json.encode({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": blobs[0], "layers": blobs[1:]})


def _written(blob: Descriptor) -> dict[str, object]:
    return {"mediaType": blob.media_type or OCI_MANIFEST, "digest": blob.digest, "size": blob.size}


def _fits(offered: Platform | None, wanted: Platform) -> bool:
    if offered is None or not offered.os:
        return True
    same = offered.os == wanted.os and offered.architecture == wanted.architecture
    # a processor runs what was built for older variants of it ("v6" on "v7"), not for newer ones
    return same and (not offered.variant or not wanted.variant or offered.variant <= wanted.variant)


def _distance(offered: Platform | None, wanted: Platform) -> tuple[bool, int]:
    """Smaller is better: said explicitly, then the newest variant."""
    if offered is None or not offered.os:
        return True, 0
    digits = offered.variant.removeprefix("v") or wanted.variant.removeprefix("v")
    return False, -int(digits) if digits.isdecimal() else 0


def _check(digests: list[str], of: str) -> None:
    """A digest becomes a file's name."""
    for digest in digests:
        if not is_digest(digest):
            raise InvalidParameter(f"{of}: not a digest: {digest!r}")
