"""Volumes: directories that outlive the containers they are mounted in, `ROOT/volumes/<name>/_data`.

A new one gets what the image has at the place where it is first mounted.  It is filled beside, then renamed: one that
is there is complete, whatever was killed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterable

from netd.failure import Failure
from netd.runtime.bundle.inside import open_inside
from netd.runtime.bundle.points import BIND, VOLUME, Point
from netd.runtime.places import RuntimePlaces

_DATA = "_data"
_DRAFT = ".new"
_FILLED = "volumes-filled"


def source_of(places: RuntimePlaces, point: Point) -> str:
    """The path on the host; "" for a tmpfs."""
    return _data(places, point.name) if point.kind == VOLUME else point.source


def ensure_sources(places: RuntimePlaces, container_id: str, points: Iterable[Point], rootfs: str) -> None:
    """Everything that is to be mounted is there.  `rootfs` is the container's, mounted.  An old volume that is empty is
    filled at the container's first start, and not again: whoever empties it wants it empty."""
    started_before = f"{places.container(container_id)}/{_FILLED}"
    fill = not os.path.exists(started_before)
    for point in points:
        if point.kind == VOLUME:
            _ensure_volume(places, point, rootfs, fill)
        elif point.kind == BIND and not os.path.lexists(point.source):
            if not point.make_source:
                raise Failure(f'invalid mount config for type "bind": bind source path does not exist: {point.source}')
            _make_source(point.source)
    if fill:
        with open(started_before, "wb"):
            pass


def _make_source(path: str) -> None:
    try:
        os.makedirs(path, 0o755, exist_ok=True)
    except OSError as error:
        raise Failure(
            f"error while creating mount source path '{path}': mkdir {error.filename}: {(error.strerror or '').lower()}"
        ) from error


def remove_volume(places: RuntimePlaces, name: str) -> None:
    """Without effect when there is none."""
    shutil.rmtree(f"{_directory(places)}/{name}", ignore_errors=True)


def _ensure_volume(places: RuntimePlaces, point: Point, rootfs: str, fill: bool) -> None:
    home = f"{_directory(places)}/{point.name}"
    # others than root may use what is in a volume, but not look for volumes
    os.makedirs(_directory(places), 0o711, exist_ok=True)
    os.makedirs(home, 0o711, exist_ok=True)
    lock = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        data = f"{home}/{_DATA}"
        if not os.path.isdir(data):
            draft = f"{home}/{_DRAFT}"
            shutil.rmtree(draft, ignore_errors=True)
            os.mkdir(draft, 0o755)
            if point.copy:
                _copy(rootfs, point.target, draft)
            os.rename(draft, data)
        elif fill and point.copy and not os.listdir(data):
            # an empty one may be mounted already: it must remain the same directory
            _copy(rootfs, point.target, data)
    finally:
        os.close(lock)


def _copy(rootfs: str, target: str, into: str) -> None:
    """What the root file system has at `target`, and the directory's own owner and mode; attributes and all."""
    try:
        source = open_inside(rootfs, target, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return  # there is no such directory
    try:
        command = ["cp", "--archive", "--", f"/proc/self/fd/{source}/.", into]
        done = subprocess.run(command, pass_fds=[source], capture_output=True, text=True, check=False)
    finally:
        os.close(source)
    if done.returncode:
        raise Failure(f"filling the volume mounted at {target}: {done.stderr.strip()}")


def _directory(places: RuntimePlaces) -> str:
    return f"{places.root}/volumes"


def _data(places: RuntimePlaces, name: str) -> str:
    return f"{_directory(places)}/{name}/{_DATA}"
