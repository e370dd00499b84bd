"""The images of this machine: find, pull, load, import, tag, remove.  Safe for threads.

An image appears whole or not at all, then gets its names.  Two threads that fetch the same one: the second waits, and
finds it there.  Names and images are kept in memory; no other process changes them.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO

from netd.failure import Failure, InvalidParameter, NotFound
from netd.runtime.images import archive, registry
from netd.runtime.images.history import Step, history
from netd.runtime.images.imported import stage_rootfs
from netd.runtime.images.interest import Interest
from netd.runtime.images.locks import Locks
from netd.runtime.images.manifest import Manifest, parse, this_platform
from netd.runtime.images.model import Image, Progress
from netd.runtime.images.names import Names
from netd.runtime.images.programs import ProgramFailed
from netd.runtime.images.reference import Reference, id_prefix, is_id, parse_target
from netd.runtime.images.reference import parse as parse_reference
from netd.runtime.images.removal import Removal, Users, plan_by_id, plan_by_name
from netd.runtime.images.shelf import Shelf
from netd.runtime.images.stage import LOADING, PULLING, Source, Stage, Staged, Voice
from netd.runtime.places import RuntimePlaces
from pycni.record import Record

ImageList = list[Image]
Records = list[dict[str, str]]
"""Of a removal: {"Untagged": name} or {"Deleted": id}."""


class _Wanted(Record):
    """An image to be fetched, and the names it gets."""

    source: Source
    manifest: Manifest
    names: tuple[Reference, ...]


class Images:
    """`ref` is NAME[:TAG], NAME@DIGEST, an id, or a unique prefix of one."""

    def __init__(self, places: RuntimePlaces) -> None:
        self._places = places
        self._shelf = Shelf(places)
        self._images = self._shelf.read_all()
        self._names = Names(self._shelf.names_file, self._images)
        self._lock = threading.Lock()
        self._busy = Locks()
        self._shelf.collect_blobs()

    def find(self, ref: str) -> Image:
        """NotFound: "No such image: name:tag".  An image removed by force while containers are made from it is found
        by its whole id."""
        if is_id(ref):
            image = self._images.get(_full(ref))
            if image is None:
                raise NotFound(f"No such image: {_full(ref)}")
            return self._with_names(image)
        reference = parse_reference(ref)
        image_id = self._names.get(reference) or self._by_prefix(id_prefix(ref))
        if image_id is None:
            raise NotFound(f"No such image: {reference.tagged().familiar}")
        return self._with_names(self._images[image_id])

    def list(self) -> ImageList:
        """Newest first."""
        table = self._names.table()
        images = [image for image in self._images.values() if not self._shelf.is_retired(image.id)]
        images.sort(key=lambda image: (image.created, image.id), reverse=True)
        return [_named(image, table.get(image.id, [])) for image in images]

    def rootfs(self, image: Image) -> str:
        """The directory of its unpacked files, to be read only."""
        return self._shelf.rootfs(image.id)

    def history(self, ref: str) -> Sequence[Step]:
        """First to last; NotFound."""
        return history(self._shelf, self.find(ref).id)

    def pull(
        self,
        reference: str,
        progress: Progress,
        auth: Mapping[str, str] | None = None,
        interest: Interest | None = None,
    ) -> Image:
        """`auth` is docker's X-Registry-Auth: username and password, or identitytoken.  NotFound, Failure; Abandoned
        when `interest` is lost, of those who pull the same image and wait for this one, too."""
        wanted = parse_reference(reference).tagged()
        progress({"status": f"Pulling from {_repository(wanted)}", "id": wanted.digest or wanted.tag})
        with self._stage(progress, PULLING, interest) as stage:
            found = registry.resolve(stage, wanted, this_platform(), auth)
            by_digest = wanted.at(found.digest)
            names = (by_digest,) if wanted.digest else (wanted, by_digest)
            before = self._names.get(wanted)
            try:
                image = self._fetch(stage, [_Wanted(found.source, found.manifest, names)])[0]
            except ProgramFailed as error:
                raise registry.refusal(wanted, error) from error
        progress({"status": f"Digest: {found.digest}"})
        outcome = "Image is up to date" if before == image.id else "Downloaded newer image"
        progress({"status": f"Status: {outcome} for {wanted.familiar}"})
        return image

    def load(self, stream: IO[bytes], progress: Progress, interest: Interest | None = None) -> ImageList:
        """A docker or OCI archive, plain or packed with gzip, bzip2 or xz: all of its images, or none."""
        with self._stage(progress, LOADING, interest) as stage:
            path = f"{stage.work.path}/archive.tar"
            archive.spool(stream, path)
            members = archive.members(path)
            if "manifest.json" in members:
                wanted = self._in_docker_archive(stage, path)
            elif "index.json" in members:
                wanted = self._in_oci_archive(stage, path)
            else:
                raise InvalidParameter(
                    "the archive has neither manifest.json nor index.json: it is no image (a tar of a root file system "
                    "is imported, not loaded)"
                )
            try:
                images = self._fetch(stage, wanted)
            except ProgramFailed as error:
                raise InvalidParameter(f"loading the archive: {error.said}") from error
        for image, found in zip(images, wanted, strict=True):
            for name in found.names:
                progress({"stream": f"Loaded image: {name.familiar}\n"})
            if not found.names:
                progress({"stream": f"Loaded image ID: {image.id}\n"})
        return images

    def import_rootfs(
        self,
        stream: IO[bytes],
        reference: str,
        changes: Sequence[str] = (),
        message: str = "",
        progress: Progress = lambda _: None,
        interest: Interest | None = None,
    ) -> Image:
        """A tar of a root file system, plain or packed, as an image of one layer.  `reference` "" for no name;
        `changes` are Dockerfile instructions."""
        names = (parse_target(reference),) if reference else ()
        with self._stage(progress, LOADING, interest) as stage:
            staged = stage_rootfs(stage, self._shelf, stream, changes, message or "Imported from -", progress)
            with self._busy.holding([staged.image.id]):
                self._publish([staged], dict.fromkeys(names, staged.image.id))
        progress({"status": staged.image.id})
        return self.find(staged.image.id)

    def tag(self, ref: str, new: str) -> None:
        """Taken from the image that had the name."""
        target = parse_target(new)
        with self._busy.holding([self.find(ref).id]):
            self._names.change({target: self.find(ref).id})

    def remove(
        self,
        ref: str,
        force: bool,
        in_use: Callable[[str], Sequence[str]],
        running: Callable[[str], Sequence[str]] | None = None,
    ) -> Records:
        """`in_use(image id)` are ids of containers made from it, `running` those of them that run (None: all).
        NotFound; Conflict with docker's text when one is in the way."""
        with self._busy.holding([self.find(ref).id]):
            image = self.find(ref)
            users = _users(image.id, in_use, running)
            names = self._names.of(image.id)
            if id_prefix(ref) and image.id.startswith(_full(ref)):
                removal = plan_by_id(image.id, names, users, force)
            else:
                reference = parse_reference(ref).tagged()
                name = reference.at(reference.digest) if reference.digest else reference
                removal = plan_by_name(image.id, name, names, users, force)
            return self._carry_out(image.id, removal)

    def collect(self, in_use: Callable[[str], Sequence[str]]) -> None:
        """Removes what forced removals had to keep for containers; to be called after a container is removed."""
        for image_id in [each for each in self._images if self._shelf.is_retired(each)]:
            with self._busy.holding([image_id]):
                if self._shelf.is_retired(image_id) and not in_use(image_id):
                    self._delete(image_id)

    @contextmanager
    def _stage(self, progress: Progress, voice: Voice, interest: Interest | None) -> Iterator[Stage]:
        try:
            with self._shelf.fetching(), self._shelf.work.directory(interest) as work:
                stage = Stage(self._places, self._shelf, work, progress, voice)
                yield stage
            if stage.superseded:
                self._shelf.collect_blobs()
        except BaseException as error:
            self._shelf.collect_blobs()
            if isinstance(error, OSError):
                raise Failure(f"storing the image: {_reason(error)}") from error
            raise

    def _fetch(self, stage: Stage, wanted: Sequence[_Wanted]) -> ImageList:
        """All of them, or none, and then their names in one step."""
        by_id = {each.manifest.config.digest: each for each in wanted}
        with self._busy.holding(by_id, stage.work.interest):
            staged = [stage.fetch(each.source, each.manifest) for key, each in by_id.items() if key not in self._images]
            self._publish(staged, {name: each.manifest.config.digest for each in wanted for name in each.names})
            for image_id in by_id:
                self._shelf.revive(image_id)
        return [self.find(each.manifest.config.digest) for each in wanted]

    def _publish(self, staged: Sequence[Staged], names: Mapping[Reference, str]) -> None:
        """The caller holds the images' ids."""
        for each in staged:
            self._shelf.publish(each.path, each.image)
        with self._lock:
            self._images = {**self._images, **{each.image.id: each.image for each in staged}}
        self._names.change(names)

    def _in_docker_archive(self, stage: Stage, path: str) -> Sequence[_Wanted]:
        wanted = []
        for each in archive.docker_images(path):
            source = Source(f"docker-archive:{os.path.basename(path)}:@{each.index}")
            try:
                manifest = parse(stage.inspect(source), "the archive")
            except ProgramFailed as error:
                raise InvalidParameter(f"loading the archive: {error.said}") from error
            assert isinstance(manifest, Manifest)
            wanted.append(_Wanted(source, manifest, each.tags))
        return wanted

    def _in_oci_archive(self, stage: Stage, path: str) -> Sequence[_Wanted]:
        layout = f"{stage.work.path}/oci"
        archive.extract_layout(path, layout)
        os.unlink(path)
        return [
            _Wanted(
                Source(f"oci:{stage.layout(each.descriptor, f'{layout}/blobs')}:image"),
                archive.oci_manifest(layout, each.descriptor),
                each.tags,
            )
            for each in archive.oci_images(layout, this_platform())
        ]

    def _carry_out(self, image_id: str, removal: Removal) -> Records:
        """The caller holds the image's id."""
        records = [{"Untagged": name.familiar} for name in removal.untag]
        if not removal.delete:
            self._names.change({}, removal.untag)
            return records
        if removal.keep_files:
            self._shelf.retire(image_id)
            self._names.change({}, removal.untag)
        else:
            self._delete(image_id)
        return [*records, {"Deleted": image_id}]

    def _delete(self, image_id: str) -> None:
        """Its files first: a name of an image that is not there means nothing."""
        with self._shelf.removing(image_id):
            with self._lock:
                self._images = {key: image for key, image in self._images.items() if key != image_id}
            self._names.change({}, self._names.of(image_id))
        self._shelf.collect_blobs()

    def _by_prefix(self, digits: str) -> str | None:
        """The id that alone begins so."""
        found = [key for key in self._images if digits and key.startswith(_full(digits))]
        found = [key for key in found if not self._shelf.is_retired(key)]
        return found[0] if len(found) == 1 else None

    def _with_names(self, image: Image) -> Image:
        return _named(image, self._names.of(image.id))


def _named(image: Image, names: Sequence[Reference]) -> Image:
    """A copy with its names of now."""
    named = copy.copy(image)
    named.repo_tags = [name.familiar for name in names if not name.digest]
    named.repo_digests = [name.familiar for name in names if name.digest]
    return named


def _users(
    image_id: str, in_use: Callable[[str], Sequence[str]], running: Callable[[str], Sequence[str]] | None
) -> Users:
    everyone = in_use(image_id)
    active = set(everyone if running is None else running(image_id))
    return Users(
        tuple(each for each in everyone if each in active), tuple(each for each in everyone if each not in active)
    )


def _full(image_id: str) -> str:
    return image_id if image_id.startswith("sha256:") else f"sha256:{image_id}"


def _repository(reference: Reference) -> str:
    """As docker shows it: "library/busybox", but the host where it is not docker's own."""
    return reference.path if reference.domain == "docker.io" else reference.name


def _reason(error: OSError) -> str:
    words = (error.strerror or str(error)).lower()
    return f"{error.filename}: {words}" if error.filename else words
