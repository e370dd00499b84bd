"""An image in the shapes of docker's replies.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from netd.api.query import rfc3339
from netd.runtime.images.history import Step
from netd.runtime.images.model import Image


def inspect(image: Image) -> dict[str, Any]:
    """GET /images/{name}/json."""
    shown: dict[str, Any] = msgspec.to_builtins(image)
    shown["Config"].update(Env=image.config.env or [], Labels=image.config.labels or {}, OnBuild=None)
    return {
        **shown,
        "Parent": "",
        "DockerVersion": "",
        "VirtualSize": image.size,
        "GraphDriver": {"Name": "overlay2", "Data": {}},
        "Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"},
    }


def item(image: Image) -> dict[str, Any]:
    """An element of GET /images/json; -1: not counted."""
    return {
        "Id": image.id,
        "ParentId": "",
        "RepoTags": image.repo_tags,
        "RepoDigests": image.repo_digests,
        "Created": (rfc3339(image.created) or 0) // 1_000_000_000,
        "Size": image.size,
        "VirtualSize": image.size,
        "SharedSize": -1,
        "Containers": -1,
        "Labels": image.config.labels or {},
    }


def past(image: Image, steps: Sequence[Step]) -> list[dict[str, Any]]:
    """GET /images/{name}/history: last step first, which alone is known by an id."""
    newest = len(steps) - 1
    return [
        {
            "Id": image.id if place == newest else "<missing>",
            "Created": (rfc3339(step.created) or 0) // 1_000_000_000,
            "CreatedBy": step.created_by,
            "Tags": (image.repo_tags or None) if place == newest else None,
            "Size": step.size,
            "Comment": step.comment,
        }
        for place, step in reversed(list(enumerate(steps)))
    ]


def reference_matches(image: Image, patterns: Iterable[str]) -> bool:
    """Docker's filter `reference`: a pattern of names, with or without tag; "*" does not reach over a slash."""
    names = [*image.repo_tags, *image.repo_digests]
    names += [name.rpartition("@" if "@" in name else ":")[0] for name in names]
    return any(_same_parts(name, pattern) for pattern in patterns for name in names)


def _same_parts(name: str, pattern: str) -> bool:
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
