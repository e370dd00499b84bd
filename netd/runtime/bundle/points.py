"""What is mounted into a container by request: binds, volumes, tmpfs.  Docker's grammar and texts.  Pure."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Sequence
from typing import Any

from netd.failure import InvalidParameter
from netd.runtime.model import BindOptions, ContainerConfig, HostConfig, Mount, TmpfsOptions
from pycni.record import Record

BIND, VOLUME, TMPFS = "bind", "volume", "tmpfs"

_VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)
_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_LABELS = ("z", "Z")
_CONSISTENCIES = ("consistent", "cached", "delegated", "default")
_DEFAULT_PROPAGATION = "rprivate"
_MODES = 0o7777

TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")
_TMPFS_FLAGS = (
    ("exec", "noexec"), ("suid", "nosuid"), ("dev", "nodev"), ("rw", "ro"), ("atime", "noatime"),
    ("diratime", "nodiratime"), ("relatime", "norelatime"), ("strictatime", "nostrictatime"), ("async", "sync"),
    ("private", "shared", "slave", "unbindable"), ("rprivate", "rshared", "rslave", "runbindable"),
)  # fmt: skip
_TMPFS_VALUES = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")


class Point(Record):
    """`source` is a path of the host for a bind; `name` a volume's; `options` a tmpfs's.  `make_source`: of a bind
    given with -v, whose missing source docker makes a directory of; `copy`: a new volume gets what the image has there;
    `anonymous`: the volume goes with the container; `mode` as the user wrote it."""

    kind: str
    target: str
    source: str = ""
    name: str = ""
    read_only: bool = False
    propagation: str = ""
    options: tuple[str, ...] = ()
    make_source: bool = False
    copy: bool = True
    anonymous: bool = False
    mode: str = ""


def points(container_id: str, config: ContainerConfig, host_config: HostConfig) -> list[Point]:
    """All of a container, outer directories before what is mounted in them.  InvalidParameter in docker's words."""
    found = [_bind(text, container_id) for text in host_config.binds or []]
    found += [_mount(mount, container_id) for mount in host_config.mounts or []]
    found += [
        Point(TMPFS, _target(path, path), options=_tmpfs_options(options))
        for path, options in (host_config.tmpfs or {}).items()
    ]
    _refuse_duplicates(found)
    taken = {point.target for point in found}
    for path in config.volumes or {}:
        target = _target(path, path)
        if target not in taken:
            taken.add(target)
            found.append(_anonymous(container_id, target))
    return sorted(found, key=lambda point: point.target.count("/"))


def wire(point: Point, source: str) -> dict[str, Any]:
    """As in `Mounts` of docker's inspect; `source` is the path on the host."""
    named = {"Name": point.name} if point.kind == VOLUME else {}
    driver = {"Driver": "local"} if point.kind == VOLUME else {}
    return {
        "Type": point.kind,
        **named,
        "Source": source,
        "Destination": point.target,
        **driver,
        "Mode": point.mode,
        "RW": not point.read_only,
        "Propagation": point.propagation,
    }


def _bind(text: str, container_id: str) -> Point:
    """[SOURCE:]TARGET[:OPTIONS]."""
    try:
        return _parsed_bind(text, container_id)
    except InvalidParameter as error:
        raise InvalidParameter(f"invalid volume specification: '{text}': {error}") from error


def _parsed_bind(text: str, container_id: str) -> Point:
    parts = text.split(":")
    if len(parts) > 3 or not all(parts[:2]):
        raise InvalidParameter("expected [SOURCE:]TARGET[:OPTIONS]")
    if len(parts) == 1:
        return _anonymous(container_id, _target(parts[0], text))
    source, target, mode = parts[0], _target(parts[1], text), parts[2] if len(parts) == 3 else ""
    point = _with_mode(Point(BIND if source.startswith("/") else VOLUME, target, mode=mode), mode)
    if point.kind == BIND:
        return point.replace(
            source=posixpath.normpath(source), make_source=True, propagation=point.propagation or _DEFAULT_PROPAGATION
        )
    if point.propagation:
        raise InvalidParameter(f"invalid mode: {mode}")
    return point.replace(name=_volume_name(source))


def _mount(mount: Mount, container_id: str) -> Point:
    try:
        return _parsed_mount(mount, container_id)
    except InvalidParameter as error:
        raise InvalidParameter(f'invalid mount config for type "{mount.type}": {error}') from error


