from __future__ import annotations

import json

import pytest

from netd.failure import InvalidParameter, NotFound, Unsupported
from netd.runtime.images.manifest import (
    OCI_LAYER,
    Descriptor,
    Index,
    Manifest,
    Platform,
    choose,
    digest_of,
    layout_index,
    manifest_text,
    parse,
    this_platform,
)

A, B, C, D = (f"sha256:{letter * 64}" for letter in "abcd")


def test_dockers_manifest() -> None:
    text = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 7, "digest": A},
        "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 9, "digest": B}],
    }
    manifest = parse(json.dumps(text).encode(), "app")
    assert isinstance(manifest, Manifest)
    assert manifest.blobs() == [A, B]
    assert manifest.layers[0].size == 9


@pytest.mark.parametrize("kind", ["application/vnd.docker.distribution.manifest.list.v2+json", None])
def test_a_list_with_or_without_a_media_type(kind: str | None) -> None:
    text = {"schemaVersion": 2, "mediaType": kind, "manifests": [{"digest": A, "size": 1}]}
    assert isinstance(parse(json.dumps(text).encode(), "app"), Index)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", InvalidParameter),
        (b"not json", InvalidParameter),
        (b"[]", InvalidParameter),
        (b"{}", InvalidParameter),
        (b'{"schemaVersion": 1, "fsLayers": []}', Unsupported),
        (b'{"schemaVersion": 2, "config": {"digest": "sha256:../../etc/passwd"}}', InvalidParameter),
        (b'{"schemaVersion": 2, "manifests": [{"digest": "../x"}]}', InvalidParameter),
    ],
)
def test_texts_that_are_no_manifest(text: bytes, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^app: "):
        parse(text, "app")


def offered(digest: str, os: str, architecture: str, variant: str = "") -> Descriptor:
    return Descriptor(digest, platform=Platform(os, architecture, variant))


def test_the_platform_decides() -> None:
    entries = [offered(A, "linux", "amd64"), offered(B, "linux", "arm64", "v8"), offered(C, "unknown", "unknown")]
    assert choose(entries, Platform("linux", "amd64"), "app").digest == A
    assert choose(entries, Platform("linux", "arm64", "v8"), "app").digest == B
    with pytest.raises(NotFound, match=r"no matching manifest for linux/s390x in the manifest list entries"):
        choose(entries, Platform("linux", "s390x"), "app")


def test_the_newest_variant_that_the_processor_runs() -> None:
    entries = [offered(A, "linux", "arm", "v5"), offered(B, "linux", "arm", "v7"), offered(C, "linux", "arm", "v6")]
    assert choose(entries, Platform("linux", "arm", "v7"), "app").digest == B
    assert choose(entries, Platform("linux", "arm", "v6"), "app").digest == C


def test_an_entry_without_platform_is_the_last_resort() -> None:
    entries = [Descriptor(D), offered(A, "linux", "amd64")]
    assert choose(entries, Platform("linux", "amd64"), "app").digest == A
    assert choose(entries, Platform("linux", "riscv64"), "app").digest == D


def test_this_machine_has_a_platform() -> None:
    assert this_platform().os == "linux"
    assert str(Platform("linux", "arm", "v7")) == "linux/arm/v7"


def test_what_is_written_is_read_again() -> None:
    manifest = Manifest(Descriptor(A, "application/vnd.oci.image.config.v1+json", 3), [Descriptor(B, OCI_LAYER, 5)])
    text = manifest_text(manifest)
    assert parse(text, "app") == manifest
    index = parse(layout_index(Descriptor(digest_of(text), size=len(text))), "index")
    assert isinstance(index, Index)
    assert index.manifests[0].digest == digest_of(text)
    assert index.manifests[0].annotations == {"org.opencontainers.image.ref.name": "image"}
