"""The images of this machine: find, pull, load, import, tag, remove.  Safe for threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import IO

from netd.runtime.images.model import Image, Progress
from netd.runtime.places import RuntimePlaces


class Images:
    """`ref` is NAME[:TAG], NAME@DIGEST, an id, or a unique prefix of one."""

    def __init__(self, places: RuntimePlaces) -> None:
        raise NotImplementedError

    def find(self, ref: str) -> Image:
        """NotFound: "No such image: name:tag"."""
        raise NotImplementedError

    def list(self) -> list[Image]:
        """Newest first."""
        raise NotImplementedError

    def rootfs(self, image: Image) -> str:
        """The directory of its unpacked files, to be read only."""
        raise NotImplementedError

    def pull(self, reference: str, progress: Progress, auth: dict[str, str] | None = None) -> Image:
        """`auth` is docker's X-Registry-Auth: username and password."""
        raise NotImplementedError

    def load(self, stream: IO[bytes], progress: Progress) -> list[Image]:
        """A docker or OCI archive, plain or packed with gzip, bzip2 or xz."""
        raise NotImplementedError

    def import_rootfs(
        self,
        stream: IO[bytes],
        reference: str,
        changes: Sequence[str],
        message: str,
        progress: Progress = lambda _: None,
    ) -> Image:
        """A tar of a root file system as an image of one layer; `reference` "" for none, `changes` as in `--change`."""
        raise NotImplementedError

    def tag(self, ref: str, new: str) -> None:
        raise NotImplementedError

    def remove(
        self,
        ref: str,
        force: bool,
        in_use: Callable[[str], list[str]],
        running: Callable[[str], list[str]] | None = None,
    ) -> list[dict[str, str]]:
        """Records {"Untagged": …}, {"Deleted": …}.  `in_use(image id)` are ids of containers made from it, `running`
        those of them that run (None: all).  Conflict with docker's text when one is in the way."""
        raise NotImplementedError

    def collect(self, in_use: Callable[[str], list[str]]) -> None:
        """Frees what forced removals had to keep for containers; to be called after a container is removed."""
        raise NotImplementedError
