"""What one process knows of the iptables tables when it ends, for the next one.

A plugin without the engine lives for one call, and `iptables-save` would be half of what that call costs.  The file is
believed only by whoever finds the same boot, the same namespace (its cookie; an inode number would be used again) and
the same nf_tables generation as are written in its first line: any commit, of whomever, moves the generation.  Whatever
is wrong with the file costs a listing, no more.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    Place = tuple[int, str]
    """(address family, table)."""

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_SECTION = "@"
"""Begins no line of a listing."""


class KeptListing:
    """The file of one namespace; the caller holds the namespace's lock."""

    def __init__(self, path: str) -> None:
        self._path = path

    def read(self, cookie: int, generation: int) -> dict[Place, str]:
        """The listings that hold at this generation, in `iptables-save`'s form; empty when the file is of another."""
        try:
            with open(self._path, encoding="utf-8", errors="surrogateescape", newline="") as file:
                if file.readline() != _proof(cookie, generation):
                    return {}
                sections = file.read().split("\n" + _SECTION)
            return dict(map(_section, sections[1:]))
        except (OSError, ValueError):
            return {}

    def write(self, cookie: int, generation: int, listings: Mapping[Place, str]) -> None:
        """Replace what is kept.  A file that cannot be written is none: the next process lists anew."""
        draft = self._path + "~"
        try:
            with open(draft, "w", encoding="utf-8", errors="surrogateescape", newline="", opener=_private) as file:
                file.write(_proof(cookie, generation))
                for (family, table), listing in listings.items():
                    file.write(f"\n{_SECTION}{family} {table}\n{listing}")
            os.rename(draft, self._path)
        except OSError:
            return


def _section(text: str) -> tuple[Place, str]:
    head, _, listing = text.partition("\n")
    family, _, table = head.partition(" ")
    return (int(family), table), listing


def _proof(cookie: int, generation: int) -> str:
    with open(_BOOT_ID, encoding="ascii") as file:
        return f"{file.read().strip()} {cookie} {generation}\n"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
