"""Images on disk.

    complete/<hex>/   one directory an image, which appears whole and vanishes whole (rename):
        image.json    what we know of it; config.json, manifest.json as they came
        rootfs/       its unpacked files
        retired       removed by force while containers are made from it: known by its whole id only
    blobs/sha256/     compressed layers, shared; kept so that a newer image is pulled without what it has in common
    work/             what is being fetched and unpacked
    names.json        tags and digests

Whoever adds blobs holds the lock of `blobs` shared; who removes unused ones, alone.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import msgspec

from netd.runtime.images.durable import WorkArea, locked, sync_directory, sync_tree
from netd.runtime.images.manifest import Manifest, digest_of, parse
from netd.runtime.images.model import Image
from netd.runtime.places import RuntimePlaces
from netd.structures import from_json

_RETIRED = "retired"
_PREFIX = "sha256:"


class Shelf:
    """All complete images of this machine; every method may be called from any thread."""

    def __init__(self, places: RuntimePlaces) -> None:
        self._root = places.images
        self._complete = f"{self._root}/complete"
        self.blobs = f"{self._root}/blobs"
        os.makedirs(self._complete, 0o700, exist_ok=True)
        os.makedirs(f"{self.blobs}/sha256", 0o700, exist_ok=True)
        self.work = WorkArea(f"{self._root}/work")
        self.work.sweep()

    @property
    def names_file(self) -> str:
        return f"{self._root}/names.json"

    def directory(self, image_id: str) -> str:
        return f"{self._complete}/{image_id.removeprefix(_PREFIX)}"

    def rootfs(self, image_id: str) -> str:
        return rootfs_path(self._root, image_id)

    def read_all(self) -> dict[str, Image]:
        """By id."""
        images = (self.read(_PREFIX + name) for name in os.listdir(self._complete))
        return {image.id: image for image in images if image is not None}

    def read(self, image_id: str) -> Image | None:
        """None also when a damaged disk has spoilt what is known of it: it can be pulled again."""
        try:
            with open(f"{self.directory(image_id)}/image.json", "rb") as stream:
                return from_json(stream.read(), Image)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def publish(self, staged: str, image: Image) -> None:
        """The directory `staged` (config.json, manifest.json, rootfs) becomes an image, unless it is there already."""
        with open(f"{staged}/image.json", "wb") as stream:
            stream.write(msgspec.json.encode(image))
        sync_tree(staged)
        if self.read(image.id) is not None:
            return
        if os.path.isdir(self.directory(image.id)):
            with self.removing(image.id):
                os.rename(staged, self.directory(image.id))
        else:
            os.rename(staged, self.directory(image.id))
        sync_directory(self._complete)

    @contextmanager
    def removing(self, image_id: str) -> Iterator[None]:
        """Gone within the block, which its files are after it."""
        with self.work.directory() as work:
            os.rename(self.directory(image_id), f"{work.path}/removed")
            sync_directory(self._complete)
            yield

    def retire(self, image_id: str) -> None:
        """Keeps its files for the containers made from it."""
        with open(f"{self.directory(image_id)}/{_RETIRED}", "wb"):
            sync_directory(self.directory(image_id))

    def revive(self, image_id: str) -> None:
        """It was asked for again."""
        if self.is_retired(image_id):
            os.unlink(f"{self.directory(image_id)}/{_RETIRED}")

    def is_retired(self, image_id: str) -> bool:
        return os.path.exists(f"{self.directory(image_id)}/{_RETIRED}")

    def blob(self, digest: str) -> str:
        return f"{self.blobs}/{digest.replace(':', '/')}"

    def add_blob(self, path: str, digest: str) -> None:
        """Takes the file at `path`, which is on the same file system."""
        os.rename(path, self.blob(digest))

    def fetching(self) -> AbstractContextManager[bool]:
        """While held, no blob is removed."""
        return locked(self.blobs, shared=True)

    def collect_blobs(self) -> None:
        """Removes blobs that no image has, unless some are being fetched: then whoever fetches last does."""
        with locked(self.blobs, wait=False) as alone:
            if alone:
                kept = {digest.removeprefix(_PREFIX) for digest in self._used_blobs()}
                for name in os.listdir(f"{self.blobs}/sha256"):
                    if name not in kept:
                        os.unlink(f"{self.blobs}/sha256/{name}")

    def drop_damaged(self, manifest: Manifest) -> None:
        """Blobs that are not what their names say are removed, so that the next pull fetches them again."""
        for digest in manifest.blobs():
            path = self.blob(digest)
            if os.path.exists(path) and not _is_whole(path, digest):
                os.unlink(path)

    def _used_blobs(self) -> Iterator[str]:
        for name in os.listdir(self._complete):
            try:
                with open(f"{self._complete}/{name}/manifest.json", "rb") as stream:
                    raw = stream.read()
            except FileNotFoundError:
                continue  # it is being removed
            manifest = parse(raw, name)
            assert isinstance(manifest, Manifest)
            yield digest_of(raw)
            yield from manifest.blobs()


def rootfs_path(images_dir: str, image_id: str) -> str:
    """The unpacked files of an image; read only."""
    return f"{images_dir}/complete/{image_id.removeprefix(_PREFIX)}/rootfs"


def tree_size(path: str) -> int:
    """Bytes of all regular files below, hard links once."""
    total, seen, todo = 0, set(), [path]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                info = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    todo.append(entry.path)
                elif stat.S_ISREG(info.st_mode):
                    if info.st_nlink > 1:
                        if info.st_ino in seen:
                            continue
                        seen.add(info.st_ino)
                    total += info.st_size
    return total


def _is_whole(path: str, digest: str) -> bool:
    with open(path, "rb") as stream:
        return _PREFIX + hashlib.file_digest(stream, "sha256").hexdigest() == digest
