"""Who a container's process is: `--user NAME|UID[:GROUP|GID]` and `--group-add`, looked up in the container's own
/etc/passwd and /etc/group as docker does.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netd.failure import InvalidParameter
from pycni.record import Record

_LARGEST = 2**31 - 1


class User(Record):
    """`groups` are the additional ones, the primary among them (CVE-2022-36109)."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def find_user(spec: str, passwd: str, group: str, more_groups: Sequence[str] = ()) -> User:
    """`spec` "" is root; `passwd` and `group` are the files' texts.  InvalidParameter: no such user or group."""
    user_part, _, group_part = spec.partition(":")
    uid, gid, name = _user(user_part, passwd)
    supplementary: list[int] = []
    if group_part:
        gid = _group(group_part, group)
    elif name:
        supplementary = [number for _, number, members in _groups(group) if name in members]
    supplementary += [_group(each, group) for each in more_groups]
    return User(uid, gid, tuple(dict.fromkeys([gid, *supplementary])))


def _user(wanted: str, passwd: str) -> tuple[int, int, str]:
    """Uid, gid, and the name when it has one.  What can be read as a number is a uid, never a name."""
    number = _number(wanted or "0")
    for name, uid, gid in _users(passwd):
        if uid == number if number is not None else name == wanted:
            return uid, gid, name
    if number is None:
        raise InvalidParameter(f"unable to find user {wanted}: no matching entries in passwd file")
    return _checked(number), 0, ""


def _group(wanted: str, group: str) -> int:
    number = _number(wanted)
    if number is not None:
        return _checked(number)
    for name, gid, _members in _groups(group):
        if name == wanted:
            return gid
    raise InvalidParameter(f"unable to find group {wanted}: no matching entries in group file")


def _users(passwd: str) -> Iterator[tuple[str, int, int]]:
    for fields in _lines(passwd):
        if len(fields) >= 4 and fields[2].isdecimal() and fields[3].isdecimal():
            yield fields[0], int(fields[2]), int(fields[3])


def _groups(group: str) -> Iterator[tuple[str, int, list[str]]]:
    for fields in _lines(group):
        if len(fields) >= 3 and fields[2].isdecimal():
            yield fields[0], int(fields[2]), fields[3].split(",") if len(fields) > 3 else []


def _lines(text: str) -> Iterator[list[str]]:
    for line in text.split("\n"):
        if line.strip() and not line.startswith("#"):
            yield line.strip().split(":")


def _number(text: str) -> int | None:
    try:
        return int(text) if text.isascii() and text.lstrip("+-").isdecimal() else None
    except ValueError:
        return None


def _checked(number: int) -> int:
    if not 0 <= number <= _LARGEST:
        raise InvalidParameter(f"uids and gids must be in range 0-{_LARGEST}")
    return number