def _parsed_mount(mount: Mount, container_id: str) -> Point:
    if not mount.target:
        raise InvalidParameter("field Target must not be empty")
    target = _target(mount.target, mount.target)
    match mount.type:
        case "bind":
            if not mount.source:
                raise InvalidParameter("field Source must not be empty")
            if not mount.source.startswith("/"):
                raise InvalidParameter(f"invalid mount path: '{mount.source}' mount path must be absolute")
            return _bind_mount(mount, target)
        case "volume":
            copy = mount.volume_options is None or not mount.volume_options.no_copy
            if not mount.source:
                return _anonymous(container_id, target).replace(read_only=mount.read_only, copy=copy)
            return Point(VOLUME, target, name=_volume_name(mount.source), read_only=mount.read_only, copy=copy)
        case "tmpfs":
            if mount.source:
                raise InvalidParameter("field Source must not be specified")
            return Point(TMPFS, target, read_only=mount.read_only, options=_merged_flags(_memory_options(mount)))
    raise InvalidParameter("mount type unknown")


def _bind_mount(mount: Mount, target: str) -> Point:
    options = mount.bind_options or BindOptions()
    if options.propagation not in ("", *_PROPAGATIONS):
        raise InvalidParameter(f"invalid propagation mode: {options.propagation}")
    return Point(
        BIND,
        target,
        posixpath.normpath(mount.source),
        read_only=mount.read_only,
        propagation=options.propagation or _DEFAULT_PROPAGATION,
        make_source=options.create_mountpoint,
    )


def _memory_options(mount: Mount) -> list[str]:
    options = mount.tmpfs_options or TmpfsOptions()
    if options.size_bytes < 0:
        raise InvalidParameter("invalid tmpfs size: must not be negative")
    if not 0 <= options.mode <= _MODES:
        raise InvalidParameter(f"invalid tmpfs mode: {options.mode:o}")
    size = [f"size={options.size_bytes}"] if options.size_bytes else []
    mode = [f"mode={options.mode:o}"] if options.mode else []
    return [*size, *mode, *(["ro"] if mount.read_only else [])]


def _anonymous(container_id: str, target: str) -> Point:
    """Its name is made of the container's id and the path, so nobody has to remember it."""
    name = hashlib.sha256(f"{container_id}\0{target}".encode()).hexdigest()
    return Point(VOLUME, target, name=name, anonymous=True)


def _with_mode(point: Point, mode: str) -> Point:
    """Options of a bind; each kind of option once."""
    kinds: set[str] = set()
    for option in mode.split(",") if mode else ():
        if option in ("ro", "rw"):
            kind, point = "access", point.replace(read_only=option == "ro")
        elif option in _PROPAGATIONS:
            kind, point = "propagation", point.replace(propagation=option)
        elif option == "nocopy":
            kind, point = option, point.replace(copy=False)
        elif option in _LABELS:
            kind = "label"
        elif option in _CONSISTENCIES:
            kind = "consistency"
        else:
            raise InvalidParameter(f"invalid mode: {mode}")
        if kind in kinds:
            raise InvalidParameter(f"invalid mode: {mode}")
        kinds.add(kind)
    return point


def _target(path: str, shown: str) -> str:
    if not path.startswith("/"):
        raise InvalidParameter(f"invalid mount path: '{path}' mount path must be absolute")
    if "\0" in path:
        raise InvalidParameter(f"invalid mount path: {shown!r} holds a null character")
    clean = "/" + posixpath.normpath(path).lstrip("/")
    if clean == "/":
        raise InvalidParameter("invalid specification: destination can't be '/'")
    return clean


def _volume_name(name: str) -> str:
    if len(name) == 1:
        raise InvalidParameter("volume name is too short, names should be at least two alphanumeric characters")
    if not _VOLUME_NAME.fullmatch(name):
        raise InvalidParameter(
            f'"{name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are '
            "allowed. If you intended to pass a host directory, use absolute path"
        )
    return name


def _refuse_duplicates(found: Iterable[Point]) -> None:
    seen: set[str] = set()
    for point in found:
        if point.target in seen:
            raise InvalidParameter(f"Duplicate mount point: {point.target}")
        seen.add(point.target)


def _tmpfs_options(text: str) -> tuple[str, ...]:
    options = [option for option in text.split(",") if option]
    known = {flag for group in _TMPFS_FLAGS for flag in group}
    for option in options:
        name, equals, value = option.partition("=")
        if not (name in _TMPFS_VALUES and equals and value) and option not in known:
            raise InvalidParameter(f'invalid tmpfs option "{option}"')
    return _merged_flags(options)


def _merged_flags(options: Sequence[str]) -> tuple[str, ...]:
    """Of flags that exclude each other, the last; of ours, those that the user's do not touch."""
    merged: dict[str, str] = {}
    for option in (*TMPFS_DEFAULTS, *options):
        group = next((group[0] for group in _TMPFS_FLAGS if option in group), option.partition("=")[0])
        merged.pop(group, None)
        merged[group] = option
    return tuple(merged.values())
