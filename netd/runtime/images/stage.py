"""From a source that skopeo reads to an image in a work directory, whole but not yet published."""

from __future__ import annotations

import os
import tempfile

from netd.failure import Failure, InvalidParameter
from netd.runtime.images.bars import Bars, Unpacking
from netd.runtime.images.durable import Work
from netd.runtime.images.manifest import (
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    digest_of,
    layout_index,
    manifest_text,
    parse,
)
from netd.runtime.images.model import Image, Progress, described
from netd.runtime.images.programs import ProgramFailed, lines, on_terminal, output, position
from netd.runtime.images.shelf import Shelf, tree_size
from netd.runtime.places import RuntimePlaces
from pycni.record import Record

_POLICY = "/etc/containers/policy.json"
"""Which signatures the administrator wants; without the file none, as with docker."""

_RETRIES = "2"
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_LAYER = f"{OCI_LAYER}+zstd"


class Source(Record):
    """`name` as skopeo has it, paths relative to the work directory; `options` of its inspect command."""

    name: str
    options: tuple[str, ...] = ()


class Voice(Record):
    """How it is told: with a download's bars or without, and the words for a layer being unpacked and unpacked."""

    bars: bool
    unpacking: str
    unpacked: str


PULLING = Voice(bars=True, unpacking="Extracting", unpacked="Pull complete")
LOADING = Voice(bars=False, unpacking="Loading layer", unpacked="Load complete")


class Layout(Record):
    """An OCI layout below the work directory, of one image called "image"; its blobs are the shelf's.

    `raw` and `manifest` are its manifest, which is not always the source's: skopeo makes OCI manifests of docker's."""

    name: str
    raw: bytes
    manifest: Manifest


class Staged(Record):
    """`path` has config.json, manifest.json and rootfs."""

    path: str
    image: Image


