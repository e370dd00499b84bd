"""What `rmi` does to which image, by docker's rules.  Pure.

An image that has other names loses the given one; with the last one it goes itself.  Containers made from it are in the
way of that: one that runs always (a name may be forced from it), a stopped one unless forced.
"""

from __future__ import annotations

from collections.abc import Sequence

from netd.failure import Conflict
from netd.runtime.images.reference import Reference
from pycni.record import Record


class Users(Record):
    """Ids of the containers made from the image."""

    running: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()


class Removal(Record):
    """`untag`, in this order, and then `delete` the image; `keep_files` when a stopped container is made from it."""

    untag: tuple[Reference, ...]
    delete: bool
    keep_files: bool = False


def plan_by_name(image_id: str, name: Reference, names: Sequence[Reference], users: Users, force: bool) -> Removal:
    """`name` is one of the image's `names`.  Conflict in docker's words."""
    user = next(iter((*users.running, *users.stopped)), None)
    if user is not None and not force and _is_single(names):
        raise Conflict(
            f'conflict: unable to remove repository reference "{name.familiar}" (must force) - '
            f"container {_short(user)} is using its referenced image {_short(image_id)}"
        )
    untag, left = [name], [each for each in names if each != name]
    if not name.digest and not any(each.name == name.name and not each.digest for each in left):
        # digests are of no use in a repository that has no tag left
        untag += [each for each in left if each.name == name.name]
        left = [each for each in left if each.name != name.name]
    if left or users.running:
        return Removal(tuple(untag), delete=False)
    return Removal(tuple(untag), delete=True, keep_files=bool(users.stopped))


def plan_by_id(image_id: str, names: Sequence[Reference], users: Users, force: bool) -> Removal:
    """All names go, and the image.  Conflict in docker's words."""
    if users.running:
        raise _conflict(
            image_id, "cannot be forced", f"image is being used by running container {_short(users.running[0])}"
        )
    if not force:
        if names and not _is_single(names):
            raise _conflict(image_id, "must be forced", "image is referenced in multiple repositories")
        if users.stopped:
            raise _conflict(
                image_id, "must be forced", f"image is being used by stopped container {_short(users.stopped[0])}"
            )
    return Removal(tuple(names), delete=True, keep_files=bool(users.stopped))


def _conflict(image_id: str, way: str, reason: str) -> Conflict:
    return Conflict(f"conflict: unable to delete {_short(image_id)} ({way}) - {reason}")


def _is_single(names: Sequence[Reference]) -> bool:
    """One repository, and one tag in it at most."""
    if len(names) <= 1:
        return len(names) == 1
    return len({each.name for each in names}) == 1 and sum(not each.digest for each in names) <= 1


def _short(identifier: str) -> str:
    return identifier.removeprefix("sha256:")[:12]