class Stage:
    """Runs skopeo and umoci in one work directory; the caller holds `shelf.fetching()`.

    ProgramFailed is skopeo's, InvalidParameter means that an image cannot be unpacked."""

    def __init__(self, places: RuntimePlaces, shelf: Shelf, work: Work, progress: Progress, voice: Voice) -> None:
        self._places = places
        self._shelf = shelf
        self._progress = progress
        self._voice = voice
        self.work = work
        self.superseded = False
        """Blobs were fetched that the image does not keep."""

    def inspect(self, source: Source, config: bool = False) -> bytes:
        """The manifest (or the configuration), as its maker wrote it."""
        what = ["--config"] if config else []
        command = [self._places.skopeo, *_policy(), "inspect", "--raw", *what, *source.options, source.name]
        return output(self.work, command)

    def fetch(self, source: Source, manifest: Manifest) -> Staged:
        """Copies an image and unpacks it.  `manifest` is the source's own."""
        layout = self._copy(source, manifest)
        return self.finish(layout, manifest.config.digest, self._config(source, manifest, layout.manifest))

    def finish(self, layout: Layout, image_id: str, config: bytes) -> Staged:
        """Unpacks a layout; `config` is the configuration, of which `image_id` is the digest."""
        described(image_id, config)  # what cannot be understood is not unpacked
        staged = tempfile.mkdtemp(dir=self.work.path)
        try:
            self._unpack(layout, f"{staged}/rootfs")
        except ProgramFailed as error:
            self._shelf.drop_damaged(layout.manifest)
            raise InvalidParameter(f"unpacking image {image_id}: {error.said}") from error
        for name, text in (("config.json", config), ("manifest.json", layout.raw)):
            with open(f"{staged}/{name}", "wb") as stream:
                stream.write(text)
        return Staged(staged, described(image_id, config, tree_size(f"{staged}/rootfs")))

    def layout(self, manifest: Descriptor, blobs: str = "") -> str:
        """The name of a new layout, of the image with this manifest; `blobs` "" for the shelf's."""
        name = self._new_layout(blobs)
        with open(f"{self.work.path}/{name}/oci-layout", "wb") as stream:
            stream.write(b'{"imageLayoutVersion":"1.0.0"}')
        with open(f"{self.work.path}/{name}/index.json", "wb") as stream:
            stream.write(layout_index(manifest))
        return name

    def add_layout(self, manifest: Manifest) -> Layout:
        """A manifest of our own, whose other blobs are on the shelf."""
        raw = manifest_text(manifest)
        self.add_blob(raw)
        return Layout(self.layout(Descriptor(digest_of(raw), OCI_MANIFEST, len(raw))), raw, manifest)

    def add_blob(self, text: bytes) -> None:
        """On the shelf."""
        fd, path = tempfile.mkstemp(dir=self.work.path)
        with open(fd, "wb") as stream:
            stream.write(text)
        self._shelf.add_blob(path, digest_of(text))

    def _new_layout(self, blobs: str = "") -> str:
        path = tempfile.mkdtemp(dir=self.work.path)
        os.symlink(blobs or self._shelf.blobs, f"{path}/blobs")
        return os.path.basename(path)

    def _copy(self, source: Source, manifest: Manifest) -> Layout:
        name = self._new_layout()
        command = [self._places.skopeo, *_policy(), "copy", "--retry-times", _RETRIES, "--remove-signatures"]
        command += ["--dest-oci-accept-uncompressed-layers", "--dest-shared-blob-dir", self._shelf.blobs]
        command += [*(f"--src-{option[2:]}" for option in source.options), source.name, f"oci:{name}:image"]
        if self._voice.bars:
            present = {layer.digest for layer in manifest.layers if os.path.exists(self._shelf.blob(layer.digest))}
            bars = Bars(manifest.layers, present, self._progress)
            on_terminal(self.work, command, bars.feed)
            bars.finish()
        else:
            output(self.work, command)
        return self._copied(name)

    def _copied(self, layout: str) -> Layout:
        with open(f"{self.work.path}/{layout}/index.json", "rb") as stream:
            index = parse(stream.read(), "skopeo's copy")
        assert isinstance(index, Index)
        with open(self._shelf.blob(index.manifests[0].digest), "rb") as stream:
            raw = stream.read()
        manifest = parse(raw, "skopeo's copy")
        assert isinstance(manifest, Manifest)
        typed = [self._typed(layer) for layer in manifest.layers]
        copied = Layout(layout, raw, manifest)
        if typed != manifest.layers:
            copied = self.add_layout(Manifest(manifest.config, typed))
        return self._without_zstd(copied) if any(layer.media_type == _ZSTD_LAYER for layer in typed) else copied

    def _typed(self, layer: Descriptor) -> Descriptor:
        """skopeo says that what it takes out of a docker archive is gzip, be it or not; umoci believes it."""
        with open(self._shelf.blob(layer.digest), "rb") as stream:
            magic = stream.read(len(_ZSTD))
        packed = _ZSTD_LAYER if magic == _ZSTD else f"{OCI_LAYER}+gzip"
        return Descriptor(layer.digest, packed if magic == _ZSTD or magic.startswith(_GZIP) else OCI_LAYER, layer.size)

    def _without_zstd(self, layout: Layout) -> Layout:
        """umoci knows no zstd: skopeo packs the layers with gzip.  Layers that are on the shelf it would take as they
        are, so it does not see the shelf."""
        path = tempfile.mkdtemp(dir=self.work.path)
        command = [self._places.skopeo, *_policy(), "copy", "--dest-compress-format", "gzip"]
        command += ["--dest-compress-level", "1", f"oci:{layout.name}:image", f"oci:{os.path.basename(path)}:image"]
        output(self.work, command)
        self.superseded = True
        for name in os.listdir(f"{path}/blobs/sha256"):
            self._shelf.add_blob(f"{path}/blobs/sha256/{name}", f"sha256:{name}")
        os.rmdir(f"{path}/blobs/sha256")
        os.rmdir(f"{path}/blobs")
        os.symlink(self._shelf.blobs, f"{path}/blobs")
        return self._copied(os.path.basename(path))

    def _config(self, source: Source, manifest: Manifest, copied: Manifest) -> bytes:
        """An image's id is the digest of its original configuration, which skopeo writes anew in a copy of docker's."""
        if copied.config.digest == manifest.config.digest:
            with open(self._shelf.blob(copied.config.digest), "rb") as stream:
                return stream.read()
        raw = self.inspect(source, config=True)
        if digest_of(raw) != manifest.config.digest:
            raise Failure(f"{source.name}: the configuration is not {manifest.config.digest}, which its manifest names")
        return raw

    def _unpack(self, layout: Layout, rootfs: str) -> None:
        told = Unpacking(layout.manifest.layers, self._progress, self._voice.unpacking, self._voice.unpacked)

        def look(pid: int) -> None:
            if told.current is not None:
                told.at(position(pid, self._shelf.blob(told.current.digest)))

        name = os.path.relpath(rootfs, self.work.path)
        command = [self._places.umoci, "--log", "info", "raw", "unpack", "--image", f"{layout.name}:image", name]
        lines(self.work, command, told.line, look)
        told.finish()


def _policy() -> list[str]:
    return [] if os.path.exists(_POLICY) else ["--insecure-policy"]
